//! A lock for tasks of one executor.

use std::cell::Cell;

use ringmq_io::signal::Event;

/// A lock for tasks of one executor. Who waits is not served in any promised order.
#[derive(Default)]
pub struct Turn {
    taken: Cell<bool>,
    ended: Event,
}

impl Turn {
    /// Resolves when nobody else has the turn; it ends with the returned value. Safe to cancel.
    pub async fn take(&self) -> Taken<'_> {
        while self.taken.replace(true) {
            self.ended.wait_and_clear().await;
        }
        Taken { turn: self }
    }
}

/// See [`Turn::take`].
pub struct Taken<'a> {
    turn: &'a Turn,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.turn.taken.set(false);
        self.turn.ended.set();
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::{block_on, poll_once, yield_now, zip};

    use super::*;

    #[test]
    fn one_task_at_a_time_has_the_turn_and_each_gets_it() {
        block_on(async {
            let (turn, inside, done) = (Turn::default(), Cell::new(0), Cell::new(0));
            let work = || async {
                for _ in 0..3 {
                    let _taken = turn.take().await;
                    inside.set(inside.get() + 1);
                    yield_now().await;
                    assert_eq!(inside.replace(0), 1);
                    done.set(done.get() + 1);
                }
            };
            zip(zip(work(), work()), work()).await;
            assert_eq!(done.get(), 9);
        });
    }

    #[test]
    fn whoever_gives_up_waiting_holds_nobody_up() {
        block_on(async {
            let turn = Turn::default();
            let taken = turn.take().await;
            assert!(poll_once(turn.take()).await.is_none());
            drop(taken);
            turn.take().await;
        });
    }
}
