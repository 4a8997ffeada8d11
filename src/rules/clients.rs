//! Who is connected: producers and consumers by group and connection, from heartbeats.

mod consumers;
mod members;
mod plan;
mod producers;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    ops::Bound,
    sync::Arc,
};

use ringmq_remoting::language::Language;

pub use super::subscription::{
    ConsumeFromWhere, ConsumeType, GroupSubscriptions, MessageModel, Subscription,
};
use super::{
    connection_id::ConnectionId,
    limits::{CLIENTS_BYTES_MAX, CLIENTS_SHARE, GROUPS_PER_CONNECTION_MAX, MEMBERSHIP_BYTES},
    names::Name,
    refusal::Refusal,
};
pub use plan::Plan;

use consumers::ConsumerGroup;
use members::Members;
use producers::Producers;

/// A client that is not heard of for longer is gone. Source: `CHANNEL_EXPIRED_TIMEOUT`.
pub const CLIENT_EXPIRY_MS: i64 = 120_000;

/// A client as its heartbeat shows it.
#[derive(Clone, Copy, Debug)]
pub struct Channel<'a> {
    pub connection: ConnectionId,
    pub client_id: &'a str,
    pub address: SocketAddr,
    pub language: Language,
    pub version: i32,
}

/// A member of a producer or consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    pub connection: ConnectionId,
    pub client_id: Arc<str>,
    pub address: SocketAddr,
    pub language: Language,
    pub version: i32,
    /// Milliseconds since 1970 of the last heartbeat.
    pub last_update: i64,
}

impl Client {
    /// `known`: as it was before.
    fn new(channel: &Channel<'_>, known: Option<&Client>, now: i64) -> Client {
        let id = known.map(|known| &known.client_id).filter(|id| ***id == *channel.client_id);
        Client {
            connection: channel.connection,
            client_id: id.map_or_else(|| Arc::from(channel.client_id), Arc::clone),
            address: channel.address,
            language: channel.language,
            version: channel.version,
            last_update: now,
        }
    }

    fn is_expired(&self, now: i64) -> bool {
        now - self.last_update > CLIENT_EXPIRY_MS
    }
}

/// A consumer group of a heartbeat.
#[derive(Clone, Debug)]
pub struct ConsumerRegistration<'a> {
    pub group: &'a str,
    pub consume_type: ConsumeType,
    pub message_model: MessageModel,
    pub consume_from_where: ConsumeFromWhere,
    pub subscriptions: Vec<Subscription>,
    /// notifyConsumerIdsChangedEnable of the group's configuration.
    pub notify: bool,
}

/// What the broker has to do about a change of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// Tell its members to rebalance (request code 40, one-way).
    GroupChanged { group: Arc<str> },
    /// Publish what the group subscribes to; `None`: it has no member left.
    SubscriptionsChanged { group: Arc<str>, subscriptions: Option<Arc<GroupSubscriptions>> },
}

/// The groups of one connection, so that its end costs no more than it has.
#[derive(Debug, Default)]
struct Registered {
    producer_groups: BTreeSet<Arc<str>>,
    consumer_groups: BTreeSet<Arc<str>>,
    /// What its memberships take, and the subscriptions that count for it.
    bytes: usize,
}

impl Registered {
    fn is_empty(&self) -> bool {
        self.count() == 0
    }

    fn count(&self) -> usize {
        self.producer_groups.len() + self.consumer_groups.len()
    }
}

/// All clients of a broker.
#[derive(Debug)]
pub struct ClientTable {
    consumers: BTreeMap<Arc<str>, ConsumerGroup>,
    producers: Producers,
    connections: BTreeMap<ConnectionId, Registered>,
    /// What memberships take, see [`membership_bytes`], and subscriptions.
    bytes: usize,
    bytes_max: usize,
}

impl Default for ClientTable {
    fn default() -> ClientTable {
        ClientTable::with_limit(CLIENTS_BYTES_MAX)
    }
}

