//! Groups that consume in order, while queues are added and removed, members come and go and the
//! broker is killed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ringmq_remoting::body::{
    LockBatchRequestBody, LockBatchResponseBody, MessageQueue, TopicConfig,
};
use ringmq_remoting::codes::{request, response};
use ringmq_remoting::fastjson;
use serde_json::json;

use crate::client::{Answer, Client};
use crate::name_server::NameServer;
use crate::process;
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(
    each_queue_has_one_reader_and_keeps_its_order_whatever_happens,
    a_topic_is_ordered_when_the_name_server_says_so,
);

const TOPIC: &str = "ordered";
const GROUP: &str = "in_order";
const PATIENCE: Duration = Duration::from_secs(60);

fn call(client: &mut Client, code: i32, fields: &[(&str, &str)], body: &[u8]) -> Answer {
    client.call(code, fields, body).expect("an answer")
}

fn set_queues(client: &mut Client, (read, write): (i32, i32)) {
    let (read, write) = (read.to_string(), write.to_string());
    let fields = [
        ("topic", TOPIC),
        ("defaultTopic", "TBW102"),
        ("readQueueNums", read.as_str()),
        ("writeQueueNums", write.as_str()),
        ("perm", "6"),
        ("topicFilterType", "SINGLE_TAG"),
    ];
    call(client, request::UPDATE_AND_CREATE_TOPIC, &fields, b"").expect(response::SUCCESS);
}

fn topic_config(client: &mut Client, topic: &str) -> TopicConfig {
    let reply = call(client, request::GET_TOPIC_CONFIG, &[("topic", topic)], b"");
    fastjson::from_slice(&reply.expect(response::SUCCESS).body).expect("a topic")
}

fn lock(client: &mut Client, group: &str, id: &str, queues: &BTreeSet<i32>) -> BTreeSet<i32> {
    let body = lock_body(group, id, queues.iter().copied());
    let reply = call(client, request::LOCK_BATCH_MQ, &[], &body).expect(response::SUCCESS);
    let locked: LockBatchResponseBody = fastjson::from_slice(&reply.body).expect("queues");
    locked.lock_ok_mq_set.into_iter().map(|queue| queue.queue_id).collect()
}

fn lock_body(group: &str, id: &str, queues: impl Iterator<Item = i32>) -> Vec<u8> {
    fastjson::to_vec(&LockBatchRequestBody {
        consumer_group: group.to_owned(),
        client_id: id.to_owned(),
        only_this_broker: false,
        mq_set: queues.map(|queue| MessageQueue::new(TOPIC, "broker-a", queue)).collect(),
    })
}

/// A member of the group, which does what official clients do.
struct Member {
    id: &'static str,
    client: Client,
    /// The queues that it has locked, and the next offset of each.
    queues: BTreeMap<i32, i64>,
}

impl Member {
    fn new(server: &Server, id: &'static str) -> Member {
        let mut member = Member { id, client: server.client(), queues: BTreeMap::new() };
        member.join();
        member
    }

    fn join(&mut self) {
        let beat = json!({
            "clientID": self.id,
            "consumerDataSet": [{
                "groupName": GROUP,
                "consumeType": "CONSUME_PASSIVELY",
                "messageModel": "CLUSTERING",
                "consumeFromWhere": "CONSUME_FROM_FIRST_OFFSET",
                "subscriptionDataSet": [{"topic": TOPIC, "subString": "*"}],
            }],
        });
        let beat = beat.to_string();
        call(&mut self.client, request::HEART_BEAT, &[], beat.as_bytes()).expect(0);
    }

    /// Its share of the queues, by what the broker says of topic and group now.
    fn share(&mut self) -> BTreeSet<i32> {
        let queues = topic_config(&mut self.client, TOPIC).read_queue_nums;
        let fields = [("consumerGroup", GROUP)];
        let reply = call(&mut self.client, request::GET_CONSUMER_LIST_BY_GROUP, &fields, b"");
        let body: serde_json::Value =
            serde_json::from_slice(&reply.expect(response::SUCCESS).body).expect("JSON");
        let ids = body["consumerIdList"].as_array().expect("a list").iter();
        let ids: BTreeSet<&str> = ids.map(|id| id.as_str().expect("text")).collect();
        let Some(own) = ids.iter().position(|id| *id == self.id) else {
            return BTreeSet::new();
        };
        (0..queues).filter(|queue| *queue as usize % ids.len() == own).collect()
    }

