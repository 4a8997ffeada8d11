//! Which client may consume a queue in order: locks that last 60 seconds from their last renewal.
//! Times are milliseconds since an arbitrary start that never go back: a wall clock that is set
//! forward would give queues to others while their clients consume them.
//!
//! Who has a lock is durable, when it was renewed is not: a client goes on with what it has for 30
//! seconds without hearing from the broker, so a start must not give its queues to somebody else.

mod durable;

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use ringmq_remoting::body::MessageQueue;

use super::{Refusal, limits::QUEUE_LOCKS_BYTES_MAX, names::Name};

/// Checks the names of a request to lock or unlock queues.
///
/// # Errors
/// If one is too long or has a control character.
pub fn check_names<'a>(
    group: &str,
    client_id: &str,
    queues: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<(), Refusal> {
    Name::Group.check(group)?;
    Name::ClientId.check(client_id)?;
    for (topic, broker) in queues {
        Name::Topic.check(topic)?;
        Name::Broker.check(broker)?;
    }
    Ok(())
}

/// A lock that nobody renews is free after this time. Source: `REBALANCE_LOCK_MAX_LIVE_TIME`.
pub const LOCK_LIVE_MS: i64 = 60_000;

#[derive(Clone, Debug)]
struct Lock {
    client_id: Arc<str>,
    renewed: i64,
    /// Whether a start will know of it.
    durable: bool,
}

impl Lock {
    fn is_expired(&self, now: i64) -> bool {
        now - self.renewed > LOCK_LIVE_MS
    }
}

/// What is locked.
pub trait Lockable: Ord + Clone {
    /// Bytes in memory.
    fn bytes(&self) -> usize;
}

impl Lockable for MessageQueue {
    fn bytes(&self) -> usize {
        size_of::<MessageQueue>() + self.topic.len() + self.broker_name.len()
    }
}

/// What a lock takes, about, in bytes, besides its group: a client may have a single one, so its id
/// counts in full.
fn lock_bytes<Q: Lockable>(queue: &Q, lock: &Lock) -> usize {
    queue.bytes() + lock.client_id.len() + 128
}

/// What a group with locks takes, in bytes: the smallest map of queues has room for 11.
fn group_bytes(group: &str) -> usize {
    group.len() + 1024
}

/// Where a sweep or a list has got to: a group and a queue of it.
#[derive(Debug)]
pub struct SweptTo<Q>(Option<(Arc<str>, Q)>);

impl<Q> Default for SweptTo<Q> {
    fn default() -> Self {
        SweptTo(None)
    }
}

/// Locks of queues `Q` by consumer group.
#[derive(Debug)]
pub struct QueueLocks<Q> {
    groups: BTreeMap<Arc<str>, BTreeMap<Q, Lock>>,
    count: usize,
    /// See [`lock_bytes`] and [`group_bytes`].
    bytes: usize,
    bytes_max: usize,
    /// A queue that is free was not granted for want of room.
    is_full: bool,
}

impl<Q> Default for QueueLocks<Q> {
    fn default() -> Self {
        QueueLocks::with_limit(QUEUE_LOCKS_BYTES_MAX)
    }
}

impl<Q> QueueLocks<Q> {
    /// `bytes_max`: of all locks.
    pub fn with_limit(bytes_max: usize) -> Self {
        QueueLocks { groups: BTreeMap::new(), count: 0, bytes: 0, bytes_max, is_full: false }
    }
}

