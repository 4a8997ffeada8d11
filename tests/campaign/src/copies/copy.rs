//! One copy of a log, by what it must hold: opened, written, read, and filled with the bytes of
//! another one as a follower is.

use std::{
    cell::{Cell, RefCell},
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use ringmq_base::{LogId, LogPosition, record::Record};
use ringmq_io::{
    BlockBuffer as _, Clock as _, Disk as _, File as _, OpenMode, Runtime as _,
    sim::{Random, SimDisk, SimFile, SimRuntime},
};
use ringmq_store::{
    AppendError, FlushMode, Log, LogError, LogOptions, Opening, QueueHandle, RawError,
    SegmentFacts, Sink, log_directory,
};

use crate::workload::record;

const BLOCK: u64 = 4096;
const ENVELOPE: u64 = 32;
/// Where the first record of a log begins.
pub const FIRST: u64 = BLOCK;
pub const SEGMENT: u64 = 64 << 10;
const TOPIC: &str = "Topic";
const QUEUES: i32 = 2;

/// A message and where it stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Message {
    /// Of its envelope.
    pub start: u64,
    /// Behind its record.
    pub end: u64,
    queue: i32,
    offset: i64,
    id: u64,
}

/// What a workload does now and then.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    pub marks_each: Duration,
    pub snapshot_bytes: u64,
    pub large_one_in: u64,
}

pub fn directory() -> PathBuf {
    log_directory(Path::new("store"), LogId::new(0).expect("0 is in range"))
}

pub fn options(habits: &Habits, opening: Opening) -> LogOptions {
    let log = LogId::new(0).expect("0 is in range");
    LogOptions {
        opening,
        flush: FlushMode::Sync,
        segment_bytes: SEGMENT,
        zero_ahead_bytes: 32 << 10,
        hot_tail_bytes: 24 << 10,
        batch_bytes_max: 16 << 10,
        backlog_bytes_max: 48 << 10,
        checkpoint_interval: habits.marks_each,
        snapshot_bytes: habits.snapshot_bytes,
        index_segment_blocks: 4,
        index_batch_pages: 1,
        index_cache_pages: 2,
        ..LogOptions::new(directory(), log, 77)
    }
}

/// Counts what is acknowledged, in the order of the log.
pub struct Acks(Rc<Cell<usize>>);

impl Sink for Acks {
    type Ticket = ();

    fn durable(&self, tickets: &mut Vec<()>) {
        self.0.set(self.0.get() + tickets.len());
        tickets.clear();
    }

    fn failed(&self, error: &LogError, _: &mut Vec<()>) {
        panic!("nothing fails here: {error}");
    }

    fn arrived(&self, _: &[QueueHandle]) {}
}

/// What a process has done so far; outlives its crash.
#[derive(Default)]
pub struct Life {
    /// What the opening found, once it has, and where it ends.
    pub found: RefCell<Option<(Vec<Message>, u64)>>,
    pub appended: RefCell<Vec<Message>>,
    pub acked: Rc<Cell<usize>>,
}

/// Opens the log, reads all of it, appends so many messages and waits for them. `closes`: it is
/// closed in order.
pub async fn live(
    runtime: &SimRuntime,
    life: &Life,
    (habits, opening): (&Habits, Opening),
    (count, closes): (u64, bool),
    next_id: &Cell<u64>,
) -> Result<(), String> {
    let sink = Acks(life.acked.clone());
    let opened = Log::open(runtime.clone(), options(habits, opening), sink).await;
    let (log, recovery) = opened.map_err(|error| format!("{opening:?} is refused: {error}"))?;
    // As if no other copy lacked anything.
    log.allow(LogPosition(1 << 47));
    life.found.replace(Some((read_all(&log).await?, recovery.end)));
    let mut random = runtime.random();
    for _ in 0..count {
        if matches!(opening, Opening::Leads { .. }) {
            // Nobody else counts, so records claim what is true of this copy alone.
            log.note_stable_everywhere(log.ends().stable);
        }
        let (queue_id, id) = (random.below(QUEUES as u64) as i32, next_id.get());
        next_id.set(id + 1);
        let large = random.chance(1, habits.large_one_in);
        let bytes = random.below(if large { 9000 } else { 500 });
        let body = [id.to_be_bytes().to_vec(), vec![id as u8; bytes as usize]].concat();
        let handle = log.queue(TOPIC, queue_id);
        let appended = loop {
            match log.append(handle, &record(TOPIC, queue_id, &body), 7, |_| Some(())) {
                Ok(appended) => break appended,
                Err(AppendError::Busy { .. }) => log.room().await,
                Err(error) => return Err(format!("an append is refused: {error}")),
            }
        };
        let position = appended.physical.position().0;
        let message = message(position, appended.size, queue_id, appended.queue_offset, id);
        life.appended.borrow_mut().push(message);
        if random.chance(1, 2) {
            runtime.sleep(Duration::from_micros(random.below(1500))).await;
        }
    }
    let appended = life.appended.borrow().len();
    while life.acked.get() < appended {
        runtime.sleep(Duration::from_micros(200)).await;
    }
    if closes {
        log.close().await.map_err(|error| format!("it does not close: {error}"))?;
    }
    Ok(())
}

