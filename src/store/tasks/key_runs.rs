//! The background of the key index: writing full blocks behind the stable end of the log, and
//! merging runs. An error of the disk costs no message: the block stays in memory and is tried
//! again; when too many wait, the index lags and reads the log again later.

use std::{rc::Rc, time::Duration};

use ringmq_io::Runtime;

use crate::{
    api::options::Sink,
    files::segment::HEADER_BYTES,
    log::{Log, inner::LogInner},
    tasks::key_catch_up::fill_hole,
};

/// Between two tries after an error, doubled each time up to the longest.
const RETRY_SHORTEST: Duration = Duration::from_millis(500);
const RETRY_LONGEST: Duration = Duration::from_secs(10);

/// Makes lost runs anew, then writes one block after the other.
pub async fn run_writes<R: Runtime, S: Sink>(shared: Rc<LogInner<R, S>>) {
    let log = Log { shared };
    let shared = &log.shared;
    let first = shared.state.borrow().first + HEADER_BYTES;
    for hole in shared.key_files.holes(first) {
        let between = async || while write_oldest(shared).await.is_some_and(|written| written) {};
        if let Err(error) = fill_hole(&log, hole, between).await {
            tracing::warn!(
                log = %shared.options.log, %error,
                "a part of the key index was not made anew, the next start tries again"
            );
        }
    }
    let mut retry = RETRY_SHORTEST;
    loop {
        match write_oldest(shared).await {
            Some(true) => retry = RETRY_SHORTEST,
            Some(false) => {
                shared.runtime.sleep(retry).await;
                retry = RETRY_LONGEST.min(retry * 2);
            }
            None if !shared.key_change().await => return,
            None => {}
        }
    }
}

/// Writes the oldest block that waits, as soon as the log is stable behind it. `None` if there is
/// none or the log is not open; false after an error.
async fn write_oldest<R: Runtime, S: Sink>(shared: &LogInner<R, S>) -> Option<bool> {
    let block = shared.state.borrow().keys.oldest()?;
    while shared.is_open() && shared.state.borrow().settled() < block.to {
        shared.published.wait().await;
    }
    let _operation = shared.begin()?;
    let result = shared.key_files.write(&block).await;
    match result {
        Ok(()) => shared.state.borrow_mut().keys.retire(block),
        Err(error) => {
            tracing::warn!(
                log = %shared.options.log, %error,
                "a run of the key index was not written, it is tried again"
            );
            return Some(false);
        }
    }
    Some(true)
}

/// Merges full segments, one after the other.
pub async fn run_merges<R: Runtime, S: Sink>(shared: Rc<LogInner<R, S>>) {
    let mut retry = RETRY_SHORTEST;
    loop {
        while shared.is_open() && !shared.key_files.has_full() {
            shared.key_change().await;
        }
        let Some(operation) = shared.begin() else {
            return;
        };
        let result = shared.key_files.merge(|| shared.is_open()).await;
        drop(operation);
        match result {
            Ok(()) => retry = RETRY_SHORTEST,
            Err(error) => {
                tracing::warn!(
                    log = %shared.options.log, %error, "runs of the key index were not merged"
                );
                shared.runtime.sleep(retry).await;
                retry = RETRY_LONGEST.min(retry * 2);
            }
        }
    }
}
