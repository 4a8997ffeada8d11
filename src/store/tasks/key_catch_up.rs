//! Reading the log behind the key index: when memory was full, after runs were lost, or when a log
//! is opened for the first time with an index.

use std::{rc::Rc, time::Duration};

use ringmq_base::record::Record;
use ringmq_io::Runtime;

use crate::{
    api::{errors::ReadError, options::Sink},
    files::{
        envelope::{self, Envelope, Kind, Reject},
        segment::HEADER_BYTES,
    },
    keys::{KeyBuffer, Noted},
    log::{Log, inner::LogInner, state::State},
};

/// Bytes of one step of reading.
const STEP_BYTES: u64 = 256 << 10;
/// After an error of the disk.
const RETRY: Duration = Duration::from_secs(5);

/// Where a step of the catching up ended.
enum Step {
    /// There is more.
    Further,
    /// Appends are noted as they come again.
    Done,
}

/// Runs until the log is closed.
pub async fn run<R: Runtime, S: Sink>(shared: Rc<LogInner<R, S>>) {
    let log = Log { shared };
    let shared = &log.shared;
    loop {
        while shared.is_open() && !shared.state.borrow().keys.is_lagging() {
            shared.key_change().await;
        }
        if !shared.is_open() {
            return;
        }
        let from = shared.state.borrow().keys.frontier();
        tracing::info!(log = %shared.options.log, from, "the key index reads the log again");
        let began = shared.runtime.monotonic();
        while !is_caught_up(&log).await {
            if !shared.is_open() {
                return;
            }
        }
        let took = shared.runtime.monotonic().saturating_sub(began);
        let to = shared.state.borrow().keys.frontier();
        tracing::info!(
            log = %shared.options.log, from, to, milliseconds = took.as_millis(),
            "the key index is complete"
        );
    }
}

/// Takes a step; true when there is none left.
async fn is_caught_up<R: Runtime, S: Sink>(log: &Log<R, S>) -> bool {
    let shared = &log.shared;
    while shared.is_open() && !shared.state.borrow().keys.has_room() {
        shared.key_change().await;
    }
    let Some(operation) = shared.begin() else {
        return false;
    };
    let step = take_step(log).await;
    drop(operation);
    match step {
        Ok(Step::Done) => return true,
        Ok(Step::Further) => shared.runtime.yield_if_needed().await,
        Err(ReadError::Removed { .. }) => {
            let mut state = shared.state.borrow_mut();
            let first = state.first;
            state.keys.skip_to(first);
        }
        Err(error) => {
            tracing::warn!(log = %shared.options.log, %error, "the key index cannot read the log");
            shared.runtime.sleep(RETRY).await;
        }
    }
    false
}

async fn take_step<R: Runtime, S: Sink>(log: &Log<R, S>) -> Result<Step, ReadError> {
    let shared = &log.shared;
    let (from, written) = {
        let mut state = shared.state.borrow_mut();
        let from = state.keys.frontier();
        if from >= state.tail.resident_from() || from >= state.written {
            return Ok(take_resident(&mut state, |position| {
                shared.segment_at(position).map(|segment| segment.start..segment.end())
            }));
        }
        (from, state.written)
    };
    let chunk = read(log, from, written).await?;
    chunk.note(&mut shared.state.borrow_mut().keys);
    Ok(Step::Further)
}

/// Makes the runs of a lost range of the log anew. Called by the task that writes runs, which does
/// `between` after each step. After an error the rest of the range stays without.
pub async fn fill_hole<R: Runtime, S: Sink>(
    log: &Log<R, S>,
    hole: std::ops::Range<u64>,
    between: impl AsyncFn(),
) -> Result<(), ReadError> {
    let shared = &log.shared;
    tracing::info!(
        log = %shared.options.log, from = hole.start, to = hole.end,
        "a part of the key index is missing and is made anew"
    );
    let limits = shared.state.borrow().keys.limits();
    let mut keys = KeyBuffer::new(limits, hole.start);
    loop {
        let Some(operation) = shared.begin() else {
            return Ok(());
        };
        if keys.frontier() >= hole.end {
            keys.flush();
        } else {
            read(log, keys.frontier(), hole.end).await?.note(&mut keys);
        }
        while let Some(block) = keys.oldest() {
            shared.key_files.write(&block).await?;
            keys.retire(block);
        }
        drop(operation);
        if keys.frontier() >= hole.end && keys.bytes() == 0 {
            return Ok(());
        }
        between().await;
    }
}

