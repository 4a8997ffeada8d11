//! One consumer group with online members.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    super::filter::Filter,
    super::limits::{SUBSCRIPTION_BYTES, SUBSCRIPTION_BYTES_MAX, SUBSCRIPTIONS_BYTES_MAX},
    Channel, Client, ConnectionId, ConsumerRegistration, GroupSubscriptions, Name, Refusal,
    Subscription,
};

#[derive(Debug)]
pub(super) struct ConsumerGroup {
    members: BTreeMap<ConnectionId, Client>,
    subscriptions: Arc<GroupSubscriptions>,
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
    pub fn new(registration: &ConsumerRegistration<'_>) -> ConsumerGroup {
        ConsumerGroup {
            members: BTreeMap::new(),
            subscriptions: Arc::new(GroupSubscriptions {
                consume_type: registration.consume_type,
                message_model: registration.message_model,
                consume_from_where: registration.consume_from_where,
                topics: BTreeMap::new(),
            }),
            notify: registration.notify,
        }
    }

    pub fn register(
        &mut self,
        channel: &Channel<'_>,
        registration: ConsumerRegistration<'_>,
        now: i64,
    ) -> Change {
        let first = self.members.is_empty();
        self.notify = registration.notify;
        let joined = self.members.insert(channel.connection, Client::new(channel, now)).is_none();
        let mut new = GroupSubscriptions {
            consume_type: registration.consume_type,
            message_model: registration.message_model,
            consume_from_where: registration.consume_from_where,
            topics: BTreeMap::new(),
        };
        let old = &self.subscriptions.topics;
        for subscription in registration.subscriptions {
            // An older version is a heartbeat that overtook a newer one, or another member that
            // has not been updated yet.
            // The same goes for two of one topic in a heartbeat.
            let known = new.topics.get(&subscription.topic);
            let known = known.or_else(|| old.get(&subscription.topic));
            let kept = known.filter(|known| subscription.version <= known.version);
            let kept = kept.cloned().unwrap_or(subscription);
            new.topics.insert(kept.topic.clone(), kept);
        }
        let topics_changed = !new.topics.keys().eq(old.keys());
        let published = first || new != *self.subscriptions;
        if published {
            self.subscriptions = Arc::new(new);
        }
        Change { members: joined || topics_changed, published }
    }

    pub fn remove(&mut self, connection: ConnectionId) -> bool {
        self.members.remove(&connection).is_some()
    }

    pub fn has(&self, connection: ConnectionId) -> bool {
        self.members.contains_key(&connection)
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub fn notifies(&self) -> bool {
        self.notify
    }

    pub fn members(&self) -> impl Iterator<Item = &Client> {
        self.members.values()
    }

    pub fn connections(&self) -> Vec<ConnectionId> {
        self.members.keys().copied().collect()
    }

    pub fn subscriptions(&self) -> Arc<GroupSubscriptions> {
        self.subscriptions.clone()
    }

    pub fn subscribes(&self, topic: &str) -> bool {
        self.subscriptions.topics.contains_key(topic)
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
