use proptest::prelude::*;

use super::*;

const EPOCH: Epoch = Epoch(4);

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Timers that are never late, until one of them says something.
fn waits(suspicion: &mut Suspicion, from: u64, to: u64) -> Option<(u64, Action)> {
    (from..=to).step_by(50).find_map(|now| {
        let action = suspicion.step(Event::Timer { due: ms(now) }, ms(now));
        action.map(|action| (now, action))
    })
}

#[test]
fn silence_of_half_a_second_is_reported_once() {
    let mut suspicion = Suspicion::new(EPOCH, ms(0));
    for now in (100..=1000).step_by(100) {
        assert_eq!(suspicion.step(Event::Heard, ms(now)), None);
        assert_eq!(waits(&mut suspicion, now, now + 50), None);
    }
    let (when, action) = waits(&mut suspicion, 1000, 3000).expect("it is silent");
    assert_eq!(when, 1550);
    let view = View { epoch: EPOCH, silent_for: ms(550), is_refused: false };
    assert_eq!(action, Action::Report(view));
    assert!(view.agrees());
    assert_eq!(waits(&mut suspicion, 1600, 3000), None, "it was said");
    suspicion.step(Event::Heard, ms(3000));
    assert!(!suspicion.view(ms(3400)).agrees());
    assert!(waits(&mut suspicion, 3000, 6000).is_some(), "another silence");
}

#[test]
fn a_process_that_died_is_reported_when_its_port_refuses() {
    let mut suspicion = Suspicion::new(EPOCH, ms(0));
    suspicion.step(Event::Heard, ms(100));
    assert_eq!(suspicion.step(Event::Reset, ms(110)), Some(Action::Dial));
    let view = View { epoch: EPOCH, silent_for: ms(12), is_refused: true };
    assert_eq!(suspicion.step(Event::Refused, ms(112)), Some(Action::Report(view)));
    assert!(view.agrees());
    // It was only restarted: what is heard clears it.
    suspicion.step(Event::Heard, ms(150));
    assert!(!suspicion.view(ms(160)).agrees());
    assert_eq!(waits(&mut suspicion, 200, 600), None);
}

/// A reset alone may be the network's, and a refusal alone a port that is not open yet.
#[test]
fn neither_a_reset_nor_a_refusal_is_enough() {
    let mut suspicion = Suspicion::new(EPOCH, ms(0));
    assert_eq!(suspicion.step(Event::Refused, ms(10)), None);
    suspicion.step(Event::Heard, ms(20));
    assert_eq!(suspicion.step(Event::Reset, ms(30)), Some(Action::Dial));
    assert_eq!(waits(&mut suspicion, 50, 500), None);
    suspicion.step(Event::Heard, ms(510));
    assert_eq!(suspicion.step(Event::Refused, ms(520)), None, "it was heard since");
}

#[test]
fn a_master_that_stutters_is_waited_for_longer() {
    let mut suspicion = Suspicion::new(EPOCH, ms(0));
    suspicion.step(Event::Heard, ms(100));
    suspicion.step(Event::Heard, ms(400));
    assert_eq!(suspicion.patience(), ms(1200));
    let (when, _) = waits(&mut suspicion, 400, 9000).expect("it is silent");
    assert_eq!(when, 1650);
    suspicion.step(Event::Heard, ms(2000));
    assert_eq!(suspicion.patience(), PATIENCE_MAX, "a gap of 1.6 s");
    for now in (2100..64_000).step_by(100) {
        suspicion.step(Event::Heard, ms(now));
    }
    assert_eq!(suspicion.patience(), PATIENCE_MIN, "a minute later");
    assert!(suspicion.gaps.len() <= 62, "{}", suspicion.gaps.len());
}

#[test]
fn whoever_stood_still_itself_begins_anew() {
    let mut suspicion = Suspicion::new(EPOCH, ms(0));
    suspicion.step(Event::Heard, ms(100));
    // The timer of 150 runs at 900.
    assert_eq!(suspicion.step(Event::Timer { due: ms(150) }, ms(900)), None);
    assert!(!suspicion.view(ms(900)).agrees());
    assert_eq!(waits(&mut suspicion, 950, 1400), None);
    // What then comes says nothing about the master's gaps.
    suspicion.step(Event::Heard, ms(1400));
    assert_eq!(suspicion.patience(), PATIENCE_MIN);
    let (when, _) = waits(&mut suspicion, 1400, 9000).expect("it is silent");
    assert_eq!(when, 1950);
}

proptest! {
    /// Whoever hears something each 100 ms reports nothing, however late the own timers are; and
    /// silence is reported between the patience and 50 ms later, if they are not.
    #[test]
    fn only_silence_is_reported(
        lateness in proptest::collection::vec(0..400_u64, 40),
        gaps in proptest::collection::vec(1..120_u64, 40),
    ) {
        let mut suspicion = Suspicion::new(EPOCH, ms(0));
        let mut now = 0;
        for (late, gap) in lateness.iter().zip(&gaps) {
            now += gap;
            suspicion.step(Event::Heard, ms(now));
            let (due, ran) = (now + 20, now + 20 + late);
            prop_assert_eq!(suspicion.step(Event::Timer { due: ms(due) }, ms(ran)), None);
            now = ran;
        }
        suspicion.step(Event::Heard, ms(now));
        let patience = suspicion.patience();
        prop_assert!((PATIENCE_MIN..=PATIENCE_MAX).contains(&patience));
        let (when, _) = waits(&mut suspicion, now, now + 10_000).expect("it is silent");
        let silent = ms(when - now);
        prop_assert!(silent > patience && silent <= patience + TIMER, "{silent:?}");
    }
}
