//! Bugs on purpose, to see that the campaigns find them (`scripts/campaign planted`); each crate
//! lists its own. Without the feature `planted`, which only that program switches on, every
//! question here is a constant `false` and nothing of this is in the binary; with it, nothing
//! happens before somebody plants.

/// Something that a crate does wrong on request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bug {
    /// What it does, as in "cuts a batch in two".
    pub name: &'static str,
    /// The file that lists it.
    pub file: &'static str,
}

#[cfg(feature = "planted")]
mod planted {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static BUG: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Plants the bug in all that runs on this thread, or removes the one that was planted.
    pub fn plant(bug: Option<Bug>) {
        BUG.set(bug);
    }

    pub fn is_planted(bug: Bug) -> bool {
        BUG.get() == Some(bug)
    }
}

#[cfg(feature = "planted")]
pub use planted::{is_planted, plant};

#[cfg(not(feature = "planted"))]
#[inline]
pub const fn is_planted(_: Bug) -> bool {
    false
}
