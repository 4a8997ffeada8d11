//! What honest clients saw, in figures, and whether that is what is promised.

use std::time::{Duration, Instant};

use super::honest::{Kind, Sample};

/// p99 under attack, at most so many times that without.
pub const P99_TIMES: u32 = 3;
/// A p99 without attack below this counts as this: on a machine whose few cores attackers and
/// honest clients share with the servers, less cannot be told apart.
pub const P99_FLOOR: Duration = Duration::from_millis(2);
pub const MAX: Duration = Duration::from_millis(500);
pub const NORMAL_WITHIN: Duration = Duration::from_secs(2);
/// So much of the requests that end without an attack must end beside one.
const RATE_MIN: f64 = 0.7;
/// Normality is looked for in pieces of time of this length.
const WINDOW: Duration = Duration::from_millis(250);

/// Everything that was seen in a time.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Requests to the broker that do not wait for its disk.
    pub broker: Figures,
    pub sends: Figures,
    pub names: Figures,
    /// Writes of this program on the broker's disk.
    pub disk: Figures,
}

impl Seen {
    pub fn of(samples: &[Sample], time: Duration) -> Seen {
        let of = |kinds: &[Kind]| Figures::of(samples, kinds, time);
        Seen {
            broker: of(&[Kind::Pull, Kind::Connect, Kind::Poll]),
            sends: of(&[Kind::Send]),
            names: of(&[Kind::Route]),
            disk: of(&[Kind::Disk]),
        }
    }

    /// What breaks the promise, in sentences. A send waits for the disk, which others keep busy: it
    /// may take as long as three writes of this program took beside it.
    pub fn broken(&self, usual: &Seen) -> Vec<String> {
        let none = Figures::default();
        let mut broken = self.broker.broken(&usual.broker, &none, "broker");
        broken.extend(self.sends.broken(&usual.sends, &self.disk, "sends"));
        broken.extend(self.names.broken(&usual.names, &none, "name server"));
        broken
    }

    /// p99 and slowest of each in ms.
    pub fn row(&self) -> String {
        let ms = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1000.0);
        let both = |one: &Figures| format!("{} | {}", ms(one.p99), ms(one.max));
        [&self.broker, &self.sends, &self.disk, &self.names].map(both).join(" | ")
    }

    pub fn requests(&self) -> usize {
        self.broker.requests + self.sends.requests + self.names.requests
    }

    pub fn failures(&self) -> usize {
        self.broker.failures.len() + self.sends.failures.len() + self.names.failures.len()
    }
}

/// Latencies of requests of some kinds.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub requests: usize,
    /// How many a second came to an end: those that still wait are not among them.
    pub rate: f64,
    pub p99: Duration,
    pub max: Duration,
    pub failures: Vec<String>,
}

impl Figures {
    /// Long polls, which are few and take their time, count for the slowest only.
    pub fn of(samples: &[Sample], kinds: &[Kind], time: Duration) -> Figures {
        let own = |one: &&Sample| kinds.contains(&one.kind);
        let samples: Vec<&Sample> = samples.iter().filter(own).collect();
        let mut times: Vec<Duration> =
            samples.iter().filter(|one| one.kind != Kind::Poll).map(|one| one.took).collect();
        times.sort_unstable();
        Figures {
            requests: samples.len(),
            rate: samples.len() as f64 / time.as_secs_f64().max(0.001),
            p99: percentile(&times, 0.99),
            max: samples.iter().map(|one| one.took).max().unwrap_or_default(),
            failures: samples.iter().filter_map(|one| one.failure.clone()).collect(),
        }
    }

    /// What is allowed beside an attack, where this is what there was without.
    pub fn p99_allowed(&self) -> Duration {
        self.p99.max(P99_FLOOR) * P99_TIMES
    }

