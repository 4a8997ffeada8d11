//! Whose turn it is on an executor: whoever asks for much goes one at a time, and in between come
//! all that ask for little. Without this, whoever asks for little would wait for a slice of each of
//! the others: with a hundred of them, tens of milliseconds.

use std::cell::Cell;

use futures_lite::future::yield_now;

use crate::turn::{self, Turn};

/// Units that a connection may have in some two rounds before it waits for a turn: a request that
/// is handled at once is one, some 4 us.
pub const SHARE: u32 = 16;
/// Bytes that are copied, read from a socket or written to it in one go: some 15 us, or a hundred
/// times that if all of its pages are new and the machine is a guest whose host must find them.
pub const PIECE_BYTES: usize = 64 * 1024;
const UNIT_BYTES: usize = 16 * 1024;

/// Units of bytes that were read or written; none if they are few.
pub const fn units_of(bytes: usize) -> u32 {
    let units = bytes / UNIT_BYTES;
    if units < u32::MAX as usize { units as u32 } else { u32::MAX }
}

/// The turns of those that ask for much. A round is over when all had a turn that waited for one
/// when it began, and one more had.
#[derive(Default)]
pub struct Rounds {
    turn: Turn,
    /// Rounds that are over.
    over: Cell<u64>,
    /// Turns of this round that are not given yet.
    left: Cell<u64>,
    waiting: Cell<u64>,
}

/// What somebody had since a whole round, or since others asked for much.
#[derive(Default)]
pub struct Had {
    units: Cell<u32>,
    /// Rounds that were over when the first of them was counted.
    since: Cell<u64>,
}

impl Had {
    /// Counts what the last turn took, or what was done without one.
    pub fn note(&self, units: u32, rounds: &Rounds) {
        if self.units.get() == 0 {
            self.since.set(rounds.over.get());
        }
        self.units.set(self.units.get().saturating_add(units));
    }
}

impl Rounds {
    /// Resolves to nothing, and at once, if little was had since a whole round; else to a turn when
    /// those that came before had theirs. Then at most a slice is to be done, without waiting for
    /// anything that may take long, and [`Taken::pass_on`] called. Safe to cancel.
    pub async fn take(&self, had: &Had) -> Option<Taken<'_>> {
        // The round that was going on then may have begun when others had not come yet.
        if self.over.get() > had.since.get() + 1 {
            had.units.set(0);
        }
        if had.units.get() < SHARE {
            if !self.turn.is_taken() {
                // Nobody asks for much: there are no rounds.
                had.units.set(0);
            }
            return None;
        }
        let taken = self.turn().await;
        had.units.set(0);
        Some(taken)
    }

    /// The same for a single piece of work that is much by itself. Safe to cancel.
    pub async fn turn(&self) -> Taken<'_> {
        let waiting = Waiting::new(&self.waiting);
        let taken = self.turn.take().await;
        drop(waiting);
        match self.left.get() {
            0 => {
                self.over.set(self.over.get() + 1);
                self.left.set(self.waiting.get());
            }
            left => self.left.set(left - 1),
        }
        Taken(taken)
    }
}

/// Counts as waiting until it is dropped.
struct Waiting<'a>(&'a Cell<u64>);

