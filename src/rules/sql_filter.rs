//! SQL92 subscriptions: an expression over the properties of a message, compiled when a consumer
//! subscribes, evaluated for every message that it pulls.
//!
//! Values and errors are those of Java's `rocketmq-filter`: every property is a string; compared
//! with a number it must be one of exactly that kind; what is missing is NULL, and what is neither
//! true nor comparable keeps the message back. Unlike Java, which ignores everything behind the
//! expression it understood (`a LIKE 'x'` became `a`), text that is left over is an error.

mod evaluate;
mod lexer;
mod parser;
mod value;

use std::fmt;

use super::message_properties;
use value::Value;

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
}

/// A compiled expression; equal to another if the texts are.
#[derive(Clone)]
pub struct SqlFilter {
    text: Box<str>,
    expression: Expression,
}

/// The parts of expressions. Conditions are those that `Expression::is_condition` names.
#[derive(Clone, Debug)]
enum Expression {
    Property(Box<str>),
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
    In {
        property: Box<str>,
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
    /// If it is none, with the place and what is wrong there.
    pub fn parse(text: &str) -> Result<SqlFilter, SqlError> {
        let expression = parser::parse(text)?;
        Ok(SqlFilter { text: text.into(), expression })
    }

    /// Whether a message with these properties, as they are stored, is wanted.
    pub fn keep(&self, properties: &[u8]) -> bool {
        let lookup = |name: &str| message_properties::text(properties, name);
        matches!(evaluate::evaluate(&self.expression, &lookup), Ok(Value::Bool(true)))
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
