//! Giving up the oldest segments of a log, and keeping some of their files for reuse.
//!
//! A crash may come at any step of this order: the index gets ready to begin later; the mark says,
//! in both of its blocks, that the log does; the queues forget what is before; the files go. A
//! start in between finds files that end before the log begins, and removes them.

pub mod queues;

use std::{rc::Rc, time::Duration};

use ringmq_base::{LogPosition, SegmentInfo, limits::BLOCK_BYTES, record::Record};
use ringmq_io::{Disk as _, DiskError, File as _, OpenMode, Runtime};

use crate::{
    api::{
        errors::{LogError, ReadError},
        options::Sink,
    },
    cache::BlockKey,
    files::{
        block::{block_ceiling, block_floor},
        envelope::{self, Envelope, Kind, Reject},
        segment::{HEADER_BYTES, SPARE_SUFFIX, Segment},
    },
    log::{Log, inner::LogInner},
};

/// How long the index may take to get ready.
const INDEX_PATIENCE: Duration = Duration::from_secs(10);

/// What [`Log::retire`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retired {
    pub segments: usize,
    /// Of these files.
    pub bytes: u64,
    /// Files that were kept as spares, among them.
    pub recycled: usize,
}

impl<R: Runtime, S: Sink> Log<R, S> {
    /// Gives up the leading segments that end at or before `before`; never one that is still
    /// written to, nor what is not on stable storage. When it resolves, the log begins behind them
    /// for ever: their messages are gone from every queue, and the offsets are not used again. A
    /// read under way ends well or with [`crate::ReadError::Removed`]. Files that cannot be removed
    /// stay until the next start. At most `spares` files are kept for reuse. Fewer segments go, or
    /// none, while the index cannot be written.
    ///
    /// # Errors
    /// If the log is fenced, is closing, or is fenced by this.
    pub async fn retire(&self, before: LogPosition, spares: usize) -> Result<Retired, LogError> {
        let shared = &self.shared;
        let Some(_operation) = shared.begin() else {
            return Err(shared.fenced().unwrap_or(LogError::ShuttingDown));
        };
        let Some(first) = ready_to_begin_at(shared, before.0).await else {
            return Ok(Retired::default());
        };
        assert_may_begin_at(shared, first, before.0);
        // Twice: were only one block to say so, damage to it would send a start to missing files.
        for _ in 0..2 {
            if let Err(error) = shared.write_mark_from(first, false).await {
                shared.fence(&error);
                return Err(shared.fenced().expect("the log was just fenced"));
            }
        }
        match queues::trim(shared, first).await {
            // Only now: snapshots tell by it which messages their queues have forgotten.
            Ok(()) => {
                let mut state = shared.state.borrow_mut();
                state.first = state.first.max(first);
            }
            // The log begins behind them all the same; whoever reads them hears that.
            Err(error) => tracing::error!(
                %error, "queues still show messages of segments that were given up"
            ),
        }
        if let Err(error) = shared.key_files.trim(first).await {
            tracing::warn!(%error, "key segments of removed messages stay until the next start");
        }
        shared.cache.remove_range(BlockKey::Log(0)..BlockKey::Log(first));
        let segments: Vec<_> = {
            let mut segments = shared.segments.borrow_mut();
            let count = segments.partition_point(|segment| segment.end() <= first);
            let given_up = segments.drain(..count).collect();
            let next = segments.first().map(|segment| segment.start);
            assert_eq!(next, Some(first), "the log begins with the first segment that stays");
            given_up
        };
        let mut retired = Retired::default();
        for segment in segments {
            retired.segments += 1;
            retired.bytes += segment.bytes;
            let path = segment.path.clone();
            match give_up(shared, segment, spares).await {
                Ok(true) => retired.recycled += 1,
                Ok(false) => {}
                Err(error) => tracing::warn!(
                    %error, path = %path.display(),
                    "file of a segment that was given up is not removed before the next start"
                ),
            }
            shared.runtime.yield_if_needed().await;
        }
        let synced = shared.runtime.disk().sync_directory(&shared.options.directory).await;
        if let Err(error) = synced {
            tracing::warn!(%error, "removed segments may be back after a power cut");
        }
        Ok(retired)
    }

