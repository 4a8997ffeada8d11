//! The subscription groups of a broker.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

pub use super::group::Group;
use super::{
    attributes,
    group::SYSTEM_GROUP_PREFIX,
    limits::{ATTRIBUTES_BYTES, GROUP_BYTES_MAX, GROUPS_MAX},
    meta::{DataVersion, MetaChange},
    names::Name,
    refusal::{FAQ, Refusal, code},
};

/// Groups that every broker has.
const BUILT_IN: [&str; 7] = [
    "TOOLS_CONSUMER",
    "FILTERSRV_CONSUMER",
    "SELF_TEST_C_GROUP",
    "CID_ONS-HTTP-PROXY",
    "CID_ONSAPI_PULL",
    "CID_ONSAPI_PERMISSION",
    "CID_ONSAPI_OWNER",
];

/// The subscription groups of a broker. `plan_*` functions only decide;
/// [`SubscriptionGroupTable::apply`] changes the table.
#[derive(Debug)]
pub struct SubscriptionGroupTable {
    /// autoCreateSubscriptionGroup.
    auto_create: bool,
    groups: BTreeMap<Arc<str>, Arc<Group>>,
    /// What their attributes take.
    attribute_bytes: usize,
    version: DataVersion,
    /// Each with [`ATTRIBUTES_BYTES`] on average.
    limit: usize,
}

fn attribute_bytes(group: &Group) -> usize {
    attributes::bytes_of(&group.attributes)
}

impl SubscriptionGroupTable {
    /// autoCreateSubscriptionGroup, from now on.
    pub fn set_auto_create(&mut self, enabled: bool) {
        self.auto_create = enabled;
    }

    /// A table with the built-in groups; replay the persisted changes into it.
    pub fn new(auto_create: bool) -> SubscriptionGroupTable {
        let mut table = SubscriptionGroupTable {
            auto_create,
            groups: BTreeMap::new(),
            attribute_bytes: 0,
            version: DataVersion::default(),
            limit: GROUPS_MAX,
        };
        for name in BUILT_IN {
            table.set(name, Some(Arc::new(Group::new(name))));
        }
        table
    }

    /// The same with another limit of groups.
    #[must_use]
    pub fn with_limit(self, limit: usize) -> SubscriptionGroupTable {
        SubscriptionGroupTable { limit, ..self }
    }

    pub fn get(&self, group: &str) -> Option<&Arc<Group>> {
        self.groups.get(group)
    }

