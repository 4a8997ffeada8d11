//! From a text to an expression, by the grammar of Java's `SelectorParser`: OR, AND, then = <> and
//! IS NULL, then the other comparisons, then the signs and NOT.

use super::{
    Constant, DEPTH_MAX, Expression, Order, Place, SqlError,
    lexer::{Lexer, Token},
    names::Names,
    value::Value,
};

/// An expression with the number of its levels and the place where it begins.
struct Parsed {
    expression: Expression,
    depth: usize,
    at: usize,
}

type Result<T> = std::result::Result<T, SqlError>;

/// The expression, the properties that it speaks of, and the number of its parts.
///
/// # Errors
/// If the text is no condition, or something is left over behind it.
pub fn parse(text: &str) -> Result<(Expression, Names, usize)> {
    let mut lexer = Lexer::new(text);
    let (at, token) = lexer.next()?;
    let names = Names::default();
    let mut parser = Parser { lexer, at, token, nesting: 0, names, parts: 0 };
    let parsed = parser.or()?;
    let condition = condition(parsed)?;
    if parser.token != Token::End {
        return Err(parser.unexpected("AND, OR or the end"));
    }
    Ok((condition.expression, parser.names, parser.parts))
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    at: usize,
    token: Token<'a>,
    /// Open parentheses, signs and NOTs.
    nesting: usize,
    names: Names,
    /// Tokens so far: a part of the expression has one at least.
    parts: usize,
}

