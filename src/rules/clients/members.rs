//! The members of one group.

use super::{Client, ConnectionId};

/// Members in the order of their connections. Most groups have very few, for which a tree would
/// take ten times the memory.
#[derive(Debug, Default)]
pub(super) struct Members(Vec<Client>);

impl Members {
    /// Gives back what was noted of the connection before.
    pub fn insert(&mut self, client: Client) -> Option<Client> {
        match self.place(client.connection) {
            Ok(place) => self.0.get_mut(place).map(|old| std::mem::replace(old, client)),
            Err(place) => {
                if self.0.is_empty() {
                    self.0.reserve_exact(1);
                }
                self.0.insert(place, client);
                None
            }
        }
    }

    pub fn remove(&mut self, connection: ConnectionId) -> Option<Client> {
        let place = self.place(connection).ok()?;
        let client = self.0.remove(place);
        if self.0.len() < self.0.capacity() / 4 {
            self.0.shrink_to(self.0.len() * 2);
        }
        Some(client)
    }

    pub fn get(&self, connection: ConnectionId) -> Option<&Client> {
        self.0.get(self.place(connection).ok()?)
    }

    /// The member that comes at a place; `None` beyond the last.
    pub fn nth(&self, place: usize) -> Option<&Client> {
        self.0.get(place)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Client> {
        self.0.iter()
    }

    /// Those behind a connection.
    pub fn behind(&self, after: Option<ConnectionId>) -> impl Iterator<Item = &Client> {
        let from =
            after.map_or(0, |after| self.0.partition_point(|client| client.connection <= after));
        self.0.iter().skip(from)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn place(&self, connection: ConnectionId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&connection, |client| client.connection)
    }
}
