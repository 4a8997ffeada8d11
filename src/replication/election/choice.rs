//! Who is the best of S.

use crate::{ids::ReplicaId, in_sync_set::InSyncSet, takeover::LogEnd};

/// What a member has told of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// A log takes no appends any more.
    pub is_fenced: bool,
    /// It has no whole store yet.
    pub is_seeding: bool,
    /// It will be gone soon.
    pub is_leaving: bool,
    /// Its writes take long.
    pub is_slow: bool,
    /// It acknowledged what was not synced, and its machine has gone down since.
    pub is_in_doubt: bool,
    /// Smaller ones first, as in `brokerElectionPriority`.
    pub priority: u32,
    /// By log.
    pub ends: Vec<LogEnd>,
}

impl Facts {
    /// The newest epoch that it has anything of, and how much it has.
    pub(super) fn reach(&self) -> (u32, u128) {
        let newest = self.ends.iter().map(|end| end.epoch.0).max().unwrap_or(0);
        (newest, self.ends.iter().map(|end| u128::from(end.end)).sum())
    }
}

/// Why nobody can lead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Nobody {
    #[error(
        "no member of the in-sync set can lead: {0} of {1} are away, fenced or seeding; one of \
         them has to come back, as all others may lack what was acknowledged"
    )]
    Able(usize, usize),
    #[error(
        "the machines of all members of the in-sync set went down before everything was on their \
         disks, and {0} of {1} are away; the best of all leads when all are there"
    )]
    AllInDoubt(usize, usize),
}

/// The best of S of those that can be reached and are able: the healthy ones first, then by
/// priority, then who has most, then the smallest id.
///
/// # Errors
/// If there is none. Members in doubt lead only if all of S are, and all are there.
pub fn best<'a>(
    set: &InSyncSet,
    reached: impl IntoIterator<Item = (ReplicaId, &'a Facts)>,
) -> Result<ReplicaId, Nobody> {
    let size = set.members().count();
    let able: Vec<(ReplicaId, &Facts)> = reached
        .into_iter()
        .filter(|(member, facts)| set.contains(*member) && !facts.is_fenced && !facts.is_seeding)
        .collect();
    let away = size - able.len();
    let is_sure = |candidate: &&(ReplicaId, &Facts)| !candidate.1.is_in_doubt;
    if able.is_empty() {
        return Err(Nobody::Able(away, size));
    }
    if let Some((best, _)) = able.iter().filter(is_sure).min_by_key(rank) {
        return Ok(*best);
    }
    match able.iter().min_by_key(in_doubt) {
        Some((best, _)) if away == 0 => Ok(*best),
        _ => Err(Nobody::AllInDoubt(away, size)),
    }
}

type Rank = (bool, u32, std::cmp::Reverse<(u32, u128)>, ReplicaId);

fn rank((member, facts): &&(ReplicaId, &Facts)) -> Rank {
    let is_unhealthy = facts.is_leaving || facts.is_slow;
    (is_unhealthy, facts.priority, std::cmp::Reverse(facts.reach()), *member)
}

/// Here what each has comes first.
fn in_doubt(candidate: &&(ReplicaId, &Facts)) -> (std::cmp::Reverse<(u32, u128)>, Rank) {
    (std::cmp::Reverse(candidate.1.reach()), rank(candidate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Epoch;

    const ONE: ReplicaId = ReplicaId(1);
    const TWO: ReplicaId = ReplicaId(2);
    const THREE: ReplicaId = ReplicaId(3);

    fn with(epoch: u32, end: u64) -> Facts {
        let ends = vec![LogEnd { epoch: Epoch(epoch), end }];
        Facts { ends, priority: 5, ..Facts::default() }
    }

    #[test]
    fn health_goes_before_priority_and_that_before_what_each_has() {
        let set = InSyncSet::all_of([ONE, TWO, THREE]);
        let best_of = |one: &Facts, two: &Facts| best(&set, [(ONE, one), (TWO, two)]);
        let plain = with(3, 100);
        assert_eq!(best_of(&plain, &plain), Ok(ONE));
        assert_eq!(best_of(&plain, &with(3, 101)), Ok(TWO));
        assert_eq!(best_of(&with(3, u64::MAX), &with(4, 5)), Ok(TWO), "of a later epoch");
        let preferred = Facts { priority: 1, ..with(3, 50) };
        assert_eq!(best_of(&plain, &preferred), Ok(TWO));
        for unwell in [
            Facts { is_slow: true, ..preferred.clone() },
            Facts { is_leaving: true, ..preferred.clone() },
            Facts { is_in_doubt: true, ..preferred.clone() },
            Facts { is_fenced: true, ..preferred },
        ] {
            assert_eq!(best_of(&plain, &unwell), Ok(ONE), "{unwell:?}");
        }
        let slow = Facts { is_slow: true, ..plain.clone() };
        assert_eq!(
            best_of(&slow, &Facts { is_fenced: true, ..plain }),
            Ok(ONE),
            "better than none"
        );
    }

    #[test]
    fn only_members_of_the_set_lead_and_without_one_nobody_does() {
        let set = InSyncSet::all_of([ONE, TWO]);
        let facts = with(9, 900);
        assert_eq!(best(&set, [(THREE, &facts), (TWO, &with(1, 1))]), Ok(TWO));
        assert_eq!(best(&set, [(THREE, &facts)]), Err(Nobody::Able(2, 2)));
        let seeding = Facts { is_seeding: true, ..facts };
        let refused = best(&set, [(ONE, &seeding)]).expect_err("it has nothing");
        assert!(refused.to_string().contains("2 of 2 are away, fenced or seeding"), "{refused}");
    }

    #[test]
    fn of_members_in_doubt_the_one_with_most_leads_when_all_are_there() {
        let set = InSyncSet::all_of([ONE, TWO]);
        let less = Facts { is_in_doubt: true, priority: 1, ..with(3, 100) };
        let more = Facts { is_in_doubt: true, ..with(3, 200) };
        assert_eq!(best(&set, [(ONE, &less)]), Err(Nobody::AllInDoubt(1, 2)));
        assert_eq!(best(&set, [(ONE, &less), (TWO, &more)]), Ok(TWO));
    }
}
