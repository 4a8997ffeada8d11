//! Frames out: every function appends to a buffer. Headers are compact, with their keys in the
//! order of Java.

mod binary;
mod json;
mod send_ok;

pub(crate) use json::string as json_string;
pub use send_ok::{SendOk, send_ok};

use crate::command::{FLAG_ONEWAY, FLAG_RESPONSE};
use crate::frame::{HEADER_BYTES_MAX, LENGTH_BYTES, PREFIX_BYTES, Serialization};

/// The version that every header tells: that of RocketMQ 4.9.8. Clients decide by it what they
/// may ask of a broker.
pub const VERSION: i32 = 409;

/// Longest remark; a longer one is cut. Remarks may quote what a client sent.
pub const REMARK_BYTES_MAX: usize = 16 * 1024;

/// The value of a header field. All of them are strings on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    Int(i64),
    Str(&'a str),
    Bool(bool),
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Value::Int(value)
    }
}

impl From<i32> for Value<'_> {
    fn from(value: i32) -> Self {
        Value::Int(value.into())
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Value::Str(value)
    }
}

/// Appends a request.
///
/// # Panics
/// If the header is beyond [`HEADER_BYTES_MAX`] or the frame beyond 4 GiB: callers limit fields
/// and bodies.
pub fn request(
    out: &mut Vec<u8>,
    serialization: Serialization,
    code: i32,
    opaque: i32,
    oneway: bool,
    fields: &[(&str, &str)],
    body: &[u8],
) {
    let flag = if oneway { FLAG_ONEWAY } else { 0 };
    let start = Start::reserve(out);
    let head = Head { code, opaque, flag, remark: None };
    let fields = fields.iter().map(|&(name, value)| (name, Value::Str(value)));
    start.header(out, serialization, &head, fields);
    out.extend_from_slice(body);
    start.finish(out);
}

