//! The logs and queues of a shard, and the rule which shard has which.

use std::{
    cell::{Cell, OnceCell, RefCell},
    cmp::Ordering,
};

use ringmq_base::{LogId, ShardId};
use ringmq_io::Runtime;
use ringmq_store::{Log, QueueHandle};
use smallvec::SmallVec;

use super::acks::LogSink;
use crate::messages::TopicView;

pub type BrokerLog<R> = Log<R, LogSink<R>>;

/// By queue id. In place for topics of the usual size: one wait for memory less for each message
/// when there are many topics.
type Handles = SmallVec<[Option<QueueHandle>; 8]>;

/// Why nothing is stored in the queues of a topic any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    /// It is being deleted.
    Deletion,
    /// Its deletion may be there after the next start, or not. What is stored now would go with
    /// it, or come back in a topic of the same name.
    Doubt,
}

/// What this shard knows of a topic's queues.
#[derive(Clone, Default)]
struct TopicQueues {
    /// The topic's id. Its slot may have been another topic's before, whose id is less.
    topic: u64,
    handles: Handles,
    seal: Option<Seal>,
}

pub struct Queues<R: Runtime> {
    shard: ShardId,
    shards: u16,
    log_count: Cell<u16>,
    /// By log id: the logs that this shard owns.
    logs: OnceCell<Vec<Option<BrokerLog<R>>>>,
    /// By the topic's slot: handles that were looked up before.
    topics: RefCell<Vec<TopicQueues>>,
}

impl<R: Runtime> Queues<R> {
    pub fn new(shard: ShardId, shards: usize) -> Queues<R> {
        let shards = u16::try_from(shards).expect("as many shards as CPUs, about");
        Queues {
            shard,
            shards,
            log_count: Cell::new(1),
            logs: OnceCell::new(),
            topics: RefCell::default(),
        }
    }

    /// Takes the opened logs over; by log id, `None` for those of other shards.
    pub fn set_logs(&self, logs: Vec<Option<BrokerLog<R>>>) {
        self.log_count.set(logs.len() as u16);
        assert!(self.logs.set(logs).is_ok(), "logs are opened once");
    }

    /// The store's number of logs.
    pub fn log_count(&self) -> u16 {
        self.log_count.get()
    }

    /// The shard that a log runs on.
    pub fn log_owner(&self, log: LogId) -> ShardId {
        ShardId(log.get() % self.shards)
    }

    /// The shard that a queue of a topic lives on.
    pub fn owner(&self, topic: &TopicView, queue_id: i32) -> ShardId {
        self.log_owner(topic.log(queue_id, self.log_count.get()))
    }

    /// Whether a queue of a topic lives on this shard.
    pub fn owns(&self, topic: &TopicView, queue_id: i32) -> bool {
        self.owner(topic, queue_id) == self.shard
    }

    /// A log of this shard.
    pub fn log(&self, log: LogId) -> Option<&BrokerLog<R>> {
        self.logs.get()?.get(log.index())?.as_ref()
    }

    pub fn own_logs(&self) -> impl Iterator<Item = &BrokerLog<R>> {
        self.logs.get().into_iter().flatten().flatten()
    }

    /// The log and the handle of a queue that this shard owns. The queue id is within the topic.
    pub fn get(&self, topic: &TopicView, queue_id: i32) -> (&BrokerLog<R>, QueueHandle) {
        let id = topic.log(queue_id, self.log_count.get());
        let log = self.log(id).expect("requests reach the shard that owns the queue");
        let mut topics = self.topics.borrow_mut();
        let known = entry(&mut topics, topic).filter(|known| known.seal != Some(Seal::Deletion));
        let Some(known) = known else {
            // Nothing is kept for a topic that is going, or gone.
            return (log, log.queue(&topic.topic.name, queue_id));
        };
        let (handles, queue) = (&mut known.handles, usize::try_from(queue_id).unwrap_or(0));
        if handles.len() <= queue {
            handles.resize(queue + 1, None);
        }
        let handle = *handles[queue].get_or_insert_with(|| log.queue(&topic.topic.name, queue_id));
        (log, handle)
    }

    /// The queue if messages may be stored in it, it is one of this shard and was looked up before.
    /// Asks for the memory that an append will touch: what is done until then need not wait for it.
    #[inline]
    pub fn known(&self, topic: &TopicView, queue_id: i32) -> Option<(&BrokerLog<R>, QueueHandle)> {
        let topics = self.topics.borrow();
        let known = topics.get(topic.slot as usize)?;
        if known.topic != topic.id || known.seal.is_some() {
            return None;
        }
        let handle = (*known.handles.get(usize::try_from(queue_id).ok()?)?)?;
        let log = self.log(topic.log(queue_id, self.log_count()))?;
        log.prefetch(handle);
        Some((log, handle))
    }

    #[cfg(test)]
    pub fn places(&self) -> usize {
        self.topics.borrow().len()
    }

    /// Why nothing may be stored in the queues of a topic any more, if so. Messages that were
    /// checked before may still be on their way here.
    #[inline]
    pub fn seal_of(&self, topic: &TopicView) -> Option<Seal> {
        let topics = self.topics.borrow();
        let known = topics.get(topic.slot as usize)?;
        match known.topic.cmp(&topic.id) {
            Ordering::Less => None,
            Ordering::Equal => known.seal,
            // It is gone, and another one has its slot.
            Ordering::Greater => Some(Seal::Deletion),
        }
    }

    /// Nothing is stored in a topic from now on, or with `None` messages are again.
    pub fn set_seal(&self, topic: &TopicView, seal: Option<Seal>) {
        let mut topics = self.topics.borrow_mut();
        let Some(known) = entry(&mut topics, topic) else {
            return;
        };
        known.seal = seal;
        if seal == Some(Seal::Deletion) {
            // Looked up again should it stay.
            known.handles = Handles::new();
        }
    }
}

/// `None`: the topic is gone, and another one has its slot.
#[inline]
fn entry<'t>(topics: &'t mut Vec<TopicQueues>, topic: &TopicView) -> Option<&'t mut TopicQueues> {
    let slot = topic.slot as usize;
    if topics.len() <= slot {
        topics.resize(slot + 1, TopicQueues::default());
    }
    let known = &mut topics[slot];
    if known.topic < topic.id {
        *known = TopicQueues { topic: topic.id, ..TopicQueues::default() };
    }
    (known.topic == topic.id).then_some(known)
}
