//! Consumer offsets: how far each group has got in each queue, and which of it is not yet durable.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ahash::AHashMap;

use super::{
    limits::OFFSETS_MAX,
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

/// What became of a committed offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    Stored,
    /// Stored as well, but the group was further already: worth a line in the log.
    WentBack {
        from: i64,
    },
}

/// Consumer offsets by topic, group and queue. A commit to a known queue allocates nothing.
#[derive(Debug, Default)]
pub struct OffsetTable {
    topics: AHashMap<Arc<str>, AHashMap<Arc<str>, Queues>>,
    /// Topic and group of every entry with dirty queues.
    dirty: BTreeSet<(Arc<str>, Arc<str>)>,
    count: usize,
}

impl OffsetTable {
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
        if self.count >= OFFSETS_MAX {
            return Err(full(topic, group));
        }
        let queues = self.entry(topic, group);
        queues.offsets.insert(queue_id, offset);
        let first = queues.dirty.is_empty();
        queues.dirty.insert(queue_id);
        self.count += 1;
        if first {
            self.dirty.insert((Arc::from(topic), Arc::from(group)));
        }
        Ok(Commit::Stored)
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

    /// Groups with offsets in the topic, sorted.
    pub fn groups_of_topic(&self, topic: &str) -> Vec<Arc<str>> {
        let mut groups: Vec<_> =
            self.topics.get(topic).into_iter().flat_map(|groups| groups.keys().cloned()).collect();
        groups.sort_unstable();
        groups
    }

    /// Topics that the group has offsets in, sorted.
    pub fn topics_of_group(&self, group: &str) -> Vec<Arc<str>> {
        let topics = self.topics.iter().filter(|(_, groups)| groups.contains_key(group));
        let mut topics: Vec<_> = topics.map(|(topic, _)| topic.clone()).collect();
        topics.sort_unstable();
        topics
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

    /// Marks all offsets of a topic, of a group, or of both together as changed.
    pub fn mark_all_dirty(&mut self, topic: Option<&str>, group: Option<&str>) {
        let wanted = |wanted: Option<&str>, name: &str| wanted.is_none_or(|wanted| wanted == name);
        for (name, groups) in self.topics.iter_mut().filter(|(name, _)| wanted(topic, name)) {
            for (of, queues) in groups.iter_mut().filter(|(of, _)| wanted(group, of)) {
                if queues.dirty.is_empty() && !queues.offsets.is_empty() {
                    self.dirty.insert((name.clone(), of.clone()));
                }
                queues.dirty = queues.offsets.keys().copied().collect();
            }
        }
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
            }
            MetaChange::OffsetsDelete { topic, group } => {
                self.remove(topic.as_deref(), group.as_deref());
            }
            _ => {}
        }
    }

    /// All offsets, sorted.
    pub fn snapshot(&self) -> Vec<MetaChange> {
        let mut all: Vec<_> = self
            .topics
            .iter()
            .flat_map(|(topic, groups)| groups.iter().map(move |entry| (topic, entry)))
            .filter(|(_, (_, queues))| !queues.offsets.is_empty())
            .collect();
        all.sort_unstable_by_key(|(topic, (group, _))| (*topic, *group));
        let change = |(topic, (group, queues)): (&Arc<str>, (&Arc<str>, &Queues))| {
            let offsets = queues.offsets.iter().map(|(queue, offset)| (*queue, *offset)).collect();
            MetaChange::Offsets { topic: topic.clone(), group: group.clone(), offsets }
        };
        all.into_iter().map(change).collect()
    }

    /// How many offsets the table has.
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn entry(&mut self, topic: &str, group: &str) -> &mut Queues {
        if !self.topics.contains_key(topic) {
            self.topics.insert(Arc::from(topic), AHashMap::new());
        }
        let groups = self.topics.get_mut(topic).expect("inserted above");
        if !groups.contains_key(group) {
            groups.insert(Arc::from(group), Queues::default());
        }
        groups.get_mut(group).expect("inserted above")
    }

    /// Nothing named removes nothing.
    fn remove(&mut self, topic: Option<&str>, group: Option<&str>) {
        if topic.is_none() && group.is_none() {
            return;
        }
        self.topics.retain(|name, groups| {
            if topic.is_none_or(|topic| topic == &**name) {
                groups.retain(|name, _| group.is_some_and(|group| group != &**name));
            }
            !groups.is_empty()
        });
        let queues = self.topics.values().flat_map(|groups| groups.values());
        self.count = queues.map(|queues| queues.offsets.len()).sum();
        // A queue that comes back must be listed again, so the list must not keep gone entries.
        let topics = &self.topics;
        self.dirty.retain(|(topic, group)| {
            topics.get(topic).is_some_and(|groups| groups.contains_key(group))
        });
    }
}

#[cold]
fn full(topic: &str, group: &str) -> Refusal {
    let remark = format!(
        "the offset of group[{group}] in topic[{topic}] is not stored: the broker has \
         {OFFSETS_MAX} consumer offsets, the most it may have; delete unused groups with their \
         offsets (mqadmin deleteSubGroup -r true)"
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
