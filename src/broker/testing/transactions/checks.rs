//! Producers are asked for what is undecided, and what is asked for too often is given up.

use std::time::Duration;

use ringmq_io::Clock as _;
use ringmq_remoting::message_id::message_id;
use serde_json::json;

use super::*;

const HALVES: &str = "RMQ_SYS_TRANS_HALF_TOPIC";

/// A sweep each second over what is older than two.
const KEYS: [(&str, &str); 3] = [
    ("transactionTimeOut", "2000"),
    ("transactionCheckInterval", "1000"),
    ("transactionCheckMax", "3"),
];

impl Client {
    async fn register(&mut self, id: &str) {
        let beat = json!({ "clientID": id, "producerDataSet": [{ "groupName": GROUP }] });
        let answer = self.call(request::HEART_BEAT, &[], beat.to_string().as_bytes()).await;
        assert_eq!(answer.code, response::SUCCESS, "{}", answer.remark);
    }

    /// The next question of the broker: the half that it is about, and how often it was asked.
    async fn question(&mut self) -> (i64, i64, Vec<u8>, String) {
        let asked = self.receive().await;
        assert_eq!((asked.code, asked.is_response), (request::CHECK_TRANSACTION_STATE, false));
        let record = Record::decode(&asked.body).expect("a record");
        assert_eq!(
            (record.topic, record.queue_offset),
            (TOPIC, asked.number("tranStateTableOffset"))
        );
        let times = text(record.properties, "TRANSACTION_CHECK_TIMES").expect("it is there");
        assert_eq!(asked.fields["msgId"], asked.fields["transactionId"]);
        let position = asked.number("commitLogOffset");
        let (_, id) = MessageId::parse(&asked.fields["offsetMsgId"]).expect("an id");
        assert_eq!((id, record.physical_offset), (position, position));
        (record.queue_offset, position, record.body.to_vec(), times.to_owned())
    }
}

#[test]
fn a_producer_of_any_shard_is_asked_until_it_knows() {
    on_all(2, |shards, seed| {
        let sim = Sim::new(seed);
        let mut half = None;
        sim.run(async |runtime| {
            let (_broker, mut clients) = begin(&runtime, shards, &KEYS).await;
            let sent = runtime.now_ms();
            let own = clients[0].half(1, b"unknown").await;
            let mut producer = clients.pop().expect("the last");
            producer.register("late").await;
            let (offset, position, body, times) = producer.question().await;
            let age = runtime.now_ms() - sent;
            assert!((2_000..3_500).contains(&age), "asked after {age} ms");
            assert_eq!(
                (offset, position, body.as_slice()),
                (own.offset, own.position, &b"unknown"[..])
            );
            assert_eq!(times, "1");
            half = Some(own);
        });
        // The number of checks is known after a restart, and an end from a check counts.
        after_a_kill(&sim, async |runtime| {
            let half = half.as_ref().expect("sent");
            let _broker = Broker::start(&runtime, shards, &KEYS);
            let mut clients = clients(&runtime, shards).await;
            clients[shards - 1].register("again").await;
            let (offset, position, ..) = clients[shards - 1].question().await;
            assert_eq!((offset, position), (half.offset, half.position));
            clients[0].commits(half).await;
            assert_eq!(clients[0].count(TOPIC, 1, b"unknown").await, 1);
            runtime.sleep(Duration::from_secs(10)).await;
            // Nothing more is asked, and nothing was given up.
            assert_eq!(clients[0].count_all(CHECKED_OUT, b"unknown").await, 0);
            clients[0].is_decided(half).await;
        });
    });
}

