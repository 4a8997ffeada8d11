//! Which brokers are still there.

use super::{ConnectionId, DataVersion, RouteTable};

/// A broker that was dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    pub cluster: String,
    pub address: String,
    /// Not known if another address had already taken its place.
    pub broker_name: Option<String>,
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

    /// Drops all brokers that were silent for longer than their time.
    pub fn expire(&mut self, now_ms: u64) -> Vec<Dropped> {
        self.drop_where(now_ms, |live| now_ms.saturating_sub(live.heard_ms) > live.timeout_ms)
    }

    /// Drops all brokers that registered last by this connection.
    pub fn connection_closed(&mut self, connection: ConnectionId, now_ms: u64) -> Vec<Dropped> {
        self.drop_where(now_ms, |live| live.connection == connection)
    }

    fn drop_where(&mut self, now_ms: u64, gone: impl Fn(&super::Live) -> bool) -> Vec<Dropped> {
        let dropped: Vec<Dropped> = self
            .live
            .iter()
            .filter(|(_, live)| gone(live))
            .map(|((cluster, address), live)| Dropped {
                cluster: cluster.clone(),
                address: address.clone(),
                broker_name: self.name_of(cluster, address),
                connection: live.connection,
                silent_ms: now_ms.saturating_sub(live.heard_ms),
            })
            .collect();
        for broker in &dropped {
            match &broker.broker_name {
                Some(name) => {
                    self.unregister(&broker.cluster, name, &broker.address);
                }
                None => {
                    self.live.remove(&(broker.cluster.clone(), broker.address.clone()));
                }
            }
        }
        dropped
    }

    fn name_of(&self, cluster: &str, address: &str) -> Option<String> {
        let names = self.clusters.get(cluster)?;
        let found = names.iter().find(|name| {
            let group = self.brokers.get(name.as_str());
            group.is_some_and(|group| group.addresses.values().any(|known| known == address))
        });
        found.cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            RouteTable,
            register::Registration,
            test::{master, slave, table, version},
        },
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
        assert_eq!(dropped[0].broker_name.as_deref(), Some("b"));
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

    /// Every entry is known from both sides, through all that adds and removes some.
    #[test]
    fn topics_and_their_brokers_name_each_other() {
        let mut table = table();
        let agree = |table: &RouteTable| {
            let of_topics = table.topics.iter().flat_map(|(topic, map)| {
                map.keys().map(move |broker| (broker.clone(), topic.clone()))
            });
            let mut of_topics: Vec<_> = of_topics.collect();
            of_topics.sort_unstable();
            let of_brokers = table.topics_of_broker.iter().flat_map(|(broker, topics)| {
                topics.iter().map(move |topic| (broker.clone(), topic.clone()))
            });
            assert_eq!(of_topics, of_brokers.collect::<Vec<_>>());
            assert_eq!(table.entries, of_topics.len());
        };
        for (number, name) in ["a", "b", "d"].into_iter().enumerate() {
            let connection = ConnectionId(number as u64);
            let one = Registration { connection, ..master(name, &format!("{name}:1")) };
            table.register(&one, 0).expect("fits");
            agree(&table);
        }
        table.delete_topic("t", None);
        agree(&table);
        assert_eq!(table.wipe_write_perm("a"), 1);
        table.delete_topic("u", Some("c"));
        agree(&table);
        assert_eq!(table.sizes().1, 0);
        let again = Registration { version: version(2), ..master("a", "a:1") };
        table.register(&again, 0).expect("fits");
        agree(&table);
        table.connection_closed(again.connection, 0);
        agree(&table);
        assert_eq!(table.sizes().1, 0);
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
