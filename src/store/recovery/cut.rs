//! Cutting a log that is closed: this copy has, behind some place, what the others have not, and
//! goes on from there with what they have.
//!
//! The mark decides. It says durably, in both blocks, where the log ends from now on; before that
//! nothing is touched but the file that keeps what is cut, behind it the next opening removes what
//! stands there before it writes anything. A crash leaves the log as it was or cut, nothing else,
//! and nothing of what was cut can be taken for what comes: epochs do not tell the two apart, since
//! what comes may be of an earlier epoch than what was cut.

use std::path::PathBuf;

use ringmq_base::limits::BLOCK_BYTES;
use ringmq_io::{BlockBuffer as _, Disk as _, DiskError, File as _, OpenMode, Runtime};

use super::{
    Candidate, list_segments, load, open_segments,
    scan::{Limits, scan},
    window::Window,
};
use crate::{
    api::{cases::Case, errors::CutError, injected_bugs, options::LogOptions},
    files::{
        block::{block_ceiling, block_floor},
        directory::remove_if_there,
        envelope::{self, Envelope, Kind, Reject},
        mark::{Mark, MarkFile},
        salvage,
        segment::{self, FileOf, HEADER_BYTES, Segment, log_word},
    },
    index, keys,
};

/// Bytes copied at a time.
const COPY_BYTES: u64 = 1 << 20;

/// What cutting a log did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogCut {
    /// Where the records ended before.
    pub from_end: u64,
    /// The file that has what was cut, or the front of it.
    pub salvage: Option<PathBuf>,
}

/// Cuts the log at `to`, where a record begins or the last one ends, because the copies under the
/// leadership of `epoch` go on otherwise from there. The log must not be open. When it resolves,
/// the next opening finds that end, whatever happens before it; until then the log may also be as
/// it was.
///
/// # Errors
/// If `to` is before what is committed, or no record ends there: nothing has been changed. If the
/// disk fails, the log is as it was or cut.
pub async fn cut_log<R: Runtime>(
    runtime: &R,
    options: &LogOptions,
    to: u64,
    epoch: u32,
) -> Result<LogCut, CutError> {
    let disk = runtime.disk();
    let no_record = |found: String| {
        let path = options.directory.clone();
        CutError::NoRecord { path, to, found }
    };
    let Some(mark) = load(disk, options).await? else {
        return Err(no_record("nothing was ever written to it".into()));
    };
    let candidates = open_segments::<R>(disk, options, &mark).await?;
    let loaded = index::load::load::<R>(disk, options, &mark).await?;
    let (section, from) = (loaded.keys.as_deref(), loaded.position);
    let (key_files, keys) = keys::open(runtime, options, mark.first, section, from).await?;
    // What the index has got is committed, even if the mark was written before.
    let indexed = key_files.runs().iter().map(|run| run.to).max().unwrap_or(0);
    key_files.close().await?;
    let committed = mark.committed.max(loaded.stable).max(indexed);
    if injected_bugs::may_not_cut(to < committed) {
        let path = options.directory.clone();
        return Err(CutError::Committed { path, to, committed });
    }
    let limits = Limits { end_max: Some(mark.end_max().map_or(to, |end| end.min(to))) };
    let end = scan(runtime, &candidates, (&mark, limits), loaded, keys).await?;
    if end.case != Case::CutHere || end.position != to {
        return Err(no_record(format!("a record ends at {} and none there", end.position)));
    }
    let tail = find_tail(&candidates, to, end.last_epoch, &mark).await?;
    let mut cut = LogCut { from_end: tail.end, salvage: None };
    if tail.end > to {
        cut.salvage = Some(save(runtime, options, &candidates, (to, tail.end, epoch)).await?);
    }
    if injected_bugs::cuts_unmarked() {
        remove_unmarked(disk, options, &candidates, to).await?;
    }
    let mut epochs = end.epochs;
    epochs.cut(to);
    // Neither goes back: the log is not cut before them.
    let (position, committed) = (mark.position.min(to), committed.min(to));
    let next = Mark {
        position,
        committed,
        clean: false,
        claims: injected_bugs::claims(false),
        epoch: end.last_epoch,
        cut: to,
        seen: mark.seen.max(epoch).max(tail.epoch),
        cutting: true,
        epochs,
        ..mark
    };
    MarkFile::<R>::begin(disk, &options.directory, next).await?.close().await?;
    tracing::warn!(
        log = %options.log, to, end = tail.end, epoch, salvage = ?cut.salvage,
        "log cut: the leader's goes on otherwise from there"
    );
    Ok(cut)
}

struct Tail {
    end: u64,
    /// The greatest epoch in it, or of the record before it.
    epoch: u32,
}

