//! Masters and slaves: what is acknowledged is on both, statuses say when it is not, and whatever
//! happens to machines and network, both logs are the same in the end.

mod chaos;
mod statuses;
mod stories;

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use futures_lite::future;
use ringmq_io::{
    Clock as _, Shares, Spawn as _,
    sim::{Node, Sim, SimDisk, SimRuntime},
};
use ringmq_remoting::codes::response;
use ringmq_store::LogEnds;

use super::cluster::{Broker, QUEUES, TOPIC};
use crate::{
    shard::{
        copies::{FollowedFacts, FollowerFacts},
        role::Role,
    },
    testing::Client,
};

/// Of a wait whose end is certain, on the simulation's clock.
const PATIENCE: Duration = Duration::from_secs(120);

/// A master and its slave, each with shards of its own; the store has as many logs as `logs` says.
struct Pair {
    sim: Sim,
    seed: u64,
    master: Machine,
    slave: Machine,
}

struct Machine {
    node: Node,
    role: Role,
    shards: usize,
    logs: usize,
    flush: &'static str,
    broker: RefCell<Option<Rc<Broker>>>,
}

impl Machine {
    /// Starts its process, and resolves when it serves.
    async fn start(&self, host: &SimRuntime) {
        let (logs, role) = (self.logs.to_string(), self.role);
        let keys = [
            ("logs", logs.as_str()),
            ("flushDiskType", self.flush),
            ("adminAllowRemote", "true"),
            ("haMasterAddress", "10.0.0.1:10912"),
            ("slaveTimeout", "3000"),
            ("waitTimeMillsInSendQueue", "60000"),
        ];
        let runtime = self.node.boot();
        let broker = Broker::start_with(&runtime, self.shards, &keys, |settings| {
            settings.role = role;
            settings.config.broker_id = i64::from(role.is_slave());
            // Messages of the tests are longer than any of these.
            settings.sizes.log.batch_bytes_max = 16 << 10;
            settings.hot_tail_bytes = 64 << 10;
            // A slave begins with its own, and goes on with its master's.
            settings.segment_bytes = if role.is_slave() { 512 << 10 } else { 256 << 10 };
            settings.zero_ahead_bytes = 128 << 10;
        });
        self.broker.replace(Some(Rc::new(broker)));
        Client::connect_to(host, self.node.ip()).await;
    }

    fn broker(&self) -> Rc<Broker> {
        self.broker.borrow().clone().expect("it runs")
    }

    /// The process ends, or the power fails.
    fn die(&self, power: bool) {
        self.broker.replace(None);
        match power {
            true => self.node.power_cut(),
            false => self.node.kill(),
        }
    }

    fn ends(&self) -> Vec<LogEnds> {
        let broker = self.broker();
        let shards = broker.shards.borrow();
        let logs = shards.iter().flat_map(|shard| {
            let logs = shard.queues.own_logs();
            logs.map(|log| (log.id(), log.ends())).collect::<Vec<_>>()
        });
        let mut logs: Vec<_> = logs.collect();
        logs.sort_by_key(|(id, _)| *id);
        logs.into_iter().map(|(_, ends)| ends).collect()
    }

    fn followers(&self) -> Vec<FollowerFacts> {
        let broker = self.broker();
        let shards = broker.shards.borrow();
        shards
            .iter()
            .filter_map(|shard| shard.log_copies.streams.get())
            .flat_map(|all| all.followers())
            .collect()
    }

    fn followed(&self) -> Vec<FollowedFacts> {
        let broker = self.broker();
        let shards = broker.shards.borrow();
        shards
            .iter()
            .filter_map(|shard| shard.log_copies.streams.get())
            .flat_map(|all| all.followed())
            .collect()
    }
}

impl Pair {
    fn new(seed: u64, role: Role, (one, other): (usize, usize), logs: usize) -> Pair {
        Pair::with_flush(seed, role, (one, other), logs, "SYNC_FLUSH")
    }

    fn with_flush(
        seed: u64,
        role: Role,
        (one, other): (usize, usize),
        logs: usize,
        flush: &'static str,
    ) -> Pair {
        let sim = Sim::new(seed);
        let machine = |number: u8, role, shards| Machine {
            node: sim.add_node([10, 0, 0, number], &SimDisk::new(seed * 10 + u64::from(number))),
            role,
            shards,
            logs,
            flush,
            broker: RefCell::default(),
        };
        let (master, slave) = (machine(1, role, one), machine(2, Role::Slave, other));
        Pair { seed, master, slave, sim }
    }

    /// Starts the master and makes its topic.
    async fn begin(&self, host: &SimRuntime) -> Client {
        self.master.start(host).await;
        let mut client = Client::connect_to(host, self.master.node.ip()).await;
        let made = client.make_topic(TOPIC).await;
        assert_eq!(made.code, response::SUCCESS, "{}", made.remark);
        client
    }

    /// Resolves when it holds.
    async fn until(&self, host: &SimRuntime, what: &str, holds: impl Fn() -> bool) {
        let began = host.monotonic();
        while !holds() {
            host.sleep(Duration::from_millis(5)).await;
            let waited = host.monotonic() - began;
            if waited > PATIENCE {
                let (own, other) = (self.master.ends(), self.slave.ends());
                let followers = self.master.followers();
                let followed = self.slave.followed();
                panic!(
                    "seed {}: not {what}: master {own:?}, slave {other:?}, {followers:?}, \
                     {followed:?}",
                    self.seed
                );
            }
        }
    }

