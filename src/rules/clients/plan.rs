//! What a heartbeat would change of what a consumer group subscribes to. It is found out before
//! anything is noted, and needs nothing but values: for thousands of topics it may be done beside
//! the shard that notes it.

use std::{mem, sync::Arc};

use super::{
    super::filter::Filter,
    super::limits::{SUBSCRIPTION_BYTES, SUBSCRIPTION_BYTES_MAX, SUBSCRIPTIONS_BYTES_MAX},
    ConsumerRegistration, GroupSubscriptions, Name, Refusal, Subscription,
};

/// What a heartbeat says of a group, compared with what the group subscribes to.
#[derive(Debug)]
pub struct Plan {
    /// What that was; `None`: it had no members.
    known: Option<Arc<GroupSubscriptions>>,
    /// What the group subscribes to from then on.
    new: GroupSubscriptions,
    /// Subscriptions of the heartbeat that newer ones of the group stand for.
    older: Vec<Subscription>,
    /// What the new ones take in memory.
    pub(super) bytes: usize,
    pub(super) topics_changed: bool,
    publishes: bool,
    pub(super) notify: bool,
}

impl Plan {
    /// `known`: what the group subscribes to; `None`: it has no members.
    ///
    /// # Errors
    /// If a name is too long or there is too much of something.
    pub fn new(
        known: Option<Arc<GroupSubscriptions>>,
        registration: ConsumerRegistration<'_>,
    ) -> Result<Plan, Refusal> {
        check_subscriptions(registration.group, &registration.subscriptions)?;
        let mut topics = registration.subscriptions;
        // Of two of one topic in a heartbeat the newer counts, or the first.
        topics.sort_by(|a, b| a.topic.cmp(&b.topic).then(b.version.cmp(&a.version)));
        topics.dedup_by(|later, first| later.topic == first.topic);
        let new = GroupSubscriptions {
            consume_type: registration.consume_type,
            message_model: registration.message_model,
            consume_from_where: registration.consume_from_where,
            topics: Vec::new().into(),
        };
        let mut plan = Plan {
            known,
            new,
            older: Vec::new(),
            bytes: 0,
            topics_changed: false,
            publishes: false,
            notify: registration.notify,
        };
        plan.compare(topics);
        Ok(plan)
    }

    /// Whether this is what the group still subscribes to, so that the plan holds.
    pub fn fits(&self, known: Option<&Arc<GroupSubscriptions>>) -> bool {
        match (&self.known, known) {
            (Some(planned), Some(known)) => Arc::ptr_eq(planned, known),
            (None, None) => true,
            _ => false,
        }
    }

    /// Compares the same heartbeat with what the group subscribes to by now.
    pub fn again(&mut self, known: Option<Arc<GroupSubscriptions>>) {
        let mut topics = Vec::from(mem::take(&mut self.new.topics));
        let mut older = mem::take(&mut self.older).into_iter().peekable();
        for one in &mut topics {
            if let Some(own) = older.next_if(|own| own.topic == one.topic) {
                *one = own;
            }
        }
        self.known = known;
        self.compare(topics);
    }

    /// `topics`: those of the heartbeat, sorted, each once.
    fn compare(&mut self, mut topics: Vec<Subscription>) {
        let old = self.known.as_deref();
        let mut known = old.into_iter().flat_map(|old| old.topics.values()).peekable();
        for one in &mut topics {
            while known.next_if(|known| known.topic < one.topic).is_some() {}
            // An older version is a heartbeat that overtook a newer one, or another member that
            // has not been updated yet.
            if let Some(known) = known.next_if(|known| known.topic == one.topic)
                && one.version <= known.version
                && one != known
            {
                self.older.push(mem::replace(one, known.clone()));
            }
        }
        self.new.topics = topics.into();
        let new = &self.new;
        self.topics_changed = old.is_none_or(|old| {
            let names = old.topics.values().map(|one| &one.topic);
            names.ne(new.topics.values().map(|one| &one.topic))
        });
        self.bytes = new.topics.values().map(bytes_of).sum();
        self.publishes = old.is_none_or(|old| new != old);
    }

    /// Whether what the group subscribes to, or how it consumes, changes.
    pub(super) fn publishes(&self) -> bool {
        self.publishes
    }

    /// What the group subscribes to from now on.
    pub(super) fn take(&mut self) -> GroupSubscriptions {
        let topics = mem::take(&mut self.new.topics);
        GroupSubscriptions { topics, ..self.new.clone() }
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

fn check_subscriptions(group: &str, subscriptions: &[Subscription]) -> Result<(), Refusal> {
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
