//! Sends of other shards whose log has too much in memory. They wait here, so that those of other
//! logs, pulls and calls do not.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    sync::Arc,
    time::Duration,
};

use ahash::AHashMap;
use ringmq_base::LogId;

use crate::messages::{SendItem, TopicView};

/// A send that waits for room in its log.
pub struct WaitingSend {
    pub topic: Arc<TopicView>,
    pub item: SendItem,
    /// Properties, then the body. A copy, so that it does not hold the whole shard batch.
    pub bytes: Box<[u8]>,
    /// Of the monotonic clock.
    pub came_at: Duration,
}

impl WaitingSend {
    /// Bytes of memory that it takes.
    pub fn size(&self) -> usize {
        size_of::<WaitingSend>() + self.bytes.len()
    }
}

/// Forwarded sends that wait for room, by log.
#[derive(Default)]
pub struct WaitingSends {
    by_log: RefCell<AHashMap<LogId, VecDeque<WaitingSend>>>,
    bytes: Cell<usize>,
}

impl WaitingSends {
    /// Bytes of sends that wait.
    pub fn bytes(&self) -> usize {
        self.bytes.get()
    }

    /// Whether a send waits for a log, or is about to be stored in it.
    pub fn has(&self, log: LogId) -> bool {
        self.by_log.borrow().contains_key(&log)
    }

    /// Keeps a send behind those that wait for its log. True: it is the first, for which
    /// nobody waits yet.
    pub fn add(&self, log: LogId, send: WaitingSend) -> bool {
        self.bytes.set(self.bytes.get() + send.size());
        let mut by_log = self.by_log.borrow_mut();
        let is_first = !by_log.contains_key(&log);
        by_log.entry(log).or_default().push_back(send);
        is_first
    }

    /// Takes the oldest send of a log; without one the log is no longer waited for.
    pub fn first(&self, log: LogId) -> Option<WaitingSend> {
        let mut by_log = self.by_log.borrow_mut();
        let first = by_log.get_mut(&log).and_then(VecDeque::pop_front);
        match &first {
            Some(send) => self.bytes.set(self.bytes.get() - send.size()),
            None => drop(by_log.remove(&log)),
        }
        first
    }
}
