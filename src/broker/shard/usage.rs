//! What was done with the topics of a shard's queues since the control shard last took it, every
//! few seconds: what nobody uses takes no memory.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
};

use ahash::AHashMap;
use ringmq_io::Runtime;
use ringmq_rules::{message_type::MessageType, stats::Counts};
use smallvec::SmallVec;

use super::{
    Shard,
    buckets::{Sums, bucket_of},
};
use crate::messages::{PullRequest, TopicView};

mod next_pulls;

use self::next_pulls::{NextPulls, NextPullsTable, QUEUE_BYTES};

/// Groups of all topics together that are counted; others are not until this was taken.
const GROUPS_MAX: usize = 100_000;
/// Of the bytes for where next pulls begin, the part for those that wait to be taken.
const UNTAKEN_PART: usize = 8;

/// Upper bounds of the sizes of messages, in bytes. Source: `BrokerMetricsManager`.
pub const SIZE_BOUNDS: [u64; 6] = [1 << 10, 4 << 10, 512 << 10, 1 << 20, 2 << 20, 4 << 20];
/// The same of how long transactions were open, in seconds.
pub const FINISH_BOUNDS_S: [u64; 6] = [5, 60, 600, 3_600, 12 * 3_600, 24 * 3_600];
/// The same of how far ahead messages with a time were sent, in seconds. Source:
/// `DefaultStoreMetricsManager`.
pub const DELAY_BOUNDS_S: [u64; 6] = [60, 600, 3_600, 12 * 3_600, 24 * 3_600, 72 * 3_600];

/// Sizes of messages: their counts are those of the messages, their sum is in bytes.
pub type Sizes = Sums<7>;

/// How transactions ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    pub committed: u64,
    pub rolled_back: u64,
    /// How long those that were committed were open, in seconds.
    pub open_s: Sums<7>,
}

impl Ended {
    pub fn add(&mut self, other: &Ended) {
        self.committed += other.committed;
        self.rolled_back += other.rolled_back;
        self.open_s.add(&other.open_s);
    }
}

/// What a group did in a topic.
#[derive(Debug, Default)]
pub struct GroupUsage {
    pub counts: Counts,
    /// Messages that were given up.
    pub dead: u64,
    next_pulls: NextPulls,
}

#[cfg(test)]
impl GroupUsage {
    pub fn of(counts: &Counts) -> GroupUsage {
        GroupUsage { counts: *counts, ..GroupUsage::default() }
    }
}

/// Of one topic.
#[derive(Debug)]
pub struct TopicUsage {
    pub name: Arc<str>,
    pub puts: Counts,
    /// What producers sent.
    pub sent: SmallVec<[(MessageType, Sizes); 1]>,
    pub groups: AHashMap<Arc<str>, GroupUsage>,
    pub ended: Option<Box<Ended>>,
    /// How far ahead messages with a time were sent, in seconds.
    pub delays_s: Option<Box<Sums<7>>>,
}

impl TopicUsage {
    pub fn new(name: &Arc<str>) -> TopicUsage {
        TopicUsage {
            name: name.clone(),
            puts: Counts::default(),
            sent: SmallVec::new(),
            groups: AHashMap::new(),
            ended: None,
            delays_s: None,
        }
    }
}

type Slots = Vec<Option<(u64, Box<TopicUsage>)>>;

pub struct Usage {
    /// By the topic's slot; with its id, as the slot may have been another topic's.
    topics: RefCell<Slots>,
    /// Slots that have something.
    used: RefCell<Vec<u32>>,
    groups: Cell<usize>,
    /// Those that were taken.
    next_pulls: RefCell<NextPullsTable>,
    /// Queues of groups whose next pulls wait to be taken.
    untaken: Cell<usize>,
    untaken_max: usize,
}

impl Usage {
    /// `next_pulls_bytes`: of where the next pulls of groups begin.
    pub fn with_limit(next_pulls_bytes: usize) -> Usage {
        let untaken_bytes = next_pulls_bytes / UNTAKEN_PART;
        Usage {
            topics: RefCell::default(),
            used: RefCell::default(),
            groups: Cell::default(),
            next_pulls: NextPullsTable::with_limit(next_pulls_bytes - untaken_bytes).into(),
            untaken: Cell::default(),
            untaken_max: untaken_bytes / QUEUE_BYTES,
        }
    }