    fn rebalance(&mut self) {
        let share = self.share();
        self.unlock(&share);
        let locked = lock(&mut self.client, GROUP, self.id, &share);
        self.queues.retain(|queue, _| locked.contains(queue));
        for queue in locked {
            if !self.queues.contains_key(&queue) {
                let next = self.committed(queue);
                self.queues.insert(queue, next);
            }
        }
    }

    /// Gives up all but `share`.
    fn unlock(&mut self, share: &BTreeSet<i32>) {
        let gone = self.queues.keys().filter(|queue| !share.contains(queue)).copied();
        let body = lock_body(GROUP, self.id, gone);
        call(&mut self.client, request::UNLOCK_BATCH_MQ, &[], &body).expect(response::SUCCESS);
        self.queues.retain(|queue, _| share.contains(queue));
    }

    fn committed(&mut self, queue: i32) -> i64 {
        let queue = queue.to_string();
        let fields = [("consumerGroup", GROUP), ("topic", TOPIC), ("queueId", queue.as_str())];
        let reply = call(&mut self.client, request::QUERY_CONSUMER_OFFSET, &fields, b"");
        if reply.code == response::QUERY_NOT_FOUND { 0 } else { reply.expect(0).number("offset") }
    }

    /// Reads a few messages of each of its queues, and commits them.
    fn consume(&mut self, seen: &mut Seen) {
        for (queue, next) in &mut self.queues {
            let pulled = self.client.pull(TOPIC, *queue, *next, 4).expect("an answer");
            for message in pulled.messages {
                let text = String::from_utf8(message.body).expect("text");
                let read = seen.entry(*queue).or_default();
                assert_eq!(text, format!("{queue}/{read}"), "{} reads queue {queue}", self.id);
                assert_eq!(message.queue_offset, *read, "queue {queue}");
                *read += 1;
                *next = *read;
            }
            let (queue, offset) = (queue.to_string(), next.to_string());
            let fields = [
                ("consumerGroup", GROUP),
                ("topic", TOPIC),
                ("queueId", queue.as_str()),
                ("commitOffset", offset.as_str()),
            ];
            call(&mut self.client, request::UPDATE_CONSUMER_OFFSET, &fields, b"").expect(0);
        }
    }
}

/// How many messages of each queue were read.
type Seen = BTreeMap<i32, i64>;

/// The group and what it has to read.
struct Group {
    members: Vec<Member>,
    sender: Client,
    sent: Seen,
    seen: Seen,
}

impl Group {
    fn send(&mut self, write_queues: i32) {
        for queue in 0..write_queues {
            for _ in 0..3 {
                let number = self.sent.entry(queue).or_default();
                let body = format!("{queue}/{number}");
                let sent = self.sender.send(TOPIC, queue, body.as_bytes());
                sent.expect("an answer").expect(response::SUCCESS);
                *number += 1;
            }
        }
    }

    /// All members do what they do every few seconds.
    fn round(&mut self) {
        for index in 0..self.members.len() {
            self.members[index].rebalance();
            let all = self.members.iter().flat_map(|member| member.queues.keys());
            let (count, queues) = (all.clone().count(), all.collect::<BTreeSet<_>>());
            assert_eq!(count, queues.len(), "a queue has two readers");
            self.members[index].consume(&mut self.seen);
        }
        // Another member is the first to ask.
        self.members.rotate_left(1);
    }

    fn drain(&mut self) {
        let began = Instant::now();
        while self.seen != self.sent {
            self.round();
            assert!(began.elapsed() < PATIENCE, "sent {:?}, read {:?}", self.sent, self.seen);
        }
    }
}

