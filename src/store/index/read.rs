//! Pages that are read again: a small cache, and the way from a block number to an intact page.

use std::{cell::RefCell, rc::Rc};

use quick_cache::unsync::Cache;
use ringmq_base::limits::BLOCK_BYTES;
use ringmq_io::{File as _, Runtime};

use super::{Location, Place, Queue, QueueHandle, page::Page};
use crate::{
    api::{errors::ReadError, options::Sink},
    log::inner::Shared,
};

/// Intact pages by block number.
pub struct PageCache(RefCell<Cache<u64, Rc<[u8]>>>);

impl PageCache {
    pub fn new(pages: usize) -> PageCache {
        PageCache(Cache::new(pages).into())
    }

    pub fn get(&self, block: u64) -> Option<Rc<[u8]>> {
        self.0.borrow().get(&block).cloned()
    }

    pub fn insert(&self, block: u64, page: Rc<[u8]>) {
        self.0.borrow_mut().insert(block, page);
    }
}

/// An entry that cannot be told before [`load`] has brought a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageNeeded {
    pub(crate) queue: QueueHandle,
    pub(crate) block: u64,
    /// An entry that the page must have.
    pub(crate) offset: i64,
}

/// Brings the page into the cache, checked.
pub async fn load<R: Runtime, S: Sink>(
    shared: &Shared<R, S>,
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
    let read = segment.file.read(from, BLOCK_BYTES).await?;
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
    tracing::error!(path = %path.display(), from, to, found, "damaged index page");
    Err(ReadError::Damaged { path, from, to, found })
}

/// The entry at `offset` of a queue if it is known without waiting; `None` outside of the queue.
pub fn entry<R: Runtime, S: Sink>(
    shared: &Shared<R, S>,
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

/// Reads entries of one queue, the pages among them from the cache.
pub struct Reader<'a> {
    cache: &'a PageCache,
    queue: QueueHandle,
    entries: &'a Queue,
    /// The page that the last entry was in.
    page: Option<(u64, Rc<[u8]>)>,
}

impl<'a> Reader<'a> {
    pub fn new(cache: &'a PageCache, queue: QueueHandle, entries: &'a Queue) -> Reader<'a> {
        Reader { cache, queue, entries, page: None }
    }

    /// The entry at an offset that the queue has.
    #[inline]
    pub fn entry(&mut self, offset: i64) -> Result<Location, PageNeeded> {
        match self.entries.place(offset).expect("the caller has looked at the bounds") {
            Place::Memory(location) => Ok(location),
            Place::Page(block) => self.page_entry(block, offset),
        }
    }

    fn page_entry(&mut self, block: u64, offset: i64) -> Result<Location, PageNeeded> {
        let needed = PageNeeded { queue: self.queue, block, offset };
        let page = match self.page.take().filter(|(other, _)| *other == block) {
            Some((_, page)) => page,
            None => self.cache.get(block).ok_or(needed)?,
        };
        // Its checksum was verified when it came into the cache; what it lacks is asked from disk.
        let found = Page::trusted(&page).get(offset).ok_or(needed);
        self.page = Some((block, page));
        found.map(|packed| packed.unpack())
    }
}
