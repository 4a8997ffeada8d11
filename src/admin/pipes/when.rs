//! Times as people write them.

use anyhow::Context;
use jiff::Timestamp;

use crate::questions::resets::time;

/// A time that mqadmin takes, or how long ago: `-30s`, `-15m`, `-2h`, `-1d`. In milliseconds since
/// 1970.
///
/// # Errors
/// If it is neither.
pub fn when(text: &str) -> anyhow::Result<i64> {
    let now = Timestamp::now().as_millisecond();
    if text == "now" {
        return Ok(now);
    }
    let Some(age) = text.strip_prefix('-').and_then(milliseconds) else {
        return time(text).with_context(|| {
            format!("{text:?} is no time: for an age write -30s, -15m, -2h, -1d")
        });
    };
    Ok(now.saturating_sub(age))
}

fn milliseconds(age: &str) -> Option<i64> {
    let unit = age.chars().next_back()?;
    let number: i64 = age.strip_suffix(unit)?.parse().ok().filter(|number| *number >= 0)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    number.checked_mul(seconds * 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_times_are_understood() {
        let now = Timestamp::now().as_millisecond();
        for (text, age) in [("-30s", 30_000), ("-2h", 7_200_000), ("now", 0), ("-1d", 86_400_000)] {
            let at = when(text).expect(text);
            assert!((now - age..now - age + 60_000).contains(&at), "{text}: {at}");
        }
        assert_eq!(when("1700000000000").expect("a number"), 1_700_000_000_000);
        assert!(when("2026-11-30 12:00:00").is_ok());
        for wrong in ["-3x", "-h", "soon", "--1h"] {
            let why = format!("{:#}", when(wrong).expect_err(wrong));
            assert!(why.contains("is no time"), "{why}");
        }
    }
}
