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
/// A log is cut before its mark says so.
pub const CUT_UNMARKED: Bug = bug("cuts a log before the mark says so");
/// A log is cut wherever it is to be.
pub const CUT_COMMITTED: Bug = bug("cuts what is committed");
/// A copy that follows goes by what the records say of the leader's disk.
pub const CLAIMS_KEPT: Bug = bug("believes a leader's claims about the disk of a follower");
/// The epoch of the mark counts from its position on.
pub const EPOCH_FROM_POSITION: Bug = bug("counts the epoch of the mark from its position");

/// Whether a log is not cut because it must not be.
#[inline]
pub fn may_not_cut(is_committed: bool) -> bool {
    is_committed && !is_planted(CUT_COMMITTED)
}

/// Whether a log is cut before its mark says so.
#[inline]
pub fn cuts_unmarked() -> bool {
    is_planted(CUT_UNMARKED)
}

/// Whether claims of records count.
#[inline]
pub fn claims(do_count: bool) -> bool {
    do_count || is_planted(CLAIMS_KEPT)
}

/// Where the epoch of a mark begins to count.
#[inline]
pub fn epochs_count_from(cut: u64, position: u64) -> u64 {
    if is_planted(EPOCH_FROM_POSITION) { position } else { cut }
}

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