    /// Resolves when the index needs nothing of the log before `first` at the next start, or the
    /// log is fenced or closing. The first step of removing old segments.
    pub async fn prepare_cut(&self, first: LogPosition) {
        queues::prepare(&self.shared, first.0).await;
    }

    /// Raises the first offset of every queue past the messages before `first`, which must be where
    /// the log begins by now, on stable storage. Messages behind stay, to the last one.
    pub async fn cut_queues(&self, first: LogPosition) -> Result<(), ReadError> {
        queues::trim(&self.shared, first.0).await?;
        Ok(self.shared.key_files.trim(first.0).await?)
    }

    /// All segments, in order. Reads the first record of those that nobody has looked at yet.
    pub async fn segments(&self) -> Vec<SegmentInfo> {
        let shared = &self.shared;
        let segments = shared.segments.borrow().clone();
        for segment in &segments {
            if segment.first_stored_ms.get().is_none() {
                let found = first_stored_ms(shared, segment).await;
                segment.first_stored_ms.set(found);
                shared.runtime.yield_if_needed().await;
            }
        }
        let state = shared.state.borrow();
        let limit = retirable(state.settled(), state.spaces.front().map(|space| space.start));
        let mut last_stored_ms = state.last_timestamp;
        let mut found = Vec::with_capacity(segments.len());
        for segment in segments.iter().rev() {
            let space = state.spaces.iter().find(|space| space.start == segment.start);
            let first_stored_ms = segment.first_stored_ms.get();
            found.push(SegmentInfo {
                start: LogPosition(segment.start),
                end: LogPosition(segment.end()),
                file_bytes: space.map_or(segment.bytes, |space| space.allocated - space.start),
                first_stored_ms,
                last_stored_ms,
                complete: segment.end() <= limit,
            });
            // Timestamps never go back within a log.
            last_stored_ms = first_stored_ms.unwrap_or(last_stored_ms);
        }
        found.reverse();
        found
    }

    /// Number of files that are kept for reuse.
    pub fn spare_segments(&self) -> usize {
        self.shared.spares.count()
    }

    /// Removes files that are kept for reuse, down to `keep`.
    pub async fn drop_spares(&self, keep: usize) {
        if let Some(_operation) = self.shared.begin() {
            self.shared.spares.drop_to(self.shared.runtime.disk(), keep).await;
        }
    }
}

/// The last look before messages go for ever.
fn assert_may_begin_at<R: Runtime, S: Sink>(shared: &LogInner<R, S>, first: u64, before: u64) {
    assert!(first <= before, "more is given up than was asked for");
    let progress = shared.progress.get();
    let covered = progress.position.min(progress.previous.unwrap_or(0));
    assert!(progress.good > 0 && first <= covered, "a start would need what is given up");
    let state = shared.state.borrow();
    assert!(first <= state.settled(), "what is not stable is given up");
    assert!(state.spaces.front().is_some_and(|space| first <= space.start));
}

/// Segments that end here or before are complete, written and stable.
fn retirable(stable: u64, active_start: Option<u64>) -> u64 {
    active_start.unwrap_or(0).min(stable)
}

/// Start of the first segment that stays, once the index needs nothing before it; `None` if nothing
/// goes. The index is made ready if it is not, but not for ever: on a full disk it may have to wait
/// for the very space that smaller steps give back.
async fn ready_to_begin_at<R: Runtime, S: Sink>(
    shared: &LogInner<R, S>,
    before: u64,
) -> Option<u64> {
    let first = first_to_keep(shared, before)?;
    let ready = async {
        queues::prepare(shared, first).await;
        shared.is_open().then_some(first)
    };
    let patience = async {
        shared.runtime.sleep(INDEX_PATIENCE).await;
        let progress = shared.progress.get();
        let ready = progress.position.min(progress.previous.unwrap_or(0));
        first_to_keep(shared, ready.min(before))
    };
    futures_lite::future::or(ready, patience).await
}

