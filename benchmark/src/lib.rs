//! Load tool for brokers that speak RocketMQ's remoting protocol, RingMQ or the Java one.
//!
//! It must cost less than 0.5 us of CPU a message, or it measures itself: frames are encoded once
//! and patched in place, one thread drives many connections with its own epoll loop.
//! May depend on `base` and `remoting`, on nothing of the server.

#![forbid(unsafe_code)]

mod arguments;

use std::process::ExitCode;

pub use crate::arguments::{Arguments, CpuList, Mode, Options, Serialization, StartFrom};

/// Runs the load and prints its summary.
///
/// # Errors
/// When no broker can be reached, or the options cannot work. Failed requests are no error, they are
/// counted; the exit code is 1 when no message went through or a check of `--verify` failed.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let (Mode::Producer(options) | Mode::Consumer(options) | Mode::Both(options)) = &arguments.mode;
    options.check()?;
    anyhow::bail!("not there yet")
}
