//! Wakes a thread that polls at a time that is finer than the milliseconds of `epoll_wait`.
//! Spinning would be finer still, but takes the core from whoever works for the server there, such
//! as the kernel thread that completes its writes.

use std::{
    os::fd::{AsFd as _, AsRawFd as _},
    time::Duration,
};

use mio::{Interest, Registry, Token, unix::SourceFd};
use nix::sys::{
    time::TimeSpec,
    timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
};

/// Its events; no connection has it.
const ALARM: Token = Token(usize::MAX);

pub struct Alarm(TimerFd);

impl Alarm {
    /// # Errors
    /// When the process may open no further files.
    pub fn new(registry: &Registry) -> anyhow::Result<Alarm> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        let source = timer.as_fd().as_raw_fd();
        registry.register(&mut SourceFd(&source), ALARM, Interest::READABLE)?;
        Ok(Alarm(timer))
    }

    /// The next poll ends after this time at the latest; replaces what was set before. Every expiry
    /// is an event of its own, nothing has to be read.
    ///
    /// # Errors
    /// Those of `timerfd_settime`.
    pub fn set(&self, after: Duration) -> anyhow::Result<()> {
        let after = after.max(Duration::from_nanos(1));
        let expiration = Expiration::OneShot(TimeSpec::from_duration(after));
        Ok(self.0.set(expiration, TimerSetTimeFlags::empty())?)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use mio::{Events, Poll};

    use super::*;

    #[test]
    fn every_alarm_ends_a_poll() {
        let mut poll = Poll::new().expect("epoll");
        let alarm = Alarm::new(poll.registry()).expect("a timer");
        let mut events = Events::with_capacity(4);
        let began = Instant::now();
        for _ in 0..20 {
            alarm.set(Duration::from_micros(200)).expect("is set");
            poll.poll(&mut events, Some(Duration::from_secs(20))).expect("polls");
            assert!(events.iter().any(|event| event.token() == ALARM));
        }
        assert!(began.elapsed() >= Duration::from_millis(4));
    }
}
