//! Executors and directories for the tests.

use std::{future::Future, path::Path};

use ringmq_base::ShardId;
use ringmq_io::{launch::launch, ring::RingRuntime};
use tempfile::TempDir;

/// Runs the body on a new executor of its own, not pinned.
pub fn on_executor<F, T>(body: impl Fn(RingRuntime) -> F + Clone + Send + 'static) -> T
where
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    on_executors(1, move |_, runtime| body(runtime)).remove(0)
}

pub fn on_executors<F, T>(
    count: usize,
    body: impl Fn(ShardId, RingRuntime) -> F + Clone + Send + 'static,
) -> Vec<T>
where
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    launch(&vec![0; count], false, body).expect("executors can be made here").join()
}

/// A directory below the target directory: the usual place of temporary files may be in memory.
pub fn directory() -> TempDir {
    tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR")))
        .expect("the target directory is writable")
}
