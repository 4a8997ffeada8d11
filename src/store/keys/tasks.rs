//! The background of the key index: writing full blocks behind the stable end of the log, and
//! merging runs. An error of the disk costs no message: the block stays in memory and is tried
//! again; when too many wait, the index lags and reads the log again later.

use std::{rc::Rc, time::Duration};

use ringmq_io::Runtime;

use crate::{Sink, shared::Shared};

/// Between two tries after an error, doubled each time up to the longest.
const RETRY_SHORTEST: Duration = Duration::from_millis(500);
const RETRY_LONGEST: Duration = Duration::from_secs(10);

/// Writes one block after the other.
pub async fn run_writes<R: Runtime, S: Sink>(shared: Rc<Shared<R, S>>) {
    let mut retry = RETRY_SHORTEST;
    loop {
        let oldest = shared.state.borrow().keys.oldest();
        let Some(block) = oldest else {
            if !wait_for_change(&shared).await {
                return;
            }
            continue;
        };
        while shared.is_open() && shared.state.borrow().stable < block.to {
            shared.published.wait().await;
        }
        let Some(operation) = shared.begin() else {
            return;
        };
        let result = shared.key_files.write(&block).await;
        if result.is_ok() {
            shared.state.borrow_mut().keys.retire(block);
        }
        drop(operation);
        match result {
            Ok(()) => retry = RETRY_SHORTEST,
            Err(error) => {
                tracing::warn!(
                    log = %shared.options.log, %error,
                    "a run of the key index was not written, it is tried again"
                );
                shared.runtime.sleep(retry).await;
                retry = RETRY_LONGEST.min(retry * 2);
            }
        }
    }
}

/// Merges full segments, one after the other.
pub async fn run_merges<R: Runtime, S: Sink>(shared: Rc<Shared<R, S>>) {
    let mut retry = RETRY_SHORTEST;
    loop {
        while shared.is_open() && !shared.key_files.has_full() {
            wait_for_change(&shared).await;
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

/// Resolves at the next change of the buffer or the phase; false when the log is not open.
pub async fn wait_for_change<R: Runtime, S: Sink>(shared: &Shared<R, S>) -> bool {
    let changed = shared.state.borrow().keys.changed.clone();
    if shared.is_open() {
        changed.wait().await;
    }
    shared.is_open()
}
