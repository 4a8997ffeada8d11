//! An executor and what belongs to it.

use std::{
    future::Future,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use crate::{Disk, Net};

/// How much of a busy executor a task gets, relative to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shares {
    /// Connections, commits: what clients wait for.
    Foreground,
    /// Reads from disk for consumers that are behind.
    ColdRead,
    /// Administration, registration, heartbeats.
    Admin,
    /// Zero-filling, checkpoints, clean-up.
    Background,
}

#[allow(async_fn_in_trait)]
pub trait Clock {
    /// Wall clock in milliseconds since 1970, as the protocol's timestamps count. May jump.
    fn now_ms(&self) -> i64;

    /// Time since an arbitrary start; never goes back.
    fn monotonic(&self) -> Duration;

    async fn sleep(&self, duration: Duration);
}

#[allow(async_fn_in_trait)]
pub trait Spawn {
    /// Runs the task on this executor until it ends. It is first polled after the caller has
    /// returned to the executor. A panic is logged with `name` and ends the process: state that a
    /// panic may have left half-changed is never served from.
    fn spawn(&self, shares: Shares, name: &'static str, task: impl Future<Output = ()> + 'static);

    /// Lets other tasks run if this one has used up its turn. For loops without other waiting.
    async fn yield_if_needed(&self);
}

/// The handle of an executor; clones are the same executor.
pub trait Runtime: Clock + Spawn + Clone + 'static {
    type Disk: Disk;
    type Net: Net;

    fn disk(&self) -> &Self::Disk;
    fn net(&self) -> &Self::Net;

    /// What other threads wake a task of this executor with; see [`crate::mailbox`].
    ///
    /// Fails when the process is out of file descriptors, for executors that need one.
    fn doorbell(&self) -> io::Result<Box<dyn Doorbell>> {
        Ok(Box::new(WakerBell::default()))
    }
}

/// The listening side of a bell that any thread may ring. One task listens.
pub trait Doorbell: 'static {
    fn ringer(&self) -> Arc<dyn Ringer>;

    /// Ready if the bell was rung since this was last ready. Rings before that count as one.
    fn poll_rung(&mut self, context: &mut Context<'_>) -> Poll<()>;
}

/// The button of a [`Doorbell`].
pub trait Ringer: Send + Sync {
    /// Never waits. Fine after the doorbell is gone.
    fn ring(&self);
}

/// A bell made of a plain waker, for executors whose wakers work from any thread.
#[derive(Default)]
struct WakerBell {
    button: Arc<WakerRinger>,
}

#[derive(Default)]
struct WakerRinger {
    rung: AtomicBool,
    listener: Mutex<Option<Waker>>,
}

impl Ringer for WakerRinger {
    fn ring(&self) {
        self.rung.store(true, Ordering::SeqCst);
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waker) = listener.as_ref() {
            waker.wake_by_ref();
        }
    }
}

impl Doorbell for WakerBell {
    fn ringer(&self) -> Arc<dyn Ringer> {
        self.button.clone()
    }

    fn poll_rung(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.button.rung.swap(false, Ordering::SeqCst) {
            return Poll::Ready(());
        }
        let mut listener = self.button.listener.lock().unwrap_or_else(PoisonError::into_inner);
        match listener.as_mut() {
            Some(waker) => waker.clone_from(context.waker()),
            None => *listener = Some(context.waker().clone()),
        }
        drop(listener);
        if self.button.rung.swap(false, Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
    }
}
