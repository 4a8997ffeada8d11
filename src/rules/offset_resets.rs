//! Consumer offsets that an administrator has reset, while clients may still commit what they were
//! at before. A Java client that is told drops what it has, waits 10 s, and goes on from the new
//! offset; meanwhile it commits old ones every 5 s.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ahash::AHashMap;

use super::{
    limits::RESETS_MAX,
    refusal::{Refusal, code},
};

/// How long older commits are passed over: longer than clients take, and than they live in silence
/// between two rebalances.
pub const HOLD: Duration = Duration::from_secs(60);

/// Who still pulls from elsewhere after this time was not told, or does not know what to do about
/// it: its pull is answered with the new offset.
pub const GRACE: Duration = Duration::from_secs(15);

#[derive(Clone, Copy, Debug)]
struct Reset {
    offset: i64,
    begun: Duration,
    /// Somebody pulled from the new offset since.
    pulled: bool,
}

impl Reset {
    fn is_over(&self, now: Duration) -> bool {
        now.saturating_sub(self.begun) >= HOLD
    }
}

/// By queue.
type Queues = BTreeMap<i32, Reset>;

/// The resets of the last [`HOLD`], by topic, group and queue. Every time is a monotonic one.
#[derive(Debug)]
pub struct OffsetResets {
    topics: AHashMap<Arc<str>, AHashMap<Arc<str>, Queues>>,
    count: usize,
    limit: usize,
}

impl Default for OffsetResets {
    fn default() -> OffsetResets {
        OffsetResets::with_limit(RESETS_MAX)
    }
}

impl OffsetResets {
    /// `limit`: queues of all groups.
    pub fn with_limit(limit: usize) -> OffsetResets {
        OffsetResets { topics: AHashMap::new(), count: 0, limit }
    }

    /// Nothing was reset lately: nobody need ask.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether so many more queues may be reset.
    ///
    /// # Errors
    /// The answer to the request.
    pub fn check_room(&self, queues: usize) -> Result<(), Refusal> {
        let most = self.limit;
        if self.count.saturating_add(queues) <= most {
            return Ok(());
        }
        let remark = format!(
            "the offsets of {queues} queues are not reset: those of {} were in the last {} s, at \
             most {most} may be; try again later",
            self.count,
            HOLD.as_secs()
        );
        Err(Refusal::new(code::SYSTEM_ERROR, remark))
    }

    /// A group goes on at `offset` in a queue.
    pub fn put(&mut self, topic: &str, group: &str, queue_id: i32, offset: i64, now: Duration) {
        let reset = Reset { offset, begun: now, pulled: false };
        let groups = match self.topics.get_mut(topic) {
            Some(groups) => groups,
            None => self.topics.entry(Arc::from(topic)).or_default(),
        };
        let queues = match groups.get_mut(group) {
            Some(queues) => queues,
            None => groups.entry(Arc::from(group)).or_default(),
        };
        self.count += usize::from(queues.insert(queue_id, reset).is_none());
    }

    /// Whether an offset that a client commits counts: not one from before the reset.
    pub fn takes(
        &self,
        topic: &str,
        group: &str,
        queue_id: i32,
        offset: i64,
        now: Duration,
    ) -> bool {
        match self.get(topic, group, queue_id) {
            Some(reset) if !reset.is_over(now) => {
                offset == reset.offset || (reset.pulled && offset > reset.offset)
            }
            _ => true,
        }
    }

    /// A client pulls from `offset`. `Some`: it has to go on from there instead.
    pub fn pulled(
        &mut self,
        topic: &str,
        group: &str,
        queue_id: i32,
        offset: i64,
        now: Duration,
    ) -> Option<i64> {
        let queues = self.topics.get_mut(topic)?.get_mut(group)?;
        let reset = queues.get_mut(&queue_id)?;
        reset.pulled |= offset == reset.offset;
        let late = now.saturating_sub(reset.begun) >= GRACE;
        (late && !reset.pulled && !reset.is_over(now)).then_some(reset.offset)
    }

    /// Forgets what is over.
    pub fn sweep(&mut self, now: Duration) {
        self.retain(|_, _, reset| !reset.is_over(now));
    }

    /// Forgets what belongs to a topic, to a group, or to both together.
    pub fn forget(&mut self, topic: Option<&str>, group: Option<&str>) {
        if topic.is_some() || group.is_some() {
            self.retain(|of_topic, of_group, _| {
                topic.is_some_and(|topic| topic != of_topic)
                    || group.is_some_and(|group| group != of_group)
            });
        }
    }

