//! How far the snapshots of the index are.

/// What the last snapshots were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Greatest number of a snapshot, and that of the last one that is intact; 0 for none.
    pub sequence: u64,
    pub good: u64,
    /// Where a replay from the last intact one begins, and from the intact one before.
    pub position: u64,
    pub previous: Option<u64>,
    /// Size of the last one.
    pub bytes: u64,
    /// Start of the log when it was made.
    pub first: u64,
}
