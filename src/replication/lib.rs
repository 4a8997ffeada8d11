//! Layer 2: what the members of a broker name agree on, and when what a master wrote is committed.
//!
//! Pure so far: no input, output, task or clock. A model checker runs the shipped code
//! (`tests/model.rs`); nothing of the broker uses it yet.
//!
//! | module | decides |
//! |---|---|
//! | [`progress`] | on the master: how far each log is committed |
//! | [`follower`] | on any other member: what it takes, knows to be committed, may cut off |
//! | [`group`] | who leads, in which epoch, whose copies count |
//! | [`takeover`] | what a new leader needs before it begins |
//! | [`epochs`] | up to where two logs are the same |
//! | [`election`] | that a master is gone, who is next, what is answered without a commit |
//! | [`frames`] | nothing: what members say to each other, byte by byte |
//! | [`streams`] | nothing: the way of records from a master's log into those of its followers |

#![forbid(unsafe_code)]

pub mod election;
pub mod epochs;
pub mod follower;
pub mod frames;
pub mod group;
pub mod ids;
pub mod in_sync_set;
pub mod progress;
pub mod streams;
pub mod takeover;
#[cfg(test)]
mod testing;

pub use ids::{Epoch, ReplicaId};