impl<Q: Lockable> QueueLocks<Q> {
    /// Locks or renews the queues that are free, expired or the client's own, and returns those in
    /// the order asked for. Nothing is granted beyond the limit in bytes.
    pub fn lock_batch<'q>(
        &mut self,
        group: &str,
        client_id: &str,
        queues: impl IntoIterator<Item = &'q Q>,
        now: i64,
    ) -> Vec<Q>
    where
        Q: 'q,
    {
        let client_id: Arc<str> = Arc::from(client_id);
        let new = Lock { client_id: client_id.clone(), renewed: now, durable: false };
        if !self.groups.contains_key(group) {
            self.bytes += group_bytes(group);
        }
        let locks = self.groups.entry(Arc::from(group)).or_default();
        let mut granted = Vec::new();
        for queue in queues {
            match locks.get_mut(queue) {
                Some(lock) if lock.client_id != client_id && !lock.is_expired(now) => continue,
                Some(lock) if lock.client_id == client_id => lock.renewed = now,
                Some(lock) => {
                    let before = lock_bytes(queue, lock);
                    *lock = new.clone();
                    self.bytes = self.bytes - before + lock_bytes(queue, lock);
                }
                None => {
                    let bytes = self.bytes + lock_bytes(queue, &new);
                    if bytes > self.bytes_max {
                        self.is_full = true;
                        continue;
                    }
                    locks.insert(queue.clone(), new.clone());
                    self.count += 1;
                    self.bytes = bytes;
                }
            }
            granted.push(queue.clone());
        }
        if locks.is_empty() {
            self.groups.remove(group);
            self.bytes -= group_bytes(group);
        }
        granted
    }

    /// Why queues that were free were not granted since the last call, if there were any.
    pub fn not_granted(&mut self) -> Option<String> {
        std::mem::take(&mut self.is_full).then(|| {
            format!(
                "queues are not locked, so nobody consumes them in order: all locks take {} \
                 bytes, at most {} fit; stop consumers that are not needed, or have fewer queues",
                self.bytes, self.bytes_max
            )
        })
    }

    /// Frees those of the queues that the client has locked, and returns them.
    pub fn unlock_batch<'q>(
        &mut self,
        group: &str,
        client_id: &str,
        queues: impl IntoIterator<Item = &'q Q>,
    ) -> Vec<Q>
    where
        Q: 'q,
    {
        self.free(group, queues, |lock| &*lock.client_id == client_id)
    }

    /// Frees those of the queues whose locks are meant, and returns them.
    fn free<'q>(
        &mut self,
        group: &str,
        queues: impl IntoIterator<Item = &'q Q>,
        is_meant: impl Fn(&Lock) -> bool,
    ) -> Vec<Q>
    where
        Q: 'q,
    {
        let mut freed = Vec::new();
        let Some(locks) = self.groups.get_mut(group) else {
            return freed;
        };
        for queue in queues {
            let meant = locks.get(queue).filter(|lock| is_meant(lock));
            if let Some(bytes) = meant.map(|lock| lock_bytes(queue, lock)) {
                locks.remove(queue);
                self.count -= 1;
                self.bytes -= bytes;
                freed.push(queue.clone());
            }
        }
        if locks.is_empty() {
            self.groups.remove(group);
            self.bytes -= group_bytes(group);
        }
        freed
    }

    /// Looks at the next `most` locks and forgets those that are expired. True: it was at the end.
    /// Call it now and then, so that gone groups take no memory.
    pub fn sweep_some(&mut self, to: &mut SweptTo<Q>, most: usize, now: i64) -> bool {
        let (mut left, mut empty) = (most, Vec::new());
        let from = to.0.take();
        let start = from.as_ref().map_or(Bound::Unbounded, |(group, _)| Bound::Included(&**group));
        for (group, locks) in self.groups.range_mut::<str, _>((start, Bound::Unbounded)) {
            let behind = match &from {
                Some((of, queue)) if of == group => Bound::Excluded(queue),
                _ => Bound::Unbounded,
            };
            let (mut last, mut expired) = (None, Vec::new());
            for (queue, lock) in locks.range((behind, Bound::Unbounded)).take(left) {
                left -= 1;
                last = Some(queue);
                if lock.is_expired(now) {
                    expired.push((queue.clone(), lock_bytes(queue, lock)));
                }
            }
            if left == 0 {
                to.0 = last.map(|queue| (group.clone(), queue.clone()));
            }
            for (queue, bytes) in expired {
                locks.remove(&queue);
                self.count -= 1;
                self.bytes -= bytes;
            }
            if locks.is_empty() {
                empty.push(group.clone());
            }
            if left == 0 {
                break;
            }
        }
        for group in empty {
            self.groups.remove(&group);
            self.bytes -= group_bytes(&group);
        }
        to.0.is_none()
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Lockable for i32 {
        fn bytes(&self) -> usize {
            4
        }
    }

    fn sweep<Q: Lockable>(locks: &mut QueueLocks<Q>, now: i64) {
        assert!(locks.sweep_some(&mut SweptTo::default(), usize::MAX, now));
    }

    #[test]
    fn expired_locks_are_swept_a_few_at_a_time() {
        let mut locks = QueueLocks::default();
        for group in 0..10 {
            let queues: Vec<i32> = (0..50).collect();
            locks.lock_batch(&format!("g{group}"), "a", &queues, 0);
        }
        locks.lock_batch("g3", "a", &[7], 9);
        let (mut to, mut slices) = (SweptTo::default(), 0);
        while !locks.sweep_some(&mut to, 30, LOCK_LIVE_MS + 1) {
            slices += 1;
            assert!(locks.len() >= 500 - slices * 30);
        }
        assert_eq!((locks.len(), slices), (1, 500 / 30));
        assert_eq!(locks.bytes, group_bytes("g3") + 4 + 1 + 128);
        sweep(&mut locks, LOCK_LIVE_MS + 10);
        assert_eq!((locks.len(), locks.bytes), (0, 0));
    }

    #[test]
    fn a_group_with_one_lock_counts_with_the_map_that_it_takes() {
        let mut locks = QueueLocks::with_limit(20_000);
        let granted = (0..100)
            .filter(|number| !locks.lock_batch(&format!("g{number}"), "a", &[1], 0).is_empty());
        assert_eq!(granted.count(), 20_000 / (group_bytes("g0") + 4 + 1 + 128));
        assert!(locks.bytes <= 20_000 && locks.groups.len() == locks.len());
    }

    #[test]
    fn locks_are_bounded_in_bytes_and_expire() {
        let mut locks = QueueLocks::default();
        let topic = "t".repeat(250);
        let queues: Vec<_> =
            (0..100_000).map(|id| MessageQueue::new(&topic, "broker-a", id)).collect();
        let mut granted = 0;
        for group in 0..10 {
            let group = format!("{group:0>255}");
            granted += locks.lock_batch(&group, &"c".repeat(1000), &queues, 0).len();
        }
        assert!((30_000..50_000).contains(&granted), "{granted}");
        assert!(locks.bytes <= QUEUE_LOCKS_BYTES_MAX);
        let (first, group) = (&queues[..1], format!("{:0>255}", 0));
        assert_eq!(locks.lock_batch(&group, &"c".repeat(1000), first, 60_000).len(), 1, "renewed");
        let other = format!("{:0>255}", 11);
        assert_eq!(locks.lock_batch(&other, &"d".repeat(1000), first, 60_000), [], "no room");
        sweep(&mut locks, 60_001);
        assert_eq!(locks.lock_batch("g", "d", first, 60_001).len(), 1);
        locks.unlock_batch("g", "d", first);
        locks.unlock_batch(&group, &"c".repeat(1000), first);
        assert_eq!((locks.bytes, locks.len()), (0, 0));
    }

    #[test]
    fn a_queue_has_one_owner_until_the_lock_expires() {
        let mut locks = QueueLocks::default();
        assert_eq!(locks.lock_batch("g", "a", &[1, 2], 0), [1, 2]);
        assert_eq!(locks.lock_batch("g", "b", &[2, 3], 10), [3]);
        assert_eq!(locks.lock_batch("other", "b", &[1], 10), [1]);
        assert_eq!(locks.lock_batch("g", "a", &[1], 50_000), [1]);
        assert_eq!(locks.lock_batch("g", "b", &[1, 2], 60_000), [0; 0]);
        assert_eq!(locks.lock_batch("g", "b", &[1, 2], 60_001), [2]);
        assert_eq!(locks.lock_batch("g", "b", &[1], 110_001), [1]);
    }

    #[test]
    fn names_of_locks_are_checked() {
        let check = |group, client, topic, broker| {
            check_names(group, client, [("t", "b"), (topic, broker)]).is_ok()
        };
        assert!(check("g", "10.0.0.1@1", "%RETRY%g", "broker-a"));
        for odd in ["a\u{2}b", &"x".repeat(2000)] {
            assert!(!check(odd, "c", "t", "b") && !check("g", odd, "t", "b"));
            assert!(!check("g", "c", odd, "b") && !check("g", "c", "t", odd));
        }
    }

    #[test]
    fn only_the_owner_unlocks() {
        let mut locks = QueueLocks::default();
        locks.lock_batch("g", "a", &[1], 0);
        locks.unlock_batch("g", "b", &[1]);
        assert_eq!(locks.lock_batch("g", "b", &[1], 1), [0; 0]);
        locks.unlock_batch("g", "a", &[1, 9]);
        assert!(locks.is_empty());
        assert_eq!(locks.lock_batch("g", "b", &[1], 1), [1]);
    }

    #[test]
    fn expired_locks_are_swept_away() {
        let mut locks = QueueLocks::default();
        locks.lock_batch("g", "a", &[1, 2], 0);
        locks.lock_batch("h", "a", &[1], 30_000);
        sweep(&mut locks, 60_000);
        assert_eq!(locks.len(), 3);
        sweep(&mut locks, 60_001);
        assert_eq!(locks.len(), 1);
        sweep(&mut locks, 90_001);
        assert!(locks.is_empty());
    }
}
