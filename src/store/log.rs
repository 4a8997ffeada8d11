//! One commit log with its queues: the public face.

mod batch;
pub mod inner;
pub mod known_damage;
mod long_batch;
pub mod prezero;
mod queue_start;
mod raw;
pub mod replica;
pub mod space;
pub mod spares;
pub mod state;
pub mod tail;

use std::rc::Rc;

use ringmq_base::{LogPosition, PhysicalOffset, record::NewRecord};
use ringmq_io::Runtime;

use crate::{
    api::{
        counters::Counters,
        errors::AppendError,
        options::Sink,
        values::{Appended, IndexMemory, QueueHandle},
    },
    log::{inner::LogInner, space::Stalled, state::Phase},
};

/// A commit log. Clones are the same log.
pub struct Log<R: Runtime, S: Sink> {
    pub(crate) shared: Rc<LogInner<R, S>>,
}

impl<R: Runtime, S: Sink> Clone for Log<R, S> {
    fn clone(&self) -> Self {
        Log { shared: self.shared.clone() }
    }
}

impl<R: Runtime, S: Sink> Log<R, S> {
    /// What the log reports to.
    pub fn sink(&self) -> &S {
        &self.shared.sink
    }

    /// The queue, created empty if there is none. A queue without messages is not remembered over
    /// a restart.
    pub fn queue(&self, topic: &str, queue_id: i32) -> QueueHandle {
        self.shared.state.borrow_mut().index.find_or_create(topic, queue_id, 0)
    }

    pub fn find_queue(&self, topic: &str, queue_id: i32) -> Option<QueueHandle> {
        self.shared.state.borrow().index.find(topic, queue_id)
    }

    /// Asks for the memory that an append to a queue will touch first. Changes nothing.
    #[inline]
    pub fn prefetch(&self, queue: QueueHandle) {
        self.shared.state.borrow().index.prefetch(queue);
    }

    /// Encodes the record into the tail. Neither durable nor visible yet: the ticket comes back
    /// through the [`Sink`] when it is. `ticket` is called once, after the append, and must not
    /// append; `None` for messages that nobody waits for.
    ///
    /// # Panics
    /// If `record` is not for the queue's topic and queue id.
    pub fn append(
        &self,
        queue: QueueHandle,
        record: &NewRecord<'_>,
        tags_code: i64,
        ticket: impl FnOnce(&Appended) -> Option<S::Ticket>,
    ) -> Result<Appended, AppendError> {
        self.append_at(self.shared.runtime.now_ms(), queue, record, tags_code, ticket)
    }

    /// [`Log::append`] for the next of several messages that were received at `now_ms`.
    pub fn append_at(
        &self,
        now_ms: i64,
        queue: QueueHandle,
        record: &NewRecord<'_>,
        tags_code: i64,
        ticket: impl FnOnce(&Appended) -> Option<S::Ticket>,
    ) -> Result<Appended, AppendError> {
        let shared = &self.shared;
        let (appended, end) = {
            let mut state = shared.state.borrow_mut();
            match state.append(queue, record, tags_code, now_ms) {
                Ok(appended) => (appended, state.position),
                Err(error) => {
                    drop(state);
                    self.ask_for_space();
                    return Err(error);
                }
            }
        };
        if let Some(ticket) = ticket(&appended) {
            let mut state = shared.state.borrow_mut();
            assert!(state.position == end, "the ticket function appended");
            state.tickets.push_back((end, ticket));
        }
        shared.appended.notify();
        Ok(appended)
    }

    /// Wakes the allocation if an append was just refused for want of space.
    #[cold]
    fn ask_for_space(&self) {
        // The end of a segment may have been appended before it was found that the next one has no
        // room: it is written all the same.
        self.shared.appended.notify();
        if self.shared.state.borrow().space_wanted > 0 {
            self.shared.space.notify();
        }
    }

    /// Bytes appended and not yet written.
    pub fn backlog_bytes(&self) -> usize {
        self.shared.state.borrow().backlog
    }

    /// Resolves when the backlog is under half of its limit and the next append has a place to go
    /// or will be told why not, with no long batch before it; or when the log is fenced or closing.
    /// Safe to cancel.
    pub async fn room(&self) {
        loop {
            {
                let state = self.shared.state.borrow();
                let is_full = state.backlog * 2 > state.backlog_max || state.space_wanted > 0;
                let waits = is_full || state.is_held();
                if !waits || !state.is_open() {
                    return;
                }
            }
            self.shared.room.wait().await;
        }
    }

    /// Resolves when no more than `bytes` of appended messages wait for the disk, or when the log
    /// is fenced or closing. Safe to cancel.
    pub async fn caught_up(&self, bytes: usize) {
        loop {
            {
                let state = self.shared.state.borrow();
                if state.backlog <= bytes || !state.is_open() {
                    return;
                }
            }
            self.shared.published.wait().await;
        }
    }

    /// [`Sink::arrived`] once, when a message that is not visible now becomes visible. Calling it
    /// again before that changes nothing.
    pub fn watch(&self, queue: QueueHandle) {
        self.shared.state.borrow_mut().watch(queue);
    }

    /// Queues of a topic that were ever used, from one on, in their order; at most so many.
    pub fn queues_of(&self, topic: &str, from: i32, most: usize) -> Vec<(i32, QueueHandle)> {
        self.shared.state.borrow().index.of_topic(topic, from).take(most).collect()
    }

    /// Positions of the first byte kept and of the end of what is visible, as physical offsets.
    pub fn position_range(&self) -> (PhysicalOffset, PhysicalOffset) {
        let state = self.shared.state.borrow();
        let offset = |position| PhysicalOffset::new(state.log, LogPosition(position));
        (offset(state.first), offset(state.committed))
    }

    /// Store time of the newest message: milliseconds since 1970; no message has a later one.
    pub fn last_stored_ms(&self) -> i64 {
        self.shared.state.borrow().last_timestamp
    }

    /// Looks at every queue.
    pub fn index_memory(&self) -> IndexMemory {
        let mut memory = IndexMemory::default();
        for (_, queue) in self.shared.state.borrow().index.all() {
            let (entries, directory) = queue.memory();
            memory.entries += entries;
            memory.directory += directory;
        }
        memory
    }

    /// Blocks that were not in the block cache when they were wanted.
    pub fn cache_misses(&self) -> u64 {
        self.shared.cache.counters().misses
    }

    pub fn counters(&self) -> Counters {
        let state = self.shared.state.borrow();
        let fenced = match &state.phase {
            Phase::Fenced(reason) => Some(reason.to_string()),
            _ => None,
        };
        let cache = self.shared.cache.counters();
        Counters {
            fenced,
            full: state.stalled.as_ref().is_some_and(Stalled::is_full),
            stalled: state.stalled.as_ref().map(|stalled| stalled.error().to_string()),
            queued: state.queued(),
            cache_hits: cache.hits,
            cache_misses: cache.misses,
            cache_evictions: cache.evictions,
            damaged_ranges: self.shared.damage.known(),
            ..state.counters.clone()
        }
    }
}
