//! How long writes of the logs took lately, as RocketMQ's tools show it.

use std::time::Duration;

use ringmq_base::WriteLatency;

/// For how long rows are collected before new ones begin. Source: `StoreStatsService`.
const PERIOD_MS: i64 = 60_000;

/// Rows of `putMessageDistributeTime` and where they end, in milliseconds. Source:
/// `StoreStatsService`, which rounds down: its first row is what took less than a millisecond.
const ROWS: [(&str, u64); 13] = [
    ("[<=0ms]", 1),
    ("[0~10ms]", 10),
    ("[10~50ms]", 50),
    ("[50~100ms]", 100),
    ("[100~200ms]", 200),
    ("[200~500ms]", 500),
    ("[500ms~1s]", 1_000),
    ("[1~2s]", 2_000),
    ("[2~3s]", 3_000),
    ("[3~4s]", 4_000),
    ("[4~5s]", 5_000),
    ("[5~10s]", 10_000),
    ("[10s~]", u64::MAX),
];

/// Remembers the histogram of one to two periods ago.
pub struct RecentWrites {
    began: i64,
    before: WriteLatency,
    last: WriteLatency,
}

impl RecentWrites {
    pub fn new(now: i64) -> RecentWrites {
        RecentWrites { began: now, before: WriteLatency::default(), last: WriteLatency::default() }
    }

    /// Takes a sample; to be called several times a period.
    pub fn sample(&mut self, now: i64, all: &WriteLatency) {
        if now - self.began >= PERIOD_MS {
            self.began = now;
            self.before = std::mem::replace(&mut self.last, all.clone());
        }
    }

    /// The writes of the last one to two periods.
    pub fn recent(&self, all: &WriteLatency) -> WriteLatency {
        all.since(&self.before)
    }
}

/// A text such as "[<=0ms]:7 [0~10ms]:3 ... [10s~]:0 ".
pub fn distribution(latency: &WriteLatency) -> String {
    let mut from = Duration::ZERO;
    let mut text = String::new();
    for (name, end) in ROWS {
        let to = Duration::from_millis(end);
        text += &format!("{name}:{} ", latency.between(from, to));
        from = to;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_written_has_every_row_with_a_zero() {
        assert_eq!(
            distribution(&WriteLatency::default()),
            "[<=0ms]:0 [0~10ms]:0 [10~50ms]:0 [50~100ms]:0 [100~200ms]:0 [200~500ms]:0 \
             [500ms~1s]:0 [1~2s]:0 [2~3s]:0 [3~4s]:0 [4~5s]:0 [5~10s]:0 [10s~]:0 "
        );
    }

    #[test]
    fn what_was_written_two_periods_ago_is_forgotten() {
        let ms = Duration::from_millis;
        let mut all = WriteLatency::default();
        let mut recent = RecentWrites::new(0);
        all.note(ms(3));
        recent.sample(59_999, &all);
        recent.sample(60_000, &all);
        all.note(ms(30));
        assert_eq!(recent.recent(&all).writes(), 2);
        recent.sample(90_000, &all);
        recent.sample(120_000, &all);
        assert_eq!(recent.recent(&all).writes(), 1);
        assert!(
            distribution(&recent.recent(&all)).starts_with("[<=0ms]:0 [0~10ms]:0 [10~50ms]:1 ")
        );
        recent.sample(180_000, &all);
        assert_eq!(recent.recent(&all).writes(), 0);
    }
}
