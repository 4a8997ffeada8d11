//! The bytes of a log: from the tail where they are resident, else from disk by way of the block
//! cache, with read-ahead for readers that sweep. Records are checked on every serve, wherever
//! their bytes came from.
//!
//! Only blocks that are final are read: the block of the written end and all behind it are
//! resident ([`crate::log::tail`]), so no read ever meets a write of the same block.

use std::rc::Rc;

use ringmq_base::{LogPosition, PhysicalOffset, limits::BLOCK_BYTES, record};
use ringmq_io::{File as _, Runtime, Shares, disk::ReadBytes};

use crate::{
    api::{errors::ReadError, options::Sink},
    cache::{
        Ahead, Block, BlockKey, Found, LOG_BLOCK_BYTES, ReadCompleter, ReadPermit,
        pacing::ReadBudget,
    },
    files::{
        block::{block_ceiling, block_floor},
        envelope::{self, Envelope, Kind, Reject},
        segment::{BufferOf, Segment},
    },
    log::{
        Log,
        inner::{LogInner, Operation},
    },
};

/// Largest range that is checked in one go, unless a single record is larger.
const GROUP_BYTES_MAX: u64 = 1 << 20;
/// What is copied without a pause.
const PIECE_BYTES: usize = 256 << 10;
/// Records closer than this are read in one go.
const MERGE_GAP_BYTES: u64 = 32 << 10;
/// Of a record, up to the end of its physical offset.
const RECORD_HEAD_BYTES: usize = record::at::SYS_FLAG;
const ENVELOPE: u64 = envelope::BYTES as u64;

impl<R: Runtime, S: Sink> Log<R, S> {
    /// Appends the records to `out`, all checked. After an error `out` may hold some of them.
    pub(crate) async fn load_records(
        &self,
        extents: &[(LogPosition, u32)],
        out: &mut Vec<u8>,
    ) -> Result<(), ReadError> {
        let mut rest = extents;
        while let Some(first) = rest.first() {
            let from = first.0.0 - ENVELOPE;
            let mut end = first.0.0 + u64::from(first.1);
            let segment_end = self.segment(from, end)?.end();
            let joins = |end: &mut u64, (position, size): &(LogPosition, u32)| {
                let next = position.0 + u64::from(*size);
                let near = position.0.saturating_sub(*end) <= MERGE_GAP_BYTES;
                let joins = near && next - from <= GROUP_BYTES_MAX && next <= segment_end;
                if joins {
                    *end = next;
                }
                joins
            };
            let count = 1 + rest[1..].iter().take_while(|extent| joins(&mut end, extent)).count();
            let (group, others) = rest.split_at(count);
            rest = others;
            self.load_group(group, (from, end), out).await?;
        }
        Ok(())
    }

    /// The records of one group, which lie in `from..end` of one segment.
    async fn load_group(
        &self,
        group: &[(LogPosition, u32)],
        (from, end): (u64, u64),
        out: &mut Vec<u8>,
    ) -> Result<(), ReadError> {
        let (before, scrub) = (out.len(), &self.shared.damage);
        let now = self.shared.runtime.monotonic();
        let place = |(position, size): &(LogPosition, u32)| {
            (position.0 - ENVELOPE, position.0 + u64::from(*size))
        };
        let known = group.iter().map(place).find_map(|(from, to)| scrub.refuse(from, to, now));
        if let Some(error) = known {
            return Err(error);
        }
        let mut bytes = self.load(from, end).await?;
        let runtime = &self.shared.runtime;
        if take_records(runtime, (&bytes, from), group, out).await.is_err() {
            // Perhaps the file was repaired since the cache saw it.
            out.truncate(before);
            bytes = self.load_anew(from, end).await?;
            let taken = take_records(runtime, (&bytes, from), group, out).await;
            if let Err((from, to, found)) = taken {
                scrub.tried(from, to, false, now);
                let segment = self.segment(from, to)?;
                return Err(self.damaged(&segment, from, to, &found));
            }
        }
        group.iter().map(place).for_each(|(from, to)| scrub.tried(from, to, true, now));
        Ok(())
    }

