//! Which topic has queues on which brokers, and where these are: the tables behind every answer of
//! a name server. Pure: no clock, no network, no disk. Times are milliseconds on any clock that
//! never goes back.
//!
//! A broker *name* is a group: a master (id 0) and its slaves. An *address* belongs to one id of
//! one name; it is alive while its connection stands and it was heard of within its time
//! ([`holders`]: of several connections).
//!
//! Everything has an owner and counts in bytes: topics belong to broker names, these and addresses
//! to the youngest connection that registered them. What goes is invisible at once, and is removed
//! a little at a time by [`RouteTable::clear_some`]; no call takes longer for what others have.

pub mod clear;
pub mod expire;
mod holders;
pub mod lookup;
pub mod owners;
pub mod perm;
pub mod register;
#[cfg(test)]
mod register_tests;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use self::{
    clear::Job,
    owners::{Held, Owner, OwnerId},
};

/// Id of a master within its broker name.
pub const MASTER_ID: i64 = 0;
/// Longest topic name: RocketMQ 5 takes up to 255 bytes, and a retry topic has a prefix before the
/// name of its group.
pub const TOPIC_NAME_BYTES_MAX: usize = 255 + 7;
/// Longest cluster or broker name.
pub const NAME_BYTES_MAX: usize = 127;
/// Longest `host:port`.
pub const ADDRESS_BYTES_MAX: usize = 255;
/// Most members of a broker name.
pub const MEMBERS_MAX: usize = 128;

/// Names a connection for as long as it stands. Those that are accepted later are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// Counts the changes of a broker's topics. Compared as a whole, never by order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataVersion {
    /// RocketMQ 5; 0 from older brokers.
    pub state_version: i64,
    pub timestamp: i64,
    pub counter: i64,
}

/// The queues of a topic on one broker name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueData {
    pub read_queue_nums: i32,
    pub write_queue_nums: i32,
    pub perm: i32,
    pub topic_sys_flag: i32,
}

/// The members of a broker name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerGroup {
    /// Of its topics.
    owner: OwnerId,
    pub cluster: String,
    /// By broker id.
    pub addresses: BTreeMap<i64, String>,
    pub zone_name: Option<String>,
    pub enable_acting_master: bool,
}

impl BrokerGroup {
    fn has_master(&self) -> bool {
        self.addresses.contains_key(&MASTER_ID)
    }
}

/// What is known of one address.
#[derive(Clone, Debug)]
struct Live {
    /// Of the group that has the address.
    broker_name: String,
    heard_ms: u64,
    timeout_ms: u64,
    /// `None` while what was registered may be a part only.
    version: Option<DataVersion>,
    /// The youngest by which it has registered, see [`holders`].
    connection: ConnectionId,
    /// An older one by which it has registered since.
    older: Option<ConnectionId>,
    ha_server: String,
    /// What counts for it.
    bytes: usize,
}

/// The queues of a topic that one broker name has.
#[derive(Clone, Copy, Debug)]
struct Entry {
    owner: OwnerId,
    data: QueueData,
}

/// Sizes that the table does not outgrow.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Addresses of brokers.
    pub brokers: usize,
    /// Entries; a topic counts once for each of its brokers.
    pub entries: usize,
    /// Memory.
    pub bytes: usize,
    /// Of what one connection has brought: addresses, and bytes.
    pub brokers_per_connection: usize,
    pub bytes_per_connection: usize,
}

/// Switches of the configuration that the table obeys.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    pub support_acting_master: bool,
    pub delete_topic_with_broker_registration: bool,
    /// For brokers that name no time of their own.
    pub silence_ms_max: u64,
}

/// Why a registration is refused. `Display` is the remark of the answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    #[error("the {what} has {bytes} bytes; 1 to {limit} are allowed")]
    Name { what: &'static str, bytes: usize, limit: usize },
    #[error("the {what} contains a control character")]
    Characters { what: &'static str },
    #[error("the broker id is {id}; 0 is a master, slaves are above 0")]
    BrokerId { id: i64 },
    #[error(
        "broker name {name} belongs to cluster {cluster}, where it has other members; give the \
         brokers of {wanted} another brokerName"
    )]
    OtherCluster { name: String, cluster: String, wanted: String },
    #[error(
        "this name server already knows {limit} broker addresses; raise brokersMax or let \
         unused brokers unregister"
    )]
    Brokers { limit: usize },
    #[error(
        "this connection has brought {held} broker addresses, the limit is {limit}; raise \
         brokersPerConnectionMax, or let brokers connect themselves"
    )]
    BrokersOfConnection { held: usize, limit: usize },
    #[error("broker name {name} has {held} members, the limit is {limit}; give some another name")]
    Members { name: String, held: usize, limit: usize },
    #[error("the table is full at {limit} entries; raise topicsMax")]
    Entries { limit: usize },
    #[error("the table takes {held} bytes of memory, the limit is {limit}; raise routeBytesMax")]
    Bytes { held: usize, limit: usize },
    #[error(
        "what this connection has brought takes {held} bytes of memory, the limit is {limit}; \
         raise routeBytesPerConnectionMax"
    )]
    BytesOfConnection { held: usize, limit: usize },
}

