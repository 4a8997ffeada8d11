//! Lines while the load runs: one a second of our own, and every ten seconds the line of RocketMQ's
//! benchmark tools, which people compare by.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::stamp::civil_date;
use crate::statistics::Counters;

/// RocketMQ's tools look back over so many seconds.
const LOOK_BACK: usize = 10;

/// The counters of all threads of one kind.
pub struct Live {
    is_producer: bool,
    transactions: bool,
    counters: Vec<Arc<Counters>>,
    snapshots: VecDeque<Snapshot>,
    latency_us_max: u64,
    stored_us_max: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Snapshot {
    at_ns: u64,
    messages: u64,
    bytes: u64,
    answered: u64,
    latency_us: u64,
    stored_us: u64,
    send_failed: u64,
    response_failed: u64,
    checks: u64,
    unexpected_checks: u64,
    duplicated_checks: u64,
}

impl Live {
    /// Looks at the counters of these threads.
    pub fn new(is_producer: bool, counters: Vec<Arc<Counters>>) -> Live {
        Live {
            is_producer,
            transactions: false,
            counters,
            snapshots: VecDeque::new(),
            latency_us_max: 0,
            stored_us_max: 0,
        }
    }

    /// With lines as RocketMQ's producer of transactions has them.
    pub fn with_transactions(self, transactions: bool) -> Live {
        Live { transactions, ..self }
    }

    /// Messages sent or received until now.
    pub fn messages(&self) -> u64 {
        self.sum(|counters| &counters.messages)
    }

    fn sum(&self, field: fn(&Counters) -> &AtomicU64) -> u64 {
        self.counters.iter().map(|counters| field(counters).load(Ordering::Relaxed)).sum()
    }

    /// Takes the counters; to be called once a second.
    pub fn look(&mut self, now_ns: u64) {
        let snapshot = Snapshot {
            at_ns: now_ns,
            messages: self.sum(|counters| &counters.messages),
            bytes: self.sum(|counters| &counters.bytes),
            answered: self.sum(|counters| &counters.answered),
            latency_us: self.sum(|counters| &counters.latency_us),
            stored_us: self.sum(|counters| &counters.stored_us),
            send_failed: self.sum(|counters| &counters.send_failed),
            response_failed: self.sum(|counters| &counters.response_failed),
            checks: self.sum(|counters| &counters.checks),
            unexpected_checks: self.sum(|counters| &counters.unexpected_checks),
            duplicated_checks: self.sum(|counters| &counters.duplicated_checks),
        };
        for counters in &self.counters {
            let longest = counters.latency_us_max.swap(0, Ordering::Relaxed);
            self.latency_us_max = self.latency_us_max.max(longest);
            let longest = counters.stored_us_max.swap(0, Ordering::Relaxed);
            self.stored_us_max = self.stored_us_max.max(longest);
        }
        self.snapshots.push_back(snapshot);
        if self.snapshots.len() > LOOK_BACK {
            self.snapshots.pop_front();
        }
    }

    /// The last second in a line.
    pub fn line(&self) -> Option<String> {
        let mut newest = self.snapshots.iter().rev();
        let (last, before) = (newest.next()?, newest.next()?);
        let seconds = seconds_between(before, last);
        let messages = (last.messages - before.messages) as f64;
        let units =
            if self.is_producer { last.answered - before.answered } else { messages as u64 };
        let mean_us = last.latency_us.wrapping_sub(before.latency_us) as f64 / units.max(1) as f64;
        Some(format!(
            "{} {:6.1} s {:>10.0} msg/s {:>8.1} MB/s  mean {mean_us:.0} us  failed {}",
            if self.is_producer { "producer" } else { "consumer" },
            last.at_ns as f64 / 1e9,
            messages / seconds,
            (last.bytes - before.bytes) as f64 / seconds / 1e6,
            last.send_failed + last.response_failed
        ))
    }

    /// The line of RocketMQ's tools, once ten seconds have been seen. The producer's one has the
    /// longest time since the start, the consumer's that since the line before.
    pub fn rocketmq_line(&mut self, wall_ms: u64) -> Option<String> {
        if self.snapshots.len() < LOOK_BACK {
            return None;
        }
        let (first, last) = (*self.snapshots.front()?, *self.snapshots.back()?);
        if self.transactions {
            return Some(self.transactions_line(&first, &last, wall_ms));
        }
        if self.is_producer {
            let figures = self.producer_figures(&first, &last);
            return Some(format!("Current Time: {} {figures}", human_time(wall_ms)));
        }
        let messages = last.messages - first.messages;
        let mean_ms = |first_us: u64, last_us: u64| {
            last_us.wrapping_sub(first_us) as f64 / 1e3 / messages.max(1) as f64
        };
        let line = format!(
            "Current Time: {wall_ms} TPS: {} FAIL: {} AVG(B2C) RT(ms): {:7.3} \
             AVG(S2C) RT(ms): {:7.3} MAX(B2C) RT(ms): {} MAX(S2C) RT(ms): {}",
            (messages as f64 / seconds_between(&first, &last)) as u64,
            last.response_failed - first.response_failed,
            mean_ms(first.latency_us, last.latency_us),
            mean_ms(first.stored_us, last.stored_us),
            self.latency_us_max / 1000,
            self.stored_us_max / 1000,
        );
        (self.latency_us_max, self.stored_us_max) = (0, 0);
        Some(line)
    }