    /// What stands at a position that somebody named: the record if there is one, with its
    /// envelope, else whatever is there; and whether it says itself that it stands there.
    pub(crate) async fn load_unknown(
        &self,
        physical: PhysicalOffset,
        limit: u64,
    ) -> Result<(Vec<u8>, bool), ReadError> {
        let from = physical.position().0 - ENVELOPE;
        let head = limit.min(physical.position().0 + RECORD_HEAD_BYTES as u64);
        let mut bytes = self.load(from, head).await?;
        if let Err(Reject::Short(need)) = Envelope::open(&bytes, from) {
            bytes = self.load(from, limit.min(from + need as u64)).await?;
        }
        if Envelope::open(&bytes, from).is_err() {
            // Perhaps the file was repaired since the cache saw it.
            bytes = self.load_anew(from, head).await?;
            if let Err(Reject::Short(need)) = Envelope::open(&bytes, from) {
                bytes = self.load_anew(from, limit.min(from + need as u64)).await?;
            }
        }
        let at = envelope::BYTES + record::at::PHYSICAL_OFFSET;
        let claims = bytes.get(at..envelope::BYTES + RECORD_HEAD_BYTES)
            == Some(physical.get().to_be_bytes().as_slice());
        Ok((bytes, claims))
    }

    pub(crate) fn damaged(
        &self,
        segment: &Segment<R>,
        from: u64,
        to: u64,
        found: &str,
    ) -> ReadError {
        tracing::error!(path = %segment.path.display(), from, to, found, "damaged message");
        self.shared.cache.forget_log(from, to);
        ReadError::Damaged { path: segment.path.clone(), from, to, found: found.into() }
    }

    pub(crate) fn segment(&self, from: u64, to: u64) -> Result<Rc<Segment<R>>, ReadError> {
        self.shared.segment_at(from).ok_or(ReadError::Removed { from, to })
    }

    /// The bytes `from..end` of one segment, all of them written. Unchecked. Safe to cancel.
    pub(crate) async fn load(&self, from: u64, end: u64) -> Result<Vec<u8>, ReadError> {
        let segment = self.segment(from, end)?;
        let (mut bytes, cold_end) = self.copy_hot(&segment, from, end);
        if from >= cold_end {
            return Ok(bytes);
        }
        let shared = &self.shared;
        let counts = !note_stream(shared, &segment, from, cold_end);
        let mut at = from;
        while at < cold_end {
            let start = block_start(&segment, at);
            let stop = cold_end.min(start + LOG_BLOCK_BYTES);
            let need = (stop - start) as usize;
            let key = BlockKey::Log(start);
            let block = match shared.cache.find(key, need, counts) {
                Found::Block(block) => Some(block),
                Found::Pending(read) => read.block(key).await.filter(|one| one.len() >= need),
                Found::Nothing => None,
            };
            at = match block {
                Some(block) => copy_block(&mut bytes, from, start, &block, at, stop),
                None => self.read_run(&segment, &mut bytes, from, at, cold_end).await?,
            };
            // All of it may be in the cache.
            if at - from > PIECE_BYTES as u64 {
                shared.runtime.yield_if_needed().await;
            }
        }
        Ok(bytes)
    }

    /// As [`Log::load`], past the cache; what the cache has of the range is dropped.
    async fn load_anew(&self, from: u64, end: u64) -> Result<Vec<u8>, ReadError> {
        let segment = self.segment(from, end)?;
        self.shared.cache.forget_log(from, end);
        let (mut bytes, cold_end) = self.copy_hot(&segment, from, end);
        let mut at = block_floor(from);
        let until = block_ceiling(cold_end);
        while from < cold_end && at < until {
            let budget = budget(&self.shared);
            let count = (until - at).min(budget.read_bytes);
            let _permit = self.shared.cache.admit(count, budget).await;
            let read = read_file(&self.shared, &segment, at, count).await?;
            let read = read.bytes();
            let stop = cold_end.min(at + count);
            if at + (read.len() as u64) < stop {
                let found = "the end of the file";
                return Err(self.damaged(&segment, at, at + count, found));
            }
            copy_block(&mut bytes, from, at, read, from.max(at), stop);
            at += count;
        }
        Ok(bytes)
    }

    /// Memory for `from..end` with the resident part filled in, before anything is awaited, and
    /// where that begins. Blocks before it are final.
    fn copy_hot(&self, segment: &Segment<R>, from: u64, end: u64) -> (Vec<u8>, u64) {
        assert!(from < end);
        let mut bytes = vec![0; (end - from) as usize];
        let state = self.shared.state.borrow();
        assert!(end <= state.written && end <= segment.end());
        let hot = state.tail.resident_from().clamp(from, end);
        let warm = bytes.get_mut((hot - from) as usize..).unwrap_or_default();
        // What is not there lies behind the end of a segment; it stays zero and is no record.
        let _ = state.tail.copy(hot, warm);
        (bytes, hot)
    }

