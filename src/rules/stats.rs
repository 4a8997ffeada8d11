//! What topics and groups did in the last minute, hour and day, as RocketMQ's tools ask for it
//! (request code 315). Kept for what was used in the last day, within a number of bytes.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::limits::STATS_BYTES_MAX;

/// What was counted of a topic, or of a group in a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub messages: u64,
    pub bytes: u64,
    /// Sends or pulls.
    pub times: u64,
    /// Of all pulls, in milliseconds.
    pub latency_ms: u64,
    /// Messages that consumers sent back.
    pub sent_back: u64,
}

impl Counts {
    pub fn add(&mut self, other: &Counts) {
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.times += other.times;
        self.latency_ms += other.latency_ms;
        self.sent_back += other.sent_back;
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stat {
    Messages,
    Bytes,
    Latency,
    SentBack,
}

impl Stat {
    /// The sum, and how often something was counted.
    fn of(self, counts: &Counts) -> (u64, u64) {
        match self {
            Stat::Messages => (counts.messages, counts.times),
            Stat::Bytes => (counts.bytes, counts.times),
            Stat::Latency => (counts.latency_ms, counts.times),
            Stat::SentBack => (counts.sent_back, counts.sent_back),
        }
    }
}

/// A statistic of one window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    pub sum: u64,
    /// A second.
    pub tps: f64,
    /// For each time that something was counted.
    pub average: f64,
}

/// Width of a bucket in milliseconds, and how many there are.
const WINDOWS: [(i64, i64); 3] = [(10_000, 6), (600_000, 6), (3_600_000, 24)];

/// Whose statistics: of the whole broker if both are empty, of a topic if the group is.
type Key = (Arc<str>, Arc<str>);

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Time divided by the width.
    period: i64,
    counts: Counts,
}

#[derive(Debug)]
struct Series {
    /// Milliseconds since 1970.
    since: i64,
    windows: [VecDeque<Bucket>; 3],
}

impl Series {
    fn buckets(&self) -> usize {
        self.windows.iter().map(VecDeque::len).sum()
    }

    fn add(&mut self, now: i64, counts: &Counts) {
        for (buckets, (width, count)) in self.windows.iter_mut().zip(WINDOWS) {
            let period = now.div_euclid(width);
            match buckets.back_mut() {
                // A clock that went back counts where it was.
                Some(last) if last.period >= period => last.counts.add(counts),
                _ => buckets.push_back(Bucket { period, counts: *counts }),
            }
            prune(buckets, period - count);
        }
    }

    /// Drops what is over; false if nothing is left.
    fn prune(&mut self, now: i64) -> bool {
        for (buckets, (width, count)) in self.windows.iter_mut().zip(WINDOWS) {
            prune(buckets, now.div_euclid(width) - count);
        }
        self.buckets() > 0
    }

    fn summary(&self, window: usize, stat: Stat, now: i64) -> Summary {
        let Some((width, count)) = WINDOWS.get(window).copied() else {
            return Summary::default();
        };
        let first = now.div_euclid(width) - count + 1;
        let buckets = self.windows.get(window).into_iter().flatten();
        let mut all = Counts::default();
        for bucket in buckets.filter(|bucket| bucket.period >= first) {
            all.add(&bucket.counts);
        }
        let (sum, times) = stat.of(&all);
        let ms = (now - self.since.max(first * width)).max(1000);
        let average = if times == 0 { 0.0 } else { sum as f64 / times as f64 };
        Summary { sum, tps: sum as f64 * 1000.0 / ms as f64, average }
    }
}

fn prune(buckets: &mut VecDeque<Bucket>, last_over: i64) {
    while buckets.front().is_some_and(|bucket| bucket.period <= last_over) {
        buckets.pop_front();
    }
}

/// What a series takes besides its buckets, and a bucket, in bytes.
const SERIES_BYTES: usize = 256;
const BUCKET_BYTES: usize = size_of::<Bucket>();

/// Statistics of a broker. Times are in milliseconds since 1970.
#[derive(Debug)]
pub struct Stats {
    series: BTreeMap<Key, Series>,
    bytes: usize,
    bytes_max: usize,
}

impl Default for Stats {
    fn default() -> Stats {
        Stats::with_limit(STATS_BYTES_MAX)
    }
}

impl Stats {
    /// `bytes_max`: what does not fit is not counted.
    pub fn with_limit(bytes_max: usize) -> Stats {
        Stats { series: BTreeMap::new(), bytes: 0, bytes_max }
    }

    /// Adds what was counted since `since`. The group is empty for a topic as a whole.
    pub fn add(&mut self, key: Key, (since, now): (i64, i64), counts: &Counts) {
        let series = match self.series.get_mut(&key) {
            Some(series) => series,
            None if self.bytes + SERIES_BYTES > self.bytes_max => return,
            None => {
                self.bytes += SERIES_BYTES;
                let windows = Default::default();
                self.series.entry(key).or_insert(Series { since, windows })
            }
        };
        let before = series.buckets();
        if self.bytes + WINDOWS.len() * BUCKET_BYTES > self.bytes_max {
            // It may have room of its own.
            series.prune(now);
        }
        let room = self.bytes_max.saturating_sub(self.bytes) + before * BUCKET_BYTES;
        if room >= (series.buckets() + WINDOWS.len()) * BUCKET_BYTES {
            series.add(now, counts);
        }
        self.bytes = self.bytes + series.buckets() * BUCKET_BYTES - before * BUCKET_BYTES;
    }

