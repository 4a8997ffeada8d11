//! The facts of a store directory that never change.

use std::path::{Path, PathBuf};

use ringmq_base::LogId;
use ringmq_io::Runtime;

use crate::OpenError;

/// Fixed facts of a store, written once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub format: u32,
    pub logs: u16,
    pub store_id: u128,
    pub created_ms: i64,
}

/// Opens the store at `root`, or creates it with `logs_if_new` logs if the directory is missing or
/// empty. Takes no lock. When it resolves, the manifest is on stable storage.
pub async fn open_manifest<R: Runtime>(
    runtime: &R,
    root: &Path,
    logs_if_new: u16,
) -> Result<Manifest, OpenError> {
    let _ = (runtime, root, logs_if_new);
    unreachable!("being written")
}

/// Where a log of the store at `root` lives.
pub fn log_directory(root: &Path, log: LogId) -> PathBuf {
    root.join(format!("log-{:03}", log.get()))
}
