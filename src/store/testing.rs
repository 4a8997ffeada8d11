//! Tests of the store on the simulated machine: a workload, an oracle that remembers what was
//! promised, and the stories. Crashes and faults at every operation are played by `tests/campaign`.

mod batch;
mod bench;
mod cold;
mod counters;
mod cut;
mod damage;
mod failed_syncs;
mod garbage;
mod golden;
mod harmless;
mod index;
mod keys;
mod keys_golden;
mod long_batch;
mod meta;
mod meta_harmless;
mod pacing;
mod query;
mod queue_start;
mod replica;
mod retire;
mod stories;
mod verify;

use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use ringmq_base::{LogId, record::Record};
use ringmq_io::{
    Clock as _,
    sim::{Random, SimRuntime},
};

use crate::{
    AppendError, Appended, FlushMode, Log, LogError, LogOptions, NewRecord, QueueHandle,
    ReadLimits, ReadStatus, Recovery, Sink,
};

pub const TOPICS: [&str; 2] = ["TopicA", "B"];
pub const QUEUES: i32 = 2;
pub type Place = (usize, i32, i64);

pub fn directory() -> PathBuf {
    PathBuf::from("store/log-000")
}

/// Small sizes, so that little work meets many segments, chunks and steps.
pub fn options(flush: FlushMode) -> LogOptions {
    LogOptions {
        flush,
        segment_bytes: 64 << 10,
        zero_ahead_bytes: 32 << 10,
        hot_tail_bytes: 24 << 10,
        batch_bytes_max: 16 << 10,
        backlog_bytes_max: 48 << 10,
        checkpoint_interval: Duration::from_millis(20),
        async_sync_interval: Duration::from_millis(5),
        snapshot_bytes: 24 << 10,
        index_segment_blocks: 5,
        index_batch_pages: 1,
        index_cache_pages: 2,
        ..LogOptions::new(directory(), LogId::new(0).expect("in range"), 77)
    }
}

/// What was promised to whom. Outlives crashes.
#[derive(Default)]
pub struct Oracle {
    /// Bodies that were appended there, in all lives of the store.
    pub appended: BTreeMap<Place, Vec<Vec<u8>>>,
    /// Acknowledged: must be there for ever.
    pub acknowledged: BTreeMap<Place, Vec<u8>>,
    /// Seen by a reader: must be there for ever, too.
    pub seen: BTreeMap<Place, Vec<u8>>,
    pub failed: usize,
    /// The log reported its failure: nothing may be acknowledged in this life any more.
    pub fenced: bool,
    pub arrived: Vec<QueueHandle>,
    pub batches: Vec<usize>,
}

pub type SharedOracle = Rc<RefCell<Oracle>>;

pub struct TestSink(pub SharedOracle);

impl Sink for TestSink {
    type Ticket = (Place, Vec<u8>);

    fn durable(&self, tickets: &mut Vec<Self::Ticket>) {
        let mut oracle = self.0.borrow_mut();
        assert!(!oracle.fenced, "acknowledged after the failure was reported");
        oracle.batches.push(tickets.len());
        for (place, body) in tickets.drain(..) {
            let before = oracle.acknowledged.insert(place, body);
            assert!(before.is_none(), "{place:?} was acknowledged twice");
        }
    }

    fn failed(&self, _: &LogError, tickets: &mut Vec<Self::Ticket>) {
        let mut oracle = self.0.borrow_mut();
        oracle.fenced = true;
        oracle.failed += tickets.drain(..).count();
    }

    fn arrived(&self, queues: &[QueueHandle]) {
        self.0.borrow_mut().arrived.extend_from_slice(queues);
    }
}

pub type TestLog = Log<SimRuntime, TestSink>;

pub async fn open(
    runtime: &SimRuntime,
    options: LogOptions,
    oracle: &SharedOracle,
) -> Result<(TestLog, Recovery), crate::OpenError> {
    oracle.borrow_mut().fenced = false;
    Log::open(runtime.clone(), options, TestSink(oracle.clone())).await
}

pub fn record<'a>(topic: &'a str, queue_id: i32, body: &'a [u8]) -> NewRecord<'a> {
    NewRecord {
        topic,
        queue_id,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1,
        born_host: "127.0.0.1:1".parse().expect("an address"),
        store_host: "127.0.0.1:10911".parse().expect("an address"),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties: [b"K\x01v\x02", b"", b""],
    }
}

/// Appends and tells the oracle.
pub fn append(
    log: &TestLog,
    oracle: &SharedOracle,
    topic: usize,
    queue_id: i32,
    body: Vec<u8>,
) -> Result<Appended, AppendError> {
    let queue = log.queue(TOPICS[topic], queue_id);
    let result = log.append(queue, &record(TOPICS[topic], queue_id, &body), 7, |appended| {
        let place = (topic, queue_id, appended.queue_offset);
        Some((place, body.clone()))
    });
    if let Ok(appended) = &result {
        let place = (topic, queue_id, appended.queue_offset);
        oracle.borrow_mut().appended.entry(place).or_default().push(body);
    }
    result
}

