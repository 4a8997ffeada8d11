//! The members whose copies count, and how many of them must have a message before it is committed.

use std::collections::BTreeSet;

use crate::ids::ReplicaId;

/// S and W. Recorded with the epoch: it changes by a decision of all, never by a guess.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InSyncSet {
    members: BTreeSet<ReplicaId>,
    required: usize,
}

impl InSyncSet {
    /// # Panics
    /// If nobody is in it, or it asks for none or for more than it has.
    pub fn new(members: impl IntoIterator<Item = ReplicaId>, required: usize) -> InSyncSet {
        let members: BTreeSet<_> = members.into_iter().collect();
        let size = members.len();
        assert!((1..=size).contains(&required), "{required} of {size} members are required");
        InSyncSet { members, required }
    }

    /// Every member has what is committed, so that any of them may lead at once.
    pub fn all_of(members: impl IntoIterator<Item = ReplicaId>) -> InSyncSet {
        let members: BTreeSet<_> = members.into_iter().collect();
        let required = members.len();
        InSyncSet::new(members, required)
    }

    pub fn contains(&self, member: ReplicaId) -> bool {
        self.members.contains(&member)
    }

    pub fn members(&self) -> impl Iterator<Item = ReplicaId> {
        self.members.iter().copied()
    }

    /// How many of them must hold a position, the master among them.
    pub fn required(&self) -> usize {
        self.required
    }

    pub fn requires_all(&self) -> bool {
        self.required == self.members.len()
    }

    /// Members that are in one of the two sets only.
    pub fn difference(&self, other: &InSyncSet) -> usize {
        self.members.symmetric_difference(&other.members).count()
    }

    /// Whether all of its members are in the other.
    pub fn is_within(&self, other: &InSyncSet) -> bool {
        self.members.is_subset(&other.members)
    }

    /// The largest position that enough members hold; a member without a position holds nothing.
    pub fn held(&self, position_of: impl Fn(ReplicaId) -> u64) -> u64 {
        let mut held: Vec<u64> = self.members().map(position_of).collect();
        held.sort_unstable_by(|one, other| other.cmp(one));
        held[self.required - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(numbers: &[u32]) -> Vec<ReplicaId> {
        numbers.iter().copied().map(ReplicaId).collect()
    }

    #[test]
    fn a_position_is_held_when_enough_members_have_it() {
        let position = |member: ReplicaId| [0, 70, 50, 60, 900][member.0 as usize];
        let held = |set: InSyncSet| set.held(position);
        assert_eq!(held(InSyncSet::all_of(ids(&[1, 2, 3]))), 50);
        assert_eq!(held(InSyncSet::new(ids(&[1, 2, 3]), 2)), 60);
        assert_eq!(held(InSyncSet::new(ids(&[1, 2, 3]), 1)), 70);
        assert_eq!(held(InSyncSet::all_of(ids(&[2]))), 50);
    }

    #[test]
    #[should_panic(expected = "3 of 2 members are required")]
    fn a_set_asks_for_no_more_than_it_has() {
        InSyncSet::new(ids(&[1, 2]), 3);
    }
}