#[test]
fn a_half_that_is_checked_too_often_is_given_up_once_and_for_all() {
    on_all(2, |shards, seed| {
        let sim = Sim::new(seed);
        let mut half = None;
        sim.run(async |runtime| {
            let (_broker, mut clients) = begin(&runtime, shards, &KEYS).await;
            let own = clients[0].half(2, b"forgotten").await;
            let mut producer = clients.pop().expect("the last");
            producer.register("forgets").await;
            for times in ["1", "2", "3"] {
                assert_eq!(producer.question().await.3, times);
            }
            runtime.sleep(Duration::from_secs(3)).await;
            let client = &mut producer;
            assert_eq!(client.count_all(CHECKED_OUT, b"forgotten").await, 1);
            client.is_decided(&own).await;
            assert_eq!(client.count(TOPIC, 2, b"forgotten").await, 0);
            half = Some(own);
        });
        after_a_kill(&sim, async |runtime| {
            let _broker = Broker::start(&runtime, shards, &KEYS);
            let mut clients = clients(&runtime, shards).await;
            runtime.sleep(Duration::from_secs(10)).await;
            assert_eq!(clients[0].count_all(CHECKED_OUT, b"forgotten").await, 1);
            clients[0].is_decided(half.as_ref().expect("sent")).await;
        });
    });
}

/// The id of the message that was given up.
async fn given_up(client: &mut Client) -> String {
    for queue in 0..QUEUES {
        if let Some(bytes) = client.records(CHECKED_OUT, queue).await.first() {
            let record = Record::decode(bytes).expect("a record");
            return message_id(record.store_host, record.physical_offset).to_string();
        }
    }
    panic!("nothing was given up");
}

async fn resume(client: &mut Client, id: &str) -> Answer {
    client.call(request::RESUME_CHECK_HALF_MESSAGE, &[("msgId", id)], b"").await
}

#[test]
fn what_was_given_up_is_asked_for_anew_when_that_is_resumed() {
    on_all(2, |shards, seed| {
        let sim = Sim::new(seed);
        sim.run(async |runtime| {
            let (_broker, mut clients) = begin(&runtime, shards, &KEYS).await;
            let old = clients[0].half(2, b"forgotten").await;
            let refused = resume(&mut clients[0], &old.id).await;
            assert!(refused.remark.contains("is not given up"), "{}", refused.remark);
            runtime.sleep(Duration::from_secs(10)).await;
            let id = given_up(&mut clients[0]).await;
            assert_eq!(resume(&mut clients[0], &id).await.code, response::SUCCESS);
        });
        after_a_kill(&sim, async |runtime| {
            let _broker = Broker::start(&runtime, shards, &KEYS);
            let mut clients = clients(&runtime, shards).await;
            let id = given_up(&mut clients[0]).await;
            clients[0].register("again").await;
            let (offset, position, body, times) = clients[0].question().await;
            assert_eq!((body.as_slice(), times.as_str()), (&b"forgotten"[..], "1"));
            let mut ends = Client::connect(&runtime).await;
            let answer = ends.end_as(GROUP, (offset, position), COMMIT).await;
            assert_eq!(answer.code, response::SUCCESS, "{}", answer.remark);
            assert_eq!(ends.count(TOPIC, 2, b"forgotten").await, 1);
            // What is no message that was given up.
            let plain = ends.send_to(TOPIC, 0, false, "", b"plain").await.fields["msgId"].clone();
            for wrong in [plain.as_str(), "", "no id"] {
                let refused = resume(&mut ends, wrong).await;
                assert_eq!(refused.code, response::SYSTEM_ERROR, "{wrong}");
            }
            ends.delete_topic(TOPIC).await;
            assert_eq!(resume(&mut ends, &id).await.code, response::TOPIC_NOT_EXIST);
        });
    });
}

