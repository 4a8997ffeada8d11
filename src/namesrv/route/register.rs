//! Registration and its undoing. A registration begins with what it says of the broker, goes on
//! with its topics, one call each, between which others may have their turn, and ends with its
//! version: that counts only when all topics are there.

use super::{
    ADDRESS_BYTES_MAX, AddressKey, BrokerGroup, ConnectionId, DataVersion, MASTER_ID, MEMBERS_MAX,
    NAME_BYTES_MAX, QueueData, RouteError, RouteTable, TOPIC_NAME_BYTES_MAX, check_name,
    clear::Job,
    owners::{OwnerId, owner_bytes},
};

/// Bit of a permission that allows writing.
const PERM_WRITE: i32 = 2;

/// Memory of an address besides its texts.
const ADDRESS_BYTES: usize = 768;

/// What a broker says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
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
    /// How many topics follow.
    pub topics: usize,
    /// RingMQ says so if these are not all topics of the broker.
    pub incremental: bool,
    pub connection: ConnectionId,
}

impl Announced {
    pub(super) fn key(&self) -> AddressKey {
        (self.cluster.clone(), self.address.clone())
    }

    /// Memory of what is kept of it.
    pub(super) fn bytes(&self) -> usize {
        let Announced { cluster, broker_name, address, ha_server, zone_name, .. } = self;
        let texts = 3 * (cluster.len() + address.len()) + 2 * broker_name.len() + ha_server.len();
        ADDRESS_BYTES + texts + zone_name.as_deref().map_or(0, str::len)
    }
}

/// What a registration led to.
#[derive(Debug, Default)]
pub struct Registered {
    /// For a slave whose master is known.
    pub master_address: Option<String>,
    pub ha_server: Option<String>,
    /// The address is new.
    pub first: bool,
    /// A broker of a later state holds this id: nothing was changed.
    pub outdated: bool,
    /// Its topics are to be taken.
    pub intake: Option<Intake>,
}

/// How the topics of a registration are taken.
#[derive(Debug)]
pub struct Intake {
    owner: OwnerId,
    /// They replace what is known.
    changed: bool,
    /// Without write permission.
    wipe: bool,
    /// Those that are not named go.
    sweeps: bool,
}

impl RouteTable {
    /// Takes a registration, full or of some topics only: topics that it does not name are kept.
    /// To be followed by [`RouteTable::take`] for each topic and by [`RouteTable::finish`], or by
    /// [`RouteTable::give_up`].
    ///
    /// Queue data are written by the master, or by the smallest id of a broker that speaks of
    /// acting masters (RocketMQ 5).
    ///
    /// # Errors
    /// If it is refused: nothing has changed.
    pub fn begin(&mut self, announced: &Announced, now_ms: u64) -> Result<Registered, RouteError> {
        self.check(announced)?;
        let Announced { cluster, broker_name, address, broker_id, version, .. } = announced;
        if self.is_outdated(announced) {
            self.forget_address(cluster, address);
            return Ok(Registered { outdated: true, ..Registered::default() });
        }
        let mut registered = Registered::default();
        self.leave_elsewhere(announced);
        let owner = self.join(announced);
        let group = self.brokers.get_mut(broker_name).expect("just joined");
        let previous = group.addresses.insert(*broker_id, address.clone());
        let smallest = group.addresses.keys().next() == Some(broker_id);
        let acting_master = group.enable_acting_master;
        if let Some(old) = previous.as_ref().filter(|old| *old != address) {
            self.remove_live(&(cluster.clone(), old.clone()));
        }
        let key = announced.key();
        let known = self.live.get(&key).and_then(|live| live.version);
        registered.first = previous.is_none() || !self.live.contains_key(&key);

        let prime_slave =
            announced.enable_acting_master.is_some() && *broker_id != MASTER_ID && smallest;
        if *broker_id == MASTER_ID || prime_slave {
            let changed = registered.first || known != Some(*version);
            let wipe = prime_slave && acting_master;
            registered.intake = Some(self.begin_intake(owner, announced, changed, wipe));
        }
        let version = known.filter(|known| known == version);
        self.insert_live(announced, version, now_ms);
        if *broker_id != MASTER_ID {
            self.tell_master(cluster, broker_name, &mut registered);
        }
        Ok(registered)
    }