    /// Drops what is over, of some series behind a key; gives the last of them, or `None` when all
    /// have been looked at.
    pub fn sweep(&mut self, after: Option<&Key>, now: i64) -> Option<Key> {
        use std::ops::Bound::{Excluded, Unbounded};
        let behind = after.map_or(Unbounded, |key| Excluded(key.clone()));
        let (mut gone, mut last, mut freed) = (Vec::new(), None, 0);
        for (key, series) in self.series.range_mut((behind, Unbounded)).take(SLICE_SERIES) {
            let before = series.buckets();
            if !series.prune(now) {
                gone.push(key.clone());
            }
            freed += (before - series.buckets()) * BUCKET_BYTES;
            last = Some(key.clone());
        }
        self.bytes -= freed;
        for key in gone {
            self.series.remove(&key);
            self.bytes -= SERIES_BYTES;
        }
        last
    }

    /// Forgets a topic with its groups, or a group in all topics.
    pub fn forget(&mut self, topic: Option<&str>, group: Option<&str>) {
        let bytes = &mut self.bytes;
        self.series.retain(|(of_topic, of_group), series| {
            let gone = topic.is_some_and(|topic| *topic == **of_topic)
                || group.is_some_and(|group| *group == **of_group);
            if gone {
                *bytes -= SERIES_BYTES + series.buckets() * BUCKET_BYTES;
            }
            !gone
        });
    }

    /// The last minute, hour and day; `None` if nothing was counted in the last day.
    pub fn get(&self, topic: &str, group: &str, stat: Stat, now: i64) -> Option<[Summary; 3]> {
        let key: Key = (Arc::from(topic), Arc::from(group));
        let series = self.series.get(&key)?;
        Some([0, 1, 2].map(|window| series.summary(window, stat, now)))
    }

    /// Messages a second that a group got in the last minute.
    pub fn consume_tps(&self, topic: &str, group: &str, now: i64) -> f64 {
        let got = self.get(topic, group, Stat::Messages, now);
        got.map_or(0.0, |[minute, ..]| minute.tps)
    }
}

/// Series that are looked at without a pause: some 100 us.
const SLICE_SERIES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_700_000_400_000;

    fn key(topic: &str, group: &str) -> Key {
        (Arc::from(topic), Arc::from(group))
    }

    fn messages(messages: u64) -> Counts {
        Counts { messages, bytes: 10 * messages, times: 2, latency_ms: 8, sent_back: 1 }
    }

    #[test]
    fn a_minute_an_hour_and_a_day_are_summed() {
        let mut stats = Stats::default();
        // 100 in 10 s, for two days
        for step in 1..=2 * 8640 {
            let now = START + step * 10_000;
            stats.add(key("t", "g"), (now - 10_000, now), &messages(100));
        }
        let now = START + 2 * 86_400_000;
        let [minute, hour, day] = stats.get("t", "g", Stat::Messages, now).expect("counted");
        assert_eq!(minute.sum, 600);
        assert!((10.0..=12.0).contains(&minute.tps), "{minute:?}");
        assert_eq!(minute.average, 50.0);
        assert!(
            (30_000..=36_000).contains(&hour.sum) && (9.9..10.5).contains(&hour.tps),
            "{hour:?}"
        );
        assert!((820_000..=864_000).contains(&day.sum), "{day:?}");
        let [bytes, ..] = stats.get("t", "g", Stat::Bytes, now).expect("counted");
        assert_eq!(bytes.sum, 6000);
        let [latency, ..] = stats.get("t", "g", Stat::Latency, now).expect("counted");
        assert_eq!((latency.sum, latency.average), (48, 4.0));
        let [back, ..] = stats.get("t", "g", Stat::SentBack, now).expect("counted");
        assert_eq!((back.sum, back.average), (6, 1.0));
        assert_eq!(stats.get("t", "", Stat::Messages, now), None);
        assert_eq!(stats.series[&key("t", "g")].buckets(), 6 + 6 + 24);
        // a minute later nothing came
        let later = stats.get("t", "g", Stat::Messages, now + 70_000).expect("kept");
        assert_eq!((later[0].sum, later[0].tps), (0, 0.0));
        assert_eq!(stats.consume_tps("t", "g", now + 70_000), 0.0);
    }

    #[test]
    fn the_first_seconds_count_as_they_were() {
        let mut stats = Stats::default();
        stats.add(key("t", ""), (START, START + 5000), &messages(100));
        let [minute, hour, day] =
            stats.get("t", "", Stat::Messages, START + 5000).expect("counted");
        assert_eq!((minute.tps, hour.tps, day.tps), (20.0, 20.0, 20.0));
    }

    #[test]
    fn memory_is_bounded_and_what_is_not_used_for_a_day_goes() {
        let most = 100 * SERIES_BYTES;
        let mut stats = Stats::with_limit(most);
        for step in 0..20_000 {
            let now = START + step * 10_000;
            let key = key(&format!("t{}", step % 300), "g");
            stats.add(key, (now - 10_000, now), &messages(1));
            assert!(stats.bytes <= most, "{} at {step}", stats.bytes);
        }
        assert!(stats.series.len() > 10);
        let now = START + 20_000 * 10_000 + 2 * 86_400_000;
        let mut last = None;
        loop {
            last = stats.sweep(last.as_ref(), now);
            if last.is_none() {
                break;
            }
        }
        assert!(stats.series.is_empty() && stats.bytes == 0);
    }

    #[test]
    fn what_is_deleted_is_forgotten() {
        let mut stats = Stats::default();
        for (topic, group) in [("t", ""), ("t", "g"), ("t", "h"), ("u", "g"), ("u", "")] {
            stats.add(key(topic, group), (START, START + 1), &messages(1));
        }
        stats.forget(Some("t"), None);
        assert_eq!(stats.series.len(), 2);
        stats.forget(None, Some("g"));
        assert_eq!(stats.series.len(), 1);
        stats.forget(Some("u"), None);
        assert_eq!(stats.bytes, 0);
    }
}
