//! What belongs to whom, in bytes: topics to broker names, broker names to connections.

use std::{collections::BTreeSet, sync::Arc};

use super::{AddressKey, ConnectionId, Entry, QueueData, RouteError, RouteTable};

/// Memory of a topic on one broker name besides the name of the topic: its places in trees that
/// are half full, and what the allocator adds. Several broker names share some of it.
const ENTRY_BYTES: usize = 224;
/// Memory of a broker name besides its topics, with places in the tables of names and clusters.
pub(super) fn owner_bytes(name: &str) -> usize {
    1024 + 4 * name.len()
}

/// Names what a broker name has, from its first registration to its end; a name that comes back is
/// another owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnerId(pub(super) u64);

/// A broker name, or one that has gone and whose topics are still to be removed.
#[derive(Debug)]
pub(super) struct Owner {
    pub name: Arc<str>,
    pub gone: bool,
    /// That which registered its topics last.
    pub connection: ConnectionId,
    pub topics: BTreeSet<Arc<str>>,
    /// Topics that a registration under way has not named yet, if it is to remove those.
    pub unnamed: BTreeSet<Arc<str>>,
    /// Registrations of its topics that are under way.
    pub intakes: usize,
    /// How often all its permissions were said.
    pub said: u64,
    /// What counts for it and its topics.
    pub bytes: usize,
}

/// What a connection has brought.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub addresses: BTreeSet<AddressKey>,
    pub bytes: usize,
}

impl RouteTable {
    pub(super) fn new_owner(&mut self, name: &str, connection: ConnectionId) -> OwnerId {
        let id = self.next_owner;
        self.next_owner = OwnerId(id.0 + 1);
        let owner = Owner {
            name: Arc::from(name),
            gone: false,
            connection,
            topics: BTreeSet::new(),
            unnamed: BTreeSet::new(),
            intakes: 0,
            said: 0,
            bytes: 0,
        };
        self.owners.insert(id, owner);
        self.count(id, owner_bytes(name));
        id
    }

    /// From now on what an owner has counts for this connection.
    pub(super) fn hand_over(&mut self, id: OwnerId, connection: ConnectionId) {
        let Some(owner) = self.owners.get_mut(&id) else {
            return;
        };
        let (before, bytes) = (std::mem::replace(&mut owner.connection, connection), owner.bytes);
        if before != connection {
            self.uncount_for(before, bytes);
            self.connections.entry(connection).or_default().bytes += bytes;
        }
    }

    pub(super) fn count_for(&mut self, connection: ConnectionId, bytes: usize) {
        self.bytes += bytes;
        self.connections.entry(connection).or_default().bytes += bytes;
    }

    /// Less for a connection, of which nothing may be left.
    pub(super) fn uncount_for(&mut self, connection: ConnectionId, bytes: usize) {
        if let Some(held) = self.connections.get_mut(&connection) {
            held.bytes -= bytes;
            if held.bytes == 0 && held.addresses.is_empty() {
                self.connections.remove(&connection);
            }
        }
    }

    fn count(&mut self, id: OwnerId, bytes: usize) {
        if let Some(owner) = self.owners.get_mut(&id) {
            owner.bytes += bytes;
            let connection = owner.connection;
            self.count_for(connection, bytes);
        }
    }

    pub(super) fn uncount(&mut self, id: OwnerId, bytes: usize) {
        if let Some(owner) = self.owners.get_mut(&id) {
            owner.bytes -= bytes;
            let connection = owner.connection;
            self.bytes -= bytes;
            self.uncount_for(connection, bytes);
        }
    }

    /// Whether there is room for so much more of a connection, after something that has gone was
    /// removed if need be.
    pub(super) fn check_room(
        &mut self,
        connection: ConnectionId,
        bytes: usize,
    ) -> Result<(), RouteError> {
        /// Enough for a few topics, and little enough for one request.
        const CLEAR: usize = 16;
        if self.room_now(connection, bytes).is_err() {
            self.clear_some(CLEAR);
        }
        self.room_now(connection, bytes)
    }

    fn room_now(&self, connection: ConnectionId, bytes: usize) -> Result<(), RouteError> {
        let limit = self.bounds.bytes;
        if self.bytes + bytes > limit {
            return Err(RouteError::Bytes { held: self.bytes, limit });
        }
        let held = self.connections.get(&connection).map_or(0, |held| held.bytes);
        let limit = self.bounds.bytes_per_connection;
        if held + bytes > limit {
            return Err(RouteError::BytesOfConnection { held, limit });
        }
        Ok(())
    }

    /// The queues of a topic that an owner has.
    pub(super) fn entry(&mut self, topic: &str, id: OwnerId) -> Option<&mut QueueData> {
        let entries = self.topics.get_mut(topic)?;
        let at = entries.binary_search_by_key(&id, |entry| entry.owner).ok()?;
        entries.get_mut(at).map(|entry| &mut entry.data)
    }

    /// Adds a topic to an owner that does not have it.
    pub(super) fn add_entry(
        &mut self,
        topic: &str,
        id: OwnerId,
        data: QueueData,
    ) -> Result<(), RouteError> {
        let Some(connection) = self.owners.get(&id).map(|owner| owner.connection) else {
            return Ok(());
        };
        let bytes = ENTRY_BYTES + topic.len();
        self.check_room(connection, bytes)?;
        let limit = self.bounds.entries;
        if self.entries >= limit {
            self.clear_some(1);
        }
        if self.entries >= limit {
            return Err(RouteError::Entries { limit });
        }
        let known = self.topics.get_key_value(topic).map(|(name, _)| name.clone());
        let name = known.unwrap_or_else(|| Arc::from(topic));
        let entries = self.topics.entry(name.clone()).or_insert_with(|| Vec::with_capacity(1));
        let at = entries.partition_point(|entry| entry.owner < id);
        entries.insert(at, Entry { owner: id, data });
        self.entries += 1;
        if let Some(owner) = self.owners.get_mut(&id) {
            owner.topics.insert(name);
        }
        self.count(id, bytes);
        Ok(())
    }

    /// Takes a topic from an owner, in whose sets it is not any more.
    pub(super) fn remove_entry(&mut self, topic: &str, id: OwnerId) {
        let Some(entries) = self.topics.get_mut(topic) else {
            return;
        };
        let Ok(at) = entries.binary_search_by_key(&id, |entry| entry.owner) else {
            return;
        };
        entries.remove(at);
        if entries.is_empty() {
            self.topics.remove(topic);
        } else if entries.capacity() > 4 * entries.len() {
            entries.shrink_to_fit();
        }
        self.entries -= 1;
        self.uncount(id, ENTRY_BYTES + topic.len());
    }
}
