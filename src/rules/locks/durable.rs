//! What a start knows of locks: whose they were.

use std::{ops::Bound, sync::Arc};

use ringmq_remoting::body::MessageQueue;

use super::{LOCK_LIVE_MS, QueueLocks, SweptTo};
use crate::meta::MetaChange;

/// A client keeps its queues for this long after a start without renewing its locks: it takes them
/// for lost 30 seconds after the last answer (`ProcessQueue.REBALANCE_LOCK_MAX_LIVE_TIME`).
pub const AFTER_START_MS: i64 = 35_000;

impl QueueLocks<MessageQueue> {
    /// What has to be written before a client hears that these are its queues; they are, in the
    /// table.
    pub fn to_write(
        &self,
        group: &Arc<str>,
        client_id: &str,
        queues: &[MessageQueue],
    ) -> Vec<MetaChange> {
        let locks = self.groups.get(group);
        let lock = |queue: &MessageQueue| locks.and_then(|locks| locks.get(queue));
        let is_new = |queue: &&MessageQueue| lock(queue).is_some_and(|lock| !lock.durable);
        let new = queues.iter().filter(is_new).map(|queue| (Some(client_id), queue));
        changes(group, new)
    }

    /// What has to be written about queues that are free again.
    pub fn freed(group: &Arc<str>, queues: &[MessageQueue]) -> Vec<MetaChange> {
        changes(group, queues.iter().map(|queue| (None, queue)))
    }

    /// Notes that what [`QueueLocks::to_write`] gave is written.
    pub fn set_written(&mut self, change: &MetaChange) {
        let MetaChange::Locks { group, client: Some(client), .. } = change else { return };
        let Some(locks) = self.groups.get_mut(group) else { return };
        for queue in queues_of(change) {
            let own = locks.get_mut(&queue).filter(|lock| &*lock.client_id == client);
            own.into_iter().for_each(|lock| lock.durable = true);
        }
    }

    /// Takes back what could not be written.
    pub fn take_back(&mut self, change: &MetaChange) {
        if let MetaChange::Locks { group, client: Some(client), .. } = change {
            let queues: Vec<_> = queues_of(change).collect();
            self.unlock_batch(group, client, &queues);
        }
    }

    /// Carries a change out that a start finds; other changes are none of this table's business.
    pub fn restore(&mut self, change: &MetaChange, now: i64) {
        let MetaChange::Locks { group, client, .. } = change else { return };
        let queues: Vec<_> = queues_of(change).collect();
        self.free(group, &queues, |_| true);
        if let Some(client) = client {
            self.lock_batch(group, client, &queues, now - (LOCK_LIVE_MS - AFTER_START_MS));
            self.set_written(change);
        }
    }

    /// The next `most` locks, as the changes that bring them into an empty table; none at the end.
    pub fn list(&self, to: &mut SweptTo<MessageQueue>, most: usize) -> Vec<MetaChange> {
        let (mut listed, mut left, from) = (Vec::new(), most, to.0.take());
        let start = from.as_ref().map_or(Bound::Unbounded, |(group, _)| Bound::Included(&**group));
        for (group, locks) in self.groups.range::<str, _>((start, Bound::Unbounded)) {
            let behind = match &from {
                Some((of, queue)) if of == group => Bound::Excluded(queue),
                _ => Bound::Unbounded,
            };
            let some: Vec<_> = locks.range((behind, Bound::Unbounded)).take(left).collect();
            left -= some.len();
            if let Some((queue, _)) = some.last() {
                to.0 = Some((group.clone(), (*queue).clone()));
            }
            let owned = some.iter().map(|(queue, lock)| (Some(&*lock.client_id), *queue));
            listed.extend(changes(group, owned));
            if left == 0 {
                break;
            }
        }
        listed
    }
}