/// Appends a request whose fields are typed, as typed headers encode them.
///
/// # Panics
/// As [`request`].
pub fn request_values(
    out: &mut Vec<u8>,
    serialization: Serialization,
    code: i32,
    opaque: i32,
    oneway: bool,
    fields: &[(&str, Value<'_>)],
    body: &[u8],
) {
    let flag = if oneway { FLAG_ONEWAY } else { 0 };
    let start = Start::reserve(out);
    let head = Head { code, opaque, flag, remark: None };
    start.header(out, serialization, &head, fields.iter().copied());
    out.extend_from_slice(body);
    start.finish(out);
}

/// Appends a response.
///
/// # Panics
/// As [`request`].
pub fn response(
    out: &mut Vec<u8>,
    serialization: Serialization,
    opaque: i32,
    code: i32,
    remark: Option<&str>,
    fields: &[(&str, Value<'_>)],
    body: &[u8],
) {
    let start = begin_response(out, serialization, opaque, code, remark, fields);
    out.extend_from_slice(body);
    start.finish(out);
}

/// Appends length and header of a response; the caller appends the `body_length` bytes of its
/// body right behind.
///
/// # Panics
/// As [`request`].
pub fn response_head(
    out: &mut Vec<u8>,
    serialization: Serialization,
    opaque: i32,
    code: i32,
    remark: Option<&str>,
    fields: &[(&str, Value<'_>)],
    body_length: usize,
) {
    let start = begin_response(out, serialization, opaque, code, remark, fields);
    start.finish_with(out, body_length);
}

/// Appends the header of a response whose body, of any length, the caller appends before it calls
/// [`Start::finish`].
///
/// # Panics
/// As [`request`].
pub fn begin_response(
    out: &mut Vec<u8>,
    serialization: Serialization,
    opaque: i32,
    code: i32,
    remark: Option<&str>,
    fields: &[(&str, Value<'_>)],
) -> Start {
    let start = Start::reserve(out);
    let head = Head { code, opaque, flag: FLAG_RESPONSE, remark: remark.map(cut_remark) };
    start.header(out, serialization, &head, fields.iter().copied());
    start
}

fn cut_remark(remark: &str) -> &str {
    let mut end = remark.len().min(REMARK_BYTES_MAX);
    while !remark.is_char_boundary(end) {
        end -= 1;
    }
    remark.get(..end).unwrap_or(remark)
}

struct Head<'a> {
    code: i32,
    opaque: i32,
    flag: i32,
    remark: Option<&'a str>,
}

/// Where a frame starts whose length is not written yet.
#[must_use = "without finish the frame has no length"]
#[derive(Clone, Copy, Debug)]
pub struct Start {
    at: usize,
}

impl Start {
    fn reserve(out: &mut Vec<u8>) -> Start {
        let at = out.len();
        out.extend_from_slice(&[0; PREFIX_BYTES]);
        Start { at }
    }

    fn header<'a>(
        self,
        out: &mut Vec<u8>,
        serialization: Serialization,
        head: &Head<'_>,
        fields: impl ExactSizeIterator<Item = (&'a str, Value<'a>)>,
    ) {
        match serialization {
            Serialization::Json => json::header(out, head, fields),
            Serialization::RocketMq => binary::header(out, head, fields),
        }
        self.end_header(out, serialization);
    }

    /// Writes the length of the header, which ends here.
    fn end_header(self, out: &mut [u8], serialization: Serialization) {
        let length = out.len() - self.at - PREFIX_BYTES;
        assert!(length <= HEADER_BYTES_MAX, "header of {length} bytes, fields were not limited");
        let length = u32::try_from(length).expect("asserted");
        self.patch(out, LENGTH_BYTES, u32::from(serialization.code()) << 24 | length);
    }

    /// Writes the length of the frame, which ends here.
    ///
    /// # Panics
    /// If `out` is not the buffer in which the frame was begun.
    pub fn finish(self, out: &mut [u8]) {
        self.finish_with(out, 0);
    }

    fn finish_with(self, out: &mut [u8], behind: usize) {
        let length = out.len().checked_sub(self.at + LENGTH_BYTES).expect("begun in this buffer");
        let length = u32::try_from(length + behind).expect("frames are limited to 16 MiB");
        self.patch(out, 0, length);
    }

    fn patch(self, out: &mut [u8], at: usize, value: u32) {
        let place = out.get_mut(self.at + at..).and_then(|rest| rest.first_chunk_mut());
        *place.expect("reserved at the start") = value.to_be_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Header;
    use crate::frame::{Frame, Scan, scan};

    const BOTH: [Serialization; 2] = [Serialization::Json, Serialization::RocketMq];

    #[test]
    fn a_json_response_has_the_bytes_of_java() {
        let mut out = b"before".to_vec();
        let fields = [("n", Value::Int(-5)), ("t", Value::Str("a\"\u{1}")), ("b", true.into())];
        response(&mut out, Serialization::Json, 7, 0, Some("r"), &fields, b"body");
        let header = concat!(
            r#"{"code":0,"extFields":{"n":"-5","t":"a\"\u0001","b":"true"},"flag":1,"#,
            r#""language":"JAVA","opaque":7,"remark":"r","serializeTypeCurrentRPC":"JSON","#,
            r#""version":409}"#
        );
        let mut expected = b"before".to_vec();
        expected.extend_from_slice(&(header.len() as u32 + 8).to_be_bytes());
        expected.extend_from_slice(&(header.len() as u32).to_be_bytes());
        expected.extend_from_slice(header.as_bytes());
        expected.extend_from_slice(b"body");
        assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&expected));
    }

    #[test]
    fn a_binary_request_has_the_bytes_of_java() {
        let mut out = Vec::new();
        request(&mut out, Serialization::RocketMq, 200_050, 3, true, &[("k", "v"), ("e", "")], b"");
        let expected = b"\x00\x00\x00\x28\x01\x00\x00\x24\
            \x0D\x72\x00\x01\x99\x00\x00\x00\x03\x00\x00\x00\x02\x00\x00\x00\x00\
            \x00\x00\x00\x0F\x00\x01k\x00\x00\x00\x01v\x00\x01e\x00\x00\x00\x00";
        assert_eq!(out, expected);
    }

    #[test]
    fn frames_of_both_serializations_are_read_back() {
        for serialization in BOTH {
            let mut out = Vec::new();
            request(&mut out, serialization, 310, 9, false, &[("a", "x\u{4e2d}\n")], b"hello");
            assert_eq!(scan(&out), Ok(Scan::Complete { length: out.len() }));
            let frame = Frame::parse(&out).expect("a frame");
            let header = Header::decode(&frame).expect("a header");
            assert_eq!((header.code, header.opaque, header.flag), (310, 9, 0));
            assert_eq!(header.fields.get("a"), Some("x\u{4e2d}\n"));
            assert_eq!(frame.body, b"hello");
        }
    }

    #[test]
    fn a_body_may_follow_its_head() {
        for serialization in BOTH {
            let (mut whole, mut head, mut begun) = (Vec::new(), Vec::new(), Vec::new());
            response(&mut whole, serialization, 1, 19, None, &[], b"12345");
            response_head(&mut head, serialization, 1, 19, None, &[], 5);
            head.extend_from_slice(b"12345");
            let start = begin_response(&mut begun, serialization, 1, 19, None, &[]);
            begun.extend_from_slice(b"12345");
            start.finish(&mut begun);
            assert_eq!(whole, head);
            assert_eq!(whole, begun);
        }
    }

    #[test]
    fn long_remarks_are_cut_between_characters() {
        let remark = ["a", &"\u{4e2d}".repeat(REMARK_BYTES_MAX)].concat();
        let mut out = Vec::new();
        response(&mut out, Serialization::Json, 1, 1, Some(&remark), &[], b"");
        let header = Header::decode(&Frame::parse(&out).expect("a frame")).expect("a header");
        let cut = header.remark.expect("a remark");
        assert!(remark.starts_with(cut.as_ref()));
        assert_eq!(cut.len(), REMARK_BYTES_MAX);
    }
}
