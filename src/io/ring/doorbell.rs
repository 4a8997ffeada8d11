//! A bell between threads: an eventfd that the listening executor reads through its ring.
//!
//! glommio's foreign wakers would do the same on its latency ring, but completions there can make
//! it park with runnable tasks (`docs/RUNTIME.md`).

use std::{
    io,
    os::fd::AsFd,
    sync::Arc,
    task::{Context, Poll},
};

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::counter::Counter;
use crate::runtime::{Doorbell, Ringer};

pub struct EventBell {
    button: Arc<EventRinger>,
    counter: Counter,
}

struct EventRinger {
    event: EventFd,
}

impl EventBell {
    pub fn new() -> io::Result<EventBell> {
        let event = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC)?;
        // A descriptor of its own, for both sides close theirs.
        let counter = Counter::new(event.as_fd().try_clone_to_owned()?);
        Ok(EventBell { button: Arc::new(EventRinger { event }), counter })
    }
}

impl Doorbell for EventBell {
    fn ringer(&self) -> Arc<dyn Ringer> {
        self.button.clone()
    }

    fn poll_rung(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.counter.poll_risen(context)
    }
}

impl Ringer for EventRinger {
    fn ring(&self) {
        // The counter would have to reach 2^64 - 1 for this to wait or fail.
        let _ = self.event.write(1);
    }
}
