//! Which client may consume a queue in order: locks that last 60 seconds from their last renewal.
//! They are kept in memory only; after a restart every client locks again.

use std::{collections::BTreeMap, sync::Arc};

use super::{Refusal, limits::QUEUE_LOCKS_MAX, names::Name};

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
}

impl Lock {
    fn is_expired(&self, now: i64) -> bool {
        now - self.renewed > LOCK_LIVE_MS
    }
}

/// Locks of queues `Q` by consumer group.
#[derive(Debug)]
pub struct QueueLocks<Q> {
    groups: BTreeMap<Arc<str>, BTreeMap<Q, Lock>>,
    count: usize,
    limit: usize,
}

impl<Q> Default for QueueLocks<Q> {
    fn default() -> Self {
        QueueLocks::with_limit(QUEUE_LOCKS_MAX)
    }
}

impl<Q> QueueLocks<Q> {
    /// `limit`: locks.
    pub fn with_limit(limit: usize) -> Self {
        QueueLocks { groups: BTreeMap::new(), count: 0, limit }
    }
}

impl<Q: Ord + Clone> QueueLocks<Q> {
    /// Locks or renews the queues that are free, expired or the client's own, and returns those in
    /// the order asked for. Nothing is granted beyond the limit of locks.
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
        let locks = self.groups.entry(Arc::from(group)).or_default();
        let mut granted = Vec::new();
        for queue in queues {
            match locks.get_mut(queue) {
                Some(lock) if lock.client_id != client_id && !lock.is_expired(now) => continue,
                Some(lock) => *lock = Lock { client_id: client_id.clone(), renewed: now },
                None if self.count >= self.limit => continue,
                None => {
                    let lock = Lock { client_id: client_id.clone(), renewed: now };
                    locks.insert(queue.clone(), lock);
                    self.count += 1;
                }
            }
            granted.push(queue.clone());
        }
        if locks.is_empty() {
            self.groups.remove(group);
        }
        granted
    }

    /// Frees those of the queues that the client has locked.
    pub fn unlock_batch<'q>(
        &mut self,
        group: &str,
        client_id: &str,
        queues: impl IntoIterator<Item = &'q Q>,
    ) where
        Q: 'q,
    {
        let Some(locks) = self.groups.get_mut(group) else {
            return;
        };
        for queue in queues {
            if locks.get(queue).is_some_and(|lock| &*lock.client_id == client_id) {
                locks.remove(queue);
                self.count -= 1;
            }
        }
        if locks.is_empty() {
            self.groups.remove(group);
        }
    }

    /// Forgets expired locks; call it now and then, so that gone groups take no memory.
    pub fn sweep(&mut self, now: i64) {
        self.groups.retain(|_, locks| {
            locks.retain(|_, lock| !lock.is_expired(now));
            !locks.is_empty()
        });
        self.count = self.groups.values().map(BTreeMap::len).sum();
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
        locks.sweep(60_000);
        assert_eq!(locks.len(), 3);
        locks.sweep(60_001);
        assert_eq!(locks.len(), 1);
        locks.sweep(90_001);
        assert!(locks.is_empty());
    }
}
