//! A master or a follower of one log on a machine of its own.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    path::PathBuf,
    rc::Rc,
    time::Duration,
};

use ringmq_base::{LogId, LogPosition, record::Record};
use ringmq_io::{
    Clock as _, Listener as _, Net as _, Runtime as _, Shares, Spawn as _,
    sim::{Node, Random, Sim, SimDisk, SimRuntime, SimStream},
};
use ringmq_store::{
    AppendError, FlushMode, Leadership, Log, LogError, LogOptions, NewRecord, Opening, QueueHandle,
    SegmentFacts, Sink, cut_log,
};

use crate::{
    frames::secret::Secret,
    ids::{Epoch, ReplicaId},
    in_sync_set::InSyncSet,
    streams::{
        FrameReader, GoOn, Identity, Lead, LogFacts, Party, SendOptions, StreamError, connect,
        dial, greet, hello, receive, send,
    },
};

pub const PORT: u16 = 10912;
pub const QUEUES: i32 = 3;
pub const EPOCH: Epoch = Epoch(2);
const LINEAGE: u128 = 77;
const SEGMENT_BYTES: u64 = 64 << 10;
/// Between two tries to reach the master.
const AGAIN: Duration = Duration::from_millis(20);

type Check = Box<dyn Fn(u64)>;

/// What was acknowledged: ends of messages in the log, and their numbers.
#[derive(Default)]
pub struct Acks {
    pub numbers: RefCell<Vec<(u64, u64)>>,
    /// What has to hold whenever something is acknowledged, of the end of the message.
    pub check: RefCell<Option<Check>>,
}

pub struct TestSink(pub Rc<Acks>);

impl Sink for TestSink {
    type Ticket = (u64, u64);

    fn durable(&self, tickets: &mut Vec<(u64, u64)>) {
        for (end, number) in tickets.drain(..) {
            if let Some(check) = &*self.0.check.borrow() {
                check(end);
            }
            self.0.numbers.borrow_mut().push((end, number));
        }
    }

    fn failed(&self, error: &LogError, _: &mut Vec<(u64, u64)>) {
        panic!("{error}");
    }

    fn arrived(&self, _: &[QueueHandle]) {}
}

pub type TestLog = Log<SimRuntime, TestSink>;
pub type TestLead = Lead<SimRuntime, TestSink>;

fn options(flush: FlushMode, opening: Opening) -> LogOptions {
    let first = SegmentFacts { start: LogPosition(0), bytes: SEGMENT_BYTES, epoch: 2 };
    LogOptions {
        flush,
        opening,
        first_segment: Some(first),
        segment_bytes: SEGMENT_BYTES,
        zero_ahead_bytes: 32 << 10,
        hot_tail_bytes: 24 << 10,
        batch_bytes_max: 16 << 10,
        backlog_bytes_max: 48 << 10,
        snapshot_bytes: 24 << 10,
        index_segment_blocks: 5,
        index_batch_pages: 1,
        ..LogOptions::new(PathBuf::from("log-000"), LogId::new(0).expect("in range"), LINEAGE)
    }
}

pub struct Machine {
    pub node: Node,
    pub replica: ReplicaId,
    pub log: RefCell<Option<TestLog>>,
    pub acks: Rc<Acks>,
    flush: FlushMode,
    pub identity: Identity,
    pub secret: Option<Secret>,
    /// Connections that ended, and why.
    pub ended: RefCell<Vec<String>>,
    pub cuts: Cell<usize>,
    runtime: RefCell<Option<SimRuntime>>,
    nonces: Cell<u128>,
}

impl Machine {
    pub fn new(sim: &Sim, number: u32, flush: FlushMode) -> Rc<Machine> {
        let node = sim.add_node([10, 0, 0, number as u8], &SimDisk::new(sim.seed() + 100));
        let replica = ReplicaId(number);
        let identity = Identity {
            cluster: "cluster".into(),
            group: "broker-a".into(),
            lineage: LINEAGE,
            replica,
            directory: u128::from(number),
            instance: u128::from(number),
        };
        Rc::new(Machine {
            node,
            replica,
            log: RefCell::default(),
            acks: Rc::default(),
            flush,
            identity,
            secret: Some(Secret::new(b"of the group")),
            ended: RefCell::default(),
            cuts: Cell::default(),
            runtime: RefCell::default(),
            nonces: Cell::new(u128::from(number) << 64),
        })
    }

    pub fn log(&self) -> TestLog {
        self.log.borrow().clone().expect("it is open")
    }

