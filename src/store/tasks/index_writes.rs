//! The task that writes complete pages and snapshots. Nothing is written that the log does not have
//! on stable storage.

use std::{rc::Rc, sync::Arc};

use ringmq_base::limits::BLOCK_BYTES;
use ringmq_io::{BlockBuffer, Disk, DiskError, File, OpenMode, Runtime};

use crate::{
    api::{injected_bugs, options::Sink, values::QueueHandle},
    files::{
        directory::{is_full, remove_if_there},
        segment::{FileOf, log_word},
    },
    index::{
        files,
        page::{PageEntry, write_page},
        progress::Progress,
        snapshot::{self, Header, SECTION_KEYS, SECTION_PAGES, SECTION_QUEUES},
    },
    log::inner::LogInner,
};

/// Pages of one write at most.
const BATCH_PAGES: u64 = 128;
/// So many batches of pages may wait while they cannot be written (16 MiB by default), before the
/// log must not grow.
const WAITING_BATCHES_MAX: usize = 64;
/// A section of a snapshot ends when it has so many bytes, so that other tasks get their turn.
const SECTION_BYTES_MAX: usize = 128 << 10;
/// Space that index segments are given at a time, in blocks: no more than a write may need, so that
/// a small disk is not suddenly nearer to its limits than its messages bring it.
const ALLOCATE_BLOCKS: u64 = BATCH_PAGES;
/// So many queues ahead of the one that is noted, memory is asked for.
const PREFETCH_QUEUES: usize = 4;
/// A snapshot is due when the log has grown by so many times the size of the last one, if that is
/// more than the options say: writing snapshots stays a small part of all writing.
const SNAPSHOT_FACTOR: u64 = 4;

enum Work {
    Pages,
    Snapshot,
}

fn next_work<R: Runtime, S: Sink>(shared: &LogInner<R, S>) -> Option<Work> {
    let state = shared.state.borrow();
    let progress = shared.progress.get();
    let interval = shared.options.snapshot_bytes.max(SNAPSHOT_FACTOR * progress.bytes);
    if state.settled() >= progress.position + interval || shared.snapshot_wanted.get() {
        return Some(Work::Snapshot);
    }
    let pages = shared.options.index_batch_pages.min(BATCH_PAGES as usize);
    (state.index.complete_pages() >= pages).then_some(Work::Pages)
}

/// Wakes the task if there is enough to do. Called when the log has got further.
#[inline]
pub fn wake<R: Runtime, S: Sink>(shared: &LogInner<R, S>) {
    if next_work(shared).is_some() {
        shared.index_work.notify();
    }
}

pub async fn run<R: Runtime, S: Sink>(shared: Rc<LogInner<R, S>>) {
    loop {
        let Some(work) = next_work(&shared) else {
            shared.index_work.wait().await;
            if !shared.is_open() {
                return;
            }
            continue;
        };
        let Some(operation) = shared.begin() else {
            return;
        };
        let result = match work {
            Work::Pages => write_pages(&shared).await,
            Work::Snapshot => write_snapshot(&shared).await.map(|()| true),
        };
        drop(operation);
        match result {
            Ok(true) => {
                if shared.index_error.take().is_some() {
                    tracing::info!(log = %shared.options.log, "the index is written again");
                }
                shared.runtime.yield_if_needed().await;
            }
            // The oldest page waits for the log to become stable.
            Ok(false) => shared.published.wait().await,
            Err(Failure::Harmless(error)) => wait_to_retry(&shared, &error).await,
            Err(Failure::OfData(error)) => shared.fence(&error),
        }
        if !shared.is_open() {
            return;
        }
    }
}

/// What stays in memory is bounded: the log gets no further segment while too much of its index
/// waits, see [`is_behind`].
async fn wait_to_retry<R: Runtime, S: Sink>(shared: &LogInner<R, S>, error: &DiskError) {
    if shared.index_error.replace(Some(error.to_string().into())).is_none() {
        tracing::warn!(
            log = %shared.options.log, %error, "the index is not written; it stays in memory"
        );
    }
    shared.runtime.sleep(shared.options.checkpoint_interval).await;
}

