//! JSON bodies as fastjson, the library of the Java side, reads and writes them.
//!
//! Read: single quotes, names and numbers as keys without quotes, objects as keys, comments,
//! surplus commas; a member that is null is as good as absent. Written: compact, absent members
//! left out, numeric keys in quotes, a [`crate::body::MessageQueue`] as key is an object.

use std::cell::Cell;
use std::io;

use ringmq_base::limits::FRAME_BYTES_MAX;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter};

use crate::lexer::{JsonError, Lexer, Token};

/// Deepest nesting of a body.
pub const DEPTH_MAX: usize = 64;

/// Why a body cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("body: {0}")]
    Json(#[from] JsonError),
    #[error("body is not what the request needs: {0}")]
    Shape(#[from] serde_json::Error),
}

/// Reads a body.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BodyError> {
    Ok(serde_json::from_slice(&to_strict(bytes)?)?)
}

/// Writes a body.
///
/// # Panics
/// If a map has keys that are neither texts nor numbers; our bodies have none such.
pub fn to_vec<T: Serialize>(body: &T) -> Vec<u8> {
    let mut out = Vec::new();
    append(&mut out, body);
    out
}

/// Appends a body, or a part of one.
///
/// # Panics
/// As [`to_vec`].
pub fn append<T: Serialize + ?Sized>(out: &mut Vec<u8>, body: &T) {
    OBJECT_KEY.set(false);
    let mut serializer = serde_json::Serializer::with_formatter(out, Writer::default());
    body.serialize(&mut serializer).expect("bodies have keys of text and go into memory");
}

/// Writes a body unless it is longer than a frame can carry. Never holds more than that.
///
/// # Errors
/// How many bytes the body has.
///
/// # Panics
/// As [`to_vec`].
pub fn to_vec_for_frame<T: Serialize>(body: &T) -> Result<Vec<u8>, BodyTooLong> {
    let mut out = Bounded { bytes: Vec::new(), length: 0 };
    OBJECT_KEY.set(false);
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, Writer::default());
    body.serialize(&mut serializer).expect("bodies have keys of text and go into memory");
    if out.length > BODY_BYTES_MAX {
        return Err(BodyTooLong { bytes: out.length });
    }
    Ok(out.bytes)
}

/// Longest body of an answer: the frame's limit less room for its header.
pub const BODY_BYTES_MAX: usize = FRAME_BYTES_MAX - 64 * 1024;

/// Why a body cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer has {bytes} bytes, but a frame carries {BODY_BYTES_MAX} at most")]
pub struct BodyTooLong {
    pub bytes: usize,
}

/// Counts on when it holds as much as a frame carries.
struct Bounded {
    bytes: Vec<u8>,
    length: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.length += part.len();
        if self.length <= BODY_BYTES_MAX {
            self.bytes.extend_from_slice(part);
        } else {
            self.bytes = Vec::new();
        }
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A map that is written from an iterator, so that it need not be made.
pub struct Entries<F>(pub F);

impl<F, I, K, V> Serialize for Entries<F>
where
    F: Fn() -> I,
    I: IntoIterator<Item = (K, V)>,
    K: Serialize,
    V: Serialize,
{
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map((self.0)())
    }
}

/// Standard JSON that means the same. Objects as keys become strings of JSON.
///
/// The result is at most some times as long as `bytes`.
pub fn to_strict(bytes: &[u8]) -> Result<Vec<u8>, JsonError> {
    let mut reader = Reader { lexer: Lexer::new(bytes), in_key: false };
    let mut out = Vec::with_capacity(bytes.len());
    let first = reader.lexer.next()?;
    reader.value(first, &mut out, 0)?;
    match reader.lexer.next()? {
        Token::End => Ok(out),
        token => Err(reader.lexer.unexpected(&token, "end")),
    }
}

struct Reader<'a> {
    lexer: Lexer<'a>,
    /// Within an object that is a key. There are none in such ones: their quoting would double
    /// the length with each level.
    in_key: bool,
}

impl<'a> Reader<'a> {
    /// Appends a value, of which `token` is the start; tells whether it is null.
    fn value(
        &mut self,
        token: Token<'a>,
        out: &mut Vec<u8>,
        depth: usize,
    ) -> Result<bool, JsonError> {
        if depth > DEPTH_MAX {
            return Err(JsonError::Depth { at: self.lexer.at(), limit: DEPTH_MAX });
        }
        match token {
            Token::ObjectStart => self.object(out, depth)?,
            Token::ArrayStart => self.array(out, depth)?,
            Token::Text(text) => string(out, &text.text()?),
            Token::Word(b"null" | b"undefined") => {
                out.extend_from_slice(b"null");
                return Ok(true);
            }
            Token::Word(word) => out.extend_from_slice(word),
            token => return Err(self.lexer.unexpected(&token, "value")),
        }
        Ok(false)
    }

