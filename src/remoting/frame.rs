//! A frame, the unit of the wire in both directions; all integers big-endian.
//!
//! ```text
//! 0            4                5               8              8 + header length
//! | length i32 | serialization  | header length | header       | body            |
//! |            | u8             | u24           |              | up to `length`  |
//! ```
//!
//! `length` counts what follows it.

mod buffer;

use ringmq_base::limits::FRAME_BYTES_MAX;

pub use self::buffer::FrameBuffer;

/// Bytes of the length field.
pub const LENGTH_BYTES: usize = 4;
/// Bytes before the header.
pub const PREFIX_BYTES: usize = 8;
/// Longest header that its 24-bit length can tell.
pub const HEADER_BYTES_MAX: usize = 0x00FF_FFFF;

/// How the header of a frame is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Serialization {
    /// A JSON object.
    #[default]
    Json,
    /// RocketMQ's binary form.
    RocketMq,
}

impl Serialization {
    pub const fn code(self) -> u8 {
        match self {
            Serialization::Json => 0,
            Serialization::RocketMq => 1,
        }
    }

    pub const fn from_code(code: u8) -> Option<Serialization> {
        match code {
            0 => Some(Serialization::Json),
            1 => Some(Serialization::RocketMq),
            _ => None,
        }
    }

    /// The name that Java writes into JSON headers.
    pub const fn name(self) -> &'static str {
        match self {
            Serialization::Json => "JSON",
            Serialization::RocketMq => "ROCKETMQ",
        }
    }
}

/// Why bytes are not a frame. The connection is of no use afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error(
        "frame announces {length} bytes behind its length field; at most {limit} are accepted: \
         send smaller messages, or check that the peer speaks the remoting protocol"
    )]
    Long { length: u32, limit: usize },
    #[error("frame announces {length} bytes behind its length field; at least 4 are needed")]
    Short { length: u32 },
    #[error("frame has {have} bytes, {need} are needed")]
    Incomplete { need: usize, have: usize },
    #[error("frame announces a header of {header} bytes, only {available} are in the frame")]
    HeaderLength { header: usize, available: usize },
    #[error("frame has serialization type {code} at byte 4; known are 0 (JSON) and 1 (ROCKETMQ)")]
    Serialization { code: u8 },
}

/// How much of a frame there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// The first frame is complete when there are `need` bytes (4 while its length is not known).
    Incomplete { need: usize },
    /// The first frame takes `length` bytes, its length field included.
    Complete { length: usize },
}

/// Looks for the frame at the start of `bytes`. What is announced is checked as soon as it can be
/// seen, so the `need` of the answer is never more than [`FRAME_BYTES_MAX`].
pub fn scan(bytes: &[u8]) -> Result<Scan, FrameError> {
    let Some(length) = bytes.first_chunk::<LENGTH_BYTES>() else {
        return Ok(Scan::Incomplete { need: LENGTH_BYTES });
    };
    let total = check_length(u32::from_be_bytes(*length))?;
    if let Some(prefix) = bytes.first_chunk::<PREFIX_BYTES>() {
        check_word(prefix, total)?;
    }
    if bytes.len() < total {
        return Ok(Scan::Incomplete { need: total });
    }
    Ok(Scan::Complete { length: total })
}

/// A frame that borrows from its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub serialization: Serialization,
    pub header: &'a [u8],
    /// Empty when there is none.
    pub body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Takes apart the frame at the start of `bytes`; bytes behind it are not looked at.
    pub fn parse(bytes: &'a [u8]) -> Result<Frame<'a>, FrameError> {
        let have = bytes.len();
        let incomplete = |need| FrameError::Incomplete { need, have };
        let prefix = bytes.first_chunk::<PREFIX_BYTES>().ok_or_else(|| incomplete(PREFIX_BYTES))?;
        let [a, b, c, d, ..] = *prefix;
        let total = check_length(u32::from_be_bytes([a, b, c, d]))?;
        let (serialization, header_length) = check_word(prefix, total)?;
        let content = bytes.get(PREFIX_BYTES..total).ok_or_else(|| incomplete(total))?;
        let (header, body) =
            content.split_at_checked(header_length).ok_or_else(|| incomplete(total))?;
        Ok(Frame { serialization, header, body })
    }
}

/// A frame of which the beginning is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BegunFrame<'a> {
    /// As announced.
    pub header_bytes: usize,
    /// As announced.
    pub body_bytes: usize,
    /// The frame without its body, if its header is there in full.
    pub bodyless: Option<Frame<'a>>,
}

