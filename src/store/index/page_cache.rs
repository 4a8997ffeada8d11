//! Pages that are read again: a small cache, and the entries of a queue by way of it.

use std::{cell::RefCell, rc::Rc};

use quick_cache::unsync::Cache;

use super::{Location, Place, Queue, page::Page};
use crate::api::values::{PageNeeded, QueueHandle};

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
        // Entries of one page come behind each other.
        if let Some((_, page)) = &self.page
            && let Some(packed) = Page::trusted(page).get(offset)
        {
            return Ok(packed.unpack());
        }
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
