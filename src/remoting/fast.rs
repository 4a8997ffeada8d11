//! One pass over a header exactly as the Java, Go and C++ clients write it, without allocation.
//! Gives up, with None, on anything unusual: the general decoder then has the word.

use crate::command::binary::{self, Reader};
use crate::command::restore_code;
use crate::frame::{Frame, Serialization};
use crate::lexer::unescape;

/// What stands beside the fields of a header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Top {
    pub code: i32,
    pub opaque: i32,
    pub flag: i32,
    pub version: i32,
}

/// The value of a field.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Piece<'a> {
    #[default]
    Absent,
    Plain(&'a [u8]),
    /// A part of the scratch buffer.
    Unescaped {
        start: usize,
        end: usize,
    },
}

impl<'a> Piece<'a> {
    pub fn bytes(self, scratch: &'a [u8]) -> Option<&'a [u8]> {
        match self {
            Piece::Absent => None,
            Piece::Plain(bytes) => Some(bytes),
            Piece::Unescaped { start, end } => scratch.get(start..end),
        }
    }

    pub fn text(self, scratch: &'a [u8]) -> Option<&'a str> {
        std::str::from_utf8(self.bytes(scratch)?).ok()
    }

    /// Some(None) when absent; None when not a number.
    pub fn number<T: std::str::FromStr>(self, scratch: &'a [u8]) -> Option<Option<T>> {
        match self {
            Piece::Absent => Some(None),
            piece => Some(Some(piece.text(scratch)?.parse().ok()?)),
        }
    }

    /// False when absent; None when neither true nor false.
    pub fn truth(self, scratch: &'a [u8]) -> Option<bool> {
        match self.bytes(scratch) {
            None | Some(b"false") => Some(false),
            Some(b"true") => Some(true),
            _ => None,
        }
    }
}

/// Calls `field` with name and value of every field, the last of several with one name last.
/// `scratch` is where unescaped values go, and is cleared first.
#[inline]
pub(crate) fn scan<'a>(
    frame: &Frame<'a>,
    scratch: &mut Vec<u8>,
    field: impl FnMut(&'a [u8], Piece<'a>),
) -> Option<Top> {
    scratch.clear();
    match frame.serialization {
        Serialization::Json => json(frame.header, scratch, field),
        Serialization::RocketMq => binary(frame.header, field),
    }
}

fn binary<'a>(bytes: &'a [u8], mut field: impl FnMut(&'a [u8], Piece<'a>)) -> Option<Top> {
    let mut reader = Reader::new(bytes);
    let start = binary::start(&mut reader).ok()?;
    reader.text32("remark").ok()?;
    for entry in reader.fields().ok()? {
        let (name, value) = entry.ok()?;
        if !value.is_empty() {
            field(name, Piece::Plain(value));
        }
    }
    let code = restore_code(start.code, start.flag);
    Some(Top {
        code,
        opaque: start.opaque,
        flag: start.flag,
        version: start.version,
    })
}

fn json<'a>(
    bytes: &'a [u8],
    scratch: &mut Vec<u8>,
    mut field: impl FnMut(&'a [u8], Piece<'a>),
) -> Option<Top> {
    let mut top = Top::default();
    let mut cursor = Cursor { bytes, at: 0 };
    cursor.expect(b'{')?;
    loop {
        let name = cursor.name()?;
        match name {
            b"code" => top.code = cursor.number()?,
            b"opaque" => top.opaque = cursor.number()?,
            b"flag" => top.flag = cursor.number()?,
            b"version" => top.version = cursor.number()?,
            b"extFields" => cursor.fields(scratch, &mut field)?,
            _ => cursor.skip()?,
        }
        match cursor.take()? {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
    }
    cursor.space();
    (cursor.at == bytes.len()).then_some(top)
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    #[inline]
    fn space(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\n')) {
            self.at += 1;
        }
    }

    /// The next byte that is not space.
    #[inline]
    fn take(&mut self) -> Option<u8> {
        self.space();
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.take()? == byte).then_some(())
    }

    /// A name in quotes and the colon behind it.
    #[inline]
    fn name(&mut self) -> Option<&'a [u8]> {
        self.expect(b'"')?;
        let rest = self.bytes.get(self.at..)?;
        let end = rest
            .iter()
            .position(|&byte| byte == b'"' || byte == b'\\')?;
        let name = rest.get(..end)?;
        self.at += end;
        self.expect(b'"')?;
        self.expect(b':')?;
        Some(name)
    }

    /// What is between the quotes, the first of which is taken already.
    #[inline]
    fn text(&mut self) -> Option<(&'a [u8], bool)> {
        let rest = self.bytes.get(self.at..)?;
        let mut end = 0;
        let mut escaped = false;
        loop {
            // Most strings are short: a plain loop beats a call there.
            let near = rest.get(end..)?;
            let step = match near.iter().take(24).position(|&b| b == b'"' || b == b'\\') {
                Some(step) => step,
                None => memchr::memchr2(b'"', b'\\', near)?,
            };
            end += step;
            if rest.get(end) == Some(&b'"') {
                break;
            }
            escaped = true;
            end += 2;
        }
        self.at += end + 1;
        Some((rest.get(..end)?, escaped))
    }

    fn number(&mut self) -> Option<i32> {
        self.space();
        let rest = self.bytes.get(self.at..)?;
        let end = rest
            .iter()
            .position(|byte| !(byte.is_ascii_digit() || *byte == b'-'))?;
        self.at += end;
        std::str::from_utf8(rest.get(..end)?).ok()?.parse().ok()
    }

    /// Skips a string, number or word.
    fn skip(&mut self) -> Option<()> {
        if self.take()? == b'"' {
            let (_, escaped) = self.text()?;
            return (!escaped).then_some(());
        }
        let rest = self.bytes.get(self.at - 1..)?;
        let end = rest
            .iter()
            .position(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'-'))?;
        if end == 0 {
            return None;
        }
        self.at += end - 1;
        Some(())
    }

    fn fields(
        &mut self,
        scratch: &mut Vec<u8>,
        field: &mut impl FnMut(&'a [u8], Piece<'a>),
    ) -> Option<()> {
        self.expect(b'{')?;
        self.space();
        if self.bytes.get(self.at) == Some(&b'}') {
            self.at += 1;
            return Some(());
        }
        loop {
            let name = self.name()?;
            self.expect(b'"')?;
            let (text, escaped) = self.text()?;
            if escaped {
                let start = scratch.len();
                unescape(text, 0, scratch).ok()?;
                field(
                    name,
                    Piece::Unescaped {
                        start,
                        end: scratch.len(),
                    },
                );
            } else {
                field(name, Piece::Plain(text));
            }
            match self.take()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }
}
