//! Counters for the line a second, and the exact record of the measured time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use hdrhistogram::Histogram;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// Failure code of the tool: no answer in time.
pub const CODE_TIMEOUT: i32 = -1;
/// Failure code of the tool: the connection broke while a request was in flight.
pub const CODE_CONNECTION_LOST: i32 = -2;

const LATENCY_NS_MIN: u64 = 1_000;
const LATENCY_NS_MAX: u64 = 600_000_000_000;

/// What one thread tells the others while it runs; from its start on, warm-up included.
#[derive(Debug, Default)]
pub struct Counters {
    /// Messages sent and answered, or received.
    pub messages: AtomicU64,
    /// Bytes of their bodies.
    pub bytes: AtomicU64,
    /// Requests that were answered with success.
    pub answered: AtomicU64,
    /// Sum of their latencies; for consumers of the messages' times from birth.
    /// Microseconds: a backlog may be days old.
    pub latency_us: AtomicU64,
    /// Longest of them since the last look. Microseconds.
    pub latency_us_max: AtomicU64,
    /// Consumers: sum of the times since the broker stored the messages. Microseconds.
    pub stored_us: AtomicU64,
    /// Consumers: longest of them since the last look. Microseconds.
    pub stored_us_max: AtomicU64,
    /// Requests that could not be sent or got no answer.
    pub send_failed: AtomicU64,
    /// Requests that were answered with an error.
    pub response_failed: AtomicU64,
    /// Questions of brokers about transactions, those about what was decided before, and those that
    /// came before.
    pub checks: AtomicU64,
    pub unexpected_checks: AtomicU64,
    pub duplicated_checks: AtomicU64,
}

impl Counters {
    /// Adds to a counter that only this thread writes.
    pub fn add(counter: &AtomicU64, value: u64) {
        counter.store(counter.load(Ordering::Relaxed).wrapping_add(value), Ordering::Relaxed);
    }
}

/// What one thread measured.
#[derive(Debug)]
pub struct Recorder {
    /// Latencies in nanoseconds.
    pub latency: Histogram<u64>,
    /// Consumers: from the message's birth to its receipt, in nanoseconds, with the resolution
    /// of the timestamps, one millisecond.
    pub end_to_end: Histogram<u64>,
    /// Messages in the measured time.
    pub messages: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// Requests answered with success in the measured time.
    pub requests: u64,
    /// Failed requests by code, from the start on: count and the first remark.
    pub failures: BTreeMap<i32, (u64, String)>,
    /// Open loop: requests that were due before the end and never sent.
    pub behind: u64,
    /// Requests without an answer when the run ended.
    pub unanswered: u64,
    /// Errors that --verify found.
    pub corrupt: u64,
    /// The first of them.
    pub corrupt_first: Option<String>,
    /// CPU time of the tool's threads in the measured time, microseconds.
    pub cpu_us: u64,
    /// Length of the measured time, nanoseconds; the longest of the threads.
    pub measured_ns: u64,
}

impl Recorder {
    /// An empty record.
    pub fn new() -> Recorder {
        let histogram = || {
            Histogram::new_with_bounds(LATENCY_NS_MIN, LATENCY_NS_MAX, 3)
                .expect("the bounds are constants that fit")
        };
        Recorder {
            latency: histogram(),
            end_to_end: histogram(),
            messages: 0,
            bytes: 0,
            requests: 0,
            failures: BTreeMap::new(),
            behind: 0,
            unanswered: 0,
            corrupt: 0,
            corrupt_first: None,
            cpu_us: 0,
            measured_ns: 0,
        }
    }

    /// Counts failed requests.
    pub fn fail(&mut self, code: i32, count: u64, remark: impl FnOnce() -> String) {
        if count > 0 {
            self.failures.entry(code).or_insert_with(|| (0, remark())).0 += count;
        }
    }

    /// Counts requests that took so long.
    pub fn took(&mut self, latency_ns: u64, requests: u64) {
        if requests > 0 {
            self.latency.saturating_record_n(latency_ns, requests);
        }
    }

    /// Counts messages that were `age_ms` old when they were received.
    pub fn age(&mut self, age_ms: u64, messages: u64) {
        if messages > 0 {
            self.end_to_end.saturating_record_n(age_ms.saturating_mul(1_000_000), messages);
        }
    }

    /// Counts an error of --verify.
    pub fn corrupt(&mut self, text: impl FnOnce() -> String) {
        self.corrupt += 1;
        self.corrupt_first.get_or_insert_with(text);
    }

    /// Adds the record of another thread, so that percentiles are those of all requests.
    pub fn merge(&mut self, other: &Recorder) {
        self.latency.add(&other.latency).expect("all histograms have the same bounds");
        self.end_to_end.add(&other.end_to_end).expect("all histograms have the same bounds");
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.requests += other.requests;
        for (code, (count, remark)) in &other.failures {
            self.fail(*code, *count, || remark.clone());
        }
        self.behind += other.behind;
        self.unanswered += other.unanswered;
        self.corrupt += other.corrupt;
        if self.corrupt_first.is_none() {
            self.corrupt_first.clone_from(&other.corrupt_first);
        }
        self.cpu_us += other.cpu_us;
        self.measured_ns = self.measured_ns.max(other.measured_ns);
    }
}

/// CPU time that the calling thread has used, in microseconds.
pub fn thread_cpu_us() -> u64 {
    getrusage(UsageWho::RUSAGE_THREAD).map_or(0, |usage| {
        let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        u64::try_from(micros).unwrap_or(0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_percentiles_are_those_of_all_threads() {
        let (mut fast, mut slow) = (Recorder::new(), Recorder::new());
        fast.latency.record_n(100_000, 990).expect("in range");
        slow.latency.record_n(50_000_000, 10).expect("in range");
        fast.fail(2, 1, || "busy".to_owned());
        slow.fail(2, 3, || "another text".to_owned());
        fast.measured_ns = 5;
        slow.measured_ns = 7;
        fast.merge(&slow);
        assert_eq!(fast.latency.len(), 1000);
        assert!(fast.latency.value_at_quantile(0.98) < 101_000);
        assert!(fast.latency.value_at_quantile(0.999) > 49_000_000);
        assert_eq!(fast.failures.get(&2), Some(&(4, "busy".to_owned())));
        assert_eq!(fast.measured_ns, 7);
    }
}
