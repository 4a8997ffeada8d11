//! What producers and groups did with each topic since the start, for metrics: as long as topic and
//! group are there, within a number of series and of bytes.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use ringmq_rules::{
    message_type::MessageType,
    stats::Counts,
    topic::{DLQ_PREFIX, RETRY_PREFIX},
};
use smallvec::SmallVec;

use crate::shard::{
    buckets::Sums,
    usage::{Ended, Sizes, TopicUsage},
};

/// What is known of a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicSeries {
    pub sent: SmallVec<[(MessageType, Sizes); 1]>,
    pub ended: Option<Box<Ended>>,
    /// How far ahead messages with a time were sent, in seconds.
    pub delays_s: Option<Box<Sums<7>>>,
}

/// What a group got of a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupSeries {
    pub messages: u64,
    pub bytes: u64,
    /// Given up.
    pub dead: u64,
}

/// Topic and group.
pub type Pair = (Arc<str>, Arc<str>);

/// What a topic takes besides its name, and besides what it has more than the usual, and a group in
/// a topic; with what maps lose.
const TOPIC_BYTES: usize = 320;
const MORE_BYTES: usize = 128;
const PAIR_BYTES: usize = 128;

pub struct Series {
    topics: BTreeMap<Arc<str>, TopicSeries>,
    pairs: BTreeMap<Pair, GroupSeries>,
    /// Of topics by type of message.
    sent: usize,
    bytes: usize,
    most: usize,
    bytes_max: usize,
    left_out: u64,
    is_told: bool,
}

impl Series {
    /// `most`: of one metric; `bytes_max`: of all.
    pub fn new(most: usize, bytes_max: usize) -> Series {
        Series {
            topics: BTreeMap::new(),
            pairs: BTreeMap::new(),
            sent: 0,
            bytes: 0,
            most,
            bytes_max,
            left_out: 0,
            is_told: false,
        }
    }

    /// How often something was not counted, for there are too many series.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Topics by type of message, and groups by topic.
    pub fn counts(&self) -> (usize, usize) {
        (self.sent, self.pairs.len())
    }

    /// Adds what was counted of a topic. True: some of it was left out.
    pub fn add(&mut self, usage: &TopicUsage) -> bool {
        let before = self.left_out;
        // As in Java, what is delivered again counts once only.
        let is_again = usage.name.starts_with(RETRY_PREFIX) || usage.name.starts_with(DLQ_PREFIX);
        let has_more = usage.ended.is_some() || usage.delays_s.is_some();
        if (!usage.sent.is_empty() || has_more) && !is_again {
            self.add_topic(usage);
        }
        for (group, used) in &usage.groups {
            let Counts { messages, bytes, .. } =
                if is_again { Counts::default() } else { used.counts };
            if messages == 0 && used.dead == 0 {
                continue;
            }
            let key = (usage.name.clone(), group.clone());
            let needed = PAIR_BYTES + key.0.len() + key.1.len();
            let fits = self.pairs.len() < self.most && self.bytes + needed <= self.bytes_max;
            if !self.pairs.contains_key(&key) {
                if !fits {
                    self.left_out += 1;
                    continue;
                }
                self.bytes += needed;
            }
            let known = self.pairs.entry(key).or_default();
            known.messages += messages;
            known.bytes += bytes;
            known.dead += used.dead;
        }
        self.left_out > before
    }

    fn add_topic(&mut self, usage: &TopicUsage) {
        let new = TOPIC_BYTES + usage.name.len();
        if !self.topics.contains_key(&usage.name) {
            if self.bytes + new + MORE_BYTES > self.bytes_max || self.sent >= self.most {
                self.left_out += 1;
                return;
            }
            self.bytes += new;
        }
        let known = self.topics.entry(usage.name.clone()).or_default();
        for (kind, sizes) in &usage.sent {
            match known.sent.iter_mut().find(|(other, _)| other == kind) {
                Some((_, all)) => all.add(sizes),
                None if self.sent < self.most && self.bytes + MORE_BYTES <= self.bytes_max => {
                    self.bytes += if known.sent.is_empty() { 0 } else { MORE_BYTES };
                    self.sent += 1;
                    known.sent.push((*kind, *sizes));
                }
                None => self.left_out += 1,
            }
        }
        if let Some(ended) = &usage.ended {
            if known.ended.is_none() {
                self.bytes += MORE_BYTES;
            }
            known.ended.get_or_insert_default().add(ended);
        }
        if let Some(delays) = &usage.delays_s {
            if known.delays_s.is_none() {
                self.bytes += MORE_BYTES;
            }
            known.delays_s.get_or_insert_default().add(delays);
        }
    }

