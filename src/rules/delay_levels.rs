//! The delay levels of a broker: `messageDelayLevel`, by default `1s 5s 10s 30s 1m ... 2h`.

/// Levels that may be configured. The schedule topic has one queue a level.
const LEVELS_MAX: usize = 256;

/// Delay of a level that is not configured (any more). Source: `computeDeliverTimestamp`.
const UNKNOWN_LEVEL_MS: i64 = 1000;

/// Source: `MessageStoreConfig.messageDelayLevel`.
const DEFAULT: &str = "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h";

/// Delays in milliseconds; level n is the n-th, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelayLevels(Box<[i64]>);

/// Why a text is no list of delay levels.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DelayLevelError {
    #[error("{0:?} is no delay: write a whole number and one of s, m, h, d, such as 30s")]
    Delay(String),
    #[error("{count} delay levels; the range is 1 to {LEVELS_MAX}")]
    Count { count: usize },
}

impl Default for DelayLevels {
    fn default() -> Self {
        DelayLevels::parse(DEFAULT).expect("the default is well formed")
    }
}

impl DelayLevels {
    /// Reads `1s 5s 10s`: units s, m, h and d, separated by spaces.
    ///
    /// # Errors
    /// If an element is no delay or there are none or too many.
    pub fn parse(text: &str) -> Result<DelayLevels, DelayLevelError> {
        let delays = text.split_ascii_whitespace().map(|element| {
            delay_ms(element).ok_or_else(|| DelayLevelError::Delay(element.to_owned()))
        });
        let delays = delays.collect::<Result<Box<[i64]>, _>>()?;
        if delays.is_empty() || delays.len() > LEVELS_MAX {
            return Err(DelayLevelError::Count { count: delays.len() });
        }
        Ok(DelayLevels(delays))
    }

    /// The highest level.
    pub fn max(&self) -> i32 {
        i32::try_from(self.0.len()).expect("limited when parsed")
    }

    /// The level that a message with this one is delayed by; `None`: it is not delayed.
    pub fn effective(&self, level: i32) -> Option<i32> {
        (level > 0).then(|| level.min(self.max()))
    }

    /// Milliseconds that messages of a level wait.
    pub fn delay_ms(&self, level: i32) -> Option<i64> {
        let index = usize::try_from(level).ok()?.checked_sub(1)?;
        self.0.get(index).copied()
    }

    /// When a message is due that was stored at `stored`: the `tagsCode` of its queue entry.
    pub fn deliver_time(&self, level: i32, stored: i64) -> i64 {
        stored.saturating_add(self.delay_ms(level).unwrap_or(UNKNOWN_LEVEL_MS))
    }
}

/// The queue of the schedule topic for a level.
pub const fn schedule_queue(level: i32) -> i32 {
    level - 1
}

/// The level of a queue of the schedule topic.
pub const fn level_of_queue(queue_id: i32) -> i32 {
    queue_id + 1
}

fn delay_ms(element: &str) -> Option<i64> {
    let unit_at = element.len().checked_sub(1)?;
    let (number, unit) = (element.get(..unit_at)?, element.get(unit_at..)?);
    let unit_ms = match unit {
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let number: i64 = number.parse().ok()?;
    number.checked_mul(unit_ms).filter(|delay| *delay >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_has_the_eighteen_levels_of_java() {
        let levels = DelayLevels::default();
        assert_eq!(levels.max(), 18);
        assert_eq!(levels.delay_ms(1), Some(1000));
        assert_eq!(levels.delay_ms(5), Some(60_000));
        assert_eq!(levels.delay_ms(18), Some(7_200_000));
        assert_eq!(
            (levels.delay_ms(0), levels.delay_ms(19), levels.delay_ms(-1)),
            (None, None, None)
        );
    }

    #[test]
    fn a_level_beyond_the_highest_is_the_highest() {
        let levels = DelayLevels::parse("1s 1d").expect("parses");
        assert_eq!(levels.effective(0), None);
        assert_eq!(levels.effective(-3), None);
        assert_eq!(levels.effective(2), Some(2));
        assert_eq!(levels.effective(99), Some(2));
        assert_eq!(levels.deliver_time(2, 5), 86_400_005);
        assert_eq!(levels.deliver_time(3, 5), 1005);
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for nonsense in ["1s x", "s", "5", "-1s", "1w", "1\u{e9}", "99999999999999999h"] {
            assert!(DelayLevels::parse(nonsense).is_err(), "{nonsense}");
        }
        assert_eq!(DelayLevels::parse(" "), Err(DelayLevelError::Count { count: 0 }));
    }
}
