//! All metadata of a master as a broker that copies it has received it, and the changes that make
//! its own the same: what the master does not have goes, what differs is written anew.

use std::{cell::RefCell, collections::BTreeMap, ops::Bound, rc::Rc, sync::Arc};

use ringmq_io::Runtime;
use ringmq_remoting::body::MessageQueue;
use ringmq_rules::{
    groups::SubscriptionGroupTable,
    locks::{QueueLocks, SweptTo},
    meta::MetaChange,
    offsets::{ListedTo, OFFSETS_OF_CHANGE_MAX, OffsetTable},
    timer::wheel::Frontier,
    topics::{Topic, TopicTable},
};

use crate::{
    control::{Control, topic_settings},
    shard::control_plane::NotWritten,
};

/// Entries that are compared without a pause: some 100 us.
const SLICE: usize = 256;

/// The metadata of another broker.
pub struct Others {
    topics: TopicTable,
    groups: SubscriptionGroupTable,
    offsets: OffsetTable,
    locks: QueueLocks<MessageQueue>,
    delay_offsets: BTreeMap<i32, i64>,
    transactions: BTreeMap<u16, MetaChange>,
    timer_frontiers: BTreeMap<i32, Frontier>,
}

impl Others {
    /// Of a broker without any: to be filled from a snapshot.
    pub fn new<R: Runtime>(control: &Control<R>) -> Others {
        let (settings, logs) = (&control.shard.settings, control.shard.queues.log_count());
        Others {
            topics: TopicTable::new(topic_settings(settings, logs)),
            groups: SubscriptionGroupTable::new(false),
            offsets: OffsetTable::with_limit(usize::MAX),
            locks: QueueLocks::with_limit(usize::MAX),
            delay_offsets: BTreeMap::new(),
            transactions: BTreeMap::new(),
            timer_frontiers: BTreeMap::new(),
        }
    }

    pub fn apply(&mut self, change: &MetaChange) {
        match change {
            MetaChange::DelayOffset { level, offset } => {
                self.delay_offsets.insert(*level, *offset);
            }
            MetaChange::Transactions { log, .. } => {
                self.transactions.insert(*log, change.clone());
            }
            MetaChange::TimerFrontier { queue, frontier } => {
                self.timer_frontiers.insert(*queue, *frontier);
            }
            MetaChange::Keys { .. } => {}
            change => {
                self.topics.apply(change);
                self.groups.apply(change);
                self.offsets.apply(change);
                self.locks.restore(change, 0);
            }
        }
    }
}

type Outcome = Result<(), NotWritten>;

impl<R: Runtime> Control<R> {
    /// Has the own metadata be that of another broker: durable, and in effect on all shards, when
    /// resolved.
    ///
    /// # Errors
    /// If the metadata log does not take a change; part of it has been taken over then.
    pub async fn become_like(self: &Rc<Self>, others: &Others) -> Outcome {
        self.drop_topics(others).await?;
        self.bury_topics(others).await?;
        self.put_topics(others).await?;
        self.take_groups(others).await?;
        self.drop_offsets(others).await?;
        self.put_offsets(others).await?;
        self.take_locks(others).await?;
        self.take_cursors(others).await
    }

    async fn take_some(self: &Rc<Self>, changes: &[MetaChange]) -> Outcome {
        if !changes.is_empty() {
            self.take_copied(changes).await?;
        }
        self.shard.runtime.yield_if_needed().await;
        Ok(())
    }

    /// Topics that the other never had, or that had no message when they were deleted there.
    async fn drop_topics(self: &Rc<Self>, others: &Others) -> Outcome {
        let version = others.topics.version();
        let mut after: Option<Arc<str>> = None;
        loop {
            let some: Vec<_> = {
                let tables = self.tables.borrow();
                tables.topics.iter_from(behind(&after)).take(SLICE).cloned().collect()
            };
            let Some(last) = some.last() else { return Ok(()) };
            after = Some(last.name.clone());
            let gone = some.iter().filter(|topic| {
                let there = others.topics.get(&topic.name);
                there.is_none() && others.topics.deleted_topic(&topic.name).is_none()
            });
            let delete = |topic: &Arc<Topic>| MetaChange::TopicDelete {
                topic: topic.name.clone(),
                version,
                first_log: Some(topic.first_log),
                ends: Vec::new(),
            };
            let changes: Vec<_> = gone.map(delete).collect();
            self.take_some(&changes).await?;
        }
    }

    /// Topics that were deleted there, with the ends of their queues.
    async fn bury_topics(self: &Rc<Self>, others: &Others) -> Outcome {
        for change in others.topics.deletions_from(Bound::Unbounded) {
            let MetaChange::TopicDelete { topic, .. } = &change else { continue };
            let is_known = {
                let own = &self.tables.borrow().topics;
                let is_buried = own.deleted_topic(topic) == others.topics.deleted_topic(topic);
                is_buried && (others.topics.get(topic).is_some() || own.get(topic).is_none())
            };
            let changes = [change];
            let changes = if is_known { &[] } else { &changes[..] };
            self.take_some(changes).await?;
        }
        Ok(())
    }

    async fn put_topics(self: &Rc<Self>, others: &Others) -> Outcome {
        let mut puts = others.topics.puts_from(Bound::Unbounded).peekable();
        while puts.peek().is_some() {
            let some = puts.by_ref().take(SLICE);
            let differs = |change: &MetaChange| match change {
                MetaChange::TopicPut { topic, .. } => {
                    let tables = self.tables.borrow();
                    tables.topics.get(&topic.name).is_none_or(|own| **own != *topic)
                }
                _ => false,
            };
            let changes: Vec<_> = some.filter(differs).collect();
            self.take_some(&changes).await?;
        }
        let is_same = self.tables.borrow().topics.version() == others.topics.version();
        let again = others.topics.puts_from(Bound::Unbounded).next().filter(|_| !is_same);
        self.take_some(again.as_slice()).await
    }