impl<'a> Waiting<'a> {
    fn new(count: &'a Cell<u64>) -> Self {
        count.set(count.get() + 1);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// See [`Rounds::take`].
pub struct Taken<'a>(turn::Taken<'a>);

impl Taken<'_> {
    /// Lets all tasks run that can, and gives the next the turn: those among the tasks that ask for
    /// much only begin to wait for it.
    pub async fn pass_on(self) {
        yield_now().await;
        drop(self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, pin::Pin, rc::Rc};

    use futures_lite::future::{block_on, poll_once};

    use super::*;

    /// Polls all tasks in order, again and again, so many times.
    fn run(tasks: &mut [Pin<Box<dyn Future<Output = ()>>>], polls: usize) {
        block_on(async {
            for _ in 0..polls {
                for task in &mut *tasks {
                    assert!(poll_once(task).await.is_none(), "it never ends");
                }
            }
        });
    }

    type Done = Rc<RefCell<Vec<usize>>>;

    /// Asks for a slice of `units` at every poll.
    async fn ask(name: usize, units: u32, rounds: Rc<Rounds>, done: Done) {
        let had = Had::default();
        loop {
            let turn = rounds.take(&had).await;
            done.borrow_mut().push(name);
            had.note(units, &rounds);
            match turn {
                Some(turn) => turn.pass_on().await,
                None => yield_now().await,
            }
        }
    }

    #[test]
    fn those_that_ask_for_much_go_one_at_a_time_and_others_in_between() {
        const GREEDY: usize = 100;
        let (rounds, done) = (Rc::new(Rounds::default()), Done::default());
        let mut tasks: Vec<Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
        for name in 0..GREEDY {
            tasks.push(Box::pin(ask(name, SHARE, rounds.clone(), done.clone())));
        }
        tasks.push(Box::pin(ask(GREEDY, 0, rounds, done.clone())));
        run(&mut tasks, 1);
        // Each had its first share.
        assert_eq!(done.take().len(), GREEDY + 1);
        run(&mut tasks, 3 * GREEDY);
        let done = done.take();
        let gaps = done.split(|name| *name == GREEDY).map(<[usize]>::len);
        assert!(gaps.max() <= Some(1), "one greedy slice at most between two others");
        let of = |wanted: usize| done.iter().filter(|name| **name == wanted).count();
        let (least, most) = (0..GREEDY)
            .map(of)
            .fold((usize::MAX, 0), |(least, most), count| (least.min(count), most.max(count)));
        assert!(least >= 1 && most <= least + 1, "in turn: from {least} to {most}");
    }

    #[test]
    fn who_asks_for_little_in_a_round_needs_no_turn() {
        block_on(async {
            let (rounds, little, much) = (Rounds::default(), Had::default(), Had::default());
            for _ in 0..1000 {
                assert!(rounds.take(&little).await.is_none());
                little.note(SHARE / 2 - 1, &rounds);
                much.note(SHARE, &rounds);
                rounds.take(&much).await.expect("a turn").pass_on().await;
            }
        });
    }

    #[test]
    fn little_that_was_had_in_quiet_times_does_not_count() {
        block_on(async {
            let (rounds, little, much) = (Rounds::default(), Had::default(), Had::default());
            for _ in 0..SHARE - 1 {
                assert!(rounds.take(&little).await.is_none());
                little.note(1, &rounds);
            }
            assert!(rounds.take(&little).await.is_none());
            much.note(SHARE, &rounds);
            let turn = rounds.take(&much).await;
            little.note(SHARE - 1, &rounds);
            let taken = poll_once(rounds.take(&little)).await;
            assert!(taken.is_some_and(|turn| turn.is_none()), "it goes in between");
            turn.expect("a turn").pass_on().await;
        });
    }

    #[test]
    fn who_is_alone_has_one_turn_after_the_other() {
        block_on(async {
            let (rounds, had) = (Rounds::default(), Had::default());
            assert!(rounds.take(&had).await.is_none());
            for _ in 0..10 {
                had.note(1000, &rounds);
                rounds.take(&had).await.expect("a turn").pass_on().await;
            }
        });
    }

    #[test]
    fn who_gives_up_waiting_is_not_waited_for() {
        block_on(async {
            let (rounds, first, second) = (Rounds::default(), Had::default(), Had::default());
            first.note(SHARE, &rounds);
            second.note(SHARE, &rounds);
            let turn = rounds.take(&first).await.expect("a turn");
            let mut waiting = Box::pin(rounds.take(&second));
            assert!(poll_once(&mut waiting).await.is_none());
            assert_eq!(rounds.waiting.get(), 1);
            drop(waiting);
            turn.pass_on().await;
            assert_eq!(rounds.waiting.get(), 0);
            rounds.take(&second).await.expect("a turn").pass_on().await;
        });
    }
}
