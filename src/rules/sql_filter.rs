//! SQL92 subscriptions: an expression over the properties of a message, compiled when a consumer
//! subscribes, evaluated for every message that it pulls.
//!
//! Values and errors are those of Java's `rocketmq-filter`: every property is a string; compared
//! with a number it must be one of exactly that kind; what is missing is NULL, and what is neither
//! true nor comparable keeps the message back. Unlike Java, which ignores everything behind the
//! expression it understood (`a LIKE 'x'` became `a`), text that is left over is an error.

//!
//! An expression comes from a client that may mean harm. Its text and its nesting are bounded when
//! it is compiled, and nothing in it is copied, so that it is never larger than its text allows; an
//! evaluation is counted in [`Steps`] and given up when it takes too many.

mod evaluate;
mod lexer;
mod names;
mod parser;
mod steps;
mod value;

use std::fmt;

use super::limits::SUBSCRIPTION_BYTES_MAX;
use evaluate::evaluate;
use names::Names;
pub use steps::{Steps, TooManySteps};
use value::{Stop, Value};

/// Expression type of such a subscription.
pub const SQL92: &str = "SQL92";

/// How deep an expression may nest; AND and OR of any number of parts are one level.
const DEPTH_MAX: usize = 64;

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SqlError {
    #[error("character {at}: {found} where {expected} should be")]
    Unexpected { at: usize, found: String, expected: &'static str },
    #[error("character {at}: the text that begins here has no closing quote")]
    OpenText { at: usize },
    #[error("character {at}: {found:?} begins no word, number or operator")]
    Character { at: usize, found: char },
    #[error("character {at}: the number {text} is out of range")]
    Number { at: usize, text: String },
    #[error("character {at}: {problem}")]
    Operand { at: usize, problem: &'static str },
    #[error("character {at}: nested deeper than {DEPTH_MAX} levels")]
    TooDeep { at: usize },
    #[error("an expression of {bytes} bytes, at most {SUBSCRIPTION_BYTES_MAX} are compiled")]
    TooLong { bytes: usize },
}

/// A compiled expression; equal to another if the texts are.
#[derive(Clone)]
pub struct SqlFilter {
    text: Box<str>,
    names: Names,
    expression: Expression,
    /// Parts of the expression, texts of lists included.
    parts: usize,
}

/// The parts of expressions. Conditions are those that `Expression::is_condition` names.
#[derive(Clone, Debug)]
enum Expression {
    /// By its number in [`Names`].
    Property(usize),
    Constant(Constant),
    /// The number with the other sign.
    Negate(Box<Expression>),
    Not(Box<Expression>),
    /// A property as a condition.
    Cast(Box<Expression>),
    And(Vec<Expression>),
    Or(Vec<Expression>),
    Equal(Box<Expression>, Box<Expression>),
    Order(Order, Box<Expression>, Box<Expression>),
    /// An operand with the lower and the upper bound.
    Between {
        sides: Box<[Expression; 3]>,
        not: bool,
    },
    In {
        property: usize,
        list: Vec<Box<str>>,
        not: bool,
    },
    /// CONTAINS and its like, of 5.x.
    Search {
        place: Place,
        operand: Box<Expression>,
        text: Box<str>,
        not: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Anywhere,
    Start,
    End,
}

#[derive(Clone, Debug, PartialEq)]
enum Constant {
    Null,
    Bool(bool),
    Int(i32),
    Long(i64),
    Double(f64),
    Text(Box<str>),
}

impl Expression {
    fn is_condition(&self) -> bool {
        !matches!(
            self,
            Expression::Property(_)
                | Expression::Negate(_)
                | Expression::Constant(
                    Constant::Int(_) | Constant::Long(_) | Constant::Double(_) | Constant::Text(_)
                )
        )
    }
}

impl SqlFilter {
    /// Compiles an expression.
    ///
    /// # Errors
    /// If it is none, with the place and what is wrong there, or if it is too long.
    pub fn parse(text: &str) -> Result<SqlFilter, SqlError> {
        if text.len() > SUBSCRIPTION_BYTES_MAX {
            return Err(SqlError::TooLong { bytes: text.len() });
        }
        let (expression, names, parts) = parser::parse(text)?;
        Ok(SqlFilter { text: text.into(), names, expression, parts })
    }

    /// Whether a message with these properties, as they are stored, is wanted. Adds what it took to
    /// `steps`.
    ///
    /// # Errors
    /// If it takes more than [`Steps::MESSAGE_MAX`]: nobody knows whether the message is wanted.
    pub fn keep(&self, properties: &[u8], steps: &mut Steps) -> Result<bool, TooManySteps> {
        steps.begin_message();
        let values = self.names.find(properties, steps)?;
        match evaluate(&self.expression, &values, steps) {
            Ok(value) => Ok(value == Value::Bool(true)),
            Err(Stop::Incomparable) => Ok(false),
            Err(Stop::TooManySteps) => Err(TooManySteps),
        }
    }

    /// What it takes in memory, about, in bytes.
    pub fn bytes(&self) -> usize {
        // A box has a word of the allocator's; texts are no longer than that of the whole.
        let part = size_of::<Expression>() + size_of::<usize>();
        size_of::<SqlFilter>() + 2 * self.text.len() + self.names.bytes() + self.parts * part
    }
}

impl PartialEq for SqlFilter {
    fn eq(&self, other: &SqlFilter) -> bool {
        self.text == other.text
    }
}

impl Eq for SqlFilter {}

impl fmt::Debug for SqlFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqlFilter").field(&self.text).finish()
    }
}

#[cfg(test)]
mod tests;