    async fn take_groups(self: &Rc<Self>, others: &Others) -> Outcome {
        let version = others.groups.version();
        let mut after: Option<Arc<str>> = None;
        loop {
            let some: Vec<Arc<str>> = {
                let tables = self.tables.borrow();
                let groups = tables.groups.iter_from(behind(&after)).take(SLICE);
                groups.map(|group| group.name.clone()).collect()
            };
            let Some(last) = some.last() else { break };
            after = Some(last.clone());
            let gone = some.into_iter().filter(|name| others.groups.get(name).is_none());
            let changes: Vec<_> =
                gone.map(|group| MetaChange::GroupDelete { group, version }).collect();
            self.take_some(&changes).await?;
        }
        let mut puts = others.groups.puts_from(Bound::Unbounded).peekable();
        while puts.peek().is_some() {
            let some = puts.by_ref().take(SLICE);
            let differs = |change: &MetaChange| match change {
                MetaChange::GroupPut { group, .. } => {
                    let tables = self.tables.borrow();
                    tables.groups.get(&group.name).is_none_or(|own| **own != *group)
                }
                _ => false,
            };
            let changes: Vec<_> = some.filter(differs).collect();
            self.take_some(&changes).await?;
        }
        let is_same = self.tables.borrow().groups.version() == version;
        let again = others.groups.puts_from(Bound::Unbounded).next().filter(|_| !is_same);
        self.take_some(again.as_slice()).await
    }

    /// Offsets of a group in a topic go as a whole: where one of a queue is too much, all are
    /// written anew behind this.
    async fn drop_offsets(self: &Rc<Self>, others: &Others) -> Outcome {
        let mut to = ListedTo::default();
        let mut dropped: Option<(Arc<str>, Arc<str>)> = None;
        loop {
            let own = &self.metadata.offsets;
            let some = own.borrow().list(None, &mut to, OFFSETS_OF_CHANGE_MAX);
            if some.is_empty() {
                return Ok(());
            }
            let mut changes = Vec::new();
            for change in some {
                let MetaChange::Offsets { topic, group, offsets } = change else { continue };
                let there = others.offsets.queues(&topic, &group);
                let is_kept = |queue: &i32| there.is_some_and(|there| there.contains_key(queue));
                let which = Some((topic.clone(), group.clone()));
                if dropped != which && !offsets.iter().all(|(queue, _)| is_kept(queue)) {
                    dropped = which;
                    let (topic, group) = (Some(topic.to_string()), Some(group.to_string()));
                    changes.push(MetaChange::OffsetsDelete { topic, group });
                }
            }
            self.take_some(&changes).await?;
        }
    }

    async fn put_offsets(self: &Rc<Self>, others: &Others) -> Outcome {
        let mut to = ListedTo::default();
        loop {
            let some = others.offsets.list(None, &mut to, OFFSETS_OF_CHANGE_MAX);
            if some.is_empty() {
                return Ok(());
            }
            let differing = |change| differing_offsets(&self.metadata.offsets, change);
            let changes: Vec<_> = some.into_iter().filter_map(differing).collect();
            self.take_some(&changes).await?;
        }
    }

    async fn take_locks(self: &Rc<Self>, others: &Others) -> Outcome {
        for free in [true, false] {
            let mut to = SweptTo::default();
            loop {
                let (all, changes): (usize, Vec<_>) = {
                    let own = &self.tables.borrow().locks;
                    let (from, with) =
                        if free { (own, &others.locks) } else { (&others.locks, own) };
                    let some = from.list(&mut to, SLICE);
                    let missing = |change| QueueLocks::missing(change, with, free);
                    (some.len(), some.iter().filter_map(missing).collect())
                };
                if all == 0 {
                    break;
                }
                self.take_some(&changes).await?;
            }
        }
        Ok(())
    }

    async fn take_cursors(self: &Rc<Self>, others: &Others) -> Outcome {
        let delays = others.delay_offsets.iter();
        let delays = delays.map(|(level, offset)| (*level, *offset));
        let delays = delays.map(|(level, offset)| MetaChange::DelayOffset { level, offset });
        let timers = others.timer_frontiers.iter();
        let timers = timers.map(|(queue, frontier)| MetaChange::TimerFrontier {
            queue: *queue,
            frontier: *frontier,
        });
        let all = delays.chain(timers).chain(others.transactions.values().cloned());
        let own: Vec<MetaChange> = self.metadata.own_cursors().collect();
        let changes: Vec<_> = all.filter(|change| !own.contains(change)).collect();
        self.take_some(&changes).await
    }
}

/// The offsets of a change that the table has otherwise, or not at all.
fn differing_offsets(table: &RefCell<OffsetTable>, change: MetaChange) -> Option<MetaChange> {
    let MetaChange::Offsets { topic, group, mut offsets } = change else { return None };
    let table = table.borrow();
    let own = table.queues(&topic, &group);
    let known = |queue: &i32| own.and_then(|own| own.get(queue)).copied();
    offsets.retain(|(queue, offset)| known(queue) != Some(*offset));
    (!offsets.is_empty()).then_some(MetaChange::Offsets { topic, group, offsets })
}

fn behind(after: &Option<Arc<str>>) -> Bound<&str> {
    after.as_deref().map_or(Bound::Unbounded, Bound::Excluded)
}
