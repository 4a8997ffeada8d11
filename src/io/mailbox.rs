//! Messages from any thread to one task of an executor: a bounded queue and a doorbell.
//!
//! Meant for batches: what one turn of a loop has for another shard goes as one `Vec`. A sender
//! pays one system call if the receiver sleeps, none if it is awake; it never waits.

use std::{
    future::poll_fn,
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering, fence},
        mpsc,
    },
    task::{Context, Poll},
};

use crate::runtime::{Doorbell, Ringer, Runtime};

/// A mailbox with room for `capacity` messages (at least 1). The receiver may travel to its thread
/// and is then bound to an executor; what was sent before waits there.
pub fn mailbox<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a mailbox without room could never take a message");
    let (sender, receiver) = mpsc::sync_channel(capacity);
    let shared = Arc::new(Shared { parked: AtomicBool::new(false), ringer: OnceLock::new() });
    (Sender { queue: sender, shared: shared.clone() }, Receiver { queue: receiver, shared })
}

struct Shared {
    /// The receiver found the queue empty and listens to its bell. Whoever clears it, rings.
    parked: AtomicBool,
    ringer: OnceLock<Arc<dyn Ringer>>,
}

/// The message comes back because the mailbox is full, or its receiver gone.
#[derive(Debug, thiserror::Error)]
#[error("the mailbox is full")]
pub struct Full<T>(pub T);

pub struct Sender<T> {
    queue: mpsc::SyncSender<T>,
    shared: Arc<Shared>,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Sender { queue: self.queue.clone(), shared: self.shared.clone() }
    }
}

impl<T: Send> Sender<T> {
    /// Puts the message into the mailbox and wakes a sleeping receiver. Never waits; works on any
    /// thread. Messages of one sender arrive in order.
    pub fn try_send(&self, message: T) -> Result<(), Full<T>> {
        self.queue.try_send(message).map_err(|error| match error {
            mpsc::TrySendError::Full(message) | mpsc::TrySendError::Disconnected(message) => {
                Full(message)
            }
        })?;
        // Pairs with the fence in `Inbox::poll_recv`: either this sees `parked`, or the receiver
        // sees the message.
        fence(Ordering::SeqCst);
        if self.shared.parked.load(Ordering::Relaxed)
            && self.shared.parked.swap(false, Ordering::AcqRel)
            && let Some(ringer) = self.shared.ringer.get()
        {
            ringer.ring();
        }
        Ok(())
    }
}

pub struct Receiver<T> {
    queue: mpsc::Receiver<T>,
    shared: Arc<Shared>,
}

impl<T: Send> Receiver<T> {
    /// Makes the executor of `runtime` the one that receives.
    pub fn bind<R: Runtime>(self, runtime: &R) -> io::Result<Inbox<T>> {
        let bell = runtime.doorbell()?;
        let set = self.shared.ringer.set(bell.ringer());
        assert!(set.is_ok(), "a receiver is bound once, for binding takes it");
        Ok(Inbox { queue: self.queue, shared: self.shared, bell })
    }
}

/// The receiving end on its executor. One task receives.
pub struct Inbox<T> {
    queue: mpsc::Receiver<T>,
    shared: Arc<Shared>,
    bell: Box<dyn Doorbell>,
}

impl<T: Send> Inbox<T> {
    /// The next message; waits for ever if all senders are gone. Safe to cancel.
    pub async fn recv(&mut self) -> T {
        poll_fn(|context| self.poll_recv(context)).await
    }

    /// The next message if there is one now.
    pub fn try_recv(&mut self) -> Option<T> {
        self.queue.try_recv().ok()
    }

    /// [`Inbox::recv`] for hand-written futures.
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<T> {
        loop {
            if let Some(message) = self.try_recv() {
                // A sender that still sees `parked` rings once for nothing; do not let it.
                if self.shared.parked.load(Ordering::Relaxed) {
                    self.shared.parked.store(false, Ordering::Relaxed);
                }
                return Poll::Ready(message);
            }
            if !self.shared.parked.load(Ordering::Relaxed) {
                self.shared.parked.store(true, Ordering::Relaxed);
                fence(Ordering::SeqCst);
                continue;
            }
            // Parked was set before the queue was seen empty, so whoever sends now rings. A ring
            // that is left from an earlier round only costs another turn.
            match self.bell.poll_rung(context) {
                Poll::Ready(()) => self.shared.parked.store(false, Ordering::Relaxed),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

#[cfg(test)]
mod tests;
