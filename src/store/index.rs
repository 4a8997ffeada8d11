//! The queues of a log and where their messages are.
//!
//! The newest entries of a queue are in memory; every 204 of them become a page in the log's shared
//! index segments ([`files`]), listed by a directory in memory. Snapshots ([`snapshot`]) keep what
//! is in no page. The log is the only truth: pages and snapshots only tell what is on stable
//! storage in the log, and everything here can be made again from it.
//!
//! What of a queue is visible follows from how far the log is written and is found when somebody
//! asks, so that nothing is done for each message when a write completes.

pub mod files;
pub mod load;
pub mod location;
pub mod page;
pub mod page_cache;
pub mod progress;
pub mod queue;
pub mod snapshot;

use std::{
    collections::{HashMap, VecDeque},
    rc::Rc,
};

use ringmq_base::prefetch::prefetch;

pub use location::Location;
use location::Packed;
pub use queue::{Place, Queue};

use crate::api::values::QueueHandle;

#[derive(Default)]
pub struct Index {
    /// By number; numbers are kept by snapshots and pages.
    queues: Vec<Queue>,
    topics: HashMap<Rc<str>, Vec<(i32, QueueHandle)>, ahash::RandomState>,
    /// Queues in the order in which they completed a page that is not written yet.
    complete: VecDeque<QueueHandle>,
}

impl Index {
    pub fn find(&self, topic: &str, queue_id: i32) -> Option<QueueHandle> {
        let queues = self.topics.get(topic)?;
        let at = queues.binary_search_by_key(&queue_id, |(id, _)| *id).ok()?;
        queues.get(at).map(|(_, handle)| *handle)
    }

    /// The queue, created with its first offset `min` if absent.
    pub fn find_or_create(&mut self, topic: &str, queue_id: i32, min: i64) -> QueueHandle {
        if let Some(handle) = self.find(topic, queue_id) {
            return handle;
        }
        let number = u32::try_from(self.queues.len()).expect("fewer than 2^32 queues");
        let handle = QueueHandle(number);
        let topic: Rc<str> = match self.topics.get_key_value(topic) {
            Some((name, _)) => name.clone(),
            None => topic.into(),
        };
        let queues = self.topics.entry(topic.clone()).or_default();
        let at = queues.partition_point(|(id, _)| *id < queue_id);
        queues.insert(at, (queue_id, handle));
        self.queues.push(Queue::new(number, topic, queue_id, min));
        handle
    }

    /// # Panics
    /// If the handle is of another log.
    #[inline]
    pub fn queue(&mut self, handle: QueueHandle) -> &mut Queue {
        self.queues.get_mut(handle.0 as usize).expect("the handle is of this log")
    }

    /// Asks for what is looked at first of a queue.
    #[inline]
    pub fn prefetch(&self, handle: QueueHandle) {
        if let Some(queue) = self.queues.get(handle.0 as usize) {
            let start = std::ptr::from_ref(queue).cast::<u8>();
            (0..size_of::<Queue>()).step_by(64).for_each(|at| prefetch(start.wrapping_add(at)));
        }
    }

    /// Adds the next entry of a queue.
    #[inline]
    pub fn push(&mut self, handle: QueueHandle, location: Location) {
        if self.queue(handle).push(location) {
            self.complete.push_back(handle);
        }
    }

    /// Takes the page that was completed first, if its messages end within the first `stable` bytes
    /// of the log.
    pub fn take_page<T>(
        &mut self,
        stable: u64,
        write: impl FnOnce(QueueHandle, i64, &[Packed]) -> T,
    ) -> Option<T> {
        let handle = *self.complete.front()?;
        let (first, entries) = self.queue(handle).take_page(stable)?;
        let taken = write(handle, first, entries);
        self.complete.pop_front();
        Some(taken)
    }

    /// Whether [`Index::take_page`] would take one.
    pub fn has_page(&mut self, stable: u64) -> bool {
        let Some(handle) = self.complete.front().copied() else {
            return false;
        };
        let queue = self.queue(handle);
        let there = queue.take_page(stable).is_some();
        if there {
            queue.give_back();
        }
        there
    }

    /// Pages that were taken one after the other are not written.
    pub fn give_back(&mut self, taken: impl DoubleEndedIterator<Item = QueueHandle>) {
        for handle in taken.rev() {
            self.queue(handle).give_back();
            self.complete.push_front(handle);
        }
    }

    /// Pages that are complete and not written.
    pub fn complete_pages(&self) -> usize {
        self.complete.len()
    }

    pub fn len(&self) -> usize {
        self.queues.len()
    }

    pub fn get(&self, number: usize) -> Option<&Queue> {
        self.queues.get(number)
    }

    /// The queues of a topic from one on, in their order.
    pub fn of_topic(&self, topic: &str, from: i32) -> impl Iterator<Item = (i32, QueueHandle)> {
        let queues = self.topics.get(topic).map_or(&[][..], Vec::as_slice);
        let at = queues.partition_point(|(id, _)| *id < from);
        queues.iter().skip(at).copied()
    }

    pub fn all(&self) -> impl Iterator<Item = (QueueHandle, &Queue)> {
        (0..).map(QueueHandle).zip(&self.queues)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_found_again() {
        let mut index = Index::default();
        let handles: Vec<_> = (0..100).rev().map(|n| index.find_or_create("T", n, 0)).collect();
        for (n, handle) in (0..100).rev().zip(handles) {
            assert_eq!(index.find("T", n), Some(handle));
            assert_eq!(index.find_or_create("T", n, 0), handle);
        }
        assert_eq!((index.find("T", 100), index.find("U", 0)), (None, None));
        let ids = |topic, from| index.of_topic(topic, from).map(|(id, _)| id).collect::<Vec<_>>();
        assert_eq!((ids("T", 97), ids("T", 100), ids("U", 0)), (vec![97, 98, 99], vec![], vec![]));
    }
}
