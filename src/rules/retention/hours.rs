//! deleteWhen: hours of the local day.

use jiff::{Timestamp, ToSpan, tz::TimeZone};

/// A set of the hours 0 to 23.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hours(u32);

impl Hours {
    /// Hours separated by `;`, such as `04` or `04;16`. What is none never comes, as in Java; the
    /// configuration warns of it.
    pub fn parse(text: &str) -> Hours {
        let parts = text.split(';').map(str::trim);
        let hours = parts.filter_map(|part| part.parse::<u32>().ok().filter(|hour| *hour < 24));
        Hours(hours.fold(0, |bits, hour| bits | 1 << hour))
    }

    pub const fn contains(self, hour: u8) -> bool {
        hour < 24 && self.0 & (1 << hour) != 0
    }

    /// The first moment at or after `from_ms` in one of the hours; `None` beyond the calendar.
    pub fn next_ms(self, from_ms: i64, zone: &TimeZone) -> Option<i64> {
        let mut at = Timestamp::from_millisecond(from_ms).ok()?.to_zoned(zone.clone());
        // Days may have 23 or 25 hours, and the hour may be one that is left out.
        for _ in 0..=72 {
            if self.contains(u8::try_from(at.hour()).ok()?) {
                return Some(at.timestamp().as_millisecond());
            }
            let next = at.checked_add(1.hour()).ok()?;
            at = next.with().minute(0).second(0).subsec_nanosecond(0).build().ok()?;
        }
        None
    }
}

/// The hour of the day there; 0 beyond the calendar.
pub fn hour_of(now_ms: i64, zone: &TimeZone) -> u8 {
    let now = Timestamp::from_millisecond(now_ms).ok();
    let hour = now.map(|now| now.to_zoned(zone.clone()).hour());
    hour.and_then(|hour| u8::try_from(hour).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_read_as_java_users_write_them() {
        let hours = Hours::parse("04; 16;25;x");
        assert!(hours.contains(4) && hours.contains(16) && !hours.contains(5));
        assert!(Hours::parse("0").contains(0));
        for text in ["", ";", "24", "04:00", "-1", "four", "4,5"] {
            let never = Hours::parse(text);
            assert_eq!(never, Hours::default(), "{text}");
            assert_eq!(never.next_ms(0, &TimeZone::UTC), None, "{text}");
        }
    }

    #[test]
    fn the_next_hour_is_that_of_the_local_time() {
        let zone = TimeZone::fixed(jiff::tz::offset(8));
        let hours = Hours::parse("04");
        let ms = |text: &str| text.parse::<Timestamp>().expect("a time").as_millisecond();
        let next = |from: &str| hours.next_ms(ms(from), &zone);
        assert_eq!(next("2026-03-01T19:59:30Z"), Some(ms("2026-03-01T20:00:00Z")));
        assert_eq!(next("2026-03-01T20:30:00Z"), Some(ms("2026-03-01T20:30:00Z")), "it is 04:30");
        assert_eq!(next("2026-03-01T21:00:00Z"), Some(ms("2026-03-02T20:00:00Z")));
        assert_eq!(hour_of(ms("2026-03-01T20:30:00Z"), &zone), 4);
    }
}
