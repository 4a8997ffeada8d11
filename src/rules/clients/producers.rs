//! Producers by group and connection.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use super::{Client, ConnectionId, Members};

#[derive(Debug, Default)]
pub(super) struct Producers {
    groups: BTreeMap<Arc<str>, Members>,
    /// Connections of a client id with the number of its groups there, in their order.
    by_client_id: BTreeMap<Arc<str>, Vec<(ConnectionId, usize)>>,
    picked: usize,
}

impl Producers {
    pub fn register(&mut self, group: &Arc<str>, client: Client) {
        let (id, connection) = (client.client_id.clone(), client.connection);
        if !self.groups.contains_key(group) {
            self.groups.insert(group.clone(), Members::default());
        }
        let members = self.groups.get_mut(group).expect("inserted above");
        let old = members.insert(client);
        let connections = self.by_client_id.entry(id).or_default();
        match connections.binary_search_by_key(&connection, |(connection, _)| *connection) {
            Ok(place) => connections[place].1 += 1,
            Err(place) => connections.insert(place, (connection, 1)),
        }
        if let Some(old) = old {
            self.forget_id(&old);
        }
    }

    /// The producer, if it was in the group.
    pub fn remove(&mut self, group: &str, connection: ConnectionId) -> Option<Client> {
        let members = self.groups.get_mut(group)?;
        let client = members.remove(connection)?;
        if members.is_empty() {
            self.groups.remove(group);
        }
        self.forget_id(&client);
        Some(client)
    }

    fn forget_id(&mut self, client: &Client) {
        let Some(connections) = self.by_client_id.get_mut(&client.client_id) else {
            return;
        };
        let place = connections.binary_search_by_key(&client.connection, |(id, _)| *id);
        if let Ok(place) = place {
            connections[place].1 -= 1;
            if connections[place].1 == 0 {
                connections.remove(place);
            }
        }
        if connections.is_empty() {
            self.by_client_id.remove(&client.client_id);
        }
    }

    pub fn get(&self, group: &str, connection: ConnectionId) -> Option<(&Arc<str>, &Client)> {
        let (name, members) = self.groups.get_key_value(group)?;
        Some((name, members.get(connection)?))
    }

    pub fn members(&self, group: &str) -> impl Iterator<Item = &Client> {
        self.groups.get(group).into_iter().flat_map(Members::iter)
    }

    pub fn members_behind(
        &self,
        group: &str,
        after: Option<ConnectionId>,
    ) -> impl Iterator<Item = &Client> {
        self.groups.get(group).into_iter().flat_map(move |members| members.behind(after))
    }

    /// The groups in a range with their members, sorted.
    pub fn groups_from(
        &self,
        range: (Bound<&str>, Bound<&str>),
    ) -> impl Iterator<Item = (&Arc<str>, impl Iterator<Item = &Client>)> {
        self.groups.range::<str, _>(range).map(|(name, members)| (name, members.iter()))
    }

    pub fn groups(&self) -> impl Iterator<Item = &Arc<str>> {
        self.groups.keys()
    }

    pub fn groups_behind(&self, last: Option<&Arc<str>>) -> impl Iterator<Item = &Arc<str>> {
        let behind = last.map_or(Bound::Unbounded, |last| Bound::Excluded(&**last));
        self.groups.range::<str, _>((behind, Bound::Unbounded)).map(|(group, _)| group)
    }

    pub fn pick(&mut self, group: &str) -> Option<ConnectionId> {
        let members = self.groups.get(group)?;
        self.picked = self.picked.wrapping_add(1);
        members.nth(self.picked % members.len()).map(|client| client.connection)
    }

    /// Of several connections of one client the newest, as far as their ids tell.
    pub fn find(&self, client_id: &str) -> Option<ConnectionId> {
        let connections = self.by_client_id.get(client_id)?.iter().map(|(id, _)| *id);
        connections.max_by_key(|connection| (connection.generation, *connection))
    }
}
