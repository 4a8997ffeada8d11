//! Log lines on standard error; what a person asked for goes to standard output.
//!
//! Whoever reads standard error may stop doing so, and clients may make the same line appear ten
//! thousand times a second or put line breaks into it: lines go through a bounded queue to a thread
//! of their own, are limited by kind and source, and have their control characters escaped.

mod fields;
mod json;
mod level;
mod limit;
mod lines;
mod written;

use std::{io::IsTerminal, sync::OnceLock, time::Duration};

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{Layer as _, fmt, layer::SubscriberExt as _};

use limit::Limit;
use lines::Lines;
use written::{Counted, Progress};

/// Lines that wait for a reader of standard error; more are left out. A line is below 4 KiB, nearly
/// always.
const LINES_MAX: usize = 4096;

/// What is known of the lines of this process.
static WRITTEN: OnceLock<(Progress, ErrorCounter)> = OnceLock::new();

/// For a process that ends now: waits until the lines that were said are written, no longer than
/// `limit`; nobody may read them.
pub fn await_written(limit: Duration) {
    if let Some((progress, left_out)) = WRITTEN.get() {
        progress.wait(left_out.dropped_lines(), limit);
    }
}

/// Starts logging: `RINGMQ_LOG` sets the level, as in `info` or `ringmq_store=debug`, and
/// `RINGMQ_LOG_FORMAT=json` has each line written as an object. Lines are written until the guard
/// is dropped, which waits a second at most for the last ones.
pub fn start() -> WorkerGuard {
    let filter = level::filter();
    let format = std::env::var("RINGMQ_LOG_FORMAT").unwrap_or_default();
    let is_json = format.eq_ignore_ascii_case("json");
    let colors = std::io::stderr().is_terminal();
    let queue = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES_MAX)
        .thread_name("log");
    let progress = Progress::default();
    let out = Counted { out: std::io::stderr(), progress: progress.clone() };
    let (queue, guard) = queue.finish(out);
    let _ = WRITTEN.set((progress.clone(), queue.error_counter()));
    let limit = Limit::default();
    let writer = Lines::new(queue, progress, limit.clone(), is_json);
    let lines = fmt::layer().with_writer(writer);
    let limited = match is_json {
        true => lines.with_ansi(false).event_format(json::Json).with_filter(limit).boxed(),
        false => {
            let lines = lines.with_target(false).with_ansi(colors);
            lines.fmt_fields(fields::format()).with_filter(limit).boxed()
        }
    };
    let all = tracing_subscriber::registry().with(filter).with(limited);
    tracing::subscriber::set_global_default(all).expect("logging starts once");
    if !["", "text", "json"].contains(&&*format.to_ascii_lowercase()) {
        tracing::warn!("RINGMQ_LOG_FORMAT={format} is neither text nor json: lines are text");
    }
    guard
}
