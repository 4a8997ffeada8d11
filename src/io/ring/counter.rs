//! Reads of descriptors that hold a counter and block while it is zero: eventfd, timerfd. The read
//! is one submission of the executor's main ring, collected like any other, so a parked executor
//! wakes when the counter rises and needs no system call of its own to find out why.

use std::{
    future::Future,
    io,
    os::fd::{FromRawFd, IntoRawFd, OwnedFd},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use glommio::io::BufferedFile;

use super::plain_error;

/// Bytes of the counter.
const COUNTER_BYTES: usize = 8;

pub struct Counter {
    file: Rc<BufferedFile>,
    /// The read under way, kept across waits: it completes when the counter rises next.
    pending: Option<Pin<Box<dyn Future<Output = io::Result<()>>>>>,
}

impl Counter {
    /// The descriptor must not be set to O_NONBLOCK: the ring would answer EAGAIN instead of
    /// waiting. The executor closes it when the last read is over.
    pub fn new(descriptor: OwnedFd) -> Counter {
        // SAFETY: the descriptor is open, and `descriptor` was its only owner.
        let file = unsafe { BufferedFile::from_raw_fd(descriptor.into_raw_fd()) };
        Counter { file: Rc::new(file), pending: None }
    }

    /// Ready when the counter has risen since this was last ready; it is zero then.
    pub fn poll_risen(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let file = &self.file;
        let read = self.pending.get_or_insert_with(|| {
            let file = file.clone();
            let read = async move { file.read_at(0, COUNTER_BYTES).await };
            Box::pin(async move { read.await.map(drop).map_err(plain_error) })
        });
        let result = ready!(read.as_mut().poll(context));
        self.pending = None;
        match result {
            Ok(()) => Poll::Ready(()),
            Err(error) => panic!("an open counter cannot fail to be read: {error}"),
        }
    }
}
