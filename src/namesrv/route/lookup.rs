//! Questions to the table. Long answers are given a little at a time, each from where the one
//! before ended; what comes or goes meanwhile is in them or not.

use std::{
    ops::Bound::{Excluded, Included, Unbounded},
    sync::Arc,
};

use super::{BrokerGroup, Entry, MASTER_ID, QueueData, RouteTable, owners::OwnerId};

/// Topics whose route shows the members of a group as they are, never an acting master.
const MEMBER_GROUP_PREFIX: &str = "rmq_sys_SYNC_BROKER_MEMBER_";
/// Bit of a permission that allows writing.
const PERM_WRITE: i32 = 2;
/// Bits of a topic's system flag.
const SYS_FLAG_UNIT: i32 = 1;
const SYS_FLAG_UNIT_SUB: i32 = 2;

/// Where a topic is, one broker name of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    pub owner: OwnerId,
    pub broker: RouteBroker<'a>,
    pub queues: QueueData,
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

/// Which topics a list names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which<'a> {
    All,
    /// Those with queues in a cluster.
    Cluster(&'a str),
    /// Topics of units.
    Unit,
    /// Topics with subscriptions of units.
    UnitSub,
    /// Topics with subscriptions of units that are not topics of units.
    UnitSubNotUnit,
}

