//! A value with the text that people read.

use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;

/// A cell of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    pub text: String,
    pub value: Value,
}

impl Cell {
    pub fn new(text: impl Into<String>, value: impl Into<Value>) -> Cell {
        Cell { text: text.into(), value: value.into() }
    }

    /// What is not there: people read `text`, programs null.
    pub fn missing(text: &str) -> Cell {
        Cell::new(text, Value::Null)
    }

    /// A number with so many decimals.
    pub fn decimal(value: f64, decimals: usize) -> Cell {
        Cell::new(format!("{value:.decimals$}"), value)
    }

    /// A number that a broker sends as text; whatever else it is stays text.
    pub fn number(text: &str) -> Cell {
        match text.parse::<i64>() {
            Ok(value) => Cell::new(text, value),
            Err(_) => text.into(),
        }
    }

    /// Milliseconds since 1970, to the second; `none` if there is no such time.
    pub fn time(ms: i64, none: &str) -> Cell {
        Cell::formatted(ms, "%Y-%m-%d %H:%M:%S", none)
    }

    /// As [`Cell::time`], with milliseconds.
    pub fn time_ms(ms: i64, none: &str) -> Cell {
        Cell::formatted(ms, "%Y-%m-%d %H:%M:%S,%3f", none)
    }

    /// The time of day, behind the date unless that is today's.
    pub fn clock(ms: i64) -> String {
        let date = |ms| local(ms, "%Y-%m-%d");
        let is_today = date(ms) == date(Timestamp::now().as_millisecond());
        let format = if is_today { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
        local(ms, format).unwrap_or_else(|| "an unknown time".to_owned())
    }

    /// As a text of digits, to the millisecond.
    pub fn compact_time(ms: i64) -> String {
        local(ms, "%Y%m%d%H%M%S%3f").unwrap_or_else(|| "0".to_owned())
    }

    fn formatted(ms: i64, format: &str, none: &str) -> Cell {
        match local(ms, format) {
            Some(text) => Cell::new(text, ms),
            None => Cell::missing(none),
        }
    }
}

/// In the time zone of whoever reads it.
fn local(ms: i64, format: &str) -> Option<String> {
    let at = Timestamp::from_millisecond(ms).ok().filter(|_| ms > 0)?;
    Some(at.to_zoned(TimeZone::system()).strftime(format).to_string())
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::new(text, text)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell { value: Value::from(text.as_str()), text }
    }
}

macro_rules! from_numbers {
    ($($number:ty),*) => {$(
        impl From<$number> for Cell {
            fn from(value: $number) -> Cell {
                Cell::new(value.to_string(), value)
            }
        }
    )*};
}

from_numbers!(i32, i64, u32, u64, usize, bool);
