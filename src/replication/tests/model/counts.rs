//! What has happened in the states that were looked at: a model in which nothing happens is right,
//! too.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Written entries, not synced, are gone after a crash.
    TailLost,
    /// Entries that the master lacks are cut off.
    Cut,
    /// A member left the set, by a change.
    Shrunk,
    /// A member came into the set.
    Grown,
    /// An acknowledgement was refused.
    AckRefused,
    /// A change of the set came too late to be recorded.
    AskRefused,
    /// A new leader took a log of another member.
    Fetched,
    /// An election left the old master out.
    ElectedWithout,
}

const EVENTS: usize = 8;

#[derive(Clone, Debug, Default)]
pub struct Counts(Arc<[AtomicUsize; EVENTS]>);

impl Counts {
    pub fn add(&self, event: Event) {
        self.0[event as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub fn has(&self, event: Event) -> bool {
        self.0[event as usize].load(Ordering::Relaxed) > 0
    }
}
