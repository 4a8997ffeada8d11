//! Consumer offsets of the queues of a shard, and how they become durable.

use std::{rc::Rc, sync::Arc, time::Duration};

use ringmq_io::Runtime;
use ringmq_rules::{
    meta::MetaChange,
    offsets::{Commit, ENTRIES_AT_ONCE_MAX, OFFSETS_OF_CHANGE_MAX, OffsetTable},
    refusal::Refusal,
};

use super::Shard;

/// How long the last write of a shard is tried; the control shard waits longer for its end.
const LAST_WRITE_PATIENCE: Duration = Duration::from_secs(5);
const LAST_WRITE_AGAIN: Duration = Duration::from_millis(100);

/// Names that are collected without a pause: some 100 us.
const SLICE_NAMES: usize = 1024;

/// Whose offsets: of the topic, of the group, or of both together.
type TopicAndGroup = (Option<String>, Option<String>);

impl<R: Runtime> Shard<R> {
    /// Stores a consumer offset of a queue of this shard, as it is. Durable within
    /// `flushConsumerOffsetInterval`; [`Shard::check_commit`] says whether that can be promised.
    /// False: it is passed over, for the group was reset since the client had it.
    pub fn commit_offset(
        &self,
        topic: &str,
        group: &str,
        queue_id: i32,
        offset: i64,
    ) -> Result<bool, Refusal> {
        if !self.takes_commit(topic, group, queue_id, offset) {
            tracing::debug!(topic, group, queue_id, offset, "commit from before a reset");
            return Ok(false);
        }
        self.store_offset(topic, group, queue_id, offset).map(|()| true)
    }

    /// The same for one that counts whatever was reset.
    pub fn store_offset(
        &self,
        topic: &str,
        group: &str,
        queue_id: i32,
        offset: i64,
    ) -> Result<(), Refusal> {
        if self.stopping.get() {
            return Err(Refusal::stopping());
        }
        let outcome = self.offsets.borrow_mut().commit(topic, group, queue_id, offset)?;
        if let Commit::WentBack { from } = outcome {
            tracing::debug!(topic, group, queue_id, from, offset, "consumer offset went back");
            // what was pulled behind it is pulled again
            if let Some(topic) = self.topic(topic) {
                self.usage.forget_next_pull(&topic, group, queue_id);
            }
        }
        Ok(())
    }

    /// Whether commits become durable.
    ///
    /// # Errors
    /// The answer to a commit, if they do not.
    pub fn check_commit(&self) -> Result<(), Refusal> {
        self.offset_writes.check(self.runtime.monotonic(), self.settings.offset_flush_interval)
    }

    /// Makes the offsets durable that changed since the last call. What cannot be written stays
    /// changed.
    pub async fn persist_offsets(self: &Rc<Self>) {
        self.offset_resets.borrow_mut().sweep(self.runtime.monotonic());
        let _turn = self.offset_writes.turn().await;
        let mut consumers = Vec::new();
        loop {
            consumers.extend(self.offsets.borrow_mut().take_dirty(OFFSETS_OF_CHANGE_MAX));
            if self.offsets.borrow().dirty_len() == 0 {
                break;
            }
            self.runtime.yield_if_needed().await;
        }
        self.write_offsets(consumers).await;
    }

    /// By whoever has the turn to.
    async fn write_offsets(self: &Rc<Self>, changes: Vec<MetaChange>) {
        let (writes, id) = (&self.offset_writes, self.id.0);
        let outcome = match changes.is_empty() {
            true => Ok(()),
            false => self.persist(changes).await,
        };
        if let Err(not_written) = outcome {
            for change in &not_written.changes {
                self.offsets.borrow_mut().mark_dirty(change);
                self.runtime.yield_if_needed().await;
            }
            writes.failed(id, self.runtime.monotonic(), &not_written);
        } else if self.offsets.borrow().dirty_len() == 0 {
            writes.succeeded(id, self.runtime.monotonic());
        }
    }

    /// The last write of this shard, tried for a while if the disk is in the way.
    pub async fn persist_offsets_at_last(self: &Rc<Self>) {
        let until = self.runtime.monotonic() + LAST_WRITE_PATIENCE;
        loop {
            self.persist_offsets().await;
            if !self.offset_writes.is_failing() {
                return;
            }
            if self.runtime.monotonic() >= until {
                break;
            }
            self.runtime.sleep(LAST_WRITE_AGAIN).await;
        }
        let groups = self.offsets.borrow().dirty_len();
        tracing::error!(
            shard = self.id.0,
            groups,
            "the broker ends with consumer offsets that are not durable: these groups get \
             some messages again"
        );
    }