/// See the module.
#[derive(Debug)]
pub struct RouteTable {
    bounds: Bounds,
    pub rules: Rules,
    /// By owner, in which order broker names came.
    topics: BTreeMap<Arc<str>, Vec<Entry>>,
    owners: BTreeMap<OwnerId, Owner>,
    next_owner: OwnerId,
    connections: BTreeMap<ConnectionId, Held>,
    /// Sum of the lengths of the lists of `topics`.
    entries: usize,
    /// Memory of everything.
    bytes: usize,
    brokers: BTreeMap<String, BrokerGroup>,
    /// Broker names of each cluster; never empty.
    clusters: BTreeMap<String, BTreeSet<String>>,
    /// Cluster, then address.
    live: BTreeMap<AddressKey, Live>,
    /// What is to be removed or changed, the oldest first.
    jobs: VecDeque<Job>,
}

/// Cluster, then address.
type AddressKey = (String, String);

impl RouteTable {
    pub fn new(bounds: Bounds, rules: Rules) -> Self {
        RouteTable {
            bounds,
            rules,
            topics: BTreeMap::new(),
            owners: BTreeMap::new(),
            next_owner: OwnerId::default(),
            connections: BTreeMap::new(),
            entries: 0,
            bytes: 0,
            brokers: BTreeMap::new(),
            clusters: BTreeMap::new(),
            live: BTreeMap::new(),
            jobs: VecDeque::new(),
        }
    }

    /// Number of topics, entries, broker addresses, those too that are being removed.
    pub fn sizes(&self) -> (usize, usize, usize) {
        (self.topics.len(), self.entries, self.live.len())
    }

