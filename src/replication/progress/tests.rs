use super::*;

const MASTER: ReplicaId = ReplicaId(1);
const TWO: ReplicaId = ReplicaId(2);
const THREE: ReplicaId = ReplicaId(3);
const EPOCH: Epoch = Epoch(7);
const FIRST: ConnectionNumber = ConnectionNumber(1);

/// One log, committed up to 10; the record of the epoch ends at 20.
fn master(set: InSyncSet) -> Progress {
    let mut progress = Progress::new(EPOCH, MASTER, set, &[Begun { committed: 10, begun: 20 }]);
    progress.hold(0, 20);
    for member in [TWO, THREE] {
        progress.connect(member, FIRST, &[10]).expect("the first");
        progress.sent(member, FIRST, 0, 100);
    }
    progress
}

fn acknowledge(progress: &mut Progress, member: ReplicaId, position: u64) {
    progress.acknowledge((member, FIRST), EPOCH, 0, position).expect("sent");
}

#[test]
fn a_position_is_committed_when_all_that_count_hold_it() {
    let mut progress = master(InSyncSet::all_of([MASTER, TWO, THREE]));
    progress.hold(0, 50);
    acknowledge(&mut progress, TWO, 50);
    assert_eq!(progress.committed(0), 10);
    acknowledge(&mut progress, THREE, 30);
    assert_eq!(progress.committed(0), 30);
    acknowledge(&mut progress, THREE, 100);
    assert_eq!(progress.committed(0), 50, "the master counts like any");
}

/// What an earlier master left may still be replaced where only few have it.
#[test]
fn nothing_of_earlier_epochs_is_committed_without_the_record_of_the_own() {
    let mut progress = master(InSyncSet::all_of([MASTER, TWO]));
    acknowledge(&mut progress, TWO, 19);
    assert_eq!(progress.committed(0), 10);
    acknowledge(&mut progress, TWO, 20);
    assert_eq!(progress.committed(0), 20);
}

#[test]
fn an_acknowledgement_counts_in_its_epoch_on_its_connection_up_to_what_was_sent() {
    let mut progress = master(InSyncSet::all_of([MASTER, TWO]));
    progress.hold(0, 90);
    let late = progress.acknowledge((TWO, FIRST), Epoch(6), 0, 50);
    assert_eq!(late, Err(NotCounted::Epoch(Epoch(6))));
    let more = progress.acknowledge((TWO, FIRST), EPOCH, 0, 101);
    assert_eq!(more, Err(NotCounted::NotSent { said: 101, sent: 100 }));
    let second = ConnectionNumber(2);
    progress.connect(TWO, second, &[30]).expect("a later one");
    let old = progress.acknowledge((TWO, FIRST), EPOCH, 0, 90);
    assert_eq!(old, Err(NotCounted::Connection));
    assert_eq!(progress.connect(TWO, FIRST, &[90]), Err(NotCounted::Connection));
    let unsent = progress.acknowledge((TWO, second), EPOCH, 0, 90);
    assert_eq!(unsent, Err(NotCounted::NotSent { said: 90, sent: 30 }));
    assert_eq!(progress.acknowledge((TWO, second), EPOCH, 1, 0), Err(NotCounted::Log(1)));
    assert_eq!(progress.committed(0), 30);
}

#[test]
fn what_was_committed_stays_so_when_a_member_comes_back_with_less() {
    let mut progress = master(InSyncSet::all_of([MASTER, TWO]));
    progress.hold(0, 60);
    acknowledge(&mut progress, TWO, 60);
    progress.connect(TWO, ConnectionNumber(2), &[25]).expect("a later one");
    progress.hold(0, 80);
    assert_eq!(progress.committed(0), 60);
}

#[test]
fn both_sets_count_until_the_outcome_of_a_change_is_known() {
    for recorded in [true, false] {
        let mut progress = master(InSyncSet::all_of([MASTER, TWO, THREE]));
        progress.hold(0, 70);
        acknowledge(&mut progress, TWO, 70);
        acknowledge(&mut progress, THREE, 40);
        let without = InSyncSet::all_of([MASTER, TWO]);
        progress.ask(without.clone()).expect("they hold all that is committed");
        assert_eq!(progress.ask(without), Err(NotYet::UnderWay));
        assert_eq!(progress.committed(0), 40, "the old set counts on");
        progress.outcome(recorded);
        assert_eq!(progress.committed(0), if recorded { 70 } else { 40 });
    }
}

#[test]
fn a_learner_joins_when_it_holds_all_that_is_committed() {
    let mut progress = master(InSyncSet::all_of([MASTER, TWO]));
    progress.hold(0, 70);
    acknowledge(&mut progress, TWO, 70);
    acknowledge(&mut progress, THREE, 60);
    let all = InSyncSet::all_of([MASTER, TWO, THREE]);
    let behind = NotYet::Behind { log: 0, committed: 70, held: 60 };
    assert_eq!(progress.ask(all.clone()), Err(behind));
    assert_eq!(progress.ask(InSyncSet::all_of([TWO])), Err(NotYet::WithoutMaster));
    acknowledge(&mut progress, THREE, 70);
    progress.ask(all).expect("it has caught up");
    progress.hold(0, 90);
    acknowledge(&mut progress, TWO, 90);
    assert_eq!(progress.committed(0), 70, "the new set counts already");
}
