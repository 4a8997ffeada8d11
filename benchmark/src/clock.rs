//! Time of one run, shared by its threads.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Nanoseconds since the run began, and the wall clock that belongs to them.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    began: Instant,
    wall_began_ns: u64,
}

/// When the run measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Begin, in the clock's nanoseconds.
    pub first_ns: u64,
    /// End, in the clock's nanoseconds; `u64::MAX` is without end.
    pub last_ns: u64,
}

impl Clock {
    /// Starts now.
    pub fn start() -> Clock {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { began: Instant::now(), wall_began_ns: nanoseconds(wall) }
    }

    /// Nanoseconds since the start.
    pub fn now_ns(&self) -> u64 {
        nanoseconds(self.began.elapsed())
    }

    /// The wall clock at `now_ns` of this clock, in milliseconds since 1970.
    pub fn wall_ms(&self, now_ns: u64) -> u64 {
        (self.wall_began_ns + now_ns) / 1_000_000
    }
}

impl Window {
    /// A window after `warmup` of length `measured`, or without end.
    pub fn new(warmup: Duration, measured: Option<Duration>) -> Window {
        let first_ns = nanoseconds(warmup);
        let last_ns =
            measured.map_or(u64::MAX, |measured| first_ns.saturating_add(nanoseconds(measured)));
        Window { first_ns, last_ns }
    }

    /// Whether an answer at `now_ns` counts.
    pub fn contains(&self, now_ns: u64) -> bool {
        (self.first_ns..self.last_ns).contains(&now_ns)
    }
}

/// A duration in nanoseconds; five centuries at most.
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
