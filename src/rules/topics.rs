//! The topics of a broker, and who may change them how.

mod queue_count;
mod system;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

use ringmq_remoting::codes::topic::SYSTEM;

use queue_count::QueueCount;

pub use super::topic::{Topic, TopicFilterType};
use super::{
    attributes,
    limits::{ATTRIBUTES_BYTES, TOPIC_QUEUES_MAX, TOPICS_DELETED_BYTES_MAX, TOPICS_MAX},
    meta::{DataVersion, MetaChange},
    names::Name,
    refusal::{Refusal, code},
    topic::{
        AUTO_CREATE_TOPIC, PERM_INHERIT, PERM_READ, PERM_WRITE, is_system_name, validate_topic,
    },
};

/// What the table needs to know of the broker's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSettings {
    /// Logs of the store, at least 1; never changes.
    pub logs: u16,
    pub broker_name: String,
    pub cluster_name: String,
    pub auto_create_topic: bool,
    /// Queues of `TBW102`.
    pub default_topic_queues: i32,
    pub cluster_topic_enable: bool,
    pub broker_topic_enable: bool,
    pub trace_topic_enable: bool,
    pub trace_topic: String,
    /// Each with [`ATTRIBUTES_BYTES`] on average.
    pub topics_max: usize,
    pub topics_deleted_bytes_max: usize,
    /// `queuesMax`: of all topics but the system's, deleted ones until the next start among them.
    pub queues_max: usize,
}

impl Default for TopicSettings {
    fn default() -> Self {
        TopicSettings {
            logs: 1,
            broker_name: "DEFAULT_BROKER".into(),
            cluster_name: "DefaultCluster".into(),
            auto_create_topic: true,
            default_topic_queues: 8,
            cluster_topic_enable: true,
            broker_topic_enable: true,
            trace_topic_enable: false,
            trace_topic: super::topic::TRACE_TOPIC.into(),
            topics_max: TOPICS_MAX,
            topics_deleted_bytes_max: TOPICS_DELETED_BYTES_MAX,
            queues_max: usize::MAX,
        }
    }
}

/// What an administrator asks of a topic (request code 17).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicUpdate<'a> {
    pub topic: &'a str,
    pub read_queues: i32,
    pub write_queues: i32,
    pub perm: i32,
    pub filter_type: TopicFilterType,
    pub sys_flag: i32,
    pub order: bool,
    /// What changes; see [`attributes::alter`].
    pub attributes: &'a str,
}

/// What is left of a deleted topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deleted {
    pub first_log: u16,
    /// Where each queue begins if the topic is made again, sorted. A topic may have very many.
    pub ends: Arc<[(i32, i64)]>,
}

impl Deleted {
    /// The ends after one more deletion: of two of a queue the later counts.
    fn and(&self, ends: &[(i32, i64)]) -> Arc<[(i32, i64)]> {
        let mut all = [&*self.ends, ends].concat();
        // Both parts are sorted: no sort from the ground up.
        all.sort();
        all.reverse();
        all.dedup_by_key(|(queue, _)| *queue);
        all.reverse();
        all.into()
    }
}

/// What a queue of a deleted topic takes, about, in bytes.
const DELETED_QUEUE_BYTES: usize = 40;

/// What a deleted topic with so many queues takes, about, in bytes.
fn deleted_bytes(name: &str, queues: usize) -> usize {
    name.len() + 320 + queues * DELETED_QUEUE_BYTES
}

fn attribute_bytes(topic: &Topic) -> usize {
    attributes::bytes_of(&topic.attributes)
}

/// What a table has under the name of a topic, for taking a change back.
#[derive(Clone, Debug)]
pub struct TopicEntry {
    name: Arc<str>,
    topic: Option<Arc<Topic>>,
    deleted: Option<Deleted>,
    queues: u32,
}

