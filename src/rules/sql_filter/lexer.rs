//! Words, numbers, texts and operators of an expression.

use super::SqlError;

#[derive(Clone, Debug, PartialEq)]
pub enum Token<'a> {
    Word(&'a str),
    /// Digits, with an l or L behind them perhaps.
    Decimal(&'a str),
    Float(&'a str),
    Text(Box<str>),
    Symbol(&'static str),
    End,
}

/// Two letters before one, so that the longest is found.
const SYMBOLS: [&str; 10] = ["<>", ">=", "<=", "=", ">", "<", "(", ")", ",", "+"];

pub struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// Behind the last line break. No comment of a line begins there; nobody looks for its end
    /// again at each of a thousand signs.
    lines_end: usize,
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str) -> Lexer<'a> {
        let lines_end = text.rfind(['\n', '\r']).map_or(0, |end| end + 1);
        Lexer { text, at: 0, lines_end }
    }

    /// The next token and where it begins, in bytes.
    pub fn next(&mut self) -> Result<(usize, Token<'a>), SqlError> {
        self.skip_blank();
        let at = self.at;
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Ok((at, Token::End));
        };
        if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            self.at += symbol.len();
            return Ok((at, Token::Symbol(symbol)));
        }
        let token = match first {
            '-' => {
                self.at += 1;
                Token::Symbol("-")
            }
            '\'' => self.quoted()?,
            '0'..='9' | '.' => self.number()?,
            'a'..='z' | 'A'..='Z' | '_' | '$' => {
                let part = |letter: char| letter.is_ascii_alphanumeric() || "_$".contains(letter);
                Token::Word(self.take_while(part))
            }
            found => return Err(SqlError::Character { at, found }),
        };
        Ok((at, token))
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, bytes: usize) -> &'a str {
        let taken = self.rest().get(..bytes).unwrap_or_default();
        self.at += taken.len();
        taken
    }

    fn take_while(&mut self, part: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        self.take(rest.find(|letter| !part(letter)).unwrap_or(rest.len()))
    }

    /// Passes over white space and comments: `/* ... */`, and from `--` to the end of a line that
    /// has one.
    fn skip_blank(&mut self) {
        loop {
            self.take_while(|letter| " \t\n\r\x0c".contains(letter));
            let rest = self.rest();
            let comment = if rest.starts_with("--") && self.at < self.lines_end {
                rest.find(['\n', '\r']).map(|end| end + 1)
            } else if let Some(inside) = rest.strip_prefix("/*") {
                inside.find("*/").map(|end| end + 4)
            } else {
                None
            };
            let Some(bytes) = comment else {
                return;
            };
            self.at += bytes;
        }
    }

    /// A text in quotes; two quotes inside it are one.
    fn quoted(&mut self) -> Result<Token<'a>, SqlError> {
        let at = self.at;
        let mut text = String::new();
        loop {
            self.at += 1;
            let part = self.take_while(|letter| letter != '\'');
            text.push_str(part);
            if self.rest().is_empty() {
                return Err(SqlError::OpenText { at });
            }
            self.at += 1;
            if !self.rest().starts_with('\'') {
                return Ok(Token::Text(text.into()));
            }
            text.push('\'');
        }
    }

    fn number(&mut self) -> Result<Token<'a>, SqlError> {
        let begin = self.at;
        let digit = |letter: char| letter.is_ascii_digit();
        let whole = self.take_while(digit);
        let mut float = false;
        if self.rest().starts_with('.') {
            self.at += 1;
            let fraction = self.take_while(digit);
            if whole.is_empty() && fraction.is_empty() {
                return Err(SqlError::Character { at: begin, found: '.' });
            }
            float = true;
        }
        if let Some(exponent) = self.rest().strip_prefix(['e', 'E']) {
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            if digits.starts_with(digit) {
                self.at += 1 + (exponent.len() - digits.len());
                self.take_while(digit);
                float = true;
            }
        }
        if float {
            return Ok(Token::Float(self.text.get(begin..self.at).unwrap_or_default()));
        }
        if whole.len() > 1 && whole.starts_with('0') {
            let text = whole.to_owned();
            return Err(SqlError::Number { at: begin, text });
        }
        if whole != "0" && self.rest().starts_with(['l', 'L']) {
            self.at += 1;
        }
        Ok(Token::Decimal(self.text.get(begin..self.at).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Result<Vec<Token<'_>>, SqlError> {
        let mut lexer = Lexer::new(text);
        let mut tokens = Vec::new();
        loop {
            match lexer.next()?.1 {
                Token::End => return Ok(tokens),
                token => tokens.push(token),
            }
        }
    }

    #[test]
    fn every_kind_of_token_is_found() {
        use Token::*;
        let expected = [
            Word("a_$1"),
            Symbol(">="),
            Symbol("-"),
            Decimal("15l"),
            Word("AND"),
            Symbol("("),
            Word("b"),
            Symbol("<>"),
            Text("it's".into()),
            Symbol(")"),
        ];
        let text = "a_$1 >= -15l -- comment\n AND /* ** */(b<>'it''s')";
        assert_eq!(tokens(text).expect("tokens"), expected);
        let floats = [Float("5."), Float(".5"), Float("5e10"), Float("1.5E-3"), Decimal("0")];
        assert_eq!(tokens("5. .5 5e10 1.5E-3 0").expect("tokens"), floats);
        assert_eq!(tokens("5e").expect("tokens"), [Decimal("5"), Word("e")]);
        assert_eq!(tokens("--").expect("tokens"), [Symbol("-"), Symbol("-")]);
    }

    /// It took time with the square of the length: 10 ms for 6 KB, some minutes for this.
    #[test]
    fn signs_that_are_no_comment_are_read_once() {
        let signs = "-".repeat(1 << 20);
        assert_eq!(tokens(&signs).map(|tokens| tokens.len()), Ok(1 << 20));
        let after_a_line = tokens("1 -- comment\n---").expect("tokens");
        assert_eq!(after_a_line, [vec![Token::Decimal("1")], vec![Token::Symbol("-"); 3]].concat());
    }

    #[test]
    fn what_is_no_token_is_told_with_its_place() {
        assert_eq!(tokens("a > ;"), Err(SqlError::Character { at: 4, found: ';' }));
        assert_eq!(tokens("a = 'x''"), Err(SqlError::OpenText { at: 4 }));
        assert_eq!(tokens("a . b"), Err(SqlError::Character { at: 2, found: '.' }));
        assert_eq!(tokens("007"), Err(SqlError::Number { at: 0, text: "007".to_owned() }));
    }
}
