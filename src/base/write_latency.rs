//! How long the writes of a log take.

use std::time::Duration;

use hdrhistogram::Histogram;

/// A histogram of how long tail writes took, each until it was as durable as the log's flush mode
/// asks. Precise to 1 %, from a microsecond to [`WriteLatency::LONGEST`]; about 20 KB.
#[derive(Clone, Debug)]
pub struct WriteLatency(Histogram<u64>);

impl Default for WriteLatency {
    fn default() -> WriteLatency {
        let histogram = Histogram::new_with_bounds(1, micros(WriteLatency::LONGEST), 2);
        WriteLatency(histogram.expect("fixed bounds, which a histogram can have"))
    }
}

impl WriteLatency {
    /// What took longer counts as this.
    pub const LONGEST: Duration = Duration::from_secs(60);

    pub fn note(&mut self, took: Duration) {
        self.0.saturating_record(micros(took));
    }

    pub fn writes(&self) -> u64 {
        self.0.len()
    }

    /// Writes that took at least `from` and less than `to`, as precise as each: one near a bound
    /// counts on one side of it, and on no other.
    pub fn between(&self, from: Duration, to: Duration) -> u64 {
        let below = |bound: Duration| match micros(bound) {
            0 => 0,
            us => self.0.count_between(0, us - 1),
        };
        below(to).saturating_sub(below(from))
    }

    /// What this share of the writes, `0.0..=1.0`, did not exceed; zero without any.
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(share))
    }

    /// Of all writes, as precise as each.
    pub fn sum(&self) -> Duration {
        Duration::from_secs_f64(self.0.mean() * self.0.len() as f64 / 1e6)
    }

    pub fn longest(&self) -> Duration {
        Duration::from_micros(self.0.max())
    }

    /// Adds those of another log.
    pub fn add(&mut self, other: &WriteLatency) {
        self.0.add(&other.0).expect("the same bounds");
    }

    /// Those that came after `earlier`, an older state of the same histogram.
    pub fn since(&self, earlier: &WriteLatency) -> WriteLatency {
        let mut later = self.clone();
        later.0.subtract(&earlier.0).expect("the same bounds, and counts that only grow");
        later
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_write_is_in_one_row() {
        let mut latency = WriteLatency::default();
        for us in (0..200_000).step_by(7) {
            latency.note(Duration::from_micros(us));
        }
        let rows = [0, 50, 5_000, 10_000, 50_000, 100_000, 500_000].map(Duration::from_micros);
        let sum: u64 = rows.windows(2).map(|row| latency.between(row[0], row[1])).sum();
        assert_eq!(sum, latency.writes());
    }

    #[test]
    fn writes_fall_into_the_rows_that_are_asked_for() {
        let ms = Duration::from_millis;
        let mut latency = WriteLatency::default();
        assert_eq!((latency.writes(), latency.quantile(0.99)), (0, Duration::ZERO));
        for _ in 0..98 {
            latency.note(Duration::from_micros(300));
        }
        latency.note(ms(20));
        let before = latency.clone();
        latency.note(Duration::from_secs(100_000));
        assert_eq!(latency.between(Duration::ZERO, ms(1)), 98);
        assert_eq!(latency.between(ms(10), ms(50)), 1);
        assert_eq!(latency.between(ms(50), Duration::MAX), 1, "too long for a row of its own");
        assert_eq!(latency.between(ms(5), ms(5)), 0);
        let about = |time: Duration, wanted: Duration| {
            time.abs_diff(wanted).as_secs_f64() <= 0.01 * wanted.as_secs_f64()
        };
        assert!(about(latency.quantile(0.5), Duration::from_micros(300)));
        assert!(about(latency.quantile(0.99), ms(20)), "{:?}", latency.quantile(0.99));
        assert!(about(latency.longest(), WriteLatency::LONGEST), "{:?}", latency.longest());
        let all = Duration::from_micros(98 * 300) + ms(20) + WriteLatency::LONGEST;
        assert!(about(latency.sum(), all), "{:?}", latency.sum());
        let mut twice = latency.clone();
        twice.add(&latency);
        assert_eq!(twice.writes(), 200);
        let later = latency.since(&before);
        assert_eq!((later.writes(), later.between(ms(10), ms(50))), (1, 0));
    }
}
