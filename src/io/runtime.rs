//! An executor and what belongs to it.

use std::{future::Future, time::Duration};

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

    /// Runs work that waits for nothing and may take milliseconds beside the executor, on a thread
    /// of lower priority, one piece after the other: tasks go on meanwhile. It is done even if
    /// nobody waits any more; a panic in it goes on in whoever waits.
    async fn aside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T;

    /// Lets other tasks run if this one has used up its turn. For loops without other waiting.
    async fn yield_if_needed(&self);
}

/// The handle of an executor; clones are the same executor.
pub trait Runtime: Clock + Spawn + Clone + 'static {
    type Disk: Disk;
    type Net: Net;

    fn disk(&self) -> &Self::Disk;
    fn net(&self) -> &Self::Net;
}