pub fn random_body(random: &mut Random) -> Vec<u8> {
    let most = if random.chance(1, 20) { 9000 } else { 600 };
    let length = random.below(most) as usize;
    let seed = random.word();
    (0..length).map(|at| (seed >> (at % 8 * 8)) as u8 ^ at as u8).collect()
}

/// Reads every visible message of all queues and holds it against the oracle.
pub async fn check_all(log: &TestLog, oracle: &SharedOracle) {
    for (topic, name) in TOPICS.iter().enumerate() {
        for queue_id in 0..QUEUES {
            let Some(queue) = log.find_queue(name, queue_id) else {
                continue;
            };
            let (min, max) = log.bounds(queue);
            check_range(log, oracle, (topic, queue_id), queue, (min, max)).await;
        }
    }
}

async fn check_range(
    log: &TestLog,
    oracle: &SharedOracle,
    (topic, queue_id): (usize, i32),
    queue: QueueHandle,
    (min, max): (i64, i64),
) {
    let limits = ReadLimits { messages: 32, bytes: 20_000, scan: 800 };
    let mut next = min;
    while next < max {
        let plan = match log.plan_read(queue, next, &limits, |_| true) {
            Ok(plan) => plan,
            Err(needed) => match log.fetch(needed).await {
                Ok(()) => continue,
                Err(crate::ReadError::Disk(_)) => return,
                Err(error) => panic!("{error}"),
            },
        };
        assert_eq!(plan.status, ReadStatus::Found);
        let mut bytes = Vec::new();
        let resident = log.copy_resident(&plan, &mut bytes);
        assert_eq!(resident, plan.in_memory);
        let mut pieces = Vec::new();
        while resident && pieces.len() < plan.bytes {
            assert!(log.copy_resident_piece(&plan, 1000, &mut pieces));
        }
        assert_eq!(pieces, bytes);
        let mut cold = Vec::new();
        match log.read_cold(&plan, &mut cold).await {
            Ok(()) => {}
            Err(crate::ReadError::Disk(_)) => return,
            Err(error) => panic!("{error}"),
        }
        assert!(!resident || bytes == cold);
        let mut rest = cold.as_slice();
        while !rest.is_empty() {
            let record = Record::decode(rest).expect("records are whole");
            rest = &rest[record.size..];
            assert_eq!(record.queue_offset, next);
            assert_eq!((record.topic, record.queue_id), (TOPICS[topic], queue_id));
            assert!(record.body_is_intact());
            let place = (topic, queue_id, next);
            let mut oracle = oracle.borrow_mut();
            let sent = oracle
                .appended
                .get(&place)
                .is_some_and(|all| all.iter().any(|body| body == record.body));
            assert!(sent, "{place:?} was never sent like this");
            let before = oracle.seen.insert(place, record.body.to_vec());
            assert!(before.is_none_or(|body| body == record.body), "{place:?} changed");
            next += 1;
        }
        assert_eq!(next, plan.next_offset);
    }
}

/// All that was acknowledged or seen is there, unchanged.
pub async fn check_promises(log: &TestLog, oracle: &SharedOracle) {
    check_all(log, oracle).await;
    let oracle = oracle.borrow();
    for ((topic, queue_id, offset), body) in oracle.acknowledged.iter().chain(&oracle.seen) {
        let place = (topic, queue_id, offset);
        let queue = log.find_queue(TOPICS[*topic], *queue_id);
        let queue = queue.unwrap_or_else(|| panic!("the queue of {place:?} is gone"));
        assert!(log.bounds(queue).1 > *offset, "{place:?} is gone");
        assert_eq!(oracle.seen.get(&(*topic, *queue_id, *offset)), Some(body), "{place:?}");
    }
}

/// Appends at random with pauses and reads in between, until `count` or the log gives up.
pub async fn workload(
    runtime: &SimRuntime,
    log: &TestLog,
    oracle: &SharedOracle,
    count: usize,
) -> usize {
    let mut random = runtime.random();
    let mut sent = 0;
    while sent < count {
        let (topic, queue_id) = (random.index(2), random.below(2) as i32);
        match append(log, oracle, topic, queue_id, random_body(&mut random)) {
            Ok(_) => sent += 1,
            Err(
                AppendError::Busy { .. } | AppendError::Full { .. } | AppendError::NoRoom { .. },
            ) => log.room().await,
            Err(AppendError::Fenced { .. } | AppendError::ShuttingDown) => return sent,
            Err(error) => panic!("{error}"),
        }
        if random.chance(1, 6) {
            runtime.sleep(Duration::from_micros(random.below(1500))).await;
        }
        if random.chance(1, 40) {
            check_all(log, oracle).await;
        }
    }
    sent
}

pub fn segment_files(disk: &ringmq_io::sim::SimDisk) -> Vec<PathBuf> {
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|end| end == "seg");
    let mut files = disk.files();
    files.retain(|path| is_segment(path) && path.starts_with(Path::new("store/log-000")));
    files
}
