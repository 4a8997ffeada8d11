use proptest::prelude::*;

use super::*;
use crate::{in_sync_set::InSyncSet, takeover::LogEnd};

const ONE: ReplicaId = ReplicaId(1);
const TWO: ReplicaId = ReplicaId(2);
const THREE: ReplicaId = ReplicaId(3);

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// How a member sees the master of an epoch.
fn silent(epoch: u32, milliseconds: u64) -> View {
    View { epoch: Epoch(epoch), silent_for: ms(milliseconds), is_refused: false }
}

fn timer(due: u64) -> Event {
    Event::Timer { due: ms(due) }
}

fn facts(end: u64) -> Facts {
    Facts { ends: vec![LogEnd { epoch: Epoch(1), end }], ..Facts::default() }
}

fn told(from: ReplicaId, end: u64, view: View) -> Event {
    Event::Told { from, facts: facts(end), view: Some(view) }
}

/// 1 leads and nobody misses it yet.
fn group(set: InSyncSet) -> Agreement {
    let mut agreement = Agreement::new(GroupState::first(ONE, set));
    let own = Event::Told { from: ONE, facts: facts(90), view: None };
    assert_eq!(agreement.step(own, ms(1000)), []);
    assert_eq!(agreement.step(told(TWO, 80, silent(1, 20)), ms(1000)), []);
    assert_eq!(agreement.step(told(THREE, 70, silent(1, 30)), ms(1000)), []);
    agreement
}

fn three() -> Agreement {
    group(InSyncSet::all_of([ONE, TWO, THREE]))
}

fn elects(leader: ReplicaId, without_old: bool) -> Vec<Action> {
    vec![Action::Propose(Command::Elect { epoch: Epoch(1), leader, without_old })]
}

fn asks(question: u64) -> Vec<Action> {
    let ask = |member| Action::Ask { member, question, epoch: Epoch(1) };
    vec![ask(TWO), ask(THREE)]
}

fn answer(from: ReplicaId, question: u64, milliseconds: u64) -> Event {
    Event::Answered { from, question, view: silent(1, milliseconds) }
}

#[test]
fn a_master_that_all_miss_is_replaced_by_the_best_of_them() {
    let mut agreement = three();
    assert_eq!(agreement.step(told(THREE, 70, silent(1, 510)), ms(1100)), asks(1));
    assert_eq!(agreement.step(answer(THREE, 1, 512), ms(1102)), []);
    assert_eq!(agreement.step(answer(TWO, 1, 450), ms(1103)), elects(TWO, true));
    // It is not proposed again and again, but if it gets lost.
    assert_eq!(agreement.step(timer(1150), ms(1150)), []);
    assert_eq!(agreement.step(told(TWO, 80, silent(1, 900)), ms(1700)), [asks(2)[0].clone()]);
}

#[test]
fn one_member_that_hears_the_master_is_enough_to_leave_it() {
    let mut agreement = three();
    assert_eq!(agreement.step(told(THREE, 70, silent(1, 510)), ms(1100)), asks(1));
    assert_eq!(agreement.step(answer(TWO, 1, 90), ms(1102)), []);
    assert_eq!(agreement.step(answer(THREE, 1, 512), ms(1103)), [], "that question is over");
    assert_eq!(agreement.step(timer(1120), ms(1120)), []);
    assert_eq!(agreement.step(timer(1155), ms(1155)), asks(2), "it still suspects");
    assert_eq!(agreement.step(answer(TWO, 1, 900), ms(1156)), [], "to another question");
    assert_eq!(agreement.step(answer(TWO, 2, 410), ms(1157)), []);
    assert_eq!(agreement.step(answer(THREE, 2, 600), ms(1158)), elects(TWO, true));
}

