//! The least that must be read of a response: opaque, code, and for pulls the next offset.
//!
//! The fast way looks for the few keys in the header's text; what it cannot read (white space, an
//! unusual order) goes through the codec. A quote inside a JSON string is always escaped, so
//! `"opaque":` can only be a key.

use memchr::memmem::{self, Finder};
use ringmq_remoting::command::{self, Header};
use ringmq_remoting::frame::{Frame, Serialization};

/// A response, or a request of the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply<'a> {
    /// Response code.
    pub code: i32,
    /// Id that the request had.
    pub opaque: u32,
    /// False for a request of the broker.
    pub is_response: bool,
    /// Body, empty when there is none.
    pub body: &'a [u8],
    frame: Frame<'a>,
}

/// Search tables, made once a thread.
#[derive(Debug)]
pub struct Scanner {
    code: Finder<'static>,
    flag: Finder<'static>,
    opaque: Finder<'static>,
}

impl Scanner {
    /// The tables.
    pub fn new() -> Scanner {
        Scanner {
            code: Finder::new(b"\"code\":"),
            flag: Finder::new(b"\"flag\":"),
            opaque: Finder::new(b"\"opaque\":"),
        }
    }

    /// Reads a frame without its length field; `None` when it is none.
    pub fn scan<'a>(&self, frame: &'a [u8]) -> Option<Reply<'a>> {
        let (word, rest) = frame.split_first_chunk::<4>()?;
        let word = u32::from_be_bytes(*word);
        let (header, body) = rest.split_at_checked((word & 0x00FF_FFFF) as usize)?;
        let serialization = Serialization::from_code((word >> 24) as u8)?;
        let frame = Frame { serialization, header, body };
        let (code, opaque, flag) = match serialization {
            Serialization::Json => self.scan_json(header),
            Serialization::RocketMq => None,
        }
        .or_else(|| {
            let peek = command::peek(&frame).ok()?;
            Some((peek.code, peek.opaque, peek.flag))
        })?;
        let is_response = flag & command::FLAG_RESPONSE != 0;
        Some(Reply { code, opaque: opaque as u32, is_response, body, frame })
    }

    fn scan_json(&self, header: &[u8]) -> Option<(i32, i32, i32)> {
        let number = |finder: &Finder<'_>| -> Option<i32> {
            let place = finder.find(header)? + finder.needle().len();
            i32::try_from(leading_number(header.get(place..)?)?).ok()
        };
        Some((number(&self.code)?, number(&self.opaque)?, number(&self.flag)?))
    }
}

impl Reply<'_> {
    /// An ext field that is a number.
    pub fn ext_number(&self, name: &str) -> Option<i64> {
        let mut rest = self.frame.header;
        if self.frame.serialization == Serialization::Json {
            while let Some(place) = memmem::find(rest, name.as_bytes()) {
                let is_key = place > 0 && rest.get(place - 1) == Some(&b'"');
                rest = rest.get(place + name.len()..)?;
                if is_key && rest.starts_with(b"\":\"") {
                    return leading_number(rest.get(3..)?);
                }
            }
        }
        Header::decode(&self.frame).ok()?.fields.get(name)?.trim().parse().ok()
    }

    /// What the broker says about a failure; empty when it says nothing.
    pub fn remark(&self) -> String {
        let header = Header::decode(&self.frame).ok();
        header.and_then(|header| header.remark).map_or_else(String::new, |text| text.into_owned())
    }
}

fn leading_number(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, text),
    };
    let mut number: i64 = 0;
    let mut seen = false;
    for byte in digits {
        if !byte.is_ascii_digit() {
            break;
        }
        seen = true;
        number = number.checked_mul(10)?.checked_add(i64::from(byte - b'0'))?;
    }
    seen.then_some(if negative { -number } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, header: &[u8], body: &[u8]) -> Vec<u8> {
        let mut frame = vec![kind];
        frame.extend_from_slice(&(header.len() as u32).to_be_bytes()[1..]);
        frame.extend_from_slice(header);
        frame.extend_from_slice(body);
        frame
    }

    #[test]
    fn the_answer_of_a_java_broker_is_read() {
        let header = br#"{"code":0,"extFields":{"queueId":"1",
            "nextBeginOffset":"77","maxOffset":"-1"},
            "flag":1,"language":"JAVA","opaque":1000000007,
            "serializeTypeCurrentRPC":"JSON","version":407}"#;
        let frame = frame(0, header, b"body");
        let reply = Scanner::new().scan(&frame).expect("a reply");
        assert_eq!((reply.code, reply.opaque, reply.is_response), (0, 1_000_000_007, true));
        assert_eq!(reply.body, b"body");
        assert_eq!(reply.ext_number("nextBeginOffset"), Some(77));
        assert_eq!(reply.ext_number("maxOffset"), Some(-1));
        assert_eq!(reply.ext_number("Offset"), None);
    }

    #[test]
    fn white_space_and_a_remark_that_looks_like_a_key_do_no_harm() {
        let header =
            br#"{ "remark" : "a \"opaque\":5 \"code\":6", "code" : 2, "flag" : 1, "opaque" : 9,
            "extFields" : { "nextBeginOffset" : "3" } }"#;
        let frame = frame(0, header, b"");
        let reply = Scanner::new().scan(&frame).expect("a reply");
        assert_eq!((reply.code, reply.opaque, reply.is_response), (2, 9, true));
        assert_eq!(reply.remark(), "a \"opaque\":5 \"code\":6");
        assert_eq!(reply.ext_number("nextBeginOffset"), Some(3));
    }

    #[test]
    fn binary_headers_are_read() {
        let mut header = Vec::new();
        header.extend_from_slice(&17i16.to_be_bytes());
        header.extend_from_slice(&[0, 1, 151]);
        header.extend_from_slice(&1_000_000_001u32.to_be_bytes());
        header.extend_from_slice(&1u32.to_be_bytes());
        header.extend_from_slice(&4u32.to_be_bytes());
        header.extend_from_slice(b"text");
        header.extend_from_slice(&8u32.to_be_bytes());
        header.extend_from_slice(&[0, 1, b'k', 0, 0, 0, 1, b'5']);
        let frame = frame(1, &header, b"");
        let reply = Scanner::new().scan(&frame).expect("a reply");
        assert_eq!((reply.code, reply.opaque, reply.is_response), (17, 1_000_000_001, true));
        assert_eq!(reply.remark(), "text");
        assert_eq!(reply.ext_number("k"), Some(5));
    }

    #[test]
    fn cut_frames_are_no_reply() {
        let whole = frame(0, br#"{"code":0,"flag":1,"opaque":1}"#, b"");
        for length in 0..whole.len() {
            assert_eq!(Scanner::new().scan(&whole[..length]), None);
        }
    }
}
