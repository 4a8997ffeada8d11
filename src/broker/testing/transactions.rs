//! Transactions under whole brokers: decided once, through kills, power cuts and restarts.

mod checks;
mod crashes;

use ringmq_base::record::Record;
use ringmq_io::sim::{Sim, SimRuntime};
use ringmq_remoting::{
    codes::{request, response, sys_flag},
    message_id::MessageId,
};
use ringmq_rules::message_properties::text;
use ringmq_test_client::Pull;

use super::{
    Answer, Client,
    cluster::{Broker, QUEUES, TOPIC, after_a_kill, clients, on_all},
};

const COMMIT: i32 = sys_flag::TRANSACTION_COMMIT_TYPE;
const ROLLBACK: i32 = sys_flag::TRANSACTION_ROLLBACK_TYPE;
const GROUP: &str = "producers";
const CHECKED_OUT: &str = "TRANS_CHECK_MAX_TIME_TOPIC";

/// What a producer knows of a half message that was acknowledged.
#[derive(Clone, Debug)]
struct Sent {
    id: String,
    offset: i64,
    position: i64,
    queue: i32,
    body: Vec<u8>,
}

impl Client {
    async fn try_half(&mut self, queue: i32, body: &[u8], more: &str) -> Result<Sent, Answer> {
        let key = String::from_utf8_lossy(body.get(..20).unwrap_or(body));
        let properties = format!(
            "TRAN_MSG\u{1}true\u{2}PGROUP\u{1}{GROUP}\u{2}UNIQ_KEY\u{1}{key}\u{2}\
             TAGS\u{1}a\u{2}{more}"
        );
        let answer = self.send_to(TOPIC, queue, false, &properties, body).await;
        if answer.code != response::SUCCESS {
            return Err(answer);
        }
        let (_, position) = MessageId::parse(&answer.fields["msgId"]).expect("an id");
        assert_eq!(answer.number("queueId"), i64::from(queue), "the queue that was asked for");
        let (id, offset) = (answer.fields["msgId"].clone(), answer.number("queueOffset"));
        Ok(Sent { id, offset, position, queue, body: body.to_vec() })
    }

    async fn half(&mut self, queue: i32, body: &[u8]) -> Sent {
        let sent = self.try_half(queue, body, "").await;
        sent.unwrap_or_else(|refused| panic!("{}: {}", refused.code, refused.remark))
    }

    async fn end(&mut self, half: &Sent, asked: i32) -> Answer {
        self.end_as(GROUP, (half.offset, half.position), asked).await
    }

    async fn end_as(&mut self, group: &str, half: (i64, i64), asked: i32) -> Answer {
        let (offset, position, asked) = (half.0.to_string(), half.1.to_string(), asked.to_string());
        let fields = [
            ("producerGroup", group),
            ("tranStateTableOffset", offset.as_str()),
            ("commitLogOffset", position.as_str()),
            ("commitOrRollback", asked.as_str()),
            ("msgId", "id"),
        ];
        self.call(request::END_TRANSACTION, &fields, b"").await
    }

    async fn commits(&mut self, half: &Sent) {
        let answer = self.end(half, COMMIT).await;
        assert_eq!(answer.code, response::SUCCESS, "{}", answer.remark);
    }

    async fn is_decided(&mut self, half: &Sent) {
        for asked in [COMMIT, ROLLBACK] {
            let answer = self.end(half, asked).await;
            assert_eq!(answer.code, response::SYSTEM_ERROR);
            assert!(answer.remark.contains("is decided already"), "{}", answer.remark);
        }
    }

    /// The records of a queue.
    async fn records(&mut self, topic: &str, queue: i32) -> Vec<Vec<u8>> {
        let (mut records, mut offset) = (Vec::new(), 0);
        loop {
            let wait = std::time::Duration::ZERO;
            let pull = Pull { group: "readers", topic, queue, offset, messages_max: 32, wait };
            let answer = self.call_values(request::PULL_MESSAGE, &pull.fields(), b"").await;
            let mut rest = answer.body.as_slice();
            if rest.is_empty() {
                return records;
            }
            while !rest.is_empty() {
                let record = Record::decode(rest).expect("a record");
                let (first, behind) = rest.split_at(record.size);
                records.push(first.to_vec());
                (rest, offset) = (behind, record.queue_offset + 1);
            }
        }
    }

    /// How often a body is in a queue.
    async fn count(&mut self, topic: &str, queue: i32, body: &[u8]) -> usize {
        let records = self.records(topic, queue).await;
        let same = |record: &&Vec<u8>| Record::decode(record).expect("a record").body == body;
        records.iter().filter(same).count()
    }