    /// All groups in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.groups.values()
    }

    /// The groups from a name on, in the order of their names.
    pub fn iter_from(&self, from: Bound<&str>) -> impl Iterator<Item = &Arc<Group>> {
        self.groups.range::<str, _>((from, Bound::Unbounded)).map(|(_, group)| group)
    }

    pub fn len(&self) -> usize {
        self.groups.len()
    }

    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    pub fn version(&self) -> DataVersion {
        self.version
    }

    /// Makes a group that a client uses and that is not there. `None`: groups are not made on
    /// demand, which the request answers with [`unknown_group`] or its own text.
    ///
    /// # Errors
    /// If the name is not allowed or there are too many groups.
    pub fn plan_auto_create(&self, group: &str, now: i64) -> Result<Option<MetaChange>, Refusal> {
        if !self.auto_create && !group.starts_with(SYSTEM_GROUP_PREFIX) {
            return Ok(None);
        }
        self.plan_update(Group::new(group), now).map(Some)
    }

    /// Makes or changes a group for an administrator.
    ///
    /// # Errors
    /// If the name is not allowed or there are too many groups.
    pub fn plan_update(&self, group: Group, now: i64) -> Result<MetaChange, Refusal> {
        if group.name.trim().is_empty() || group.name.len() > GROUP_BYTES_MAX {
            let remark = format!(
                "the group name has {} bytes; the range is 1 to {GROUP_BYTES_MAX}",
                group.name.len()
            );
            return Err(Refusal::new(code::SYSTEM_ERROR, remark));
        }
        Name::Group.check(&group.name)?;
        check_retry_policy(&group)?;
        let most = self.limit;
        if !self.groups.contains_key(&group.name) && self.groups.len() >= most {
            let remark = format!(
                "group[{}] is not created: the broker has {most} subscription groups, the \
                 most it may have; delete unused groups (mqadmin deleteSubGroup)",
                group.name
            );
            return Err(Refusal::new(code::SYSTEM_ERROR, remark));
        }
        self.check_attributes(&group)?;
        Ok(MetaChange::GroupPut { group, version: self.version.next(now) })
    }

    /// Whether there is room for the attributes of a group.
    fn check_attributes(&self, group: &Group) -> Result<(), Refusal> {
        let old = self.groups.get(&group.name).map_or(0, |old| attribute_bytes(old));
        let new = attribute_bytes(group);
        let bytes = self.attribute_bytes - old + new;
        let most = self.limit * ATTRIBUTES_BYTES;
        if bytes <= most || new <= old {
            return Ok(());
        }
        Err(attributes::too_many(&format!("group[{}]", group.name), bytes, most))
    }

    /// Deletes a group. `None`: there is no such group, which is no error.
    pub fn plan_delete(&self, group: &str, now: i64) -> Option<MetaChange> {
        let (name, _) = self.groups.get_key_value(group)?;
        Some(MetaChange::GroupDelete { group: name.clone(), version: self.version.next(now) })
    }

    /// Carries out a change of a group; other changes are none of this table's business.
    pub fn apply(&mut self, change: &MetaChange) {
        match change {
            MetaChange::GroupPut { group, version } => {
                self.version = *version;
                self.set(&group.name, Some(Arc::new(group.clone())));
            }
            MetaChange::GroupDelete { group, version } => {
                self.version = *version;
                self.set(group, None);
            }
            _ => {}
        }
    }

    /// Takes back a change of a group that did not become durable; `before` is what
    /// [`SubscriptionGroupTable::get`] gave before it was applied.
    pub fn restore(&mut self, name: &str, before: Option<Arc<Group>>) {
        self.set(name, before);
    }

    fn set(&mut self, name: &str, new: Option<Arc<Group>>) {
        self.attribute_bytes += new.as_deref().map_or(0, attribute_bytes);
        let old = match new {
            Some(group) => self.groups.insert(group.name.clone(), group),
            None => self.groups.remove(name),
        };
        self.attribute_bytes -= old.as_deref().map_or(0, attribute_bytes);
    }

    /// The changes that take those built-in groups from a new table that this one has no more. They
    /// come before those of [`SubscriptionGroupTable::puts_from`].
    pub fn deletions(&self) -> impl Iterator<Item = MetaChange> {
        let version = self.version;
        let deleted = BUILT_IN.into_iter().filter(|name| !self.groups.contains_key(*name));
        deleted.map(move |name| MetaChange::GroupDelete { group: name.into(), version })
    }

    /// The changes that bring the groups of this table into a new one, from a name on.
    pub fn puts_from(&self, from: Bound<&str>) -> impl Iterator<Item = MetaChange> {
        let version = self.version;
        let put =
            move |group: &Arc<Group>| MetaChange::GroupPut { group: Group::clone(group), version };
        self.iter_from(from).map(put)
    }
}

/// Times of a customized retry policy; Java's default has 18.
const RETRY_TIMES_MAX: usize = 64;

fn check_retry_policy(group: &Group) -> Result<(), Refusal> {
    let Some(policy) = &group.retry_policy else { return Ok(()) };
    let kind = policy.kind.as_deref().unwrap_or("CUSTOMIZED");
    let name = &group.name;
    if !["EXPONENTIAL", "CUSTOMIZED"].contains(&kind) {
        return Err(Refusal::system_error(format!(
            "the retry policy of group[{name}] is of a type that is not known: use EXPONENTIAL or \
             CUSTOMIZED"
        )));
    }
    let times = policy.customized_retry_policy.as_ref().map_or(0, |policy| policy.next.len());
    if times > RETRY_TIMES_MAX {
        return Err(Refusal::system_error(format!(
            "the retry policy of group[{name}] has {times} times, the limit is {RETRY_TIMES_MAX}: \
             the last one counts for all that follow"
        )));
    }
    Ok(())
}

