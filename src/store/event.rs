//! Waking tasks of the same executor.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

/// Something that happens now and then. Whoever waits looks at the state it cares about first, and
/// awaits without anything awaited in between; nothing can be missed on one thread.
#[derive(Default)]
pub struct Event {
    count: Cell<u64>,
    wakers: RefCell<Vec<Waker>>,
}

impl Event {
    /// Wakes all who wait.
    #[inline]
    pub fn notify(&self) {
        self.count.set(self.count.get().wrapping_add(1));
        if self.wakers.borrow().is_empty() {
            return;
        }
        let wakers = self.wakers.take();
        for waker in wakers {
            waker.wake();
        }
    }

    /// Resolves at the first [`Event::notify`] after this call. Safe to cancel.
    pub fn wait(&self) -> Wait<'_> {
        Wait { event: self, count: self.count.get() }
    }
}

pub struct Wait<'a> {
    event: &'a Event,
    count: u64,
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.event.count.get() != self.count {
            return Poll::Ready(());
        }
        let mut wakers = self.event.wakers.borrow_mut();
        if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            wakers.push(context.waker().clone());
        }
        Poll::Pending
    }
}
