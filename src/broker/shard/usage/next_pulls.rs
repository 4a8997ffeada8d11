//! Where the next pull of each group begins in the queues of a shard: what lies between that and
//! what the group has confirmed is in flight. In memory only, as in Java: after a start nothing is.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use ringmq_io::Runtime;
use smallvec::SmallVec;

use super::Usage;
use crate::{
    messages::{PullRequest, TopicView},
    shard::Shard,
};

/// Group and topic.
pub type Pair = (Arc<str>, Arc<str>);
/// Of a topic, of a group, or of both together.
type Which<'a> = (Option<&'a str>, Option<&'a str>);

/// What a group in a topic takes besides its names, with the empty places of a tree and of four
/// queues, in bytes.
const PAIR_BYTES: usize = 256;
/// The same of a queue, with the room for the next ones.
pub const QUEUE_BYTES: usize = 32;
/// Groups in topics that are forgotten without a pause: some 100 us.
const SLICE_PAIRS: usize = 512;
/// Topics that are looked at without a pause, for the same.
const SLICE_TOPICS: usize = 512;

/// Of a group in a topic: queues with the offsets at which the next pulls begin, by queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NextPulls(SmallVec<[(i32, i64); 4]>);

impl NextPulls {
    fn place(&self, queue: i32) -> Result<usize, usize> {
        self.0.binary_search_by_key(&queue, |(known, _)| *known)
    }

    pub fn get(&self, queue: i32) -> Option<i64> {
        let place = self.place(queue).ok()?;
        self.0.get(place).map(|(_, next)| *next)
    }

    /// Whether the queue is there; its offset is then this one.
    #[inline]
    pub fn update(&mut self, queue: i32, next: i64) -> bool {
        let Ok(place) = self.place(queue) else { return false };
        if let Some((_, known)) = self.0.get_mut(place) {
            *known = next;
        }
        true
    }

    pub fn insert(&mut self, queue: i32, next: i64) {
        match self.place(queue) {
            Ok(_) => {
                self.update(queue, next);
            }
            Err(place) => self.0.insert(place, (queue, next)),
        }
    }

    /// Whether it was there.
    pub fn remove(&mut self, queue: i32) -> bool {
        let place = self.place(queue);
        place.is_ok_and(|place| {
            self.0.remove(place);
            true
        })
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (i32, i64)> + '_ {
        self.0.iter().copied()
    }
}

/// Of all groups, at most so many bytes; a group in a topic that finds no room is not known.
#[derive(Debug)]
pub struct NextPullsTable {
    pairs: BTreeMap<Pair, NextPulls>,
    bytes: usize,
    bytes_max: usize,
}

impl NextPullsTable {
    pub fn with_limit(bytes_max: usize) -> NextPullsTable {
        NextPullsTable { pairs: BTreeMap::new(), bytes: 0, bytes_max }
    }

    pub fn get(&self, pair: &Pair) -> Option<&NextPulls> {
        self.pairs.get(pair)
    }

    /// Notes where the next pull begins, if there is room for it.
    pub fn put(&mut self, pair: Pair, queue: i32, next: i64) {
        let known = self.pairs.get_mut(&pair);
        if let Some(known) = known {
            if known.update(queue, next) || self.bytes + QUEUE_BYTES > self.bytes_max {
                return;
            }
            known.insert(queue, next);
            self.bytes += QUEUE_BYTES;
            return;
        }
        let more = pair_bytes(&pair) + QUEUE_BYTES;
        if self.bytes + more <= self.bytes_max {
            self.pairs.entry(pair).or_default().insert(queue, next);
            self.bytes += more;
        }
    }

    /// Forgets one queue of a group in a topic.
    pub fn forget_queue(&mut self, pair: &Pair, queue: i32) {
        if let Some(known) = self.pairs.get_mut(pair)
            && known.remove(queue)
        {
            self.bytes -= QUEUE_BYTES;
        }
    }

    /// Forgets those of a topic, of a group, or of both together, as far as they are among the next
    /// `most` behind `after`; gives where to go on, and `None` at the end.
    pub fn forget(
        &mut self,
        (topic, group): Which<'_>,
        after: Option<Pair>,
        most: usize,
    ) -> Option<Pair> {
        let from = match (after, group) {
            (Some(after), _) => Bound::Excluded(after),
            (None, Some(group)) => Bound::Included((Arc::from(group), Arc::from(""))),
            (None, None) => Bound::Unbounded,
        };
        let pairs = self.pairs.range((from, Bound::Unbounded)).map(|(pair, _)| pair);
        let of_group = pairs.take_while(|(of, _)| is_one(of, group));
        let seen: Vec<Pair> = of_group.take(most).cloned().collect();
        for pair in seen.iter().filter(|(_, of)| is_one(of, topic)) {
            if let Some(gone) = self.pairs.remove(pair) {
                self.bytes -= pair_bytes(pair) + gone.len() * QUEUE_BYTES;
            }
        }
        if seen.len() < most { None } else { seen.into_iter().next_back() }
    }
}