    /// The next groups with offsets in a topic, on any shard, sorted: those behind a name. None are
    /// left when none are given.
    pub async fn groups_with_offsets(self: &Rc<Self>, topic: &str, after: &str) -> Vec<Arc<str>> {
        let (topic, after): (Arc<str>, Arc<str>) = (Arc::from(topic), Arc::from(after));
        self.names(move |offsets| {
            offsets.groups_of_topic(&topic, &after).take(SLICE_NAMES).cloned().collect()
        })
        .await
    }

    /// The next topics in which a group has offsets, on any shard, sorted: those behind a name.
    /// None are left when none are given.
    pub async fn topics_with_offsets(self: &Rc<Self>, group: &str, after: &str) -> Vec<Arc<str>> {
        let (group, after): (Arc<str>, Arc<str>) = (Arc::from(group), Arc::from(after));
        self.names(move |offsets| {
            offsets.topics_of_group(&group, &after).take(SLICE_NAMES).cloned().collect()
        })
        .await
    }

    /// The next names of all shards, of which `list` gives at most [`SLICE_NAMES`] of one.
    async fn names(
        self: &Rc<Self>,
        list: impl Fn(&OffsetTable) -> Vec<Arc<str>> + Clone + Send + 'static,
    ) -> Vec<Arc<str>> {
        let own = async move |shard: Rc<Self>| list(&shard.offsets.borrow());
        next_names(self.call_all(own).await)
    }

    /// Forgets the consumer offsets of a topic, of a group, or of both together on all shards, in
    /// memory only. What is being written then is durable before this resolves.
    pub async fn forget_offsets(self: &Rc<Self>, (topic, group): TopicAndGroup) {
        let forget = async move |shard: Rc<Self>| {
            let _turn = shard.offset_writes.turn().await;
            let (topic, group) = (topic.as_deref(), group.as_deref());
            shard.offset_resets.borrow_mut().forget(topic, group);
            shard.forget_next_pulls((topic, group)).await;
            while !shard.offsets.borrow_mut().remove(topic, group, ENTRIES_AT_ONCE_MAX) {
                shard.runtime.yield_if_needed().await;
            }
        };
        self.call_all(forget).await;
    }

    /// Has the next write of each shard write all offsets of a topic, of a group, or of both
    /// together.
    pub async fn persist_offsets_again(self: &Rc<Self>, (topic, group): TopicAndGroup) {
        let mark = async move |shard: Rc<Self>| {
            let (topic, group) = (topic.as_deref(), group.as_deref());
            let mut after: Arc<str> = Arc::from("");
            loop {
                let (offsets, most) = (&shard.offsets, ENTRIES_AT_ONCE_MAX);
                let next = offsets.borrow_mut().mark_dirty_behind(topic, group, &after, most);
                let Some(next) = next else { return };
                after = next;
                shard.runtime.yield_if_needed().await;
            }
        };
        self.call_all(mark).await;
    }
}

/// What the next names of several shards, each sorted and at most [`SLICE_NAMES`], are together:
/// as far as no shard can have one in between that it has not given.
fn next_names(all: Vec<Vec<Arc<str>>>) -> Vec<Arc<str>> {
    let full = all.iter().filter(|names| names.len() == SLICE_NAMES);
    let known_to = full.filter_map(|names| names.last()).min().cloned();
    let mut names = all.concat();
    names.retain(|name| known_to.as_ref().is_none_or(|to| name <= to));
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_several_shards_are_joined_without_a_gap() {
        let all = |after: usize, step: usize| -> Vec<Arc<str>> {
            let names = (after..5000).filter(|number| number % step == 0);
            let names = names.map(|number| Arc::from(format!("g{number:04}")));
            names.take(SLICE_NAMES).collect()
        };
        let (mut found, mut after) = (Vec::<Arc<str>>::new(), 0);
        loop {
            let some = next_names(vec![all(after, 2), all(after, 3), Vec::new()]);
            let Some(last) = some.last() else { break };
            after = last[1..].parse::<usize>().expect("a number") + 1;
            found.extend(some);
        }
        let wanted = (0..5000).filter(|number| number % 2 == 0 || number % 3 == 0);
        let wanted: Vec<_> = wanted.map(|number| format!("g{number:04}")).collect();
        assert!(found.iter().map(|name| &**name).eq(wanted.iter().map(String::as_str)));
    }
}