impl ClientTable {
    /// `bytes_max`: of all memberships.
    pub fn with_limit(bytes_max: usize) -> ClientTable {
        ClientTable {
            consumers: BTreeMap::new(),
            producers: Producers::default(),
            connections: BTreeMap::new(),
            bytes: 0,
            bytes_max,
        }
    }

    /// Notes a consumer group of a heartbeat.
    ///
    /// # Errors
    /// If a name is too long or there is too much of something; nothing is noted then.
    pub fn register_consumer(
        &mut self,
        channel: &Channel<'_>,
        registration: ConsumerRegistration<'_>,
        now: i64,
    ) -> Result<Vec<ClientEvent>, Refusal> {
        check_channel(channel, registration.group)?;
        let group = registration.group;
        let mut plan = Plan::new(self.subscriptions(group), registration)?;
        self.register_planned(channel, group, &mut plan, now)
    }

    /// The same by a plan, which is made again if the group has changed since. What the plan has
    /// afterwards is left to the caller: it may take long to drop.
    ///
    /// # Errors
    /// Those of [`ClientTable::register_consumer`].
    pub fn register_planned(
        &mut self,
        channel: &Channel<'_>,
        group: &str,
        plan: &mut Plan,
        now: i64,
    ) -> Result<Vec<ClientEvent>, Refusal> {
        check_channel(channel, group)?;
        let subscriptions = self.subscriptions(group);
        if !plan.fits(subscriptions.as_ref()) {
            plan.again(subscriptions);
        }
        let known = self.consumers.get_key_value(group);
        let member = known.and_then(|(_, group)| group.get(channel.connection));
        let client = Client::new(channel, member, now);
        let before = member.map_or(0, |member| membership_bytes(group, member));
        let name = known.map_or_else(|| Arc::from(group), |(name, _)| name.clone());
        let notify = plan.notify;
        let mut growth = Growth { before, after: membership_bytes(&name, &client), others: 0 };
        if plan.publishes() {
            let (owner, bytes) = known.map_or((channel.connection, 0), |(_, group)| group.owned());
            growth.after += plan.bytes;
            let own = owner == channel.connection;
            *if own { &mut growth.before } else { &mut growth.others } += bytes;
            self.make_room(channel, &name, growth)?;
            if !own {
                self.uncharge(owner, bytes);
            }
        } else {
            self.make_room(channel, &name, growth)?;
        }
        self.registered(channel.connection).consumer_groups.insert(name.clone());
        let mut events = Vec::new();
        let change = match self.consumers.get_mut(&name) {
            Some(group) => group.register(client, plan),
            None => {
                self.consumers.insert(name.clone(), ConsumerGroup::new(client, plan));
                consumers::Change { members: true, published: true }
            }
        };
        let Some(group) = self.consumers.get(&name) else {
            return Ok(events);
        };
        if change.published {
            events.push(ClientEvent::SubscriptionsChanged {
                group: name.clone(),
                subscriptions: Some(group.subscriptions()),
            });
        }
        if change.members && notify {
            events.push(ClientEvent::GroupChanged { group: name });
        }
        Ok(events)
    }

    /// Notes a producer group of a heartbeat.
    ///
    /// # Errors
    /// If a name is too long or the connection is in too many groups.
    pub fn register_producer(
        &mut self,
        channel: &Channel<'_>,
        group: &str,
        now: i64,
    ) -> Result<(), Refusal> {
        check_channel(channel, group)?;
        let known = self.producers.get(group, channel.connection);
        let client = Client::new(channel, known.map(|(_, client)| client), now);
        let before = known.map_or(0, |(name, client)| membership_bytes(name, client));
        let name = known.map_or_else(|| Arc::from(group), |(name, _)| name.clone());
        let after = membership_bytes(&name, &client);
        self.make_room(channel, &name, Growth { before, after, others: 0 })?;
        self.registered(channel.connection).producer_groups.insert(name.clone());
        self.producers.register(&name, client);
        Ok(())
    }

