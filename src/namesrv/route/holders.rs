//! Which connection an address stands and falls with, if it has registered by several.
//!
//! A broker has one connection at a time, but a name server may see two: packets of one that the
//! broker has given up, its end among them, come late when a network that lost them is well again,
//! or never. So the order in which registrations arrive says little, and the order in which
//! connections were accepted says which one the broker has now. The rules:
//!
//! - The youngest connection by which an address has registered holds it, and its end drops the
//!   address at once. What comes by an older one is taken as data, but the version is not settled
//!   by it, so that the broker is asked for all of it again; its end changes nothing.
//! - The exception: if an older one has registered since the youngest last did, and stands when
//!   that ends, it holds the address from then on. The broker is still there; the younger one was
//!   another client's. An older one that has said nothing since may be one whose end was lost, and
//!   does not keep an address.
//! - So does an older connection unregister an address only if it has registered it since.
//!
//! Java keeps the connection of the latest registration only: one that comes late takes the broker
//! over, and the end that comes behind it drops a broker that is well.

use super::{
    AddressKey, ConnectionId, DataVersion, Live, RouteTable, expire::Dropped, register::Announced,
};
use crate::injected_bugs::{DEAD_STAYS, LATE_TAKES_OVER, OLD_CONNECTION_COUNTS, is_planted};

impl RouteTable {
    /// The connection that holds an address when it has registered by this one, too.
    pub(super) fn holder(&self, key: &AddressKey, connection: ConnectionId) -> ConnectionId {
        let live = self.live.get(key).filter(|_| !is_planted(LATE_TAKES_OVER));
        live.map_or(connection, |live| live.connection.max(connection))
    }

    /// Notes a registration of an address.
    pub(super) fn insert_live(
        &mut self,
        announced: &Announced,
        version: Option<DataVersion>,
        now_ms: u64,
    ) {
        let key = announced.key();
        let holder = self.holder(&key, announced.connection);
        self.remove_live(&key);
        let silence = announced.heartbeat_timeout_ms.unwrap_or(self.rules.silence_ms_max);
        let live = Live {
            broker_name: announced.broker_name.clone(),
            heard_ms: now_ms,
            timeout_ms: silence,
            version,
            connection: holder,
            older: Some(announced.connection).filter(|connection| *connection != holder),
            ha_server: announced.ha_server.clone(),
            bytes: announced.bytes(),
        };
        self.count_for(holder, live.bytes);
        for connection in [Some(holder), live.older].into_iter().flatten() {
            let held = self.connections.entry(connection).or_default();
            held.addresses.insert(key.clone());
        }
        self.live.insert(key, live);
    }

    pub(super) fn remove_live(&mut self, key: &AddressKey) -> Option<Live> {
        let live = self.live.remove(key)?;
        if !is_planted(OLD_CONNECTION_COUNTS) {
            self.let_go(key, live.connection);
        }
        if let Some(older) = live.older {
            self.let_go(key, older);
            self.uncount_for(older, 0);
        }
        self.bytes -= live.bytes;
        self.uncount_for(live.connection, live.bytes);
        Some(live)
    }

    fn let_go(&mut self, key: &AddressKey, connection: ConnectionId) {
        if let Some(held) = self.connections.get_mut(&connection) {
            held.addresses.remove(key);
        }
    }

    /// A connection has ended. Has so many of the addresses that registered by it do without: gives
    /// those that are dropped, `None` when all are done.
    pub fn leave_some(
        &mut self,
        connection: ConnectionId,
        now_ms: u64,
        addresses: usize,
    ) -> Option<Vec<Dropped>> {
        let held = self.connections.get(&connection).filter(|_| !is_planted(DEAD_STAYS))?;
        let some: Vec<AddressKey> = held.addresses.iter().take(addresses).cloned().collect();
        if some.is_empty() {
            return None;
        }
        Some(some.iter().filter_map(|key| self.leave(key, connection, now_ms)).collect())
    }

    fn leave(
        &mut self,
        key: &AddressKey,
        connection: ConnectionId,
        now_ms: u64,
    ) -> Option<Dropped> {
        self.let_go(key, connection);
        let live = self.live.get_mut(key)?;
        if live.connection != connection {
            if is_planted(OLD_CONNECTION_COUNTS) {
                return self.drop_address(key, now_ms);
            }
            live.older = None;
            self.uncount_for(connection, 0);
            return None;
        }
        let Some(older) = live.older.take() else {
            return self.drop_address(key, now_ms);
        };
        live.connection = older;
        let (bytes, name) = (live.bytes, live.broker_name.clone());
        self.bytes -= bytes;
        self.uncount_for(connection, bytes);
        self.count_for(older, bytes);
        if let Some(id) = self.brokers.get(&name).map(|group| group.owner)
            && self.owners.get(&id).is_some_and(|owner| owner.connection == connection)
        {
            self.hand_over(id, older);
        }
        None
    }

    /// A broker unregisters by this connection: nothing happens if it has a younger one, see the
    /// module. False if nothing has changed.
    pub fn withdraw(
        &mut self,
        cluster: &str,
        broker_name: &str,
        address: &str,
        connection: ConnectionId,
    ) -> bool {
        let live = self.live.get(&(cluster.to_owned(), address.to_owned()));
        let late =
            live.is_some_and(|live| live.connection > connection && live.older != Some(connection));
        !late && self.unregister(cluster, broker_name, address)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::test::{Registration, master, table, topic, version},
        *,
    };

