//! Which brokers are still there.

use std::ops::Bound::{Included, Unbounded};

use super::{AddressKey, ConnectionId, DataVersion, RouteTable};
use crate::injected_bugs::{SILENT_STAYS, is_planted};

/// A broker that was dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    pub cluster: String,
    pub address: String,
    pub broker_name: String,
    pub connection: ConnectionId,
    pub silent_ms: u64,
}

impl RouteTable {
    /// A sign of life. False if the address is not registered.
    pub fn heard(&mut self, cluster: &str, address: &str, now_ms: u64) -> bool {
        let live = self.live.get_mut(&(cluster.to_owned(), address.to_owned()));
        live.map(|live| live.heard_ms = now_ms).is_some()
    }

    /// The version that an address registered last; `None` if it must send all of its topics.
    pub fn data_version(&self, cluster: &str, address: &str) -> Option<DataVersion> {
        self.live.get(&(cluster.to_owned(), address.to_owned()))?.version
    }

    /// Whether a broker with this version has something to register.
    pub fn is_changed(&self, cluster: &str, address: &str, version: DataVersion) -> bool {
        self.data_version(cluster, address) != Some(version)
    }

    /// Drops brokers that were silent for longer than their time, of the next so many addresses.
    /// `next`: where to begin, and to go on; `None` afterwards: all were looked at.
    pub fn expire_some(
        &mut self,
        now_ms: u64,
        next: &mut Option<AddressKey>,
        addresses: usize,
    ) -> Vec<Dropped> {
        let begin = next.take().map_or(Unbounded, Included);
        let mut rest = self.live.range((begin, Unbounded));
        let some = rest.by_ref().take(addresses);
        let silent =
            some.filter(|(_, live)| now_ms.saturating_sub(live.heard_ms) > live.timeout_ms);
        let silent = silent.filter(|_| !is_planted(SILENT_STAYS));
        let silent: Vec<AddressKey> = silent.map(|(key, _)| key.clone()).collect();
        *next = rest.next().map(|(key, _)| key.clone());
        silent.iter().filter_map(|key| self.drop_address(key, now_ms)).collect()
    }

    pub(super) fn drop_address(&mut self, key: &AddressKey, now_ms: u64) -> Option<Dropped> {
        let live = self.live.get(key)?;
        let (cluster, address) = key.clone();
        let broker_name = live.broker_name.clone();
        let connection = live.connection;
        let silent_ms = now_ms.saturating_sub(live.heard_ms);
        self.unregister(&cluster, &broker_name, &address);
        Some(Dropped { cluster, address, broker_name, connection, silent_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::test::{Registration, master, slave, table, version},
        *,
    };

    #[test]
    fn a_silent_broker_vanishes_after_two_minutes() {
        let mut table = table();
        table.register(&master("b", "m:1"), 1_000).expect("fits");
        assert!(table.expire(121_000).is_empty());
        assert!(table.heard("c", "m:1", 60_000));
        assert!(table.expire(180_000).is_empty());
        let dropped = table.expire(180_001);
        assert_eq!(dropped[0].broker_name, "b");
        assert_eq!(dropped[0].silent_ms, 120_001);
        assert!(table.route("t").is_none());
        assert!(!table.heard("c", "m:1", 180_002), "it must register again");
    }

    #[test]
    fn a_broker_of_rocketmq_5_names_its_own_time() {
        let mut table = table();
        let quick = Registration { heartbeat_timeout_ms: Some(3_000), ..master("b", "m:1") };
        table.register(&quick, 0).expect("fits");
        assert!(table.expire(3_000).is_empty());
        assert_eq!(table.expire(3_001).len(), 1);
    }

    #[test]
    fn a_closed_connection_drops_what_came_over_it_last() {
        let mut table = table();
        table.register(&master("b", "m:1"), 0).expect("fits");
        table.register(&slave("b", "s:1", 1), 0).expect("fits");
        let elsewhere = Registration { connection: ConnectionId(2), ..master("b", "m:1") };
        table.register(&elsewhere, 0).expect("fits");
        assert!(table.connection_closed(ConnectionId(1), 0).is_empty(), "it has reconnected");
        assert_eq!(table.connection_closed(ConnectionId(2), 0).len(), 1);
        let route = table.route("t").expect("the slave is there");
        assert_eq!(route.brokers[0].addresses, [(1, "s:1")]);
        assert_eq!(table.connection_closed(ConnectionId(100), 0).len(), 1);
        assert_eq!(table.sizes(), (0, 0, 0));
    }

    /// Every entry is known from both sides and counted, through all that adds and removes some.
    #[test]
    fn topics_their_brokers_and_connections_agree() {
        let mut table = table();
        for (number, name) in ["a", "b", "d"].into_iter().enumerate() {
            let connection = ConnectionId(number as u64);
            let one = Registration { connection, ..master(name, &format!("{name}:1")) };
            table.register(&one, 0).expect("fits");
            table.agrees();
        }
        table.delete_topic("t", None);
        table.agrees();
        assert_eq!(table.wipe_write_perm("a"), 1);
        table.delete_topic("u", Some("c"));
        table.agrees();
        assert_eq!(table.sizes().1, 0);
        let again = Registration { version: version(2), ..master("a", "a:1") };
        table.register(&again, 0).expect("fits");
        table.agrees();
        table.connection_closed(again.connection, 0);
        table.agrees();
        assert_eq!(table.sizes().1, 0);
        for connection in 0..3 {
            table.connection_closed(ConnectionId(connection), 0);
        }
        table.agrees();
        assert_eq!((table.bytes(), table.connections.len()), (0, 0));
    }

    #[test]
    fn an_address_that_registers_under_another_name_leaves_the_first() {
        let mut table = table();
        for name in ["a", "b", "d"] {
            table.register(&master(name, "m:1"), 0).expect("fits");
            table.agrees();
        }
        assert_eq!(table.brokers_after(None).map(|one| one.name).collect::<Vec<_>>(), ["d"]);
        assert_eq!(table.sizes(), (2, 2, 1));
    }

    #[test]
    fn silent_addresses_are_looked_for_a_few_at_a_time() {
        let mut table = table();
        for number in 0..5 {
            table
                .register(&master(&format!("b{number}"), &format!("{number}:1")), 0)
                .expect("fits");
        }
        table.heard("c", "2:1", 50_000);
        let (mut next, mut dropped, mut looks) = (None, 0, 0);
        loop {
            dropped += table.expire_some(120_001, &mut next, 2).len();
            looks += 1;
            if next.is_none() {
                break;
            }
        }
        assert_eq!((dropped, looks), (4, 3));
    }

    #[test]
    fn an_unknown_broker_always_has_something_to_register() {
        let mut table = table();
        assert!(table.is_changed("c", "m:1", version(1)));
        table.register(&master("b", "m:1"), 0).expect("fits");
        assert!(!table.is_changed("c", "m:1", version(1)));
        assert!(table.is_changed("c", "m:1", version(0)));
        assert_eq!(table.data_version("c", "m:1"), Some(version(1)));
    }
}
