//! The logs and queues of a shard, and the rule which shard has which.

use std::cell::{Cell, OnceCell, RefCell};

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
    handles: Handles,
    seal: Option<Seal>,
}

pub struct Queues<R: Runtime> {
    shard: ShardId,
    shards: u16,
    log_count: Cell<u16>,
    /// By log id: the logs that this shard owns.
    logs: OnceCell<Vec<Option<BrokerLog<R>>>>,
    /// By topic id: handles that were looked up before.
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
        let queue = usize::try_from(queue_id).unwrap_or(0);
        let mut topics = self.topics.borrow_mut();
        let handles = &mut entry(&mut topics, topic.id).handles;
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
        let known = topics.get(topic.id as usize).filter(|known| known.seal.is_none())?;
        let handle = (*known.handles.get(usize::try_from(queue_id).ok()?)?)?;
        let log = self.log(topic.log(queue_id, self.log_count()))?;
        log.prefetch(handle);
        Some((log, handle))
    }

    /// Why nothing may be stored in the queues of a topic any more, if so. Messages that were
    /// checked before may still be on their way here.
    #[inline]
    pub fn seal_of(&self, topic: &TopicView) -> Option<Seal> {
        self.topics.borrow().get(topic.id as usize)?.seal
    }

    /// Nothing is stored in a topic from now on, or with `None` messages are again.
    pub fn set_seal(&self, topic: &TopicView, seal: Option<Seal>) {
        entry(&mut self.topics.borrow_mut(), topic.id).seal = seal;
    }
}

fn entry(topics: &mut Vec<TopicQueues>, id: u32) -> &mut TopicQueues {
    let index = id as usize;
    if topics.len() <= index {
        topics.resize(index + 1, TopicQueues::default());
    }
    &mut topics[index]
}
