//! What was done with the topics of a shard's queues since the control shard last took it, every
//! few seconds: what nobody uses takes no memory.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
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

/// Groups of all topics together that are counted; others are not until this was taken.
const GROUPS_MAX: usize = 100_000;
/// Groups in a topic of which it is known how far they have pulled.
const PULLED_MAX: usize = 100_000;

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
    /// By queue, up to where it has pulled.
    pulled: Pulled,
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

/// Up to where a group has pulled queues of this shard, by queue.
type Pulled = SmallVec<[(i32, i64); 4]>;
/// Group and topic.
type Pair = (Arc<str>, Arc<str>);

#[derive(Default)]
pub struct Usage {
    /// By the topic's number.
    topics: RefCell<Vec<Option<Box<TopicUsage>>>>,
    /// Those that have something.
    used: RefCell<Vec<u32>>,
    groups: Cell<usize>,
    /// By group and topic, while somebody asks for metrics.
    pulled: RefCell<BTreeMap<Pair, Pulled>>,
}

impl Usage {
    #[inline]
    fn with(&self, topic: &TopicView, count: impl FnOnce(&mut TopicUsage)) {
        let mut topics = self.topics.borrow_mut();
        let index = topic.id as usize;
        match topics.get_mut(index) {
            Some(Some(usage)) => count(usage),
            _ => {
                if topics.len() <= index {
                    topics.resize_with(index + 1, || None);
                }
                let mut usage = Box::new(TopicUsage::new(&topic.topic.name));
                count(&mut usage);
                topics[index] = Some(usage);
                self.used.borrow_mut().push(topic.id);
            }
        }
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

    fn count_group(
        &self,
        topic: &TopicView,
        group: &Arc<str>,
        count: impl FnOnce(&mut GroupUsage),
    ) {
        self.with(topic, |usage| match usage.groups.get_mut(group) {
            Some(known) => count(known),
            None if self.groups.get() < GROUPS_MAX => {
                count(usage.groups.entry(group.clone()).or_default());
                self.groups.set(self.groups.get() + 1);
            }
            None => {}
        });
    }

    /// Takes what was counted since the last time, of so many topics: those of the longest ago.
    fn take(&self, most: usize, keep_pulled: bool) -> Vec<TopicUsage> {
        let mut topics = self.topics.borrow_mut();
        let mut used = self.used.borrow_mut();
        let most = most.min(used.len());
        let some = used.drain(..most).filter_map(|id| topics.get_mut(id as usize)?.take());
        let some: Vec<_> = some.map(|usage| *usage).collect();
        for usage in &some {
            self.groups.set(self.groups.get().saturating_sub(usage.groups.len()));
            if keep_pulled {
                self.note_pulled(usage);
            }
        }
        some
    }

    fn note_pulled(&self, usage: &TopicUsage) {
        let mut all = self.pulled.borrow_mut();
        for (group, used) in usage.groups.iter().filter(|(_, used)| !used.pulled.is_empty()) {
            let key = (group.clone(), usage.name.clone());
            if all.len() >= PULLED_MAX && !all.contains_key(&key) {
                continue;
            }
            let known = all.entry(key).or_default();
            for (queue, next) in &used.pulled {
                match known.iter_mut().find(|(of, _)| of == queue) {
                    Some((_, known)) => *known = *next,
                    None => known.push((*queue, *next)),
                }
            }
        }
    }

    /// Up to where a group has pulled a queue of this shard; `None` if it did not since somebody
    /// asks for metrics.
    pub fn pulled(&self, key: &Pair, queue_id: i32) -> Option<i64> {
        let all = self.pulled.borrow();
        all.get(key)?.iter().find(|(queue, _)| *queue == queue_id).map(|(_, next)| *next)
    }

    /// Forgets how far groups have pulled that `keep` does not know, with their topics.
    pub fn forget_pulled(&self, keep: impl Fn(&str, &str) -> bool) {
        self.pulled.borrow_mut().retain(|(group, topic), _| keep(group, topic));
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
        self.usage.count_group(&pull.topic, &pull.group, |group| {
            group.counts.add(&counts);
            match group.pulled.iter_mut().find(|(queue, _)| *queue == pull.queue_id) {
                Some((_, next)) => *next = next_offset,
                None => group.pulled.push((pull.queue_id, next_offset)),
            }
        });
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
            let keep_pulled = shard.settings.metrics.is_some();
            // Not those that come meanwhile: there may be no end of them.
            let mut left = shard.usage.used.borrow().len();
            let mut all = Vec::with_capacity(left);
            while left > 0 {
                let some = left.min(SLICE_TOPICS);
                all.extend(shard.usage.take(some, keep_pulled));
                left -= some;
                shard.runtime.yield_if_needed().await;
            }
            all
        };
        self.call_all(own).await.into_iter().flatten().collect()
    }
}
