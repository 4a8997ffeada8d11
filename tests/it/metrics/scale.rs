//! Very many topics and groups: what they are told in, and what that costs whoever sends.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ringmq_remoting::codes::{request, response};

use super::http::get;
use super::{commit_by, server};
use crate::client::Client;

const TOPICS: usize = 10_000;
const GROUPS: usize = 1_000;
/// Topics or groups that one request makes.
const SOME: usize = 500;
/// Topics that a group is behind in.
const BEHIND: usize = 10;
/// Sends that are timed in each of some rounds, with and without scrapes beside them in turn: what
/// else the machine does changes over a minute.
const SENDS: usize = 5_000;
const ROUNDS: usize = 4;
/// Pause between two scrapes. Prometheus comes each 15 s.
const PAUSE: Duration = Duration::from_millis(100);

/// Most that an answer may take: it hangs then. How long it takes is printed.
const SCRAPE_MAX: Duration = Duration::from_secs(20);

fn make(client: &mut Client, code: i32, list: &str, names: impl Iterator<Item = String>) {
    let mut body = format!("{{\"{list}\":[");
    for (number, one) in names.enumerate() {
        let comma = if number == 0 { "" } else { "," };
        write!(body, "{comma}{{{one}}}").expect("a string takes all");
    }
    body.push_str("]}");
    client.call(code, &[], body.as_bytes()).expect("an answer").expect(response::SUCCESS);
}

fn prepare(client: &mut Client) {
    for from in (0..TOPICS).step_by(SOME) {
        let topic = |number| {
            format!(
                "\"topicName\":\"t{number}\",\"readQueueNums\":1,\"writeQueueNums\":1,\"perm\":6"
            )
        };
        let names = (from..from + SOME).map(topic);
        make(client, request::UPDATE_AND_CREATE_TOPIC_LIST, "topicConfigList", names);
    }
    for from in (0..GROUPS).step_by(SOME) {
        let names = (from..from + SOME).map(|number| format!("\"groupName\":\"g{number}\""));
        let code = request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST;
        make(client, code, "groupConfigList", names);
    }
    for number in 0..TOPICS {
        client.send(&format!("t{number}"), 0, b"body").expect("an answer").expect(0);
    }
    for number in 0..GROUPS * BEHIND {
        let (group, topic) = (format!("g{}", number / BEHIND), format!("t{}", number % TOPICS));
        commit_by(client, &group, &topic, 0, 0);
    }
}

/// How long each of some sends took.
fn sends(client: &mut Client) -> Vec<Duration> {
    let time = |number: usize| {
        let began = Instant::now();
        client.send(&format!("t{}", number % 100), 0, b"body").expect("an answer").expect(0);
        began.elapsed()
    };
    (0..SENDS).map(time).collect()
}

/// The same while somebody scrapes; how long each scrape took, and how long the answer was.
fn sends_beside_scrapes(client: &mut Client, port: u16) -> (Vec<Duration>, Vec<Duration>, usize) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let scraper = scope.spawn(|| {
            let (mut times, mut bytes) = (Vec::new(), 0);
            while !stop.load(Ordering::Relaxed) || times.is_empty() {
                let began = Instant::now();
                let (status, text) = get(port, "/metrics");
                times.push(began.elapsed());
                assert_eq!(status, 200);
                bytes = text.len();
                std::thread::sleep(PAUSE);
            }
            (times, bytes)
        });
        let beside = sends(client);
        stop.store(true, Ordering::Relaxed);
        let (scrapes, bytes) = scraper.join().expect("it ends");
        (beside, scrapes, bytes)
    })
}

// Single: two shards serve while one of them answers.
#[test]
#[ignore = "takes a minute; with a release build (RINGMQ_IT_BINARY) its figures count"]
fn ten_thousand_topics_and_a_thousand_groups_are_told_in_time() {
    let (_directory, server, port) = server("metrics-scale", 2, &[]);
    let mut client = server.client();
    prepare(&mut client);
    let (mut quiet, mut beside, mut scrapes, mut bytes) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        quiet.extend(sends(&mut client));
        let times = sends_beside_scrapes(&mut client, port);
        beside.extend(times.0);
        scrapes.extend(times.1);
        bytes = times.2;
    }
    let (_, text) = get(port, "/metrics");
    for (name, count) in [
        ("rocketmq_messages_in_total{", TOPICS),
        ("rocketmq_consumer_lag_messages{", GROUPS * BEHIND),
        ("rocketmq_consumer_lag_latency{", GROUPS * BEHIND),
    ] {
        assert_eq!(text.lines().filter(|line| line.starts_with(name)).count(), count, "{name}");
    }
    let shown = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        let at = |mille: usize| times[(times.len() - 1) * mille / 1000];
        format!("p50 {:?}, p99 {:?}, p99.9 {:?}", at(500), at(990), at(999))
    };
    let (without, with) = (shown(&mut quiet), shown(&mut beside));
    let (count, taken) = (scrapes.len(), shown(&mut scrapes));
    println!("{count} scrapes of {bytes} bytes: {taken}");
    println!("{} sends without: {without}; beside scrapes: {with}", quiet.len());
    let median = scrapes[scrapes.len() / 2];
    assert!(median < SCRAPE_MAX, "{scrapes:?}");
}
