//! Notes now and then how far the log is stable; syncs what ASYNC_FLUSH has written.

use std::rc::Rc;

use ringmq_io::{File, Runtime};

use crate::{
    api::options::{FlushMode, Sink},
    log::inner::LogInner,
    tasks::index_writes,
};

/// Writes the mark at most once an interval, and only when the log has moved.
pub async fn run_marks<R: Runtime, S: Sink>(shared: Rc<LogInner<R, S>>) {
    loop {
        while shared.is_open() && shared.state.borrow().settled() <= shared.mark.last().position {
            shared.published.wait().await;
        }
        shared.runtime.sleep(shared.options.checkpoint_interval).await;
        let Some(operation) = shared.begin() else {
            return;
        };
        let result = shared.write_mark(false).await;
        if result.is_ok() {
            release_writers(&shared).await;
        }
        drop(operation);
        if let Err(error) = result {
            shared.fence(&error);
            return;
        }
    }
}

/// Closes the handles that only writing needs, of segments that are complete and stable.
async fn release_writers<R: Runtime, S: Sink>(shared: &LogInner<R, S>) {
    let stable = shared.state.borrow().stable;
    let complete: Vec<_> = {
        let segments = shared.segments.borrow();
        segments.iter().filter(|segment| segment.end() <= stable).cloned().collect()
    };
    for segment in complete {
        let (writer, filler) = (segment.writer.take(), segment.filler.take());
        for file in [writer, filler].into_iter().flatten() {
            // Whoever still holds the other handle of the same file closes it.
            let closed = match Rc::try_unwrap(file) {
                Ok(file) => file.close().await,
                Err(_) => Ok(()),
            };
            // All that was written to it is on stable storage.
            if let Err(error) = closed {
                tracing::warn!(%error, "a segment was not closed");
            }
        }
    }
}

/// For [`FlushMode::Async`]: syncs at most once an interval.
pub async fn run_syncs<R: Runtime, S: Sink>(shared: Rc<LogInner<R, S>>) {
    assert_eq!(shared.options.flush, FlushMode::Async);
    loop {
        while shared.is_open() && unsynced(&shared) == 0 {
            shared.published.wait().await;
        }
        shared.runtime.sleep(shared.options.async_sync_interval).await;
        let Some(operation) = shared.begin() else {
            return;
        };
        let result = shared.sync().await;
        drop(operation);
        if let Err(error) = result {
            shared.fence(&error);
            return;
        }
        shared.published.notify();
        index_writes::wake(&shared);
    }
}

fn unsynced<R: Runtime, S: Sink>(shared: &LogInner<R, S>) -> u64 {
    let state = shared.state.borrow();
    state.written - state.stable
}
