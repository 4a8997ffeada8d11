use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_700_000_000_000;

fn waiting(due_ms: i64, offset: i64) -> Waiting {
    Waiting { due_ms, offset, is_deletion: offset % 7 == 3 }
}

fn taken(wheel: &mut Wheel, now_ms: i64) -> Vec<Waiting> {
    std::iter::from_fn(|| wheel.take(now_ms)).collect()
}

#[test]
fn messages_come_in_order_of_their_times_and_not_before() {
    let mut wheel = Wheel::new(Frontier::default());
    for (offset, due) in [(0, 5000), (1, 1500), (2, 1499), (3, 1500), (4, 90_000_000)] {
        wheel.add(waiting(NOW + due, offset));
    }
    assert_eq!(wheel.len(), 5);
    assert_eq!(wheel.next_due_ms(), Some(NOW + 1000), "its second begins");
    assert_eq!(wheel.take(NOW + 1498), None);
    assert_eq!(wheel.next_due_ms(), Some(NOW + 1499));
    let offsets = |taken: Vec<Waiting>| taken.iter().map(|next| next.offset).collect::<Vec<_>>();
    assert_eq!(offsets(taken(&mut wheel, NOW + 1500)), [2, 1, 3]);
    // It came when the second was sorted already.
    wheel.add(waiting(NOW + 100, 5));
    assert_eq!(offsets(taken(&mut wheel, NOW + 6000)), [5, 0]);
    assert_eq!(wheel.next_due_ms(), Some(NOW + 90_000_000));
}

#[test]
fn what_waits_is_counted_by_its_time_some_seconds_at_once() {
    let mut wheel = Wheel::new(Frontier::default());
    for offset in 0..10 {
        wheel.add(waiting(NOW + offset * 1000, offset));
    }
    wheel.add(waiting(NOW + 500, 10));
    let second = NOW / 1000;
    assert_eq!(wheel.some_due_in(second..second + 10, 100), (11, None));
    assert_eq!(wheel.some_due_in(second..second + 10, 1), (2, Some(second + 1)));
    assert_eq!(wheel.some_due_in(second + 8..second + 8, 1), (0, None));
    assert_eq!((wheel.begun(), wheel.overdue(NOW)), (0, 0), "nobody looked for what is due");
    assert_eq!(wheel.take(NOW).expect("due").offset, 0);
    assert_eq!((wheel.begun(), wheel.overdue(NOW), wheel.overdue(NOW + 500)), (2, 1, 2));
    assert_eq!(wheel.some_due_in(i64::MIN..second + 10, 100), (9, None));
}

#[test]
fn ten_million_far_off_take_less_than_two_hundred_mebibytes() {
    let mut wheel = Wheel::new(Frontier::default());
    let count = 10_000_000 / 100;
    for offset in 0..count {
        // As dense as ten million over three days are.
        wheel.add(waiting(NOW + offset * 7919 % 2_592_000, offset));
    }
    assert!(wheel.bytes() * 100 < 200 << 20, "{}", wheel.bytes());
}

#[test]
fn looking_for_the_next_message_takes_no_memory() {
    let mut wheel = Wheel::new(Frontier::default());
    for offset in 0..10_000 {
        wheel.add(waiting(NOW + 100_000 - offset, offset));
        assert!(wheel.next_due_ms().is_some() && wheel.take(NOW).is_none());
    }
    assert_eq!(wheel.near.len(), 0);
}

#[test]
fn what_is_given_back_holds_the_frontier() {
    let mut wheel = Wheel::new(Frontier::default());
    for offset in 0..4 {
        wheel.add(waiting(NOW + offset, offset));
    }
    wheel.has_read(4);
    let window = taken(&mut wheel, NOW + 10);
    for settled in [0, 2] {
        wheel.settle(&window[settled]);
    }
    wheel.give_back();
    let frontier = wheel.frontier();
    assert_eq!(frontier, Frontier { read: 4, due_ms: NOW + 1, offset: 1, first: 0 });
    assert!(frontier.covers(NOW, 0) && !frontier.covers(NOW + 1, 1));
    assert!(!frontier.covers(NOW, 4), "it was not read yet");
    for next in taken(&mut wheel, NOW + 10) {
        wheel.settle(&next);
    }
    assert!(wheel.is_empty());
    assert_eq!(wheel.frontier(), Frontier { read: 4, due_ms: NOW + 3, offset: 4, first: 4 });
}

#[derive(Clone, Debug)]
enum Step {
    Add(i64),
    Deliver { until: i64, settled: usize },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_i64..5000).prop_map(Step::Add),
        2 => (0_i64..5000, 0_usize..6)
            .prop_map(|(until, settled)| Step::Deliver { until, settled }),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever happens, what a start has to read again is there, what the frontier covers was
    /// delivered, and no message comes before another that was due earlier and there.
    #[test]
    fn nothing_is_lost_over_restarts(steps in proptest::collection::vec(step(), 1..80)) {
        let mut wheel = Wheel::new(Frontier::default());
        let mut queue: Vec<i64> = Vec::new();
        let mut delivered: BTreeSet<i64> = BTreeSet::new();
        for step in steps {
            match step {
                Step::Add(due) => {
                    let offset = queue.len() as i64;
                    queue.push(NOW + due);
                    wheel.add(waiting(NOW + due, offset));
                    wheel.has_read(offset + 1);
                }
                Step::Deliver { until, settled } => {
                    let window = taken(&mut wheel, NOW + until);
                    prop_assert!(window.is_sorted());
                    for next in window.iter().take(settled) {
                        prop_assert!(delivered.insert(next.offset), "twice");
                        wheel.settle(next);
                    }
                    wheel.give_back();
                }
                Step::Restart => {
                    let frontier = wheel.frontier();
                    wheel = Wheel::new(frontier);
                    for (offset, due) in (0..).zip(&queue) {
                        if frontier.covers(*due, offset) {
                            prop_assert!(delivered.contains(&offset), "{offset} is lost");
                        } else if !delivered.contains(&offset) {
                            prop_assert!(offset >= frontier.first, "{offset} is not read again");
                            wheel.add(waiting(*due, offset));
                        }
                        wheel.has_read(offset + 1);
                    }
                }
            }
            prop_assert_eq!(wheel.len() + delivered.len(), queue.len());
        }
        for next in taken(&mut wheel, i64::MAX) {
            prop_assert!(delivered.insert(next.offset));
        }
        prop_assert_eq!(delivered.len(), queue.len());
    }
}