fn message(position: u64, size: usize, queue: i32, offset: i64, id: u64) -> Message {
    let end = (position + size as u64).next_multiple_of(8);
    Message { start: position - ENVELOPE, end, queue, offset, id }
}

/// All that is served, in the order of the log.
async fn read_all(log: &Log<SimRuntime, Acks>) -> Result<Vec<Message>, String> {
    let mut all = Vec::new();
    for queue_id in 0..QUEUES {
        let Some(queue) = log.find_queue(TOPIC, queue_id) else { continue };
        let (min, max) = log.bounds(queue);
        for offset in min..max {
            let wrong = |what: String| format!("offset {offset} of queue {queue_id}: {what}");
            let entry = log.entry(queue, offset).await.map_err(|error| wrong(error.to_string()))?;
            let entry = entry.ok_or_else(|| wrong("is not in the index".into()))?;
            let bytes = log.read_record(entry.physical).await;
            let bytes = bytes.map_err(|error| wrong(error.to_string()))?;
            let bytes = bytes.ok_or_else(|| wrong("is not in the log".into()))?;
            let record = Record::decode(&bytes).map_err(|error| wrong(error.to_string()))?;
            let id = record.body.first_chunk().map_or(u64::MAX, |id| u64::from_be_bytes(*id));
            if (record.queue_id, record.queue_offset) != (queue_id, offset) {
                return Err(wrong("another message".into()));
            }
            let position = entry.physical.position().0;
            all.push(message(position, record.size, queue_id, offset, id));
        }
    }
    all.sort_unstable();
    Ok(all)
}

/// The smaller and the greater `committed` of the two blocks of the mark; see `docs/FORMAT.md`.
pub fn committed(disk: &SimDisk) -> (u64, u64) {
    let bytes = disk.read_file(directory().join("mark")).unwrap_or_default();
    let of = |at: usize| {
        bytes
            .get(at + 72..)
            .and_then(|bytes| bytes.first_chunk())
            .map_or(0, |committed| u64::from_le_bytes(*committed))
    };
    let (one, other) = (of(0), of(BLOCK as usize));
    (one.min(other), one.max(other))
}

fn segment_path(start: u64) -> PathBuf {
    directory().join(format!("{start:020}.seg"))
}

/// Takes over what `leader` holds from where the log ends, its messages being `all`, as a log that
/// is open and follows: record by record, allowed to commit some of it. `synced`: the messages that
/// are on stable storage for certain.
pub async fn follow_open(
    runtime: &SimRuntime,
    habits: &Habits,
    leader: &SimDisk,
    all: &[Message],
    synced: &Cell<usize>,
) -> Result<(), String> {
    let sink = Acks(Rc::default());
    let opened = Log::open(runtime.clone(), options(habits, Opening::Follows), sink).await;
    let (log, _) = opened.map_err(|error| format!("it does not follow: {error}"))?;
    let mut random = runtime.random();
    let mut announced = 0;
    loop {
        let ends = log.ends();
        let stable = all.partition_point(|message| message.end <= ends.stable.0);
        synced.set(synced.get().max(stable));
        if random.chance(1, 3) && stable > 0 {
            log.allow(LogPosition(all[random.index(stable)].end));
        }
        let position = ends.end.0;
        let next = all.partition_point(|message| message.start < position);
        if next == all.len() && stable == next {
            return Ok(());
        }
        let segment = position / SEGMENT * SEGMENT;
        let bytes = leader.read_file(segment_path(segment)).expect("the leader has it");
        let here = |message: &&Message| message.start / SEGMENT * SEGMENT == segment;
        let some = all[next..].iter().take(1 + random.index(4)).take_while(here).last();
        let end = match (some, all.get(next)) {
            (Some(message), _) => message.end,
            (None, None) => position,
            // The record that ends the segment.
            (None, Some(message)) => {
                if announced < message.start {
                    announced = message.start;
                    let facts = facts_of(leader, message.start / SEGMENT * SEGMENT);
                    log.announce_segment(facts).map_err(|error| error.to_string())?;
                }
                position + ENVELOPE
            }
        };
        let records = &bytes[(position - segment) as usize..(end - segment) as usize];
        match log.append_raw(LogPosition(position), records) {
            Ok(()) if random.chance(1, 2) => {}
            Ok(()) | Err(RawError::Append(AppendError::Busy { .. })) => {
                runtime.sleep(Duration::from_micros(random.below(1500))).await;
            }
            Err(error) => return Err(format!("records of the leader are refused: {error}")),
        }
    }
}

