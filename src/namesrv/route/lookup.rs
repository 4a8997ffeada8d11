//! Questions to the table.

use super::{BrokerGroup, MASTER_ID, QueueData, RouteTable};

/// Topics whose route shows the members of a group as they are, never an acting master.
const MEMBER_GROUP_PREFIX: &str = "rmq_sys_SYNC_BROKER_MEMBER_";
/// Bit of a permission that allows writing.
const PERM_WRITE: i32 = 2;
/// Bits of a topic's system flag.
const SYS_FLAG_UNIT: i32 = 1;
const SYS_FLAG_UNIT_SUB: i32 = 2;

/// Where a topic is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route<'a> {
    /// By broker name.
    pub queues: Vec<(&'a str, QueueData)>,
    pub brokers: Vec<RouteBroker<'a>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteBroker<'a> {
    pub cluster: &'a str,
    pub name: &'a str,
    pub zone_name: Option<&'a str>,
    pub enable_acting_master: bool,
    /// By broker id, ascending.
    pub addresses: Vec<(i64, &'a str)>,
}

/// Which topics a list of units names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitList {
    /// Topics of units.
    Unit,
    /// Topics with subscriptions of units.
    UnitSub,
    /// Topics with subscriptions of units that are not topics of units.
    UnitSubNotUnit,
}

impl RouteTable {
    /// `None` if the topic is not known or none of its brokers is.
    pub fn route<'a>(&'a self, topic: &str) -> Option<Route<'a>> {
        let map = self.topics.get(topic)?;
        let queues = map.iter().map(|(name, data)| (name.as_str(), *data)).collect();
        let acting = self.rules.support_acting_master && !topic.starts_with(MEMBER_GROUP_PREFIX);
        let brokers: Vec<_> = map
            .iter()
            .filter_map(|(name, data)| {
                let (name, group) = self.brokers.get_key_value(name)?;
                let mut broker = describe(name, group);
                let lost = acting && group.enable_acting_master && !group.has_master();
                if lost
                    && data.perm & PERM_WRITE == 0
                    && let Some((id, _)) = broker.addresses.first_mut()
                {
                    *id = MASTER_ID;
                }
                Some(broker)
            })
            .collect();
        (!brokers.is_empty()).then_some(Route { queues, brokers })
    }

    /// All broker names with their members.
    pub fn brokers(&self) -> impl Iterator<Item = RouteBroker<'_>> {
        self.brokers.iter().map(|(name, group)| describe(name, group))
    }

    /// One broker name.
    pub fn broker(&self, name: &str) -> Option<&BrokerGroup> {
        self.brokers.get(name)
    }

    /// All clusters with their broker names.
    pub fn clusters(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = &str>)> {
        let clusters = self.clusters.iter();
        clusters.map(|(cluster, names)| (cluster.as_str(), names.iter().map(String::as_str)))
    }

    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.topics.keys().map(|topic| &**topic)
    }

    /// Topics that have queues in a cluster.
    pub fn topics_of_cluster<'a>(&'a self, cluster: &str) -> impl Iterator<Item = &'a str> {
        let names = self.clusters.get(cluster);
        let topics = self.topics.iter().filter(move |(_, map)| {
            names.is_some_and(|names| map.keys().any(|name| names.contains(name)))
        });
        topics.map(|(topic, _)| &**topic)
    }

    pub fn unit_topics(&self, list: UnitList) -> impl Iterator<Item = &str> {
        let topics = self.topics.iter().filter(move |(_, map)| {
            let flag = map.values().next().map_or(0, |data| data.topic_sys_flag);
            let (unit, sub) = (flag & SYS_FLAG_UNIT != 0, flag & SYS_FLAG_UNIT_SUB != 0);
            match list {
                UnitList::Unit => unit,
                UnitList::UnitSub => sub,
                UnitList::UnitSubNotUnit => sub && !unit,
            }
        });
        topics.map(|(topic, _)| &**topic)
    }

    /// Cluster and broker names, which are topics on every broker, and the address of some broker.
    pub fn system_topics(&self) -> (Vec<&str>, Option<&str>) {
        let mut names = Vec::new();
        for (cluster, brokers) in self.clusters() {
            names.push(cluster);
            names.extend(brokers);
        }
        let addresses = self.brokers.values().find_map(|group| group.addresses.values().next());
        (names, addresses.map(String::as_str))
    }
}

fn describe<'a>(name: &'a str, group: &'a BrokerGroup) -> RouteBroker<'a> {
    RouteBroker {
        cluster: &group.cluster,
        name,
        zone_name: group.zone_name.as_deref(),
        enable_acting_master: group.enable_acting_master,
        addresses: group.addresses.iter().map(|(id, address)| (*id, address.as_str())).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            register::Registration,
            test::{master, slave, table, topic},
        },
        *,
    };

    #[test]
    fn lists_name_what_is_registered() {
        let mut table = table();
        table.register(&master("a", "a:1"), 0).expect("fits");
        let other = Registration { cluster: "d".to_owned(), ..master("b", "b:1") };
        table
            .register(&Registration { topics: vec![topic("t", 1), topic("w", 1)], ..other }, 0)
            .expect("fits");
        assert_eq!(table.topics().collect::<Vec<_>>(), ["t", "u", "w"]);
        assert_eq!(table.topics_of_cluster("d").collect::<Vec<_>>(), ["t", "w"]);
        assert_eq!(table.topics_of_cluster("none").count(), 0);
        assert_eq!(table.system_topics(), (vec!["c", "a", "d", "b"], Some("a:1")));
        assert_eq!(table.route("t").expect("known").queues.len(), 2);
        assert_eq!(table.brokers().count(), 2);
        assert!(table.route("x").is_none());
    }

    #[test]
    fn unit_lists_look_at_the_flags() {
        let mut table = table();
        let mut registration = master("b", "m:1");
        registration.topics = (0..4).map(|flag| topic(&format!("t{flag}"), 1)).collect();
        for (flag, entry) in (0..).zip(&mut registration.topics) {
            entry.data.topic_sys_flag = flag;
        }
        table.register(&registration, 0).expect("fits");
        let list = |list| table.unit_topics(list).collect::<Vec<_>>();
        assert_eq!(list(UnitList::Unit), ["t1", "t3"]);
        assert_eq!(list(UnitList::UnitSub), ["t2", "t3"]);
        assert_eq!(list(UnitList::UnitSubNotUnit), ["t2"]);
    }

    #[test]
    fn without_the_switch_a_slave_is_never_shown_as_master() {
        let mut table = table();
        let acting = |registration: Registration| Registration {
            enable_acting_master: Some(true),
            ..registration
        };
        table.register(&acting(master("b", "m:1")), 0).expect("fits");
        table.register(&acting(slave("b", "s:1", 3)), 0).expect("fits");
        table.unregister("c", "b", "m:1");
        assert_eq!(table.route("t").expect("known").brokers[0].addresses, [(3, "s:1")]);
    }
}
