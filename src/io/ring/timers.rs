//! Timers of an executor: one timerfd, set to the earliest of them and read through the main ring.
//!
//! With glommio's own timers every park arms the earliest one in the latency ring and every wake
//! takes it back, a system call each; and its first one takes 30 to 50 ms. Here a timer costs a
//! system call when it becomes the earliest, and one when it fires.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    future::{Future, poll_fn},
    io,
    os::fd::{AsFd, OwnedFd},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use nix::sys::{
    time::TimeSpec,
    timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
};

use super::counter::Counter;

/// timerfd takes zero for "never".
const SHORTEST: Duration = Duration::from_nanos(1);
/// What cannot be reached: some thirty years, which any clock can add.
const LONGEST: Duration = Duration::from_secs(1 << 30);

/// When, and a number that keeps equal times apart.
type Key = (Instant, u64);

pub struct Timers {
    descriptor: TimerFd,
    /// For [`Timers::run`].
    listening: Cell<Option<OwnedFd>>,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    waiting: BTreeMap<Key, Waker>,
    next: u64,
    /// When the descriptor fires next.
    armed: Option<Instant>,
}

impl Timers {
    /// Nothing fires unless [`Timers::run`] runs. Fails when the process is out of descriptors.
    pub fn new() -> io::Result<Rc<Timers>> {
        let descriptor = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC)?;
        let listening = Cell::new(Some(descriptor.as_fd().try_clone_to_owned()?));
        Ok(Rc::new(Timers { descriptor, listening, state: RefCell::default() }))
    }

    /// Wakes whoever has slept long enough; never resolves. To be run once.
    pub async fn run(self: Rc<Self>) {
        let mut counter = Counter::new(self.listening.take().expect("timers are run once"));
        loop {
            poll_fn(|context| counter.poll_risen(context)).await;
            for waker in self.take_due(Instant::now()) {
                waker.wake();
            }
        }
    }

    fn take_due(&self, now: Instant) -> impl Iterator<Item = Waker> {
        let mut state = self.state.borrow_mut();
        let later = state.waiting.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut state.waiting, later);
        state.armed = None;
        if let Some(((earliest, _), _)) = state.waiting.first_key_value() {
            let earliest = *earliest;
            self.arm(&mut state, earliest, now);
        }
        due.into_values()
    }

    fn arm(&self, state: &mut State, at: Instant, now: Instant) {
        let after = at.saturating_duration_since(now).max(SHORTEST);
        let expiration = Expiration::OneShot(TimeSpec::from_duration(after));
        self.descriptor
            .set(expiration, TimerSetTimeFlags::empty())
            .expect("a timer that is open can be set to any positive time");
        state.armed = Some(at);
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
                let now = Instant::now();
                let at = now + duration.min(LONGEST);
                state.next += 1;
                let key = (at, state.next);
                state.waiting.insert(key, context.waker().clone());
                if state.armed.is_none_or(|armed| at < armed) {
                    timers.arm(&mut state, at, now);
                }
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
            // The descriptor may fire for nobody once; that is cheaper than setting it again.
            self.timers.state.borrow_mut().waiting.remove(&key);
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
        let left = launch::launch(&[0], false, |_, _| async {
            let timers = Timers::new().expect("a descriptor is free");
            let ran = async {
                for _ in 0..3 {
                    let long = timers.sleep(Duration::MAX);
                    let short = timers.sleep(Duration::from_millis(1));
                    futures_lite::future::or(long, short).await;
                }
                timers.state.borrow().waiting.len()
            };
            let run = async {
                timers.clone().run().await;
                usize::MAX
            };
            futures_lite::future::or(ran, run).await
        });
        assert_eq!(left.expect("an executor can be made").join(), [0]);
    }
}