fn each_queue_has_one_reader_and_keeps_its_order_whatever_happens(shards: u32) {
    let directory = process::directory("order");
    let settings = Settings { shards, ..Settings::default() };
    let mut server = Server::start(directory.path(), &settings);
    let mut tool = server.client();
    set_queues(&mut tool, (2, 2));
    let members = vec![Member::new(&server, "a"), Member::new(&server, "b")];
    let (sender, sent, seen) = (server.client(), Seen::new(), Seen::new());
    let mut group = Group { members, sender, sent, seen };
    // Fewer to write to first, so that those that go can be read to their ends.
    for (read, write) in [(2, 2), (6, 6), (6, 3), (3, 3), (8, 8)] {
        set_queues(&mut tool, (read, write));
        for _ in 0..3 {
            group.send(write);
            group.round();
        }
        let refused = group.sender.send(TOPIC, read.max(write), b"nowhere").expect("an answer");
        assert_ne!(refused.code, response::SUCCESS);
        if write < read {
            group.drain();
        }
    }
    group.drain();
    let everything: BTreeSet<i32> = (0..8).collect();
    let others = lock(&mut tool, "others", "c", &everything);
    assert_eq!(others, everything, "locks of another group are its own");
    // The members live through the death of the broker, and one is heard of first.
    group.send(8);
    group.round();
    server.process.kill9();
    drop(server);
    server = Server::start(directory.path(), &settings);
    (tool, group.sender) = (server.client(), server.client());
    for first in 0..group.members.len() {
        group.members[first].client = server.client();
        group.members[first].join();
        let joined = &mut group.members[..=first];
        for member in joined {
            // Before it has asked for its queues again it goes on with them.
            member.consume(&mut group.seen);
            let id = member.id;
            let before: BTreeSet<i32> = member.queues.keys().copied().collect();
            let locked = lock(&mut member.client, GROUP, id, &everything);
            assert_eq!(locked, before, "{id} gets what it had, and nothing of the others");
        }
    }
    set_queues(&mut tool, (10, 10));
    for _ in 0..3 {
        group.send(10);
        group.round();
    }
    // Members come and go.
    group.members.push(Member::new(&server, "c"));
    group.round();
    group.send(10);
    let leaves = group.members.iter().position(|member| member.id == "a").expect("there");
    let mut leaves = group.members.remove(leaves);
    leaves.unlock(&BTreeSet::new());
    let fields = [("clientID", "a"), ("consumerGroup", GROUP)];
    call(&mut leaves.client, request::UNREGISTER_CLIENT, &fields, b"").expect(0);
    group.drain();
    let all: BTreeSet<i32> = group.members.iter().flat_map(|m| m.queues.keys().copied()).collect();
    assert_eq!(all, (0..10).collect());
}

fn a_topic_is_ordered_when_the_name_server_says_so(shards: u32) {
    let directory = process::directory("order-topic");
    let keys = [("orderMessageEnable", "true".to_owned())];
    let names = NameServer::start(directory.path(), &keys);
    let fields = [("namespace", "ORDER_TOPIC_CONFIG"), ("key", TOPIC), ("value", "broker-a:4")];
    call(&mut names.client(), request::PUT_KV_CONFIG, &fields, b"").expect(response::SUCCESS);
    let extra = vec![("namesrvAddr", names.address.to_string())];
    let settings = Settings { shards, extra, ..Settings::default() };
    let mut server = Server::start(directory.path(), &settings);
    let mut client = server.client();
    for topic in [TOPIC, "plain"] {
        client.create_topic(topic, 4).expect("an answer").expect(response::SUCCESS);
    }
    // A registration has told the broker; each change brings one.
    let began = Instant::now();
    while !topic_config(&mut client, TOPIC).order {
        assert!(began.elapsed() < PATIENCE, "the broker does not hear of it");
        client.create_topic("plain", 4).expect("an answer").expect(response::SUCCESS);
    }
    assert!(!topic_config(&mut client, "plain").order);
    let route = |topic| {
        let fields = [("topic", topic)];
        let reply = call(&mut names.client(), request::GET_ROUTEINFO_BY_TOPIC, &fields, b"");
        String::from_utf8(reply.expect(response::SUCCESS).body).expect("text")
    };
    assert!(route(TOPIC).contains("\"orderTopicConf\":\"broker-a:4\""), "{}", route(TOPIC));
    assert!(!route("plain").contains("orderTopicConf\":\""), "{}", route("plain"));
    // It stays so when the broker is killed, and when nobody may write only ordered topics refuse.
    names.process.expects("is dropped: its connection has ended");
    server.process.kill9();
    drop(server);
    server = Server::start(directory.path(), &settings);
    client = server.client();
    assert!(topic_config(&mut client, TOPIC).order);
    let keys = b"brokerPermission=4";
    call(&mut client, request::UPDATE_BROKER_CONFIG, &[], keys).expect(response::SUCCESS);
    let refused = client.send(TOPIC, 0, b"no").expect("an answer").expect(response::NO_PERMISSION);
    assert!(refused.remark.contains("sending message is forbidden"), "{}", refused.remark);
    client.send("plain", 0, b"yes").expect("an answer").expect(response::SUCCESS);
}
