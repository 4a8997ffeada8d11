//! The loops that work in the background of a log, each on the data of [`crate::log`].

pub mod allocation;
pub mod checkpoint;
pub mod commit;
pub mod flusher;
pub mod index_writes;
pub mod key_catch_up;
pub mod key_runs;
pub mod prezero;
pub mod scrub;

use std::rc::Rc;

use ringmq_io::{Runtime, Shares};

use crate::{
    api::options::{FlushMode, Sink},
    log::inner::LogInner,
};

/// Starts the tasks of a log that was just opened.
pub fn spawn<R: Runtime, S: Sink>(log: &Rc<LogInner<R, S>>) {
    let runtime = &log.runtime;
    let shared = || log.clone();
    // The flusher counts as an operation from now on: a log closed at once waits for it.
    log.operations.set(1);
    runtime.spawn(Shares::Foreground, "log flusher", flusher::run(shared()));
    runtime.spawn(Shares::Foreground, "log space", allocation::run(shared()));
    runtime.spawn(Shares::Background, "log zeroing", prezero::run(shared()));
    runtime.spawn(Shares::Background, "log marks", checkpoint::run_marks(shared()));
    runtime.spawn(Shares::Background, "log index", index_writes::run(shared()));
    if log.options.message_index {
        runtime.spawn(Shares::Background, "key runs", key_runs::run_writes(shared()));
        runtime.spawn(Shares::Background, "key merges", key_runs::run_merges(shared()));
        runtime.spawn(Shares::Background, "key catch-up", key_catch_up::run(shared()));
    }
    runtime.spawn(Shares::Background, "log scrub", scrub::run(shared()));
    if log.options.flush == FlushMode::Async {
        runtime.spawn(Shares::Background, "log syncs", checkpoint::run_syncs(shared()));
    }
}
