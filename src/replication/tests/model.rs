//! Every order of events in a group of three: appends, writes, acknowledgements that come late,
//! crashes that lose what was not synced, elections and changes of the in-sync set, several masters
//! at a time. What a master once told to be committed is in the logs of every later one, nobody
//! cuts it off, and enough disks have it when it is told.
//!
//! What is run is the shipped code: [`progress`](ringmq_replication::progress),
//! [`follower`](ringmq_replication::follower), [`group`](ringmq_replication::group),
//! [`takeover`](ringmq_replication::takeover), [`epochs`](ringmq_replication::epochs). That the
//! model sees anything is shown by mistakes that are made on purpose, each of which it finds.
//!
//! # What is bounded, and what that leaves out
//!
//! - Three members, and messages and epochs of [`Sizes`]. Each rule is about one set of disks that
//!   has something and another one that has to meet it; with three members two such sets meet in
//!   one. Four epochs show that nothing is committed without a record of the own one; all other
//!   mistakes are seen within three.
//! - Members are the same but for their names: states that differ by names are one (`canonical`).
//! - Crashes are not counted, and have no duration. A member that is away does nothing, and every
//!   member may do nothing at any time. For the same reason nothing says who is reachable: whoever
//!   begins an epoch does so with any members that are enough.
//! - Who decides is one step that is never wrong: elections and changes of the set are recorded or
//!   refused at once, at any time after they were asked for, by somebody who has all of it.
//! - What a master sends is written at its follower at once, or later: nobody else sees the
//!   difference. An acknowledgement is delivered when it is said, which is the same as being said
//!   later, unless something else happens to that member meanwhile: for this, one acknowledgement
//!   at a time may stay on its way for as long as it likes ([`Sizes::late`]). Of several the newest
//!   says all, as they are cumulative.
//! - Joining, comparing and cutting off are one step. A member that has joined changes nothing
//!   before the next step, so that others may take theirs between.
//! - Changes of the set that are recorded in an epoch are counted; those that are refused are not.
//! - Two logs are looked at without tails that get lost ([`Sizes::tails`]): what a crash takes from
//!   one log it takes without regard to the other.
//! - Not in it: flush modes that acknowledge what is not synced, and directories that are lost or
//!   replaced. Numbers of connections protect from those alone (within an epoch no other log of a
//!   follower gets shorter), and have unit tests. Nor retention, nor any clock.
//!
//! All of it is some 860,000 states, 15 s of one core and 20 MB with optimized tests.

#[path = "model/actions.rs"]
mod actions;
#[path = "model/canonical.rs"]
mod canonical;
#[path = "model/cluster.rs"]
mod cluster;
#[path = "model/counts.rs"]
mod counts;

use std::{collections::BTreeSet, time::Instant};

use stateright::{Checker, HasDiscoveries, Model, Property};

use actions::Action;
use cluster::{Broken, Cluster, Mistake, Sizes, State};
use counts::{Counts, Event};

const LOST: &str = "nothing that was told is lost";
const BEYOND: &str = "nobody knows more to be committed than it has";
const DISKS: &str = "enough disks have what is told";

impl Model for Cluster {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions::possible(self, state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut next = last.clone();
        actions::carry_out(self, &mut next, action).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(LOST, |_, state: &State| {
                state.broken != Some(Broken::Lost) && state.newest_leader_has_all()
            }),
            Property::always(BEYOND, |_, state: &State| state.broken != Some(Broken::Beyond)),
            Property::always(DISKS, |_, state: &State| state.broken != Some(Broken::Disks)),
            Property::sometimes("a message is committed behind an election", |_, state: &State| {
                state.told.iter().any(|told| told.iter().filter(|epoch| **epoch == 2).count() > 1)
            }),
            Property::sometimes("a log is cut off", |model: &Self, _| model.counts.has(Event::Cut)),
        ];
        if self.sizes.tails {
            properties.push(Property::sometimes("a tail is lost", |model: &Self, _| {
                model.counts.has(Event::TailLost)
            }));
        }
        if self.sizes.epochs > 2 {
            properties.push(Property::sometimes("two elections", |_, state: &State| {
                state.has_committed_in(3)
            }));
        }
        if self.sizes.late {
            properties
                .push(Property::sometimes("an acknowledgement is refused", |model: &Self, _| {
                    model.counts.has(Event::AckRefused)
                }));
        }
        if self.required.is_some() {
            properties.push(Property::sometimes("a log is fetched", |model: &Self, _| {
                model.counts.has(Event::Fetched)
            }));
        } else {
            properties.push(Property::sometimes("elected without", |model: &Self, _| {
                model.counts.has(Event::ElectedWithout)
            }));
        }
        if self.sizes.changes > 0 {
            properties.extend([
                Property::sometimes("a set shrinks", |model: &Self, _| {
                    model.counts.has(Event::Shrunk)
                }),
                Property::sometimes("a change is too late", |model: &Self, _| {
                    model.counts.has(Event::AskRefused)
                }),
            ]);
        }
        if self.sizes.changes > 1 {
            properties.push(Property::sometimes("a set grows", |model: &Self, _| {
                model.counts.has(Event::Grown)
            }));
        }
        properties
    }
}

