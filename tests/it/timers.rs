//! Messages with a time of their own: they come once, not before their time, in order and over a
//! restart; cancelled ones do not come.

use std::time::{Duration, Instant};

use ringmq_remoting::codes::{request, response};

use crate::client::{Client, Stored};
use crate::process;
use crate::runtime_info::{await_value, now_ms, value};
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(
    messages_with_a_time_come_once_and_in_order_also_over_a_restart,
    what_was_delivered_does_not_come_again_after_kill_9,
    many_take_little_memory_and_are_there_again_after_kill_9,
);

const TOPIC: &str = "timed";
const PATIENCE: Duration = Duration::from_secs(30);

/// The properties of a message that is due at that time.
fn timer(due_ms: i64, key: &str) -> String {
    format!("TAGS\u{1}t\u{2}UNIQ_KEY\u{1}k{key}\u{2}TIMER_DELIVER_MS\u{1}{due_ms}")
}

/// Sends a message that is due at that time; the handle that calls it back.
fn send(client: &mut Client, queue: i32, due_ms: i64, body: &str) -> Option<String> {
    client.send_with(TOPIC, queue, &timer(due_ms, body), body).fields.get("recallHandle").cloned()
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

/// Messages of the test below: in days to come. `RINGMQ_TIMERS` says how many.
const FAR_DEFAULT: i64 = 20_000;
const DAYS_MS: i64 = 2 * 24 * 3600 * 1000;
/// Requests in flight.
const FLIGHT: i64 = 200;

fn many_take_little_memory_and_are_there_again_after_kill_9(shards: u32) {
    let count = match std::env::var("RINGMQ_TIMERS") {
        Ok(text) => text.parse().expect("RINGMQ_TIMERS is a number"),
        Err(_) => FAR_DEFAULT,
    };
    let directory = process::directory("timers-many");
    let mut server = Server::start(directory.path(), &settings(shards));
    let mut client = server.client();
    client.create_topic(TOPIC, 4).expect("the broker serves").expect(0);
    let before = server.process.resident_bytes();
    let (began, now) = (Instant::now(), now_ms());
    for number in 0..count {
        let due = now + 3_600_000 + number.wrapping_mul(7_919_777) % DAYS_MS;
        client.start_send_with(TOPIC, (number % 4) as i32, &timer(due, "far"), "far");
        if number >= FLIGHT {
            client.reply().expect("an answer").expect(response::SUCCESS);
        }
    }
    for _ in 0..count.min(FLIGHT) {
        client.reply().expect("an answer").expect(response::SUCCESS);
    }
    let sent = began.elapsed();
    await_value(&mut client, "timerCongestNum", &count.to_string());
    let bytes: i64 = value(&mut client, "timerMemoryBytes").parse().expect("a number");
    let grown = server.process.resident_bytes().saturating_sub(before);
    println!("{count} sent in {sent:?}: {bytes} bytes of timers, {grown} more resident");
    // Few are spread over many seconds, each with a list of its own.
    assert!(bytes <= 160 * count.min(100_000) + 16 * count, "{bytes} bytes for {count}");
    let due = now_ms() + 2_000;
    send(&mut client, 0, due, "soon");
    server.process.signal(nix::sys::signal::Signal::SIGKILL);
    server.process.wait(PATIENCE);
    drop(server);
    let began = Instant::now();
    let server = Server::start(directory.path(), &settings(shards));
    let mut client = server.client();
    assert_eq!(bodies(&client.await_messages(TOPIC, 0, 1)), ["soon"]);
    println!("delivered {:?} after the start", began.elapsed());
    await_value(&mut client, "timerCongestNum", &count.to_string());
    println!("all are known {:?} after the start", began.elapsed());
    println!("{} bytes resident", server.process.resident_bytes());
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
