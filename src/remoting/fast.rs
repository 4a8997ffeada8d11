//! One pass over a header exactly as the Java, Go and C++ clients write it, without allocation.
//! Gives up, with None, on anything unusual: the general decoder then has the word.

use ringmq_base::{scan::find_either, text};

use crate::command::binary::{self, Reader};
use crate::command::restore_code;
use crate::frame::{Frame, Serialization};
use crate::lexer::unescape_one;

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
        text::from_utf8(self.bytes(scratch)?)
    }

    /// Some(None) when absent; None when not a number.
    pub fn number<T: TryFrom<i64>>(self, scratch: &'a [u8]) -> Option<Option<T>> {
        match self.bytes(scratch) {
            None => Some(None),
            Some(bytes) => Some(Some(T::try_from(decimal(bytes)?).ok()?)),
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

/// The number that digits, with or without a minus, stand for.
#[inline]
fn decimal(bytes: &[u8]) -> Option<i64> {
    // Most numbers of a header have one digit.
    if let [digit @ b'0'..=b'9'] = bytes {
        return Some(i64::from(digit - b'0'));
    }
    let (negative, digits) = match bytes.split_first()? {
        (b'-', digits) => (true, digits),
        _ => (false, bytes),
    };
    if digits.is_empty() || digits.len() > 18 {
        return std::str::from_utf8(bytes).ok()?.parse().ok();
    }
    let mut value = 0_i64;
    for &digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // At most 18 digits: no overflow.
        value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
    }
    Some(if negative { value.wrapping_neg() } else { value })
}

/// Calls `field` with name and value of every field, the last of several with one name last.
/// `scratch` is where unescaped values go.
#[inline]
pub(crate) fn scan<'a>(
    frame: &Frame<'a>,
    scratch: &mut Vec<u8>,
    field: impl FnMut(&'a [u8], Piece<'a>),
) -> Option<Top> {
    match frame.serialization {
        Serialization::Json => {
            let cursor = Cursor { bytes: frame.header, at: 0, scratch, used: 0 };
            cursor.header(field)
        }
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
    Some(Top { code, opaque: start.opaque, flag: start.flag, version: start.version })
}

/// Where the first quote or backslash of eight bytes is; 8 when there is none.
#[inline(always)]
fn mark_in(chunk: [u8; 8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    // A byte of `matches` has its high bit set where `word` has the byte looked for. Borrows make
    // this wrong only above the first match.
    let matches = |word: u64, byte: u8| {
        let zeroed = word ^ ONES.wrapping_mul(u64::from(byte));
        zeroed.wrapping_sub(ONES) & !zeroed & HIGHS
    };
    let word = u64::from_le_bytes(chunk);
    let found = matches(word, b'"') | matches(word, b'\\');
    (found.trailing_zeros() / 8) as usize
}

/// Where the first quote or backslash is.
#[inline(always)]
fn find_mark(bytes: &[u8]) -> Option<usize> {
    find_either(bytes, [b'"', b'\\'])
}

struct Cursor<'a, 's> {
    bytes: &'a [u8],
    at: usize,
    /// As long as the longest header so far; its content does not matter.
    scratch: &'s mut Vec<u8>,
    /// How much of `scratch` is taken.
    used: usize,
}

impl<'a> Cursor<'a, '_> {
    #[inline]
    fn header(mut self, mut field: impl FnMut(&'a [u8], Piece<'a>)) -> Option<Top> {
        let mut top = Top::default();
        self.expect(b'{')?;
        loop {
            match self.name()? {
                b"code" => top.code = self.number()?,
                b"opaque" => top.opaque = self.number()?,
                b"flag" => top.flag = self.number()?,
                b"version" => top.version = self.number()?,
                b"extFields" => self.fields(&mut field)?,
                b"language" | b"serializeTypeCurrentRPC" | b"remark" => self.skip()?,
                // It may be a name in another case.
                _ => return None,
            }
            match self.take()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        self.space();
        (self.at == self.bytes.len()).then_some(top)
    }

    #[inline(always)]
    fn fields(&mut self, field: &mut impl FnMut(&'a [u8], Piece<'a>)) -> Option<()> {
        self.expect(b'{')?;
        self.space();
        if self.bytes.get(self.at) == Some(&b'}') {
            self.at += 1;
            return Some(());
        }
        loop {
            let name = match self.letter() {
                Some(letter) => letter,
                None => {
                    let name = self.name()?;
                    self.expect(b'"')?;
                    name
                }
            };
            let value = self.text()?;
            field(name, value);
            match self.take()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    #[inline(always)]
    fn space(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\n')) {
            self.at += 1;
        }
    }

    /// The next byte that is not space. Clients write none.
    #[inline(always)]
    fn take(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        if byte == b' ' || byte == b'\n' {
            return self.take_behind_space();
        }
        self.at += 1;
        Some(byte)
    }

    #[cold]
    fn take_behind_space(&mut self) -> Option<u8> {
        self.space();
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    #[inline(always)]
    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.take()? == byte).then_some(())
    }

    /// A name of one letter, as all fields of V2 headers have, with the first quote of its value.
    #[inline(always)]
    fn letter(&mut self) -> Option<&'a [u8]> {
        let rest = self.bytes.get(self.at..)?;
        let [b'"', letter, b'"', b':', b'"'] = rest.first_chunk::<5>()? else {
            return None;
        };
        if !letter.is_ascii_lowercase() {
            return None;
        }
        self.at += 5;
        Some(std::slice::from_ref(letter))
    }

    /// A name in quotes and the colon behind it.
    #[inline(always)]
    fn name(&mut self) -> Option<&'a [u8]> {
        self.expect(b'"')?;
        let rest = self.bytes.get(self.at..)?;
        let end = find_mark(rest)?;
        self.at += end;
        self.expect(b'"')?;
        self.expect(b':')?;
        rest.get(..end)
    }

    /// A string, of which the first quote is taken already.
    #[inline(always)]
    fn text(&mut self) -> Option<Piece<'a>> {
        let rest = self.bytes.get(self.at..)?;
        let end = find_mark(rest)?;
        if rest.get(end) == Some(&b'"') {
            self.at += end + 1;
            return Some(Piece::Plain(rest.get(..end)?));
        }
        self.text_with_escapes()
    }

    /// Copies the string into the scratch buffer, eight bytes at a time.
    fn text_with_escapes(&mut self) -> Option<Piece<'a>> {
        let room = self.bytes.len() + 8;
        if self.scratch.len() < room {
            self.scratch.resize(room, 0);
        }
        let out = self.scratch.as_mut_slice();
        let (start, mut to) = (self.used, self.used);
        loop {
            let rest = self.bytes.get(self.at..)?;
            let length = match rest.first_chunk::<8>() {
                Some(chunk) => {
                    *out.get_mut(to..)?.first_chunk_mut()? = *chunk;
                    mark_in(*chunk)
                }
                None => {
                    let end = find_mark(rest)?;
                    out.get_mut(to..to + end)?.copy_from_slice(rest.get(..end)?);
                    end
                }
            };
            to += length;
            self.at += length;
            match rest.get(length) {
                Some(b'"') => break,
                Some(b'\\') => {
                    let escape = rest.get(length..)?;
                    let (character, bytes) = match escape.first_chunk::<6>() {
                        Some(b"\\u0001") => ('\u{1}', 6),
                        Some(b"\\u0002") => ('\u{2}', 6),
                        _ => unescape_one(escape, self.at).ok()?,
                    };
                    let place = out.get_mut(to..).filter(|place| place.len() >= 4)?;
                    to += character.encode_utf8(place).len();
                    self.at += bytes;
                }
                _ => {}
            }
        }
        self.at += 1;
        self.used = to;
        Some(Piece::Unescaped { start, end: to })
    }

    #[inline(always)]
    fn number(&mut self) -> Option<i32> {
        self.space();
        let rest = self.bytes.get(self.at..)?;
        let end = rest.iter().position(|byte| !(byte.is_ascii_digit() || *byte == b'-'))?;
        self.at += end;
        decimal(rest.get(..end)?)?.try_into().ok()
    }

    /// Skips a string, number or word.
    fn skip(&mut self) -> Option<()> {
        if self.take()? == b'"' {
            let rest = self.bytes.get(self.at..)?;
            let end = find_mark(rest)?;
            self.at += end + 1;
            return (rest.get(end) == Some(&b'"')).then_some(());
        }
        let rest = self.bytes.get(self.at - 1..)?;
        let end = rest.iter().position(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'-'))?;
        if end == 0 {
            return None;
        }
        self.at += end - 1;
        Some(())
    }
}
