//! A store with a limit of size: old segments go, offsets stay what they are.

use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use ringmq_remoting::body::{StoragePlan, TopicStatsTable};
use ringmq_remoting::codes::{request, response};

use crate::client::{Client, Pulled};
use crate::process;
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(
    a_broker_deletes_its_oldest_messages_and_tells_pulls_where_to_go_on,
    offsets_of_a_queue_whose_messages_are_all_deleted_are_not_used_again,
    the_storage_plan_tells_what_is_kept_until_when,
);

const TOPIC: &str = "retention";
const PATIENCE: Duration = Duration::from_secs(60);
const END_TIMEOUT: Duration = Duration::from_secs(30);

/// Segments of 1 MiB, of which about four may stay.
fn settings(shards: u32) -> Settings {
    let extra = [
        ("mappedFileSizeCommitLog", "1048576"),
        ("zeroAheadBytes", "262144"),
        ("retentionBytes", "4194304"),
        ("cleanResourceInterval", "100"),
        ("deleteCommitLogFilesInterval", "1"),
    ];
    let extra = extra.map(|(key, value)| (key, value.to_owned())).to_vec();
    Settings { shards, extra, ..Settings::default() }
}

fn start(directory: &std::path::Path, shards: u32) -> Server {
    Server::start(directory, &settings(shards))
}

fn fill(client: &mut Client, queue: i32, count: usize) {
    let body = vec![b'x'; 40_000];
    for _ in 0..count {
        client.send(TOPIC, queue, &body).expect("an answer").expect(response::SUCCESS);
    }
}

fn min_offset(client: &mut Client, queue: i32) -> i64 {
    let queue = queue.to_string();
    let fields = [("topic", TOPIC), ("queueId", queue.as_str())];
    let reply = client.call(request::GET_MIN_OFFSET, &fields, b"").expect("an answer");
    reply.expect(response::SUCCESS).number("offset")
}

/// Deleting goes on in the background: asks until the queue begins at `least` or behind.
fn await_min_offset(client: &mut Client, queue: i32, least: i64) -> i64 {
    let began = Instant::now();
    loop {
        let min = min_offset(client, queue);
        if min >= least {
            return min;
        }
        assert!(began.elapsed() < PATIENCE, "queue {queue} begins at {min}, not at {least}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Pulls as consumers do: where the queue begins may move on between an answer and the next pull.
fn pull_where_told(client: &mut Client, mut offset: i64) -> Pulled {
    loop {
        let pulled = client.pull(TOPIC, 0, offset, 1).expect("an answer");
        if pulled.code != response::PULL_OFFSET_MOVED {
            assert_eq!(pulled.code, response::SUCCESS, "at {offset}");
            return pulled;
        }
        assert!(pulled.next > offset, "sent from {offset} to {}", pulled.next);
        offset = pulled.next;
    }
}

fn segment_files(directory: &std::path::Path) -> usize {
    let logs = std::fs::read_dir(directory.join("store")).expect("a store");
    let files = logs.flatten().filter_map(|log| std::fs::read_dir(log.path()).ok()).flatten();
    files.flatten().filter(|file| file.path().extension().is_some_and(|end| end == "seg")).count()
}

fn a_broker_deletes_its_oldest_messages_and_tells_pulls_where_to_go_on(shards: u32) {
    let directory = process::directory("retention");
    let server = start(directory.path(), shards);
    let mut client = server.client();
    client.create_topic(TOPIC, 2).expect("an answer").expect(response::SUCCESS);
    fill(&mut client, 0, 250);
    let min = await_min_offset(&mut client, 0, 100);
    let pulled = client.pull(TOPIC, 0, 0, 1).expect("an answer");
    assert_eq!(pulled.code, response::PULL_OFFSET_MOVED);
    assert!(pulled.messages.is_empty() && pulled.min >= min && pulled.next == pulled.min);
    let pulled = pull_where_told(&mut client, pulled.next);
    assert_eq!(pulled.messages[0].queue_offset, pulled.min);
    let stats = client.call(request::GET_TOPIC_STATS_INFO, &[("topic", TOPIC)], b"");
    let stats = stats.expect("an answer").expect(response::SUCCESS);
    let table: TopicStatsTable =
        ringmq_remoting::fastjson::from_slice(&stats.body).expect("a table");
    let of_queue = |id: i32| {
        let mut queues = table.offset_table.iter();
        queues.find(|(queue, _)| queue.queue_id == id).expect("the topic has the queue").1.clone()
    };
    assert!(of_queue(0).min_offset >= min && of_queue(0).max_offset == 250);
    let newest = client.pull(TOPIC, 0, 249, 1).expect("an answer").messages[0].store_timestamp;
    assert_eq!(of_queue(0).last_update_timestamp, newest);
    assert_eq!(of_queue(1).last_update_timestamp, 0, "it never had a message");
    let began = Instant::now();
    // the limit is the whole store's; every log has a segment that is written to
    while segment_files(directory.path()) > 4 + shards as usize {
        assert!(began.elapsed() < PATIENCE, "files of deleted segments stay");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn offsets_of_a_queue_whose_messages_are_all_deleted_are_not_used_again(shards: u32) {
    let directory = process::directory("retention-empty");
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let mut server = start(directory.path(), shards);
        let mut client = server.client();
        // the last queue has the log of queue 1, so what fills it drives out the messages of both
        let last = 1 + shards.cast_signed();
        client.create_topic(TOPIC, 2 + shards).expect("an answer").expect(response::SUCCESS);
        let before = client.max_offset(TOPIC, 1).expect("an answer");
        fill(&mut client, 1, 5);
        fill(&mut client, last, 250);
        let min = await_min_offset(&mut client, 1, before + 5);
        assert_eq!((min, client.max_offset(TOPIC, 1).expect("an answer")), (before + 5, min));
        server.process.signal(signal);
        server.process.wait(END_TIMEOUT);
    }
    let server = start(directory.path(), shards);
    let mut client = server.client();
    assert_eq!(client.max_offset(TOPIC, 1).expect("an answer"), 10);
    let reply = client.send(TOPIC, 1, b"next").expect("an answer").expect(response::SUCCESS);
    assert_eq!(reply.number("queueOffset"), 10);
    assert_eq!(min_offset(&mut client, 1), 10);
}

fn the_storage_plan_tells_what_is_kept_until_when(shards: u32) {
    let directory = process::directory("storage-plan");
    let server = start(directory.path(), shards);
    let mut client = server.client();
    client.create_topic(TOPIC, 4).expect("an answer").expect(response::SUCCESS);
    for queue in 0..4 {
        fill(&mut client, queue, 30);
    }
    let reply = client.call(request::STORAGE_PLAN, &[], b"").expect("an answer");
    let plan: StoragePlan = serde_json::from_slice(&reply.expect(0).body).expect("a plan");
    assert_eq!((plan.logs.len(), plan.rules.retention_bytes), (shards as usize, 4 << 20));
    for log in &plan.logs {
        let written_to = log.segments.iter().find(|segment| segment.why == "written to");
        assert!(written_to.is_some_and(|segment| segment.delete_at.is_none()), "{log:?}");
    }
    let address = server.address.to_string();
    let output = Command::new(process::binary())
        .args(["admin", "storagePlan", "-b", &address])
        .output()
        .expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for part in ["Broker broker-a", "State normal", "fileReservedTime", "Log 0:", "written to"] {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
    println!("{text}");
}