/// The answer to a request that sends for a group that is not there.
#[cold]
pub fn unknown_group(group: &str) -> Refusal {
    let remark = format!("subscription group not exist, {group} {FAQ}");
    Refusal::new(code::SUBSCRIPTION_GROUP_NOT_EXIST, remark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_broker_has_the_built_in_groups() {
        let table = SubscriptionGroupTable::new(true);
        let tools = table.get("TOOLS_CONSUMER").expect("built in");
        assert_eq!((tools.retry_queues, tools.retry_max_times), (1, 16));
        assert_eq!((tools.broker_id, tools.which_broker_when_consume_slowly), (0, 1));
        assert_eq!(table.len(), 7);
    }

    #[test]
    fn groups_are_made_on_demand_unless_switched_off() {
        let table = SubscriptionGroupTable::new(true);
        assert!(table.plan_auto_create("g", 1).expect("allowed").is_some());
        assert!(table.plan_auto_create(" ", 1).is_err());
        assert!(table.plan_auto_create(&"g".repeat(256), 1).is_err());
        for name in ["e\u{2}REAL_TOPIC\u{1}SCHEDULE_TOPIC_XXXX\u{2}z", "a\nb", "\u{7f}"] {
            let refusal = table.plan_auto_create(name, 1).expect_err("control characters");
            assert!(refusal.remark.contains("control character"), "{}", refusal.remark);
        }
        let table = SubscriptionGroupTable::new(false);
        assert_eq!(table.plan_auto_create("g", 1), Ok(None));
        assert!(table.plan_auto_create("CID_RMQ_SYS_TRANS", 1).expect("allowed").is_some());
        assert_eq!(unknown_group("g").code, 26);
    }

    #[test]
    fn attributes_are_bounded_in_bytes() {
        let mut table = SubscriptionGroupTable::new(true).with_limit(20);
        let group = |number: usize, bytes: usize| {
            let mut group = Group::new(&format!("g{number}"));
            group.attributes.insert("priority.factor".to_owned(), "9".repeat(bytes));
            group
        };
        let put = |table: &mut SubscriptionGroupTable, group| {
            table.plan_update(group, 1).map(|change| table.apply(&change))
        };
        put(&mut table, group(1, 4096)).expect("there is room");
        let refusal = put(&mut table, group(2, 4096)).expect_err("too much");
        assert!(refusal.remark.contains("at most 15360 fit"), "{}", refusal.remark);
        let full = table.attribute_bytes;
        put(&mut table, group(1, 4096)).expect("known, and no more than before");
        assert_eq!(table.attribute_bytes, full);
        put(&mut table, group(1, 1)).expect("less");
        put(&mut table, group(2, 4096)).expect("there is room again");
        put(&mut table, Group::new("without")).expect("it needs none");
        table.restore("g2", None);
        let change = table.plan_delete("g1", 2).expect("there");
        table.apply(&change);
        assert_eq!(table.attribute_bytes, 0);
    }

    #[test]
    fn retry_policies_are_kept_as_far_as_they_say_something() {
        use ringmq_remoting::body::{CustomizedRetryPolicy, GroupRetryPolicy};
        let table = SubscriptionGroupTable::new(true);
        let plan = |kind: Option<&str>, times: usize| {
            let policy = GroupRetryPolicy {
                kind: kind.map(str::to_owned),
                customized_retry_policy: Some(CustomizedRetryPolicy { next: vec![5; times] }),
                ..GroupRetryPolicy::default()
            };
            table.plan_update(Group { retry_policy: Some(policy), ..Group::new("g") }, 1)
        };
        for (kind, times) in [(None, 0), (Some("CUSTOMIZED"), 64), (Some("EXPONENTIAL"), 1)] {
            plan(kind, times).expect("sound");
        }
        assert!(plan(Some("NEVER"), 1).is_err());
        let refusal = plan(None, 65).expect_err("long");
        assert!(refusal.remark.contains("has 65 times, the limit is 64"), "{}", refusal.remark);
    }

    #[test]
    fn replaying_a_snapshot_gives_the_same_table() {
        let mut table = SubscriptionGroupTable::new(true);
        let group = Group { retry_max_times: 3, ..Group::new("g") };
        let change = table.plan_update(group, 5).expect("allowed");
        table.apply(&change);
        let change = table.plan_delete("FILTERSRV_CONSUMER", 6).expect("there");
        table.apply(&change);
        assert_eq!(table.plan_delete("nobody", 7), None);
        let mut again = SubscriptionGroupTable::new(true);
        let changes = table.deletions().chain(table.puts_from(Bound::Unbounded));
        changes.for_each(|change| again.apply(&change));
        assert_eq!(again.groups, table.groups);
        assert_eq!(again.version(), table.version());
        assert_eq!(again.get("g").expect("kept").retry_max_times, 3);
    }
}
