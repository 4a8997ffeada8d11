//! Waiting for each other on one executor: a lock and a flag.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    task::{Poll, Waker},
};

/// A lock for tasks of one executor. Who waits is not served in any promised order.
#[derive(Default)]
pub struct Turn {
    taken: Cell<bool>,
    waiting: Wakers,
}

impl Turn {
    /// Resolves when nobody else has the turn; it ends with the returned value.
    pub async fn take(&self) -> Taken<'_> {
        poll_fn(|context| {
            if self.taken.replace(true) {
                self.waiting.add(context.waker());
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
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
        self.turn.waiting.wake();
    }
}

/// Something that happens once.
#[derive(Default)]
pub struct Flag {
    set: Cell<bool>,
    waiting: Wakers,
}

impl Flag {
    pub fn set(&self) {
        self.set.set(true);
        self.waiting.wake();
    }

    pub fn is_set(&self) -> bool {
        self.set.get()
    }

    /// Resolves when the flag is set. Safe to cancel.
    pub async fn wait(&self) {
        poll_fn(|context| {
            if self.is_set() {
                return Poll::Ready(());
            }
            self.waiting.add(context.waker());
            Poll::Pending
        })
        .await;
    }
}

#[derive(Default)]
struct Wakers(RefCell<Vec<Waker>>);

impl Wakers {
    fn add(&self, waker: &Waker) {
        let mut wakers = self.0.borrow_mut();
        if !wakers.iter().any(|known| known.will_wake(waker)) {
            wakers.push(waker.clone());
        }
    }

    fn wake(&self) {
        let wakers = self.0.take();
        wakers.into_iter().for_each(Waker::wake);
    }
}
