//! What every shard knows of topics, groups and subscriptions: a local copy that the control shard
//! keeps up to date by an ordered stream of changes, so that requests read it without a lock.

use std::sync::Arc;

use ahash::AHashMap;
use ringmq_rules::{
    acl::AccessRules, clients::GroupSubscriptions, groups::Group, refusal::Refusal,
};

use crate::messages::{Change, LiveSettings, TopicView};

pub struct View {
    pub topics: AHashMap<Arc<str>, Arc<TopicView>>,
    pub groups: AHashMap<Arc<str>, Arc<Group>>,
    pub subscriptions: AHashMap<Arc<str>, Arc<GroupSubscriptions>>,
    pub live: Arc<LiveSettings>,
    pub disk_full: Option<Arc<Refusal>>,
    /// The answer to sends and pulls while the broker ends.
    pub draining: Option<Arc<Refusal>>,
    /// With `aclEnable`.
    pub access: Option<Arc<AccessRules>>,
}

impl View {
    pub fn new(live: Arc<LiveSettings>) -> View {
        View {
            topics: AHashMap::default(),
            groups: AHashMap::default(),
            subscriptions: AHashMap::default(),
            live,
            disk_full: None,
            draining: None,
            access: None,
        }
    }

    /// Why no send is taken now.
    #[inline]
    pub fn refuses_sends(&self) -> Option<&Refusal> {
        self.draining.as_deref().or(self.disk_full.as_deref())
    }

    /// Gives what a group subscribed to before: it may take long to drop.
    pub fn apply(&mut self, change: Change) -> Option<Arc<GroupSubscriptions>> {
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
                return self.subscriptions.insert(group, subscriptions);
            }
            Change::Subscriptions(group, None) => return self.subscriptions.remove(&group),
            Change::Live(live) => self.live = live,
            Change::DiskFull(refusal) => self.disk_full = refusal,
            Change::Access(rules) => self.access = Some(rules),
        }
        None
    }
}