/// Why the index is not written, if so much of it waits in memory that the log must not grow.
pub fn is_behind<R: Runtime, S: Sink>(shared: &LogInner<R, S>) -> Option<Arc<str>> {
    let most = WAITING_BATCHES_MAX * shared.options.index_batch_pages;
    let many = shared.state.borrow().index.complete_pages() > most;
    shared.index_error.borrow().clone().filter(|_| many)
}

/// Why pages or a snapshot were not written.
pub enum Failure {
    /// Nothing that was written is in doubt: a file could not be made, opened, extended or renamed,
    /// or one that is not complete could not be written. To be tried again.
    Harmless(DiskError),
    /// A write of pages failed.
    OfData(DiskError),
}

impl Failure {
    fn of_write(error: DiskError) -> Failure {
        // A write into space that was not allocated after all; the next try allocates again.
        if is_full(&error) { Failure::Harmless(error) } else { Failure::OfData(error) }
    }
}

impl From<DiskError> for Failure {
    fn from(error: DiskError) -> Failure {
        Failure::Harmless(error)
    }
}

/// Pages of one write.
struct Batch<B> {
    buffer: B,
    pages: Vec<(QueueHandle, PageEntry)>,
    /// All their messages are before this position.
    log_end: u64,
}

/// Writes the oldest complete pages. False if none can be written yet.
async fn write_pages<R: Runtime, S: Sink>(shared: &LogInner<R, S>) -> Result<bool, Failure> {
    if !has_page(shared) {
        return Ok(false);
    }
    if shared.index_files.borrow().room() == 0 {
        next_segment(shared).await?;
    }
    let (segment, first_block, limit) = {
        let files = shared.index_files.borrow();
        let segment = files.segments.back().expect("a segment with room").clone();
        (segment, files.end, files.room().min(BATCH_PAGES))
    };
    let batch = take_pages(shared, first_block, limit);
    let end = first_block + batch.pages.len() as u64;
    let written = async {
        let writer = shared.index_files.borrow().writer.clone();
        let writer = writer.expect("the last segment is open for writing");
        reserve(shared, &*writer, end, segment.start, segment.end()).await?;
        let written = writer.write(&batch.buffer, segment.at(first_block)).await;
        written.map_err(Failure::of_write)
    };
    let result = written.await;
    let mut state = shared.state.borrow_mut();
    if result.is_err() {
        state.index.give_back(batch.pages.iter().map(|(queue, _)| *queue));
        return result.map(|()| true);
    }
    let mut files = shared.index_files.borrow_mut();
    assert!(batch.log_end <= state.settled(), "a page was written ahead of the log");
    let blocks = batch.buffer.bytes().chunks_exact(BLOCK_BYTES);
    for ((block, (queue, page)), bytes) in (first_block..).zip(batch.pages).zip(blocks) {
        state.index.queue(queue).page_written(block);
        files.unfinished.push(page);
        shared.pages.insert(block, bytes.into());
    }
    files.end = end;
    state.counters.index_pages += end - first_block;
    Ok(true)
}

fn has_page<R: Runtime, S: Sink>(shared: &LogInner<R, S>) -> bool {
    let mut state = shared.state.borrow_mut();
    let stable = injected_bugs::indexable_end(state.settled(), state.position);
    state.index.has_page(stable)
}

fn take_pages<R: Runtime, S: Sink>(
    shared: &LogInner<R, S>,
    first_block: u64,
    limit: u64,
) -> Batch<<R::Disk as Disk>::Buffer> {
    let mut state = shared.state.borrow_mut();
    let stable = injected_bugs::indexable_end(state.settled(), state.position);
    let mut bytes = Vec::new();
    let mut pages = Vec::new();
    while (pages.len() as u64) < limit {
        let at = bytes.len();
        let block = first_block + pages.len() as u64;
        let taken = state.index.take_page(stable, |queue, first, entries| {
            bytes.resize(at + BLOCK_BYTES, 0);
            write_page(&mut bytes[at..], block, queue.0, first, entries);
            let position = entries.first().map_or(0, |entry| entry.unpack().position);
            PageEntry { queue: queue.0, first, position }
        });
        let Some(page) = taken else { break };
        pages.push((QueueHandle(page.queue), page));
    }
    let mut buffer = shared.runtime.disk().buffer(bytes.len());
    buffer.bytes_mut().copy_from_slice(&bytes);
    Batch { buffer, pages, log_end: state.settled() }
}

