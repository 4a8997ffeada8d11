//! Administration of the table: permissions and single topics.

use std::sync::Arc;

use super::{QueueData, RouteError, RouteTable, TOPIC_NAME_BYTES_MAX, check_name, owners::OwnerId};

const PERM_WRITE: i32 = 2;
const PERM_READ_WRITE: i32 = 6;

/// What happens to the permissions of a broker name's topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteChange {
    /// Write permission is taken, until that broker registers changed topics.
    Wipe,
    /// Read and write permission are given.
    Add,
}

impl RouteTable {
    /// Changes up to `most` topics of a broker name behind one; the last of them if there may be
    /// more, and how many they were.
    pub fn change_some(
        &mut self,
        broker_name: &str,
        after: Option<&str>,
        most: usize,
        change: WriteChange,
    ) -> (Option<Arc<str>>, usize) {
        let Some(owner) = self.brokers.get(broker_name).map(|group| group.owner) else {
            return (None, 0);
        };
        match change {
            WriteChange::Wipe => self.change_perm(owner, after, most, |perm| perm & !PERM_WRITE),
            WriteChange::Add => self.change_perm(owner, after, most, |_| PERM_READ_WRITE),
        }
    }

    /// Forgets a topic, or its queues in one cluster, on up to `most` brokers. False if none are
    /// left.
    pub fn delete_some(&mut self, topic: &str, cluster: Option<&str>, most: usize) -> bool {
        let Some(entries) = self.topics.get(topic) else {
            return false;
        };
        let names = cluster.map(|cluster| self.clusters.get(cluster));
        let goes = |owner: &OwnerId| match (names, self.owners.get(owner)) {
            (None, _) => true,
            (Some(Some(names)), Some(owner)) => !owner.gone && names.contains(&*owner.name),
            _ => false,
        };
        let owners = entries.iter().map(|entry| entry.owner);
        let gone: Vec<OwnerId> = owners.filter(goes).take(most).collect();
        for id in &gone {
            if let Some(owner) = self.owners.get_mut(id) {
                owner.topics.remove(topic);
                owner.unnamed.remove(topic);
            }
            self.remove_entry(topic, *id);
        }
        gone.len() == most
    }

    /// Registers queues of one topic on brokers that are known. False, and nothing happens, if one
    /// is not known or the table is full.
    ///
    /// # Errors
    /// If the name is none, or there is no room; then some may be registered.
    pub fn register_topic(
        &mut self,
        topic: &str,
        queues: &[(String, QueueData)],
    ) -> Result<bool, RouteError> {
        check_name("topic name", topic, TOPIC_NAME_BYTES_MAX)?;
        let known = queues.iter().all(|(name, _)| self.brokers.contains_key(name));
        if queues.is_empty() || !known || self.entries + queues.len() > self.bounds.entries {
            return Ok(false);
        }
        for (name, data) in queues {
            let Some(owner) = self.brokers.get(name).map(|group| group.owner) else {
                continue;
            };
            match self.entry(topic, owner) {
                Some(known) => *known = *data,
                None => self.add_entry(topic, owner, *data)?,
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::test::{Registration, master, table, topic, version},
        *,
    };

    fn perm(table: &RouteTable, topic: &str) -> i32 {
        table.route(topic).expect("known").queues[0].1.perm
    }

    #[test]
    fn wiped_permission_stays_until_a_changed_registration() {
        let mut table = table();
        table.register(&master("b", "m:1"), 0).expect("fits");
        assert_eq!(table.wipe_write_perm("b"), 2);
        assert_eq!(table.wipe_write_perm("none"), 0);
        table.register(&master("b", "m:1"), 1).expect("fits");
        assert_eq!(perm(&table, "t"), 4);
        assert_eq!(table.add_write_perm("b"), 2);
        assert_eq!(perm(&table, "t"), 6);
        table.wipe_write_perm("b");
        let changed = Registration { version: version(2), ..master("b", "m:1") };
        table.register(&changed, 2).expect("fits");
        assert_eq!(perm(&table, "t"), 6);
    }

    #[test]
    fn a_topic_is_deleted_everywhere_or_in_one_cluster() {
        let mut table = table();
        table.register(&master("a", "a:1"), 0).expect("fits");
        table
            .register(&Registration { cluster: "d".to_owned(), ..master("b", "b:1") }, 0)
            .expect("fits");
        table.delete_topic("t", Some("none"));
        table.delete_topic("t", Some("d"));
        assert_eq!(table.route("t").expect("known").queues.len(), 1);
        table.delete_topic("t", None);
        table.delete_topic("unknown", None);
        assert!(table.route("t").is_none());
        assert_eq!(table.sizes(), (1, 2, 2));
    }

    #[test]
    fn a_single_topic_needs_known_brokers() {
        let mut table = table();
        table.register(&master("a", "a:1"), 0).expect("fits");
        let data = topic("x", 3).1;
        let queues = |name: &str| vec![(name.to_owned(), data)];
        assert_eq!(table.register_topic("x", &queues("none")), Ok(false));
        assert_eq!(table.register_topic("x", &queues("a")), Ok(true));
        assert_eq!(table.route("x").expect("known").queues, [("a", data)]);
        assert!(table.register_topic("", &queues("a")).is_err());
    }
}
