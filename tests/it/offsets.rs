//! Consumer offsets: what was committed is there after a stop, and after a crash once the interval
//! of `flushConsumerOffsetInterval` is over.

use std::time::Duration;

use nix::sys::signal::Signal;
use ringmq_remoting::codes::{request, response};

use crate::client::Client;
use crate::process;
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(
    committed_offsets_are_there_after_a_stop_and_after_a_crash,
    offsets_of_what_was_deleted_are_forgotten_for_good,
);

const END_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the broker runs on before the crash: longer and longer, for a busy machine.
const ROUNDS_MS: [u64; 5] = [50, 200, 1000, 4000, 16_000];

fn fields(queue: &str) -> Vec<(&str, &str)> {
    vec![("consumerGroup", "keepers"), ("topic", "kept"), ("queueId", queue)]
}

fn commit(client: &mut Client, offset: u64) {
    let offset = offset.to_string();
    for queue in ["0", "1", "2", "3"] {
        let fields = [fields(queue), vec![("commitOffset", offset.as_str())]].concat();
        let reply = client.call(request::UPDATE_CONSUMER_OFFSET, &fields, b"");
        reply.expect("an answer").expect(response::SUCCESS);
    }
}

fn committed(client: &mut Client) -> Vec<i64> {
    let offset = |queue| {
        let reply = client.call(request::QUERY_CONSUMER_OFFSET, &fields(queue), b"");
        reply.expect("an answer").expect(response::SUCCESS).number("offset")
    };
    ["0", "1", "2", "3"].map(offset).to_vec()
}

fn committed_offsets_are_there_after_a_stop_and_after_a_crash(shards: u32) {
    let directory = process::directory("offsets");
    let extra = vec![("flushConsumerOffsetInterval", "20".to_owned())];
    let settings = Settings { shards, extra, ..Settings::default() };
    let mut server = Server::start(directory.path(), &settings);
    server.client().create_topic("kept", 4).expect("the broker serves").expect(0);
    for _ in 0..20 {
        for queue in 0..4 {
            server.client().send("kept", queue, b"body").expect("an answer").expect(0);
        }
    }
    commit(&mut server.client(), 9);
    server.process.signal(Signal::SIGTERM);
    server.process.wait(END_TIMEOUT);
    drop(server);
    server = Server::start(directory.path(), &settings);
    assert_eq!(committed(&mut server.client()), [9; 4], "after a stop");
    for (offset, pause_ms) in (10..).zip(ROUNDS_MS) {
        commit(&mut server.client(), offset);
        std::thread::sleep(Duration::from_millis(pause_ms));
        server.process.kill9();
        drop(server);
        server = Server::start(directory.path(), &settings);
        let found = committed(&mut server.client());
        if found == [offset.cast_signed(); 4] {
            return;
        }
        println!("killed {pause_ms} ms after {offset} was committed: {found:?}");
    }
    panic!("no offset was durable, however long the broker had time for it");
}

/// Topics of the group by what the broker stores.
fn topics(client: &mut Client, group: &str) -> String {
    let reply = client.call(request::QUERY_TOPICS_BY_CONSUMER, &[("group", group)], b"");
    let body = reply.expect("an answer").expect(response::SUCCESS).body;
    let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    body["topicList"].to_string()
}

fn offsets_of_what_was_deleted_are_forgotten_for_good(shards: u32) {
    let directory = process::directory("forgotten");
    let settings = Settings { shards, ..Settings::default() };
    let mut server = Server::start(directory.path(), &settings);
    let mut client = server.client();
    for topic in ["kept", "gone"] {
        client.create_topic(topic, 4).expect("the broker serves").expect(0);
        for (group, queue) in [("keepers", "0"), ("keepers", "3"), ("leavers", "1")] {
            let fields = [
                ("consumerGroup", group),
                ("topic", topic),
                ("queueId", queue),
                ("commitOffset", "0"),
            ];
            let reply = client.call(request::UPDATE_CONSUMER_OFFSET, &fields, b"");
            reply.expect("an answer").expect(response::SUCCESS);
        }
    }
    // durable first
    server.process.signal(Signal::SIGTERM);
    server.process.wait(END_TIMEOUT);
    drop(server);
    server = Server::start(directory.path(), &settings);
    client = server.client();
    assert_eq!(topics(&mut client, "keepers"), r#"["gone","kept"]"#);
    let gone = [("topic", "gone")];
    let reply = client.call(request::DELETE_TOPIC_IN_BROKER, &gone, b"");
    reply.expect("an answer").expect(response::SUCCESS);
    let leavers = [("groupName", "leavers"), ("removeOffset", "true"), ("cleanOffset", "true")];
    let reply = client.call(request::DELETE_SUBSCRIPTIONGROUP, &leavers, b"");
    reply.expect("an answer").expect(response::SUCCESS);
    for again in [false, true] {
        if again {
            server.process.kill9();
            drop(server);
            server = Server::start(directory.path(), &settings);
            client = server.client();
        }
        assert_eq!(topics(&mut client, "keepers"), r#"["kept"]"#, "restarted: {again}");
        assert_eq!(topics(&mut client, "leavers"), "[]", "restarted: {again}");
    }
}
