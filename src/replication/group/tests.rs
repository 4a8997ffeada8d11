use super::*;

const ONE: ReplicaId = ReplicaId(1);
const TWO: ReplicaId = ReplicaId(2);
const THREE: ReplicaId = ReplicaId(3);

fn all() -> GroupState {
    GroupState::first(ONE, InSyncSet::all_of([ONE, TWO, THREE]))
}

fn elect(epoch: u32, leader: ReplicaId, without_old: bool) -> Command {
    Command::Elect { epoch: Epoch(epoch), leader, without_old }
}

fn alter(version: u64, set: InSyncSet) -> Command {
    Command::AlterSet { epoch: Epoch(1), version, set }
}

#[test]
fn what_was_decided_upon_something_else_changes_nothing() {
    let mut state = all();
    state.apply(&elect(1, TWO, true)).expect("in sync");
    assert_eq!((state.epoch, state.leader), (Epoch(2), TWO));
    assert_eq!(state.set, InSyncSet::all_of([TWO, THREE]));
    let before = state.clone();
    let refused = state.apply(&elect(1, THREE, true));
    assert_eq!(refused, Err(Refused::Epoch { is: Epoch(2), was: Epoch(1) }));
    let refused = state.apply(&alter(0, InSyncSet::all_of([ONE, TWO, THREE])));
    assert_eq!(refused, Err(Refused::Epoch { is: Epoch(2), was: Epoch(1) }));
    assert_eq!(state, before);
}

#[test]
fn the_set_changes_by_one_member_and_never_without_its_leader() {
    let mut state = all();
    assert_eq!(state.apply(&alter(0, InSyncSet::all_of([ONE]))), Err(Refused::Change));
    assert_eq!(state.apply(&alter(0, InSyncSet::all_of([TWO, THREE]))), Err(Refused::Change));
    state.apply(&alter(0, InSyncSet::all_of([ONE, TWO]))).expect("one less");
    let again = state.apply(&alter(0, InSyncSet::all_of([ONE])));
    assert_eq!(again, Err(Refused::Version { is: 1, was: 0 }));
    state.apply(&alter(1, InSyncSet::all_of([ONE, TWO, THREE]))).expect("one more");
}

#[test]
fn only_members_in_sync_are_elected_and_a_set_that_asks_for_some_stays() {
    let mut state = GroupState::first(ONE, InSyncSet::all_of([ONE, TWO]));
    assert_eq!(state.apply(&elect(1, THREE, true)), Err(Refused::NotInSync(THREE)));
    assert_eq!(state.apply(&elect(1, ONE, true)), Err(Refused::Leads(ONE)));
    let mut some = GroupState::first(ONE, InSyncSet::new([ONE, TWO, THREE], 2));
    let refused = some.apply(&elect(1, TWO, true));
    assert_eq!(refused, Err(Refused::MustStay { required: 2, size: 3 }));
    some.apply(&elect(1, TWO, false)).expect("all stay");
    assert_eq!(some.set, InSyncSet::new([ONE, TWO, THREE], 2));
}
