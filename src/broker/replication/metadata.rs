//! Topics, groups, offsets, cursors and locks on their way from a master to those that copy it.

pub mod send;
pub mod take;

/// Bytes of one piece of a snapshot.
const PIECE_BYTES: usize = 128 * 1024;
/// Bytes of entries that may be on their way without an acknowledgement, unless one is larger.
const WINDOW_BYTES: usize = 1024 * 1024;
