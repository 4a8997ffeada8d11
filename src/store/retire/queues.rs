//! What retention removes from the log is removed from the queues.

use std::rc::Rc;

use ringmq_io::{Disk as _, Runtime};

use crate::{
    api::{
        errors::ReadError,
        options::Sink,
        values::{PageNeeded, QueueHandle},
    },
    index::{files::IndexSegment, page::Page},
    log::inner::LogInner,
    read::index_page,
};

/// Resolves when two snapshots stand that need nothing of the log before `first`, or the log is
/// fenced or closing: then the log may be cut there.
pub async fn prepare<R: Runtime, S: Sink>(shared: &LogInner<R, S>, first: u64) {
    loop {
        let progress = shared.progress.get();
        let previous = progress.previous.unwrap_or(0);
        if progress.good > 0 && progress.position.min(previous) >= first || !shared.is_open() {
            return;
        }
        shared.snapshot_wanted.set(true);
        shared.index_work.notify();
        shared.published.wait().await;
    }
}

/// Raises the first offset of every queue past the messages before position `first` of the log, and
/// removes index segments that only hold such. Messages behind stay, to the last one.
pub async fn trim<R: Runtime, S: Sink>(
    shared: &LogInner<R, S>,
    first: u64,
) -> Result<(), ReadError> {
    for number in 0.. {
        let needed = {
            let mut state = shared.state.borrow_mut();
            if number as usize >= state.index.len() {
                break;
            }
            let queue = QueueHandle(number);
            let entries = state.index.queue(queue);
            let block = entries.trim(first);
            block.map(|block| PageNeeded { queue, block, offset: entries.min() })
        };
        if let Some(needed) = needed {
            trim_page(shared, needed, first).await?;
        }
        shared.runtime.yield_if_needed().await;
    }
    remove_segments(shared, first).await
}

/// Finds the first offset in a page that begins before `first`.
async fn trim_page<R: Runtime, S: Sink>(
    shared: &LogInner<R, S>,
    needed: PageNeeded,
    first: u64,
) -> Result<(), ReadError> {
    let bytes = index_page::load(shared, needed).await?;
    let page = Page::trusted(&bytes);
    let gone =
        |offset: &i64| page.get(*offset).is_some_and(|entry| entry.unpack().position < first);
    let end = page.first + page.len() as i64;
    let min = page.first + (page.first..end).take_while(gone).count() as i64;
    shared.state.borrow_mut().index.queue(needed.queue).raise_min(min);
    Ok(())
}

async fn remove_segments<R: Runtime, S: Sink>(
    shared: &LogInner<R, S>,
    first: u64,
) -> Result<(), ReadError> {
    let disk = shared.runtime.disk();
    let mut removed = false;
    while let Some(segment) = take_dead(shared, first) {
        disk.remove(&segment.path).await?;
        removed = true;
    }
    if removed {
        disk.sync_directory(&shared.options.directory).await?;
    }
    Ok(())
}

fn take_dead<R: Runtime, S: Sink>(
    shared: &LogInner<R, S>,
    first: u64,
) -> Option<Rc<IndexSegment<R>>> {
    let mut files = shared.index_files.borrow_mut();
    let is_dead = |segment: &Rc<IndexSegment<R>>| (1..=first).contains(&segment.log_end.get());
    if files.segments.len() > 1 && files.segments.front().is_some_and(is_dead) {
        files.segments.pop_front()
    } else {
        None
    }
}