    pub async fn open(&self, runtime: &SimRuntime, opening: Opening) -> TestLog {
        let sink = TestSink(self.acks.clone());
        let opened = Log::open(runtime.clone(), options(self.flush, opening), sink).await;
        let (log, _) = opened.unwrap_or_else(|error| panic!("{:?}: {error}", self.replica));
        self.log.replace(Some(log.clone()));
        log
    }

    fn boot(&self) -> SimRuntime {
        let runtime = self.node.boot();
        self.runtime.replace(Some(runtime.clone()));
        runtime
    }

    /// Of the process that runs.
    pub fn runtime(&self) -> SimRuntime {
        self.runtime.borrow().clone().expect("it runs")
    }

    /// The process ends, or the power fails.
    pub fn die(&self, power: bool) {
        self.log.replace(None);
        match power {
            true => self.node.power_cut(),
            false => self.node.kill(),
        }
    }

    /// All that a consumer could be served now: numbers by queue and offset.
    pub async fn served(&self) -> BTreeMap<(i32, i64), u64> {
        let mut served = BTreeMap::new();
        let Some(log) = self.log.borrow().clone() else { return served };
        for queue_id in 0..QUEUES {
            let Some(queue) = log.find_queue("TopicA", queue_id) else { continue };
            let (min, max) = log.bounds(queue);
            for offset in min..max {
                let entry = log.entry(queue, offset).await.expect("reads").expect("is visible");
                let bytes = log.read_record(entry.physical).await.expect("reads");
                let bytes = bytes.unwrap_or_else(|| panic!("{queue_id}/{offset} is not there"));
                let record = Record::decode(&bytes).expect("whole");
                assert_eq!((record.queue_id, record.queue_offset), (queue_id, offset));
                let number = record.body.first_chunk().expect("a number");
                served.insert((queue_id, offset), u64::from_be_bytes(*number));
            }
        }
        served
    }

    fn nonce(&self) -> u128 {
        self.nonces.set(self.nonces.get() + 1);
        self.nonces.get()
    }

    pub fn party(&self, epoch: Epoch) -> Party<'_> {
        let (identity, secret) = (&self.identity, self.secret.as_ref());
        Party { identity, secret, nonce: self.nonce(), epoch }
    }

    /// Starts as the master of all of these members; resolves when the epoch has begun.
    pub async fn lead(self: &Rc<Self>, epoch: Epoch, members: &[u32]) -> Rc<TestLead> {
        let runtime = self.boot();
        let log = self.open(&runtime, Opening::Leads { epoch: epoch.0 }).await;
        let start = Leadership { leader: 1, set_version: 1, time_ms: runtime.now_ms() };
        log.start_epoch(epoch.0, start).await.expect("begins");
        let set = InSyncSet::all_of(members.iter().copied().map(ReplicaId));
        let begun = log.ends().end.0;
        let lead = Rc::new(Lead::new(log, epoch, self.replica, set, begun));
        let own = lead.clone();
        runtime.spawn(Shares::Foreground, "own", async move { own.watch_own().await });
        let address = (self.node.ip(), PORT).into();
        let listener = runtime.net().listen(address).expect("listens");
        let (machine, at, served) = (self.clone(), runtime.clone(), lead.clone());
        runtime.spawn(Shares::Foreground, "accept", async move {
            loop {
                let accepted = listener.accept().await.expect("accepts");
                let (machine, runtime) = (machine.clone(), at.clone());
                let lead = served.clone();
                at.spawn(Shares::Foreground, "serve", async move {
                    let stream = runtime.net().adopt(accepted).expect("adopts");
                    let served = machine.serve(&runtime, &lead, &stream).await;
                    machine.ended.borrow_mut().push(served.expect_err("it ends").to_string());
                });
            }
        });
        lead
    }

    async fn serve(
        &self,
        runtime: &SimRuntime,
        lead: &TestLead,
        stream: &SimStream,
    ) -> Result<std::convert::Infallible, StreamError> {
        let mut reader = FrameReader::new(stream);
        let (_, hello) = hello(runtime, &mut reader).await?;
        let facts = LogFacts::of(lead.log()).await?;
        let party = self.party(lead.epoch());
        let with = (&hello, stream, &mut reader);
        let greeted = greet(runtime, lead.log(), &facts, &party, with).await?;
        if greeted.go_on == GoOn::Seed {
            panic!("{:?} has nothing of a follower: {facts:?}", self.replica);
        }
        if greeted.go_on != GoOn::AtEnd {
            // It comes again when its log was cut.
            return Err(StreamError::Closed);
        }
        let member = lead.connect(greeted.replica, greeted.end);
        let options = SendOptions { window_bytes: 40_000, frame_bytes: 9_000 };
        send(runtime, lead, (member, stream, &mut reader), greeted.end, options).await
    }

    /// Starts as a follower, which looks for its master for ever.
    pub async fn follow(self: &Rc<Self>, master: &Machine) {
        let runtime = self.boot();
        let log = self.open(&runtime, Opening::Follows).await;
        let address = (master.node.ip(), PORT).into();
        let (machine, at) = (self.clone(), runtime.clone());
        runtime.spawn(Shares::Foreground, "follow", async move {
            let mut log = log;
            loop {
                let ended = match connect(&at, address).await {
                    Ok(stream) => machine.take(&at, &log, &stream).await.expect_err("it ends"),
                    Err(error) => Ended::Stream(error),
                };
                match ended {
                    Ended::Stream(error) => machine.ended.borrow_mut().push(error.to_string()),
                    Ended::Cut(to, epoch) => log = machine.cut(&at, log, (to, epoch)).await,
                }
                at.sleep(AGAIN).await;
            }
        });
    }

    async fn take(
        &self,
        runtime: &SimRuntime,
        log: &TestLog,
        stream: &SimStream,
    ) -> Result<std::convert::Infallible, Ended> {
        let mut reader = FrameReader::new(stream);
        // What was taken is written before it is said how far the log goes.
        log.caught_up(0).await;
        let facts = LogFacts::of(log).await?;
        let party = self.party(Epoch(0));
        let with = (stream, &mut reader);
        let (epoch, go_on, _) = dial(runtime, log, &facts, &party, with).await?;
        match go_on {
            GoOn::AtEnd => Ok(receive(runtime, log, epoch, (stream, &mut reader)).await?),
            GoOn::Truncate { to } => Err(Ended::Cut(to, epoch)),
            GoOn::Seed => panic!("{:?} has nothing of its master: {facts:?}", self.replica),
        }
    }

    /// Cuts what the master does not have.
    async fn cut(
        &self,
        runtime: &SimRuntime,
        log: TestLog,
        (to, epoch): (LogPosition, Epoch),
    ) -> TestLog {
        self.log.replace(None);
        log.close().await.expect("closes");
        let options = options(self.flush, Opening::Follows);
        let cut = cut_log(runtime, &options, to.0, epoch.0).await;
        cut.unwrap_or_else(|error| panic!("{:?}: {error}", self.replica));
        self.cuts.set(self.cuts.get() + 1);
        self.open(runtime, Opening::Follows).await
    }
}

