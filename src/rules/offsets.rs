//! Consumer offsets: how far each group has got in each queue, and which of it is not yet durable.

use std::{collections::BTreeMap, sync::Arc};

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
    dirty: Vec<i32>,
}

/// Offsets of one change: its record stays far below the largest that the metadata log takes.
pub const OFFSETS_OF_CHANGE_MAX: usize = 65_536;

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
    dirty: Vec<(Arc<str>, Arc<str>)>,
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
            if from != offset && !queues.dirty.contains(&queue_id) {
                if queues.dirty.is_empty() {
                    self.dirty.push((Arc::from(topic), Arc::from(group)));
                }
                queues.dirty.push(queue_id);
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
        queues.dirty.push(queue_id);
        let first = queues.dirty.len() == 1;
        self.count += 1;
        if first {
            self.dirty.push((Arc::from(topic), Arc::from(group)));
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

    /// What changed since the last call, for the caller to make durable; sorted, and no change has
    /// more than [`OFFSETS_OF_CHANGE_MAX`] offsets. What cannot be made durable has to come back
    /// by [`OffsetTable::mark_dirty`].
    pub fn take_dirty(&mut self) -> Vec<MetaChange> {
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.sort_unstable();
        let mut changes = Vec::with_capacity(dirty.len());
        for (topic, group) in dirty {
            let queues = self.topics.get_mut(&topic).and_then(|groups| groups.get_mut(&group));
            let Some(queues) = queues else { continue };
            let mut ids = std::mem::take(&mut queues.dirty);
            ids.sort_unstable();
            let offsets: Vec<_> = ids
                .into_iter()
                .filter_map(|id| queues.offsets.get(&id).map(|offset| (id, *offset)))
                .collect();
            changes.extend(offsets.chunks(OFFSETS_OF_CHANGE_MAX).map(|offsets| {
                let (topic, group) = (topic.clone(), group.clone());
                MetaChange::Offsets { topic, group, offsets: offsets.to_vec() }
            }));
        }
        changes
    }

    /// Takes back what [`OffsetTable::take_dirty`] gave and could not be made durable: the next
    /// call gives what these queues have then. Those that are gone meanwhile stay gone.
    pub fn mark_dirty(&mut self, changes: &[MetaChange]) {
        for change in changes {
            let MetaChange::Offsets { topic, group, offsets } = change else { continue };
            let queues = self.topics.get_mut(topic).and_then(|groups| groups.get_mut(group));
            let Some(queues) = queues else { continue };
            let was_clean = queues.dirty.is_empty();
            let still_there = offsets.iter().filter(|(id, _)| queues.offsets.contains_key(id));
            queues.dirty.extend(still_there.map(|(id, _)| *id));
            queues.dirty.sort_unstable();
            queues.dirty.dedup();
            if was_clean && !queues.dirty.is_empty() {
                self.dirty.push((topic.clone(), group.clone()));
            }
        }
    }

    /// Marks all offsets of a topic, of a group, or of both together as changed.
    pub fn mark_all_dirty(&mut self, topic: Option<&str>, group: Option<&str>) {
        let wanted = |wanted: Option<&str>, name: &str| wanted.is_none_or(|wanted| wanted == name);
        for (name, groups) in self.topics.iter_mut().filter(|(name, _)| wanted(topic, name)) {
            for (of, queues) in groups.iter_mut().filter(|(of, _)| wanted(group, of)) {
                if queues.dirty.is_empty() && !queues.offsets.is_empty() {
                    self.dirty.push((name.clone(), of.clone()));
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
mod tests {
    use super::*;

    fn offsets(topic: &str, group: &str, offsets: &[(i32, i64)]) -> MetaChange {
        MetaChange::Offsets { topic: topic.into(), group: group.into(), offsets: offsets.to_vec() }
    }

    #[test]
    fn only_what_changed_is_persisted_and_only_once() {
        let mut table = OffsetTable::default();
        for (queue, offset) in [(1, 5), (0, 7), (1, 6)] {
            assert_eq!(table.commit("t", "g", queue, offset), Ok(Commit::Stored));
        }
        table.commit("a", "g", 0, 1).expect("room");
        let all = [offsets("a", "g", &[(0, 1)]), offsets("t", "g", &[(0, 7), (1, 6)])];
        assert_eq!(table.take_dirty(), all);
        assert_eq!(table.take_dirty(), []);
        assert_eq!(table.commit("t", "g", 1, 6), Ok(Commit::Stored));
        assert_eq!(table.take_dirty(), []);
        assert_eq!(table.commit("t", "g", 1, 2), Ok(Commit::WentBack { from: 6 }));
        assert_eq!(table.take_dirty(), [offsets("t", "g", &[(1, 2)])]);
        assert_eq!(table.len(), 3);
    }

    #[test]
    fn what_was_not_made_durable_is_given_again_as_it_is_then() {
        let mut table = OffsetTable::default();
        for (topic, group, queue) in [("t", "g", 0), ("t", "g", 1), ("u", "g", 0)] {
            table.commit(topic, group, queue, 5).expect("room");
        }
        let failed = table.take_dirty();
        assert_eq!((failed.len(), table.dirty_len()), (2, 0));
        table.commit("t", "g", 1, 6).expect("room");
        table.apply(&MetaChange::OffsetsDelete { topic: Some("u".into()), group: None });
        table.mark_dirty(&failed);
        table.mark_dirty(&failed);
        assert_eq!(table.take_dirty(), [offsets("t", "g", &[(0, 5), (1, 6)])]);
        assert!(table.take_dirty().is_empty() && table.topics_of_group("g") == ["t".into()]);
    }

    #[test]
    fn all_of_a_topic_or_of_a_group_can_be_written_again() {
        let mut table = OffsetTable::default();
        for (topic, group) in [("t", "g"), ("t", "h"), ("u", "g")] {
            table.commit(topic, group, 3, 1).expect("room");
        }
        table.take_dirty();
        table.commit("t", "g", 4, 1).expect("room");
        table.mark_all_dirty(Some("t"), None);
        let of_topic = [offsets("t", "g", &[(3, 1), (4, 1)]), offsets("t", "h", &[(3, 1)])];
        assert_eq!(table.take_dirty(), of_topic);
        table.mark_all_dirty(None, Some("g"));
        let of_group = [offsets("t", "g", &[(3, 1), (4, 1)]), offsets("u", "g", &[(3, 1)])];
        assert_eq!(table.take_dirty(), of_group);
    }

    /// D2: queue ids are numbers of the client's choice, so one group can have very many.
    #[test]
    fn no_change_has_more_offsets_than_fit_a_record() {
        let mut table = OffsetTable::default();
        let count = OFFSETS_OF_CHANGE_MAX as i32 + 1;
        for queue in 0..count {
            table.commit("t", "g", queue, i64::MAX).expect("room");
        }
        let sizes = |changes: &[MetaChange]| -> Vec<usize> {
            changes.iter().map(|change| serde_json::to_vec(change).expect("JSON").len()).collect()
        };
        let changes = table.take_dirty();
        assert_eq!(changes.len(), 2);
        assert!(sizes(&changes).iter().all(|size| *size < 4 << 20), "{:?}", sizes(&changes));
        table.mark_dirty(&changes);
        assert_eq!(table.take_dirty(), changes);
    }

    #[test]
    fn offsets_under_names_that_no_topic_or_group_has_are_refused() {
        let mut table = OffsetTable::default();
        let long = "x".repeat(3 << 20);
        for (topic, group) in [("t\u{2}", "g"), ("t", "g\n"), (&*long, "g"), ("t", &*long)] {
            let refusal = table.commit(topic, group, 0, 1).expect_err("not a name");
            assert!(refusal.remark.len() < 300, "{}", refusal.remark);
        }
        assert!(table.is_empty() && table.take_dirty().is_empty());
        let retry = ["%RETRY%", &"g".repeat(255)].concat();
        assert_eq!(table.commit(&retry, &"g".repeat(255), 0, 1), Ok(Commit::Stored));
    }

    #[test]
    fn a_snapshot_restores_the_table() {
        let mut table = OffsetTable::default();
        table.commit("t", "g", 0, 7).expect("room");
        table.commit("%RETRY%g", "g", 0, -1).expect("room");
        let mut again = OffsetTable::default();
        table.snapshot().iter().for_each(|change| again.apply(change));
        assert_eq!(again.snapshot(), table.snapshot());
        assert_eq!(again.take_dirty(), []);
        assert_eq!(again.query("t", "g", 0), Some(7));
        assert_eq!(again.query("%RETRY%g", "g", 0), None);
        assert_eq!(again.len(), 2);
    }

    #[test]
    fn offsets_go_with_their_topic_or_group() {
        let mut table = OffsetTable::default();
        for (topic, group) in [("t", "g"), ("t", "h"), ("u", "g"), ("u", "h")] {
            table.commit(topic, group, 0, 1).expect("room");
        }
        table.apply(&MetaChange::OffsetsDelete { topic: Some("t".into()), group: None });
        assert!(table.groups_of_topic("t").is_empty());
        table.apply(&MetaChange::OffsetsDelete { topic: None, group: Some("g".into()) });
        assert!(table.topics_of_group("g").is_empty());
        assert_eq!(table.groups_of_topic("u"), [Arc::from("h")]);
        table.apply(&MetaChange::OffsetsDelete { topic: None, group: None });
        assert_eq!(table.len(), 1);
        table.commit("t", "g", 0, 9).expect("room");
        let dirty = table.take_dirty();
        assert_eq!(dirty, [offsets("t", "g", &[(0, 9)]), offsets("u", "h", &[(0, 1)])]);
    }

    #[test]
    fn an_unknown_offset_is_zero_only_on_a_young_queue() {
        assert_eq!(answer_query(Some(3), 9, false, None), Ok(3));
        assert_eq!(answer_query(None, 0, true, None), Ok(0));
        for (min, in_memory, zero) in [(5, true, None), (0, false, None), (0, true, Some(false))] {
            let refusal = answer_query(None, min, in_memory, zero).expect_err("not found");
            assert_eq!(refusal.code, code::QUERY_NOT_FOUND);
        }
    }
}
