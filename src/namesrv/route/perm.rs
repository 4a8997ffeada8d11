//! Administration of the table: permissions and single topics.

use super::{QueueData, RouteError, RouteTable, TOPIC_NAME_BYTES_MAX, check_name};

const PERM_WRITE: i32 = 2;
const PERM_READ_WRITE: i32 = 6;

impl RouteTable {
    /// Takes write permission from all topics of a broker name until that broker registers
    /// changed topics. The number of topics.
    pub fn wipe_write_perm(&mut self, broker_name: &str) -> usize {
        self.change_perm(broker_name, |perm| perm & !PERM_WRITE)
    }

    /// Gives read and write permission to all topics of a broker name. The number of topics.
    pub fn add_write_perm(&mut self, broker_name: &str) -> usize {
        self.change_perm(broker_name, |_| PERM_READ_WRITE)
    }

    /// Forgets a topic, or its queues in one cluster.
    pub fn delete_topic(&mut self, topic: &str, cluster: Option<&str>) {
        let Some(map) = self.topics.get(topic) else {
            return;
        };
        let names = cluster.map(|cluster| self.clusters.get(cluster));
        let goes = |name: &&String| match names {
            None => true,
            Some(names) => names.is_some_and(|names| names.contains(*name)),
        };
        let gone: Vec<String> = map.keys().filter(goes).cloned().collect();
        for name in gone {
            self.remove_entry(&name, topic);
        }
    }

    /// Registers queues of one topic on brokers that are known. False, and nothing happens, if one
    /// is not known or the table is full.
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
            self.put_queue_data(topic, name, *data);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            register::Registration,
            test::{master, table, topic, version},
        },
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
        let data = topic("x", 3).data;
        let queues = |name: &str| vec![(name.to_owned(), data)];
        assert_eq!(table.register_topic("x", &queues("none")), Ok(false));
        assert_eq!(table.register_topic("x", &queues("a")), Ok(true));
        assert_eq!(table.route("x").expect("known").queues, [("a", data)]);
        assert!(table.register_topic("", &queues("a")).is_err());
    }
}
