//! Consumer offsets: how far each group has got in each queue, and which of it is not yet durable.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

use ahash::AHashMap;

use super::{
    limits::{OFFSET_BYTES, OFFSETS_BYTES_MAX},
    meta::MetaChange,
    names::Name,
    refusal::{Refusal, code},
};

#[derive(Debug, Default)]
struct Queues {
    offsets: BTreeMap<i32, i64>,
    /// Queues changed since the last [`OffsetTable::take_dirty`].
    dirty: BTreeSet<i32>,
}

/// Offsets of one change: writing it holds the shard some 100 us, and its record stays far below
/// the largest that the metadata log takes.
pub const OFFSETS_OF_CHANGE_MAX: usize = 2048;

/// Groups in a topic whose offsets are forgotten, or marked as changed, without a pause.
pub const ENTRIES_AT_ONCE_MAX: usize = 256;

/// Offsets of one or several of them, of which the last may have more: some 100 us.
const OFFSETS_AT_ONCE: usize = 16_384;

/// What became of a committed offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    Stored,
    /// Stored as well, but the group was further already: worth a line in the log.
    WentBack {
        from: i64,
    },
}

/// How far [`OffsetTable::list`] has got: behind this queue of this topic of this group.
#[derive(Clone, Debug, Default)]
pub struct ListedTo(Option<(Arc<str>, Arc<str>, i32)>);

/// Consumer offsets by topic, group and queue. A commit to a known queue allocates nothing.
#[derive(Debug)]
pub struct OffsetTable {
    topics: AHashMap<Arc<str>, BTreeMap<Arc<str>, Queues>>,
    /// Group and topic of every entry.
    by_group: BTreeSet<(Arc<str>, Arc<str>)>,
    /// Topic and group of every entry with dirty queues.
    dirty: BTreeSet<(Arc<str>, Arc<str>)>,
    count: usize,
    /// What the table takes, see [`names_bytes`].
    bytes: usize,
    bytes_max: usize,
}

impl Default for OffsetTable {
    fn default() -> OffsetTable {
        OffsetTable::with_limit(OFFSETS_BYTES_MAX)
    }
}

impl OffsetTable {
    /// `bytes_max`: of all offsets and names.
    pub fn with_limit(bytes_max: usize) -> OffsetTable {
        OffsetTable {
            topics: AHashMap::new(),
            dirty: BTreeSet::new(),
            by_group: Default::default(),
            count: 0,
            bytes: 0,
            bytes_max,
        }
    }

    /// Stores an offset as it is, even if it goes back.
    ///
    /// # Errors
    /// If a name is not allowed or the table is full.
    pub fn commit(
        &mut self,
        topic: &str,
        group: &str,
        queue_id: i32,
        offset: i64,
    ) -> Result<Commit, Refusal> {
        if let Some(queues) = self.topics.get_mut(topic).and_then(|groups| groups.get_mut(group))
            && let Some(stored) = queues.offsets.get_mut(&queue_id)
        {
            let from = std::mem::replace(stored, offset);
            if from != offset {
                if queues.dirty.is_empty() {
                    self.dirty.insert((Arc::from(topic), Arc::from(group)));
                }
                queues.dirty.insert(queue_id);
            }
            return Ok(if offset < from { Commit::WentBack { from } } else { Commit::Stored });
        }
        Name::Topic.check(topic)?;
        Name::Group.check(group)?;
        if self.bytes + self.names_missing(topic, group) + OFFSET_BYTES > self.bytes_max {
            return Err(full(topic, group, self.bytes, self.bytes_max));
        }
        let queues = self.entry(topic, group);
        queues.offsets.insert(queue_id, offset);
        let first = queues.dirty.is_empty();
        queues.dirty.insert(queue_id);
        self.count += 1;
        self.bytes += OFFSET_BYTES;
        if first {
            self.dirty.insert((Arc::from(topic), Arc::from(group)));
        }
        Ok(Commit::Stored)
    }

    /// Whether the table has an offset of a group in a queue: storing another takes no memory.
    pub fn has(&self, topic: &str, group: &str, queue_id: i32) -> bool {
        self.queues(topic, group).is_some_and(|offsets| offsets.contains_key(&queue_id))
    }