    /// Memory in bytes, as it is counted.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

fn check_name(what: &'static str, name: &str, limit: usize) -> Result<(), RouteError> {
    let bytes = name.len();
    if bytes == 0 || bytes > limit {
        return Err(RouteError::Name { what, bytes, limit });
    }
    if name.chars().any(char::is_control) {
        return Err(RouteError::Characters { what });
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod test {
    use super::{register::*, *};

    pub fn table() -> RouteTable {
        RouteTable::new(bounds(), Rules { silence_ms_max: 120_000, ..Rules::default() })
    }

    pub fn bounds() -> Bounds {
        Bounds {
            brokers: 8,
            entries: 16,
            bytes: 1 << 30,
            brokers_per_connection: 8,
            bytes_per_connection: 1 << 29,
        }
    }

    /// What a broker says of itself, with its topics.
    #[derive(Clone, Debug)]
    pub struct Registration {
        pub cluster: String,
        pub broker_name: String,
        pub address: String,
        pub broker_id: i64,
        pub ha_server: String,
        pub zone_name: Option<String>,
        pub heartbeat_timeout_ms: Option<u64>,
        pub enable_acting_master: Option<bool>,
        pub version: DataVersion,
        pub topics: Vec<(String, QueueData)>,
        pub incremental: bool,
        pub connection: ConnectionId,
    }

    pub struct Route<'a> {
        pub queues: Vec<(&'a str, QueueData)>,
        pub brokers: Vec<lookup::RouteBroker<'a>>,
    }

    impl RouteTable {
        /// A registration to its end, with all that it makes go. What was left out, too.
        pub fn register(
            &mut self,
            registration: &Registration,
            now_ms: u64,
        ) -> Result<(Registered, Vec<String>), RouteError> {
            let one = registration.clone();
            let announced = Announced {
                cluster: one.cluster,
                broker_name: one.broker_name,
                address: one.address,
                broker_id: one.broker_id,
                ha_server: one.ha_server,
                zone_name: one.zone_name,
                heartbeat_timeout_ms: one.heartbeat_timeout_ms,
                enable_acting_master: one.enable_acting_master,
                version: one.version,
                topics: one.topics.len(),
                incremental: one.incremental,
                connection: one.connection,
            };
            let registered = self.begin(&announced, now_ms)?;
            let mut left_out = Vec::new();
            if let Some(intake) = &registered.intake {
                for (topic, data) in &one.topics {
                    let taken = self.take(intake, topic, *data);
                    left_out.extend(taken.err().map(|error| format!("{topic:?}: {error}")));
                }
            }
            self.finish(&announced, &registered);
            self.settle();
            Ok((registered, left_out))
        }

        pub fn expire(&mut self, now_ms: u64) -> Vec<expire::Dropped> {
            let mut next = None;
            let dropped = self.expire_some(now_ms, &mut next, usize::MAX);
            assert!(next.is_none());
            self.settle();
            dropped
        }

        pub fn connection_closed(
            &mut self,
            connection: ConnectionId,
            now_ms: u64,
        ) -> Vec<expire::Dropped> {
            let mut all = Vec::new();
            while let Some(some) = self.leave_some(connection, now_ms, 2) {
                all.extend(some);
            }
            self.settle();
            all
        }

        /// All topics of a broker name.
        pub fn wipe_write_perm(&mut self, name: &str) -> usize {
            self.change_all(name, perm::WriteChange::Wipe)
        }

        pub fn add_write_perm(&mut self, name: &str) -> usize {
            self.change_all(name, perm::WriteChange::Add)
        }

        fn change_all(&mut self, name: &str, change: perm::WriteChange) -> usize {
            let (mut after, mut all) = (None, 0);
            loop {
                let (last, count) = self.change_some(name, after.as_deref(), 2, change);
                all += count;
                after = last;
                if after.is_none() {
                    return all;
                }
            }
        }

        pub fn delete_topic(&mut self, topic: &str, cluster: Option<&str>) {
            while self.delete_some(topic, cluster, 2) {}
        }

        /// Where a topic is; `None` if it is not known.
        pub fn route(&self, topic: &str) -> Option<Route<'_>> {
            let (mut queues, mut brokers) = (Vec::new(), Vec::new());
            for place in self.places(topic, OwnerId::default()) {
                queues.push((place.broker.name, place.queues));
                brokers.push(place.broker);
            }
            (!brokers.is_empty()).then_some(Route { queues, brokers })
        }

        pub fn listed(&self, which: lookup::Which<'_>) -> Vec<String> {
            let (mut names, mut after) = (Vec::new(), None);
            let mut add = |name: &str| {
                names.push(name.to_owned());
                false
            };
            while !self.some_topics(which, &mut after, 2, &mut add) {}
            names
        }

        /// Every count is the sum of what it counts.
        pub fn agrees(&self) {
            let of_topics = self.topics.iter().flat_map(|(topic, entries)| {
                entries.iter().map(move |entry| (entry.owner, topic.clone()))
            });
            let mut of_topics: Vec<_> = of_topics.collect();
            of_topics.sort_unstable();
            let of_owners = self
                .owners
                .iter()
                .flat_map(|(id, owner)| owner.topics.iter().map(move |topic| (*id, topic.clone())));
            assert_eq!(of_topics, of_owners.collect::<Vec<_>>());
            assert_eq!(self.entries, of_topics.len());
            let mut of_groups: Vec<_> = self.brokers.values().map(|group| group.owner).collect();
            of_groups.sort_unstable();
            assert_eq!(of_groups, self.owners.keys().copied().collect::<Vec<_>>());
            let addresses = self.brokers.values().map(|group| group.addresses.len());
            assert_eq!(addresses.sum::<usize>(), self.live.len());
            for (id, held) in &self.connections {
                let owners = self.owners.values().filter(|owner| owner.connection == *id);
                let live = held.addresses.iter().map(|key| &self.live[key]);
                let holds = |live: &&Live| live.connection == *id || live.older == Some(*id);
                assert!(live.clone().all(|live| holds(&live)));
                let live = live.filter(|live| live.connection == *id).map(|live| live.bytes);
                let sum = owners.map(|owner| owner.bytes).sum::<usize>() + live.sum::<usize>();
                assert_eq!(held.bytes, sum);
            }
            assert_eq!(self.bytes, self.connections.values().map(|held| held.bytes).sum::<usize>());
        }

        /// Removes all that is to go.
        pub fn settle(&mut self) {
            while self.clear_some(3) {}
        }
    }

    pub fn topic(name: &str, queues: i32) -> (String, QueueData) {
        let data = QueueData {
            read_queue_nums: queues,
            write_queue_nums: queues,
            perm: 6,
            topic_sys_flag: 0,
        };
        (name.to_owned(), data)
    }

    pub fn version(counter: i64) -> DataVersion {
        DataVersion { state_version: 0, timestamp: 1, counter }
    }

    /// A master `name` at `address` of the cluster `c` with two topics.
    pub fn master(name: &str, address: &str) -> Registration {
        Registration {
            cluster: "c".to_owned(),
            broker_name: name.to_owned(),
            address: address.to_owned(),
            broker_id: 0,
            ha_server: format!("{address}9"),
            zone_name: None,
            heartbeat_timeout_ms: None,
            enable_acting_master: None,
            version: version(1),
            topics: vec![topic("t", 8), topic("u", 4)],
            incremental: false,
            connection: ConnectionId(1),
        }
    }

    pub fn slave(name: &str, address: &str, id: i64) -> Registration {
        let connection = ConnectionId(100);
        Registration { broker_id: id, connection, ..master(name, address) }
    }
}
