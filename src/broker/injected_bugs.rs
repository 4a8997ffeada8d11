//! Bugs on purpose, to see that the campaigns find them (`scripts/campaign planted`). Without the
//! feature `planted`, which only that program switches on, every question here is a constant
//! `false` and nothing of this is in the binary; with it, nothing happens before somebody plants.

/// What the broker does wrong on request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// The first message of a batch is appended apart from the others.
    BatchCut,
    /// What is for the reply lane of a shard waits for its request lane.
    LaneBlocks,
    /// A shard learns of a change after a while, and goes on before.
    ChangeLate,
    /// Several answers for one connection of another shard are dropped.
    AnswerDropped,
    /// A shard that is behind gets requests all the same.
    BacklogUnbounded,
    /// A message of a batch that cannot be stored is left out.
    MemberErrorForgotten,
}

#[cfg(feature = "planted")]
mod soil {
    use std::cell::Cell;

    use super::Planted;

    thread_local! {
        static BUG: Cell<Option<Planted>> = const { Cell::new(None) };
    }

    /// Plants the bug in all shards of this thread, or removes the one that was planted.
    pub fn plant(bug: Option<Planted>) {
        BUG.set(bug);
    }

    pub fn is_planted(bug: Planted) -> bool {
        BUG.get() == Some(bug)
    }
}

#[cfg(feature = "planted")]
pub use soil::{is_planted, plant};

#[cfg(not(feature = "planted"))]
#[inline]
pub const fn is_planted(_: Planted) -> bool {
    false
}
