//! A lock for tasks of one executor, in the order in which they come.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    rc::Rc,
    task::{Poll, Waker},
};

/// A lock for tasks of one executor. Whoever waits is served in the order of coming.
#[derive(Default)]
pub struct Turn {
    taken: Cell<bool>,
    waiting: RefCell<VecDeque<Rc<Waiting>>>,
}

#[derive(Default)]
struct Waiting {
    /// The turn is its.
    granted: Cell<bool>,
    /// It waits no more.
    gone: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

impl Turn {
    /// Resolves when nobody else has the turn; it ends with the returned value. Safe to cancel.
    pub async fn take(&self) -> Taken<'_> {
        if !self.taken.replace(true) {
            return Taken { turn: self };
        }
        let own = Rc::new(Waiting::default());
        self.waiting.borrow_mut().push_back(own.clone());
        let leaving = Leaving { turn: self, own: &own };
        poll_fn(|context| {
            if own.granted.get() {
                return Poll::Ready(());
            }
            own.waker.set(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
        std::mem::forget(leaving);
        Taken { turn: self }
    }

    /// The same for whoever keeps the lock as well.
    pub async fn take_whole(self: &Rc<Self>) -> Whole {
        std::mem::forget(self.take().await);
        Whole { turn: self.clone() }
    }

    /// Somebody has it.
    pub fn is_taken(&self) -> bool {
        self.taken.get()
    }

    fn pass_on(&self) {
        loop {
            let next = self.waiting.borrow_mut().pop_front();
            let Some(next) = next else {
                return self.taken.set(false);
            };
            if !next.gone.get() {
                next.granted.set(true);
                if let Some(waker) = next.waker.take() {
                    waker.wake();
                }
                return;
            }
        }
    }
}

/// Whoever gives up waiting holds nobody up.
struct Leaving<'a> {
    turn: &'a Turn,
    own: &'a Waiting,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.own.gone.set(true);
        if self.own.granted.get() {
            self.turn.pass_on();
        }
    }
}

/// See [`Turn::take_whole`].
pub struct Whole {
    turn: Rc<Turn>,
}

impl Whole {
    /// Others hold the lock as well: they wait, or know it.
    pub fn holders(&self) -> usize {
        Rc::strong_count(&self.turn) - 1
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        self.turn.pass_on();
    }
}

/// See [`Turn::take`].
pub struct Taken<'a> {
    turn: &'a Turn,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.turn.pass_on();
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
    fn whoever_comes_first_is_served_first() {
        block_on(async {
            let (turn, order) = (Turn::default(), RefCell::new(Vec::new()));
            let work = async |name: u32| {
                for _ in 0..3 {
                    let _taken = turn.take().await;
                    order.borrow_mut().push(name);
                    yield_now().await;
                }
            };
            zip(zip(work(1), work(2)), work(3)).await;
            assert_eq!(order.take(), [1, 2, 3, 1, 2, 3, 1, 2, 3]);
        });
    }

    #[test]
    fn whoever_gives_up_waiting_holds_nobody_up() {
        block_on(async {
            let turn = Turn::default();
            let taken = turn.take().await;
            let (mut first, mut second) = (Box::pin(turn.take()), Box::pin(turn.take()));
            assert!(poll_once(&mut first).await.is_none());
            assert!(poll_once(&mut second).await.is_none());
            drop(first);
            drop(taken);
            let third = turn.take();
            drop(second);
            // The second had the turn when it gave up.
            third.await;
            turn.take().await;
        });
    }
}
