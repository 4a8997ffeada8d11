//! Which topic has queues on which brokers, and where these are: the tables behind every answer of
//! a name server. Pure: no clock, no network, no disk. Times are milliseconds on any clock that
//! never goes back.
//!
//! A broker *name* is a group: a master (id 0) and its slaves. An *address* belongs to one id of
//! one name; it is alive while its connection stands and it was heard of within its time.

pub mod expire;
pub mod lookup;
pub mod perm;
pub mod register;
#[cfg(test)]
mod register_tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
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

/// Names a connection for as long as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerGroup {
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
    heard_ms: u64,
    timeout_ms: u64,
    /// `None` while what was registered may be a part only.
    version: Option<DataVersion>,
    connection: ConnectionId,
    ha_server: String,
}

/// Sizes that the table does not outgrow.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Addresses of brokers.
    pub brokers: usize,
    /// Entries; a topic counts once for each of its brokers.
    pub entries: usize,
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
}

/// See the module.
#[derive(Debug)]
pub struct RouteTable {
    bounds: Bounds,
    pub rules: Rules,
    /// Topic, then broker name.
    topics: BTreeMap<Arc<str>, BTreeMap<String, QueueData>>,
    /// The topics of each broker name, so that its end costs no more than it has; never empty.
    topics_of_broker: BTreeMap<String, BTreeSet<Arc<str>>>,
    /// Sum of the lengths of the inner maps of `topics`.
    entries: usize,
    brokers: BTreeMap<String, BrokerGroup>,
    /// Broker names of each cluster; never empty.
    clusters: BTreeMap<String, BTreeSet<String>>,
    /// Cluster, then address.
    live: BTreeMap<(String, String), Live>,
}

impl RouteTable {
    pub fn new(bounds: Bounds, rules: Rules) -> Self {
        RouteTable {
            bounds,
            rules,
            topics: BTreeMap::new(),
            topics_of_broker: BTreeMap::new(),
            entries: 0,
            brokers: BTreeMap::new(),
            clusters: BTreeMap::new(),
            live: BTreeMap::new(),
        }
    }

    /// Number of topics, entries, broker addresses.
    pub fn sizes(&self) -> (usize, usize, usize) {
        (self.topics.len(), self.entries, self.live.len())
    }

    /// Sets the queues of one topic on one broker. False if the table is full.
    fn put_queue_data(&mut self, topic: &str, broker: &str, data: QueueData) -> bool {
        if let Some(known) = self.topics.get_mut(topic).and_then(|map| map.get_mut(broker)) {
            *known = data;
            return true;
        }
        if self.entries >= self.bounds.entries {
            return false;
        }
        self.entries += 1;
        let known = self.topics.get_key_value(topic).map(|(name, _)| name.clone());
        let name = known.unwrap_or_else(|| Arc::from(topic));
        if !self.topics_of_broker.contains_key(broker) {
            self.topics_of_broker.insert(broker.to_owned(), BTreeSet::new());
        }
        self.topics_of_broker.get_mut(broker).expect("just inserted").insert(name.clone());
        self.topics.entry(name).or_default().insert(broker.to_owned(), data);
        true
    }

    /// Removes the entries of a broker name for which `gone` says so.
    fn remove_queue_data(&mut self, broker: &str, mut gone: impl FnMut(&str) -> bool) {
        let Some(topics) = self.topics_of_broker.get_mut(broker) else {
            return;
        };
        topics.retain(|topic| {
            if !gone(topic) {
                return true;
            }
            if let Some(map) = self.topics.get_mut(topic) {
                self.entries -= usize::from(map.remove(broker).is_some());
                if map.is_empty() {
                    self.topics.remove(topic);
                }
            }
            false
        });
        if topics.is_empty() {
            self.topics_of_broker.remove(broker);
        }
    }

    /// Removes one topic of a broker name.
    fn remove_entry(&mut self, broker: &str, topic: &str) {
        if let Some(map) = self.topics.get_mut(topic) {
            self.entries -= usize::from(map.remove(broker).is_some());
            if map.is_empty() {
                self.topics.remove(topic);
            }
        }
        if let Some(topics) = self.topics_of_broker.get_mut(broker) {
            topics.remove(topic);
            if topics.is_empty() {
                self.topics_of_broker.remove(broker);
            }
        }
    }

    /// Takes write permission from all topics of a broker name; the number of topics.
    fn change_perm(&mut self, broker: &str, change: impl Fn(i32) -> i32) -> usize {
        let mut count = 0;
        for topic in self.topics_of_broker.get(broker).into_iter().flatten() {
            let entry = self.topics.get_mut(topic).and_then(|map| map.get_mut(broker));
            if let Some(data) = entry {
                data.perm = change(data.perm);
                count += 1;
            }
        }
        count
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
        let bounds = Bounds { brokers: 8, entries: 16 };
        RouteTable::new(bounds, Rules { silence_ms_max: 120_000, ..Rules::default() })
    }

    pub fn topic(name: &str, queues: i32) -> TopicEntry {
        let data = QueueData {
            read_queue_nums: queues,
            write_queue_nums: queues,
            perm: 6,
            topic_sys_flag: 0,
        };
        TopicEntry { topic: name.to_owned(), data }
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