    /// Takes a consumer out of a group.
    pub fn unregister_consumer(
        &mut self,
        connection: ConnectionId,
        group: &str,
    ) -> Vec<ClientEvent> {
        let mut events = Vec::new();
        if self.remove_consumer(connection, group, false, &mut events) {
            self.leave(connection, |registered| registered.consumer_groups.remove(group));
        }
        events
    }

    /// Takes a producer out of a group.
    pub fn unregister_producer(&mut self, connection: ConnectionId, group: &str) {
        if let Some(client) = self.producers.remove(group, connection) {
            self.uncharge(connection, membership_bytes(group, &client));
            self.leave(connection, |registered| registered.producer_groups.remove(group));
        }
    }

    /// A connection is closed: its client leaves all groups.
    pub fn close(&mut self, connection: ConnectionId) -> Vec<ClientEvent> {
        self.close_some(connection, usize::MAX).0
    }

    /// The same for at most `most` groups; false: it is in more.
    pub fn close_some(
        &mut self,
        connection: ConnectionId,
        most: usize,
    ) -> (Vec<ClientEvent>, bool) {
        let mut events = Vec::new();
        for _ in 0..most {
            let Some(registered) = self.connections.get_mut(&connection) else {
                return (events, true);
            };
            if let Some(group) = registered.producer_groups.pop_first() {
                if let Some(client) = self.producers.remove(&group, connection) {
                    self.uncharge(connection, membership_bytes(&group, &client));
                }
            } else if let Some(group) = registered.consumer_groups.pop_first() {
                self.remove_consumer(connection, &group, true, &mut events);
            } else {
                self.connections.remove(&connection);
                return (events, true);
            }
        }
        (events, false)
    }

    /// The connections among the next ones whose clients have sent no heartbeat for
    /// [`CLIENT_EXPIRY_MS`]. Looks at the members of some groups: at `most`, and those of the
    /// group of the last.
    pub fn expired_some(&self, to: &mut LookedTo, most: usize, now: i64) -> Vec<ConnectionId> {
        let mut look = Look { left: most, now, expired: Vec::new() };
        let next = match to {
            LookedTo::Consumers(after) => {
                let from = after.clone();
                let groups = self.consumers.range::<str, _>(behind(&from));
                let all = look.through(groups.map(|(name, group)| (name, group.members())), after);
                all.then_some(LookedTo::Producers(None))
            }
            LookedTo::Producers(after) => {
                let from = after.clone();
                let groups = self.producers.groups_from(behind(&from));
                look.through(groups, after).then_some(LookedTo::End)
            }
            LookedTo::End => None,
        };
        *to = next.unwrap_or_else(|| std::mem::take(to));
        look.expired.sort_unstable();
        look.expired.dedup();
        look.expired
    }

    /// The members of a consumer group in the order of their connections; none if it has none.
    pub fn consumers(&self, group: &str) -> impl Iterator<Item = &Client> {
        self.consumers.get(group).into_iter().flat_map(ConsumerGroup::members)
    }

    /// The same behind a connection.
    pub fn consumers_behind(
        &self,
        group: &str,
        after: Option<ConnectionId>,
    ) -> impl Iterator<Item = &Client> {
        self.consumers.get(group).into_iter().flat_map(move |group| group.members_behind(after))
    }

    pub fn subscriptions(&self, group: &str) -> Option<Arc<GroupSubscriptions>> {
        self.consumers.get(group).map(ConsumerGroup::subscriptions)
    }

    /// The connection of a member of a consumer group; its newest, if it has several.
    pub fn find_consumer(&self, group: &str, client_id: &str) -> Option<&Client> {
        let members = self.consumers(group).filter(|client| &*client.client_id == client_id);
        members.max_by_key(|client| client.last_update)
    }

