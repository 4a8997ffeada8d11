//! The value of an expression for one message. Missing properties are NULL and travel upwards as
//! in SQL; what cannot be compared ends the evaluation.

use std::cmp::Ordering;

use super::{
    Expression, Order, Place,
    steps::Steps,
    value::{Stop, Value},
};

/// The values of the properties that the expression speaks of, if the message has them.
type Values<'m> = [Option<&'m str>];

pub fn evaluate<'a>(
    expression: &'a Expression,
    values: &Values<'a>,
    steps: &mut Steps,
) -> Result<Value<'a>, Stop> {
    steps.take(1)?;
    Ok(match expression {
        Expression::Property(number) => property(values, *number).map_or(Value::Null, Value::Text),
        Expression::Constant(constant) => constant.into(),
        Expression::Negate(operand) => negate(evaluate(operand, values, steps)?),
        Expression::Not(operand) => match evaluate(operand, values, steps)? {
            Value::Bool(value) => Value::Bool(!value),
            _ => Value::Null,
        },
        Expression::Cast(operand) => match evaluate(operand, values, steps)? {
            Value::Null => Value::Null,
            value => Value::Bool(value == Value::Bool(true)),
        },
        Expression::And(parts) => {
            decide(parts.iter().map(|part| evaluate(part, values, steps)), false)?
        }
        Expression::Or(parts) => {
            decide(parts.iter().map(|part| evaluate(part, values, steps)), true)?
        }
        Expression::Equal(left, right) => {
            let left = evaluate(left, values, steps)?;
            equal(left, evaluate(right, values, steps)?, steps)?
        }
        Expression::Order(order, left, right) => {
            let left = evaluate(left, values, steps)?;
            let right = if left == Value::Null { left } else { evaluate(right, values, steps)? };
            ordered(*order, left, right, steps)?
        }
        Expression::Between { sides, not } => between(sides, *not, values, steps)?,
        Expression::In { property: number, list, not } => match property(values, *number) {
            None => Value::Null,
            Some(value) => {
                // Texts of other lengths are told apart at once.
                let same = list.iter().filter(|one| one.len() == value.len()).count();
                steps.take(list.len() / 8)?;
                steps.take_text(same * value.len())?;
                Value::Bool(list.iter().any(|one| **one == *value) != *not)
            }
        },
        Expression::Search { place, operand, text, not } => {
            match evaluate(operand, values, steps)? {
                Value::Text(value) if !text.is_empty() => {
                    steps.take_text(value.len())?;
                    Value::Bool(place.finds(value, text) != *not)
                }
                _ => Value::Bool(false),
            }
        }
    })
}

fn property<'a>(values: &Values<'a>, number: usize) -> Option<&'a str> {
    values.get(number).copied().flatten()
}

/// AND (`decisive` is false) or OR (true): the first decisive part ends it.
fn decide<'a>(
    parts: impl Iterator<Item = Result<Value<'a>, Stop>>,
    decisive: bool,
) -> Result<Value<'a>, Stop> {
    let mut unknown = false;
    for part in parts {
        match part? {
            Value::Bool(value) if value == decisive => return Ok(Value::Bool(decisive)),
            Value::Bool(_) => {}
            _ => unknown = true,
        }
    }
    Ok(if unknown { Value::Null } else { Value::Bool(!decisive) })
}

/// `>= low AND <= high`, or `< low OR > high`, of an operand that is evaluated once.
fn between<'a>(
    [operand, low, high]: &'a [Expression; 3],
    not: bool,
    values: &Values<'a>,
    steps: &mut Steps,
) -> Result<Value<'a>, Stop> {
    let operand = evaluate(operand, values, steps)?;
    let bounds = if not {
        [(Order::Less, low), (Order::Greater, high)]
    } else {
        [(Order::GreaterOrEqual, low), (Order::LessOrEqual, high)]
    };
    let parts = bounds.into_iter().map(|(order, bound)| {
        let bound = if operand == Value::Null { operand } else { evaluate(bound, values, steps)? };
        ordered(order, operand, bound, steps)
    });
    decide(parts, not)
}

fn ordered<'a>(
    order: Order,
    left: Value<'a>,
    right: Value<'a>,
    steps: &mut Steps,
) -> Result<Value<'a>, Stop> {
    if left == Value::Null || right == Value::Null {
        return Ok(Value::Null);
    }
    steps.take_text(left.text_bytes() + right.text_bytes())?;
    Ok(Value::Bool(order.holds(left.compare_numbers(right)?)))
}

fn equal<'a>(left: Value<'a>, right: Value<'a>, steps: &mut Steps) -> Result<Value<'a>, Stop> {
    steps.take_text(left.text_bytes() + right.text_bytes())?;
    Ok(match (left, right) {
        (Value::Null, Value::Null) => Value::Bool(true),
        (Value::Null, _) => Value::Null,
        (_, Value::Null) => Value::Bool(false),
        (left, right) => Value::Bool(left.compare(right)?.is_eq()),
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
