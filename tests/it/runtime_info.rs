//! What the broker tells tools of itself.

use std::time::{Duration, Instant};

use ringmq_remoting::codes::request;

use crate::client::Client;
use crate::process;
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(
    the_runtime_information_counts_the_messages_of_all_shards,
    the_runtime_information_has_what_the_exporter_parses,
);

const PATIENCE: Duration = Duration::from_secs(20);

/// The value of a key in the table of GET_BROKER_RUNTIME_INFO.
pub fn value(client: &mut Client, key: &str) -> String {
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

pub fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.expect("after 1970").as_millis()).expect("before the year 292,000,000")
}

fn rates(client: &mut Client, key: &str) -> Vec<f64> {
    let text = value(client, key);
    text.split(' ').map(|rate| rate.parse().expect("a number")).collect()
}

fn the_runtime_information_counts_the_messages_of_all_shards(shards: u32) {
    let directory = process::directory("runtime-info");
    let began = now_ms();
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    let mut client = server.client();
    client.create_topic("count", 4).expect("the broker serves").expect(0);
    assert_eq!(rates(&mut client, "putTps"), [0.0; 3]);
    let number =
        |client: &mut Client, key: &str| value(client, key).parse::<i64>().expect("a number");
    let booted = number(&mut client, "bootTimestamp");
    assert!((began..=now_ms()).contains(&booted), "{began} {booted}");
    let end = number(&mut client, "commitLogMaxOffset");
    assert_eq!(number(&mut client, "earliestMessageTimeStamp"), -1, "there is no message");
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
        ("msgPutTotalYesterdayMorning", "0"),
        ("commitLogMinOffset", "0"),
    ] {
        assert_eq!(value(&mut client, key), expected, "{key}");
    }
    let (put, transferred) = (rates(&mut client, "putTps"), rates(&mut client, "getTransferedTps"));
    assert!(number(&mut client, "commitLogMaxOffset") > end);
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
    let all = rates(&mut client, "getTotalTps");
    assert!(all.iter().zip(&found).all(|(all, found)| *all > 1.5 * found), "{all:?} {found:?}");
    assert!(found.iter().chain(&missed).all(|rate| *rate > 0.0), "{found:?} {missed:?}");
}

/// What RocketMQ's exporter parses as whole numbers; without one of them it shows nothing.
const NUMBERS: [&str; 29] = [
    "bootTimestamp",
    "brokerVersion",
    "commitLogMaxOffset",
    "commitLogMinOffset",
    "dispatchBehindBytes",
    "dispatchMaxBuffer",
    "earliestMessageTimeStamp",
    "getMessageEntireTimeMax",
    "msgGetTotalTodayMorning",
    "msgGetTotalTodayNow",
    "msgGetTotalYesterdayMorning",
    "msgPutTotalTodayMorning",
    "msgPutTotalTodayNow",
    "msgPutTotalYesterdayMorning",
    "pageCacheLockTimeMills",
    "pullThreadPoolQueueCapacity",
    "pullThreadPoolQueueHeadWaitTimeMills",
    "pullThreadPoolQueueSize",
    "putMessageEntireTimeMax",
    "putMessageSizeTotal",
    "putMessageTimesTotal",
    "queryThreadPoolQueueCapacity",
    "queryThreadPoolQueueHeadWaitTimeMills",
    "queryThreadPoolQueueSize",
    "remainTransientStoreBufferNumbs",
    "sendThreadPoolQueueCapacity",
    "sendThreadPoolQueueHeadWaitTimeMills",
    "sendThreadPoolQueueSize",
    "startAcceptSendRequestTimeStamp",
];

fn the_runtime_information_has_what_the_exporter_parses(shards: u32) {
    let directory = process::directory("exporter");
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    let mut client = server.client();
    client.create_topic("later", 1).expect("the broker serves").expect(0);
    let fields = [("b", "later"), ("e", "0"), ("f", "0"), ("g", "1"), ("h", "0")];
    let fields = [&fields[..], &[("i", "DELAY\u{1}1\u{2}")]].concat();
    client.call(request::SEND_MESSAGE_V2, &fields, b"x").expect("an answer").expect(0);
    // a pull that waits ends with the delivery, a second later
    let waits = [
        ("consumerGroup", "it_exporter"),
        ("topic", "later"),
        ("queueId", "0"),
        ("queueOffset", "0"),
        ("maxMsgNums", "1"),
        ("sysFlag", "6"),
        ("suspendTimeoutMillis", "15000"),
        ("subscription", "*"),
    ];
    client.call(request::PULL_MESSAGE, &waits, b"").expect("an answer").expect(0);
    for key in NUMBERS {
        let text = value(&mut client, key);
        assert!(text.parse::<i64>().is_ok(), "{key} is {text:?}");
    }
    for key in ["consumeQueueDiskRatio", "commitLogDiskRatio", "putMessageAverageSize"] {
        let text = value(&mut client, key);
        assert!(text.parse::<f64>().is_ok(), "{key} is {text:?}");
    }
    for key in ["EndTransactionQueueSize", "EndTransactionThreadPoolQueueCapacity", "runtime"] {
        assert!(!value(&mut client, key).is_empty(), "{key}");
    }
    let capacity = value(&mut client, "commitLogDirCapacity");
    let words: Vec<_> = capacity.split(' ').collect();
    assert!(words.len() == 8 && words[2].parse::<f64>().is_ok(), "{capacity}");
    assert!(words[6].parse::<f64>().is_ok() && words[7].ends_with('.'), "{capacity}");
    // the cursor of the level is told when it is durable, soon after the delivery
    let delivered = || {
        let reply = server.client().call(request::GET_BROKER_RUNTIME_INFO, &[], b"");
        let body = String::from_utf8(reply.expect("an answer").expect(0).body);
        body.expect("text").contains(r#""scheduleMessageOffset_1":"1,1""#)
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !delivered() {
        assert!(std::time::Instant::now() < deadline, "no scheduleMessageOffset_1");
    }
}
