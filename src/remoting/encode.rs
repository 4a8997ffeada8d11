//! Frames out: every function appends to a buffer. Headers are compact, with their keys in the
//! order of Java. What does not fit a frame is an error, and leaves the buffer as it was.

mod binary;
mod json;
mod send_ok;

pub(crate) use json::string as json_string;
pub use send_ok::{SendOk, send_ok};

use crate::command::{FLAG_ONEWAY, FLAG_RESPONSE};
use crate::frame::{HEADER_BYTES_MAX, LENGTH_BYTES, PREFIX_BYTES, Serialization};
use ringmq_base::limits::FRAME_BYTES_MAX;

/// The version that every header tells: that of RocketMQ 4.9.8. Clients decide by it what they
/// may ask of a broker.
pub const VERSION: i32 = 409;

/// Longest remark; a longer one is cut. Remarks may quote what a client sent.
pub const REMARK_BYTES_MAX: usize = 16 * 1024;

/// Why a frame was not written. The buffer is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    #[error(
        "the header of the frame has {bytes} bytes or more, at most {HEADER_BYTES_MAX} fit: send \
         shorter header fields"
    )]
    Header { bytes: usize },
    #[error(
        "the frame has {bytes} bytes, peers accept at most {FRAME_BYTES_MAX}: ask for less at once"
    )]
    Frame { bytes: usize },
    #[error("a header field has a name of {bytes} bytes, at most 32767 fit")]
    FieldName { bytes: usize },
}

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
/// # Errors
/// If the header is beyond [`HEADER_BYTES_MAX`] or the frame beyond [`FRAME_BYTES_MAX`].
pub fn request(
    out: &mut Vec<u8>,
    serialization: Serialization,
    code: i32,
    opaque: i32,
    oneway: bool,
    fields: &[(&str, &str)],
    body: &[u8],
) -> Result<(), EncodeError> {
    let flag = if oneway { FLAG_ONEWAY } else { 0 };
    let head = Head { code, opaque, flag, remark: None };
    let fields = fields.iter().map(|&(name, value)| (name, Value::Str(value)));
    Start::header(out, serialization, &head, fields)?.finish_with(out, body)
}