/// Why a follower is not on a connection any more.
enum Ended {
    Stream(StreamError),
    Cut(LogPosition, Epoch),
}

impl<E: Into<StreamError>> From<E> for Ended {
    fn from(error: E) -> Ended {
        Ended::Stream(error.into())
    }
}

/// Appends messages of these numbers, with pauses.
pub async fn produce(
    runtime: SimRuntime,
    log: TestLog,
    random: &mut Random,
    numbers: std::ops::Range<u64>,
) {
    for number in numbers {
        let length = if random.chance(1, 20) { 9000 } else { 600 };
        let filling = vec![number as u8; random.below(length) as usize];
        let body = [number.to_be_bytes().to_vec(), filling].concat();
        let queue_id = random.below(QUEUES as u64) as i32;
        let queue = log.queue("TopicA", queue_id);
        let record = record(queue_id, &body);
        loop {
            let log = &log;
            let ticket = |_: &ringmq_store::Appended| Some((log.ends().end.0, number));
            match log.append(queue, &record, 7, ticket) {
                Ok(_) => break,
                Err(AppendError::Busy { .. }) => log.room().await,
                Err(error) => panic!("{error}"),
            }
        }
        if random.chance(1, 4) {
            runtime.sleep(Duration::from_micros(random.below(3000))).await;
        }
    }
}

fn record(queue_id: i32, body: &[u8]) -> NewRecord<'_> {
    NewRecord {
        topic: "TopicA",
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

/// The first bytes of the segments of a log, by name.
pub fn segments(disk: &SimDisk, end: LogPosition) -> Vec<(PathBuf, Vec<u8>)> {
    let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let start = |path: &PathBuf| name(path)?.strip_suffix(".seg")?.parse::<u64>().ok();
    let files = disk.files();
    let segments = files.iter().filter_map(|path| Some((path, start(path)?)));
    let within = segments.filter(|(_, start)| *start < end.0);
    let read = |path: &PathBuf, start: u64| {
        let mut bytes = disk.read_file(path).expect("is there");
        bytes.truncate(usize::try_from(end.0 - start).expect("small"));
        (path.clone(), bytes)
    };
    within.map(|(path, start)| read(path, start)).collect()
}