    const OLD: ConnectionId = ConnectionId(1);
    const YOUNG: ConnectionId = ConnectionId(2);

    /// A broker that has registered by one connection after the other.
    fn registered_by(connections: &[ConnectionId]) -> RouteTable {
        let mut table = table();
        for connection in connections {
            let one = Registration { connection: *connection, ..master("b", "m:1") };
            table.register(&one, 0).expect("fits");
            table.agrees();
        }
        table
    }

    fn ends(table: &mut RouteTable, connection: ConnectionId) -> usize {
        let dropped = table.connection_closed(connection, 0).len();
        table.agrees();
        dropped
    }

    #[test]
    fn a_late_registration_by_an_older_connection_does_not_take_the_broker_over() {
        let mut table = registered_by(&[OLD, YOUNG, OLD]);
        assert_eq!(ends(&mut table, OLD), 0, "it has a younger one");
        assert!(table.route("t").is_some());
        assert_eq!(ends(&mut table, YOUNG), 1);
        assert_eq!((table.bytes(), table.connections.len()), (0, 0));
    }

    #[test]
    fn an_older_connection_that_has_registered_since_keeps_the_broker() {
        let mut table = registered_by(&[OLD, YOUNG, OLD]);
        assert_eq!(ends(&mut table, YOUNG), 0);
        assert!(table.route("t").is_some());
        assert_eq!(table.connections.len(), 1, "all of it counts for the older one");
        assert_eq!(ends(&mut table, OLD), 1);
        assert_eq!((table.bytes(), table.connections.len()), (0, 0));
    }

    #[test]
    fn an_older_connection_that_has_said_nothing_since_does_not_keep_the_broker() {
        for order in [&[OLD, YOUNG][..], &[OLD, YOUNG, OLD, YOUNG]] {
            let mut table = registered_by(order);
            assert_eq!(ends(&mut table, YOUNG), 1, "{order:?}");
            assert_eq!(ends(&mut table, OLD), 0);
            assert_eq!((table.bytes(), table.connections.len()), (0, 0));
        }
    }

    #[test]
    fn of_several_older_connections_the_last_that_registered_keeps_the_broker() {
        let [first, second, third] = [1, 2, 3].map(ConnectionId);
        let mut table = registered_by(&[first, second, third, second, first]);
        assert_eq!(ends(&mut table, second), 0);
        assert_eq!(ends(&mut table, third), 0);
        assert!(table.route("t").is_some());
        assert_eq!(ends(&mut table, first), 1);
    }

    #[test]
    fn what_comes_by_an_older_connection_is_taken_and_asked_for_again() {
        let mut table = registered_by(&[OLD, YOUNG]);
        let late = Registration {
            version: version(2),
            topics: vec![topic("t", 2), topic("v", 4)],
            ..master("b", "m:1")
        };
        table.register(&late, 1).expect("fits");
        table.agrees();
        assert_eq!(table.route("t").expect("known").queues[0].1.write_queue_nums, 2);
        assert!(table.route("v").is_some());
        assert!(
            table.is_changed("c", "m:1", version(1)) && table.is_changed("c", "m:1", version(2))
        );
        let again = Registration { version: version(3), connection: YOUNG, ..master("b", "m:1") };
        table.register(&again, 2).expect("fits");
        assert_eq!(table.route("t").expect("known").queues[0].1.write_queue_nums, 8);
        assert!(!table.is_changed("c", "m:1", version(3)));
        table.agrees();
    }

    #[test]
    fn a_connection_that_ends_leaves_all_its_addresses_a_few_at_a_time() {
        let mut table = table();
        for number in 0..5 {
            let (name, address) = (format!("b{number}"), format!("{number}:1"));
            for connection in [OLD, YOUNG] {
                let one = Registration { connection, ..master(&name, &address) };
                table.register(&one, 0).expect("fits");
            }
            // Of three, the older connection is the one that registers.
            if number < 3 {
                table.register(&master(&name, &address), 1).expect("fits");
            }
        }
        table.agrees();
        assert_eq!(ends(&mut table, YOUNG), 2, "though the first of them are kept");
        assert_eq!(table.sizes().2, 3);
        assert_eq!(ends(&mut table, OLD), 3);
        assert_eq!((table.bytes(), table.connections.len()), (0, 0));
    }

    #[test]
    fn a_late_end_of_an_earlier_process_does_not_unregister_its_successor() {
        let mut table = registered_by(&[OLD, YOUNG]);
        assert!(!table.withdraw("c", "b", "m:1", OLD));
        assert!(table.route("t").is_some());
        let mut table = registered_by(&[OLD, YOUNG, OLD]);
        assert!(table.withdraw("c", "b", "m:1", OLD), "it has registered since");
        let mut table = registered_by(&[OLD, YOUNG]);
        assert!(table.withdraw("c", "b", "m:1", YOUNG));
        assert!(table.route("t").is_none());
        table.settle();
        table.agrees();
    }
}
