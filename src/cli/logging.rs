//! Log lines on standard error; what a person asked for goes to standard output.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt};

/// Starts logging: `RINGMQ_LOG` sets the level, as in `info` or `ringmq_store=debug`.
pub fn start() {
    let filter = EnvFilter::try_from_env("RINGMQ_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let colors = std::io::stderr().is_terminal();
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    lines.with_target(false).with_ansi(colors).init();
}