    fn begin_intake(
        &mut self,
        id: OwnerId,
        announced: &Announced,
        changed: bool,
        wipe: bool,
    ) -> Intake {
        self.hand_over(id, self.holder(&announced.key(), announced.connection));
        let mut sweeps = false;
        let deletes = self.rules.delete_topic_with_broker_registration;
        if let Some(owner) = self.owners.get_mut(&id) {
            // All permissions are said anew.
            owner.said += u64::from(changed);
            // One topic is the report of a change rather than all that there is.
            let full = announced.topics != 1 && !announced.incremental;
            // What an earlier one left unnamed is still to be dealt with.
            let free = owner.intakes == 0 && owner.unnamed.is_empty();
            if deletes && changed && full && free {
                owner.unnamed = std::mem::take(&mut owner.topics);
                sweeps = true;
            }
            owner.intakes += 1;
        }
        Intake { owner: id, changed, wipe, sweeps }
    }

    /// Takes a topic of a registration. That is nothing if the broker has gone meanwhile.
    ///
    /// # Errors
    /// If it is left out.
    pub fn take(
        &mut self,
        intake: &Intake,
        topic: &str,
        mut data: QueueData,
    ) -> Result<(), RouteError> {
        check_name("topic name", topic, TOPIC_NAME_BYTES_MAX)?;
        let Some(owner) = self.owners.get_mut(&intake.owner).filter(|owner| !owner.gone) else {
            return Ok(());
        };
        if let Some(name) = owner.unnamed.take(topic) {
            owner.topics.insert(name);
        }
        if intake.wipe {
            data.perm &= !PERM_WRITE;
        }
        match self.entry(topic, intake.owner) {
            Some(known) if intake.changed => *known = data,
            Some(_) => {}
            None => self.add_entry(topic, intake.owner, data)?,
        }
        Ok(())
    }

    /// All topics were taken.
    pub fn finish(&mut self, announced: &Announced, registered: &Registered) {
        // One topic from an address that is new may be the change that a running broker reports
        // to a name server that has just started: the version counts only once all came.
        let partial = registered.first && announced.topics == 1;
        let live = self.live.get_mut(&announced.key());
        let own = live.filter(|live| live.connection == announced.connection);
        if let Some(live) = own.filter(|_| !registered.outdated) {
            live.version = (!partial).then_some(announced.version);
        }
        self.end_intake(registered.intake.as_ref(), Job::Sweep);
    }

    /// The rest of the topics will not come.
    pub fn give_up(&mut self, registered: &Registered) {
        self.end_intake(registered.intake.as_ref(), Job::Keep);
    }

    fn end_intake(&mut self, intake: Option<&Intake>, job: fn(OwnerId) -> Job) {
        let Some(intake) = intake else {
            return;
        };
        if let Some(owner) = self.owners.get_mut(&intake.owner) {
            owner.intakes = owner.intakes.saturating_sub(1);
            if intake.sweeps && !owner.unnamed.is_empty() && !owner.gone {
                self.jobs.push_back(job(intake.owner));
            }
        }
    }

    /// A broker goes: its address, and with the last address of its name that name and its topics.
    /// Unknown brokers are fine.
    pub fn unregister(&mut self, cluster: &str, broker_name: &str, address: &str) -> bool {
        let key = (cluster.to_owned(), address.to_owned());
        let live = self.remove_live(&key);
        let Some(group) = self.brokers.get_mut(broker_name) else {
            return live.is_some();
        };
        if group.cluster != cluster {
            return live.is_some();
        }
        let before = group.addresses.len();
        group.addresses.retain(|_, known| known != address);
        let removed = group.addresses.len() < before;
        let owner = group.owner;
        if group.addresses.is_empty() {
            self.brokers.remove(broker_name);
            self.leave_cluster(cluster, broker_name);
            if let Some(owner) = self.owners.get_mut(&owner) {
                owner.gone = true;
            }
            self.jobs.push_back(Job::Remove(owner));
        } else if removed && group.enable_acting_master && !group.has_master() {
            let said = self.owners.get(&owner).map_or(0, |owner| owner.said);
            self.jobs.push_back(Job::Wipe { owner, said, after: None });
        }
        removed || live.is_some()
    }