/// Makes sure that the segment's file has room up to block `end`.
async fn reserve<R: Runtime, S: Sink>(
    shared: &LogInner<R, S>,
    file: &FileOf<R>,
    end: u64,
    segment_start: u64,
    segment_end: u64,
) -> Result<(), DiskError> {
    let allocated = shared.index_files.borrow().allocated;
    if end <= allocated {
        return Ok(());
    }
    let mut to = (allocated + ALLOCATE_BLOCKS).max(end).min(segment_end);
    let until = |to: u64| files::allocate(file, allocated - segment_start, to - segment_start);
    match until(to).await {
        // On a full disk old segments go only when the index is written: what it needs may fit.
        Err(error) if to > end && is_full(&error) => {
            to = end;
            until(to).await?;
        }
        result => result?,
    }
    shared.index_files.borrow_mut().allocated = to;
    Ok(())
}

/// Ends the last segment with its footer, if there is one, and begins the next.
async fn next_segment<R: Runtime, S: Sink>(shared: &LogInner<R, S>) -> Result<(), Failure> {
    let disk = shared.runtime.disk();
    let (last, start, writer, footer) = {
        let files = shared.index_files.borrow();
        let last = files.segments.back().cloned();
        let start = last.as_ref().map_or(files.end, |last| last.end());
        let log_end = shared.state.borrow().settled();
        let footer = last.as_ref().map(|last| {
            let (first, blocks) = (last.pages_end(), last.end() - last.pages_end());
            files::footer(disk, first, blocks, log_end, &files.unfinished)
        });
        (last, start, files.writer.clone(), footer)
    };
    if let (Some(last), Some(writer), Some(footer)) = (&last, writer, footer) {
        reserve(shared, &writer, last.end(), last.start, last.end()).await?;
        let written = writer.write(&footer, last.at(last.pages_end())).await;
        written.map_err(Failure::of_write)?;
    }
    let next = files::create::<R>(disk, &shared.options, start).await?;
    let writer = files::open_writer::<R>(disk, &next.path).await?;
    let log_end = shared.state.borrow().settled();
    let mut files = shared.index_files.borrow_mut();
    if let Some(last) = files.segments.back() {
        last.log_end.set(log_end);
    }
    files.unfinished.clear();
    files.end = start + 1;
    files.allocated = start + 1;
    files.writer = Some(writer);
    files.segments.push_back(Rc::new(next));
    Ok(())
}

/// Writes the complete pages, then a snapshot; durable when resolved, older ones but one removed.
/// Only the task of this module calls it, or closing when that has ended.
pub async fn write_snapshot<R: Runtime, S: Sink>(shared: &LogInner<R, S>) -> Result<(), Failure> {
    while write_pages(shared).await? {
        shared.runtime.yield_if_needed().await;
    }
    shared.snapshot_wanted.set(false);
    if shared.mark.lacks_epochs() {
        shared.write_mark(false).await.map_err(Failure::OfData)?;
    }
    let mut header = {
        let mut state = shared.state.borrow_mut();
        Header {
            log: log_word(shared.options.log),
            store_id: shared.options.store_id,
            sequence: shared.progress.get().sequence + 1,
            position: state.replay_position(),
            epoch: state.epoch,
            last_timestamp: state.last_timestamp,
            first: state.first,
            ..Header::default()
        }
    };
    let (disk, directory) = (shared.runtime.disk(), &shared.options.directory);
    let new = directory.join(snapshot::NEW_NAME);
    remove_if_there(disk, &new).await?;
    let file = disk.create(&new, OpenMode::Write).await?;
    let filled = fill(shared, &file, &mut header).await;
    let closed = file.close().await;
    if let Err(error) = filled.and(closed) {
        let _ = disk.remove(&new).await;
        return Err(error.into());
    }
    disk.rename_durably(&new, &directory.join(snapshot::file_name(header.sequence))).await?;
    let last = shared.progress.get();
    shared.progress.set(Progress {
        sequence: header.sequence,
        good: header.sequence,
        position: header.position,
        previous: (last.good > 0).then_some(last.position),
        bytes: snapshot::file_bytes(header.bytes),
        first: header.first,
    });
    shared.state.borrow_mut().counters.snapshots += 1;
    if let Err(error) = remove_snapshots_but(shared, [header.sequence, last.good]).await {
        tracing::warn!(%error, "old snapshots of the index stay until the next one");
    }
    shared.published.notify();
    Ok(())
}