    /// The offset of a group in a queue; `None` if there is none or it is negative.
    pub fn query(&self, topic: &str, group: &str, queue_id: i32) -> Option<i64> {
        let queues = self.topics.get(topic)?.get(group)?;
        queues.offsets.get(&queue_id).copied().filter(|offset| *offset >= 0)
    }

    /// All offsets of a group in a topic, by queue.
    pub fn queues(&self, topic: &str, group: &str) -> Option<&BTreeMap<i32, i64>> {
        Some(&self.topics.get(topic)?.get(group)?.offsets)
    }

    /// Groups with offsets in the topic, sorted: those behind a name.
    pub fn groups_of_topic<'a>(
        &'a self,
        topic: &str,
        after: &'a str,
    ) -> impl Iterator<Item = &'a Arc<str>> {
        let range = (Bound::Excluded(after), Bound::Unbounded);
        let groups = self.topics.get(topic).into_iter();
        groups.flat_map(move |groups| groups.range::<str, _>(range)).map(|(group, _)| group)
    }

    /// Topics that the group has offsets in, sorted: those behind a name.
    pub fn topics_of_group<'a>(
        &'a self,
        group: &'a str,
        after: &str,
    ) -> impl Iterator<Item = &'a Arc<str>> {
        let after = Bound::Excluded((Arc::from(group), Arc::from(after)));
        let entries = self.by_group.range((after, Bound::Unbounded));
        entries.take_while(move |(of, _)| **of == *group).map(|(_, topic)| topic)
    }

    /// The next offsets of one group, or of all, sorted by group, topic and queue: at most `most`
    /// (at least 1), and no change has more than [`OFFSETS_OF_CHANGE_MAX`]. None are left when none
    /// are given. The table may change between two calls.
    pub fn list(&self, group: Option<&str>, to: &mut ListedTo, most: usize) -> Vec<MetaChange> {
        let (mut changes, mut left) = (Vec::new(), most);
        let from = match &to.0 {
            Some((group, topic, _)) => (group.clone(), topic.clone()),
            None => (Arc::from(group.unwrap_or_default()), Arc::from("")),
        };
        for (of, topic) in self.by_group.range(from..) {
            if left == 0 || group.is_some_and(|group| *group != **of) {
                break;
            }
            let behind = match &to.0 {
                Some((group, name, queue)) if group == of && name == topic => {
                    Bound::Excluded(*queue)
                }
                _ => Bound::Unbounded,
            };
            let queues = self.queues(topic, of).into_iter();
            let mut queues = queues.flat_map(|all| all.range((behind, Bound::Unbounded)));
            loop {
                let some = queues.by_ref().take(left.min(OFFSETS_OF_CHANGE_MAX));
                let offsets: Vec<_> = some.map(|(queue, offset)| (*queue, *offset)).collect();
                let Some((last, _)) = offsets.last() else { break };
                to.0 = Some((of.clone(), topic.clone(), *last));
                left -= offsets.len();
                let (topic, group) = (topic.clone(), of.clone());
                changes.push(MetaChange::Offsets { topic, group, offsets });
            }
        }
        changes
    }

    /// Some of what changed, at most `most` offsets, for the caller to make durable; sorted, and no
    /// change has more than [`OFFSETS_OF_CHANGE_MAX`] offsets. All was given when
    /// [`OffsetTable::dirty_len`] is 0. What cannot be made durable has to come back by
    /// [`OffsetTable::mark_dirty`].
    pub fn take_dirty(&mut self, most: usize) -> Vec<MetaChange> {
        let (mut changes, mut left) = (Vec::new(), most);
        while left > 0
            && let Some((topic, group)) = self.dirty.pop_first()
        {
            let queues = self.topics.get_mut(&topic).and_then(|groups| groups.get_mut(&group));
            let Some(queues) = queues else { continue };
            let mut offsets = Vec::new();
            while offsets.len() < left.min(OFFSETS_OF_CHANGE_MAX)
                && let Some(id) = queues.dirty.pop_first()
            {
                offsets.extend(queues.offsets.get(&id).map(|offset| (id, *offset)));
            }
            if !queues.dirty.is_empty() {
                self.dirty.insert((topic.clone(), group.clone()));
            }
            left = left.saturating_sub(offsets.len().max(1));
            if !offsets.is_empty() {
                changes.push(MetaChange::Offsets { topic, group, offsets });
            }
        }
        changes
    }

    /// Takes back a change that [`OffsetTable::take_dirty`] gave and that could not be made
    /// durable: the next call gives what these queues have then. Those that are gone meanwhile stay
    /// gone.
    pub fn mark_dirty(&mut self, change: &MetaChange) {
        let MetaChange::Offsets { topic, group, offsets } = change else { return };
        let queues = self.topics.get_mut(topic).and_then(|groups| groups.get_mut(group));
        let Some(queues) = queues else { return };
        let still_there = offsets.iter().filter(|(id, _)| queues.offsets.contains_key(id));
        queues.dirty.extend(still_there.map(|(id, _)| *id));
        if !queues.dirty.is_empty() {
            self.dirty.insert((topic.clone(), group.clone()));
        }
    }

    /// Marks offsets of a topic, of a group, or of both together as changed: at most those of
    /// `most` groups in a topic, such as [`ENTRIES_AT_ONCE_MAX`], behind `after`. Gives the name to
    /// go on behind if there are more.
    pub fn mark_dirty_behind(
        &mut self,
        topic: Option<&str>,
        group: Option<&str>,
        after: &str,
        most: usize,
    ) -> Option<Arc<str>> {
        let entries = self.entries(topic, group, after, most);
        let (mut marked, mut count) = (0, 0);
        let mut last = None;
        for (in_topic, of_group) in &entries {
            if marked >= OFFSETS_AT_ONCE {
                break;
            }
            count += 1;
            last = Some(if topic.is_none() { in_topic } else { of_group }.clone());
            let queues = self.topics.get_mut(in_topic).and_then(|groups| groups.get_mut(of_group));
            let Some(queues) = queues else { continue };
            queues.dirty = queues.offsets.keys().copied().collect();
            marked += queues.dirty.len();
            if !queues.dirty.is_empty() {
                self.dirty.insert((in_topic.clone(), of_group.clone()));
            }
        }
        last.filter(|_| count == most || count < entries.len())
    }

    /// Topics and groups together that have changes since the last [`OffsetTable::take_dirty`].
    pub fn dirty_len(&self) -> usize {
        self.dirty.len()
    }

    /// Carries out a persisted change: offsets become known and are not dirty; a removal takes
    /// them away. Other changes are none of this table's business.
    pub fn apply(&mut self, change: &MetaChange) {
        match change {
            MetaChange::Offsets { topic, group, offsets } => {
                let queues = self.entry(topic, group);
                let before = queues.offsets.len();
                queues.offsets.extend(offsets.iter().copied());
                let added = queues.offsets.len() - before;
                self.count += added;
                self.bytes += added * OFFSET_BYTES;
            }
            MetaChange::OffsetsDelete { topic, group } => {
                self.remove(topic.as_deref(), group.as_deref(), usize::MAX);
            }
            _ => {}
        }
    }

    /// How many offsets the table has.
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Forgets all offsets of a topic, of a group, or of both together; nothing named forgets
    /// nothing. At most those of `most` groups in a topic, such as [`ENTRIES_AT_ONCE_MAX`]: false
    /// if there are more.
    pub fn remove(&mut self, topic: Option<&str>, group: Option<&str>, most: usize) -> bool {
        let entries = self.entries(topic, group, "", most);
        let all = entries.len() < most;
        let mut removed = 0;
        for (topic, group) in entries {
            if removed >= OFFSETS_AT_ONCE && most < usize::MAX {
                return false;
            }
            let Some(groups) = self.topics.get_mut(&topic) else { continue };
            if let Some(queues) = groups.remove(&group) {
                removed += queues.offsets.len();
                self.count -= queues.offsets.len();
                self.bytes -= names_bytes(&topic, &group) + queues.offsets.len() * OFFSET_BYTES;
            }
            if groups.is_empty() {
                self.topics.remove(&topic);
                self.bytes -= TOPIC_BYTES;
            }
            self.by_group.remove(&(group.clone(), topic.clone()));
            self.dirty.remove(&(topic, group));
        }
        all
    }

    /// Topic and group of at most `most` entries of a topic, of a group, or of both together: those
    /// behind a name of the other kind.
    fn entries(
        &self,
        topic: Option<&str>,
        group: Option<&str>,
        after: &str,
        most: usize,
    ) -> Vec<(Arc<str>, Arc<str>)> {
        let both = |topic: &Arc<str>, group: &Arc<str>| (topic.clone(), group.clone());
        match (topic, group) {
            (None, None) => Vec::new(),
            (Some(topic), None) => {
                let groups = self.groups_of_topic(topic, after).take(most);
                let topic: Arc<str> = Arc::from(topic);
                groups.map(|group| both(&topic, group)).collect()
            }
            (None, Some(group)) => {
                let topics = self.topics_of_group(group, after).take(most);
                let group: Arc<str> = Arc::from(group);
                topics.map(|topic| both(topic, &group)).collect()
            }
            (Some(topic), Some(group)) => {
                let entry = after.is_empty() && self.queues(topic, group).is_some();
                entry.then(|| (Arc::from(topic), Arc::from(group))).into_iter().collect()
            }
        }
    }

    /// What the table takes more with an entry for the group in the topic, in bytes.
    fn names_missing(&self, topic: &str, group: &str) -> usize {
        match self.topics.get(topic) {
            None => TOPIC_BYTES + names_bytes(topic, group),
            Some(groups) if groups.contains_key(group) => 0,
            Some(_) => names_bytes(topic, group),
        }
    }

    fn entry(&mut self, topic: &str, group: &str) -> &mut Queues {
        if self.queues(topic, group).is_none() {
            let (topic, group): (Arc<str>, Arc<str>) = (Arc::from(topic), Arc::from(group));
            self.bytes += self.names_missing(&topic, &group);
            self.by_group.insert((group.clone(), topic.clone()));
            self.topics.entry(topic).or_default().insert(group, Queues::default());
        }
        let groups = self.topics.get_mut(topic);
        groups.and_then(|groups| groups.get_mut(group)).expect("inserted above")
    }
}

