//! The way from an offset of a queue to its entry, by a page of the index on disk if need be.

use std::rc::Rc;

use ringmq_base::limits::BLOCK_BYTES;
use ringmq_io::{File as _, Runtime};

use crate::{
    api::{
        errors::ReadError,
        options::Sink,
        values::{PageNeeded, QueueHandle},
    },
    index::{Location, page::Page, page_cache::Reader},
    log::inner::LogInner,
};

/// Brings the page into the cache, checked.
pub async fn load<R: Runtime, S: Sink>(
    shared: &LogInner<R, S>,
    needed: PageNeeded,
) -> Result<Rc<[u8]>, ReadError> {
    let PageNeeded { queue, block, offset } = needed;
    let cached = shared.pages.get(block);
    if let Some(page) = cached.filter(|page| Page::trusted(page).get(offset).is_some()) {
        return Ok(page);
    }
    let segment = shared.index_files.borrow().segment(block);
    let at = block * BLOCK_BYTES as u64;
    let removed = ReadError::Removed { from: at, to: at + BLOCK_BYTES as u64 };
    let segment = segment.ok_or(removed)?;
    let from = segment.at(block);
    let unreadable = || shared.state.borrow_mut().counters.index_unreadable += 1;
    let read = segment.file.read(from, BLOCK_BYTES).await.inspect_err(|_| unreadable())?;
    let found = match Page::open(read.bytes(), block) {
        Ok(page) if page.queue == queue.0 && page.get(offset).is_some() => {
            let page: Rc<[u8]> = read.bytes().into();
            shared.pages.insert(block, page.clone());
            shared.state.borrow_mut().counters.index_reads += 1;
            return Ok(page);
        }
        Ok(page) => {
            let (other, first, count) = (page.queue, page.first, page.len());
            let wanted = format!("offset {offset} of queue {}", queue.0);
            format!("{count} entries from {first} on of queue {other}, not {wanted}")
        }
        Err(error) => error.to_string(),
    };
    let (path, to) = (segment.path.clone(), from + BLOCK_BYTES as u64);
    unreadable();
    tracing::error!(path = %path.display(), from, to, found, "damaged index page");
    Err(ReadError::Damaged { path, from, to, found })
}

/// The entry at `offset` of a queue if it is known without waiting; `None` outside of the queue.
pub fn entry<R: Runtime, S: Sink>(
    shared: &LogInner<R, S>,
    queue: QueueHandle,
    offset: i64,
) -> Result<Option<Location>, PageNeeded> {
    let mut state = shared.state.borrow_mut();
    let entries = state.index.queue(queue);
    match entries.place(offset) {
        None => Ok(None),
        Some(_) => Reader::new(&shared.pages, queue, entries).entry(offset).map(Some),
    }
}
