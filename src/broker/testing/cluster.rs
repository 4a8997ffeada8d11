//! Brokers of one shard and of several, and what tests of them share.

use std::{cell::RefCell, rc::Rc, time::Duration};

use ringmq_base::record::Record;
use ringmq_io::{
    Shares, Spawn as _,
    sim::{Sim, SimRuntime},
};
use ringmq_remoting::{
    codes::{request, response},
    message_id::MessageId,
};
use ringmq_test_client::{Pull, Send, commit_fields, queue_fields, topic_fields};

use crate::{
    parts::BrokerParts,
    run,
    shard::{Shard, settings::BrokerSettings},
    testing::{Answer, Client, complaints::Complaints, config, settings},
};

/// Numbers of shards that a behaviour must not depend on.
pub const SHARDS: [usize; 3] = [1, 2, 4];
/// Of a topic of [`make_topic`]: one on each shard, or more.
pub const QUEUES: i32 = 4;
pub const TOPIC: &str = "Topic";

/// A broker whose shards can be looked at.
pub struct Broker {
    pub shards: Rc<RefCell<Vec<Rc<Shard<SimRuntime>>>>>,
}

impl Broker {
    pub fn start(runtime: &SimRuntime, shards: usize, keys: &[(&str, &str)]) -> Broker {
        Broker::start_with(runtime, shards, keys, |_| {})
    }

    /// With sizes that no key of the configuration allows.
    pub fn start_with(
        runtime: &SimRuntime,
        shards: usize,
        keys: &[(&str, &str)],
        change: impl FnOnce(&mut BrokerSettings),
    ) -> Broker {
        let mut settings = settings(runtime, config(keys), shards);
        change(&mut settings);
        let BrokerParts { shards, .. } = BrokerParts::new(&settings.into(), shards);
        let broker = Broker { shards: Rc::default() };
        for parts in shards {
            let (own, seen) = (runtime.clone(), broker.shards.clone());
            runtime.spawn(Shares::Foreground, "shard", async move {
                run::run_watched(own, parts, |shard| seen.borrow_mut().push(shard.clone())).await;
            });
        }
        broker
    }

    /// By number.
    pub fn shard(&self, number: u16) -> Rc<Shard<SimRuntime>> {
        let shards = self.shards.borrow();
        shards.iter().find(|shard| shard.id.0 == number).expect("it runs").clone()
    }
}

/// One connection on each shard.
pub async fn clients(runtime: &SimRuntime, shards: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..shards {
        clients.push(Client::connect(runtime).await);
    }
    clients
}

/// Every number of shards with so many seeds each.
pub fn on_all(seeds: u64, test: impl Fn(usize, u64)) {
    for shards in SHARDS {
        for seed in 0..seeds {
            println!("{shards} shards, seed {seed}");
            test(shards, seed);
        }
    }
}

/// The same, where what brokers complain of is listened to.
pub fn on_all_heard(seeds: u64, test: impl Fn(usize, u64, &Complaints)) {
    on_all(seeds, |shards, seed| {
        let (complaints, _guard) = Complaints::listen();
        test(shards, seed, &complaints);
    });
}

/// Runs a test on the disk of another simulation, as a new process finds it after this one was
/// killed.
pub fn after_a_kill<T>(sim: &Sim, test: impl AsyncFnOnce(SimRuntime) -> T) -> T {
    let image = sim.disk().kill(sim.seed());
    Sim::with_disk(sim.seed() + 1, &image).run(test)
}

impl Client {
    pub async fn make_topic(&mut self, topic: &str) -> Answer {
        let fields = topic_fields(topic, QUEUES);
        self.call_values(request::UPDATE_AND_CREATE_TOPIC, &fields, b"").await
    }

    pub async fn delete_topic(&mut self, topic: &str) -> Answer {
        self.call(request::DELETE_TOPIC_IN_BROKER, &[("topic", topic)], b"").await
    }

    pub async fn commit(&mut self, topic: &str, group: &str, queue: i32, offset: i64) -> Answer {
        let fields = commit_fields(group, topic, queue, offset);
        self.call_values(request::UPDATE_CONSUMER_OFFSET, &fields, b"").await
    }

    /// What a group has committed.
    pub async fn committed(&mut self, topic: &str, group: &str, queue: i32) -> Option<i64> {
        let queue = queue.to_string();
        let fields = [
            ("consumerGroup", group),
            ("topic", topic),
            ("queueId", queue.as_str()),
            ("setZeroIfNotFound", "false"),
        ];
        let answer = self.call(request::QUERY_CONSUMER_OFFSET, &fields, b"").await;
        match answer.code {
            response::SUCCESS => Some(answer.fields["offset"].parse().expect("a number")),
            response::QUERY_NOT_FOUND => None,
            code => panic!("{code}: {}", answer.remark),
        }
    }

    /// A message, or a batch of messages.
    pub async fn send_to(
        &mut self,
        topic: &str,
        queue: i32,
        batch: bool,
        properties: &str,
        body: &[u8],
    ) -> Answer {
        let send = Send { topic, queue, queues: 4, properties, batch };
        let code = if batch { request::SEND_BATCH_MESSAGE } else { request::SEND_MESSAGE_V2 };
        self.call_values(code, &send.fields(), body).await
    }

    /// The message that an id of an answer names: its queue, its offset there, its body.
    pub async fn message(&mut self, id: &str) -> (i32, i64, Vec<u8>) {
        let (_, position) = MessageId::parse(id).expect("an id");
        let position = position.to_string();
        let fields = [("offset", position.as_str())];
        let answer = self.call(request::VIEW_MESSAGE_BY_ID, &fields, b"").await;
        assert_eq!(answer.code, response::SUCCESS, "{}", answer.remark);
        let record = Record::decode(&answer.body).expect("a record");
        (record.queue_id, record.queue_offset, record.body.to_vec())
    }

    /// The first and the next offset of a queue.
    pub async fn range_of(&mut self, topic: &str, queue: i32) -> (i64, i64) {
        let fields = queue_fields(topic, queue);
        let mut range = [0, 0];
        for (code, offset) in
            [request::GET_MIN_OFFSET, request::GET_MAX_OFFSET].iter().zip(&mut range)
        {
            let answer = self.call_values(*code, &fields, b"").await;
            assert_eq!(answer.code, response::SUCCESS, "{}", answer.remark);
            *offset = answer.fields["offset"].parse().expect("a number");
        }
        range.into()
    }

    /// The next offset of a queue.
    pub async fn end_of(&mut self, topic: &str, queue: i32) -> i64 {
        self.range_of(topic, queue).await.1
    }

    /// Bodies of a queue from an offset on, and the code of the answer.
    pub async fn bodies(&mut self, topic: &str, queue: i32, from: i64) -> (i32, Vec<Vec<u8>>) {
        let (group, wait) = ("readers", Duration::ZERO);
        let pull = Pull { group, topic, queue, offset: from, messages_max: 64, wait };
        let answer = self.call_values(request::PULL_MESSAGE, &pull.fields(), b"").await;
        let mut rest = answer.body.as_slice();
        let mut bodies = Vec::new();
        while !rest.is_empty() {
            let record = Record::decode(rest).expect("a record");
            bodies.push(record.body.to_vec());
            rest = &rest[record.size..];
        }
        (answer.code, bodies)
    }
}