/// Appends a request whose fields are typed, as typed headers encode them.
///
/// # Errors
/// As [`request`].
pub fn request_values(
    out: &mut Vec<u8>,
    serialization: Serialization,
    code: i32,
    opaque: i32,
    oneway: bool,
    fields: &[(&str, Value<'_>)],
    body: &[u8],
) -> Result<(), EncodeError> {
    let flag = if oneway { FLAG_ONEWAY } else { 0 };
    let head = Head { code, opaque, flag, remark: None };
    Start::header(out, serialization, &head, fields.iter().copied())?.finish_with(out, body)
}

/// Appends a response.
///
/// # Errors
/// As [`request`].
pub fn response(
    out: &mut Vec<u8>,
    serialization: Serialization,
    opaque: i32,
    code: i32,
    remark: Option<&str>,
    fields: &[(&str, Value<'_>)],
    body: &[u8],
) -> Result<(), EncodeError> {
    begin_response(out, serialization, opaque, code, remark, fields)?.finish_with(out, body)
}

/// Appends the header of a response whose body, of any length, the caller appends before it calls
/// [`Start::finish`].
///
/// # Errors
/// As [`request`].
pub fn begin_response(
    out: &mut Vec<u8>,
    serialization: Serialization,
    opaque: i32,
    code: i32,
    remark: Option<&str>,
    fields: &[(&str, Value<'_>)],
) -> Result<Start, EncodeError> {
    let head = Head { code, opaque, flag: FLAG_RESPONSE, remark: remark.map(cut_remark) };
    Start::header(out, serialization, &head, fields.iter().copied())
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
        out: &mut Vec<u8>,
        serialization: Serialization,
        head: &Head<'_>,
        fields: impl ExactSizeIterator<Item = (&'a str, Value<'a>)>,
    ) -> Result<Start, EncodeError> {
        let start = Start::reserve(out);
        let limit = start.header_limit();
        let written = match serialization {
            Serialization::Json => json::header(out, limit, head, fields),
            Serialization::RocketMq => binary::header(out, limit, head, fields),
        };
        match written.and_then(|()| start.end_header(out, serialization)) {
            Ok(()) => Ok(start),
            Err(error) => Err(start.give_up(out, error)),
        }
    }

    /// Where the header has to end.
    const fn header_limit(self) -> HeaderLimit {
        HeaderLimit { start: self.at + PREFIX_BYTES }
    }

    /// Writes the length of the header, which ends here.
    fn end_header(self, out: &mut [u8], serialization: Serialization) -> Result<(), EncodeError> {
        let bytes = out.len() - self.at - PREFIX_BYTES;
        self.header_limit().check(out, 0)?;
        let length = u32::try_from(bytes).map_err(|_| EncodeError::Header { bytes })?;
        self.patch(out, LENGTH_BYTES, u32::from(serialization.code()) << 24 | length);
        Ok(())
    }

    /// Writes the length of the frame, which ends here.
    ///
    /// # Errors
    /// If the frame is beyond [`FRAME_BYTES_MAX`]; it is taken out of the buffer again.
    ///
    /// # Panics
    /// If `out` is not the buffer in which the frame was begun.
    pub fn finish(self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.finish_before(out, 0)
    }

    /// The same with a body of so many bytes that comes behind what is in the buffer.
    ///
    /// # Errors
    /// As [`Start::finish`].
    ///
    /// # Panics
    /// As [`Start::finish`].
    pub fn finish_before(self, out: &mut Vec<u8>, body: usize) -> Result<(), EncodeError> {
        let head = out.len().checked_sub(self.at).expect("begun in this buffer");
        let bytes = head + body;
        let length = u32::try_from(bytes - LENGTH_BYTES).ok();
        let Some(length) = length.filter(|_| bytes <= FRAME_BYTES_MAX) else {
            return Err(self.give_up(out, EncodeError::Frame { bytes }));
        };
        self.patch(out, 0, length);
        Ok(())
    }

    /// The same with a body that is not in the buffer yet.
    ///
    /// # Errors
    /// As [`Start::finish`].
    ///
    /// # Panics
    /// As [`Start::finish`].
    pub fn finish_with(self, out: &mut Vec<u8>, body: &[u8]) -> Result<(), EncodeError> {
        self.finish_before(out, body.len())?;
        out.extend_from_slice(body);
        Ok(())
    }

    #[cold]
    fn give_up(self, out: &mut Vec<u8>, error: EncodeError) -> EncodeError {
        out.truncate(self.at);
        error
    }

    fn patch(self, out: &mut [u8], at: usize, value: u32) {
        let place = out.get_mut(self.at + at..).and_then(|rest| rest.first_chunk_mut());
        *place.expect("reserved at the start") = value.to_be_bytes();
    }
}

/// How far a header may go.
#[derive(Clone, Copy, Debug)]
struct HeaderLimit {
    /// Where the header begins in its buffer.
    start: usize,
}

impl HeaderLimit {
    /// Whether a header that ends at the end of `out` has room for so many bytes more.
    fn check(self, out: &[u8], more: usize) -> Result<(), EncodeError> {
        let bytes = (out.len() - self.start).saturating_add(more);
        if bytes <= HEADER_BYTES_MAX { Ok(()) } else { Err(EncodeError::Header { bytes }) }
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
        response(&mut out, Serialization::Json, 7, 0, Some("r"), &fields, b"body").expect("fits");
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
        let fields = [("k", "v"), ("e", "")];
        request(&mut out, Serialization::RocketMq, 200_050, 3, true, &fields, b"").expect("fits");
        let expected = b"\x00\x00\x00\x28\x01\x00\x00\x24\
            \x0D\x72\x00\x01\x99\x00\x00\x00\x03\x00\x00\x00\x02\x00\x00\x00\x00\
            \x00\x00\x00\x0F\x00\x01k\x00\x00\x00\x01v\x00\x01e\x00\x00\x00\x00";
        assert_eq!(out, expected);
    }

    #[test]
    fn frames_of_both_serializations_are_read_back() {
        for serialization in BOTH {
            let mut out = Vec::new();
            let fields = [("a", "x\u{4e2d}\n")];
            request(&mut out, serialization, 310, 9, false, &fields, b"hello").expect("fits");
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
            let (mut whole, mut begun) = (Vec::new(), Vec::new());
            response(&mut whole, serialization, 1, 19, None, &[], b"12345").expect("fits");
            let start = begin_response(&mut begun, serialization, 1, 19, None, &[]).expect("fits");
            begun.extend_from_slice(b"12345");
            start.finish(&mut begun).expect("fits");
            assert_eq!(whole, begun);
        }
    }

    #[test]
    fn a_header_that_does_not_fit_is_refused_and_leaves_nothing_behind() {
        let fits = "\u{1}".repeat(HEADER_BYTES_MAX / 6 - 100);
        let escaped = "\u{1}".repeat(3 << 20);
        let raw = "x".repeat(HEADER_BYTES_MAX);
        let cases = [(Serialization::Json, &escaped), (Serialization::RocketMq, &raw)];
        for (serialization, text) in cases {
            let mut out = b"before".to_vec();
            request(&mut out, serialization, 326, 1, false, &[("f", &fits)], b"").expect("fits");
            out.truncate(6);
            let sent = request(&mut out, serialization, 326, 1, false, &[("f", text)], b"body");
            assert!(matches!(sent, Err(EncodeError::Header { .. })), "{sent:?}");
            let fields = [("f", Value::Str(text))];
            let answered = response(&mut out, serialization, 1, 0, None, &fields, b"");
            assert!(matches!(answered, Err(EncodeError::Header { .. })), "{answered:?}");
            assert_eq!(out, b"before");
        }
        let (name, mut out) = ("n".repeat(32_768), Vec::new());
        let named = request(&mut out, Serialization::RocketMq, 1, 1, false, &[(&name, "")], b"");
        assert_eq!(named, Err(EncodeError::FieldName { bytes: 32_768 }));
    }

    #[test]
    fn a_frame_that_no_peer_takes_is_refused_and_leaves_nothing_behind() {
        for serialization in BOTH {
            let (mut out, mut body) = (Vec::new(), Vec::new());
            response(&mut out, serialization, 1, 0, None, &[], &body).expect("fits");
            body.resize(FRAME_BYTES_MAX - out.len(), b'x');
            out.clear();
            response(&mut out, serialization, 1, 0, None, &[], &body).expect("just fits");
            assert_eq!(scan(&out), Ok(Scan::Complete { length: FRAME_BYTES_MAX }));
            body.push(b'x');
            out = b"before".to_vec();
            let error = EncodeError::Frame { bytes: FRAME_BYTES_MAX + 1 };
            assert_eq!(response(&mut out, serialization, 1, 0, None, &[], &body), Err(error));
            let start = begin_response(&mut out, serialization, 1, 0, None, &[]).expect("fits");
            out.extend_from_slice(&body);
            assert_eq!(start.finish(&mut out), Err(error));
            assert_eq!(out, b"before");
        }
    }

    #[test]
    fn long_remarks_are_cut_between_characters() {
        let remark = ["a", &"\u{4e2d}".repeat(REMARK_BYTES_MAX)].concat();
        let mut out = Vec::new();
        response(&mut out, Serialization::Json, 1, 1, Some(&remark), &[], b"").expect("fits");
        let header = Header::decode(&Frame::parse(&out).expect("a frame")).expect("a header");
        let cut = header.remark.expect("a remark");
        assert!(remark.starts_with(cut.as_ref()));
        assert_eq!(cut.len(), REMARK_BYTES_MAX);
    }
}
