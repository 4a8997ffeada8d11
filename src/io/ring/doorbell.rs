//! A bell between threads: an eventfd that the listening executor reads through its ring.
//!
//! The read is one submission of the executor's main ring, collected like any other, so a parked
//! executor wakes by one write of the ringing thread and needs no system call of its own to find
//! out why. glommio's foreign wakers would do the same on its latency ring, but completions there
//! can make it park with runnable tasks (`docs/RUNTIME.md`).

use std::{
    future::Future,
    io,
    os::fd::{FromRawFd, IntoRawFd},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use glommio::io::BufferedFile;
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::plain_error;
use crate::runtime::{Doorbell, Ringer};

/// Bytes of an eventfd's counter.
const COUNTER_BYTES: usize = 8;

pub struct EventBell {
    button: Arc<EventRinger>,
    listener: Rc<BufferedFile>,
    /// The read under way, kept across waits: it completes at the next ring.
    pending: Option<Pin<Box<dyn Future<Output = io::Result<()>>>>>,
}

struct EventRinger {
    event: EventFd,
}

impl EventBell {
    pub fn new() -> io::Result<EventBell> {
        // Without EFD_NONBLOCK: the ring would answer EAGAIN instead of waiting.
        let event = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC)?;
        // A descriptor of its own, for the executor closes it whenever its last read is over.
        let listening = std::os::fd::AsFd::as_fd(&event).try_clone_to_owned()?;
        // SAFETY: the descriptor is open and owned by nobody else.
        let listener = unsafe { BufferedFile::from_raw_fd(listening.into_raw_fd()) };
        let button = Arc::new(EventRinger { event });
        Ok(EventBell { button, listener: Rc::new(listener), pending: None })
    }
}

impl Doorbell for EventBell {
    fn ringer(&self) -> Arc<dyn Ringer> {
        self.button.clone()
    }

    fn poll_rung(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let listener = &self.listener;
        let read = self.pending.get_or_insert_with(|| {
            let listener = listener.clone();
            Box::pin(async move {
                listener.read_at(0, COUNTER_BYTES).await.map(drop).map_err(plain_error)
            })
        });
        match read.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(result) => {
                self.pending = None;
                if let Err(error) = result {
                    panic!("an eventfd that is open cannot fail to be read: {error}");
                }
                Poll::Ready(())
            }
        }
    }
}

impl Ringer for EventRinger {
    fn ring(&self) {
        // The counter would have to reach 2^64 - 1 for this to wait or fail.
        let _ = self.event.write(1);
    }
}