    /// Reads the block of `at` and those behind it that are missing, too, up to `end`. Resolves
    /// with where the next block begins, or with `end`.
    async fn read_run(
        &self,
        segment: &Segment<R>,
        bytes: &mut [u8],
        from: u64,
        at: u64,
        end: u64,
    ) -> Result<u64, ReadError> {
        let shared = &self.shared;
        let limit = final_end(shared, segment);
        let start = block_start(segment, at);
        let budget = budget(shared);
        let mut until = start + LOG_BLOCK_BYTES;
        while until < end && until - start < budget.read_bytes && !has(shared, until, end) {
            until += LOG_BLOCK_BYTES;
        }
        let (stop, until) = (until.min(end), until.min(limit));
        assert!(block_ceiling(stop) <= until, "what is cold is final");
        let completer = shared.cache.begin_read(block_keys(start, until));
        let permit = shared.cache.admit(until - start, budget).await;
        let read = read_file(shared, segment, start, until - start).await?;
        let read = read.bytes();
        drop(permit);
        if start + (read.len() as u64) < stop {
            return Err(self.damaged(segment, start, until, "the end of the file"));
        }
        copy_block(bytes, from, start, read, at, stop);
        completer.complete(blocks_of(read));
        Ok(stop)
    }
}

/// Appends the records of `bytes`, which begins at `from`; or says which one is damaged, and how.
async fn take_records<R: Runtime>(
    runtime: &R,
    (bytes, from): (&[u8], u64),
    records: &[(LogPosition, u32)],
    out: &mut Vec<u8>,
) -> Result<(), (u64, u64, String)> {
    for (position, size) in records {
        let begin = position.0 - ENVELOPE;
        let skip = (begin - from) as usize;
        let record = bytes.get(skip..skip + envelope::BYTES + *size as usize).unwrap_or_default();
        let found = match Envelope::open(record, begin) {
            Ok(Envelope { kind: Kind::Message, length, .. }) if length == *size => {
                let record = record.get(envelope::BYTES..).unwrap_or_default();
                if record.len() > PIECE_BYTES {
                    append_long(runtime, record, out).await;
                } else {
                    out.extend_from_slice(record);
                }
                continue;
            }
            Ok(_) => "another record".to_string(),
            Err(reject) => reject.to_string(),
        };
        return Err((begin, position.0 + u64::from(*size), found));
    }
    Ok(())
}

/// A piece at a time: the longest would take more than a millisecond.
async fn append_long<R: Runtime>(runtime: &R, record: &[u8], out: &mut Vec<u8>) {
    out.reserve(record.len());
    for piece in record.chunks(PIECE_BYTES) {
        runtime.yield_if_needed().await;
        out.extend_from_slice(piece);
    }
}

/// Where the block begins that holds `position`.
fn block_start<R: Runtime>(segment: &Segment<R>, position: u64) -> u64 {
    position - (position - segment.start) % LOG_BLOCK_BYTES
}

fn block_keys(from: u64, end: u64) -> Vec<BlockKey> {
    (from..end).step_by(LOG_BLOCK_BYTES as usize).map(BlockKey::Log).collect()
}

fn blocks_of(bytes: &[u8]) -> Vec<Block> {
    bytes.chunks(LOG_BLOCK_BYTES as usize).map(Block::from).collect()
}

/// Whether the block from `start` on is in memory or on its way, as far as `end`.
fn has<R: Runtime, S: Sink>(shared: &LogInner<R, S>, start: u64, end: u64) -> bool {
    let need = (end - start).min(LOG_BLOCK_BYTES) as usize;
    shared.cache.has(BlockKey::Log(start), need)
}

/// Copies `at..stop` out of a block that begins at `start` into `bytes`, which begins at `from`.
/// Answers `stop`.
fn copy_block(bytes: &mut [u8], from: u64, start: u64, block: &[u8], at: u64, stop: u64) -> u64 {
    let source = block.get((at - start) as usize..(stop - start) as usize);
    let target = bytes.get_mut((at - from) as usize..(stop - from) as usize);
    let (target, source) = target.zip(source).expect("the caller has compared the lengths");
    target.copy_from_slice(source);
    stop
}

/// Up to where blocks of the segment never change any more. A multiple of the block size.
fn final_end<R: Runtime, S: Sink>(shared: &LogInner<R, S>, segment: &Segment<R>) -> u64 {
    let written = block_floor(shared.state.borrow().written);
    // Behind the last record of a segment may be a zero write that began before the log went on.
    let zeroing = shared.prezero.under_way_from(segment.start..segment.end());
    written.min(segment.end()).min(zeroing.unwrap_or(u64::MAX))
}