    /// Consumer groups with online members, sorted, and whether they subscribe to the topic: those
    /// behind a name.
    pub fn groups_and_topic<'a>(
        &'a self,
        topic: &'a str,
        after: &str,
    ) -> impl Iterator<Item = (&'a Arc<str>, bool)> {
        let groups = self.consumers.range::<str, _>((Bound::Excluded(after), Bound::Unbounded));
        groups.map(move |(name, group)| (name, group.subscribes(topic)))
    }

    /// All consumer groups with online members, sorted.
    pub fn consumer_groups(&self) -> impl Iterator<Item = &Arc<str>> {
        self.consumers.keys()
    }

    /// Those behind one, or all.
    pub fn consumer_groups_behind(
        &self,
        last: Option<&Arc<str>>,
    ) -> impl Iterator<Item = &Arc<str>> {
        let from = last.map_or(Bound::Unbounded, |last| Bound::Excluded(last.clone()));
        self.consumers.range((from, Bound::Unbounded)).map(|(group, _)| group)
    }

    /// The members of a producer group in the order of their connections; none if it has none.
    pub fn producers(&self, group: &str) -> impl Iterator<Item = &Client> {
        self.producers.members(group)
    }

    /// The same behind a connection.
    pub fn producers_behind(
        &self,
        group: &str,
        after: Option<ConnectionId>,
    ) -> impl Iterator<Item = &Client> {
        self.producers.members_behind(group, after)
    }

    /// All producer groups with online members, sorted.
    pub fn producer_groups(&self) -> impl Iterator<Item = &Arc<str>> {
        self.producers.groups()
    }

    /// Producer groups with online members, sorted: those behind one, or all.
    pub fn producer_groups_behind(
        &self,
        last: Option<&Arc<str>>,
    ) -> impl Iterator<Item = &Arc<str>> {
        self.producers.groups_behind(last)
    }

    /// The producer to ask for the state of a transaction of its group: each in turn.
    pub fn pick_producer(&mut self, group: &str) -> Option<ConnectionId> {
        self.producers.pick(group)
    }

    /// The producer connection of a client, whatever its group, for a reply to it.
    pub fn find_producer(&self, client_id: &str) -> Option<ConnectionId> {
        self.producers.find(client_id)
    }

    /// True if the consumer was in the group.
    fn remove_consumer(
        &mut self,
        connection: ConnectionId,
        name: &str,
        always_notify: bool,
        events: &mut Vec<ClientEvent>,
    ) -> bool {
        let Some((name, _)) = self.consumers.get_key_value(name) else {
            return false;
        };
        let name = name.clone();
        let group = self.consumers.get_mut(&name).expect("found above");
        let (owner, bytes) = group.owned();
        let Some(client) = group.remove(connection) else {
            return false;
        };
        let (next, last) = (group.owned().0, group.is_empty());
        self.uncharge(connection, membership_bytes(&name, &client));
        if last || next != owner {
            self.uncharge(owner, bytes);
        }
        if !last && next != owner {
            self.charge(next, bytes);
        }
        let Some(group) = self.consumers.get(&name) else {
            return true;
        };
        if last {
            self.consumers.remove(&name);
            events.push(ClientEvent::SubscriptionsChanged { group: name, subscriptions: None });
        } else if always_notify || group.notifies() {
            events.push(ClientEvent::GroupChanged { group: name });
        }
        true
    }

    /// Makes room for what a heartbeat adds. A connection has no more than a share of what is left
    /// for others.
    fn make_room(
        &mut self,
        channel: &Channel<'_>,
        group: &str,
        growth: Growth,
    ) -> Result<(), Refusal> {
        let registered = self.connections.get(&channel.connection);
        if growth.before == 0
            && let Some(registered) = registered
        {
            check_count(channel, registered)?;
        }
        let own = registered.map_or(0, |registered| registered.bytes);
        let own = own - growth.before + growth.after;
        let all = self.bytes - growth.before - growth.others + growth.after;
        let share = self.bytes_max.saturating_sub(all) / CLIENTS_SHARE;
        if growth.after > growth.before && own > share {
            return Err(Refusal::system_error(format!(
                "client {} cannot join group {group}, or subscribe to more there: its groups take \
                 {own} bytes with it, at most {share} fit for one connection now; those of all \
                 take {} bytes of {}; close clients that are not needed",
                channel.client_id, self.bytes, self.bytes_max
            )));
        }
        self.charge(channel.connection, growth.after);
        self.uncharge(channel.connection, growth.before);
        Ok(())
    }

    fn registered(&mut self, connection: ConnectionId) -> &mut Registered {
        self.connections.entry(connection).or_default()
    }

    fn charge(&mut self, connection: ConnectionId, bytes: usize) {
        self.bytes += bytes;
        self.registered(connection).bytes += bytes;
    }

    fn uncharge(&mut self, connection: ConnectionId, bytes: usize) {
        self.bytes -= bytes;
        if let Some(registered) = self.connections.get_mut(&connection) {
            registered.bytes -= bytes;
        }
    }

    fn leave(&mut self, connection: ConnectionId, remove: impl FnOnce(&mut Registered) -> bool) {
        if let Some(registered) = self.connections.get_mut(&connection) {
            remove(registered);
            if registered.is_empty() {
                self.connections.remove(&connection);
            }
        }
    }
}