/// Where the records end that begin at `from`, behind one of `epoch`.
async fn find_tail<R: Runtime>(
    candidates: &[Candidate<R>],
    from: u64,
    epoch: u32,
    mark: &Mark,
) -> Result<Tail, DiskError> {
    let mut tail = Tail { end: from, epoch };
    for Candidate { segment, .. } in candidates.iter().filter(|one| one.segment.end() > from) {
        let mut position = from.max(segment.start + HEADER_BYTES);
        let mut window = Window::new(segment, block_floor(position));
        loop {
            if mark.end_max().is_some_and(|end| position >= end) {
                return Ok(tail);
            }
            let mut opened = Envelope::open(window.at(position, envelope::BYTES).await?, position);
            if let Err(Reject::Short(need)) = opened {
                opened = Envelope::open(window.at(position, need).await?, position);
            }
            match opened {
                Ok(found) if found.epoch >= mark.least_epoch(position, tail.epoch) => {
                    position += found.stride() as u64;
                    tail = Tail { end: position, epoch: found.epoch };
                    if found.kind == Kind::EndOfSegment {
                        break;
                    }
                }
                _ => return Ok(tail),
            }
        }
    }
    Ok(tail)
}

/// Copies the blocks from `from` up to `end`, or the first of them; durable when resolved, under
/// its name, with older files of the kind removed.
async fn save<R: Runtime>(
    runtime: &R,
    options: &LogOptions,
    candidates: &[Candidate<R>],
    (from, end, epoch): (u64, u64, u32),
) -> Result<PathBuf, DiskError> {
    let disk = runtime.disk();
    let new = options.directory.join(salvage::NEW_NAME);
    let path = options.directory.join(salvage::file_name(from, epoch));
    remove_if_there(disk, &new).await?;
    let file = disk.create(&new, OpenMode::Write).await?;
    let copied = async {
        let base = block_floor(from);
        let copied = block_ceiling(end).min(base + salvage::BYTES_MAX);
        for Candidate { segment, .. } in candidates {
            let mut position = base.max(segment.start);
            let until = copied.min(segment.end());
            while position < until {
                let count = (until - position).min(COPY_BYTES) as usize;
                let read = segment.reader.read(position - segment.start, count).await?;
                let mut buffer = disk.buffer(count);
                // Behind the end of a file there is nothing.
                buffer.bytes_mut()[..read.bytes().len()].copy_from_slice(read.bytes());
                file.write(&buffer, HEADER_BYTES + position - base).await?;
                position += count as u64;
                runtime.yield_if_needed().await;
            }
        }
        let (log, store_id) = (log_word(options.log), options.store_id);
        let header = salvage::Header { log, store_id, from, end, copied: copied.min(end), epoch };
        let mut buffer = disk.buffer(BLOCK_BYTES);
        header.write(buffer.bytes_mut());
        file.write(&buffer, 0).await?;
        file.sync().await
    };
    let copied = copied.await;
    let closed = file.close().await;
    if let Err(error) = copied.and(closed) {
        let _ = disk.remove(&new).await;
        return Err(error);
    }
    disk.rename_durably(&new, &path).await?;
    salvage::remove_old(disk, &options.directory).await?;
    Ok(path)
}

/// Removes what stands behind `end`, the end of the log, in `last`, its segment, which is open for
/// writing, and all segments behind that. `resident`: the bytes before the end in its block. Gone
/// for good when resolved.
pub async fn remove_behind<R: Runtime>(
    disk: &R::Disk,
    options: &LogOptions,
    last: &Segment<R>,
    (end, resident): (u64, &[u8]),
) -> Result<(), DiskError> {
    let filler = last.filler.borrow().clone().expect("the segment is open for writing");
    remove_segments(disk, options, last.start).await?;
    shorten::<R>(disk, &filler, end - last.start, resident).await
}

/// From the last one on, each gone before the next: they never have a gap.
async fn remove_segments<D: ringmq_io::Disk>(
    disk: &D,
    options: &LogOptions,
    behind: u64,
) -> Result<(), DiskError> {
    for start in list_segments(disk, options).await?.into_iter().rev() {
        if start > behind {
            remove_if_there(disk, &options.directory.join(segment::file_name(start))).await?;
            disk.sync_directory(&options.directory).await?;
        }
    }
    Ok(())
}

async fn shorten<R: Runtime>(
    disk: &R::Disk,
    file: &FileOf<R>,
    bytes: u64,
    resident: &[u8],
) -> Result<(), DiskError> {
    if !resident.is_empty() {
        let mut buffer = disk.buffer(BLOCK_BYTES);
        buffer.bytes_mut()[..resident.len()].copy_from_slice(resident);
        file.write(&buffer, block_floor(bytes)).await?;
    }
    file.set_length(block_ceiling(bytes)).await?;
    file.sync().await
}

/// The mistake of [`injected_bugs::CUT_UNMARKED`].
#[cold]
async fn remove_unmarked<R: Runtime>(
    disk: &R::Disk,
    options: &LogOptions,
    candidates: &[Candidate<R>],
    to: u64,
) -> Result<(), DiskError> {
    let before = |one: &&Candidate<R>| one.segment.start + HEADER_BYTES <= to;
    let last = &candidates.iter().rfind(before).expect("a record ends there").segment;
    let file = disk.open(&last.path, OpenMode::Write).await?;
    let base = block_floor(to);
    let block = last.reader.read(base - last.start, BLOCK_BYTES).await?;
    let resident = block.bytes().get(..(to - base) as usize).unwrap_or_default();
    shorten::<R>(disk, &file, to - last.start, resident).await?;
    file.close().await?;
    remove_segments(disk, options, last.start).await
}
