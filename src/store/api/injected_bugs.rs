//! Bugs on purpose, to see that the campaigns find them (`scripts/campaign planted`). Without the
//! feature `planted`, which only that program switches on, every question here is a constant
//! `false` and nothing of this is in the binary; with it, nothing happens before somebody plants.

/// What the store does wrong on request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// Records count whatever their checksum says.
    ChecksumSkipped,
    /// A record whose last bytes never arrived counts.
    TornTailAccepted,
    /// Readers see what is appended, not what is durable.
    VisibleTooEarly,
    /// Pages of the index are written before the log that they are of is stable.
    IndexAhead,
    /// The first append after a restart gets the offset of the last message before it.
    OffsetReused,
}

#[cfg(feature = "planted")]
mod soil {
    use std::cell::Cell;

    use super::Planted;

    thread_local! {
        static BUG: Cell<Option<Planted>> = const { Cell::new(None) };
    }

    /// Plants the bug in all stores of this thread, or removes the one that was planted.
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
pub const fn is_planted(_: Planted) -> bool {
    false
}

/// Whether a record counts although its checksum does not fit.
#[inline]
pub fn counts_in_spite(guarded: &[u8]) -> bool {
    is_planted(Planted::ChecksumSkipped)
        || (is_planted(Planted::TornTailAccepted) && guarded.ends_with(&[0; 4]))
}

/// The end of what readers see.
#[inline]
pub fn visible_end(written: u64, position: u64) -> u64 {
    if is_planted(Planted::VisibleTooEarly) { position } else { written }
}

/// Up to where entries of the index may be written.
#[inline]
pub fn indexable_end(stable: u64, position: u64) -> u64 {
    if is_planted(Planted::IndexAhead) { position } else { stable }
}

/// The offset of an append that is due `next`.
#[inline]
pub fn offset(next: i64, first_of_restart: bool) -> i64 {
    let reused = is_planted(Planted::OffsetReused) && first_of_restart && next > 0;
    if reused { next - 1 } else { next }
}
