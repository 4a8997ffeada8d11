//! One consumer group with online members.

use std::sync::Arc;

use super::{Client, ConnectionId, GroupSubscriptions, Members, Plan};

#[derive(Debug)]
pub(super) struct ConsumerGroup {
    members: Members,
    subscriptions: Arc<GroupSubscriptions>,
    /// What the subscriptions take in memory.
    bytes: usize,
    /// The member for which they count: that which changed them last.
    owner: ConnectionId,
    notify: bool,
}

/// What a heartbeat changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// The members, or the set of topics: the members rebalance.
    pub members: bool,
    /// What the group subscribes to, or how it consumes.
    pub published: bool,
}

impl ConsumerGroup {
    /// The group of its first member.
    pub fn new(client: Client, plan: &mut Plan) -> ConsumerGroup {
        let owner = client.connection;
        let mut members = Members::default();
        members.insert(client);
        let subscriptions = Arc::new(plan.take());
        ConsumerGroup { members, subscriptions, bytes: plan.bytes, owner, notify: plan.notify }
    }

    pub fn register(&mut self, client: Client, plan: &mut Plan) -> Change {
        self.notify = plan.notify;
        let connection = client.connection;
        let joined = self.members.insert(client).is_none();
        let published = plan.publishes();
        if published {
            self.subscriptions = Arc::new(plan.take());
            self.bytes = plan.bytes;
            self.owner = connection;
        }
        Change { members: joined || plan.topics_changed, published }
    }

    /// For whom the subscriptions count, and how many bytes.
    pub fn owned(&self) -> (ConnectionId, usize) {
        (self.owner, self.bytes)
    }

    /// If the subscriptions counted for the member, they do for the first of the others.
    pub fn remove(&mut self, connection: ConnectionId) -> Option<Client> {
        let removed = self.members.remove(connection)?;
        if self.owner == connection
            && let Some(first) = self.members.nth(0)
        {
            self.owner = first.connection;
        }
        Some(removed)
    }

    pub fn get(&self, connection: ConnectionId) -> Option<&Client> {
        self.members.get(connection)
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub fn notifies(&self) -> bool {
        self.notify
    }

    pub fn members(&self) -> impl Iterator<Item = &Client> {
        self.members.iter()
    }

    pub fn members_behind(&self, after: Option<ConnectionId>) -> impl Iterator<Item = &Client> {
        self.members.behind(after)
    }

    pub fn subscriptions(&self) -> Arc<GroupSubscriptions> {
        self.subscriptions.clone()
    }

    pub fn subscribes(&self, topic: &str) -> bool {
        self.subscriptions.topics.get(topic).is_some()
    }
}