#[test]
fn who_is_away_or_does_not_answer_is_not_waited_for() {
    let mut agreement = three();
    agreement.step(Event::Gone(TWO), ms(1050));
    let refused = View { is_refused: true, ..silent(1, 30) };
    let ask = Action::Ask { member: THREE, question: 1, epoch: Epoch(1) };
    assert_eq!(agreement.step(told(THREE, 70, refused), ms(1100)), [ask]);
    let agrees = Event::Answered { from: THREE, question: 1, view: refused };
    assert_eq!(agreement.step(agrees, ms(1102)), elects(THREE, true));

    let mut agreement = three();
    assert_eq!(agreement.step(told(THREE, 70, silent(1, 510)), ms(1100)), asks(1));
    assert_eq!(agreement.step(answer(THREE, 1, 510), ms(1101)), []);
    assert_eq!(agreement.step(timer(1299), ms(1299)), []);
    assert_eq!(agreement.step(timer(1300), ms(1300)), elects(THREE, true));
}

#[test]
fn without_anybody_who_agrees_nobody_is_elected() {
    let mut agreement = three();
    assert_eq!(agreement.step(told(THREE, 70, silent(1, 510)), ms(1100)), asks(1));
    assert_eq!(agreement.step(timer(1300), ms(1300)), [], "both are gone");
    assert_eq!(agreement.step(timer(1400), ms(1400)), []);
}

#[test]
fn a_set_that_does_not_require_all_is_left_as_it_is() {
    let mut agreement = group(InSyncSet::new([ONE, TWO, THREE], 2));
    agreement.step(told(THREE, 70, silent(1, 510)), ms(1100));
    agreement.step(answer(THREE, 1, 510), ms(1101));
    assert_eq!(agreement.step(answer(TWO, 1, 510), ms(1102)), elects(TWO, false));
}

#[test]
fn a_master_that_resigns_is_replaced_without_a_question() {
    let mut agreement = three();
    let late = Event::Resigned { from: ONE, epoch: Epoch(0) };
    assert_eq!(agreement.step(late, ms(1050)), []);
    let other = Event::Resigned { from: TWO, epoch: Epoch(1) };
    assert_eq!(agreement.step(other, ms(1050)), []);
    let resigns = Event::Resigned { from: ONE, epoch: Epoch(1) };
    assert_eq!(agreement.step(resigns, ms(1060)), elects(TWO, true));
    let mut alone = group(InSyncSet::all_of([ONE]));
    let actions = alone.step(Event::Resigned { from: ONE, epoch: Epoch(1) }, ms(1060));
    assert_eq!(actions, [Action::Without(Nobody::Able(1, 1))]);
    assert_eq!(alone.step(timer(1100), ms(1100)), [], "it is said once");
}

#[test]
fn views_of_earlier_masters_say_nothing_about_this_one() {
    let mut agreement = three();
    let mut second = GroupState::first(ONE, InSyncSet::all_of([ONE, TWO, THREE]));
    let elected = Command::Elect { epoch: Epoch(1), leader: TWO, without_old: true };
    second.apply(&elected).expect("in sync");
    assert_eq!(agreement.step(Event::Recorded(second), ms(1100)), []);
    assert_eq!(agreement.step(told(THREE, 70, silent(1, 900)), ms(1200)), []);
    let actions = agreement.step(told(THREE, 70, silent(2, 600)), ms(1300));
    let ask = |member| Action::Ask { member, question: 1, epoch: Epoch(2) };
    assert_eq!(actions, [ask(ONE), ask(THREE)]);
    assert_eq!(agreement.step(answer(THREE, 1, 900), ms(1310)), [], "of epoch 1");
}

#[test]
fn a_hand_over_goes_to_a_member_that_can_lead() {
    let mut agreement = group(InSyncSet::all_of([ONE, TWO]));
    let mut to = |member, now| agreement.step(Event::HandOver { to: member }, ms(now));
    let stays = |to, why| vec![Action::Stays { to, why }];
    assert_eq!(to(ONE, 1010), stays(ONE, "it leads already"));
    assert_eq!(to(THREE, 1010), stays(THREE, "it is not in sync"));
    assert_eq!(to(TWO, 1600), stays(TWO, "it cannot be reached"));
    assert_eq!(to(TWO, 1010), elects(TWO, false));
}