/// What a topic takes in the table, about, in bytes: the smallest map of groups has room for 11.
const TOPIC_BYTES: usize = 704;

/// What a topic and a group take together in the table, about, in bytes: the names there, the
/// smallest map of queues, and the maps with what changed and with the topics of each group.
fn names_bytes(topic: &str, group: &str) -> usize {
    2 * (topic.len() + group.len()) + 448
}

#[cold]
fn full(topic: &str, group: &str, bytes: usize, most: usize) -> Refusal {
    let remark = format!(
        "the offset of group[{group}] in topic[{topic}] is not stored: the consumer offsets of \
         this shard take {bytes} bytes, at most {most} fit; delete unused groups with \
         their offsets (mqadmin deleteSubGroup -r true)"
    );
    Refusal::new(code::SYSTEM_ERROR, remark)
}

/// The answer to a query of an offset (request code 14).
///
/// `min_offset` is the queue's, `zero_in_memory` whether the message at offset 0 is (or would be)
/// served from memory: a group that starts on a young queue then starts at its beginning.
/// `zero_if_not_found` is the field of RocketMQ 5.
///
/// # Errors
/// Code 22, which makes the client apply its CONSUME_FROM_WHERE.
pub fn answer_query(
    stored: Option<i64>,
    min_offset: i64,
    zero_in_memory: bool,
    zero_if_not_found: Option<bool>,
) -> Result<i64, Refusal> {
    if let Some(offset) = stored {
        return Ok(offset);
    }
    if zero_if_not_found != Some(false) && min_offset <= 0 && zero_in_memory {
        return Ok(0);
    }
    let remark = "Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first";
    Err(Refusal::new(code::QUERY_NOT_FOUND, remark))
}

#[cfg(test)]
mod tests;
