//! Open loop: when each request is due, whatever became of those before.

/// The schedule of one thread.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    interval_ns: f64,
    phase_ns: f64,
    issued: u64,
}

impl Schedule {
    /// A schedule of `rate` requests a second, one of `threads` that share the whole rate; their
    /// requests are due in turn, not at once.
    pub fn new(rate: f64, thread: u32, threads: u32) -> Schedule {
        assert!(rate > 0.0 && thread < threads, "the command line was checked");
        let interval_ns = 1e9 * f64::from(threads) / rate;
        let phase_ns = interval_ns * f64::from(thread) / f64::from(threads);
        Schedule { interval_ns, phase_ns, issued: 0 }
    }

    /// When the next request is due.
    pub fn next_due_ns(&self) -> u64 {
        // Computed from the count, so that rounding does not add up.
        (self.phase_ns + self.interval_ns * self.issued as f64) as u64
    }

    /// Takes the next request if it is due by `now_ns`: the time when it was due.
    pub fn take(&mut self, now_ns: u64) -> Option<u64> {
        let due_ns = self.next_due_ns();
        if due_ns > now_ns {
            return None;
        }
        self.issued += 1;
        Some(due_ns)
    }

    /// Requests that were due before `now_ns` and were not taken.
    pub fn behind(&self, now_ns: u64) -> u64 {
        let due = (now_ns as f64 - self.phase_ns) / self.interval_ns;
        (due.max(0.0) as u64).saturating_sub(self.issued)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_at_the_rate_and_keep_their_time_when_late() {
        let mut schedule = Schedule::new(1000.0, 0, 1);
        assert_eq!(schedule.take(0), Some(0));
        assert_eq!(schedule.take(999_999), None);
        // Three milliseconds of silence: each request keeps the time when it was due.
        assert_eq!(schedule.behind(3_000_000), 2);
        let due: Vec<u64> = std::iter::from_fn(|| schedule.take(3_000_000)).collect();
        assert_eq!(due, [1_000_000, 2_000_000, 3_000_000]);
        assert_eq!(schedule.behind(3_000_000), 0);
    }

    #[test]
    fn threads_share_the_rate_in_turn() {
        let mut due: Vec<u64> = (0..4)
            .flat_map(|thread| {
                let mut schedule = Schedule::new(4000.0, thread, 4);
                std::iter::from_fn(move || schedule.take(999_999_999)).collect::<Vec<u64>>()
            })
            .collect();
        due.sort_unstable();
        assert_eq!(due.len(), 4000);
        assert!(due.windows(2).all(|pair| pair[1] - pair[0] == 250_000));
    }

    #[test]
    fn a_rate_that_does_not_divide_does_not_drift() {
        let mut schedule = Schedule::new(3.0, 0, 1);
        let count = std::iter::from_fn(|| schedule.take(999_999_999_999)).count();
        assert_eq!(count, 3000);
    }
}