/// Records of one segment as they stand in the log.
struct Chunk {
    bytes: Vec<u8>,
    from: u64,
    /// Where the segment's records begin and where it ends.
    segment: std::ops::Range<u64>,
    /// No record that is wanted is behind it.
    limit: u64,
    path: std::path::PathBuf,
}

/// Reads some of the records that begin at `from`, or at the start of its segment's, up to `until`.
async fn read<R: Runtime, S: Sink>(
    log: &Log<R, S>,
    from: u64,
    until: u64,
) -> Result<Chunk, ReadError> {
    let found = log.segment(from, until)?;
    let segment = found.start + HEADER_BYTES..found.end();
    let from = from.max(segment.start);
    let limit = until.min(segment.end);
    let mut bytes = Vec::new();
    if from < limit {
        bytes = log.load(from, limit.min(from + STEP_BYTES)).await?;
        if let Err(Reject::Short(need)) = Envelope::open(&bytes, from) {
            bytes = log.load(from, limit.min(from + need as u64)).await?;
        }
    }
    Ok(Chunk { bytes, from, segment, limit, path: found.path.clone() })
}

impl Chunk {
    fn note(&self, keys: &mut KeyBuffer) {
        keys.skip_to(self.from.min(self.limit));
        let end = self.from + self.bytes.len() as u64;
        let mut at = self.from;
        while at < end && keys.has_room() {
            let rest = self.bytes.get((at - self.from) as usize..).unwrap_or_default();
            match Envelope::open(rest, at) {
                Ok(found) => at = take_record(keys, &found, rest, at, self.segment.end),
                Err(Reject::Short(_)) if at > self.from => break,
                Err(reject) => {
                    tracing::error!(
                        path = %self.path.display(), from = at, to = self.limit, found = %reject,
                        "damaged message: those behind it in the segment are not in the key index"
                    );
                    keys.skip_to(self.limit);
                    break;
                }
            }
        }
    }
}

/// Notes what is in memory, with nothing awaited in between: then nothing is missed. Segments are
/// asked for by position and answer with their range.
fn take_resident<T>(
    state: &mut State<T>,
    segment: impl Fn(u64) -> Option<std::ops::Range<u64>>,
) -> Step {
    let began = state.keys.frontier();
    let State { tail, keys, position: end, .. } = state;
    loop {
        let at = keys.frontier();
        if at.saturating_sub(began) >= STEP_BYTES || !keys.has_room() {
            return Step::Further;
        }
        if at >= *end {
            keys.resume();
            return Step::Done;
        }
        let segment = segment(at).expect("what is in memory is in a segment");
        if at < segment.start + HEADER_BYTES {
            keys.skip_to(segment.start + HEADER_BYTES);
            continue;
        }
        let head = tail.get(at, envelope::BYTES).unwrap_or_default();
        let bytes = match Envelope::open(head, at) {
            Err(Reject::Short(need)) => tail.get(at, need).unwrap_or_default(),
            _ => head,
        };
        match Envelope::open(bytes, at) {
            Ok(found) => {
                take_record(keys, &found, bytes, at, segment.end);
            }
            Err(reject) => {
                tracing::error!(at, end, found = %reject, "no record in memory where one begins");
                keys.skip_to(*end);
            }
        }
    }
}

/// Notes a record and answers where the next one is.
fn take_record(
    keys: &mut KeyBuffer,
    found: &Envelope,
    bytes: &[u8],
    at: u64,
    segment_end: u64,
) -> u64 {
    let end = match found.kind {
        Kind::EndOfSegment => segment_end + HEADER_BYTES,
        _ => at + found.stride() as u64,
    };
    let payload = bytes.get(envelope::BYTES..).unwrap_or_default();
    if let (Kind::Message, Ok(record)) = (found.kind, Record::decode(payload)) {
        keys.note_late(&Noted {
            topic: record.topic,
            sys_flag: record.sys_flag,
            properties: record.properties,
            position: at + envelope::BYTES as u64,
            end,
            store_timestamp: record.store_timestamp,
        });
    }
    keys.skip_to(end);
    end
}