/// What is known of the frame at the start of `bytes`; `None` while there is no prefix.
///
/// # Errors
/// If the bytes are no frame.
pub fn begun(bytes: &[u8]) -> Result<Option<BegunFrame<'_>>, FrameError> {
    let Some((prefix, content)) = bytes.split_first_chunk::<PREFIX_BYTES>() else {
        return Ok(None);
    };
    let [a, b, c, d, ..] = *prefix;
    let total = check_length(u32::from_be_bytes([a, b, c, d]))?;
    let (serialization, header_bytes) = check_word(prefix, total)?;
    let header = content.get(..header_bytes);
    let bodyless = header.map(|header| Frame { serialization, header, body: &[] });
    let body_bytes = total - PREFIX_BYTES - header_bytes;
    Ok(Some(BegunFrame { header_bytes, body_bytes, bodyless }))
}

/// Bytes of the whole frame.
fn check_length(length: u32) -> Result<usize, FrameError> {
    let limit = FRAME_BYTES_MAX - LENGTH_BYTES;
    match usize::try_from(length) {
        Ok(bytes) if bytes > limit => Err(FrameError::Long { length, limit }),
        Ok(bytes) if bytes < PREFIX_BYTES - LENGTH_BYTES => Err(FrameError::Short { length }),
        Ok(bytes) => Ok(bytes + LENGTH_BYTES),
        Err(_) => Err(FrameError::Long { length, limit }),
    }
}

fn check_word(
    prefix: &[u8; PREFIX_BYTES],
    total: usize,
) -> Result<(Serialization, usize), FrameError> {
    let [.., code, a, b, c] = *prefix;
    let serialization = Serialization::from_code(code).ok_or(FrameError::Serialization { code })?;
    let header = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
    let available = total - PREFIX_BYTES;
    if header > available {
        return Err(FrameError::HeaderLength { header, available });
    }
    Ok((serialization, header))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: &[u8] = b"\x00\x00\x00\x08\x00\x00\x00\x02{}xy";

    #[test]
    fn a_frame_is_taken_apart() {
        let frame = Frame::parse(FRAME).expect("a frame");
        assert_eq!(frame.serialization, Serialization::Json);
        assert_eq!((frame.header, frame.body), (b"{}".as_slice(), b"xy".as_slice()));
        let binary = Frame::parse(b"\x00\x00\x00\x05\x01\x00\x00\x01h").expect("a frame");
        assert_eq!(binary.serialization, Serialization::RocketMq);
        assert_eq!((binary.header, binary.body), (b"h".as_slice(), b"".as_slice()));
    }

    #[test]
    fn a_frame_that_has_begun_tells_what_comes() {
        for cut in 0..FRAME.len() {
            let begun = begun(&FRAME[..cut]).expect("the beginning of a frame");
            assert_eq!(begun.is_some(), cut >= 8);
            let Some(begun) = begun else { continue };
            assert_eq!((begun.header_bytes, begun.body_bytes), (2, 2));
            assert_eq!(begun.bodyless.map(|frame| frame.header), (cut >= 10).then_some(&b"{}"[..]));
        }
        assert!(begun(b"GET / HTTP/1.1").is_err());
    }

    #[test]
    fn every_truncation_tells_what_is_needed() {
        for cut in 0..FRAME.len() {
            let need = if cut < 4 { 4 } else { FRAME.len() };
            assert_eq!(scan(&FRAME[..cut]), Ok(Scan::Incomplete { need }));
            assert!(matches!(Frame::parse(&FRAME[..cut]), Err(FrameError::Incomplete { .. })));
        }
        assert_eq!(scan(FRAME), Ok(Scan::Complete { length: 12 }));
        assert_eq!(scan(&[FRAME, b"more"].concat()), Ok(Scan::Complete { length: 12 }));
    }

    #[test]
    fn huge_lengths_are_refused_before_anything_is_allocated() {
        let limit = FRAME_BYTES_MAX - 4;
        for length in [limit as u32 + 1, 0x7FFF_FFFF, 0x8000_0000, u32::MAX] {
            let bytes = length.to_be_bytes();
            assert_eq!(scan(&bytes), Err(FrameError::Long { length, limit }));
        }
        let largest = (limit as u32).to_be_bytes();
        assert_eq!(scan(&largest), Ok(Scan::Incomplete { need: FRAME_BYTES_MAX }));
    }

    #[test]
    fn wrong_prefixes_are_refused_as_soon_as_they_are_seen() {
        assert_eq!(scan(b"\0\0\0\x03"), Err(FrameError::Short { length: 3 }));
        let unknown = b"\0\0\0\x10\x02\0\0\0";
        assert_eq!(scan(unknown), Err(FrameError::Serialization { code: 2 }));
        let header = b"\0\0\0\x06\0\0\0\x03";
        let error = FrameError::HeaderLength { header: 3, available: 2 };
        assert_eq!(scan(header), Err(error));
        assert_eq!(Frame::parse(header), Err(error));
        assert!(scan(b"GET / HTTP/1.1").is_err());
    }
}
