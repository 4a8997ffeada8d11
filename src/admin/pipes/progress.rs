//! How far long work is, and how fast it may go.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use super::interrupt::Interrupt;
use crate::session::pause;

/// How often a line is written.
const INTERVAL: Duration = Duration::from_millis(200);
/// How long an interrupt may go unseen.
const NAP: Duration = Duration::from_millis(100);

/// A line on the terminal that says how far the work is; nothing where errors go elsewhere.
#[derive(Debug)]
pub struct Progress {
    shown: bool,
    began: Instant,
    last: Option<Instant>,
}

impl Progress {
    pub fn new() -> Progress {
        let shown = std::io::stderr().is_terminal();
        Progress { shown, began: Instant::now(), last: None }
    }

    /// So many of so many are done.
    pub fn show(&mut self, what: &str, done: u64, all: u64) {
        if !self.shown || self.last.is_some_and(|last| last.elapsed() < INTERVAL) {
            return;
        }
        self.last = Some(Instant::now());
        let seconds = self.began.elapsed().as_secs_f64().max(0.001);
        let rate = done as f64 / seconds;
        let percent = (done * 100).checked_div(all).unwrap_or(100);
        let text = format!("\r{what} {done} of {all} ({percent} %), {rate:.0}/s\x1b[K");
        drop(std::io::stderr().lock().write_all(text.as_bytes()));
    }

    /// Takes the line away.
    pub fn end(&mut self) {
        if self.last.take().is_some() {
            drop(std::io::stderr().lock().write_all(b"\r\x1b[K"));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

/// So many a second, evenly.
#[derive(Debug)]
pub struct Rate {
    interval: Option<Duration>,
    next: Instant,
}

impl Rate {
    /// `None`: as fast as it goes.
    pub fn new(a_second: Option<u32>) -> Rate {
        let interval = a_second.map(|count| Duration::from_secs(1) / count.max(1));
        Rate { interval, next: Instant::now() }
    }

    /// Sleeps until it is time for the next one, or an interrupt comes.
    pub fn wait(&mut self, interrupt: &Interrupt) {
        let Some(interval) = self.interval else { return };
        while let Some(rest) = self.next.checked_duration_since(Instant::now())
            && !interrupt.has_come()
        {
            pause(rest.min(NAP));
        }
        // time that was lost is not made up for
        self.next = self.next.max(Instant::now() - interval) + interval;
    }
}