    /// What breaks the promise, in sentences, where `disk` is what is not the server's fault.
    pub fn broken(&self, usual: &Figures, disk: &Figures, who: &str) -> Vec<String> {
        let mut broken = Vec::new();
        let allowed = usual.p99_allowed().max(disk.p99_allowed());
        let max = MAX.max(disk.max * P99_TIMES);
        if self.p99 > allowed {
            let (p99, before) = (self.p99, usual.p99);
            broken
                .push(format!("{who}: p99 {p99:.1?}, allowed {allowed:.1?} (alone {before:.1?})"));
        }
        if self.max > max {
            let slowest = self.max;
            broken
                .push(format!("{who}: the slowest request took {slowest:.1?}, allowed {max:.1?}"));
        }
        if let Some(first) = self.failures.first() {
            broken
                .push(format!("{who}: {} requests failed, such as: {first}", self.failures.len()));
        }
        if self.requests == 0 || self.rate < RATE_MIN * usual.rate {
            let (now, before) = (self.rate, usual.rate);
            broken.push(format!("{who}: {now:.0} requests a second ended, {before:.0} before"));
        }
        broken
    }
}

fn percentile(sorted: &[Duration], part: f64) -> Duration {
    let at = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(at.max(1) - 1).copied().unwrap_or_default()
}

/// How long after `end` the last piece of time was that was not normal, for requests to the broker
/// that do not wait for its disk; `samples` are those due from then on.
pub fn normal_after(samples: &[Sample], usual: &Figures, end: Instant) -> Duration {
    let allowed = usual.p99_allowed();
    let bad = |one: &Sample| one.failure.is_some() || one.took > allowed;
    let mut last = Duration::ZERO;
    let mut from = Duration::ZERO;
    let due = |one: &Sample| one.due.saturating_duration_since(end);
    let until = samples.iter().map(due).max().unwrap_or_default();
    while from <= until {
        let kinds = [Kind::Pull, Kind::Connect];
        let inside = |one: &&Sample| {
            kinds.contains(&one.kind) && due(one) >= from && due(one) < from + WINDOW
        };
        let (mut all, mut odd) = (0, 0);
        for one in samples.iter().filter(inside) {
            all += 1;
            odd += u32::from(bad(one));
        }
        // the slowest of a hundred or fewer may be late without anything being wrong
        if odd > 1 + all / 100 {
            last = from + WINDOW;
        }
        from += WINDOW;
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(due: Instant, took_ms: u64) -> Sample {
        Sample { kind: Kind::Pull, due, took: Duration::from_millis(took_ms), failure: None }
    }

    #[test]
    fn slow_failed_and_missing_requests_break_the_promise() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let none = Figures::default();
        let of = |samples: &[Sample]| Figures::of(samples, &[Kind::Pull], second);
        let fast: Vec<Sample> = (0..200).map(|_| sample(now, 1)).collect();
        let usual = of(&fast);
        assert!(usual.broken(&usual, &none, "broker").is_empty());
        let slow: Vec<Sample> =
            (0..200).map(|at| sample(now, if at < 4 { 501 } else { 1 })).collect();
        assert_eq!(of(&slow).broken(&usual, &none, "broker").len(), 2);
        assert!(of(&slow).broken(&usual, &of(&slow), "sends").is_empty(), "so was the disk");
        let mut failed = fast;
        failed[0].failure = Some("gone".to_owned());
        assert_eq!(of(&failed).broken(&usual, &none, "broker").len(), 1);
        assert_eq!(of(&[]).broken(&usual, &none, "name server").len(), 1);
        assert_eq!(Seen::of(&failed, second).broken(&Seen::of(&failed, second)).len(), 3);
    }

    #[test]
    fn it_is_normal_when_the_last_slow_piece_is_over() {
        let end = Instant::now();
        let usual = Figures::default();
        let samples: Vec<Sample> = (0..300_u64)
            .map(|at| sample(end + Duration::from_millis(at * 10), if at < 60 { 100 } else { 1 }))
            .collect();
        assert_eq!(normal_after(&samples, &usual, end), Duration::from_millis(750));
        assert_eq!(normal_after(&samples[80..], &usual, end), Duration::ZERO);
    }
}