    fn object(&mut self, out: &mut Vec<u8>, depth: usize) -> Result<(), JsonError> {
        out.push(b'{');
        let mut empty = true;
        loop {
            let token = self.lexer.next()?;
            let before = out.len();
            match token {
                Token::Comma => continue,
                Token::ObjectEnd => break,
                _ if empty => {}
                _ => out.push(b','),
            }
            self.key(token, out, depth)?;
            let colon = self.lexer.next()?;
            if colon != Token::Colon {
                return Err(self.lexer.unexpected(&colon, "':'"));
            }
            out.push(b':');
            let value = self.lexer.next()?;
            if self.value(value, out, depth + 1)? {
                out.truncate(before);
            } else {
                empty = false;
            }
        }
        out.push(b'}');
        Ok(())
    }

    fn key(&mut self, token: Token<'a>, out: &mut Vec<u8>, depth: usize) -> Result<(), JsonError> {
        match token {
            Token::Text(text) => string(out, &text.text()?),
            Token::Word(word) => string(out, &String::from_utf8_lossy(word)),
            Token::ObjectStart | Token::ArrayStart if !self.in_key => {
                let mut key = Vec::new();
                self.in_key = true;
                self.value(token, &mut key, depth + 1)?;
                self.in_key = false;
                string(out, &String::from_utf8_lossy(&key));
            }
            token => return Err(self.lexer.unexpected(&token, "key")),
        }
        Ok(())
    }

    fn array(&mut self, out: &mut Vec<u8>, depth: usize) -> Result<(), JsonError> {
        out.push(b'[');
        let mut empty = true;
        loop {
            let token = self.lexer.next()?;
            match token {
                Token::Comma => continue,
                Token::ArrayEnd => break,
                _ if empty => empty = false,
                _ => out.push(b','),
            }
            self.value(token, out, depth + 1)?;
        }
        out.push(b']');
        Ok(())
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    crate::encode::json_string(out, text);
}

thread_local! {
    /// Whether the next string that this thread writes is the text of an object in key position.
    static OBJECT_KEY: Cell<bool> = const { Cell::new(false) };
}

/// A text of JSON that stands as key without quotes.
pub(crate) struct ObjectKey(pub String);

impl Serialize for ObjectKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        OBJECT_KEY.set(true);
        serializer.serialize_str(&self.0)
    }
}

/// Writes compact JSON, with objects as keys.
#[derive(Default)]
struct Writer {
    raw: bool,
}

impl Formatter for Writer {
    fn begin_string<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.raw = OBJECT_KEY.replace(false);
        if self.raw { Ok(()) } else { writer.write_all(b"\"") }
    }

    fn end_string<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if std::mem::take(&mut self.raw) { Ok(()) } else { writer.write_all(b"\"") }
    }

    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        match escape {
            CharEscape::Quote if self.raw => writer.write_all(b"\""),
            CharEscape::ReverseSolidus if self.raw => writer.write_all(b"\\"),
            escape => CompactFormatter.write_char_escape(writer, escape),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn strict(json: &str) -> String {
        String::from_utf8(to_strict(json.as_bytes()).expect("JSON")).expect("UTF-8")
    }

    #[test]
    fn the_dialect_becomes_standard_json() {
        let cases = [
            ("{0:\"a\",'b':[1,null,],}", r#"{"0":"a","b":[1,null]}"#),
            ("{a:null,b:true,c:null}", r#"{"b":true}"#),
            ("{{\"q\":0}:{x:'\"'}}", r#"{"{\"q\":0}":{"x":"\""}}"#),
            (" [ ] ", "[]"),
            ("{\"$ref\":\"$.a\"}", r#"{"$ref":"$.a"}"#),
        ];
        for (json, expected) in cases {
            assert_eq!(strict(json), expected);
        }
    }

    #[test]
    fn what_is_no_json_is_an_error() {
        for json in ["", "{", "[1", "{a}", "{a:}", "}", "[]]", "{{{a:1}:1}:1}", "{,", "\"a"] {
            assert!(to_strict(json.as_bytes()).is_err(), "{json}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_without_deep_recursion() {
        for (open, close) in [("[", "]"), ("{a:", "}"), ("{[", "]:1}")] {
            let json = [open.repeat(1_000_000), close.repeat(1_000_000)].concat();
            assert!(to_strict(json.as_bytes()).is_err());
        }
        let json = ["[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX)].concat();
        assert!(from_slice::<serde_json::Value>(json.as_bytes()).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = to_strict(&bytes);
        }

        #[test]
        fn any_text_like_json_is_survived(text in "[{}\\[\\]:,'\"\\\\a0u/* ]{0,60}") {
            if let Ok(strict) = to_strict(text.as_bytes()) {
                prop_assert!(strict.len() <= 16 + 16 * text.len());
            }
        }
    }
}