/// Where a look at all clients has got to.
#[derive(Debug)]
pub enum LookedTo {
    /// Behind a group.
    Consumers(Option<Arc<str>>),
    Producers(Option<Arc<str>>),
    End,
}

impl Default for LookedTo {
    fn default() -> LookedTo {
        LookedTo::Consumers(None)
    }
}

impl LookedTo {
    pub fn is_end(&self) -> bool {
        matches!(self, LookedTo::End)
    }
}

/// A look at some clients.
struct Look {
    left: usize,
    now: i64,
    expired: Vec<ConnectionId>,
}

impl Look {
    /// Looks at the members of groups until it has seen enough; notes in `after` what the last one
    /// was. True: these were all.
    fn through<'a, M: Iterator<Item = &'a Client>>(
        &mut self,
        groups: impl Iterator<Item = (&'a Arc<str>, M)>,
        after: &mut Option<Arc<str>>,
    ) -> bool {
        for (name, members) in groups {
            if self.left == 0 {
                return false;
            }
            for member in members {
                self.left = self.left.saturating_sub(1);
                if member.is_expired(self.now) {
                    self.expired.push(member.connection);
                }
            }
            *after = Some(name.clone());
        }
        true
    }
}

fn behind(after: &Option<Arc<str>>) -> (Bound<&str>, Bound<&str>) {
    (after.as_deref().map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
}

/// What a heartbeat changes of what is counted, in bytes.
#[derive(Clone, Copy, Debug)]
struct Growth {
    /// What it replaces and counts for its connection; 0 if that was not in the group.
    before: usize,
    after: usize,
    /// What it replaces and counts for another connection.
    others: usize,
}

/// What the membership of a connection in a group takes at most, in bytes: the member with its
/// client id, and the name with its places in the tables.
fn membership_bytes(group: &str, client: &Client) -> usize {
    MEMBERSHIP_BYTES + group.len() + client.client_id.len()
}

fn check_channel(channel: &Channel<'_>, group: &str) -> Result<(), Refusal> {
    Name::Group.check(group)?;
    Name::ClientId.check(channel.client_id)?;
    if group.trim().is_empty() {
        return Err(Refusal::system_error("the group name of a heartbeat is blank"));
    }
    Ok(())
}

fn check_count(channel: &Channel<'_>, registered: &Registered) -> Result<(), Refusal> {
    if registered.count() < GROUPS_PER_CONNECTION_MAX {
        return Ok(());
    }
    let remark = format!(
        "client {} is in {GROUPS_PER_CONNECTION_MAX} groups, the most one connection may be in; \
         use another client instance (instanceName) for more",
        channel.client_id
    );
    Err(Refusal::system_error(remark))
}

#[cfg(test)]
mod tests;