    fn transactions_line(&mut self, first: &Snapshot, last: &Snapshot, wall_ms: u64) -> String {
        let failed = |of: &Snapshot| of.send_failed + of.response_failed;
        let answered = last.answered - first.answered;
        let all = (answered + failed(last) - failed(first)) as f64;
        let line = format!(
            "Current Time: {wall_ms} Send TPS:{:5} Max RT(ms):{:5} AVG RT(ms):{:3.1} \
             Send Failed: {} check: {} unexpectedCheck: {} duplicatedCheck: {} ",
            (all / seconds_between(first, last)) as u64,
            self.latency_us_max / 1000,
            last.latency_us.wrapping_sub(first.latency_us) as f64 / 1e3 / answered.max(1) as f64,
            failed(last) - failed(first),
            last.checks - first.checks,
            last.unexpected_checks - first.unexpected_checks,
            last.duplicated_checks - first.duplicated_checks,
        );
        self.latency_us_max = 0;
        line
    }

    /// The last line of RocketMQ's producer; its consumer has none.
    pub fn rocketmq_complete(&self) -> Option<String> {
        let (first, last) = (self.snapshots.front()?, self.snapshots.back()?);
        let all = last.messages + last.send_failed;
        let is_long = self.is_producer && self.snapshots.len() > 1;
        is_long
            .then(|| format!("[Complete] Send Total: {all} {}", self.producer_figures(first, last)))
    }

    fn producer_figures(&self, first: &Snapshot, last: &Snapshot) -> String {
        let answered = last.answered - first.answered;
        format!(
            "Send TPS: {} Max RT(ms): {} Average RT(ms): {:7.3} \
             Send Failed: {} Response Failed: {}",
            ((last.messages - first.messages) as f64 / seconds_between(first, last)) as u64,
            self.latency_us_max / 1000,
            last.latency_us.wrapping_sub(first.latency_us) as f64 / 1e3 / answered.max(1) as f64,
            last.send_failed,
            last.response_failed,
        )
    }
}

fn seconds_between(first: &Snapshot, last: &Snapshot) -> f64 {
    (last.at_ns.saturating_sub(first.at_ns) as f64 / 1e9).max(1e-9)
}

/// `yyyy-MM-dd HH:mm:ss,SSS` in UTC.
fn human_time(wall_ms: u64) -> String {
    let (year, month, day) = civil_date(wall_ms / 86_400_000);
    let in_day = wall_ms % 86_400_000;
    let (hours, minutes) = (in_day / 3_600_000, in_day / 60_000 % 60);
    let (seconds, millis) = (in_day / 1000 % 60, in_day % 1000);
    format!("{year:04}-{month:02}-{day:02} {hours:02}:{minutes:02}:{seconds:02},{millis:03}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(is_producer: bool) -> Live {
        let counters = Arc::new(Counters::default());
        let mut live = Live::new(is_producer, vec![counters.clone()]);
        for second in 0..12u64 {
            live.look(second * 1_000_000_000);
            Counters::add(&counters.messages, 500);
            Counters::add(&counters.answered, 500);
            Counters::add(&counters.bytes, 64_000);
            Counters::add(&counters.latency_us, 500 * 1500);
            Counters::add(&counters.stored_us, 500 * 1000);
            counters.latency_us_max.fetch_max(12_000, Ordering::Relaxed);
        }
        Counters::add(&counters.response_failed, 3);
        live.look(12_000_000_000);
        live
    }

    #[test]
    fn the_lines_are_those_of_rocketmqs_tools() {
        let mut producer = run(true);
        let line = producer.rocketmq_line(1_795_219_200_007).expect("ten seconds");
        assert_eq!(
            line,
            "Current Time: 2026-11-21 00:00:00,007 Send TPS: 500 Max RT(ms): 12 \
             Average RT(ms):   1.500 Send Failed: 0 Response Failed: 3"
        );
        let line = producer.rocketmq_complete().expect("ten seconds");
        assert!(line.starts_with("[Complete] Send Total: 6000 Send TPS: 500 Max RT(ms): 12"));
        let line = run(false).rocketmq_line(1_795_219_200_007).expect("ten seconds");
        assert_eq!(
            line,
            "Current Time: 1795219200007 TPS: 500 FAIL: 3 AVG(B2C) RT(ms):   1.500 \
             AVG(S2C) RT(ms):   1.000 MAX(B2C) RT(ms): 12 MAX(S2C) RT(ms): 0"
        );
    }

    #[test]
    fn the_line_a_second_shows_the_last_second() {
        let line = run(true).line().expect("two looks");
        assert!(line.contains("500 msg/s") && line.contains("mean 1500 us"), "{line}");
    }
}