fn budget<R: Runtime, S: Sink>(shared: &LogInner<R, S>) -> ReadBudget {
    shared.pacing.budget(shared.runtime.monotonic())
}

/// Reads whole blocks; fewer than asked for where the file ends.
async fn read_file<R: Runtime, S: Sink>(
    shared: &LogInner<R, S>,
    segment: &Segment<R>,
    from: u64,
    bytes: u64,
) -> ringmq_io::disk::Result<ReadBytes<BufferOf<R>>> {
    let read = segment.reader.read(from - segment.start, bytes as usize).await?;
    let mut state = shared.state.borrow_mut();
    state.counters.cold_reads += 1;
    state.counters.cold_read_bytes += bytes;
    Ok(read)
}

/// Takes note of a read, and begins to fetch what its reader will want next. True if the reader
/// sweeps through the log.
fn note_stream<R: Runtime, S: Sink>(
    shared: &Rc<LogInner<R, S>>,
    segment: &Segment<R>,
    from: u64,
    end: u64,
) -> bool {
    let first = block_start(segment, from);
    let missed = (first..end).step_by(LOG_BLOCK_BYTES as usize).any(|at| !has(shared, at, end));
    let now = shared.runtime.monotonic();
    let access = shared.cache.streams.borrow_mut().note(from, end, missed, now);
    if let Some(ahead) = access.ahead {
        fetch_ahead(shared, ahead, end);
    }
    access.sequential
}

/// Begins to read what is missing of the range: one read, from the first missing block to the next
/// one that is there. `reading` is where the read that is about to begin ends.
fn fetch_ahead<R: Runtime, S: Sink>(shared: &Rc<LogInner<R, S>>, ahead: Ahead, reading: u64) {
    let Some(segment) = shared.segment_at(ahead.from).filter(|_| shared.is_open()) else {
        return;
    };
    let resident = shared.state.borrow().tail.resident_from();
    let limit = final_end(shared, &segment).min(block_ceiling(resident));
    let wanted = limit.min(ahead.from + ahead.bytes);
    // Blocks that are whole already, or end with the segment.
    let last = |start: u64| (start + LOG_BLOCK_BYTES).min(segment.end());
    let mut start = block_start(&segment, ahead.from);
    let missing = |start: u64| start >= reading && !has(shared, start, last(start));
    while start < wanted && last(start) <= limit && !missing(start) {
        start = last(start);
    }
    let budget = budget(shared);
    let wanted = wanted.min(start + budget.read_bytes);
    let mut until = start;
    while until < wanted && last(until) <= limit && missing(until) {
        until = last(until);
    }
    let mut streams = shared.cache.streams.borrow_mut();
    if until == start {
        streams.fetched(ahead.stream, start, false);
        return;
    }
    let Some(permit) = shared.cache.admit_ahead(until - start, budget) else {
        return;
    };
    streams.fetched(ahead.stream, until, true);
    drop(streams);
    let completer = shared.cache.begin_read(block_keys(start, until));
    let read = AheadRead { segment, start, bytes: until - start, completer, permit };
    shared.operations.set(shared.operations.get() + 1);
    let (runtime, shared) = (shared.runtime.clone(), shared.clone());
    runtime.spawn(Shares::ColdRead, "read ahead", async move {
        let _operation = Operation::adopt(&shared);
        read.run(&shared).await;
        shared.cache.streams.borrow_mut().ended(ahead.stream);
    });
}

struct AheadRead<R: Runtime> {
    segment: Rc<Segment<R>>,
    start: u64,
    bytes: u64,
    completer: ReadCompleter,
    permit: ReadPermit,
}

impl<R: Runtime> AheadRead<R> {
    /// An error is nobody's yet: the reader that comes here reads for itself and meets it.
    async fn run<S: Sink>(self, shared: &LogInner<R, S>) {
        match read_file(shared, &self.segment, self.start, self.bytes).await {
            Ok(read) => {
                shared.state.borrow_mut().counters.read_ahead_bytes += self.bytes;
                self.completer.complete(blocks_of(read.bytes()));
            }
            Err(error) => tracing::warn!(%error, "read-ahead failed"),
        }
        drop(self.permit);
    }
}

const _: () = {
    assert!(ReadBudget::ALONE.read_bytes.is_multiple_of(LOG_BLOCK_BYTES));
    assert!(ReadBudget::BESIDE_WRITES.read_bytes.is_multiple_of(LOG_BLOCK_BYTES));
    assert!(LOG_BLOCK_BYTES.is_multiple_of(BLOCK_BYTES as u64));
};