/// Changes of queues of a group with their new owners, one for all neighbours of a topic.
fn changes<'q>(
    group: &Arc<str>,
    queues: impl Iterator<Item = (Option<&'q str>, &'q MessageQueue)>,
) -> Vec<MetaChange> {
    let mut all: Vec<MetaChange> = Vec::new();
    for (owner, queue) in queues {
        match all.last_mut() {
            Some(MetaChange::Locks { client, topic, broker, queues, .. })
                if client.as_deref() == owner
                    && *topic == queue.topic
                    && *broker == queue.broker_name =>
            {
                queues.push(queue.queue_id);
            }
            _ => all.push(MetaChange::Locks {
                group: group.clone(),
                client: owner.map(str::to_owned),
                topic: queue.topic.clone(),
                broker: queue.broker_name.clone(),
                queues: vec![queue.queue_id],
            }),
        }
    }
    all
}

fn queues_of(change: &MetaChange) -> impl Iterator<Item = MessageQueue> {
    let (topic, broker, queues) = match change {
        MetaChange::Locks { topic, broker, queues, .. } => (&**topic, &**broker, &**queues),
        _ => ("", "", &[][..]),
    };
    queues.iter().map(move |queue| MessageQueue::new(topic, broker, *queue))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues(topic: &str, ids: std::ops::Range<i32>) -> Vec<MessageQueue> {
        ids.map(|id| MessageQueue::new(topic, "broker-a", id)).collect()
    }

    fn group() -> Arc<str> {
        Arc::from("g")
    }

    #[test]
    fn what_is_written_once_is_not_written_again() {
        let mut locks = QueueLocks::default();
        let all = [queues("t", 0..3), queues("u", 0..2)].concat();
        assert_eq!(locks.lock_batch("g", "a", &all, 0), all);
        let changes = locks.to_write(&group(), "a", &all);
        assert_eq!(changes.len(), 2, "one for each topic: {changes:?}");
        assert_eq!(locks.to_write(&group(), "a", &all), changes, "not yet");
        changes.iter().for_each(|change| locks.set_written(change));
        locks.lock_batch("g", "a", &all, 50_000);
        assert_eq!(locks.to_write(&group(), "a", &all), []);
        // Another one that takes over has to be written.
        let first = &all[..1];
        assert_eq!(locks.lock_batch("g", "b", first, 200_000), first);
        let changes = locks.to_write(&group(), "b", first);
        assert_eq!(changes.len(), 1);
        locks.take_back(&changes[0]);
        assert_eq!(locks.lock_batch("g", "c", first, 200_000), first, "free");
    }

    #[test]
    fn a_start_knows_whose_the_locks_were_and_gives_them_up_in_time() {
        let mut locks = QueueLocks::default();
        for (group, client, topic) in [("g", "a", "t"), ("g", "b", "u"), ("h", "a", "t")] {
            locks.lock_batch(group, client, &queues(topic, 0..5), 7_000_000);
        }
        let (mut to, mut listed) = (SweptTo::default(), Vec::new());
        loop {
            let some = locks.list(&mut to, 3);
            if some.is_empty() {
                break;
            }
            listed.extend(some);
        }
        let mut started = QueueLocks::default();
        listed.iter().for_each(|change| started.restore(change, 100));
        assert_eq!((started.len(), started.bytes), (locks.len(), locks.bytes));
        let of_t = queues("t", 0..5);
        let end = 100 + AFTER_START_MS;
        assert_eq!(started.lock_batch("g", "b", &of_t, end), [], "not in doubt yet");
        assert_eq!(started.lock_batch("g", "a", &of_t[..2], end), of_t[..2], "its own");
        assert_eq!(started.to_write(&group(), "a", &of_t[..2]), []);
        assert_eq!(started.lock_batch("g", "b", &of_t, end + 1), of_t[2..]);
        // What was freed is free.
        let freed = QueueLocks::freed(&Arc::from("h"), &of_t);
        freed.iter().for_each(|change| started.restore(change, 100));
        assert_eq!(started.lock_batch("h", "c", &of_t, 100), of_t);
    }
}