    /// `None`: the topic is gone, and another one has its slot.
    #[inline]
    fn with<T>(&self, topic: &TopicView, count: impl FnOnce(&mut TopicUsage) -> T) -> Option<T> {
        let mut topics = self.topics.borrow_mut();
        match topics.get_mut(topic.slot as usize) {
            Some(Some((id, usage))) if *id == topic.id => Some(count(usage)),
            Some(Some((id, _))) if *id > topic.id => None,
            _ => {
                let mut usage = Box::new(TopicUsage::new(&topic.topic.name));
                let counted = count(&mut usage);
                self.put(&mut topics, topic, usage);
                Some(counted)
            }
        }
    }

    #[cold]
    fn put(&self, topics: &mut Slots, topic: &TopicView, usage: Box<TopicUsage>) {
        let slot = topic.slot as usize;
        if topics.len() <= slot {
            topics.resize_with(slot + 1, || None);
        }
        match topics[slot].replace((topic.id, usage)) {
            None => self.used.borrow_mut().push(topic.slot),
            // Its topic is gone, and nobody asks for what was done with it.
            Some((_, old)) => self.uncount(&old),
        }
    }

    #[cfg(test)]
    pub fn places(&self) -> usize {
        self.topics.borrow().len()
    }

    /// What the limits count of it is free again.
    fn uncount(&self, usage: &TopicUsage) {
        self.groups.set(self.groups.get().saturating_sub(usage.groups.len()));
        let untaken: usize = usage.groups.values().map(|used| used.next_pulls.len()).sum();
        self.untaken.set(self.untaken.get().saturating_sub(untaken));
    }

    /// The broker itself stored so many messages, which take so many bytes.
    #[inline]
    pub fn count_puts(&self, topic: &TopicView, messages: u64, bytes: u64) {
        self.with(topic, |usage| {
            usage.puts.messages += messages;
            usage.puts.bytes += bytes;
            usage.puts.times += 1;
        });
    }

    /// A send stored so many messages, which take so many bytes.
    #[inline]
    pub fn count_send(&self, topic: &TopicView, kind: MessageType, messages: u64, bytes: u64) {
        self.with(topic, |usage| {
            usage.puts.messages += messages;
            usage.puts.bytes += bytes;
            usage.puts.times += 1;
            let size = if messages == 1 { bytes } else { bytes / messages.max(1) };
            let bucket = bucket_of(&SIZE_BOUNDS, size);
            match usage.sent.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, sizes)) => sizes.count(bucket, messages, bytes),
                None => {
                    let mut sizes = Sizes::default();
                    sizes.count(bucket, messages, bytes);
                    usage.sent.push((kind, sizes));
                }
            }
        });
    }

    /// `None`: it is not counted.
    fn count_group<T>(
        &self,
        topic: &TopicView,
        group: &Arc<str>,
        count: impl FnOnce(&mut GroupUsage) -> T,
    ) -> Option<T> {
        self.with(topic, |usage| match usage.groups.get_mut(group) {
            Some(known) => Some(count(known)),
            None if self.groups.get() < GROUPS_MAX => {
                self.groups.set(self.groups.get() + 1);
                Some(count(usage.groups.entry(group.clone()).or_default()))
            }
            None => None,
        })
        .flatten()
    }

    /// A group has pulled from a queue, where its next pull begins at `next`. Allocates nothing for
    /// queues that it has pulled from since the last time.
    fn count_pull(
        &self,
        (topic, group): (&TopicView, &Arc<str>),
        counts: &Counts,
        (queue, next): (i32, i64),
    ) {
        let noted = self.count_group(topic, group, |used| {
            used.counts.add(counts);
            if used.next_pulls.update(queue, next) {
                return true;
            }
            let untaken = self.untaken.get();
            let has_room = untaken < self.untaken_max;
            if has_room {
                used.next_pulls.insert(queue, next);
                self.untaken.set(untaken + 1);
            }
            has_room
        });
        if noted != Some(true) {
            let pair = (group.clone(), topic.topic.name.clone());
            self.next_pulls.borrow_mut().put(pair, queue, next);
        }
    }

    /// Takes what was counted since the last time, of so many topics: those of the longest ago.
    /// `is_there`: whether there are such a group and such a topic still.
    fn take(&self, most: usize, is_there: impl Fn(&str, &str) -> bool) -> Vec<TopicUsage> {
        let mut topics = self.topics.borrow_mut();
        let mut used = self.used.borrow_mut();
        let most = most.min(used.len());
        let some = used.drain(..most).filter_map(|slot| topics.get_mut(slot as usize)?.take());
        let some: Vec<_> = some.map(|(_, usage)| *usage).collect();
        let mut next_pulls = self.next_pulls.borrow_mut();
        for usage in &some {
            self.uncount(usage);
            for (group, used) in usage.groups.iter().filter(|(_, used)| !used.next_pulls.is_empty())
            {
                if is_there(group, &usage.name) {
                    for (queue, next) in used.next_pulls.iter() {
                        next_pulls.put((group.clone(), usage.name.clone()), queue, next);
                    }
                }
            }
        }
        some
    }
}

