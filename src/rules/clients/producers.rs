//! Producers by group and connection.

use std::{collections::BTreeMap, sync::Arc};

use super::{Client, ConnectionId};

#[derive(Debug, Default)]
pub(super) struct Producers {
    groups: BTreeMap<Arc<str>, BTreeMap<ConnectionId, Client>>,
    /// Connections of a client id with the number of its groups there.
    by_client_id: BTreeMap<Arc<str>, BTreeMap<ConnectionId, usize>>,
    picked: usize,
}

impl Producers {
    pub fn register(&mut self, group: &str, client: Client) {
        let (id, connection) = (client.client_id.clone(), client.connection);
        if !self.groups.contains_key(group) {
            self.groups.insert(Arc::from(group), BTreeMap::new());
        }
        let members = self.groups.get_mut(group).expect("inserted above");
        let old = members.insert(connection, client);
        *self.by_client_id.entry(id).or_default().entry(connection).or_default() += 1;
        if let Some(old) = old {
            self.forget_id(&old);
        }
    }

    /// True if the producer was in the group.
    pub fn remove(&mut self, group: &str, connection: ConnectionId) -> bool {
        let Some(members) = self.groups.get_mut(group) else {
            return false;
        };
        let Some(client) = members.remove(&connection) else {
            return false;
        };
        if members.is_empty() {
            self.groups.remove(group);
        }
        self.forget_id(&client);
        true
    }

    fn forget_id(&mut self, client: &Client) {
        let Some(connections) = self.by_client_id.get_mut(&client.client_id) else {
            return;
        };
        if let Some(groups) = connections.get_mut(&client.connection) {
            *groups -= 1;
            if *groups == 0 {
                connections.remove(&client.connection);
            }
        }
        if connections.is_empty() {
            self.by_client_id.remove(&client.client_id);
        }
    }

    pub fn has(&self, group: &str, connection: ConnectionId) -> bool {
        self.groups.get(group).is_some_and(|members| members.contains_key(&connection))
    }

    pub fn members(&self, group: &str) -> impl Iterator<Item = &Client> {
        self.groups.get(group).into_iter().flat_map(BTreeMap::values)
    }

    pub fn clients(&self) -> impl Iterator<Item = &Client> {
        self.groups.values().flat_map(BTreeMap::values)
    }

    pub fn groups(&self) -> impl Iterator<Item = &Arc<str>> {
        self.groups.keys()
    }

    pub fn pick(&mut self, group: &str) -> Option<ConnectionId> {
        let members = self.groups.get(group)?;
        self.picked = self.picked.wrapping_add(1);
        members.keys().nth(self.picked % members.len()).copied()
    }

    /// Of several connections of one client the newest, as far as their ids tell.
    pub fn find(&self, client_id: &str) -> Option<ConnectionId> {
        let connections = self.by_client_id.get(client_id)?.keys();
        connections.copied().max_by_key(|connection| (connection.generation, *connection))
    }
}
