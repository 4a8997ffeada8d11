//! What the broker tells tools of itself.

use std::time::{Duration, Instant};

use ringmq_remoting::codes::request;

use crate::client::Client;
use crate::process;
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(the_runtime_information_counts_the_messages_of_all_shards,);

const PATIENCE: Duration = Duration::from_secs(20);

/// The value of a key in the table of GET_BROKER_RUNTIME_INFO.
fn value(client: &mut Client, key: &str) -> String {
    let reply = client.call(request::GET_BROKER_RUNTIME_INFO, &[], b"").expect("an answer");
    let body = String::from_utf8(reply.expect(0).body).expect("JSON is text");
    let start = format!("\"{key}\":\"");
    let (_, behind) = body.split_once(&start).unwrap_or_else(|| panic!("no {key} in {body}"));
    behind.split('"').next().expect("a closing quote").to_owned()
}

/// Some values are looked after in the background only.
pub fn await_value(client: &mut Client, key: &str, expected: &str) {
    let began = Instant::now();
    loop {
        let found = value(client, key);
        if found == expected {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{key} is {found}, not {expected}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn rates(client: &mut Client, key: &str) -> Vec<f64> {
    let text = value(client, key);
    text.split(' ').map(|rate| rate.parse().expect("a number")).collect()
}

fn the_runtime_information_counts_the_messages_of_all_shards(shards: u32) {
    let directory = process::directory("runtime-info");
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    let mut client = server.client();
    client.create_topic("count", 4).expect("the broker serves").expect(0);
    assert_eq!(rates(&mut client, "putTps"), [0.0; 3]);
    for number in 0..20 {
        client.send("count", number % 4, b"body").expect("an answer").expect(0);
    }
    for queue in 0..4 {
        assert_eq!(client.pull("count", queue, 0, 32).expect("an answer").messages.len(), 5);
        assert_eq!(client.pull("count", queue, 5, 32).expect("an answer").messages.len(), 0);
    }
    for (key, expected) in [
        ("putMessageTimesTotal", "20"),
        ("msgPutTotalTodayNow", "20"),
        ("msgPutTotalTodayMorning", "0"),
        ("msgGetTotalTodayNow", "20"),
        ("putMessageFailedTimes", "0"),
    ] {
        assert_eq!(value(&mut client, key), expected, "{key}");
    }
    let (put, transferred) = (rates(&mut client, "putTps"), rates(&mut client, "getTransferedTps"));
    assert!(put.iter().chain(&transferred).all(|rate| *rate > 0.0), "{put:?} {transferred:?}");
    let writes: u64 = value(&mut client, "putMessageDistributeTime")
        .split_whitespace()
        .map(|row| row.rsplit_once(':').expect("a count").1.parse::<u64>().expect("a number"))
        .sum();
    assert!((1..=20).contains(&writes), "each send waited for its write: {writes}");
    let latency = |text: String| text.parse::<f64>().expect("milliseconds");
    let (most, nearly_all) = ("putLatency99", "putLatency999");
    let (most, nearly_all) = (value(&mut client, most), value(&mut client, nearly_all));
    assert!(0.0 < latency(most.clone()) && latency(most) <= latency(nearly_all));
    assert_eq!(value(&mut client, "remainHowManyDataToFlush"), "0 B");
    let (found, missed) = (rates(&mut client, "getFoundTps"), rates(&mut client, "getMissTps"));
    assert!(found.iter().chain(&missed).all(|rate| *rate > 0.0), "{found:?} {missed:?}");
}
