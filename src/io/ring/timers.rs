//! Timers of an executor, in order; whoever puts the executor to sleep asks when the next is due.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

/// What cannot be reached: some thirty years, which any clock can add.
const LONGEST: Duration = Duration::from_secs(1 << 30);

/// When, and a number that keeps equal times apart.
type Key = (Instant, u64);

#[derive(Default)]
pub struct Timers {
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    waiting: BTreeMap<Key, Waker>,
    next: u64,
}

impl Timers {
    /// When somebody is to be woken next.
    pub fn next(&self) -> Option<Instant> {
        self.state.borrow().waiting.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes out one who has slept long enough, to be woken.
    pub fn take_due(&self, now: Instant) -> Option<Waker> {
        let mut state = self.state.borrow_mut();
        let first = state.waiting.first_entry().filter(|first| first.key().0 <= now);
        first.map(|first| first.remove())
    }

    /// Resolves after `duration`, never before.
    pub fn sleep(self: &Rc<Self>, duration: Duration) -> Sleep {
        Sleep { timers: self.clone(), wait: Wait::For(duration) }
    }
}

pub struct Sleep {
    timers: Rc<Timers>,
    wait: Wait,
}

enum Wait {
    For(Duration),
    Until(Key),
    Over,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let timers = self.timers.clone();
        let mut state = timers.state.borrow_mut();
        match self.wait {
            Wait::For(duration) => {
                state.next += 1;
                let key = (Instant::now() + duration.min(LONGEST), state.next);
                state.waiting.insert(key, context.waker().clone());
                self.wait = Wait::Until(key);
                Poll::Pending
            }
            Wait::Until(key) => match state.waiting.get_mut(&key) {
                Some(waker) => {
                    waker.clone_from(context.waker());
                    Poll::Pending
                }
                None => {
                    self.wait = Wait::Over;
                    Poll::Ready(())
                }
            },
            Wait::Over => Poll::Ready(()),
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Wait::Until(key) = self.wait {
            let waker = self.timers.state.borrow_mut().waiting.remove(&key);
            // Nothing is borrowed when it is dropped.
            drop(waker);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;
    use crate::{Clock as _, launch};

    #[test]
    fn sleepers_wake_when_their_time_has_come_and_not_before() {
        let slept = launch::launch(&[0], false, |_, runtime| async move {
            let began = Instant::now();
            let sleeper = async |ms: u64| {
                runtime.sleep(Duration::from_millis(ms)).await;
                began.elapsed()
            };
            // A later time, an earlier one, and one twice.
            join_all([30, 5, 0, 12, 5].map(sleeper)).await
        });
        let slept = slept.expect("an executor can be made").join();
        for (least, slept) in [30, 5, 0, 12, 5].map(Duration::from_millis).iter().zip(&slept[0]) {
            assert!(slept >= least, "{slept:?} instead of {least:?}");
        }
    }

    #[test]
    fn what_no_longer_sleeps_leaves_nothing_behind() {
        let timers = Rc::new(Timers::default());
        let mut context = Context::from_waker(Waker::noop());
        let mut long = timers.sleep(Duration::MAX);
        assert!(Pin::new(&mut long).poll(&mut context).is_pending());
        assert!(timers.next().is_some());
        drop(long);
        assert_eq!(timers.next(), None);
    }
}
