//! Metadata of a master on its slave: whatever happens to machines and network, in the end it is
//! the same, and counts on all shards.

mod liars;

use std::{cell::RefCell, collections::BTreeSet, rc::Rc, time::Duration};

use ringmq_io::{
    Clock as _,
    sim::{Node, Random, Sim, SimDisk, SimRuntime},
};
use ringmq_remoting::codes::{request, response};
use ringmq_rules::meta::MetaChange;
use ringmq_test_client::topic_fields;

use super::{Client, cluster::Broker, complaints::Complaints};
use crate::shard::{role::Role, settings::BrokerSettings};

/// Of a wait whose end is certain, on the simulation's clock.
const PATIENCE: Duration = Duration::from_secs(120);
/// Shards of the master and of its slave.
const SHARDS: [(usize, usize); 5] = [(1, 1), (1, 2), (2, 1), (4, 2), (2, 4)];

type Change = fn(&mut BrokerSettings);

struct Machine {
    node: Node,
    role: Role,
    shards: usize,
    change: Change,
    /// Of a slave.
    master: &'static str,
    broker: RefCell<Option<Rc<Broker>>>,
}

impl Machine {
    /// Starts its process.
    fn boot(&self) {
        let keys = [("logs", "4"), ("adminAllowRemote", "true"), ("haMasterAddress", self.master)];
        let runtime = self.node.boot();
        let broker = Broker::start_with(&runtime, self.shards, &keys, |settings| {
            settings.role = self.role;
            settings.config.broker_id = i64::from(self.role.is_slave());
            (self.change)(settings);
        });
        self.broker.replace(Some(Rc::new(broker)));
    }

    /// The process ends, or the power fails.
    fn die(&self, power: bool) {
        self.broker.replace(None);
        match power {
            true => self.node.power_cut(),
            false => self.node.kill(),
        }
    }

    fn broker(&self) -> Rc<Broker> {
        self.broker.borrow().clone().expect("it runs")
    }

    /// Whether it has begun to serve.
    fn control(&self) -> Option<Rc<dyn crate::shard::control_plane::ControlPlane>> {
        let broker = self.broker.borrow().clone()?;
        let shards = broker.shards.borrow();
        let control = shards.iter().find(|shard| shard.id.0 == 0)?;
        control.control_plane.get()?.upgrade()
    }

    /// Without locks, which masters forget after a minute without writing that.
    fn metadata(&self) -> Option<BTreeSet<String>> {
        let all = self.control()?.metadata();
        Some(all.into_iter().filter(|record| !record.starts_with("{\"locks\"")).collect())
    }

    /// Consumer offsets as the shards of the queues have them.
    fn offsets(&self) -> BTreeSet<String> {
        let broker = self.broker();
        let mut all = BTreeSet::new();
        for shard in &*broker.shards.borrow() {
            let mut to = ringmq_rules::offsets::ListedTo::default();
            for change in shard.offsets.borrow().list(None, &mut to, usize::MAX) {
                let MetaChange::Offsets { topic, group, offsets } = change else { continue };
                let rows = offsets.iter().map(|(queue, offset)| (queue, offset));
                all.extend(rows.map(|(queue, at)| format!("{topic} {group} {queue} {at}")));
            }
        }
        all
    }

    /// Topics and groups as each shard sees them.
    fn views(&self) -> BTreeSet<Vec<String>> {
        let broker = self.broker();
        let shards = broker.shards.borrow();
        let view = |shard: &Rc<crate::shard::Shard<SimRuntime>>| {
            let view = shard.view.borrow();
            let topics = view.topics.values().map(|view| format!("{:?}", view.topic));
            let groups = view.groups.values().map(|group| format!("{group:?}"));
            let mut all: Vec<String> = topics.chain(groups).collect();
            all.sort();
            all
        };
        shards.iter().map(view).collect()
    }
}

struct Pair {
    sim: Sim,
    seed: u64,
    master: Machine,
    slave: Machine,
}

impl Pair {
    fn new(seed: u64, role: Role, (one, other): (usize, usize), change: Change) -> Pair {
        let sim = Sim::new(seed);
        let machine = |number: u8, role, shards| Machine {
            node: sim.add_node([10, 0, 0, number], &SimDisk::new(seed * 10 + u64::from(number))),
            role,
            shards,
            change,
            master: "10.0.0.1:10912",
            broker: RefCell::default(),
        };
        let (master, slave) = (machine(1, role, one), machine(2, Role::Slave, other));
        Pair { seed, master, slave, sim }
    }

    async fn client(&self, host: &SimRuntime) -> Client {
        Client::connect_to(host, self.master.node.ip()).await
    }

