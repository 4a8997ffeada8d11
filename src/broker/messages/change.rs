//! Changes of what all shards know, from the control shard to the others.

use std::sync::Arc;

use super::LiveSettings;
use ringmq_base::LogId;
use ringmq_rules::{
    acl::AccessRules, clients::GroupSubscriptions, groups::Group, refusal::Refusal, topics::Topic,
};

/// A topic as of one version of its configuration.
#[derive(Debug)]
pub struct TopicView {
    /// Of this topic alone: whoever makes one later, under this name or another, gets a greater.
    pub id: u64,
    /// Its place in tables of the shards. A topic that is deleted leaves it to another one, so that
    /// there are no more places than there were topics at one time.
    pub slot: u32,
    pub topic: Topic,
}

impl TopicView {
    /// The log that owns a queue, see [`log_of_queue`].
    #[inline]
    pub fn log(&self, queue_id: i32, logs: u16) -> LogId {
        log_of_queue(self.topic.first_log, queue_id, logs)
    }

    /// The queue below `logs` that lives on a log.
    pub fn queue_on(&self, log: LogId, logs: u16) -> i32 {
        let (log, logs) = (i32::from(log.get()), i32::from(logs));
        (log - i32::from(self.topic.first_log)).rem_euclid(logs)
    }
}

/// The log that owns a queue, for ever, by the log of its topic's first queue. `logs` is the
/// store's number of logs.
#[inline]
pub fn log_of_queue(first_log: u16, queue_id: i32, logs: u16) -> LogId {
    let queue = u32::try_from(queue_id).unwrap_or(0);
    let log = (u32::from(first_log) + queue) % u32::from(logs);
    LogId::new(log as u16).expect("a remainder by a valid number of logs")
}

/// One step of the shared view.
#[derive(Clone, Debug)]
pub enum Change {
    Topic(Arc<TopicView>),
    /// With the next offsets of its queues: nothing before them is read any more.
    TopicRemoved(Arc<str>, Arc<[(i32, i64)]>),
    Group(Arc<Group>),
    GroupRemoved(Arc<str>),
    /// The subscriptions of a group's online members; `None` when the last one left.
    Subscriptions(Arc<str>, Option<Arc<GroupSubscriptions>>),
    /// Keys of the configuration that an administrator changed.
    Live(Arc<LiveSettings>),
    /// The answer to sends while the disk is too full; `None` when they are taken again.
    DiskFull(Option<Arc<Refusal>>),
    /// By which requests are checked.
    Access(Arc<AccessRules>),
}