    async fn until_topic_is_known(&self, host: &SimRuntime) {
        let is_known = || {
            let slave = self.slave.broker();
            let shards = slave.shards.borrow();
            shards.iter().all(|shard| shard.topic(TOPIC).is_some())
        };
        self.until(host, "known", is_known).await;
    }

    async fn until_in_sync(&self, host: &SimRuntime) {
        let all = || {
            let followers = self.master.followers();
            let in_sync = followers.iter().filter(|one| one.is_in_sync && one.behind == 0);
            in_sync.count() == self.master.logs
        };
        self.until(host, "in sync", all).await;
    }

    /// Resolves when the slave has, and shows, all that the master has.
    async fn until_equal(&self, host: &SimRuntime) {
        let equal = || {
            let (own, other) = (self.master.ends(), self.slave.ends());
            own.iter().zip(&other).all(|(own, other)| {
                own.end == own.committed && own.end == other.end && other.end == other.committed
            })
        };
        self.until(host, "equal", equal).await;
    }

    /// All segments of both, as far as the logs go, are the same bytes.
    fn compare(&self) {
        let ends = self.master.ends();
        for (number, ends) in ends.iter().enumerate() {
            let directory = PathBuf::from(format!("store/log-{number:03}"));
            let end = ends.end.0;
            let own = segments(&self.master.node.disk(), &directory, end);
            let other = segments(&self.slave.node.disk(), &directory, end);
            let names = |all: &[(PathBuf, Vec<u8>)]| {
                all.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>()
            };
            assert_eq!(names(&own), names(&other), "seed {}", self.seed);
            for ((path, bytes), (_, copied)) in own.iter().zip(&other) {
                let length = bytes.len().min(copied.len());
                let same = bytes[..length] == copied[..length];
                assert!(same, "seed {}: {} differs", self.seed, path.display());
            }
        }
    }
}

/// The first bytes of the segments of a log, by name.
fn segments(disk: &SimDisk, directory: &Path, end: u64) -> Vec<(PathBuf, Vec<u8>)> {
    let start = |path: &PathBuf| -> Option<u64> {
        let name = path.strip_prefix(directory).ok()?.to_str()?;
        name.strip_suffix(".seg")?.parse().ok()
    };
    let files = disk.files();
    let segments = files.iter().filter_map(|path| Some((path, start(path)?)));
    let read = |(path, start): (&PathBuf, u64)| {
        let mut bytes = disk.read_file(path).expect("is there");
        bytes.truncate(usize::try_from(end.saturating_sub(start)).expect("small"));
        (path.clone(), bytes)
    };
    // What is behind the end may have been made ahead, or not.
    segments.filter(|(_, start)| start + 4096 < end).map(read).collect()
}

/// The body of a message: its number in digits that nothing else has, and more.
fn body(number: u64, bytes: usize) -> Vec<u8> {
    let mut body = format!("<message-{number:08}>").into_bytes();
    body.resize(body.len().max(bytes), b'.');
    body
}

/// The numbers of the messages that are on a disk.
fn numbers_on(disk: &SimDisk) -> std::collections::BTreeSet<u64> {
    let mut found = std::collections::BTreeSet::new();
    for path in disk.files().iter().filter(|path| path.to_string_lossy().ends_with(".seg")) {
        let bytes = disk.read_file(path).unwrap_or_default();
        for behind in bytes.split(|byte| *byte == b'<') {
            let digits = behind.strip_prefix(b"message-").and_then(|rest| rest.get(..8));
            let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
            found.extend(digits.and_then(|digits| digits.parse::<u64>().ok()));
        }
    }
    found
}

/// Numbers of messages and the codes of their answers.
type Answers = Rc<RefCell<Vec<(u64, i32)>>>;

/// A producer: sends messages of these numbers one after the other, to whoever serves the address,
/// until told to stop. Whatever is not answered is not noted.
fn produce(
    host: &SimRuntime,
    ip: std::net::IpAddr,
    numbers: std::ops::Range<u64>,
    large: usize,
    answers: &Answers,
) -> Rc<std::cell::Cell<bool>> {
    let ended = Rc::new(std::cell::Cell::new(false));
    let (done, answers, runtime) = (ended.clone(), answers.clone(), host.clone());
    host.spawn(Shares::Foreground, "produce", async move {
        let mut random = runtime.random();
        let mut client = Client::connect_to(&runtime, ip).await;
        for number in numbers {
            let bytes = if random.chance(1, 12) { large } else { 40 };
            let queue = random.below(QUEUES as u64) as i32;
            let sent = body(number, 1 + random.below(bytes as u64) as usize);
            let late = async {
                // The lights went out on the other side, and nothing tells.
                runtime.sleep(Duration::from_secs(20)).await;
                None
            };
            let answer = client.try_send_to(TOPIC, queue, &sent);
            match future::or(answer, late).await {
                Some(answer) => answers.borrow_mut().push((number, answer.code)),
                None => client = Client::connect_to(&runtime, ip).await,
            }
            if random.chance(1, 3) {
                runtime.sleep(Duration::from_micros(random.below(4000))).await;
            }
        }
        done.set(true);
    });
    ended
}
