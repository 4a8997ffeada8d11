//! Messages with a time of their own: they come once, not before their time, in order and over a
//! restart; cancelled ones do not come.

use std::time::Duration;

use ringmq_remoting::codes::{request, response};

use crate::client::{Client, Stored};
use crate::process;
use crate::runtime_info::now_ms;
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(
    messages_with_a_time_come_once_and_in_order_also_over_a_restart,
    what_was_delivered_does_not_come_again_after_kill_9,
);

const TOPIC: &str = "timed";
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends a message that is due at that time; the handle that calls it back.
fn send(client: &mut Client, queue: i32, due_ms: i64, body: &str) -> Option<String> {
    let timer = format!("UNIQ_KEY\u{1}k{body}\u{2}TIMER_DELIVER_MS\u{1}{due_ms}");
    let properties = format!("TAGS\u{1}t\u{2}{timer}");
    client.send_with(TOPIC, queue, &properties, body).fields.get("recallHandle").cloned()
}

fn bodies(found: &[Stored]) -> Vec<String> {
    found.iter().map(|message| String::from_utf8_lossy(&message.body).into_owned()).collect()
}

fn settings(shards: u32) -> Settings {
    let extra = vec![("recallMessageEnable", "true".to_owned())];
    Settings { shards, extra, ..Settings::default() }
}

fn messages_with_a_time_come_once_and_in_order_also_over_a_restart(shards: u32) {
    let directory = process::directory("timers");
    let mut server = Server::start(directory.path(), &settings(shards));
    let mut client = server.client();
    client.create_topic(TOPIC, 4).expect("the broker serves").expect(0);
    let now = now_ms();
    for queue in 0..4 {
        for (body, after) in [("second", 1500), ("first", 900), ("third", 5000)] {
            send(&mut client, queue, now + after, body);
        }
        let handle = send(&mut client, queue, now + 4900, &format!("never{queue}"));
        let handle = handle.expect("a handle");
        let fields = [("topic", TOPIC), ("recallHandle", handle.as_str())];
        let recalled = client.call(request::RECALL_MESSAGE, &fields, b"").expect("an answer");
        assert_eq!(recalled.expect(response::SUCCESS).fields["msgId"], format!("knever{queue}"));
    }
    for queue in 0..4 {
        let found = client.await_messages(TOPIC, queue, 2);
        assert_eq!(bodies(&found), ["first", "second"]);
        for (message, after) in found.iter().zip([900, 1500]) {
            assert!(message.store_timestamp >= now + after, "came too early: {message:?}");
            assert_eq!((message.flag, message.topic.as_str()), (3, TOPIC));
            assert!(message.properties.contains("TAGS\u{1}t\u{2}"), "{message:?}");
        }
    }
    server.process.signal(nix::sys::signal::Signal::SIGTERM);
    let status = server.process.wait(PATIENCE);
    assert_eq!(status.code(), Some(0), "{}", server.process.output());
    drop(server);
    let server = Server::start(directory.path(), &settings(shards));
    let mut client = server.client();
    for queue in 0..4 {
        let found = client.await_messages(TOPIC, queue, 3);
        assert_eq!(bodies(&found), ["first", "second", "third"]);
    }
}

fn what_was_delivered_does_not_come_again_after_kill_9(shards: u32) {
    let directory = process::directory("timers-kill9");
    let mut server = Server::start(directory.path(), &settings(shards));
    let mut client = server.client();
    client.create_topic(TOPIC, 4).expect("the broker serves").expect(0);
    let due = now_ms() + 1200;
    for number in 0..80 {
        send(&mut client, number % 4, due + i64::from(number / 4) * 10, &number.to_string());
    }
    await_some(&mut client, due);
    server.process.signal(nix::sys::signal::Signal::SIGKILL);
    server.process.wait(PATIENCE);
    drop(server);
    let server = Server::start(directory.path(), &settings(shards));
    let mut client = server.client();
    for queue in 0..4 {
        let found = client.await_messages(TOPIC, queue, 20);
        let expected: Vec<_> = (0..20).map(|number| (number * 4 + queue).to_string()).collect();
        assert_eq!(bodies(&found), expected);
    }
}

/// Until deliveries are under way.
fn await_some(client: &mut Client, due_ms: i64) {
    let found = loop {
        let found = client.pull(TOPIC, 0, 0, 32).expect("an answer").messages;
        if !found.is_empty() {
            break found;
        }
        assert!(now_ms() < due_ms + 20_000, "nothing is delivered");
        std::thread::sleep(Duration::from_millis(1));
    };
    assert!(found[0].store_timestamp >= due_ms);
}
