//! What is answered without a commit: renewals of locks, offsets, lists of consumers. Messages do
//! not depend on it.
//!
//! A follower promises with what it sends that nobody else answers such things within [`PROMISED`];
//! the master believes that for [`BELIEVED`], counted from when it *sent* what the follower has
//! answered. The difference is for clocks that go at different speeds.

use std::{collections::BTreeMap, time::Duration};

use crate::{ids::ReplicaId, in_sync_set::InSyncSet};

pub const PROMISED: Duration = Duration::from_millis(500);
pub const BELIEVED: Duration = Duration::from_millis(400);

const _: () = assert!(BELIEVED.as_millis() * 5 <= PROMISED.as_millis() * 4);

/// Of the master of one epoch.
#[derive(Clone, Debug)]
pub struct Lease {
    own: ReplicaId,
    /// By member: when the newest of what it has answered was sent.
    answered: BTreeMap<ReplicaId, Duration>,
}

impl Lease {
    pub fn new(own: ReplicaId) -> Lease {
        Lease { own, answered: BTreeMap::new() }
    }

    /// A member has answered, in this epoch, what was sent to it at `sent`.
    pub fn answered(&mut self, member: ReplicaId, sent: Duration) {
        let newest = self.answered.entry(member).or_default();
        *newest = sent.max(*newest);
    }

    /// Whether enough members of each set (of both, while it changes) promise that nobody else
    /// answers.
    pub fn holds<'a>(&self, sets: impl IntoIterator<Item = &'a InSyncSet>, now: Duration) -> bool {
        sets.into_iter().all(|set| {
            let promises = set.members().filter(|member| {
                let answered = self.answered.get(member);
                *member == self.own || answered.is_some_and(|sent| now < *sent + BELIEVED)
            });
            promises.count() >= set.required()
        })
    }
}

/// From when on a new leader grants locks to others and takes offsets: `joined` is when so many had
/// joined its epoch as are needed to begin it. Where all of S are required that is its own join:
/// earlier masters had its promise. Where some are, the last of them may have promised until it
/// joined.
pub fn serves_from(joined: Duration) -> Duration {
    joined + PROMISED
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ONE: ReplicaId = ReplicaId(1);
    const TWO: ReplicaId = ReplicaId(2);
    const THREE: ReplicaId = ReplicaId(3);

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_lease_counts_from_when_it_was_asked_for() {
        let all = InSyncSet::all_of([ONE, TWO, THREE]);
        let two = InSyncSet::new([ONE, TWO, THREE], 2);
        let mut lease = Lease::new(ONE);
        assert!(!lease.holds([&two], ms(1000)));
        lease.answered(TWO, ms(1000));
        // The answer came at 1200.
        assert!(lease.holds([&two], ms(1200)) && !lease.holds([&all], ms(1200)));
        assert!(lease.holds([&two], ms(1399)) && !lease.holds([&two], ms(1400)));
        lease.answered(THREE, ms(1300));
        assert!(lease.holds([&all], ms(1399)) && !lease.holds([&all, &two], ms(1400)));
        lease.answered(THREE, ms(1100));
        assert!(lease.holds([&two], ms(1699)), "an older one comes later");
        assert!(lease.holds([&InSyncSet::all_of([ONE])], ms(9000)), "it is alone");
    }

    proptest! {
        /// Clocks differ in what they show, and by a tenth in how fast they go: no master believes
        /// in its lease when a later one begins to serve.
        #[test]
        fn leases_do_not_overlap(
            sent in 0..1000_u64,
            delay in 0..1000_u64,
            joins in proptest::collection::vec(0..2000_u64, 2),
            offset in 0..100_000_u64,
            fast in 90..110_u64,
        ) {
            // In true time, the master's clock: 2 and 3 answer what was sent, unless they have
            // joined the next epoch.
            let set = InSyncSet::new([ONE, TWO, THREE], 2);
            let mut lease = Lease::new(ONE);
            for (member, joined) in [TWO, THREE].into_iter().zip(&joins) {
                if sent + delay < *joined {
                    lease.answered(member, ms(sent));
                }
            }
            // 2 leads next, and needs 3: its own clock is another one.
            let joined = joins.iter().copied().max().unwrap_or(0);
            let own = |time: u64| ms(offset + time * fast / 100);
            let from = serves_from(own(joined));
            let begins = (joined..joined + 2000).find(|time| own(*time) >= from);
            let begins = begins.expect("half a second later");
            prop_assert!(!lease.holds([&set], ms(begins)));
        }
    }
}
