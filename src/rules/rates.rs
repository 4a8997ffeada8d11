//! How much the broker does in a second, over the windows that RocketMQ's tools show, and how much
//! it did since midnight (UTC).

use std::collections::VecDeque;

/// Time between two samples, in milliseconds.
pub const SAMPLE_MS: i64 = 10_000;
/// The windows in milliseconds. Source: `StoreStatsService`.
const WINDOWS_MS: [i64; 3] = [10_000, 60_000, 600_000];
const DAY_MS: i64 = 24 * 3600 * 1000;

/// Sums since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages stored, and their bytes.
    pub puts: u64,
    pub put_bytes: u64,
    pub puts_failed: u64,
    /// Pulls that found something, and that found nothing.
    pub gets_found: u64,
    pub gets_missed: u64,
    /// Messages given to consumers.
    pub transferred: u64,
    /// Delayed messages that could not be delivered, ever.
    pub delayed_passed_over: u64,
    /// Messages with a time of their own: those that were kept, and those delivered or cancelled.
    pub timers_read: u64,
    pub timers_settled: u64,
}

impl Totals {
    /// Adds those of another shard.
    pub fn add(&mut self, other: &Totals) {
        self.puts += other.puts;
        self.put_bytes += other.put_bytes;
        self.puts_failed += other.puts_failed;
        self.gets_found += other.gets_found;
        self.gets_missed += other.gets_missed;
        self.transferred += other.transferred;
        self.delayed_passed_over += other.delayed_passed_over;
        self.timers_read += other.timers_read;
        self.timers_settled += other.timers_settled;
    }
}

/// What was known earlier.
#[derive(Debug)]
pub struct Rates {
    /// Time in milliseconds since 1970, oldest first; as long as the longest window.
    samples: VecDeque<(i64, Totals)>,
    day: i64,
    today_morning: Totals,
    yesterday_morning: Totals,
}

impl Rates {
    pub fn new(now: i64) -> Rates {
        Rates {
            samples: [(now, Totals::default())].into(),
            day: now.div_euclid(DAY_MS),
            today_morning: Totals::default(),
            yesterday_morning: Totals::default(),
        }
    }

    /// Takes a sample; to be called every [`SAMPLE_MS`].
    pub fn sample(&mut self, now: i64, totals: Totals) {
        let [.., longest] = WINDOWS_MS;
        self.samples.push_back((now, totals));
        // The second one is old enough: nobody needs the first.
        while self.samples.get(1).is_some_and(|(at, _)| now - at >= longest) {
            self.samples.pop_front();
        }
        let day = now.div_euclid(DAY_MS);
        if day != self.day {
            self.day = day;
            self.yesterday_morning = std::mem::replace(&mut self.today_morning, totals);
        }
    }

    /// Averages over 10 s, 60 s and 600 s, or since the start if that is less long ago.
    pub fn per_second(&self, now: i64, totals: &Totals, count: fn(&Totals) -> u64) -> [f64; 3] {
        WINDOWS_MS.map(|window| {
            let old = self.samples.iter().rev().find(|(at, _)| now - at >= window);
            let Some((at, then)) = old.or_else(|| self.samples.front()) else {
                return 0.0;
            };
            let seconds = (now - at).max(1) as f64 / 1000.0;
            count(totals).saturating_sub(count(then)) as f64 / seconds
        })
    }

    pub fn today_morning(&self) -> &Totals {
        &self.today_morning
    }

    pub fn yesterday_morning(&self) -> &Totals {
        &self.yesterday_morning
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn puts(puts: u64) -> Totals {
        Totals { puts, ..Totals::default() }
    }

    #[test]
    fn rates_are_averages_over_three_windows() {
        let start = 1_700_000_000_000;
        let mut rates = Rates::new(start);
        assert_eq!(rates.per_second(start + 1000, &puts(50), |all| all.puts), [50.0; 3]);
        // 100 a second for 1,000 s, then nothing
        for second in (10..=1000).step_by(10) {
            rates.sample(start + second * 1000, puts(100 * second as u64));
        }
        let now = start + 1_000_000;
        assert_eq!(rates.per_second(now, &puts(100_000), |all| all.puts), [100.0; 3]);
        rates.sample(now + 10_000, puts(100_000));
        rates.sample(now + 20_000, puts(100_000));
        let [ten, sixty, six_hundred] =
            rates.per_second(now + 20_000, &puts(100_000), |all| all.puts);
        assert_eq!(ten, 0.0);
        assert!((66.0..67.0).contains(&sixty), "{sixty}");
        assert!((96.0..97.0).contains(&six_hundred), "{six_hundred}");
        assert!(rates.samples.len() <= 62, "{}", rates.samples.len());
    }

    #[test]
    fn a_new_day_remembers_where_it_began() {
        let mut rates = Rates::new(DAY_MS - 5000);
        rates.sample(DAY_MS - 1, puts(3));
        assert_eq!(rates.today_morning(), &puts(0));
        rates.sample(DAY_MS + 1, puts(7));
        rates.sample(DAY_MS + 10_000, puts(9));
        assert_eq!((rates.yesterday_morning(), rates.today_morning()), (&puts(0), &puts(7)));
        rates.sample(2 * DAY_MS, puts(20));
        assert_eq!((rates.yesterday_morning(), rates.today_morning()), (&puts(7), &puts(20)));
    }
}