impl RouteTable {
    /// Where a topic is, from one owner on; nowhere if it is not known.
    pub fn places<'a>(
        &'a self,
        topic: &str,
        from: OwnerId,
    ) -> impl Iterator<Item = Place<'a>> + use<'a> {
        let acting = self.rules.support_acting_master && !topic.starts_with(MEMBER_GROUP_PREFIX);
        let entries = self.topics.get(topic).map_or(&[][..], Vec::as_slice);
        let begin = entries.partition_point(|entry| entry.owner < from);
        let entries = entries.get(begin..).unwrap_or_default().iter();
        entries.filter_map(move |entry| self.place(entry, acting))
    }

    /// Whether a topic is anywhere.
    pub fn is_known(&self, topic: &str) -> bool {
        let entries = self.topics.get(topic).map_or(&[][..], Vec::as_slice);
        entries.iter().any(|entry| self.owners.get(&entry.owner).is_some_and(|one| !one.gone))
    }

    fn place(&self, entry: &Entry, acting: bool) -> Option<Place<'_>> {
        let owner = self.owners.get(&entry.owner).filter(|owner| !owner.gone)?;
        let (name, group) = self.brokers.get_key_value(&*owner.name)?;
        let mut broker = describe(name, group);
        let lost = acting && group.enable_acting_master && !group.has_master();
        if lost
            && entry.data.perm & PERM_WRITE == 0
            && let Some((id, _)) = broker.addresses.first_mut()
        {
            *id = MASTER_ID;
        }
        Some(Place { owner: entry.owner, broker, queues: entry.data })
    }

    /// Broker names with their members, behind a name.
    pub fn brokers_after(&self, name: Option<&str>) -> impl Iterator<Item = RouteBroker<'_>> {
        let behind = (name.map_or(Unbounded, Excluded), Unbounded);
        self.brokers.range::<str, _>(behind).map(|(name, group)| describe(name, group))
    }

    /// One broker name.
    pub fn broker(&self, name: &str) -> Option<&BrokerGroup> {
        self.brokers.get(name)
    }

    /// Every cluster with each of its broker names, behind such a pair.
    pub fn clusters_after<'a>(
        &'a self,
        last: Option<(&str, &str)>,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        let first = last.and_then(|(cluster, name)| {
            let (cluster, names) = self.clusters.get_key_value(cluster)?;
            let behind = names.range::<str, _>((Excluded(name), Unbounded));
            Some(behind.map(move |name| (cluster.as_str(), name.as_str())))
        });
        let behind = (last.map_or(Unbounded, |(cluster, _)| Excluded(cluster)), Unbounded);
        let others = self.clusters.range::<str, _>(behind);
        let others = others.flat_map(|(cluster, names)| {
            names.iter().map(move |name| (cluster.as_str(), name.as_str()))
        });
        first.into_iter().flatten().chain(others)
    }

    /// Names topics of a list, until `add` says that it is enough or about `looks` have been looked
    /// at. `next`: where to begin, and to go on. True if it is complete.
    pub fn some_topics(
        &self,
        which: Which<'_>,
        next: &mut Option<Arc<str>>,
        looks: usize,
        add: &mut impl FnMut(&str) -> bool,
    ) -> bool {
        let begin = next.take();
        let range = (begin.as_deref().map_or(Unbounded, Included), Unbounded);
        let (mut looked, mut enough) = (0, false);
        for (topic, entries) in self.topics.range::<str, _>(range) {
            if enough || looked >= looks {
                *next = Some(topic.clone());
                return false;
            }
            looked += entries.len().max(1);
            if self.is_named(which, entries) {
                enough = add(topic);
            }
        }
        true
    }

    fn is_named(&self, which: Which<'_>, entries: &[Entry]) -> bool {
        let mut owners = entries.iter().filter_map(|entry| {
            let owner = self.owners.get(&entry.owner).filter(|owner| !owner.gone)?;
            Some((owner, entry.data.topic_sys_flag))
        });
        if let Which::Cluster(cluster) = which {
            let names = self.clusters.get(cluster);
            return owners
                .any(|(owner, _)| names.is_some_and(|names| names.contains(&*owner.name)));
        }
        let Some((_, flag)) = owners.next() else {
            return false;
        };
        let (unit, sub) = (flag & SYS_FLAG_UNIT != 0, flag & SYS_FLAG_UNIT_SUB != 0);
        match which {
            Which::Unit => unit,
            Which::UnitSub => sub,
            Which::UnitSubNotUnit => sub && !unit,
            Which::All | Which::Cluster(_) => true,
        }
    }

    /// The address of some broker.
    pub fn some_address(&self) -> Option<&str> {
        let addresses = self.brokers.values().find_map(|group| group.addresses.values().next());
        addresses.map(String::as_str)
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
        super::test::{Registration, master, slave, table, topic},
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
        assert_eq!(table.listed(Which::All), ["t", "u", "w"]);
        assert_eq!(table.listed(Which::Cluster("d")), ["t", "w"]);
        assert!(table.listed(Which::Cluster("none")).is_empty());
        assert_eq!(table.clusters_after(None).collect::<Vec<_>>(), [("c", "a"), ("d", "b")]);
        assert_eq!(table.clusters_after(Some(("c", "a"))).count(), 1);
        assert_eq!(table.some_address(), Some("a:1"));
        assert_eq!(table.route("t").expect("known").queues.len(), 2);
        assert_eq!(table.brokers_after(None).count(), 2);
        assert!(table.route("x").is_none());
    }

    #[test]
    fn what_goes_is_invisible_before_it_is_removed() {
        let mut table = table();
        table.register(&master("a", "a:1"), 0).expect("fits");
        table.unregister("c", "a", "a:1");
        assert_eq!(table.sizes(), (2, 2, 0), "still there");
        assert!(table.route("t").is_none() && table.listed(Which::All).is_empty());
        assert!(table.brokers_after(None).next().is_none());
        // A name that comes back is not what goes.
        table.register(&master("a", "a:1"), 0).expect("fits");
        assert_eq!(table.route("t").expect("known").queues.len(), 1);
        assert_eq!(table.sizes(), (2, 2, 1));
        table.agrees();
    }

    #[test]
    fn unit_lists_look_at_the_flags() {
        let mut table = table();
        let mut registration = master("b", "m:1");
        registration.topics = (0..4).map(|flag| topic(&format!("t{flag}"), 1)).collect();
        for (flag, (_, data)) in (0..).zip(&mut registration.topics) {
            data.topic_sys_flag = flag;
        }
        table.register(&registration, 0).expect("fits");
        assert_eq!(table.listed(Which::Unit), ["t1", "t3"]);
        assert_eq!(table.listed(Which::UnitSub), ["t2", "t3"]);
        assert_eq!(table.listed(Which::UnitSubNotUnit), ["t2"]);
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
