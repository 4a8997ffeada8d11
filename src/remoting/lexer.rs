//! Tokens of JSON as fastjson reads it: quoted with `"` or `'`, names without quotes, comments
//! and surplus commas are accepted. Works on bytes, allocates only for strings with escapes.

use std::borrow::Cow;

/// Why bytes are not JSON. `at` is a byte offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    #[error("JSON ends at byte {at} within a value")]
    End { at: usize },
    #[error("JSON has an unexpected {found} at byte {at}, expected {expected}")]
    Unexpected { at: usize, found: &'static str, expected: &'static str },
    #[error("JSON has the wrong escape \\{escape:?} at byte {at}")]
    Escape { at: usize, escape: char },
    #[error("JSON is nested deeper than {limit} levels at byte {at}")]
    Depth { at: usize, limit: usize },
    #[error("JSON has more than {limit} {what}")]
    Many { what: &'static str, limit: usize },
    #[error("JSON becomes more than the {limit} bytes of memory it may take: say it in parts")]
    Memory { limit: usize },
}

/// A string as it stands in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawText<'a> {
    /// What is between the quotes.
    pub bytes: &'a [u8],
    pub escaped: bool,
    /// Where `bytes` starts.
    pub at: usize,
}

impl<'a> RawText<'a> {
    /// The text; what is not UTF-8 is replaced, as Java does.
    pub fn text(&self) -> Result<Cow<'a, str>, JsonError> {
        if !self.escaped {
            return Ok(String::from_utf8_lossy(self.bytes));
        }
        let mut out = Vec::with_capacity(self.bytes.len());
        unescape(self.bytes, self.at, &mut out)?;
        Ok(Cow::Owned(match String::from_utf8(out) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    ObjectStart,
    ObjectEnd,
    ArrayStart,
    ArrayEnd,
    Colon,
    Comma,
    Text(RawText<'a>),
    /// A number, `true`, `false`, `null` or a name without quotes.
    Word(&'a [u8]),
    End,
}

impl Token<'_> {
    pub fn name(&self) -> &'static str {
        match self {
            Token::ObjectStart => "'{'",
            Token::ObjectEnd => "'}'",
            Token::ArrayStart => "'['",
            Token::ArrayEnd => "']'",
            Token::Colon => "':'",
            Token::Comma => "','",
            Token::Text(_) => "string",
            Token::Word(_) => "word",
            Token::End => "end",
        }
    }
}

/// As UTF-8 has it.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

#[derive(Clone, Debug)]
pub(crate) struct Lexer<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Lexer<'a> {
    /// A byte order mark at the start is passed over.
    pub fn new(bytes: &'a [u8]) -> Lexer<'a> {
        let at = if bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        Lexer { bytes, at }
    }

    /// The same place in the same bytes, of which nothing from `end` on is seen.
    pub fn within(&self, bytes: &'a [u8], end: usize) -> Lexer<'a> {
        Lexer { bytes: bytes.get(..end).unwrap_or(bytes), at: self.at }
    }

    /// Where the next token is looked for.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The bytes from `start` to here.
    pub fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.at).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Skips white space, comments, and the zero behind the text of some clients in C.
    pub fn skip_space(&mut self) {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\r' | b'\n' | 0x0B | 0x0C | 0x08 | 0) => self.at += 1,
                Some(b'/') => match self.bytes.get(self.at + 1) {
                    Some(b'/') => self.skip_past(b"\n"),
                    Some(b'*') => self.skip_past(b"*/"),
                    _ => return,
                },
                _ => return,
            }
        }
    }

    fn skip_past(&mut self, mark: &[u8]) {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let found = memchr::memmem::find(rest, mark);
        self.at = found.map_or(self.bytes.len(), |found| self.at + found + mark.len());
    }

    pub fn next(&mut self) -> Result<Token<'a>, JsonError> {
        self.skip_space();
        let Some(byte) = self.peek() else {
            return Ok(Token::End);
        };
        let token = match byte {
            b'{' => Token::ObjectStart,
            b'}' => Token::ObjectEnd,
            b'[' => Token::ArrayStart,
            b']' => Token::ArrayEnd,
            b':' => Token::Colon,
            b',' => Token::Comma,
            b'"' | b'\'' => return self.text(byte).map(Token::Text),
            _ => return self.word().map(Token::Word),
        };
        self.at += 1;
        Ok(token)
    }

    fn text(&mut self, quote: u8) -> Result<RawText<'a>, JsonError> {
        let start = self.at + 1;
        let mut end = start;
        let mut escaped = false;
        loop {
            let rest = self.bytes.get(end..).unwrap_or_default();
            let Some(found) = memchr::memchr2(quote, b'\\', rest) else {
                return Err(JsonError::End { at: self.bytes.len() });
            };
            end += found;
            if self.bytes.get(end) == Some(&quote) {
                break;
            }
            escaped = true;
            end += 2;
        }
        self.at = end + 1;
        let bytes = self.bytes.get(start..end).unwrap_or_default();
        Ok(RawText { bytes, escaped, at: start })
    }

    fn word(&mut self) -> Result<&'a [u8], JsonError> {
        let start = self.at;
        let in_word = |byte: u8| {
            byte.is_ascii_alphanumeric() || b"_$.+-@%#|*".contains(&byte) || !byte.is_ascii()
        };
        while self.peek().is_some_and(in_word) {
            self.at += 1;
        }
        if self.at == start {
            return Err(JsonError::Unexpected { at: start, found: "character", expected: "value" });
        }
        Ok(self.since(start))
    }

    /// Skips the value that starts with `first`, whatever is in it.
    pub fn skip_value(&mut self, first: Token<'a>) -> Result<(), JsonError> {
        let mut depth = 0_usize;
        let mut token = first;
        loop {
            match token {
                Token::ObjectStart | Token::ArrayStart => depth += 1,
                Token::ObjectEnd | Token::ArrayEnd if depth > 0 => depth -= 1,
                Token::Text(_) | Token::Word(_) => {}
                Token::Colon | Token::Comma if depth > 0 => {}
                Token::End => return Err(JsonError::End { at: self.at }),
                found => return Err(self.unexpected(&found, "value")),
            }
            if depth == 0 {
                return Ok(());
            }
            token = self.next()?;
        }
    }

    pub fn unexpected(&self, found: &Token<'_>, expected: &'static str) -> JsonError {
        match found {
            Token::End => JsonError::End { at: self.at },
            _ => JsonError::Unexpected { at: self.at, found: found.name(), expected },
        }
    }
}