/// Start of the first segment that stays; `None` if nothing goes.
fn first_to_keep<R: Runtime, S: Sink>(shared: &LogInner<R, S>, before: u64) -> Option<u64> {
    let state = shared.state.borrow();
    // What is not written yet may still be on its way to the segment before the active one.
    let limit =
        retirable(state.settled(), state.spaces.front().map(|space| space.start)).min(before);
    let segments = shared.segments.borrow();
    let count = segments.partition_point(|segment| segment.end() <= limit);
    let last = segments.get(count.checked_sub(1)?)?;
    assert!(count < segments.len(), "the active segment stays");
    (last.end() > state.first).then(|| last.end())
}

/// Removes the file of a segment, or keeps it as a spare; true if it was kept. Whoever reads it
/// goes on reading: then it is removed, and gone when the last reader has ended.
async fn give_up<R: Runtime, S: Sink>(
    shared: &LogInner<R, S>,
    segment: Rc<Segment<R>>,
    spares: usize,
) -> Result<bool, DiskError> {
    let disk = shared.runtime.disk();
    let path = segment.path.clone();
    for handle in [segment.writer.take(), segment.filler.take()].into_iter().flatten() {
        if let Ok(file) = Rc::try_unwrap(handle) {
            file.close().await?;
        }
    }
    let Some(segment) = Rc::into_inner(segment) else {
        disk.remove(&path).await?;
        return Ok(false);
    };
    let (start, end) = (segment.start, segment.end());
    let Some(reader) = Rc::into_inner(segment.reader) else {
        disk.remove(&path).await?;
        return Ok(false);
    };
    let length = reader.length().await?;
    reader.close().await?;
    // A zero write may have begun before the log went on to the next segment.
    let zeroing = shared.prezero.under_way_from(start..end);
    let fits = length == shared.options.segment_bytes && zeroing.is_none();
    if !fits || shared.spares.count() >= spares {
        disk.remove(&path).await?;
        return Ok(false);
    }
    // Space behind its last record may have been allocated and never synced.
    let file = disk.open(&path, OpenMode::Write).await?;
    let synced = file.sync().await;
    file.close().await.and(synced)?;
    let number = shared.spares.next_number();
    let spare = path.with_file_name(format!("{number:020}{SPARE_SUFFIX}"));
    disk.rename_durably(&path, &spare).await?;
    shared.spares.add(spare);
    Ok(true)
}

/// When the first message of a segment was stored. Looks only at what no write touches any more.
async fn first_stored_ms<R: Runtime, S: Sink>(
    shared: &LogInner<R, S>,
    segment: &Segment<R>,
) -> Option<i64> {
    let position = segment.start + HEADER_BYTES;
    let written = shared.state.borrow().written;
    let stored = |bytes: &[u8]| match Envelope::open(bytes, position) {
        Ok(Envelope { kind: Kind::Message, .. }) => {
            let payload = bytes.get(envelope::BYTES..).unwrap_or_default();
            Ok(Record::decode(payload).ok().map(|record| record.store_timestamp))
        }
        Err(Reject::Short(need)) => Err(need),
        _ => Ok(None),
    };
    let mut need = BLOCK_BYTES;
    loop {
        let end = block_ceiling(position + need as u64);
        if end > block_floor(written).min(segment.end()) {
            return resident(shared, position, stored);
        }
        let count = (end - position) as usize;
        let read = segment.reader.read(HEADER_BYTES, count).await;
        match stored(read.ok()?.bytes()) {
            Ok(found) => return found,
            Err(more) if more > need => need = more,
            Err(_) => return None,
        }
    }
}

/// The same from memory, for a record that is not behind the written end by a block yet.
fn resident<R: Runtime, S: Sink>(
    shared: &LogInner<R, S>,
    position: u64,
    stored: impl Fn(&[u8]) -> Result<Option<i64>, usize>,
) -> Option<i64> {
    let state = shared.state.borrow();
    let need = match stored(state.tail.get(position, envelope::BYTES)?) {
        Ok(found) => return found,
        Err(need) => need,
    };
    stored(state.tail.get(position, need)?).ok().flatten()
}
