//! Delayed messages: they come once, not before their time, as they were sent, and over a restart.

use std::time::Duration;

use ringmq_remoting::codes::{request, response};

use crate::client::Client;
use crate::process;
use crate::runtime_info::now_ms;
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(
    delayed_messages_come_once_and_after_their_time_also_over_a_restart,
    a_delayed_message_of_a_queue_that_is_gone_comes_to_the_last_one,
);

const TOPIC: &str = "later";
const PATIENCE: Duration = Duration::from_secs(30);

fn send(client: &mut Client, queue: i32, body: &str, level: u32) {
    let properties = format!("TAGS\u{1}t\u{2}own\u{1}1\u{2}DELAY\u{1}{level}\u{2}");
    client.send_with(TOPIC, queue, &properties, body);
}

fn delayed_messages_come_once_and_after_their_time_also_over_a_restart(shards: u32) {
    let directory = process::directory("delay");
    let extra = vec![("messageDelayLevel", "1s 2s 3s".to_owned())];
    let settings = Settings { shards, extra, ..Settings::default() };
    let mut server = Server::start(directory.path(), &settings);
    let mut client = server.client();
    client.create_topic(TOPIC, 4).expect("the broker serves").expect(0);
    let sent = now_ms();
    for number in 0..8 {
        send(&mut client, number % 4, &number.to_string(), 1);
    }
    // one that a restart finds waiting
    send(&mut client, 3, "over a restart", 3);
    for queue in 0..4 {
        let found = client.await_messages(TOPIC, queue, 2);
        for (message, number) in found.iter().zip([queue, queue + 4]) {
            assert_eq!(message.body, number.to_string().into_bytes());
            assert!(message.store_timestamp >= sent + 1000, "came too early: {message:?}");
            assert_eq!(message.flag, 3);
            let properties = &message.properties;
            assert!(properties.contains("TAGS\u{1}t\u{2}own\u{1}1\u{2}"), "{properties:?}");
        }
    }
    server.process.signal(nix::sys::signal::Signal::SIGTERM);
    let status = server.process.wait(PATIENCE);
    assert_eq!(status.code(), Some(0), "{}", server.process.output());
    drop(server);
    let server = Server::start(directory.path(), &settings);
    let mut client = server.client();
    let found = client.await_messages(TOPIC, 3, 3);
    assert_eq!(found[2].body, b"over a restart");
    // what came before the restart does not come again: the next one is the next of its queue
    send(&mut client, 0, "last", 1);
    let found = client.await_messages(TOPIC, 0, 3);
    assert_eq!(found[2].body, b"last");
}

fn a_delayed_message_of_a_queue_that_is_gone_comes_to_the_last_one(shards: u32) {
    let directory = process::directory("delay-gone");
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    let mut client = server.client();
    client.create_topic(TOPIC, 4).expect("the broker serves").expect(0);
    send(&mut client, 3, "late", 1);
    let fields = [("topic", TOPIC)];
    let deleted = client.call(request::DELETE_TOPIC_IN_BROKER, &fields, b"");
    deleted.expect("an answer").expect(response::SUCCESS);
    client.create_topic(TOPIC, 2).expect("the broker serves").expect(0);
    let found = client.await_messages(TOPIC, 1, 1);
    assert_eq!((found[0].body.as_slice(), found[0].queue_id), (b"late".as_slice(), 1));
}