    /// Whether nothing was left out before; from now on, something was.
    pub fn tells_first(&mut self) -> bool {
        !std::mem::replace(&mut self.is_told, true)
    }

    /// The next topics behind a name, at most so many, and what is counted of them.
    pub fn topics(&self, after: Option<&Arc<str>>, most: usize) -> Vec<(Arc<str>, TopicSeries)> {
        let some = behind(&self.topics, after, most);
        some.map(|(name, series)| (name.clone(), series.clone())).collect()
    }

    /// Only their names.
    pub fn topic_names(&self, after: Option<&Arc<str>>, most: usize) -> Vec<Arc<str>> {
        behind(&self.topics, after, most).map(|(name, _)| name.clone()).collect()
    }

    /// The next groups in topics behind a pair, at most so many, and what is counted of them.
    pub fn pairs(&self, after: Option<&Pair>, most: usize) -> Vec<(Pair, GroupSeries)> {
        let some = behind(&self.pairs, after, most);
        some.map(|(pair, series)| (pair.clone(), *series)).collect()
    }

    /// Only their names.
    pub fn pair_names(&self, after: Option<&Pair>, most: usize) -> Vec<Pair> {
        behind(&self.pairs, after, most).map(|(pair, _)| pair.clone()).collect()
    }

    /// A topic is there no more.
    pub fn forget_topic(&mut self, name: &Arc<str>) {
        if let Some(gone) = self.topics.remove(name) {
            let more = gone.sent.len().saturating_sub(1)
                + usize::from(gone.ended.is_some())
                + usize::from(gone.delays_s.is_some());
            self.bytes -= TOPIC_BYTES + name.len() + more * MORE_BYTES;
            self.sent -= gone.sent.len();
        }
    }

    /// A topic, or a group, is there no more.
    pub fn forget_pair(&mut self, pair: &Pair) {
        if self.pairs.remove(pair).is_some() {
            self.bytes -= PAIR_BYTES + pair.0.len() + pair.1.len();
        }
    }
}

fn behind<'a, K: Ord + Clone, V>(
    table: &'a BTreeMap<K, V>,
    after: Option<&K>,
    most: usize,
) -> impl Iterator<Item = (&'a K, &'a V)> {
    let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.clone()));
    table.range((from, Bound::Unbounded)).take(most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::usage::GroupUsage;

    fn usage(topic: &str, group: Option<&str>) -> TopicUsage {
        let mut usage = TopicUsage::new(&Arc::from(topic));
        let mut sizes = Sizes::default();
        sizes.count(0, 2, 20);
        usage.sent.push((MessageType::Normal, sizes));
        if let Some(group) = group {
            let counts = Counts { messages: 3, bytes: 30, ..Counts::default() };
            usage.groups.insert(Arc::from(group), GroupUsage::of(&counts));
        }
        usage
    }

    #[test]
    fn what_is_counted_adds_up() {
        let mut series = Series::new(10, 1 << 20);
        assert!(!series.add(&usage("a", Some("g"))));
        assert!(!series.add(&usage("a", Some("g"))));
        let topics = series.topics(None, 10);
        assert_eq!(topics[0].1.sent[0].1.counts[0], 4);
        let pairs = series.pairs(None, 10);
        assert_eq!(pairs[0].1, GroupSeries { messages: 6, bytes: 60, dead: 0 });
        assert_eq!(series.counts(), (1, 1));
    }

    #[test]
    fn too_many_series_are_left_out_and_counted_and_what_goes_makes_room() {
        let mut series = Series::new(2, 1 << 20);
        for topic in ["a", "b"] {
            assert!(!series.add(&usage(topic, Some("g"))));
        }
        assert!(series.add(&usage("c", Some("g"))));
        assert!(!series.add(&usage("a", Some("g"))), "what is known goes on");
        assert_eq!((series.left_out(), series.counts()), (2, (2, 2)));
        assert!(series.tells_first() && !series.tells_first());
        series.forget_topic(&Arc::from("a"));
        series.forget_pair(&(Arc::from("a"), Arc::from("g")));
        assert!(!series.add(&usage("c", Some("g"))));
        for topic in ["b", "c"] {
            series.forget_topic(&Arc::from(topic));
            series.forget_pair(&(Arc::from(topic), Arc::from("g")));
        }
        assert_eq!((series.bytes, series.counts()), (0, (0, 0)));
    }

    #[test]
    fn series_stay_within_their_bytes() {
        let mut series = Series::new(usize::MAX, 64 << 10);
        for number in 0..10_000 {
            series.add(&usage(&format!("topic-{number}"), Some("group")));
        }
        assert!(series.bytes <= 64 << 10 && series.left_out() > 0);
        assert!(series.counts().0 > 100, "{:?}", series.counts());
    }
}
