//! What queues and records of any shard hold.

use std::{cell::Cell, ops::Range, rc::Rc, sync::Arc};

use futures_util::future::join_all;
use ringmq_base::{LogPosition, PhysicalOffset, record::Record};
use ringmq_io::Runtime;
use ringmq_rules::refusal::Refusal;
use ringmq_store::QueueHandle;

use super::{BrokerLog, Shard};
use crate::messages::TopicView;

/// Pulls that a shard has answered.
#[derive(Default)]
pub struct PullCounts {
    pub found: Cell<u64>,
    pub missed: Cell<u64>,
    pub messages: Cell<u64>,
}

impl PullCounts {
    /// A pull is answered with so many messages.
    pub fn count(&self, messages: usize) {
        let times = if messages == 0 { &self.missed } else { &self.found };
        times.set(times.get() + 1);
        self.messages.set(self.messages.get() + messages as u64);
    }
}

/// What one queue of a topic holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueBounds {
    pub queue_id: i32,
    pub min: i64,
    pub max: i64,
    /// Milliseconds since 1970 of the last message; 0 without one.
    pub last_timestamp: i64,
}

/// Queues whose messages are read at a time, each of which may have 4 MiB.
const READS_AT_ONCE: usize = 8;

/// Queues of a topic that are asked for with one call of each shard.
const QUEUES_AT_ONCE: i32 = 4096;

/// The first `queues` queues of a topic in slices: one call of each shard is for one of them, so
/// that little is held, and whoever needs no more does not look at the others.
pub fn slices(queues: i32) -> impl Iterator<Item = Range<i32>> {
    let firsts = (0..queues).step_by(QUEUES_AT_ONCE as usize);
    firsts.map(move |first| first..first.saturating_add(QUEUES_AT_ONCE).min(queues))
}

impl<R: Runtime> Shard<R> {
    /// A queue of this shard that its topic has, or had before it was given fewer.
    pub fn existing_queue(
        &self,
        topic: &str,
        queue_id: i32,
    ) -> Option<(&BrokerLog<R>, QueueHandle)> {
        let topic = self.topic(topic)?;
        if queue_id < 0 || !self.queues.owns(&topic, queue_id) {
            return None;
        }
        if queue_id < topic.topic.queues() {
            return Some(self.queues.get(&topic, queue_id));
        }
        let log = self.queues.log(topic.log(queue_id, self.queues.log_count()))?;
        Some((log, log.find_queue(&topic.topic.name, queue_id)?))
    }

    /// The record at a physical offset of any log; `None` if none starts there.
    pub async fn record_at(self: &Rc<Self>, offset: i64) -> Result<Option<Vec<u8>>, Refusal> {
        let Some(physical) = PhysicalOffset::from_wire(offset) else {
            return Ok(None);
        };
        if physical.log().get() >= self.queues.log_count() {
            return Ok(None);
        }
        let owner = self.queues.log_owner(physical.log());
        let read = async move |shard: Rc<Self>| {
            let Some(log) = shard.queues.log(physical.log()) else {
                return Ok(None);
            };
            let record = log.read_record(physical).await;
            record.map_err(|error| Refusal::system_error(error.to_string()))
        };
        self.call(owner, read).await
    }

    /// What queues of a topic hold, in their order.
    pub async fn bounds(
        self: &Rc<Self>,
        topic: &Arc<TopicView>,
        queues: Range<i32>,
    ) -> Vec<QueueBounds> {
        let topic = topic.clone();
        let own = async move |shard: Rc<Self>| shard.own_bounds(&topic, queues).await;
        let mut all = self.call_all(own).await.concat();
        // What shards tell is in order already, which a stable sort makes use of.
        all.sort_by_key(|bounds| bounds.queue_id);
        all
    }

    async fn own_bounds(&self, topic: &TopicView, queues: Range<i32>) -> Vec<QueueBounds> {
        self.of_own_queues(topic, queues, async |queue_id| {
            let (log, queue) = self.queues.get(topic, queue_id);
            let (min, max) = log.bounds(queue);
            let last =
                if max > min { store_timestamp(log, queue, max - 1).await } else { Ok(None) };
            let last_timestamp = last.ok().flatten().unwrap_or(0);
            QueueBounds { queue_id, min, max, last_timestamp }
        })
        .await
    }

    /// What is read of each of these queues of a topic that is this shard's, in their order; some
    /// at a time.
    pub async fn of_own_queues<T>(
        &self,
        topic: &TopicView,
        queues: Range<i32>,
        read: impl AsyncFn(i32) -> T,
    ) -> Vec<T> {
        let own: Vec<i32> = queues.filter(|queue| self.queues.owns(topic, *queue)).collect();
        let mut all = Vec::with_capacity(own.len());
        for some in own.chunks(READS_AT_ONCE) {
            all.extend(join_all(some.iter().map(|queue_id| read(*queue_id))).await);
            self.runtime.yield_if_needed().await;
        }
        all
    }
}

/// When the message at a queue offset was stored; `None` if there is none.
pub async fn store_timestamp<R: Runtime>(
    log: &BrokerLog<R>,
    queue: QueueHandle,
    offset: i64,
) -> Result<Option<i64>, Refusal> {
    let entry = log.entry(queue, offset).await;
    let entry = entry.map_err(|error| Refusal::system_error(error.to_string()))?;
    let Some(entry) = entry else {
        return Ok(None);
    };
    let bytes = log.read_record(entry.physical).await;
    let bytes = bytes.map_err(|error| Refusal::system_error(error.to_string()))?;
    let record = bytes.as_deref().map(Record::decode).transpose();
    let record = record.map_err(|error| Refusal::system_error(error.to_string()))?;
    Ok(record.map(|record| record.store_timestamp))
}

/// Where the first message at or behind `offset` is, or shortly before; `None` if there is none.
pub async fn position_of<R: Runtime>(
    log: &BrokerLog<R>,
    queue: QueueHandle,
    offset: i64,
) -> Option<LogPosition> {
    let (min, max) = log.bounds(queue);
    let offset = offset.max(min);
    if offset >= max {
        return None;
    }
    match log.entry(queue, offset).await {
        Ok(Some(entry)) => Some(entry.physical.position()),
        // It was given up meanwhile, and what is behind it begins the queue.
        Ok(None) => log.first_position(queue),
        // It cannot be read, which must not keep everything for ever: its page is known to begin
        // there. What is in the way is counted and logged by the store.
        Err(_) => log.position_floor(queue, offset).or_else(|| log.first_position(queue)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_have_each_queue_once() {
        for queues in [0, 1, QUEUES_AT_ONCE, QUEUES_AT_ONCE + 1, 65_536] {
            assert!(slices(queues).flatten().eq(0..queues));
            assert!(slices(queues).all(|slice| slice.len() <= QUEUES_AT_ONCE as usize));
        }
    }
}