/// All that may happen: nothing is lost, and what should happen somewhere does.
fn holds(sizes: Sizes, required: Option<usize>) {
    let cluster = Cluster { sizes, required, mistake: None, counts: Counts::default() };
    let start = Instant::now();
    let names: BTreeSet<_> = [LOST, BEYOND, DISKS].into();
    let checker =
        cluster.clone().checker().finish_when(HasDiscoveries::AnyOf(names)).spawn_dfs().join();
    let (different, all) = (checker.unique_state_count(), checker.state_count());
    println!("{sizes:?}, {required:?}: {different} states, {all} steps, {:?}", start.elapsed());
    for property in cluster.properties() {
        let found = checker.discovery(property.name);
        match property.expectation {
            stateright::Expectation::Sometimes => {
                assert!(found.is_some(), "{cluster:?}: not seen: {}", property.name);
            }
            _ => assert!(
                found.is_none(),
                "{}: {cluster:?}: {:#?}",
                property.name,
                found.map(|path| path.into_actions())
            ),
        }
    }
}

/// The shortest story that shows a mistake.
fn finds(mistake: Mistake, property: &'static str, sizes: Sizes, required: Option<usize>) {
    let counts = Counts::default();
    let cluster = Cluster { sizes, required, mistake: Some(mistake), counts };
    let start = Instant::now();
    let finish = HasDiscoveries::AnyOf([property].into());
    let checker = cluster.checker().finish_when(finish).spawn_bfs().join();
    let story = checker.discovery(property).map(|path| path.into_actions());
    let states = checker.unique_state_count();
    println!("{mistake:?}, {states} states, {:?}: {story:?}", start.elapsed());
    assert!(story.is_some(), "{mistake:?} is not found in {states} states");
}

const SMALL: Sizes =
    Sizes { logs: 1, messages: 1, epochs: 2, changes: 0, tails: true, late: false };

#[test]
fn all_members_are_required() {
    holds(Sizes { epochs: 3, ..SMALL }, None);
}

#[test]
fn all_members_are_required_and_acknowledgements_come_late() {
    holds(Sizes { messages: 2, late: true, ..SMALL }, None);
}

#[test]
fn members_come_and_go() {
    holds(Sizes { changes: 2, ..SMALL }, None);
}

#[test]
fn two_of_three_are_required() {
    holds(Sizes { epochs: 3, ..SMALL }, Some(2));
}

/// It takes four to commit what an earlier master left, and to lose it to another one's record.
#[test]
fn four_masters_one_after_the_other() {
    holds(Sizes { epochs: 4, tails: false, ..SMALL }, Some(2));
}

#[test]
fn two_of_three_are_required_and_acknowledgements_come_late() {
    holds(Sizes { late: true, ..SMALL }, Some(2));
}

#[test]
fn members_come_and_go_where_two_are_required() {
    holds(Sizes { changes: 1, ..SMALL }, Some(2));
}

#[test]
fn of_two_logs_each_may_be_ahead_somewhere_else() {
    holds(Sizes { logs: 2, messages: 2, tails: false, ..SMALL }, Some(2));
}

#[test]
fn what_is_written_is_not_held() {
    finds(Mistake::WrittenIsHeld, LOST, SMALL, None);
}

#[test]
fn acknowledgements_of_earlier_epochs_do_not_count() {
    let sizes = Sizes { late: true, epochs: 3, ..SMALL };
    finds(Mistake::EarlierEpochsCount, LOST, sizes, Some(2));
}

#[test]
fn connections_are_not_counted() {
    finds(Mistake::ConnectionsCount, LOST, Sizes { late: true, ..SMALL }, None);
}

#[test]
fn nothing_is_committed_without_the_record_of_the_epoch() {
    let sizes = Sizes { epochs: 4, messages: 1, ..SMALL };
    finds(Mistake::NoRecordOfTheEpoch, LOST, sizes, Some(2));
}

#[test]
fn nothing_is_committed_beyond_the_own_end() {
    finds(Mistake::CommittedBeyondTheEnd, BEYOND, SMALL, Some(2));
}

#[test]
fn a_change_of_the_set_counts_when_it_is_recorded() {
    finds(Mistake::ShrinksBeforeTheOutcome, LOST, Sizes { changes: 1, ..SMALL }, None);
    let sizes = Sizes { changes: 1, epochs: 3, tails: false, ..SMALL };
    finds(Mistake::CountsTheOldSetOnly, LOST, sizes, None);
}

#[test]
fn an_election_leaves_a_set_alone_that_does_not_require_all() {
    finds(Mistake::ElectionShrinks, LOST, Sizes { epochs: 3, ..SMALL }, Some(2));
}

#[test]
fn a_stale_suffix_is_not_adopted() {
    finds(Mistake::StaleSuffixKept, LOST, Sizes { epochs: 3, ..SMALL }, None);
    finds(Mistake::LongestIsTaken, LOST, Sizes { epochs: 3, ..SMALL }, Some(2));
}

#[test]
fn what_only_others_have_is_not_discarded() {
    finds(Mistake::OthersAreDiscarded, LOST, SMALL, Some(2));
}

#[test]
fn a_joined_epoch_is_remembered() {
    finds(Mistake::JoinedIsForgotten, LOST, SMALL, Some(2));
}