/// The topics of a broker. `plan_*` functions only decide; [`TopicTable::apply`] changes the table.
/// Apply a planned change before planning the next, or both get the same version.
#[derive(Debug)]
pub struct TopicTable {
    settings: TopicSettings,
    /// System topics whose names follow from the configuration.
    configured_system: BTreeSet<String>,
    topics: BTreeMap<Arc<str>, Arc<Topic>>,
    /// What the attributes of the topics take.
    attribute_bytes: usize,
    /// Topics that had messages when they were deleted, whether made again or not.
    deleted: BTreeMap<Arc<str>, Deleted>,
    /// What the deleted topics take.
    deleted_bytes: usize,
    queues: QueueCount,
    version: DataVersion,
    /// The next first log of topics that clients make, and of those that the broker makes. Two
    /// counters, because a retry topic follows each single-queue topic of a busy group, and would
    /// push all of those onto every other log.
    next_log: u16,
    next_internal_log: u16,
}

impl TopicTable {
    /// autoCreateTopicEnable, from now on.
    pub fn set_auto_create(&mut self, enabled: bool) {
        self.settings.auto_create_topic = enabled;
    }

    /// An empty table: replay the persisted changes into it, then apply
    /// [`TopicTable::plan_system_topics`].
    pub fn new(settings: TopicSettings) -> TopicTable {
        assert!(settings.logs > 0, "a store has at least one log");
        TopicTable {
            configured_system: system::configured_names(&settings),
            queues: QueueCount::with_limit(settings.queues_max),
            settings,
            topics: BTreeMap::new(),
            attribute_bytes: 0,
            deleted: BTreeMap::new(),
            deleted_bytes: 0,
            version: DataVersion::default(),
            next_log: 0,
            next_internal_log: 0,
        }
    }

    pub fn get(&self, topic: &str) -> Option<&Arc<Topic>> {
        self.topics.get(topic)
    }