/// Topics that are taken without a pause: some 100 us.
const SLICE_TOPICS: usize = 256;

impl<R: Runtime> Shard<R> {
    /// A pull is answered with messages, after so many milliseconds; the next one begins there.
    pub fn count_pull(
        &self,
        pull: &PullRequest,
        (messages, bytes): (usize, usize),
        ms: u64,
        next_offset: i64,
    ) {
        self.pull_counts.count(messages);
        let (messages, bytes) = (messages as u64, bytes as u64);
        let counts = Counts { messages, bytes, times: 1, latency_ms: ms, sent_back: 0 };
        self.usage.count_pull((&pull.topic, &pull.group), &counts, (pull.queue_id, next_offset));
    }

    /// A consumer sent a message of a topic back.
    pub fn count_sent_back(&self, topic: &str, group: &Arc<str>, is_dead: bool) {
        if let Some(topic) = self.topic(topic) {
            self.usage.count_group(&topic, group, |group| {
                group.counts.sent_back += 1;
                group.dead += u64::from(is_dead);
            });
        }
    }

    /// A consumer sent a message to be given up.
    pub fn count_dead(&self, topic: &str, group: &Arc<str>) {
        if let Some(topic) = self.topic(topic) {
            self.usage.count_group(&topic, group, |group| group.dead += 1);
        }
    }

    /// A transaction of a topic has ended; it was open for so many seconds.
    pub fn count_ended(&self, topic: &str, is_committed: bool, open_s: u64) {
        let Some(topic) = self.topic(topic) else {
            return;
        };
        self.usage.with(&topic, |usage| {
            let ended = usage.ended.get_or_insert_default();
            if is_committed {
                ended.committed += 1;
                ended.open_s.count(bucket_of(&FINISH_BOUNDS_S, open_s), 1, open_s);
            } else {
                ended.rolled_back += 1;
            }
        });
    }

    /// A message of a topic is kept back for so many seconds.
    pub fn count_delayed(&self, topic: &str, delay_s: u64) {
        if let Some(topic) = self.topic(topic) {
            self.usage.with(&topic, |usage| {
                let delays = usage.delays_s.get_or_insert_default();
                delays.count(bucket_of(&DELAY_BOUNDS_S, delay_s), 1, delay_s);
            });
        }
    }

    /// What all shards have counted since the last time.
    pub async fn take_usage(self: &Rc<Self>) -> Vec<TopicUsage> {
        let own = async |shard: Rc<Self>| {
            let is_there = |group: &str, topic: &str| {
                let view = shard.view.borrow();
                view.groups.contains_key(group) && view.topics.contains_key(topic)
            };
            // Not those that come meanwhile: there may be no end of them.
            let mut left = shard.usage.used.borrow().len();
            let mut all = Vec::with_capacity(left);
            while left > 0 {
                let some = left.min(SLICE_TOPICS);
                all.extend(shard.usage.take(some, is_there));
                left -= some;
                shard.runtime.yield_if_needed().await;
            }
            all
        };
        self.call_all(own).await.into_iter().flatten().collect()
    }
}
