//! Registration and its undoing.

use std::collections::BTreeSet;

use super::{
    ADDRESS_BYTES_MAX, ConnectionId, DataVersion, Live, MASTER_ID, NAME_BYTES_MAX, QueueData,
    RouteError, RouteTable, TOPIC_NAME_BYTES_MAX, check_name,
};

/// Bit of a permission that allows writing.
const PERM_WRITE: i32 = 2;

/// A topic as a broker registers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicEntry {
    pub topic: String,
    pub data: QueueData,
}

/// What a broker says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    pub cluster: String,
    pub broker_name: String,
    /// `host:port`.
    pub address: String,
    pub broker_id: i64,
    pub ha_server: String,
    pub zone_name: Option<String>,
    /// RocketMQ 5: silence after which the broker counts as gone.
    pub heartbeat_timeout_ms: Option<u64>,
    /// RocketMQ 5 says yes or no, older brokers nothing.
    pub enable_acting_master: Option<bool>,
    pub version: DataVersion,
    pub topics: Vec<TopicEntry>,
    /// RingMQ says so if these are not all topics of the broker.
    pub incremental: bool,
    pub connection: ConnectionId,
}

/// What a registration led to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registered {
    /// For a slave whose master is known.
    pub master_address: Option<String>,
    pub ha_server: Option<String>,
    /// The address is new.
    pub first: bool,
    /// A broker of a later state holds this id: nothing was changed.
    pub outdated: bool,
    /// Topics that were left out, each with the reason; the first few only.
    pub left_out: Vec<String>,
}

/// How many left-out topics are named.
const LEFT_OUT_MAX: usize = 8;

impl RouteTable {
    /// Takes a registration, full or of some topics only: topics that it does not name are kept.
    ///
    /// Queue data are written by the master, or by the smallest id of a broker that speaks of
    /// acting masters (RocketMQ 5).
    pub fn register(
        &mut self,
        registration: &Registration,
        now_ms: u64,
    ) -> Result<Registered, RouteError> {
        self.check(registration)?;
        let Registration { cluster, broker_name, address, broker_id, version, .. } = registration;
        let mut registered = Registered::default();
        if self.is_outdated(registration) {
            self.live.remove(&(cluster.clone(), address.clone()));
            registered.outdated = true;
            return Ok(registered);
        }
        self.join(registration);
        let group = self.brokers.entry(broker_name.clone()).or_default();
        let previous = group.addresses.insert(*broker_id, address.clone());
        let smallest = group.addresses.keys().next() == Some(broker_id);
        let acting_master = group.enable_acting_master;
        if let Some(old) = previous.as_ref().filter(|old| *old != address) {
            self.live.remove(&(cluster.clone(), old.clone()));
        }
        let key = (cluster.clone(), address.clone());
        let known = self.live.get(&key).and_then(|live| live.version);
        registered.first = previous.is_none() || !self.live.contains_key(&key);

        let prime_slave =
            registration.enable_acting_master.is_some() && *broker_id != MASTER_ID && smallest;
        if *broker_id == MASTER_ID || prime_slave {
            let changed = registered.first || known != Some(*version);
            let wipe = prime_slave && acting_master;
            registered.left_out = self.take_topics(registration, changed, wipe);
        }
        // One topic from an address that is new may be the change that a running broker reports
        // to a name server that has just started: the version counts only once all came.
        let partial = registered.first && registration.topics.len() == 1;
        let live = Live {
            heard_ms: now_ms,
            timeout_ms: registration.heartbeat_timeout_ms.unwrap_or(self.rules.silence_ms_max),
            version: (!partial).then_some(*version),
            connection: registration.connection,
            ha_server: registration.ha_server.clone(),
        };
        self.live.insert(key, live);
        if *broker_id != MASTER_ID {
            self.tell_master(cluster, broker_name, &mut registered);
        }
        Ok(registered)
    }

    /// A broker goes: its address, and with the last address of its name that name and its topics.
    /// Unknown brokers are fine.
    pub fn unregister(&mut self, cluster: &str, broker_name: &str, address: &str) -> bool {
        let live = self.live.remove(&(cluster.to_owned(), address.to_owned()));
        let Some(group) = self.brokers.get_mut(broker_name) else {
            return live.is_some();
        };
        if group.cluster != cluster {
            return live.is_some();
        }
        let before = group.addresses.len();
        group.addresses.retain(|_, known| known != address);
        let removed = group.addresses.len() < before;
        if group.addresses.is_empty() {
            self.brokers.remove(broker_name);
            self.leave_cluster(cluster, broker_name);
            self.remove_queue_data(broker_name, |_| true);
        } else if removed && group.enable_acting_master && !group.has_master() {
            self.change_perm(broker_name, |perm| perm & !PERM_WRITE);
        }
        removed || live.is_some()
    }