    /// The same of all queues of a topic that has one on each log.
    async fn count_all(&mut self, topic: &str, body: &[u8]) -> usize {
        let mut count = 0;
        for queue in 0..QUEUES {
            count += self.count(topic, queue, body).await;
        }
        count
    }
}

/// A broker, and a client on each shard; the topic is there.
async fn begin(
    runtime: &SimRuntime,
    shards: usize,
    keys: &[(&str, &str)],
) -> (Broker, Vec<Client>) {
    let broker = Broker::start(runtime, shards, keys);
    let mut clients = clients(runtime, shards).await;
    assert_eq!(clients[0].make_topic(TOPIC).await.code, response::SUCCESS);
    (broker, clients)
}

#[test]
fn a_half_is_nowhere_until_it_is_committed_and_then_there_once() {
    on_all(2, |shards, seed| {
        let sim = Sim::new(seed);
        let (mut open, mut ended) = (Vec::new(), Vec::new());
        sim.run(async |runtime| {
            let (_broker, mut clients) = begin(&runtime, shards, &[]).await;
            for queue in 0..QUEUES {
                for at in 0..clients.len() {
                    let name = |what: &str| format!("{what} {queue} {at}").into_bytes();
                    let client = &mut clients[at];
                    let committed = client.half(queue, &name("committed")).await;
                    let rolled_back = client.half(queue, &name("rolled back")).await;
                    open.push(client.half(queue, &name("open")).await);
                    assert_eq!(client.count(TOPIC, queue, &committed.body).await, 0);
                    // by way of another shard
                    let other = (at + 1) % shards;
                    clients[other].commits(&committed).await;
                    let answer = clients[other].end(&rolled_back, ROLLBACK).await;
                    assert_eq!(answer.code, response::SUCCESS, "{}", answer.remark);
                    ended.push((committed, 1));
                    ended.push((rolled_back, 0));
                }
            }
            check_ended(&mut clients[0], &ended, &open).await;
        });
        after_a_kill(&sim, async |runtime| {
            let _broker = Broker::start(&runtime, shards, &[]);
            let mut clients = clients(&runtime, shards).await;
            check_ended(&mut clients[0], &ended, &open).await;
            for half in &open {
                clients[shards - 1].commits(half).await;
                assert_eq!(clients[0].count(TOPIC, half.queue, &half.body).await, 1);
            }
        });
    });
}

async fn check_ended(client: &mut Client, ended: &[(Sent, usize)], open: &[Sent]) {
    for (half, count) in ended {
        client.is_decided(half).await;
        assert_eq!(client.count(TOPIC, half.queue, &half.body).await, *count);
    }
    for half in open {
        assert_eq!(client.count(TOPIC, half.queue, &half.body).await, 0);
    }
}

#[test]
fn a_committed_message_is_as_java_stores_it() {
    let sim = Sim::new(1);
    sim.run(async |runtime| {
        let (_broker, mut clients) = begin(&runtime, 1, &[]).await;
        let half = clients[0].half(2, b"message").await;
        let halves = clients[0].records("RMQ_SYS_TRANS_HALF_TOPIC", 0).await;
        let stored = Record::decode(&halves[0]).expect("a record");
        assert_eq!((stored.physical_offset, stored.sys_flag), (half.position, 0));
        clients[0].commits(&half).await;
        let records = clients[0].records(TOPIC, 2).await;
        let record = Record::decode(&records[0]).expect("a record");
        assert_eq!((record.topic, record.queue_id, record.queue_offset), (TOPIC, 2, 0));
        assert_eq!((record.sys_flag, record.body), (COMMIT, b"message".as_slice()));
        assert_eq!(record.prepared_transaction_offset, half.position);
        assert_eq!(record.born_timestamp, stored.born_timestamp);
        assert_eq!(record.born_host, stored.born_host);
        assert_eq!(record.properties, stored.properties);
        let properties =
            [("REAL_TOPIC", TOPIC), ("REAL_QID", "2"), ("TAGS", "a"), ("PGROUP", GROUP)];
        for (name, value) in properties {
            assert_eq!(text(record.properties, name), Some(value));
        }
        let decisions = clients[0].records("RMQ_SYS_TRANS_OP_HALF_TOPIC", 0).await;
        let decision = Record::decode(&decisions[0]).expect("a record");
        assert_eq!(
            (decision.body, text(decision.properties, "TAGS")),
            (b"0".as_slice(), Some("d"))
        );
    });
}

