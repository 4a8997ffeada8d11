//! What the store does wrong on request; see [`ringmq_base::injected_bugs`].

use ringmq_base::injected_bugs::{Bug, is_planted};

const fn bug(name: &'static str) -> Bug {
    Bug { name, file: "src/store/api/injected_bugs.rs" }
}

/// Records count whatever their checksum says.
pub const CHECKSUM_SKIPPED: Bug = bug("skips the checksum");
/// A record whose last bytes never arrived counts.
pub const TORN_TAIL_ACCEPTED: Bug = bug("accepts a torn tail");
/// Readers see what is appended, not what is durable.
pub const VISIBLE_TOO_EARLY: Bug = bug("shows messages ahead of the durable end");
/// Pages of the index are written before the log that they are of is stable.
pub const INDEX_AHEAD: Bug = bug("writes the index ahead of the durable log");
/// The first append after a restart gets the offset of the last message before it.
pub const OFFSET_REUSED: Bug = bug("uses an offset again after a restart");

/// Whether a record counts although its checksum does not fit.
#[inline]
pub fn counts_in_spite(guarded: &[u8]) -> bool {
    is_planted(CHECKSUM_SKIPPED) || (is_planted(TORN_TAIL_ACCEPTED) && guarded.ends_with(&[0; 4]))
}

/// The end of what readers see.
#[inline]
pub fn visible_end(committed: u64, position: u64) -> u64 {
    if is_planted(VISIBLE_TOO_EARLY) { position } else { committed }
}

/// Up to where entries of the index may be written.
#[inline]
pub fn indexable_end(settled: u64, position: u64) -> u64 {
    if is_planted(INDEX_AHEAD) { position } else { settled }
}

/// The offset of an append that is due `next`.
#[inline]
pub fn offset(next: i64, first_of_restart: bool) -> i64 {
    let reused = is_planted(OFFSET_REUSED) && first_of_restart && next > 0;
    if reused { next - 1 } else { next }
}
