//! Memory for messages with a delivery time: what those that wait in a log of this shard take, and
//! whether there is room for one more.

use std::{cell::RefCell, collections::BTreeMap};

use ringmq_base::LogId;
use ringmq_rules::{refusal::Refusal, timer};

/// Bytes for a message that is appended and not yet in the wheel of its log.
const UNREAD_BYTES: usize = 64;

/// What the timers of one log take and have done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimerUse {
    /// Memory of those that wait and of what is cancelled, in bytes.
    pub bytes: usize,
    /// Messages that were appended and are not in the wheel yet.
    pub unread: usize,
    /// Messages in the wheel.
    pub waiting: usize,
    /// Messages that were read since the start, and those delivered, cancelled or passed over.
    pub read: u64,
    pub settled: u64,
    /// When the next message is due, in milliseconds since 1970.
    pub next_due_ms: Option<i64>,
    /// Since when there have been unread ones, in milliseconds since 1970.
    pub unread_since_ms: Option<i64>,
    pub survey: Survey,
}

/// Of a distribution, in seconds from now: the first has what is overdue, too. Source:
/// `TimerMetrics.timerDist`.
pub const BOUNDS_SECONDS: [i64; 8] = [5, 60, 300, 900, 3_600, 14_400, 28_800, 86_400];

/// What waits by its times, as it was some seconds ago.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Messages that are due and not delivered.
    pub overdue: usize,
    /// Messages up to each of [`BOUNDS_SECONDS`], from the one before on.
    pub distribution: [usize; BOUNDS_SECONDS.len()],
}

impl Survey {
    fn and(mut self, other: &Survey) -> Survey {
        self.overdue += other.overdue;
        let both = self.distribution.iter_mut().zip(other.distribution);
        both.for_each(|(sum, count)| *sum += count);
        self
    }
}

/// The timers of a shard.
pub struct TimerRoom {
    /// Of all logs of the broker, in bytes.
    limit: u64,
    used: RefCell<BTreeMap<LogId, TimerUse>>,
}

impl TimerRoom {
    /// `limit`: for all logs of the broker, in bytes.
    pub fn new(limit: u64) -> TimerRoom {
        TimerRoom { limit, used: RefCell::default() }
    }

    /// Whether one more may be kept in a log, one of so many of the broker.
    ///
    /// # Errors
    /// The answer to a send.
    pub fn check(&self, log: LogId, logs: u16) -> Result<(), Refusal> {
        let used = self.used.borrow().get(&log).copied().unwrap_or_default();
        let bytes = used.bytes + used.unread * UNREAD_BYTES;
        let limit = self.limit / u64::from(logs.max(1));
        if (bytes as u64) < limit { Ok(()) } else { Err(timer::flow_control(bytes, limit)) }
    }

    /// A message is in the log, now: in milliseconds since 1970.
    pub fn appended(&self, log: LogId, now_ms: i64) {
        let mut used = self.used.borrow_mut();
        let used = used.entry(log).or_default();
        used.unread += 1;
        used.unread_since_ms.get_or_insert(now_ms);
    }

    /// Notes what the timers of a log take; `newly_read`: messages that are no longer unread.
    pub fn note(&self, log: LogId, newly_read: usize, now: TimerUse) {
        let mut used = self.used.borrow_mut();
        let used = used.entry(log).or_default();
        let unread = used.unread.saturating_sub(newly_read);
        let read = used.read + newly_read as u64;
        let unread_since_ms = used.unread_since_ms.filter(|_| unread > 0);
        *used = TimerUse { unread, read, unread_since_ms, ..now };
    }

    /// Of all logs together.
    pub fn sum(&self) -> TimerUse {
        let used = self.used.borrow();
        used.values().fold(TimerUse::default(), |sum, one| sum.and(one))
    }
}

impl TimerUse {
    #[must_use]
    pub fn and(self, other: &TimerUse) -> TimerUse {
        let earlier = |one: Option<i64>, other: Option<i64>| one.into_iter().chain(other).min();
        TimerUse {
            bytes: self.bytes + other.bytes,
            unread: self.unread + other.unread,
            waiting: self.waiting + other.waiting,
            read: self.read + other.read,
            settled: self.settled + other.settled,
            next_due_ms: earlier(self.next_due_ms, other.next_due_ms),
            unread_since_ms: earlier(self.unread_since_ms, other.unread_since_ms),
            survey: self.survey.and(&other.survey),
        }
    }
}