/// With nobody to ask, and over a restart in between. The clock of the next simulation begins where
/// that of the first did, so more sweeps are remembered than there are checks.
#[test]
fn checks_count_on_through_a_restart_and_without_producers() {
    let keys = [KEYS[0], KEYS[1], ("transactionCheckMax", "10")];
    on_all(2, |shards, seed| {
        let sim = Sim::new(seed);
        sim.run(async |runtime| {
            let (_broker, mut clients) = begin(&runtime, shards, &keys).await;
            clients[0].half(0, b"alone").await;
            runtime.sleep(Duration::from_millis(4_500)).await;
            assert_eq!(clients[0].count_all(CHECKED_OUT, b"alone").await, 0);
        });
        after_a_kill(&sim, async |runtime| {
            let _broker = Broker::start(&runtime, shards, &keys);
            let mut clients = clients(&runtime, shards).await;
            clients[shards - 1].register("late").await;
            let times: u32 = clients[shards - 1].question().await.3.parse().expect("a number");
            assert!((3..=5).contains(&times), "{times} checks");
        });
    });
}

#[test]
fn a_half_is_immune_as_long_as_it_says_and_others_are_asked_for_meanwhile() {
    let sim = Sim::new(4);
    sim.run(async |runtime| {
        let (_broker, mut clients) = begin(&runtime, 1, &KEYS).await;
        let immune = "CHECK_IMMUNITY_TIME_IN_SECONDS\u{1}5\u{2}";
        let mut client = clients.pop().expect("one");
        client.try_half(0, b"immune", immune).await.expect("stored");
        client.half(0, b"other").await;
        client.register("asked").await;
        let began = runtime.now_ms();
        let mut asked = Vec::new();
        while asked.len() < 4 {
            let (.., body, _) = client.question().await;
            asked.push((String::from_utf8(body).expect("text"), (runtime.now_ms() - began) / 1000));
        }
        let other = |at: i64| ("other".to_owned(), at);
        assert_eq!(asked[..3], [other(2), other(3), other(4)]);
        assert_eq!(asked[3].0, "immune");
        assert!(asked[3].1 >= 5, "{asked:?}");
    });
}

#[test]
fn the_next_producer_is_asked_when_one_is_gone() {
    on_all(1, |shards, seed| {
        let sim = Sim::new(seed);
        sim.run(async |runtime| {
            let (_broker, mut clients) = begin(&runtime, shards, &KEYS).await;
            for number in 0..3 {
                let mut gone = Client::connect(&runtime).await;
                gone.register(&format!("gone {number}")).await;
            }
            clients[0].half(3, b"half").await;
            let mut producer = Client::connect(&runtime).await;
            producer.register("there").await;
            assert_eq!(producer.question().await.2, b"half");
        });
    });
}

/// An undecided half keeps its segment, and a decided one does not.
#[test]
fn retention_waits_for_what_is_undecided_and_no_longer() {
    on_all(1, |shards, seed| {
        let sim = Sim::new(seed);
        sim.run(async |runtime| {
            let keys = [
                ("transactionTimeOut", "2000"),
                ("transactionCheckInterval", "1000"),
                ("transactionCheckMax", "30"),
                ("retentionBytes", "4194304"),
            ];
            let (_broker, mut clients) = begin(&runtime, shards, &keys).await;
            let client = &mut clients[0];
            let half = client.half(0, b"kept").await;
            let (queue, ..) = client.message(&half.id).await;
            let first = client.range_of(HALVES, queue).await;
            for number in 0..200 {
                let answer = client.send_to(TOPIC, number % QUEUES, false, "", &[7; 60_000]).await;
                assert_eq!(answer.code, response::SUCCESS, "{}", answer.remark);
            }
            runtime.sleep(Duration::from_secs(5)).await;
            let held = client.range_of(HALVES, queue).await;
            assert_eq!(held, first, "an undecided half is given up");
            client.commits(&half).await;
            for number in 0..200 {
                let answer = client.send_to(TOPIC, number % QUEUES, false, "", &[7; 60_000]).await;
                assert_eq!(answer.code, response::SUCCESS, "{}", answer.remark);
            }
            runtime.sleep(Duration::from_secs(5)).await;
            let (min, max) = client.range_of(HALVES, queue).await;
            assert_eq!((min, max), (1, 1), "a decided half holds its segment");
        });
    });
}