impl Parser<'_> {
    fn or(&mut self) -> Result<Parsed> {
        self.joined("OR", Expression::Or, Self::and)
    }

    fn and(&mut self) -> Result<Parsed> {
        self.joined("AND", Expression::And, Self::equality)
    }

    fn joined(
        &mut self,
        word: &str,
        make: fn(Vec<Expression>) -> Expression,
        part: fn(&mut Self) -> Result<Parsed>,
    ) -> Result<Parsed> {
        let first = part(self)?;
        if !self.is_word(word) {
            return Ok(first);
        }
        let Parsed { expression, mut depth, at } = condition(first)?;
        let mut parts = vec![expression];
        while self.take_word(word)? {
            let next = condition(part(self)?)?;
            depth = depth.max(next.depth);
            parts.push(next.expression);
        }
        nested(make(parts), depth, at)
    }

    fn equality(&mut self) -> Result<Parsed> {
        let mut left = self.comparison()?;
        loop {
            if self.take_word("IS")? {
                let not = self.take_word("NOT")?;
                if !self.take_word("NULL")? {
                    return Err(self.unexpected("NULL"));
                }
                let null = Box::new(Expression::Constant(Constant::Null));
                let equal = Expression::Equal(Box::new(left.expression), null);
                left = nested(negated(equal, not), left.depth, left.at)?;
                continue;
            }
            let not = self.token == Token::Symbol("<>");
            if !not && self.token != Token::Symbol("=") {
                return Ok(left);
            }
            self.advance()?;
            let right = self.comparison()?;
            check_equal(&left, &right)?;
            let (depth, at) = (left.depth.max(right.depth), left.at);
            let sides = (Box::new(left.expression), Box::new(right.expression));
            left = nested(negated(Expression::Equal(sides.0, sides.1), not), depth, at)?;
        }
    }

    fn comparison(&mut self) -> Result<Parsed> {
        let mut left = self.unary()?;
        loop {
            let order = match self.token {
                Token::Symbol(">") => Some(Order::Greater),
                Token::Symbol(">=") => Some(Order::GreaterOrEqual),
                Token::Symbol("<") => Some(Order::Less),
                Token::Symbol("<=") => Some(Order::LessOrEqual),
                _ => None,
            };
            if let Some(order) = order {
                self.advance()?;
                let right = self.unary()?;
                left = ordered(order, left, right)?;
                continue;
            }
            let not = self.take_word("NOT")?;
            left = if self.take_word("BETWEEN")? {
                self.between(left, not)?
            } else if self.take_word("IN")? {
                self.in_list(left, not)?
            } else if let Some(place) = self.search_word()? {
                let text = self.text()?;
                let operand = Box::new(left.expression);
                nested(Expression::Search { place, operand, text, not }, left.depth, left.at)?
            } else if not {
                return Err(self.unexpected("BETWEEN, IN, CONTAINS, STARTSWITH or ENDSWITH"));
            } else {
                return Ok(left);
            };
        }
    }

    fn between(&mut self, value: Parsed, not: bool) -> Result<Parsed> {
        let low = self.unary()?;
        if !self.take_word("AND")? {
            return Err(self.unexpected("AND"));
        }
        let high = self.unary()?;
        if let (Expression::Constant(from), Expression::Constant(to)) =
            (&low.expression, &high.expression)
        {
            let compared = Value::from(to).compare(Value::from(from));
            if !compared.is_ok_and(|order| order.is_ge()) {
                let problem = "the first bound of BETWEEN is above the second";
                return Err(SqlError::Operand { at: low.at, problem });
            }
        }
        for side in [&value, &low, &high] {
            check_number(side)?;
        }
        let depth = value.depth.max(low.depth).max(high.depth) + 1;
        let sides = Box::new([value.expression, low.expression, high.expression]);
        nested(Expression::Between { sides, not }, depth, value.at)
    }

    fn in_list(&mut self, left: Parsed, not: bool) -> Result<Parsed> {
        let Expression::Property(property) = left.expression else {
            let problem = "IN is for properties only";
            return Err(SqlError::Operand { at: left.at, problem });
        };
        self.expect("(", "( and a list of texts in quotes")?;
        let mut list = vec![self.text()?];
        while self.token == Token::Symbol(",") {
            self.advance()?;
            list.push(self.text()?);
        }
        self.expect(")", "a comma or )")?;
        nested(Expression::In { property, list, not }, left.depth, left.at)
    }

    fn unary(&mut self) -> Result<Parsed> {
        let at = self.at;
        if self.token == Token::Symbol("+") {
            self.advance()?;
            return self.deeper(Self::unary);
        }
        if self.token == Token::Symbol("-") {
            self.advance()?;
            let operand = self.deeper(Self::unary)?;
            return nested(Expression::Negate(Box::new(operand.expression)), operand.depth, at);
        }
        if self.take_word("NOT")? {
            let operand = condition(self.deeper(Self::unary)?)?;
            return nested(Expression::Not(Box::new(operand.expression)), operand.depth, at);
        }
        if self.token == Token::Symbol("(") {
            self.advance()?;
            let inner = self.deeper(Self::or)?;
            self.expect(")", ")")?;
            return Ok(inner);
        }
        self.operand(at)
    }

    /// A literal or the name of a property.
    fn operand(&mut self, at: usize) -> Result<Parsed> {
        let expression = match &self.token {
            Token::Text(text) => Expression::Constant(Constant::Text(text.clone())),
            Token::Decimal(text) => Expression::Constant(decimal(text, at)?),
            Token::Float(text) => Expression::Constant(float(text, at)?),
            Token::Word(word) => match literal(word) {
                Some(constant) => Expression::Constant(constant),
                None if is_reserved(word) => {
                    return Err(self.unexpected("a property, a number or a text"));
                }
                None => Expression::Property(self.names.number(word)),
            },
            Token::Symbol(_) | Token::End => {
                return Err(self.unexpected("a property, a number or a text"));
            }
        };
        self.advance()?;
        Ok(Parsed { expression, depth: 1, at })
    }

    /// Runs a rule that may come back here, within bounds: it takes the stack.
    fn deeper(&mut self, rule: fn(&mut Self) -> Result<Parsed>) -> Result<Parsed> {
        if self.nesting >= DEPTH_MAX {
            return Err(SqlError::TooDeep { at: self.at });
        }
        self.nesting += 1;
        let parsed = rule(self);
        self.nesting -= 1;
        parsed
    }

    fn advance(&mut self) -> Result<()> {
        (self.at, self.token) = self.lexer.next()?;
        self.parts += 1;
        Ok(())
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.token, Token::Word(found) if found.eq_ignore_ascii_case(word))
    }

    fn take_word(&mut self, word: &str) -> Result<bool> {
        let found = self.is_word(word);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn search_word(&mut self) -> Result<Option<Place>> {
        let words =
            [("CONTAINS", Place::Anywhere), ("STARTSWITH", Place::Start), ("ENDSWITH", Place::End)];
        for (word, place) in words {
            if self.take_word(word)? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    fn text(&mut self) -> Result<Box<str>> {
        let Token::Text(text) = &self.token else {
            return Err(self.unexpected("a text in quotes"));
        };
        let text = text.clone();
        self.advance()?;
        Ok(text)
    }

    fn expect(&mut self, symbol: &'static str, expected: &'static str) -> Result<()> {
        if self.token != Token::Symbol(symbol) {
            return Err(self.unexpected(expected));
        }
        self.advance()
    }

    fn unexpected(&self, expected: &'static str) -> SqlError {
        let found = match &self.token {
            Token::Word(text) | Token::Decimal(text) | Token::Float(text) => (*text).to_owned(),
            Token::Text(text) => format!("'{text}'"),
            Token::Symbol(symbol) => (*symbol).to_owned(),
            Token::End => "the end".to_owned(),
        };
        SqlError::Unexpected { at: self.at, found, expected }
    }
}

fn nested(expression: Expression, depth: usize, at: usize) -> Result<Parsed> {
    let depth = depth + 1;
    if depth > DEPTH_MAX {
        Err(SqlError::TooDeep { at })
    } else {
        Ok(Parsed { expression, depth, at })
    }
}

fn negated(expression: Expression, not: bool) -> Expression {
    if not { Expression::Not(Box::new(expression)) } else { expression }
}

/// What AND, OR, NOT and the whole need.
fn condition(parsed: Parsed) -> Result<Parsed> {
    if parsed.expression.is_condition() {
        return Ok(parsed);
    }
    if !matches!(parsed.expression, Expression::Property(_)) {
        let problem = "a condition should be here, not a value";
        return Err(SqlError::Operand { at: parsed.at, problem });
    }
    nested(Expression::Cast(Box::new(parsed.expression)), parsed.depth, parsed.at)
}

fn ordered(order: Order, left: Parsed, right: Parsed) -> Result<Parsed> {
    check_number(&left)?;
    check_number(&right)?;
    let depth = left.depth.max(right.depth);
    let sides = (Box::new(left.expression), Box::new(right.expression));
    nested(Expression::Order(order, sides.0, sides.1), depth, left.at)
}

fn check_number(side: &Parsed) -> Result<()> {
    let text = matches!(side.expression, Expression::Constant(Constant::Text(_)));
    if text || side.expression.is_condition() {
        let problem = "only properties and numbers can be compared by < <= > >= and BETWEEN";
        return Err(SqlError::Operand { at: side.at, problem });
    }
    Ok(())
}

fn check_equal(left: &Parsed, right: &Parsed) -> Result<()> {
    let null = |side: &Parsed| matches!(side.expression, Expression::Constant(Constant::Null));
    if let Some(side) = [left, right].into_iter().find(|side| null(side)) {
        return Err(SqlError::Operand { at: side.at, problem: "compare with NULL by IS NULL" });
    }
    if let (Expression::Constant(Constant::Bool(_)), Expression::Constant(other)) =
        (&left.expression, &right.expression)
        && !matches!(other, Constant::Bool(_))
    {
        let problem = "TRUE and FALSE can only be compared with a property or with each other";
        return Err(SqlError::Operand { at: left.at, problem });
    }
    Ok(())
}

fn literal(word: &str) -> Option<Constant> {
    match word.to_ascii_uppercase().as_str() {
        "TRUE" => Some(Constant::Bool(true)),
        "FALSE" => Some(Constant::Bool(false)),
        "NULL" => Some(Constant::Null),
        _ => None,
    }
}

fn is_reserved(word: &str) -> bool {
    ["NOT", "AND", "OR", "BETWEEN", "IN", "IS"].iter().any(|one| word.eq_ignore_ascii_case(one))
}

fn decimal(text: &str, at: usize) -> Result<Constant> {
    let digits = text.strip_suffix(['l', 'L']).unwrap_or(text);
    let number: i64 = digits.parse().map_err(|_| SqlError::Number { at, text: text.to_owned() })?;
    Ok(i32::try_from(number).map_or(Constant::Long(number), Constant::Int))
}

/// Java refuses 0.0 as well: it is below the smallest positive number.
fn float(text: &str, at: usize) -> Result<Constant> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(Constant::Double(number)),
        _ => Err(SqlError::Number { at, text: text.to_owned() }),
    }
}