    /// Resolves when the slave has all that the master has, on all shards.
    async fn until_equal(&self, host: &SimRuntime) {
        let began = host.monotonic();
        loop {
            host.sleep(Duration::from_millis(20)).await;
            let (own, other) = (self.master.metadata(), self.slave.metadata());
            let (Some(own), Some(other)) = (own, other) else { continue };
            let is_equal = own == other
                && self.slave.views() == self.master.views()
                && self.slave.offsets() == self.master.offsets();
            if is_equal {
                assert_eq!(self.slave.views().len(), 1, "seed {}: all shards agree", self.seed);
                return;
            }
            if host.monotonic() - began > PATIENCE {
                let lacks: Vec<_> = own.difference(&other).collect();
                let more: Vec<_> = other.difference(&own).collect();
                let (views, offsets) = (self.slave.views(), self.slave.offsets());
                panic!(
                    "seed {}: the slave lacks {lacks:?} and has {more:?}; offsets {offsets:?}, \
                     not {:?}; views {views:?}",
                    self.seed,
                    self.master.offsets()
                );
            }
        }
    }
}

async fn make_topic(client: &mut Client, topic: &str, queues: i32) {
    let fields = topic_fields(topic, queues);
    let made = client.call_values(request::UPDATE_AND_CREATE_TOPIC, &fields, b"").await;
    assert_eq!(made.code, response::SUCCESS, "{}", made.remark);
}

