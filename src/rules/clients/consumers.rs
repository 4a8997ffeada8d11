//! One consumer group with online members.

use std::sync::Arc;

use super::{
    super::filter::Filter,
    super::limits::{SUBSCRIPTION_BYTES, SUBSCRIPTION_BYTES_MAX, SUBSCRIPTIONS_BYTES_MAX},
    Client, ConnectionId, ConsumerRegistration, GroupSubscriptions, Members, Name, Refusal,
    Subscription,
};

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

/// What a heartbeat would change of a group.
#[derive(Debug)]
pub(super) struct Plan {
    /// What the group subscribes to from then on, if that or how it consumes changes.
    subscriptions: Option<GroupSubscriptions>,
    /// What the subscriptions take in memory then.
    pub bytes: usize,
    topics_changed: bool,
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

impl Plan {
    /// `group`: `None` if it has no members yet.
    pub fn new(group: Option<&ConsumerGroup>, registration: ConsumerRegistration<'_>) -> Plan {
        let old = group.map(|group| &*group.subscriptions);
        let mut topics = registration.subscriptions;
        // Of two of one topic in a heartbeat the newer counts, or the first.
        topics.sort_by(|a, b| a.topic.cmp(&b.topic).then(b.version.cmp(&a.version)));
        topics.dedup_by(|later, first| later.topic == first.topic);
        let mut known = old.into_iter().flat_map(|old| old.topics.values()).peekable();
        for one in &mut topics {
            while known.next_if(|known| known.topic < one.topic).is_some() {}
            // An older version is a heartbeat that overtook a newer one, or another member that
            // has not been updated yet.
            if let Some(known) = known.next_if(|known| known.topic == one.topic)
                && one.version <= known.version
                && one != known
            {
                *one = known.clone();
            }
        }
        let new = GroupSubscriptions {
            consume_type: registration.consume_type,
            message_model: registration.message_model,
            consume_from_where: registration.consume_from_where,
            topics: topics.into(),
        };
        let topics_changed = old.is_none_or(|old| {
            let names = old.topics.values().map(|one| &one.topic);
            names.ne(new.topics.values().map(|one| &one.topic))
        });
        let bytes = new.topics.values().map(bytes_of).sum();
        let published = old.is_none_or(|old| new != *old);
        let subscriptions = published.then_some(new);
        Plan { subscriptions, bytes, topics_changed, notify: registration.notify }
    }

    pub fn publishes(&self) -> bool {
        self.subscriptions.is_some()
    }
}

impl ConsumerGroup {
    /// The group of its first member; `None` if the plan is for a group that is there.
    pub fn new(client: Client, plan: Plan) -> Option<ConsumerGroup> {
        let owner = client.connection;
        let mut members = Members::default();
        members.insert(client);
        let subscriptions = Arc::new(plan.subscriptions?);
        Some(ConsumerGroup {
            members,
            subscriptions,
            bytes: plan.bytes,
            owner,
            notify: plan.notify,
        })
    }

    pub fn register(&mut self, client: Client, plan: Plan) -> Change {
        self.notify = plan.notify;
        let connection = client.connection;
        let joined = self.members.insert(client).is_none();
        let published = plan.publishes();
        if let Some(new) = plan.subscriptions {
            self.subscriptions = Arc::new(new);
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

/// What a subscription takes in memory.
fn bytes_of(one: &Subscription) -> usize {
    let tags: usize = one.tags.iter().map(|tag| tag.len() + size_of::<String>()).sum();
    let codes = one.codes.len() * size_of::<i32>();
    let filter = match &one.filter {
        Filter::Sql(filter) => filter.bytes(),
        _ => codes,
    };
    SUBSCRIPTION_BYTES + one.topic.len() + one.text.len() + tags + codes + filter
}

pub(super) fn check_subscriptions(
    group: &str,
    subscriptions: &[Subscription],
) -> Result<(), Refusal> {
    let bytes: usize = subscriptions.iter().map(bytes_of).sum();
    if bytes > SUBSCRIPTIONS_BYTES_MAX {
        return Err(Refusal::system_error(format!(
            "the subscriptions of group[{group}] to {} topics take {bytes} bytes, at most \
             {SUBSCRIPTIONS_BYTES_MAX} fit; use more groups",
            subscriptions.len()
        )));
    }
    for one in subscriptions {
        Name::Topic.check(&one.topic)?;
    }
    let long = subscriptions.iter().find(|one| one.text.len() > SUBSCRIPTION_BYTES_MAX);
    match long {
        None => Ok(()),
        Some(long) => Err(Refusal::system_error(format!(
            "the subscription of group[{group}] to topic[{}] has {} bytes, at most \
             {SUBSCRIPTION_BYTES_MAX} fit; subscribe to * and filter in the application",
            long.topic,
            long.text.len()
        ))),
    }
}
