//! Messages from any thread to one task of an executor: a bounded queue and a waker.
//!
//! Meant for batches: what one turn of a loop has for another shard goes as one `Vec`. A sender
//! pays one system call if the receiver's executor sleeps, none if it is awake; it never waits.

use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering, fence},
        mpsc,
    },
    task::{Context, Poll, Waker},
};

/// A mailbox with room for `capacity` messages (at least 1). The receiver may travel to the thread
/// that will receive; what was sent before waits there.
pub fn mailbox<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a mailbox without room could never take a message");
    let (sender, receiver) = mpsc::sync_channel(capacity);
    let shared = Arc::new(Shared { parked: AtomicBool::new(false), waiting: Mutex::default() });
    (Sender { queue: sender, shared: shared.clone() }, Receiver { queue: receiver, shared })
}

struct Shared {
    /// The receiver found the queue empty and waits. Whoever clears it, wakes.
    parked: AtomicBool,
    waiting: Mutex<Option<Waker>>,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        self.wake();
        Ok(())
    }

    /// The same from a thread that may wait: blocks it until there is room. Not for executors.
    ///
    /// # Errors
    /// The receiver is gone.
    pub fn send_blocking(&self, message: T) -> Result<(), Full<T>> {
        self.queue.send(message).map_err(|error| Full(error.0))?;
        self.wake();
        Ok(())
    }

    fn wake(&self) {
        // Pairs with the fence in `Receiver::poll_recv`: either this sees `parked`, or the receiver
        // sees the message.
        fence(Ordering::SeqCst);
        if self.shared.parked.load(Ordering::Relaxed)
            && self.shared.parked.swap(false, Ordering::AcqRel)
            && let Some(waker) = self.shared.waiting().as_ref()
        {
            waker.wake_by_ref();
        }
    }
}

/// The receiving end. One task receives.
pub struct Receiver<T> {
    queue: mpsc::Receiver<T>,
    shared: Arc<Shared>,
}

impl<T: Send> Receiver<T> {
    /// The next message; waits for ever if all senders are gone. Safe to cancel.
    pub async fn recv(&mut self) -> T {
        poll_fn(|context| self.poll_recv(context)).await
    }

    /// The next message if there is one now.
    pub fn try_recv(&mut self) -> Option<T> {
        self.queue.try_recv().ok()
    }

    /// [`Receiver::recv`] for hand-written futures.
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<T> {
        if let Some(message) = self.try_recv() {
            return Poll::Ready(message);
        }
        match &mut *self.shared.waiting() {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        self.shared.parked.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        // Whoever sends from now on sees `parked`; what was sent before is seen here.
        let Some(message) = self.try_recv() else {
            return Poll::Pending;
        };
        self.shared.parked.store(false, Ordering::Relaxed);
        Poll::Ready(message)
    }
}

#[cfg(test)]
mod tests;