/// What the header of a segment says; see `docs/FORMAT.md`.
fn facts_of(disk: &SimDisk, start: u64) -> SegmentFacts {
    let bytes = disk.read_file(segment_path(start)).expect("the leader has it");
    let epoch = bytes.get(20..).and_then(|bytes| bytes.first_chunk()).expect("a whole header");
    let epoch = u32::from_le_bytes(*epoch);
    SegmentFacts { start: LogPosition(start), bytes: SEGMENT, epoch }
}

/// Takes over what `leader` holds from `from` on, its messages being `all`, as a follower does:
/// many records in one write, synced now and then. `synced`: the messages that are on stable
/// storage for certain.
pub async fn follow(
    runtime: &SimRuntime,
    leader: &SimDisk,
    (all, from): (&[Message], u64),
    synced: &Cell<usize>,
) {
    let mut random = runtime.random();
    let mut next = all.partition_point(|message| message.start < from);
    let mut position = from;
    while next < all.len() {
        let segment = all[next].start / SEGMENT * SEGMENT;
        if segment > position / SEGMENT * SEGMENT {
            // The header of the next segment, and only then the record that ends this one.
            let start = position / SEGMENT * SEGMENT;
            begin_segment(runtime, leader, segment).await;
            copy(runtime, leader, start, position..position + ENVELOPE, true).await;
            synced.set(next);
            position = segment + BLOCK;
        }
        let most = 1 + random.below(8) as usize;
        let more = all[next..].iter().take(most);
        let more = more.take_while(|message| message.start / SEGMENT * SEGMENT == segment);
        let count = more.count();
        let end = all[next + count - 1].end;
        let syncs = random.chance(1, 4);
        copy(runtime, leader, segment, position..end, syncs).await;
        (next, position) = (next + count, end);
        if syncs {
            synced.set(next);
        }
    }
}

/// Writes the blocks of a range of positions; what is behind it in its last block is zero.
async fn copy(
    runtime: &SimRuntime,
    leader: &SimDisk,
    segment: u64,
    range: std::ops::Range<u64>,
    syncs: bool,
) {
    let bytes = leader.read_file(segment_path(segment)).expect("the leader has it");
    let (first, last) = (range.start - segment, range.end - segment);
    let (from, to) = (first / BLOCK * BLOCK, last.next_multiple_of(BLOCK));
    let disk = runtime.disk();
    let file = disk.open(&segment_path(segment), OpenMode::Write).await.expect("no fault");
    let length = file.length().await.expect("no fault");
    if length < to {
        file.allocate(length, to - length).await.expect("no fault");
    }
    let mut buffer = disk.buffer((to - from) as usize);
    let content = &bytes[from as usize..last as usize];
    buffer.bytes_mut()[..content.len()].copy_from_slice(content);
    file.write(&buffer, from).await.expect("no fault");
    end(file, syncs).await;
}

async fn end(file: SimFile, syncs: bool) {
    if syncs {
        file.sync().await.expect("no fault");
    }
    file.close().await.expect("no fault");
}

async fn begin_segment(runtime: &SimRuntime, leader: &SimDisk, start: u64) {
    let bytes = leader.read_file(segment_path(start)).expect("the leader has it");
    let disk = runtime.disk();
    let new = directory().join(format!("{start:020}.seg.new"));
    // The opening before may have begun one.
    let _ = disk.remove(&new).await;
    let file = disk.create(&new, OpenMode::Write).await.expect("no fault");
    file.allocate(0, 4 * BLOCK).await.expect("no fault");
    let mut buffer = disk.buffer(BLOCK as usize);
    buffer.bytes_mut().copy_from_slice(&bytes[..BLOCK as usize]);
    file.write(&buffer, 0).await.expect("no fault");
    end(file, true).await;
    disk.rename_durably(&new, &segment_path(start)).await.expect("no fault");
}

/// An image of a disk whose process or power ended.
pub fn crash(disk: &SimDisk, random: &mut Random) -> SimDisk {
    let seed = random.word();
    match random.below(4) {
        0 => disk.kill(seed),
        1 => disk.power_cut(seed),
        _ => disk.power_cut_with(seed, ringmq_io::sim::PowerCut { torn_sectors: true }),
    }
}
