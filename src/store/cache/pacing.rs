//! How much of the disk reads from it may take at a time: much while the log rests, little beside
//! writes.
//!
//! A device works off what it was given in an order of its own: a write that comes behind large
//! reads waits for all of them. Seen with fio on a virtual disk, O_DSYNC writes of 4 KiB beside one
//! sequential reader, median write and what the reader got: 8 reads of 1 MiB in flight 121 ms and
//! 716 MiB/s, one of 1 MiB 4.6 ms and 542 MiB/s, one of 128 KiB 0.35 ms (as without) and 368 MiB/s.

use std::{cell::Cell, time::Duration};

/// A log that was written so recently will be written again soon.
const REST: Duration = Duration::from_millis(100);

/// Limits of reads from the files of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBudget {
    /// Largest read.
    pub read_bytes: u64,
    /// Bytes on their way from disk, before further reads wait. A single read is always let in.
    pub in_flight_bytes: u64,
    /// The same for read-ahead, which leaves the rest to reads that somebody waits for.
    pub ahead_bytes: u64,
}

impl ReadBudget {
    /// Nobody waits for a write.
    pub const ALONE: ReadBudget =
        ReadBudget { read_bytes: 1 << 20, in_flight_bytes: 8 << 20, ahead_bytes: 4 << 20 };
    /// About one read at a time.
    pub const BESIDE_WRITES: ReadBudget =
        ReadBudget { read_bytes: 128 << 10, in_flight_bytes: 128 << 10, ahead_bytes: 128 << 10 };
}

/// Knows of the writes of a log.
#[derive(Default)]
pub struct Pacing {
    under_way: Cell<bool>,
    ended: Cell<Option<Duration>>,
}

impl Pacing {
    pub fn write_began(&self) {
        self.under_way.set(true);
    }

    /// `now`: of the monotonic clock.
    pub fn write_ended(&self, now: Duration) {
        self.under_way.set(false);
        self.ended.set(Some(now));
    }

    pub fn budget(&self, now: Duration) -> ReadBudget {
        let recent = self.ended.get().is_some_and(|ended| now.saturating_sub(ended) < REST);
        if self.under_way.get() || recent { ReadBudget::BESIDE_WRITES } else { ReadBudget::ALONE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_small_from_the_beginning_of_a_write_until_a_while_after_its_end() {
        let at = Duration::from_millis;
        let pacing = Pacing::default();
        assert_eq!(pacing.budget(at(5)), ReadBudget::ALONE);
        pacing.write_began();
        assert_eq!(pacing.budget(at(90_000)), ReadBudget::BESIDE_WRITES);
        pacing.write_ended(at(90_000));
        assert_eq!(pacing.budget(at(90_099)), ReadBudget::BESIDE_WRITES);
        assert_eq!(pacing.budget(at(90_100)), ReadBudget::ALONE);
    }
}
