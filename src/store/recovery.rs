//! Finding the end of a log again.

pub mod table;

use std::time::Duration;

use table::Case;

/// What opening a log found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    pub case: Case,
    /// Messages in the log and bytes scanned for them.
    pub records: u64,
    pub bytes: u64,
    /// First position of the log and where the next append goes.
    pub first: u64,
    pub end: u64,
    /// What the durable mark said.
    pub mark: u64,
    /// Opening number that appends carry from now on.
    pub epoch: u32,
    pub duration: Duration,
}