    fn check(&mut self, announced: &Announced) -> Result<(), RouteError> {
        let Announced { cluster, broker_name, address, broker_id, connection, .. } = announced;
        check_name("cluster name", cluster, NAME_BYTES_MAX)?;
        check_name("broker name", broker_name, NAME_BYTES_MAX)?;
        check_name("broker address", address, ADDRESS_BYTES_MAX)?;
        if !announced.ha_server.is_empty() {
            check_name("HA server address", &announced.ha_server, ADDRESS_BYTES_MAX)?;
        }
        if let Some(zone) = &announced.zone_name {
            check_name("zone name", zone, NAME_BYTES_MAX)?;
        }
        if *broker_id < 0 {
            return Err(RouteError::BrokerId { id: *broker_id });
        }
        if let Some(group) = self.brokers.get(broker_name) {
            // One broker that moves takes its name along; a name in two clusters is a mistake.
            if group.cluster != *cluster && group.addresses.values().any(|known| known != address) {
                return Err(RouteError::OtherCluster {
                    name: broker_name.clone(),
                    cluster: group.cluster.clone(),
                    wanted: cluster.clone(),
                });
            }
            let held = group.addresses.len();
            if held >= MEMBERS_MAX && !group.addresses.contains_key(broker_id) {
                let (name, limit) = (broker_name.clone(), MEMBERS_MAX);
                return Err(RouteError::Members { name, held, limit });
            }
        }
        let key = announced.key();
        if !self.live.contains_key(&key) && self.live.len() >= self.bounds.brokers {
            return Err(RouteError::Brokers { limit: self.bounds.brokers });
        }
        let addresses = self.connections.get(connection).map(|held| &held.addresses);
        let held = addresses.map_or(0, |addresses| addresses.len());
        let limit = self.bounds.brokers_per_connection;
        if held >= limit && !addresses.is_some_and(|addresses| addresses.contains(&key)) {
            return Err(RouteError::BrokersOfConnection { held, limit });
        }
        // Whoever is there already needs no more room.
        let known = self.live.get(&key).map_or(0, |live| live.bytes);
        let name =
            if self.brokers.contains_key(broker_name) { 0 } else { owner_bytes(broker_name) };
        match (announced.bytes() + name).saturating_sub(known) {
            0 => Ok(()),
            more => self.check_room(self.holder(&key, *connection), more),
        }
    }

    /// Whether another address holds the id with a later state.
    fn is_outdated(&self, announced: &Announced) -> bool {
        let Announced { cluster, broker_name, address, broker_id, version, .. } = announced;
        let group = self.brokers.get(broker_name);
        let Some(old) = group.and_then(|group| group.addresses.get(broker_id)) else {
            return false;
        };
        let live = self.live.get(&(cluster.clone(), old.clone()));
        let state = live.and_then(|live| live.version).unwrap_or_default().state_version;
        old != address && state > version.state_version
    }

    /// The address belongs to no other name, and the name to no other cluster.
    fn leave_elsewhere(&mut self, announced: &Announced) {
        let Announced { cluster, broker_name, address, .. } = announced;
        let known = self.live.get(&announced.key()).map(|live| live.broker_name.clone());
        if known.is_some_and(|known| known != *broker_name) {
            self.forget_address(cluster, address);
        }
        let old = self.brokers.get(broker_name).map(|group| group.cluster.clone());
        if let Some(old) = old.filter(|old| old != cluster) {
            self.remove_live(&(old.clone(), address.clone()));
            self.leave_cluster(&old, broker_name);
        }
    }

    /// Ends what an address is a member of.
    fn forget_address(&mut self, cluster: &str, address: &str) {
        let key = (cluster.to_owned(), address.to_owned());
        let name = self.live.get(&key).map(|live| live.broker_name.clone());
        if let Some(name) = name {
            self.unregister(cluster, &name, address);
        }
    }

    /// Brings clusters and groups up to date, without the id itself.
    fn join(&mut self, announced: &Announced) -> OwnerId {
        let Announced { cluster, broker_name, address, broker_id, .. } = announced;
        self.clusters.entry(cluster.clone()).or_default().insert(broker_name.clone());
        let known = self.brokers.get(broker_name).map(|group| group.owner);
        let owner = known.unwrap_or_else(|| self.new_owner(broker_name, announced.connection));
        let group = self.brokers.entry(broker_name.clone()).or_insert_with(|| BrokerGroup {
            owner,
            cluster: String::new(),
            addresses: std::collections::BTreeMap::new(),
            zone_name: None,
            enable_acting_master: false,
        });
        group.cluster.clone_from(cluster);
        group.enable_acting_master = announced.enable_acting_master.unwrap_or(false);
        group.zone_name.clone_from(&announced.zone_name);
        // A slave that became master must not stay listed as the slave.
        group.addresses.retain(|id, known| known != address || id == broker_id);
        owner
    }

    fn leave_cluster(&mut self, cluster: &str, broker_name: &str) {
        if let Some(names) = self.clusters.get_mut(cluster) {
            names.remove(broker_name);
            if names.is_empty() {
                self.clusters.remove(cluster);
            }
        }
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