    fn check(&self, registration: &Registration) -> Result<(), RouteError> {
        let Registration { cluster, broker_name, address, broker_id, .. } = registration;
        check_name("cluster name", cluster, NAME_BYTES_MAX)?;
        check_name("broker name", broker_name, NAME_BYTES_MAX)?;
        check_name("broker address", address, ADDRESS_BYTES_MAX)?;
        if !registration.ha_server.is_empty() {
            check_name("HA server address", &registration.ha_server, ADDRESS_BYTES_MAX)?;
        }
        if let Some(zone) = &registration.zone_name {
            check_name("zone name", zone, NAME_BYTES_MAX)?;
        }
        if *broker_id < 0 {
            return Err(RouteError::BrokerId { id: *broker_id });
        }
        if let Some(group) = self.brokers.get(broker_name).filter(|group| group.cluster != *cluster)
        {
            // One broker that moves takes its name along; a name in two clusters is a mistake.
            if group.addresses.values().any(|known| known != address) {
                return Err(RouteError::OtherCluster {
                    name: broker_name.clone(),
                    cluster: group.cluster.clone(),
                    wanted: cluster.clone(),
                });
            }
        }
        let new = !self.live.contains_key(&(cluster.clone(), address.clone()));
        if new && self.live.len() >= self.bounds.brokers {
            return Err(RouteError::Brokers { limit: self.bounds.brokers });
        }
        Ok(())
    }

    /// Whether another address holds the id with a later state.
    fn is_outdated(&self, registration: &Registration) -> bool {
        let Registration { cluster, broker_name, address, broker_id, version, .. } = registration;
        let group = self.brokers.get(broker_name);
        let Some(old) = group.and_then(|group| group.addresses.get(broker_id)) else {
            return false;
        };
        let live = self.live.get(&(cluster.clone(), old.clone()));
        let state = live.and_then(|live| live.version).unwrap_or_default().state_version;
        old != address && state > version.state_version
    }

    /// Brings clusters and groups up to date, without the id itself.
    fn join(&mut self, registration: &Registration) {
        let Registration { cluster, broker_name, address, broker_id, .. } = registration;
        let old = self.brokers.get(broker_name).map(|group| group.cluster.clone());
        if let Some(old) = old.filter(|old| old != cluster) {
            self.live.remove(&(old.clone(), address.clone()));
            self.leave_cluster(&old, broker_name);
        }
        self.clusters.entry(cluster.clone()).or_default().insert(broker_name.clone());
        let group = self.brokers.entry(broker_name.clone()).or_default();
        group.cluster.clone_from(cluster);
        group.enable_acting_master = registration.enable_acting_master.unwrap_or(false);
        group.zone_name.clone_from(&registration.zone_name);
        // A slave that became master must not stay listed as the slave.
        group.addresses.retain(|id, known| known != address || id == broker_id);
    }

    fn leave_cluster(&mut self, cluster: &str, broker_name: &str) {
        if let Some(names) = self.clusters.get_mut(cluster) {
            names.remove(broker_name);
            if names.is_empty() {
                self.clusters.remove(cluster);
            }
        }
    }

    fn take_topics(
        &mut self,
        registration: &Registration,
        changed: bool,
        wipe: bool,
    ) -> Vec<String> {
        let broker = registration.broker_name.as_str();
        // One topic is the report of a change rather than all that there is.
        let full = registration.topics.len() != 1 && !registration.incremental;
        if self.rules.delete_topic_with_broker_registration && changed && full {
            let named: BTreeSet<&str> =
                registration.topics.iter().map(|entry| entry.topic.as_str()).collect();
            self.remove_queue_data(broker, |topic| !named.contains(topic));
        }
        let mut left_out = Vec::new();
        for TopicEntry { topic, data } in &registration.topics {
            let known = self.topics.get(topic.as_str()).is_some_and(|map| map.contains_key(broker));
            if !changed && known {
                continue;
            }
            let mut data = *data;
            if wipe {
                data.perm &= !PERM_WRITE;
            }
            let problem = match check_name("topic name", topic, TOPIC_NAME_BYTES_MAX) {
                Err(error) => error.to_string(),
                Ok(()) if self.put_queue_data(topic, broker, data) => continue,
                Ok(()) => {
                    format!("the table is full at {} entries; raise topicsMax", self.bounds.entries)
                }
            };
            if left_out.len() < LEFT_OUT_MAX {
                let shown: String = topic.chars().take(64).collect();
                left_out.push(format!("{shown:?}: {problem}"));
            }
        }
        left_out
    }

    fn tell_master(&self, cluster: &str, broker_name: &str, registered: &mut Registered) {
        let group = self.brokers.get(broker_name);
        let Some(master) = group.and_then(|group| group.addresses.get(&MASTER_ID)) else {
            return;
        };
        let Some(live) = self.live.get(&(cluster.to_owned(), master.clone())) else {
            return;
        };
        registered.master_address = Some(master.clone());
        registered.ha_server = Some(live.ha_server.clone());
    }
}