async fn make_group(client: &mut Client, group: &str, retries: u64) {
    let body = format!(r#"{{"groupName":"{group}","retryQueueNums":1,"retryMaxTimes":{retries}}}"#);
    let code = request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP;
    let made = client.call(code, &[], body.as_bytes()).await;
    assert_eq!(made.code, response::SUCCESS, "{}", made.remark);
}

/// Some change of metadata, by what clients and administrators ask.
async fn change_something(client: &mut Client, random: &mut Random) {
    let topic = format!("topic-{}", random.below(4));
    let group = format!("group-{}", random.below(4));
    match random.below(10) {
        0 | 1 => make_topic(client, &topic, 1 + random.below(6) as i32).await,
        2 => {
            client.delete_topic(&topic).await;
        }
        3 => make_group(client, &group, random.below(20)).await,
        4 => {
            let clean = if random.chance(1, 2) { "true" } else { "false" };
            let fields = [("groupName", &*group), ("cleanOffset", clean)];
            client.call(request::DELETE_SUBSCRIPTIONGROUP, &fields, b"").await;
        }
        // Whatever becomes of it: the topic need not be there.
        5 | 6 => {
            client.send_to(&topic, random.below(4) as i32, false, "", b"message").await;
        }
        _ => {
            let (queue, offset) = (random.below(4) as i32, random.below(1000) as i64);
            client.commit(&topic, &group, queue, offset).await;
        }
    }
}

fn roles(seed: u64) -> Role {
    if seed.is_multiple_of(2) { Role::AsyncMaster } else { Role::SyncMaster }
}

#[test]
fn a_slave_has_what_its_master_has_whatever_breaks() {
    for (seed, shards) in (0..20).zip(SHARDS.iter().cycle()) {
        println!("seed {seed}, shards {shards:?}");
        let small: Change = |settings| settings.sizes.journal_bytes_max = 4_000;
        let change: Change = if seed % 3 == 0 { small } else { |_| {} };
        let pair = Pair::new(seed, roles(seed), *shards, change);
        pair.sim.run(async |host| {
            let mut random = host.random();
            let links = pair.sim.links();
            let (master, slave) = (&pair.master.node, &pair.slave.node);
            pair.slave.boot();
            pair.master.boot();
            let mut client = pair.client(&host).await;
            for _ in 0..12 {
                for _ in 0..random.below(15) {
                    change_something(&mut client, &mut random).await;
                }
                match random.below(8) {
                    0 => links.cut_both(master, slave),
                    1 => links.cut(master, slave),
                    2 => links.reset(master, slave),
                    3 | 4 => links.heal_all(),
                    5 => {
                        pair.slave.die(random.chance(1, 2));
                        pair.slave.boot();
                    }
                    6 => {
                        pair.master.die(random.chance(1, 2));
                        pair.master.boot();
                        client = pair.client(&host).await;
                    }
                    _ => host.sleep(Duration::from_millis(random.below(3000))).await,
                }
            }
            links.heal_all();
            pair.until_equal(&host).await;
            make_topic(&mut client, "last", 2).await;
            pair.until_equal(&host).await;
            pair.slave.die(true);
            pair.slave.boot();
            pair.until_equal(&host).await;
        });
    }
}

/// A master with more topics than one piece of a snapshot says.
async fn make_many(client: &mut Client, count: usize) {
    for number in 0..count {
        make_topic(client, &format!("topic-with-a-long-name-{number:0100}"), 1).await;
    }
}

#[test]
fn a_slave_that_dies_in_the_midst_of_a_snapshot_begins_anew() {
    for (seed, shards) in (0..5).zip(SHARDS) {
        println!("seed {seed}, shards {shards:?}");
        let pair = Pair::new(seed, Role::AsyncMaster, shards, |_| {});
        pair.sim.run(async |host| {
            let mut random = host.random();
            pair.master.boot();
            let mut client = pair.client(&host).await;
            make_many(&mut client, 600).await;
            let links = pair.sim.links();
            // Some seconds for all of it.
            links.limit(&pair.master.node, &pair.slave.node, Some(100_000));
            pair.slave.boot();
            for number in 0..6 {
                host.sleep(Duration::from_millis(300 + random.below(1500))).await;
                let name = format!("meanwhile-{number}");
                make_topic(&mut client, &name, 1).await;
                if number % 2 == 0 {
                    client.delete_topic(&name).await;
                }
                pair.slave.die(number % 3 == 0);
                pair.slave.boot();
            }
            links.limit(&pair.master.node, &pair.slave.node, None);
            pair.until_equal(&host).await;
        });
    }
}

/// What a slave has missed is said anew when the journal does not have it any more.
#[test]
fn a_slave_that_was_away_for_more_than_the_journal_gets_everything() {
    let (complaints, _guard) = Complaints::listen();
    for (seed, shards) in (0..5).zip(SHARDS) {
        println!("seed {seed}, shards {shards:?}");
        let small: Change = |settings| settings.sizes.journal_bytes_max = 2_000;
        let pair = Pair::new(seed, Role::AsyncMaster, shards, small);
        pair.sim.run(async |host| {
            pair.master.boot();
            pair.slave.boot();
            let mut client = pair.client(&host).await;
            make_topic(&mut client, "deleted", 2).await;
            make_topic(&mut client, "never-used", 2).await;
            make_group(&mut client, "left", 3).await;
            client.commit("deleted", "left", 0, 7).await;
            client.send_to("deleted", 0, false, "", b"message").await;
            pair.until_equal(&host).await;
            pair.sim.links().cut_both(&pair.master.node, &pair.slave.node);
            // Until nothing is on its way any more that would come in the end.
            host.sleep(Duration::from_secs(5)).await;
            client.delete_topic("deleted").await;
            client.delete_topic("never-used").await;
            let fields = [("groupName", "left"), ("cleanOffset", "true")];
            client.call(request::DELETE_SUBSCRIPTIONGROUP, &fields, b"").await;
            for number in 0..60 {
                make_group(&mut client, &format!("group-{number}"), 3).await;
            }
            pair.sim.links().heal_all();
            pair.until_equal(&host).await;
            let slave = pair.slave.broker();
            let slave = slave.shard(0);
            assert!(slave.topic("deleted").is_none() && slave.topic("never-used").is_none());
        });
    }
    let said = complaints.take();
    assert_eq!(said.iter().find(|line| line.contains("metadata")), None);
}

#[test]
fn offsets_are_on_the_slave_soon_and_a_change_that_fails_is_on_neither() {
    use ringmq_io::sim::{Fault, FaultRule, OperationKind};
    for (seed, shards) in (0..5).zip(SHARDS) {
        println!("seed {seed}, shards {shards:?}");
        let small: Change = |settings| settings.sizes.meta_grow_bytes = 4096;
        let pair = Pair::new(seed, Role::SyncMaster, shards, small);
        pair.sim.run(async |host| {
            pair.master.boot();
            pair.slave.boot();
            let mut client = pair.client(&host).await;
            make_topic(&mut client, "topic", 4).await;
            make_group(&mut client, "group", 3).await;
            pair.until_equal(&host).await;
            client.commit("topic", "group", 3, 41).await;
            host.sleep(Duration::from_millis(400)).await;
            let at = pair.slave.offsets();
            assert!(at.contains("topic group 3 41"), "seed {seed}: {at:?}");
            let disk = pair.master.node.disk();
            let full = FaultRule::every(Some(OperationKind::Allocate), Fault::NoSpace);
            disk.add_fault(full.where_path_contains("meta"));
            let mut refused = 0;
            for number in 0..400 {
                let name = format!("{number:0200}");
                let fields = topic_fields(&name, 1);
                let made = client.call_values(request::UPDATE_AND_CREATE_TOPIC, &fields, b"").await;
                refused += usize::from(made.code != response::SUCCESS);
                if number % 10 == 0 {
                    // So that it gets everything while changes are taken back.
                    pair.slave.die(false);
                    pair.slave.boot();
                }
            }
            disk.clear_faults();
            assert!(refused > 300, "{refused} refused");
            pair.until_equal(&host).await;
        });
    }
}

/// Who each has heard of, and how many logs it speaks of.
fn heard(machine: &Machine) -> Vec<(u32, usize)> {
    let peers = machine.control().map(|control| control.peers()).unwrap_or_default();
    peers.into_iter().map(|(replica, logs)| (replica, logs.len())).collect()
}

#[test]
fn both_hear_of_each_other_and_notice_silence() {
    for (seed, shards) in (0..5).zip(SHARDS) {
        println!("seed {seed}, shards {shards:?}");
        let pair = Pair::new(seed, roles(seed), shards, |_| {});
        pair.sim.run(async |host| {
            pair.master.boot();
            pair.slave.boot();
            pair.client(&host).await;
            pair.until_equal(&host).await;
            host.sleep(Duration::from_millis(500)).await;
            assert_eq!((heard(&pair.master), heard(&pair.slave)), (vec![(2, 4)], vec![(1, 4)]));
            pair.sim.links().cut(&pair.master.node, &pair.slave.node);
            host.sleep(Duration::from_secs(3)).await;
            assert_eq!((heard(&pair.master), heard(&pair.slave)), (vec![], vec![]), "seed {seed}");
            pair.sim.links().heal_all();
            host.sleep(Duration::from_secs(3)).await;
            assert_eq!((heard(&pair.master), heard(&pair.slave)), (vec![(2, 4)], vec![(1, 4)]));
        });
    }
}

#[test]
fn locks_follow_and_what_is_free_again_is_free_on_the_slave() {
    use ringmq_remoting::{
        body::{LockBatchRequestBody, MessageQueue},
        fastjson,
    };
    let ask = |queues: std::ops::Range<i32>| {
        let queue = |queue_id| MessageQueue::new("topic", "sim", queue_id);
        fastjson::to_vec(&LockBatchRequestBody {
            consumer_group: "ordered".to_owned(),
            client_id: "one".to_owned(),
            only_this_broker: false,
            mq_set: queues.map(queue).collect(),
        })
    };
    let locks = |machine: &Machine| -> Vec<String> {
        let all = machine.control().map(|control| control.metadata()).unwrap_or_default();
        all.into_iter().filter(|record| record.starts_with("{\"locks\"")).collect()
    };
    let until_same = async |pair: &Pair, host: &SimRuntime| {
        let began = host.monotonic();
        while locks(&pair.slave) != locks(&pair.master) {
            host.sleep(Duration::from_millis(20)).await;
            // Less than masters keep locks that nobody renews.
            assert!(host.monotonic() - began < Duration::from_secs(30), "seed {}", pair.seed);
        }
    };
    for (seed, shards) in (0..5).zip(SHARDS) {
        println!("seed {seed}, shards {shards:?}");
        let pair = Pair::new(seed, Role::AsyncMaster, shards, |_| {});
        pair.sim.run(async |host| {
            pair.master.boot();
            pair.slave.boot();
            let mut client = pair.client(&host).await;
            make_topic(&mut client, "topic", 4).await;
            pair.until_equal(&host).await;
            client.call(request::LOCK_BATCH_MQ, &[], &ask(0..3)).await;
            until_same(&pair, &host).await;
            assert!(locks(&pair.slave)[0].contains("[0,1,2]"));
            client.call(request::UNLOCK_BATCH_MQ, &[], &ask(0..2)).await;
            until_same(&pair, &host).await;
            // What was freed while the slave was away, too.
            pair.slave.die(false);
            client.call(request::UNLOCK_BATCH_MQ, &[], &ask(2..3)).await;
            client.call(request::LOCK_BATCH_MQ, &[], &ask(0..1)).await;
            pair.slave.boot();
            until_same(&pair, &host).await;
            assert!(locks(&pair.slave)[0].contains("[0]"));
        });
    }
}

/// What there is of its store then is nothing, or goes on as a copy.
#[test]
fn a_slave_that_dies_while_its_store_begins_goes_on() {
    for (seed, shards) in (0..30).zip(SHARDS.iter().cycle()) {
        println!("seed {seed}, shards {shards:?}");
        let pair = Pair::new(seed, roles(seed), *shards, |_| {});
        pair.sim.run(async |host| {
            let mut random = host.random();
            pair.slave.boot();
            pair.master.boot();
            let mut client = pair.client(&host).await;
            make_topic(&mut client, "topic", 4).await;
            for _ in 0..3 {
                host.sleep(Duration::from_micros(random.below(60_000))).await;
                pair.slave.die(random.chance(1, 2));
                pair.slave.boot();
            }
            pair.until_equal(&host).await;
        });
    }
}
