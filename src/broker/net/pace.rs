//! How fast a client takes what waits for it: how long it would need for the rest.

use std::time::Duration;

/// Who takes less counts as if it took so much: sockets take their bytes in pieces, and a client on
/// a steady line is not slow between two of them.
const PIECE_BYTES: u64 = 64 * 1024;

/// A moment, and the bytes that had ever been taken then.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    at: Duration,
    taken: u64,
}

/// Over the last one to two lengths of time, of which the caller says how long they are, or the
/// last one to two pieces, if these took longer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// From the older one on it is measured; the newer one takes its place when it is old enough.
    /// `None`: nothing waits.
    marks: Option<(Mark, Mark)>,
}

impl Pace {
    /// To be called at intervals that are shorter than `length`: `held` bytes wait, `taken` have
    /// ever been taken.
    pub fn look(&mut self, now: Duration, length: Duration, (held, taken): (usize, u64)) {
        let new = Mark { at: now, taken };
        self.marks = match self.marks {
            _ if held == 0 => None,
            None => Some((new, new)),
            Some((_, newer)) if now >= newer.at + length && taken >= newer.taken + PIECE_BYTES => {
                Some((newer, new))
            }
            marks => marks,
        };
    }

    /// How long `held` bytes take at this pace, and whether it has been watched for a `length`;
    /// `None` if it was never looked at.
    pub fn time_for(
        &self,
        now: Duration,
        length: Duration,
        (held, taken): (usize, u64),
    ) -> Option<Estimate> {
        let (older, _) = self.marks?;
        let watched = now.saturating_sub(older.at);
        let bytes = taken.saturating_sub(older.taken).max(PIECE_BYTES);
        let nanos = watched.as_nanos() * held as u128 / u128::from(bytes);
        let time = u64::try_from(nanos).map_or(Duration::MAX, Duration::from_nanos);
        Some(Estimate { time, is_sure: watched >= length })
    }
}

/// In which time a client takes what waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    pub time: Duration,
    /// It was watched for long enough.
    pub is_sure: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const PIECE: u64 = PIECE_BYTES;

    /// Looks every quarter of a second, with so many bytes taken in each; the last answer for a
    /// number of pieces that wait.
    fn watched(looks: u32, each: impl Fn(u32) -> u64, pieces: u64) -> Option<Duration> {
        let held = (pieces * PIECE) as usize;
        let (mut pace, mut taken, mut time) = (Pace::default(), 0, None);
        for look in 0..looks {
            let now = SECOND * look / 4;
            taken += each(look);
            pace.look(now, SECOND, (held, taken));
            time = pace.time_for(now, SECOND, (held, taken));
        }
        time.filter(|estimate| estimate.is_sure).map(|estimate| estimate.time)
    }

    #[test]
    fn a_pace_is_known_after_a_time_and_says_how_long_the_rest_takes() {
        assert_eq!(watched(4, |_| PIECE, 100), None);
        assert_eq!(watched(5, |_| PIECE, 100), Some(SECOND * 25));
        assert_eq!(watched(50, |_| PIECE, 100), Some(SECOND * 25));
        assert_eq!(watched(50, |_| PIECE, 0), None, "nothing waits");
    }

    #[test]
    fn who_takes_nothing_is_slower_the_longer_it_lasts_and_the_more_waits() {
        assert_eq!(watched(5, |_| 0, 1), Some(SECOND));
        assert_eq!(watched(5, |_| 0, 10), Some(SECOND * 10));
        assert_eq!(watched(41, |_| 0, 10), Some(SECOND * 100));
        // A trickle is hardly better.
        assert_eq!(watched(41, |_| 100, 10), Some(SECOND * 100));
    }

    #[test]
    fn who_takes_a_piece_now_and_then_is_not_slow_in_between() {
        // Eight pieces at once, every two seconds.
        let pieces = |look| if look % 8 == 0 { 8 * PIECE } else { 0 };
        for looks in 10..60 {
            let time = watched(looks, pieces, 4).expect("it was watched");
            assert!(time <= SECOND * 2, "{looks}: {time:?}");
        }
    }

    #[test]
    fn what_was_long_ago_does_not_count() {
        let slower = |look| if look < 16 { 100 * PIECE } else { PIECE / 4 };
        assert_eq!(watched(60, slower, 10), Some(SECOND * 10));
        let faster = |look| if look < 16 { 0 } else { 10 * PIECE };
        assert_eq!(watched(60, faster, 10), Some(SECOND / 4));
    }
}