impl Usage {
    /// A change of what waits to be taken of a group in a topic, if there is anything.
    fn change_untaken<T>(
        &self,
        topic: &TopicView,
        group: &str,
        change: impl FnOnce(&mut NextPulls) -> T,
    ) -> Option<T> {
        let mut topics = self.topics.borrow_mut();
        let (id, usage) = topics.get_mut(topic.slot as usize)?.as_mut()?;
        if *id != topic.id {
            return None;
        }
        usage.groups.get_mut(group).map(|used| change(&mut used.next_pulls))
    }

    /// The next pull of a group begins there, whatever it has got.
    fn put_next_pull(&self, topic: &TopicView, group: &Arc<str>, queue: i32, next: i64) {
        let is_untaken = self.change_untaken(topic, group, |untaken| untaken.update(queue, next));
        if is_untaken != Some(true) {
            let pair = (group.clone(), topic.topic.name.clone());
            self.next_pulls.borrow_mut().put(pair, queue, next);
        }
    }

    /// Where the next pull of a group begins in a queue of this shard; `None` if it has not pulled
    /// since the start.
    pub fn next_pull(&self, topic: &TopicView, group: &Arc<str>, queue: i32) -> Option<i64> {
        let untaken = self.change_untaken(topic, group, |untaken| untaken.get(queue)).flatten();
        untaken.or_else(|| {
            let pair = (group.clone(), topic.topic.name.clone());
            self.next_pulls.borrow().get(&pair)?.get(queue)
        })
    }

    /// Topics with something that waits to be taken.
    fn untaken_topics(&self) -> Vec<u32> {
        self.used.borrow().clone()
    }

    /// Forgets what waits to be taken of a topic, of a group, or of both together, as far as these
    /// topics have it.
    fn forget_untaken(&self, topics: &[u32], (topic, group): Which<'_>) {
        let mut all = self.topics.borrow_mut();
        for slot in topics {
            let Some(Some((_, usage))) = all.get_mut(*slot as usize) else { continue };
            if !is_one(&usage.name, topic) {
                continue;
            }
            for (_, used) in usage.groups.iter_mut().filter(|(name, _)| is_one(name, group)) {
                let gone = std::mem::take(&mut used.next_pulls).len();
                self.untaken.set(self.untaken.get().saturating_sub(gone));
            }
        }
    }

    /// A group goes on elsewhere in a queue: nothing that it has pulled is in flight.
    pub fn forget_next_pull(&self, topic: &TopicView, group: &str, queue: i32) {
        if self.change_untaken(topic, group, |untaken| untaken.remove(queue)) == Some(true) {
            self.untaken.set(self.untaken.get().saturating_sub(1));
        }
        let pair = (Arc::from(group), topic.topic.name.clone());
        self.next_pulls.borrow_mut().forget_queue(&pair, queue);
    }
}

impl<R: Runtime> Shard<R> {
    /// A pull has passed over messages that its filter does not let through, or is sent elsewhere.
    pub fn note_next_pull(&self, pull: &PullRequest, next_offset: i64) {
        if next_offset != pull.offset {
            self.usage.put_next_pull(&pull.topic, &pull.group, pull.queue_id, next_offset);
        }
    }

    /// Forgets where the next pulls of a topic, of a group, or of both together begin, on this
    /// shard.
    pub async fn forget_next_pulls(&self, which: Which<'_>) {
        for some in self.usage.untaken_topics().chunks(SLICE_TOPICS) {
            self.usage.forget_untaken(some, which);
            self.runtime.yield_if_needed().await;
        }
        let mut after = None;
        loop {
            after = self.usage.next_pulls.borrow_mut().forget(which, after, SLICE_PAIRS);
            if after.is_none() {
                return;
            }
            self.runtime.yield_if_needed().await;
        }
    }
}

/// Whether a name is the one that is meant, if one is.
fn is_one(name: &str, meant: Option<&str>) -> bool {
    meant.is_none_or(|meant| name == meant)
}

fn pair_bytes((group, topic): &Pair) -> usize {
    PAIR_BYTES + group.len() + topic.len()
}

#[cfg(test)]
mod tests {
    use ringmq_rules::{stats::Counts, topic::Topic};

    use super::*;
    use crate::shard::usage::UNTAKEN_PART;

    fn pair(group: &str, topic: &str) -> Pair {
        (Arc::from(group), Arc::from(topic))
    }

    #[test]
    fn queues_are_found_whatever_their_order() {
        let mut queues = NextPulls::default();
        for queue in [7, 1, 300, 4, 2, 0] {
            queues.insert(queue, i64::from(queue) * 10);
        }
        queues.insert(4, 41);
        assert!(queues.update(1, 11) && !queues.update(3, 9));
        assert!(queues.remove(300) && !queues.remove(300));
        let all: Vec<_> = queues.iter().collect();
        assert_eq!(all, [(0, 0), (1, 11), (2, 20), (4, 41), (7, 70)]);
        assert_eq!((queues.get(7), queues.get(300)), (Some(70), None));
    }

