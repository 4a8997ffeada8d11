//! The least that must be read of a response: opaque, code, and for pulls the next offset.
//!
//! Three ways, each with the next behind it. A broker writes all its successful answers alike, so
//! a header that begins and ends as the last one did is read by two comparisons ([`Layout`]). Else
//! the few keys are looked for in the header's text; what that cannot read (white space, an unusual
//! order) goes through the codec. A quote inside a JSON string is always escaped, so `"opaque":`
//! can only be a key.

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
    layout: Option<Layout>,
}

/// Begin of every header that the layout reads: the code is the first key, and is success.
const SUCCESS: &[u8] = b"{\"code\":0,";
/// Digits of every opaque of the tool (`slots.rs`).
const OPAQUE_DIGITS: usize = 10;

/// How the last successful answer ended: from the key `flag` on, but for the opaque's digits.
///
/// A header that begins with [`SUCCESS`] and ends the same way has the same flag: the end holds no
/// brace but the last, so its keys are those of the outermost object, and it begins with a comma
/// and an unescaped quote, so it cannot lie in a string.
#[derive(Debug)]
struct Layout {
    before: Vec<u8>,
    after: Vec<u8>,
    flag: i32,
}

impl Layout {
    /// Learns from a header that was read another way, if it is one that can be repeated.
    fn learn(header: &[u8], opaque: i32, flag: i32) -> Option<Layout> {
        let flag_at = memmem::rfind(header, b",\"flag\":")?;
        let (_, end) = header.split_at_checked(flag_at)?;
        let key = b"\"opaque\":";
        let digits_at = memmem::find(end, key)? + key.len();
        let (before, rest) = end.split_at_checked(digits_at)?;
        let (digits, after) = rest.split_first_chunk::<OPAQUE_DIGITS>()?;
        let is_plain = |text: &[u8]| !text.iter().any(|byte| b"{}[]\\".contains(byte));
        let (last, between) = after.split_last()?;
        let repeats = *last == b'}' && is_plain(before) && is_plain(between);
        let is_same =
            header.starts_with(SUCCESS) && ten_digits(digits) == u32::try_from(opaque).ok();
        let ends_number = after.first().is_some_and(|byte| !byte.is_ascii_digit());
        (repeats && is_same && ends_number).then(|| Layout {
            before: before.to_vec(),
            after: after.to_vec(),
            flag,
        })
    }

    /// The opaque, if the header is of this layout.
    fn read(&self, header: &[u8]) -> Option<u32> {
        let (head, digits) =
            header.strip_suffix(self.after.as_slice())?.split_last_chunk::<OPAQUE_DIGITS>()?;
        if !(header.starts_with(SUCCESS) && head.ends_with(&self.before)) {
            return None;
        }
        ten_digits(digits)
    }
}

/// The number that ten digits say, if it is an opaque.
fn ten_digits(digits: &[u8; OPAQUE_DIGITS]) -> Option<u32> {
    let mut number: u64 = 0;
    let mut is_number = true;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        is_number &= digit < 10;
        number = number * 10 + u64::from(digit);
    }
    u32::try_from(number).ok().filter(|_| is_number)
}

impl Default for Scanner {
    fn default() -> Scanner {
        Scanner::new()
    }
}

impl Scanner {
    /// The tables, nothing learned.
    pub fn new() -> Scanner {
        Scanner {
            code: Finder::new(b"\"code\":"),
            flag: Finder::new(b"\"flag\":"),
            opaque: Finder::new(b"\"opaque\":"),
            layout: None,
        }
    }

    /// Reads a frame without its length field; `None` when it is none.
    pub fn scan<'a>(&mut self, frame: &'a [u8]) -> Option<Reply<'a>> {
        let (word, rest) = frame.split_first_chunk::<4>()?;
        let word = u32::from_be_bytes(*word);
        let (header, body) = rest.split_at_checked((word & 0x00FF_FFFF) as usize)?;
        let serialization = Serialization::from_code((word >> 24) as u8)?;
        let frame = Frame { serialization, header, body };
        if serialization == Serialization::Json
            && let Some(layout) = &self.layout
            && let Some(opaque) = layout.read(header)
        {
            let is_response = layout.flag & command::FLAG_RESPONSE != 0;
            return Some(Reply { code: 0, opaque, is_response, body, frame });
        }
        self.scan_any(frame)
    }

    fn scan_any<'a>(&mut self, frame: Frame<'a>) -> Option<Reply<'a>> {
        let is_json = frame.serialization == Serialization::Json;
        let found = if is_json { self.scan_json(frame.header) } else { None };
        let (code, opaque, flag) = found.or_else(|| {
            let peek = command::peek(&frame).ok()?;
            Some((peek.code, peek.opaque, peek.flag))
        })?;
        if is_json && let Some(layout) = Layout::learn(frame.header, opaque, flag) {
            self.layout = Some(layout);
        }
        let is_response = flag & command::FLAG_RESPONSE != 0;
        Some(Reply { code, opaque: opaque as u32, is_response, body: frame.body, frame })
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

    /// An ext field as text.
    pub fn ext_text(&self, name: &str) -> Option<String> {
        Header::decode(&self.frame).ok()?.fields.get(name).map(str::to_owned)
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
    fn a_layout_is_learned_and_another_one_is_still_read() {
        let java = |offset: u32, opaque: &str| {
            let header =
                format!(r#"{{"code":0,"extFields":{{"queueOffset":"{offset}"}},"flag":1,"#);
            let header = format!(r#"{header}"language":"JAVA","opaque":{opaque},"version":407}}"#);
            frame(0, header.as_bytes(), b"")
        };
        let mut scanner = Scanner::new();
        let mut opaque_of = |frame: &[u8]| {
            let reply = scanner.scan(frame).expect("a reply");
            (reply.code, reply.opaque, reply.is_response)
        };
        for (offset, opaque) in [(9, 1_000_000_001), (10, 1_999_999_999), (11, 999_999_999)] {
            assert_eq!(opaque_of(&java(offset, &opaque.to_string())), (0, opaque, true));
        }
        // Another end, a failure and a request of the broker after the layout was learned.
        for (header, expected) in [
            (r#""code":0,"flag":1,"opaque":1000000004"#, (0, 1_000_000_004, true)),
            (
                r#""code":2,"flag":1,"language":"JAVA","opaque":1000000005"#,
                (2, 1_000_000_005, true),
            ),
            (
                r#""code":0,"flag":0,"language":"JAVA","opaque":1000000006"#,
                (0, 1_000_000_006, false),
            ),
            (r#""code":0,"e":{"flag":1},"opaque":1000000007,"flag":1"#, (0, 1_000_000_007, true)),
        ] {
            let header = format!("{{{header},\"version\":407}}");
            assert_eq!(opaque_of(&frame(0, header.as_bytes(), b"")), expected);
            assert_eq!(opaque_of(&java(12, "1000000008")), (0, 1_000_000_008, true));
        }
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