async fn remove_snapshots_but<R: Runtime, S: Sink>(
    shared: &LogInner<R, S>,
    kept: [u64; 2],
) -> Result<(), DiskError> {
    let (disk, directory) = (shared.runtime.disk(), &shared.options.directory);
    for (name, _) in disk.list(directory).await? {
        if snapshot::parse_name(&name).is_some_and(|sequence| !kept.contains(&sequence)) {
            remove_if_there(disk, &directory.join(name)).await?;
        }
    }
    Ok(())
}

async fn fill<R: Runtime, S: Sink>(
    shared: &LogInner<R, S>,
    file: &FileOf<R>,
    header: &mut Header,
) -> Result<(), DiskError> {
    let disk = shared.runtime.disk();
    let mut out = Vec::with_capacity(2 * SECTION_BYTES_MAX);
    let mut at = BLOCK_BYTES as u64;
    let mut number = 0;
    loop {
        let all = {
            let state = shared.state.borrow();
            snapshot::section(&mut out, header.sequence, SECTION_QUEUES, |out| {
                out.extend_from_slice(&(number as u32).to_le_bytes());
                let limit = out.len() + SECTION_BYTES_MAX;
                while let Some(queue) = state.index.get(number).filter(|_| out.len() < limit) {
                    if let Some(later) = state.index.get(number + PREFETCH_QUEUES) {
                        later.prefetch_entry();
                    }
                    snapshot::put_queue(out, queue, state.settled());
                    number += 1;
                }
            });
            number >= state.index.len()
        };
        write_blocks::<R>(disk, file, &mut out, &mut at).await?;
        if all {
            break;
        }
        shared.runtime.yield_if_needed().await;
    }
    {
        let files = shared.index_files.borrow();
        snapshot::section(&mut out, header.sequence, SECTION_PAGES, |out| {
            snapshot::put_pages(out, &files.unfinished);
        });
        header.index_end = files.end;
        header.index_segment = files.segments.back().map_or(files.end, |last| last.start);
    }
    {
        let state = shared.state.borrow();
        snapshot::section(&mut out, header.sequence, SECTION_KEYS, |out| {
            state.keys.encode_section(header.position, out);
        });
    }
    header.queues = u32::try_from(number).expect("handles are 32 bits");
    header.bytes = at - BLOCK_BYTES as u64 + out.len() as u64;
    header.stable = shared.state.borrow().settled();
    out.resize(out.len().next_multiple_of(BLOCK_BYTES), 0);
    write_blocks::<R>(disk, file, &mut out, &mut at).await?;
    let mut block = disk.buffer(BLOCK_BYTES);
    header.write(block.bytes_mut());
    file.write(&block, 0).await?;
    file.sync().await
}

/// Writes the whole blocks of `out` and leaves the rest in it.
async fn write_blocks<R: Runtime>(
    disk: &R::Disk,
    file: &FileOf<R>,
    out: &mut Vec<u8>,
    at: &mut u64,
) -> Result<(), DiskError> {
    let whole = out.len() - out.len() % BLOCK_BYTES;
    if whole == 0 {
        return Ok(());
    }
    let mut buffer = disk.buffer(whole);
    buffer.bytes_mut().copy_from_slice(&out[..whole]);
    file.write(&buffer, *at).await?;
    *at += whole as u64;
    out.drain(..whole);
    Ok(())
}
