//! The value of an expression for one message. Missing properties are NULL and travel upwards as
//! in SQL; what cannot be compared ends the evaluation.

use std::cmp::Ordering;

use super::{
    Expression, Order, Place,
    value::{Incomparable, Value},
};

/// The value of a property, if the message has it.
pub type Lookup<'m> = dyn Fn(&str) -> Option<&'m str> + 'm;

pub fn evaluate<'a>(
    expression: &'a Expression,
    lookup: &Lookup<'a>,
) -> Result<Value<'a>, Incomparable> {
    Ok(match expression {
        Expression::Property(name) => lookup(name).map_or(Value::Null, Value::Text),
        Expression::Constant(constant) => constant.into(),
        Expression::Negate(operand) => negate(evaluate(operand, lookup)?),
        Expression::Not(operand) => match evaluate(operand, lookup)? {
            Value::Bool(value) => Value::Bool(!value),
            _ => Value::Null,
        },
        Expression::Cast(operand) => match evaluate(operand, lookup)? {
            Value::Null => Value::Null,
            value => Value::Bool(value == Value::Bool(true)),
        },
        Expression::And(parts) => decide(parts, lookup, false)?,
        Expression::Or(parts) => decide(parts, lookup, true)?,
        Expression::Equal(left, right) => {
            let left = evaluate(left, lookup)?;
            equal(left, evaluate(right, lookup)?)?
        }
        Expression::Order(order, left, right) => {
            let left = evaluate(left, lookup)?;
            let right = if left == Value::Null { left } else { evaluate(right, lookup)? };
            if left == Value::Null || right == Value::Null {
                return Ok(Value::Null);
            }
            Value::Bool(order.holds(left.compare_numbers(right)?))
        }
        Expression::In { property, list, not } => match lookup(property) {
            None => Value::Null,
            Some(value) => Value::Bool(list.iter().any(|one| **one == *value) != *not),
        },
        Expression::Search { place, operand, text, not } => match evaluate(operand, lookup)? {
            Value::Text(value) if !text.is_empty() => Value::Bool(place.finds(value, text) != *not),
            _ => Value::Bool(false),
        },
    })
}

/// AND (`decisive` is false) or OR (true): the first decisive part ends it.
fn decide<'a>(
    parts: &'a [Expression],
    lookup: &Lookup<'a>,
    decisive: bool,
) -> Result<Value<'a>, Incomparable> {
    let mut unknown = false;
    for part in parts {
        match evaluate(part, lookup)? {
            Value::Bool(value) if value == decisive => return Ok(Value::Bool(decisive)),
            Value::Bool(_) => {}
            _ => unknown = true,
        }
    }
    Ok(if unknown { Value::Null } else { Value::Bool(!decisive) })
}

fn equal<'a>(left: Value<'a>, right: Value<'a>) -> Result<Value<'a>, Incomparable> {
    Ok(match (left, right) {
        (Value::Null, Value::Null) => Value::Bool(true),
        (Value::Null, _) => Value::Null,
        (_, Value::Null) => Value::Bool(false),
        (left, right) => Value::Bool(left.compare(right)? == Ordering::Equal),
    })
}

fn negate(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Int(value) => Value::Int(value.wrapping_neg()),
        Value::Long(value) => Value::Long(value.wrapping_neg()),
        Value::Double(value) => Value::Double(-value),
        _ => Value::Null,
    }
}

impl Order {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Order::Less => ordering.is_lt(),
            Order::LessOrEqual => ordering.is_le(),
            Order::Greater => ordering.is_gt(),
            Order::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

impl Place {
    fn finds(self, value: &str, text: &str) -> bool {
        match self {
            Place::Anywhere => value.contains(text),
            Place::Start => value.starts_with(text),
            Place::End => value.ends_with(text),
        }
    }
}
