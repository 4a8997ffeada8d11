//! What every shard knows of topics, groups and subscriptions: a local copy that the control shard
//! keeps up to date by an ordered stream of changes, so that requests read it without a lock.

use std::sync::Arc;

use ahash::AHashMap;
use ringmq_base::LogId;

use ringmq_rules::{clients::GroupSubscriptions, groups::Group, refusal::Refusal, topics::Topic};

/// A topic as of one version of its configuration.
#[derive(Debug)]
pub struct TopicView {
    /// Names this topic in per-shard tables; never used again for another one.
    pub id: u32,
    pub topic: Topic,
}

impl TopicView {
    /// The log that owns a queue, see [`log_of`].
    pub fn log(&self, queue_id: i32, logs: u16) -> LogId {
        log_of(&self.topic, queue_id, logs)
    }
}

/// The log that owns a queue, for ever. `logs` is the store's number of logs.
pub fn log_of(topic: &Topic, queue_id: i32, logs: u16) -> LogId {
    log_of_queue(topic.first_log, queue_id, logs)
}

/// The same by the log of the topic's first queue.
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
    /// brokerPermission: 2 write, 4 read.
    Permission(i32),
    /// The answer to sends while the disk is too full; `None` when they are taken again.
    DiskFull(Option<Arc<Refusal>>),
}

#[derive(Default)]
pub struct View {
    pub topics: AHashMap<Arc<str>, Arc<TopicView>>,
    pub groups: AHashMap<Arc<str>, Arc<Group>>,
    pub subscriptions: AHashMap<Arc<str>, Arc<GroupSubscriptions>>,
    pub permission: i32,
    pub disk_full: Option<Arc<Refusal>>,
}

impl View {
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Topic(topic) => {
                self.topics.insert(topic.topic.name.clone(), topic);
            }
            Change::TopicRemoved(name, _) => {
                self.topics.remove(&name);
            }
            Change::Group(group) => {
                self.groups.insert(group.name.clone(), group);
            }
            Change::GroupRemoved(name) => {
                self.groups.remove(&name);
            }
            Change::Subscriptions(group, Some(subscriptions)) => {
                self.subscriptions.insert(group, subscriptions);
            }
            Change::Subscriptions(group, None) => {
                self.subscriptions.remove(&group);
            }
            Change::Permission(permission) => self.permission = permission,
            Change::DiskFull(refusal) => self.disk_full = refusal,
        }
    }
}
