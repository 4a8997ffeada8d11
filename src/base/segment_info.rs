//! A segment of a log as retention sees it.

use crate::LogPosition;

/// A segment as retention sees it. Positions are those of the log, times are milliseconds since
/// 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    pub start: LogPosition,
    pub end: LogPosition,
    /// Bytes of its file; less than `end - start` while the file still grows.
    pub file_bytes: u64,
    /// `None` without a message, or if the first one cannot be read.
    pub first_stored_ms: Option<i64>,
    /// No message in it was stored later.
    pub last_stored_ms: i64,
    /// It is complete and on stable storage: retention may give it up.
    pub complete: bool,
}
