//! Values of expressions and how they compare.

use std::cmp::Ordering;

use super::{Constant, steps::TooManySteps};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Int(i32),
    Long(i64),
    Double(f64),
    Text(&'a str),
}

/// The values cannot be compared: an exception in Java, which keeps the message back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incomparable;

/// Why an evaluation ends before its value is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    Incomparable,
    TooManySteps,
}

impl From<Incomparable> for Stop {
    fn from(_: Incomparable) -> Stop {
        Stop::Incomparable
    }
}

impl From<TooManySteps> for Stop {
    fn from(_: TooManySteps) -> Stop {
        Stop::TooManySteps
    }
}

impl<'a> From<&'a Constant> for Value<'a> {
    fn from(constant: &'a Constant) -> Value<'a> {
        match constant {
            Constant::Null => Value::Null,
            Constant::Bool(value) => Value::Bool(*value),
            Constant::Int(value) => Value::Int(*value),
            Constant::Long(value) => Value::Long(*value),
            Constant::Double(value) => Value::Double(*value),
            Constant::Text(text) => Value::Text(text),
        }
    }
}

impl Value<'_> {
    /// Java's order of two values that are not NULL: a number and a text compare if the text is a
    /// number of the same kind; values that have no order count as less.
    pub fn compare(self, other: Value<'_>) -> Result<Ordering, Incomparable> {
        use Value::*;
        Ok(match (self, other) {
            (Bool(left), Bool(right)) => left.cmp(&right),
            (Text(left), Text(right)) => left.cmp(right),
            (Int(left), Int(right)) => left.cmp(&right),
            (Bool(_), Text(_)) => return Err(Incomparable),
            (Text(left), Bool(right)) => left.eq_ignore_ascii_case("true").cmp(&right),
            (Int(left), Text(right)) => left.cmp(&parse(right)?),
            (Text(left), Int(right)) => parse::<i32>(left)?.cmp(&right),
            (Long(left), Text(right)) => left.cmp(&parse(right)?),
            (Text(left), Long(right)) => parse::<i64>(left)?.cmp(&right),
            (Double(left), Text(right)) => left.total_cmp(&java_double(right)?),
            (Text(left), Double(right)) => java_double(left)?.total_cmp(&right),
            (Int(left), Long(right)) => i64::from(left).cmp(&right),
            (Long(left), Int(right)) => left.cmp(&i64::from(right)),
            (Long(left), Long(right)) => left.cmp(&right),
            (left, right) => match (left.as_double(), right.as_double()) {
                (Some(left), Some(right)) => left.total_cmp(&right),
                _ => Ordering::Less,
            },
        })
    }

    /// As [`Value::compare`], for the operators that want numbers: two texts are taken as such.
    pub fn compare_numbers(self, other: Value<'_>) -> Result<Ordering, Incomparable> {
        match (self, other) {
            (Value::Text(left), Value::Text(right)) => {
                Ok(java_double(left)?.total_cmp(&java_double(right)?))
            }
            _ => self.compare(other),
        }
    }

    /// Of a text that a comparison may look at.
    pub fn text_bytes(self) -> usize {
        match self {
            Value::Text(text) => text.len(),
            _ => 0,
        }
    }

    fn as_double(self) -> Option<f64> {
        match self {
            Value::Int(value) => Some(f64::from(value)),
            // As Java widens it: exact up to 2^53.
            Value::Long(value) => Some(value as f64),
            Value::Double(value) => Some(value),
            _ => None,
        }
    }
}

fn parse<N: std::str::FromStr>(text: &str) -> Result<N, Incomparable> {
    text.parse().map_err(|_| Incomparable)
}

/// `Double.valueOf` of Java, without its hexadecimal form.
fn java_double(text: &str) -> Result<f64, Incomparable> {
    let text = text.trim_matches(|letter| letter <= ' ');
    let (sign, magnitude) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    match magnitude {
        "NaN" => return Ok(f64::NAN),
        "Infinity" => return Ok(sign * f64::INFINITY),
        _ => {}
    }
    let digits = magnitude.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(magnitude);
    let begins = digits.starts_with(|letter: char| letter.is_ascii_digit() || letter == '.');
    if !begins {
        return Err(Incomparable);
    }
    parse::<f64>(digits).map(|value| sign * value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_texts_are_read_as_java_does() {
        for (text, value) in [
            ("5", 5.0),
            (" 5.5 ", 5.5),
            ("-.5", -0.5),
            ("+5.", 5.0),
            ("1e3d", 1000.0),
            ("-Infinity", f64::NEG_INFINITY),
        ] {
            assert_eq!(java_double(text), Ok(value), "{text:?}");
        }
        assert!(java_double("NaN").is_ok_and(f64::is_nan));
        for text in ["", "x", "inf", "nan", "infinity", "1 2", "--5", "-+5", ".", "e3"] {
            assert_eq!(java_double(text), Err(Incomparable), "{text:?}");
        }
    }

    #[test]
    fn a_text_must_be_a_number_of_the_same_kind() {
        assert_eq!(Value::Text("5").compare(Value::Int(3)), Ok(Ordering::Greater));
        assert_eq!(Value::Text("5.5").compare(Value::Int(3)), Err(Incomparable));
        assert_eq!(Value::Text("3000000000").compare(Value::Int(3)), Err(Incomparable));
        assert_eq!(
            Value::Text("3000000000").compare(Value::Long(3_000_000_000)),
            Ok(Ordering::Equal)
        );
        assert_eq!(Value::Int(5).compare(Value::Text("5")), Ok(Ordering::Equal));
        assert_eq!(Value::Text("TRUE").compare(Value::Bool(true)), Ok(Ordering::Equal));
        assert_eq!(Value::Bool(true).compare(Value::Text("true")), Err(Incomparable));
        assert_eq!(Value::Int(1).compare(Value::Bool(true)), Ok(Ordering::Less));
        assert_eq!(Value::Text("10").compare_numbers(Value::Text("9")), Ok(Ordering::Greater));
        assert_eq!(Value::Text("10").compare_numbers(Value::Text("a")), Err(Incomparable));
    }
}