    /// All topics in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.topics.values()
    }

    /// The topics from a name on, in the order of their names.
    pub fn iter_from(&self, from: Bound<&str>) -> impl Iterator<Item = &Arc<Topic>> {
        self.topics.range::<str, _>((from, Bound::Unbounded)).map(|(_, topic)| topic)
    }

    pub fn len(&self) -> usize {
        self.topics.len()
    }

    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    pub fn version(&self) -> DataVersion {
        self.version
    }

    pub fn is_system_topic(&self, topic: &str) -> bool {
        is_system_name(topic) || self.configured_system.contains(topic)
    }

    /// Names of the system's topics, whether they exist or not (request code 304 to a broker).
    pub fn system_topics(&self) -> BTreeSet<&str> {
        self.configured_system.iter().map(String::as_str).chain(SYSTEM).collect()
    }

    /// The system topics that are missing, one change each; apply them in turn.
    pub fn plan_system_topics(&self, now: i64) -> Vec<MetaChange> {
        system::plan(self, now)
    }

    /// Makes a topic that a client sends to and that is not there. `None`: the template does not
    /// allow it (code 17, or a retry topic by [`TopicTable::plan_internal_topic`]).
    ///
    /// # Errors
    /// If the name is not allowed, or the broker has as many topics as it may have.
    pub fn plan_auto_create(
        &self,
        topic: &str,
        default_topic: &str,
        client_queues: i32,
        sys_flag: i32,
        now: i64,
    ) -> Result<Option<MetaChange>, Refusal> {
        validate_topic(topic)?;
        let Some(template) = self.topics.get(default_topic) else {
            return Ok(None);
        };
        let forbidden = default_topic == AUTO_CREATE_TOPIC && !self.settings.auto_create_topic;
        if !template.is_inherited() || forbidden {
            return Ok(None);
        }
        let queues = client_queues.min(template.write_queues).max(0);
        let mut new = Topic::new(topic, queues, template.perm & !PERM_INHERIT);
        new.sys_flag = sys_flag;
        new.filter_type = template.filter_type;
        self.plan_new(new, now).map(Some)
    }

    /// Makes a `%RETRY%`, `%DLQ%` or other topic of the broker itself, readable and writable.
    ///
    /// # Errors
    /// If the name has control characters, or the broker has as many topics as it may have.
    pub fn plan_internal_topic(
        &self,
        topic: &str,
        queues: i32,
        sys_flag: i32,
        now: i64,
    ) -> Result<MetaChange, Refusal> {
        Name::Topic.check(topic)?;
        let queues = queues.clamp(0, TOPIC_QUEUES_MAX);
        let mut new = Topic::new(topic, queues, PERM_READ | PERM_WRITE);
        new.sys_flag = sys_flag;
        self.plan_new(new, now)
    }

    /// Gives a topic of the broker's own that is there at least so many queues. `None`: it has
    /// them, or is not there, or there is no room for more.
    pub fn plan_more_queues(&self, topic: &str, queues: i32, now: i64) -> Option<MetaChange> {
        let old = self.topics.get(topic)?;
        let queues = queues.min(TOPIC_QUEUES_MAX);
        if old.read_queues >= queues && old.write_queues >= queues {
            return None;
        }
        if self.queues.check(topic, queues).is_err() {
            return None;
        }
        let mut new = Topic::clone(old);
        new.read_queues = new.read_queues.max(queues);
        new.write_queues = new.write_queues.max(queues);
        Some(self.put(new, now))
    }

    /// Notes that a topic is ordered, as its name server says. `None`: that is known, or there is
    /// no such topic.
    pub fn plan_order(&self, topic: &str, now: i64) -> Option<MetaChange> {
        let old = self.topics.get(topic).filter(|topic| !topic.order)?;
        Some(self.put(Topic { order: true, ..Topic::clone(old) }, now))
    }

    /// Makes or changes a topic for an administrator; its queues stay on their logs.
    ///
    /// # Errors
    /// If the name is not allowed or is the system's, a number is out of range, the attributes
    /// cannot be changed like that, or there are too many topics.
    pub fn plan_update(&self, update: TopicUpdate<'_>, now: i64) -> Result<MetaChange, Refusal> {
        self.check_admin_name(update.topic)?;
        for (what, queues) in
            [("readQueueNums", update.read_queues), ("writeQueueNums", update.write_queues)]
        {
            if !(0..=TOPIC_QUEUES_MAX).contains(&queues) {
                let remark = format!(
                    "{what}[{queues}] of topic[{}] is illegal: the range is 0 to \
                     {TOPIC_QUEUES_MAX}; spread the load over more topics instead",
                    update.topic
                );
                return Err(Refusal::new(code::SYSTEM_ERROR, remark));
            }
        }
        let mut new = Topic::new(update.topic, 0, update.perm);
        new.read_queues = update.read_queues;
        new.write_queues = update.write_queues;
        new.filter_type = update.filter_type;
        new.sys_flag = update.sys_flag;
        new.order = update.order;
        let old = self.topics.get(update.topic);
        new.attributes = attributes::alter(old.map(|old| &old.attributes), update.attributes)?;
        match old {
            Some(old) => {
                new.first_log = old.first_log;
                self.check_attributes(&new, attribute_bytes(old))?;
                self.queues.check(&new.name, new.queues())?;
                Ok(self.put(new, now))
            }
            None => self.plan_new(new, now),
        }
    }

    /// Deletes a topic for an administrator; `ends` are the next offsets of its queues. `None`:
    /// there is no such topic, which is no error.
    ///
    /// # Errors
    /// If the name is not allowed or is the system's, or too many are deleted already.
    pub fn plan_delete(
        &self,
        topic: &str,
        ends: Vec<(i32, i64)>,
        now: i64,
    ) -> Result<Option<MetaChange>, Refusal> {
        self.check_admin_name(topic)?;
        let Some((name, old)) = self.topics.get_key_value(topic) else {
            return Ok(None);
        };
        let more = match self.deleted.get(name) {
            Some(known) => (known.and(&ends).len() - known.ends.len()) * DELETED_QUEUE_BYTES,
            None => deleted_bytes(name, ends.len()),
        };
        let (bytes, most) = (self.deleted_bytes + more, self.settings.topics_deleted_bytes_max);
        if more > 0 && bytes > most {
            let remark = format!(
                "topic[{topic}] is not deleted: what the broker remembers of {} deleted topics \
                 takes {bytes} bytes with it, at most {most} fit; use names again instead of ever \
                 new ones",
                self.deleted.len()
            );
            return Err(Refusal::system_error(remark));
        }
        let (topic, first_log) = (name.clone(), Some(old.first_log));
        let version = self.version.next(now);
        Ok(Some(MetaChange::TopicDelete { topic, version, first_log, ends }))
    }

    /// Topics that had messages when they were deleted.
    pub fn deleted(&self) -> impl Iterator<Item = (&Arc<str>, &Deleted)> {
        self.deleted.iter()
    }

    /// Carries out a change of a topic; other changes are none of this table's business.
    pub fn apply(&mut self, change: &MetaChange) {
        match change {
            MetaChange::TopicPut { topic, version } => {
                self.version = *version;
                if self.set_topic(&topic.name, Some(Arc::new(topic.clone()))).is_none() {
                    self.advance_log(topic);
                }
            }
            MetaChange::TopicDelete { topic, version, first_log, ends } => {
                self.version = *version;
                let old = self.set_topic(topic, None);
                let first_log = first_log.or(old.map(|old| old.first_log));
                if let (Some(first_log), false) = (first_log, ends.is_empty()) {
                    self.bury(topic, first_log, ends);
                }
                let ends = self.deleted.get(topic).map_or(0, |deleted| deleted.ends.len());
                self.queues.set(topic, u32::try_from(ends).unwrap_or(u32::MAX));
            }
            _ => {}
        }
    }

    /// So many queues of a topic that was just deleted are kept until the next start.
    pub fn keep_queues(&mut self, topic: &Arc<str>, queues: usize) {
        self.queues.raise(topic, i32::try_from(queues).unwrap_or(i32::MAX));
    }

    /// What there is under a name now.
    pub fn entry(&self, name: &Arc<str>) -> TopicEntry {
        TopicEntry {
            name: name.clone(),
            topic: self.topics.get(name).cloned(),
            deleted: self.deleted.get(name).cloned(),
            queues: self.queues.of(name),
        }
    }

    /// Takes back what was applied to a name since [`TopicTable::entry`]: it did not become
    /// durable. The version stays: one that was never told does no harm.
    pub fn restore(&mut self, entry: TopicEntry) {
        self.set_topic(&entry.name, entry.topic);
        self.set_deleted(&entry.name, entry.deleted);
        self.queues.set(&entry.name, entry.queues);
    }

    /// Gives what was there.
    fn set_topic(&mut self, name: &Arc<str>, new: Option<Arc<Topic>>) -> Option<Arc<Topic>> {
        self.attribute_bytes += new.as_deref().map_or(0, attribute_bytes);
        let old = match new {
            Some(topic) => {
                if !self.is_system_topic(name) {
                    self.queues.raise(name, topic.queues());
                }
                self.topics.insert(name.clone(), topic)
            }
            None => self.topics.remove(name),
        };
        self.attribute_bytes -= old.as_deref().map_or(0, attribute_bytes);
        old
    }

    fn set_deleted(&mut self, name: &Arc<str>, new: Option<Deleted>) {
        let bytes = |one: &Deleted| deleted_bytes(name, one.ends.len());
        self.deleted_bytes += new.as_ref().map_or(0, bytes);
        let old = match new {
            Some(deleted) => self.deleted.insert(name.clone(), deleted),
            None => self.deleted.remove(name),
        };
        self.deleted_bytes -= old.as_ref().map_or(0, bytes);
    }

    /// The changes that make an empty table know the deleted topics of this one, from a name on.
    /// They come before those of [`TopicTable::puts_from`].
    pub fn deletions_from(&self, from: Bound<&str>) -> impl Iterator<Item = MetaChange> {
        let version = self.version;
        let deleted = self.deleted.range::<str, _>((from, Bound::Unbounded));
        deleted.map(move |(topic, deleted)| MetaChange::TopicDelete {
            topic: topic.clone(),
            version,
            first_log: Some(deleted.first_log),
            ends: deleted.ends.to_vec(),
        })
    }

    /// The changes that bring the topics of this table into an empty one, from a name on.
    pub fn puts_from(&self, from: Bound<&str>) -> impl Iterator<Item = MetaChange> {
        let version = self.version;
        let put =
            move |topic: &Arc<Topic>| MetaChange::TopicPut { topic: Topic::clone(topic), version };
        self.iter_from(from).map(put)
    }

    fn bury(&mut self, topic: &Arc<str>, first_log: u16, ends: &[(i32, i64)]) {
        let known = self.deleted.get(topic).cloned();
        let mut deleted = known.unwrap_or_else(|| Deleted { first_log, ends: Arc::default() });
        deleted.ends = deleted.and(ends);
        self.set_deleted(topic, Some(deleted));
    }

    /// Whether there is room for the attributes of a topic that take the place of `old` bytes.
    fn check_attributes(&self, topic: &Topic, old: usize) -> Result<(), Refusal> {
        let new = attribute_bytes(topic);
        let bytes = self.attribute_bytes - old + new;
        let most = self.settings.topics_max * ATTRIBUTES_BYTES;
        if bytes <= most || new <= old {
            return Ok(());
        }
        Err(attributes::too_many(&format!("topic[{}]", topic.name), bytes, most))
    }

    fn check_admin_name(&self, topic: &str) -> Result<(), Refusal> {
        validate_topic(topic)?;
        if self.is_system_topic(topic) {
            let remark = format!("The topic[{topic}] is conflict with system topic.");
            return Err(Refusal::new(code::SYSTEM_ERROR, remark));
        }
        Ok(())
    }

    fn plan_new(&self, mut topic: Topic, now: i64) -> Result<MetaChange, Refusal> {
        let most = self.settings.topics_max;
        if self.topics.len() >= most {
            let remark = format!(
                "topic[{}] is not created: the broker has {most} topics, the most it may \
                 have; delete unused topics (mqadmin deleteTopic)",
                topic.name
            );
            return Err(Refusal::new(code::SYSTEM_ERROR, remark));
        }
        self.check_attributes(&topic, 0)?;
        self.queues.check(&topic.name, topic.queues())?;
        topic.first_log = match self.deleted.get(&topic.name) {
            // Its queues go on where they were.
            Some(deleted) => deleted.first_log,
            None if self.is_internal(&topic.name) => self.next_internal_log,
            None => self.next_log,
        };
        Ok(self.put(topic, now))
    }

    fn put(&self, topic: Topic, now: i64) -> MetaChange {
        MetaChange::TopicPut { topic, version: self.version.next(now) }
    }

    fn is_internal(&self, topic: &str) -> bool {
        topic.starts_with('%') || self.is_system_topic(topic)
    }

    /// The next topic starts where this one's queues end, so that all logs get as many.
    fn advance_log(&mut self, topic: &Topic) {
        let logs = u32::from(self.settings.logs);
        let queues = u32::try_from(topic.queues()).unwrap_or(0).max(1);
        let next = (u32::from(topic.first_log) + queues) % logs;
        let next = u16::try_from(next).expect("a remainder by a u16");
        if self.is_internal(&topic.name) {
            self.next_internal_log = next;
        } else {
            self.next_log = next;
        }
    }
}

#[cfg(test)]
mod tests;
