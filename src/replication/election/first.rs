//! The first leader of a group: before anything was elected, and so before anything is known to be
//! in sync.

use std::{collections::BTreeMap, time::Duration};

use crate::{election::choice::Facts, ids::ReplicaId};

/// Configured members that have not come by then are not waited for.
pub const WAITED_FOR: Duration = Duration::from_secs(3);

/// A member of the configuration that has registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The store that it has; `None`: an empty directory.
    pub lineage: Option<u128>,
    pub facts: Facts,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cannot {
    #[error("{0} of {1} configured members have registered; the others are waited for")]
    Yet(usize, usize),
    #[error(
        "replica {one} has store {one_lineage:032x} and replica {other} has store \
         {other_lineage:032x}, and neither is a copy of the other: start the group without one of \
         them, with an empty directory in its place, or under another broker name"
    )]
    TwoStores { one: ReplicaId, one_lineage: u128, other: ReplicaId, other_lineage: u128 },
    #[error("all members that have registered are fenced or not whole")]
    NobodyIsAble,
}

/// Who leads first, alone in the in-sync set: the only one with data, of several with the same
/// store the one that has most. Whoever comes later follows and is counted when it has everything.
///
/// # Errors
/// If some are still waited for, or their stores have nothing to do with each other.
pub fn leader(
    configured: usize,
    registered: &BTreeMap<ReplicaId, Registered>,
    waited: Duration,
) -> Result<ReplicaId, Cannot> {
    if registered.is_empty() || registered.len() < configured && waited < WAITED_FOR {
        return Err(Cannot::Yet(registered.len(), configured));
    }
    let with_data: Vec<(ReplicaId, u128)> = registered
        .iter()
        .filter_map(|(member, is)| is.lineage.map(|lineage| (*member, lineage)))
        .collect();
    if let Some((one, one_lineage)) = with_data.first().copied()
        && let Some((other, other_lineage)) =
            with_data.iter().copied().find(|(_, lineage)| *lineage != one_lineage)
    {
        return Err(Cannot::TwoStores { one, one_lineage, other, other_lineage });
    }
    let able = registered.iter().filter(|(_, is)| {
        let has_what_there_is = with_data.is_empty() || is.lineage.is_some();
        has_what_there_is && !is.facts.is_fenced && !is.facts.is_seeding
    });
    // What each has goes before priority: nothing says yet what was acknowledged.
    let best = able.max_by_key(|(member, is)| {
        let preferred = std::cmp::Reverse((is.facts.priority, **member));
        (is.facts.reach(), preferred)
    });
    best.map(|(member, _)| *member).ok_or(Cannot::NobodyIsAble)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ids::Epoch, takeover::LogEnd};

    const ONE: ReplicaId = ReplicaId(1);
    const TWO: ReplicaId = ReplicaId(2);
    const THREE: ReplicaId = ReplicaId(3);
    const SECOND: Duration = Duration::from_secs(1);

    fn empty() -> Registered {
        Registered { lineage: None, facts: Facts { priority: 9, ..Facts::default() } }
    }

    fn with(lineage: u128, epoch: u32, end: u64) -> Registered {
        let ends = vec![LogEnd { epoch: Epoch(epoch), end }];
        let facts = Facts { ends, priority: 9, ..Facts::default() };
        Registered { lineage: Some(lineage), facts }
    }

    fn of(members: &[(ReplicaId, Registered)], waited: Duration) -> Result<ReplicaId, Cannot> {
        leader(3, &members.iter().cloned().collect(), waited)
    }

    #[test]
    fn members_are_waited_for_for_three_seconds() {
        let two = [(ONE, empty()), (TWO, empty())];
        assert_eq!(of(&two, SECOND), Err(Cannot::Yet(2, 3)));
        assert_eq!(of(&two, 3 * SECOND), Ok(ONE));
        assert_eq!(of(&[], 9 * SECOND), Err(Cannot::Yet(0, 3)), "there is nobody");
        let three = [(ONE, empty()), (TWO, empty()), (THREE, empty())];
        assert_eq!(of(&three, Duration::ZERO), Ok(ONE));
        let preferred = Facts { priority: 1, ..Facts::default() };
        let three = [(ONE, empty()), (TWO, Registered { facts: preferred, ..empty() })];
        assert_eq!(of(&three, 3 * SECOND), Ok(TWO));
    }

    #[test]
    fn whoever_has_data_leads_and_of_copies_the_one_with_most() {
        let one_store = [(ONE, empty()), (TWO, with(7, 1, 100)), (THREE, empty())];
        assert_eq!(of(&one_store, SECOND), Ok(TWO));
        let copies = [(ONE, with(7, 3, 100)), (TWO, with(7, 2, 900)), (THREE, with(7, 3, 101))];
        assert_eq!(of(&copies, SECOND), Ok(THREE));
        let mut fenced = copies;
        fenced[2].1.facts.is_fenced = true;
        assert_eq!(of(&fenced, SECOND), Ok(ONE));
        let mut alone = one_store;
        alone[1].1.facts.is_fenced = true;
        assert_eq!(of(&alone, SECOND), Err(Cannot::NobodyIsAble), "the others have nothing");
    }

    #[test]
    fn two_stores_are_not_made_one() {
        let two = [(ONE, with(7, 1, 100)), (TWO, empty()), (THREE, with(8, 9, 900))];
        let refused = of(&two, SECOND).expect_err("two stores").to_string();
        let begins = "replica 1 has store 00000000000000000000000000000007 and replica 3 has store";
        assert!(refused.starts_with(begins), "{refused}");
    }
}
