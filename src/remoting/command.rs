//! The header of a frame, decoded in full, and the cheap look at it that routing needs.

pub(crate) mod binary;
mod json;

use std::borrow::Cow;

use crate::codes::request;
use crate::frame::{Frame, Serialization};
pub use crate::language::Language;
pub use crate::lexer::JsonError;

/// Flag bit: the frame is a response.
pub const FLAG_RESPONSE: i32 = 0x1;
/// Flag bit: the sender of the request wants no response.
pub const FLAG_ONEWAY: i32 = 0x2;

/// Most fields in a header; RocketMQ has at most 20.
pub const FIELDS_MAX: usize = 1024;

/// Why a header cannot be decoded. The connection is of no use afterwards.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("header of the frame: {0}")]
    Json(#[from] JsonError),
    #[error("header field {field} is not a 32-bit number: {value:?}")]
    Number { field: &'static str, value: String },
    #[error("binary header has {have} bytes, field {field} needs {need}")]
    Short { field: &'static str, need: usize, have: usize },
    #[error("binary header field {field} announces {length} bytes")]
    Length { field: &'static str, length: i64 },
    #[error("header has more than {limit} fields")]
    Fields { limit: usize },
}

/// The header of a request or response. Borrows from the frame as far as it can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// A request or response code; those that binary headers cut to 16 bits are restored.
    pub code: i32,
    /// None when the name or number is unknown.
    pub language: Option<Language>,
    pub version: i32,
    /// Chosen by the requester and echoed in the response.
    pub opaque: i32,
    pub flag: i32,
    /// Never empty.
    pub remark: Option<Cow<'a, str>>,
    pub fields: Fields<'a>,
}

impl Default for Header<'_> {
    fn default() -> Self {
        Header {
            code: 0,
            language: Some(Language::Java),
            version: 0,
            opaque: 0,
            flag: 0,
            remark: None,
            fields: Fields::default(),
        }
    }
}

impl<'a> Header<'a> {
    /// Decodes as leniently as Java: what is missing has its default, what is unknown is skipped.
    pub fn decode(frame: &Frame<'a>) -> Result<Header<'a>, HeaderError> {
        match frame.serialization {
            Serialization::Json => json::decode(frame.header),
            Serialization::RocketMq => binary::decode(frame.header),
        }
    }

    pub fn is_response(&self) -> bool {
        is_response(self.flag)
    }

    pub fn is_oneway(&self) -> bool {
        is_oneway(self.flag)
    }
}

/// What routing needs to know of a header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peek {
    pub code: i32,
    pub opaque: i32,
    pub flag: i32,
}

impl Peek {
    pub fn is_response(&self) -> bool {
        is_response(self.flag)
    }

    pub fn is_oneway(&self) -> bool {
        is_oneway(self.flag)
    }
}

/// Reads code, opaque and flag without looking into the fields, and without allocation.
pub fn peek(frame: &Frame<'_>) -> Result<Peek, HeaderError> {
    match frame.serialization {
        Serialization::Json => json::peek(frame.header),
        Serialization::RocketMq => binary::peek(frame.header),
    }
}

/// The request code of a header that begins with it, as those of all known clients do: a hint
/// which decoder to try, for it is not known yet whether the rest is a header.
pub fn leading_code(frame: &Frame<'_>) -> Option<i32> {
    match frame.serialization {
        Serialization::Json => {
            let rest = frame.header.strip_prefix(b"{\"code\":")?;
            let digits = rest.iter().take(6).take_while(|byte| byte.is_ascii_digit());
            digits.map(|digit| i32::from(digit - b'0')).reduce(|code, digit| code * 10 + digit)
        }
        Serialization::RocketMq => {
            let code = frame.header.first_chunk::<2>()?;
            Some(i32::from(i16::from_be_bytes(*code)))
        }
    }
}

fn is_response(flag: i32) -> bool {
    flag & FLAG_RESPONSE != 0
}

fn is_oneway(flag: i32) -> bool {
    flag & FLAG_ONEWAY != 0
}

/// The code behind the 16 bits that a binary request header has room for.
pub(crate) fn restore_code(code: i16, flag: i32) -> i32 {
    let code = i32::from(code);
    if is_response(flag) {
        return code;
    }
    match code {
        3442..=3448 => request::POP_MESSAGE + (code - 3442),
        3543 => request::BATCH_ACK_MESSAGE,
        _ => code,
    }
}

/// The fields of a header (`extFields`) in their order. Names may repeat: the last one counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields<'a> {
    entries: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Fields<'a> {
    pub fn get(&self, name: &str) -> Option<&str> {
        let entry = self.entries.iter().rfind(|(key, _)| key == name);
        entry.map(|(_, value)| value.as_ref())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn push(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) -> Result<(), HeaderError> {
        if self.entries.len() == FIELDS_MAX {
            return Err(HeaderError::Fields { limit: FIELDS_MAX });
        }
        if self.entries.is_empty() {
            self.entries.reserve(16);
        }
        self.entries.push((name, value));
        Ok(())
    }
}

/// For tests and for requests that are answered within the process.
impl<'a> FromIterator<(&'a str, &'a str)> for Fields<'a> {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(entries: I) -> Self {
        let borrow = |(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value));
        Fields { entries: entries.into_iter().map(borrow).collect() }
    }
}
