//! CPU time and memory of the server's process, read from /proc.

use std::fs;

use serde::Serialize;

/// The kernel shows times to programs in this unit on every architecture that RingMQ runs on.
const TICK_US: u64 = 10_000;

/// Figures of one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessSample {
    /// User and system time, microseconds; resolution ten milliseconds.
    pub cpu_us: u64,
    /// Resident memory, kilobytes.
    pub rss_kb: u64,
    /// Largest resident memory so far, kilobytes.
    pub rss_peak_kb: u64,
}

/// Figures over the measured time.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct ProcessUse {
    /// CPU time in the measured time.
    pub cpu_us: u64,
    /// CPU time a message.
    pub cpu_us_per_message: f64,
    /// Resident memory at the end, MiB.
    pub rss_mib: f64,
    /// Largest resident memory, MiB.
    pub rss_peak_mib: f64,
}

/// Reads the figures; `None` when there is no such process.
pub fn sample(pid: u32) -> Option<ProcessSample> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(ProcessSample {
        cpu_us: cpu_ticks(&stat)? * TICK_US,
        rss_kb: status_kb(&status, "VmRSS:").unwrap_or(0),
        rss_peak_kb: status_kb(&status, "VmHWM:").unwrap_or(0),
    })
}

/// What happened between two samples, for so many messages.
pub fn difference(first: ProcessSample, last: ProcessSample, messages: u64) -> ProcessUse {
    let cpu_us = last.cpu_us.saturating_sub(first.cpu_us);
    ProcessUse {
        cpu_us,
        cpu_us_per_message: cpu_us as f64 / messages.max(1) as f64,
        rss_mib: last.rss_kb as f64 / 1024.0,
        rss_peak_mib: last.rss_peak_kb as f64 / 1024.0,
    }
}

fn cpu_ticks(stat: &str) -> Option<u64> {
    // The name in parentheses may hold anything, also blanks and parentheses.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace();
    let user: u64 = fields.nth(11)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn status_kb(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "42 (a) b) S 1 2 3 4 5 6 7 8 9 10 1100 220 0 0 20 0 1 0 99";
        assert_eq!(cpu_ticks(stat), Some(1320));
        assert_eq!(status_kb("Name:\tx\nVmHWM:\t  2048 kB\n", "VmHWM:"), Some(2048));
    }

    #[test]
    fn the_own_process_can_be_sampled() {
        let own = sample(std::process::id()).expect("this process exists");
        assert!(own.rss_kb > 0 && own.rss_peak_kb >= own.rss_kb);
    }
}