    #[test]
    fn what_finds_no_room_is_not_known_and_room_comes_back() {
        let one = pair_bytes(&pair("g1", "t")) + QUEUE_BYTES;
        let mut table = NextPullsTable::with_limit(2 * one + QUEUE_BYTES);
        for (group, queue) in [("g1", 0), ("g2", 0), ("g3", 0), ("g1", 1), ("g2", 1)] {
            table.put(pair(group, "t"), queue, 5);
        }
        let known = |table: &NextPullsTable| -> Vec<_> {
            let queues = table.pairs.iter().map(|((group, _), all)| (group.to_string(), all.len()));
            queues.collect()
        };
        assert_eq!(known(&table), [("g1".to_owned(), 2), ("g2".to_owned(), 1)]);
        assert_eq!(table.bytes, table.bytes_max);
        // those that are known go on
        table.put(pair("g2", "t"), 0, 6);
        assert_eq!(table.get(&pair("g2", "t")).and_then(|all| all.get(0)), Some(6));
        table.forget_queue(&pair("g1", "t"), 1);
        table.forget_queue(&pair("g1", "t"), 1);
        assert_eq!(table.forget((Some("t"), Some("g1")), None, 8), None);
        table.put(pair("g3", "t"), 0, 7);
        assert_eq!(known(&table), [("g2".to_owned(), 1), ("g3".to_owned(), 1)]);
        assert_eq!(table.bytes, 2 * one);
    }

    #[test]
    fn topics_and_groups_are_forgotten_some_at_a_time() {
        let mut table = NextPullsTable::with_limit(1 << 20);
        let all = ["a", "b", "c"].map(|group| ["t", "u"].map(|topic| pair(group, topic)));
        for pair in all.iter().flatten() {
            table.put(pair.clone(), 3, 1);
        }
        let mut forget = |which| {
            let (mut after, mut rounds) = (None, 0);
            loop {
                after = table.forget(which, after, 2);
                rounds += 1;
                if after.is_none() {
                    return (rounds, table.pairs.keys().cloned().collect::<Vec<_>>());
                }
            }
        };
        let kept = [pair("a", "u"), pair("b", "u"), pair("c", "t"), pair("c", "u")];
        let (rounds, _) = forget((Some("t"), Some("a")));
        assert_eq!(rounds, 2);
        assert_eq!(forget((Some("t"), Some("b"))).1, kept);
        assert_eq!(forget((None, Some("c"))).1, kept[..2]);
        assert!(forget((Some("u"), None)).1.is_empty());
        assert_eq!(table.bytes, 0);
    }

    #[test]
    fn next_pulls_are_known_before_and_after_they_are_taken() {
        // room for two that are not taken
        let usage = Usage::with_limit(2 * UNTAKEN_PART * QUEUE_BYTES);
        let view = TopicView { id: 3, slot: 3, topic: Topic::new("t", 4, 6) };
        let (group, counts) = (Arc::from("g"), Counts::default());
        let next = |queue| usage.next_pull(&view, &group, queue);
        for queue in 0..3 {
            usage.count_pull((&view, &group), &counts, (queue, 10));
        }
        usage.count_pull((&view, &group), &counts, (1, 11));
        usage.put_next_pull(&view, &group, 2, 12);
        assert_eq!([next(0), next(1), next(2), next(3)], [Some(10), Some(11), Some(12), None]);
        assert_eq!(usage.untaken.get(), 2);
        assert_eq!(usage.take(9, |group, topic| (group, topic) == ("g", "t")).len(), 1);
        assert_eq!([next(0), next(1), next(2)], [Some(10), Some(11), Some(12)]);
        // what is newer counts, and what was forgotten is not known
        usage.count_pull((&view, &group), &counts, (0, 20));
        assert_eq!([next(0), next(1), next(2)], [Some(20), Some(11), Some(12)]);
        usage.forget_next_pull(&view, "g", 0);
        assert_eq!((next(0), usage.untaken.get()), (None, 0));
        usage.count_pull((&view, &group), &counts, (3, 30));
        usage.forget_untaken(&usage.untaken_topics(), (None, Some("other")));
        assert_eq!((next(3), usage.untaken.get()), (Some(30), 1));
        usage.forget_untaken(&usage.untaken_topics(), (Some("t"), Some("g")));
        assert_eq!((next(3), usage.untaken.get()), (None, 0));
        // of a group that has gone nothing is kept
        usage.count_pull((&view, &group), &counts, (3, 30));
        usage.take(9, |_, _| false);
        assert_eq!((next(3), next(1)), (None, Some(11)));
    }
}