#[test]
fn an_end_that_does_not_fit_its_half_changes_nothing() {
    on_all(1, |shards, seed| {
        let sim = Sim::new(seed);
        sim.run(async |runtime| {
            let (_broker, mut clients) = begin(&runtime, shards, &[]).await;
            let client = &mut clients[shards - 1];
            let half = client.half(1, b"half").await;
            let plain = client.send_to(TOPIC, 1, false, "PGROUP\u{1}producers\u{2}", b"x").await;
            let (_, plain) = MessageId::parse(&plain.fields["msgId"]).expect("an id");
            let place = (half.offset, half.position);
            for (group, place, asked, remark) in [
                ("others", place, COMMIT, "The producer group wrong"),
                (GROUP, (place.0 + 1, place.1), COMMIT, "The transaction state table offset wrong"),
                (GROUP, (0, place.1 + 8), COMMIT, "Find prepared transaction message failed"),
                (GROUP, (0, plain), COMMIT, "Find prepared transaction message failed"),
                (GROUP, (0, -1), ROLLBACK, "Find prepared transaction message failed"),
                (GROUP, (0, i64::MAX), ROLLBACK, "Find prepared transaction message failed"),
                (GROUP, place, 4, "commitOrRollback field wrong"),
            ] {
                let answer = client.end_as(group, place, asked).await;
                assert_eq!((answer.code, &*answer.remark), (response::SYSTEM_ERROR, remark));
            }
            assert_eq!(client.end(&half, 0).await.code, response::SUCCESS, "unknown: later");
            assert_eq!(client.count(TOPIC, 1, b"half").await, 0);
            client.commits(&half).await;
        });
    });
}

#[test]
fn transactions_are_refused_where_they_are_rejected_or_too_many_are_open() {
    on_all(1, |shards, seed| {
        let sim = Sim::new(seed);
        sim.run(async |runtime| {
            let _broker = Broker::start_with(&runtime, shards, &[], |settings| {
                settings.halves_max = 3;
            });
            let mut clients = clients(&runtime, shards).await;
            assert_eq!(clients[0].make_topic(TOPIC).await.code, response::SUCCESS);
            let client = &mut clients[shards - 1];
            let first = client.half(0, b"first").await;
            for _ in 0..2 {
                let next = client.half(0, b"next").await;
                client.commits(&next).await;
            }
            let refused = client.try_half(0, b"too many", "").await.expect_err("one is open");
            assert_eq!(refused.code, response::SYSTEM_BUSY);
            for part in ["3 half messages", "the limit is 3", "transactionStateBytesMax"] {
                assert!(refused.remark.contains(part), "{}", refused.remark);
            }
            assert_eq!(client.send_to(TOPIC, 0, false, "", b"plain").await.code, response::SUCCESS);
            client.commits(&first).await;
            client.half(0, b"room again").await;
        });
        let sim = Sim::new(seed);
        sim.run(async |runtime| {
            let keys = [("rejectTransactionMessage", "true")];
            let (_broker, mut clients) = begin(&runtime, shards, &keys).await;
            let refused = clients[0].try_half(0, b"half", "").await.expect_err("rejected");
            assert_eq!(refused.code, response::NO_PERMISSION);
            let forbidden = "the broker[127.0.0.1] sending transaction message is forbidden";
            assert_eq!(refused.remark, forbidden);
        });
    });
}

#[test]
fn a_half_of_a_topic_that_is_deleted_goes_nowhere_and_one_that_is_made_again_gets_it() {
    on_all(1, |shards, seed| {
        let sim = Sim::new(seed);
        sim.run(async |runtime| {
            let (_broker, mut clients) = begin(&runtime, shards, &[]).await;
            let client = &mut clients[0];
            let plain = client.send_to(TOPIC, 3, false, "", b"old").await;
            assert_eq!(plain.code, response::SUCCESS);
            let half = client.half(3, b"half").await;
            assert_eq!(client.delete_topic(TOPIC).await.code, response::SUCCESS);
            let refused = client.end(&half, COMMIT).await;
            assert_eq!(refused.code, response::TOPIC_NOT_EXIST, "{}", refused.remark);
            // Other topics move where new ones begin.
            for name in ["Other", "Another", "Third"] {
                let answer = client.send_to(name, 0, false, "", b"x").await;
                assert_eq!(answer.code, response::SUCCESS);
            }
            assert_eq!(client.make_topic(TOPIC).await.code, response::SUCCESS);
            client.commits(&half).await;
            let (begin, end) = client.range_of(TOPIC, 3).await;
            assert_eq!((begin, end), (1, 2), "behind what the old one had");
            assert_eq!(client.bodies(TOPIC, 3, 1).await.1, [b"half".to_vec()]);
            client.is_decided(&half).await;
        });
    });
}
