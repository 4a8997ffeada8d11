//! What a new leader needs before it begins its epoch: everything that may have been committed.
//!
//! Enough members of S join the new epoch, durably, that each W of them, which is how many an
//! earlier master needed, include one that joined. That one takes part in no earlier epoch any more
//! and has what was committed. Of their logs the best is taken, each by itself: what one member
//! lacks in one log another may lack in the next.

use crate::{
    ids::{Epoch, ReplicaId},
    in_sync_set::InSyncSet,
};

/// How a log ends on stable storage: the epoch of its last record, and the position behind it. Of
/// two logs the one that goes further in a later epoch is the greater: length alone says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogEnd {
    pub epoch: Epoch,
    pub end: u64,
}

/// A member that has joined the new epoch, with the ends of its logs as they are since then.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Joined {
    pub member: ReplicaId,
    pub ends: Vec<LogEnd>,
}

/// Why a leadership cannot begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotBegin {
    #[error("{joined} members of the in-sync set have joined, and {needed} are needed")]
    Few { joined: usize, needed: usize },
    #[error("replica {0} leads, and has not joined")]
    WithoutLeader(ReplicaId),
    #[error("replica {member} has told the ends of {told} logs, and there are {logs}")]
    Logs { member: ReplicaId, told: usize, logs: usize },
}

/// How many members of the set have to join, the new leader among them.
pub fn joins_needed(set: &InSyncSet) -> usize {
    set.members().count() - set.required() + 1
}

/// By log: whose copy the new leader takes; its own where none is better.
///
/// # Errors
/// If too few have joined, or they do not agree on how many logs there are.
pub fn sources(
    set: &InSyncSet,
    leader: ReplicaId,
    joined: &[Joined],
) -> Result<Vec<ReplicaId>, CannotBegin> {
    // Members that do not count may lack anything, and may have anything.
    let counts: Vec<_> = joined.iter().filter(|one| set.contains(one.member)).collect();
    let needed = joins_needed(set);
    if counts.len() < needed {
        return Err(CannotBegin::Few { joined: counts.len(), needed });
    }
    let own = counts.iter().find(|one| one.member == leader);
    let own = own.ok_or(CannotBegin::WithoutLeader(leader))?;
    let logs = own.ends.len();
    if let Some(other) = counts.iter().find(|one| one.ends.len() != logs) {
        return Err(CannotBegin::Logs { member: other.member, told: other.ends.len(), logs });
    }
    let best = |log: usize| {
        let mut best = own;
        for other in &counts {
            if other.ends.get(log) > best.ends.get(log) {
                best = other;
            }
        }
        best.member
    };
    Ok((0..logs).map(best).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: ReplicaId = ReplicaId(1);
    const TWO: ReplicaId = ReplicaId(2);
    const THREE: ReplicaId = ReplicaId(3);

    fn joined(member: ReplicaId, ends: &[(u32, u64)]) -> Joined {
        let end = |(epoch, end): &(u32, u64)| LogEnd { epoch: Epoch(*epoch), end: *end };
        Joined { member, ends: ends.iter().map(end).collect() }
    }

    #[test]
    fn each_log_comes_from_who_has_most_of_the_latest_epoch() {
        let set = InSyncSet::new([ONE, TWO, THREE], 2);
        let both =
            [joined(TWO, &[(4, 90), (4, 10), (5, 5)]), joined(ONE, &[(4, 80), (4, 20), (4, 900)])];
        assert_eq!(sources(&set, ONE, &both), Ok(vec![TWO, ONE, TWO]));
        let same = [joined(TWO, &[(4, 90)]), joined(ONE, &[(4, 90)])];
        assert_eq!(sources(&set, ONE, &same), Ok(vec![ONE]), "nothing is fetched for nothing");
    }

    #[test]
    fn enough_members_of_the_set_have_to_join() {
        let set = InSyncSet::new([ONE, TWO, THREE], 2);
        let alone = [joined(ONE, &[(1, 5)])];
        let few = Err(CannotBegin::Few { joined: 1, needed: 2 });
        assert_eq!(sources(&set, ONE, &alone), few);
        let stranger = [joined(ONE, &[(1, 5)]), joined(ReplicaId(4), &[(1, 9)])];
        assert_eq!(sources(&set, ONE, &stranger), few, "it is not in the set");
        let others = [joined(TWO, &[(1, 5)]), joined(THREE, &[(1, 5)])];
        assert_eq!(sources(&set, ONE, &others), Err(CannotBegin::WithoutLeader(ONE)));
        let odd = [joined(ONE, &[(1, 5)]), joined(TWO, &[(1, 5), (1, 5)])];
        let refused = sources(&set, ONE, &odd).expect_err("two logs");
        assert_eq!(refused.to_string(), "replica 2 has told the ends of 2 logs, and there are 1");
        let all = InSyncSet::all_of([ONE, TWO, THREE]);
        assert_eq!(sources(&all, ONE, &alone), Ok(vec![ONE]), "all have everything");
    }
}