#[test]
fn answers_that_are_not_read_yet_are_waited_for() {
    let mut agreement = three();
    assert_eq!(agreement.step(told(THREE, 70, silent(1, 510)), ms(1100)), asks(1));
    assert_eq!(agreement.step(answer(THREE, 1, 510), ms(1101)), []);
    // The timer of 1150 runs at 1700: 2 has said long ago that it hears the master.
    assert_eq!(agreement.step(timer(1150), ms(1700)), []);
    assert_eq!(agreement.step(answer(TWO, 1, 10), ms(1701)), [], "that question is over");
    assert_eq!(agreement.step(timer(1750), ms(1760)), asks(2), "and is asked again");
    assert_eq!(agreement.step(answer(TWO, 2, 10), ms(1761)), []);
}

#[derive(Clone, Debug)]
enum Step {
    Told { member: u32, silent_for: u64 },
    Answered { member: u32, question: u64, silent_for: u64 },
    Gone(u32),
    Timer { late: u64 },
}

fn steps() -> impl Strategy<Value = Step> {
    let silence = prop_oneof![0..400_u64, 401..900_u64];
    prop_oneof![
        (1..=4_u32, silence.clone())
            .prop_map(|(member, silent_for)| Step::Told { member, silent_for }),
        (1..=4_u32, 0..2_u64, silence).prop_map(|(member, question, silent_for)| {
            Step::Answered { member, question, silent_for }
        }),
        (1..=4_u32).prop_map(Step::Gone),
        (0..200_u64).prop_map(|late| Step::Timer { late }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whoever is elected is in the set, was asked last and agreed; and nobody who was asked then
    /// has said anything else.
    #[test]
    fn nobody_is_elected_whom_somebody_hears_the_master_against(
        steps in proptest::collection::vec((steps(), 1..60_u64), 1..60),
        required in 2..=3_usize,
    ) {
        let set = InSyncSet::new([ONE, TWO, THREE], required);
        let mut agreement = Agreement::new(GroupState::first(ONE, set));
        let mut agreed = BTreeMap::new();
        let mut number = 0;
        let mut now = 1000;
        for (step, later) in steps {
            now += later;
            let event = match step {
                Step::Told { member, silent_for } => {
                    let from = ReplicaId(member);
                    let view = (from != ONE).then(|| silent(1, silent_for));
                    Event::Told { from, facts: facts(5), view }
                }
                Step::Answered { member, question, silent_for } => {
                    let (from, view) = (ReplicaId(member), silent(1, silent_for));
                    let question = number - question.min(number);
                    if question == number && agreed.contains_key(&from) {
                        agreed.insert(from, Some(view.agrees()));
                    }
                    Event::Answered { from, question, view }
                }
                Step::Gone(member) => {
                    agreed.remove(&ReplicaId(member));
                    Event::Gone(ReplicaId(member))
                }
                Step::Timer { late } => Event::Timer { due: ms(now - late) },
            };
            for action in agreement.step(event, ms(now)) {
                match action {
                    Action::Ask { member, question, .. } => {
                        if question > number {
                            (number, agreed) = (question, BTreeMap::new());
                        }
                        prop_assert!(member != ONE);
                        agreed.insert(member, None);
                    }
                    Action::Propose(Command::Elect { leader, without_old, .. }) => {
                        prop_assert!(leader == TWO || leader == THREE);
                        prop_assert_eq!(agreed.get(&leader), Some(&Some(true)));
                        prop_assert!(!agreed.values().any(|agrees| *agrees == Some(false)));
                        prop_assert_eq!(without_old, required == 3);
                    }
                    _ => {}
                }
            }
        }
    }
}