    fn get(&self, topic: &str, group: &str, queue_id: i32) -> Option<&Reset> {
        self.topics.get(topic)?.get(group)?.get(&queue_id)
    }

    fn retain(&mut self, keep: impl Fn(&str, &str, &Reset) -> bool) {
        if self.is_empty() {
            return;
        }
        let mut count = 0;
        self.topics.retain(|topic, groups| {
            groups.retain(|group, queues| {
                queues.retain(|_, reset| keep(topic, group, reset));
                count += queues.len();
                !queues.is_empty()
            });
            !groups.is_empty()
        });
        self.count = count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(1000 + seconds)
    }

    fn reset(offset: i64) -> OffsetResets {
        let mut resets = OffsetResets::default();
        resets.put("t", "g", 0, offset, at(0));
        resets
    }

    #[test]
    fn commits_from_before_do_not_count_until_somebody_pulls_from_the_new_offset() {
        let mut resets = reset(10);
        let takes = |resets: &OffsetResets, offset, now| resets.takes("t", "g", 0, offset, now);
        for old in [0, 9, 11, 99] {
            assert!(!takes(&resets, old, at(1)), "{old}");
        }
        // what the client itself commits when it has noted the reset
        assert!(takes(&resets, 10, at(1)));
        assert!(!takes(&resets, 99, at(1)));
        assert_eq!(resets.pulled("t", "g", 0, 99, at(2)), None);
        assert!(!takes(&resets, 99, at(2)));
        assert_eq!(resets.pulled("t", "g", 0, 10, at(11)), None);
        assert!(takes(&resets, 11, at(12)) && takes(&resets, 10, at(12)));
        assert!(!takes(&resets, 9, at(12)), "an older one came late");
        assert_eq!(resets.pulled("t", "g", 0, 42, at(30)), None);
    }

    #[test]
    fn others_are_not_held_up_and_nobody_for_longer_than_the_time() {
        let mut resets = reset(10);
        for (topic, group, queue) in [("t", "g", 1), ("t", "h", 0), ("u", "g", 0)] {
            assert!(resets.takes(topic, group, queue, 99, at(0)));
            assert_eq!(resets.pulled(topic, group, queue, 99, at(20)), None);
        }
        assert!(!resets.takes("t", "g", 0, 99, at(59)));
        assert!(resets.takes("t", "g", 0, 99, at(60)));
        resets.sweep(at(59));
        assert!(!resets.is_empty());
        resets.sweep(at(60));
        assert!(resets.is_empty() && resets.topics.is_empty());
    }

    #[test]
    fn whoever_does_not_follow_is_told_where_to_go_on() {
        let mut resets = reset(10);
        assert_eq!(resets.pulled("t", "g", 0, 99, at(14)), None);
        assert_eq!(resets.pulled("t", "g", 0, 99, at(15)), Some(10));
        assert_eq!(resets.pulled("t", "g", 0, 99, at(16)), Some(10));
        assert_eq!(resets.pulled("t", "g", 0, 10, at(17)), None);
        assert_eq!(resets.pulled("t", "g", 0, 99, at(18)), None);
        let mut resets = reset(10);
        assert_eq!(resets.pulled("t", "g", 0, 99, at(60)), None);
    }

    #[test]
    fn a_second_reset_begins_anew() {
        let mut resets = reset(10);
        resets.pulled("t", "g", 0, 10, at(1));
        resets.put("t", "g", 0, 5, at(50));
        assert_eq!(resets.count, 1);
        assert!(!resets.takes("t", "g", 0, 10, at(70)));
    }

    #[test]
    fn resets_go_with_their_topic_or_group_and_are_bounded() {
        for (topic, group, left) in [
            (None, None, 4),
            (Some("t"), None, 2),
            (None, Some("g"), 2),
            (Some("t"), Some("g"), 3),
            (Some("x"), None, 4),
        ] {
            let mut resets = OffsetResets::default();
            for (topic, group) in [("t", "g"), ("t", "h"), ("u", "g"), ("u", "h")] {
                resets.put(topic, group, 0, 1, at(0));
            }
            resets.forget(topic, group);
            assert_eq!(resets.count, left, "{topic:?} {group:?}");
        }
        let mut resets = reset(1);
        resets.check_room(RESETS_MAX - 1).expect("room");
        let refusal = resets.check_room(RESETS_MAX).expect_err("too many");
        assert!(refusal.remark.contains("100000 queues"), "{}", refusal.remark);
        resets.sweep(at(60));
        resets.check_room(RESETS_MAX).expect("room again");
    }
}
