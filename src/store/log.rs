//! One commit log with its queues.

use std::{marker::PhantomData, rc::Rc};

use ringmq_base::{PhysicalOffset, record::NewRecord};
use ringmq_io::Runtime;

use crate::{
    AppendError, Appended, Boundary, Counters, Entry, LogError, LogOptions, OpenError, QueueHandle,
    ReadError, ReadLimits, ReadPlan, Recovery, Sink,
};

/// A commit log. Clones are the same log.
pub struct Log<R: Runtime, S: Sink> {
    shared: Rc<(PhantomData<R>, S)>,
}

impl<R: Runtime, S: Sink> Clone for Log<R, S> {
    fn clone(&self) -> Self {
        Log {
            shared: self.shared.clone(),
        }
    }
}

#[allow(unused_variables)]
impl<R: Runtime, S: Sink> Log<R, S> {
    /// Opens or creates the log. Scans the segments, spawns the tasks that write.
    pub async fn open(
        runtime: R,
        options: LogOptions,
        sink: S,
    ) -> Result<(Self, Recovery), OpenError> {
        unreachable!("being written")
    }

    /// What the log reports to.
    pub fn sink(&self) -> &S {
        &self.shared.1
    }

    /// The queue, created empty if there is none. A queue without messages is not remembered over
    /// a restart.
    pub fn queue(&self, topic: &str, queue_id: i32) -> QueueHandle {
        unreachable!("being written")
    }

    pub fn find_queue(&self, topic: &str, queue_id: i32) -> Option<QueueHandle> {
        unreachable!("being written")
    }

    /// Encodes the record into the tail. Neither durable nor visible yet: the ticket comes back
    /// through the [`Sink`] when it is. `ticket` is called once, after the append, and must not
    /// append; `None` for messages that nobody waits for. `record` must be for the queue's topic
    /// and queue id.
    pub fn append(
        &self,
        queue: QueueHandle,
        record: &NewRecord<'_>,
        tags_code: i64,
        ticket: impl FnOnce(&Appended) -> Option<S::Ticket>,
    ) -> Result<Appended, AppendError> {
        unreachable!("being written")
    }

    /// Bytes appended and not yet written.
    pub fn backlog_bytes(&self) -> usize {
        unreachable!("being written")
    }

    /// Resolves when the backlog is under half of its limit and the next append has a place to go,
    /// or when the log is fenced or closing.
    pub async fn room(&self) {
        unreachable!("being written")
    }

    /// First offset and one past the last visible one.
    pub fn bounds(&self, queue: QueueHandle) -> (i64, i64) {
        unreachable!("being written")
    }

    /// Finds out what a read from `from` brings. `keep` sees the tags code of each entry.
    pub fn plan_read(
        &self,
        queue: QueueHandle,
        from: i64,
        limits: &ReadLimits,
        keep: impl FnMut(i64) -> bool,
    ) -> ReadPlan {
        unreachable!("being written")
    }

    /// Appends the planned records to `out` if all are in memory; else leaves it unchanged.
    pub fn copy_resident(&self, plan: &ReadPlan, out: &mut Vec<u8>) -> bool {
        unreachable!("being written")
    }

    /// Appends the planned records to `out`, from disk where they are not in memory. After an error
    /// `out` is unchanged.
    pub async fn read_cold(&self, plan: &ReadPlan, out: &mut Vec<u8>) -> Result<(), ReadError> {
        unreachable!("being written")
    }

    /// The visible record that starts there; `None` if none does.
    pub async fn read_record(
        &self,
        physical: PhysicalOffset,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        unreachable!("being written")
    }

    /// A visible entry.
    pub fn entry(&self, queue: QueueHandle, offset: i64) -> Option<Entry> {
        unreachable!("being written")
    }

    /// The offset that a store time stands for.
    pub async fn offset_by_time(
        &self,
        queue: QueueHandle,
        timestamp_ms: i64,
        boundary: Boundary,
    ) -> Result<i64, ReadError> {
        unreachable!("being written")
    }

    /// [`Sink::arrived`] once, when a message that is not visible now becomes visible.
    pub fn watch(&self, queue: QueueHandle) {
        unreachable!("being written")
    }

    /// All queues: topic, queue id, handle.
    pub fn queues(&self) -> Vec<(String, i32, QueueHandle)> {
        unreachable!("being written")
    }

    /// Positions of the first byte kept and of the end of what is visible, as physical offsets.
    pub fn position_range(&self) -> (PhysicalOffset, PhysicalOffset) {
        unreachable!("being written")
    }

    pub fn counters(&self) -> Counters {
        unreachable!("being written")
    }

    /// Writes and syncs everything appended, then the clean mark. Appends are refused from now on.
    pub async fn close(self) -> Result<(), LogError> {
        unreachable!("being written")
    }
}