/// Appends the text that `bytes` stand for. `at` is where they start, for errors.
fn unescape(bytes: &[u8], at: usize, out: &mut Vec<u8>) -> Result<(), JsonError> {
    let mut rest = bytes;
    while let Some(found) = memchr::memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at(found);
        out.extend_from_slice(plain);
        let (character, length) = unescape_one(escape, at + bytes.len() - escape.len())?;
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        rest = escape.get(length..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    Ok(())
}

/// The character that the escape at the start of `escape` stands for, and how many bytes it takes.
pub(crate) fn unescape_one(escape: &[u8], at: usize) -> Result<(char, usize), JsonError> {
    let Some(&letter) = escape.get(1) else {
        return Err(JsonError::End { at });
    };
    let error = JsonError::Escape { at, escape: char::from(letter) };
    match letter {
        b'u' => unescape_unicode(escape).ok_or(error),
        b'x' => {
            let code = hex(escape.get(2..4).unwrap_or_default(), 2).ok_or(error)?;
            Ok((char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 4))
        }
        _ => Ok((char::from(unescape_letter(letter).ok_or(error)?), 2)),
    }
}

fn unescape_letter(letter: u8) -> Option<u8> {
    Some(match letter {
        b'"' | b'\'' | b'\\' | b'/' => letter,
        b'b' => 0x08,
        b't' => b'\t',
        b'n' => b'\n',
        b'v' => 0x0B,
        b'f' | b'F' => 0x0C,
        b'r' => b'\r',
        b'0'..=b'7' => letter - b'0',
        _ => return None,
    })
}

/// The character of `\uXXXX`, with a second half `\uXXXX` when the first needs one, and how many
/// bytes it takes. A half alone becomes the replacement character.
fn unescape_unicode(escape: &[u8]) -> Option<(char, usize)> {
    let first = hex(escape.get(2..6)?, 4)?;
    if (0xD800..0xDC00).contains(&first)
        && escape.get(6..8) == Some(b"\\u")
        && let Some(second) = hex(escape.get(8..12).unwrap_or_default(), 4)
        && (0xDC00..0xE000).contains(&second)
    {
        let code = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
        return Some((char::from_u32(code)?, 12));
    }
    Some((char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 6))
}

fn hex(digits: &[u8], length: usize) -> Option<u32> {
    if digits.len() != length {
        return None;
    }
    digits.iter().try_fold(0, |value, &digit| Some(value << 4 | char::from(digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(json: &str) -> Vec<String> {
        let mut lexer = Lexer::new(json.as_bytes());
        let mut out = Vec::new();
        loop {
            match lexer.next().expect("tokens") {
                Token::End => return out,
                Token::Text(text) => out.push(text.text().expect("text").into_owned()),
                Token::Word(word) => out.push(String::from_utf8_lossy(word).into_owned()),
                token => out.push(token.name().to_owned()),
            }
        }
    }

    #[test]
    fn fastjson_words_are_read() {
        let json = "{'a' : \"b\", name:1.5e+3, /* no */ [true] } // end";
        let expected =
            ["'{'", "a", "':'", "b", "','", "name", "':'", "1.5e+3", "','", "'['", "true", "']'"];
        assert_eq!(texts(json)[..12], expected);
    }

    #[test]
    fn escapes_become_characters() {
        let json = r#""\u0001\u4e2d\ud83d\ude00\ud83d\n\"\/\x41\'""#;
        assert_eq!(texts(json), ["\u{1}\u{4e2d}\u{1F600}\u{FFFD}\n\"/A'"]);
    }

    #[test]
    fn wrong_escapes_and_open_strings_are_errors() {
        for json in [r#""\q""#, r#""\u12""#, r#""\u12G4""#] {
            let mut lexer = Lexer::new(json.as_bytes());
            let Ok(Token::Text(text)) = lexer.next() else { panic!("a string") };
            assert!(matches!(text.text(), Err(JsonError::Escape { .. })), "{json}");
        }
        for json in ["\"abc", "\"abc\\", "\"abc\\\"", "'a\""] {
            assert!(Lexer::new(json.as_bytes()).next().is_err(), "{json}");
        }
    }

    #[test]
    fn values_are_skipped_however_deep() {
        let deep = ["[".repeat(100_000), "]".repeat(100_000), " 5".to_owned()].concat();
        let mut lexer = Lexer::new(deep.as_bytes());
        let first = lexer.next().expect("a token");
        lexer.skip_value(first).expect("a value");
        assert_eq!(lexer.next(), Ok(Token::Word(b"5")));
    }
}
