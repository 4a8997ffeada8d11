//! JSON headers out.

use super::{EncodeError, Head, HeaderLimit, VERSION, Value};

/// Appends the header object. Without fields and in requests `extFields` is still an object:
/// clients read it without a look whether it is there.
pub(super) fn header<'a>(
    out: &mut Vec<u8>,
    limit: HeaderLimit,
    head: &Head<'_>,
    fields: impl ExactSizeIterator<Item = (&'a str, Value<'a>)>,
) -> Result<(), EncodeError> {
    out.extend_from_slice(b"{\"code\":");
    integer(out, head.code);
    out.extend_from_slice(b",\"extFields\":{");
    for (index, (name, value)) in fields.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        string(out, name);
        out.push(b':');
        match value {
            Value::Str(text) => {
                limit.check(out, text.len())?;
                string(out, text);
                limit.check(out, 0)?;
            }
            Value::Bool(true) => out.extend_from_slice(b"\"true\""),
            Value::Bool(false) => out.extend_from_slice(b"\"false\""),
            Value::Int(number) => {
                out.push(b'"');
                integer(out, number);
                out.push(b'"');
            }
        }
    }
    out.extend_from_slice(b"},\"flag\":");
    integer(out, head.flag);
    out.extend_from_slice(b",\"language\":\"JAVA\",\"opaque\":");
    integer(out, head.opaque);
    if let Some(remark) = head.remark {
        out.extend_from_slice(b",\"remark\":");
        string(out, remark);
    }
    out.extend_from_slice(b",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":");
    integer(out, VERSION);
    out.push(b'}');
    Ok(())
}

pub(super) fn integer(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    escape(out, text);
    out.push(b'"');
}

/// Appends what stands between the quotes of a string.
pub(super) fn escape(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    if is_plain(bytes) {
        return out.extend_from_slice(bytes);
    }
    let mut plain = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if !needs_escape(byte) {
            continue;
        }
        out.extend_from_slice(bytes.get(plain..at).unwrap_or_default());
        plain = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                let digit = |half: u8| {
                    if half < 10 { b'0' + half } else { b'A' - 10 + half }
                };
                let [high, low] = [digit(byte >> 4), digit(byte & 0xF)];
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
        }
    }
    out.extend_from_slice(bytes.get(plain..).unwrap_or_default());
}

/// Whether a text needs no escape, eight bytes at a time; the last eight may overlap those before.
#[inline]
fn is_plain(bytes: &[u8]) -> bool {
    let Some(last) = bytes.last_chunk::<8>() else {
        return !bytes.iter().any(|&byte| needs_escape(byte));
    };
    let (chunks, _) = bytes.as_chunks::<8>();
    !chunks.iter().chain([last]).any(|chunk| any_needs_escape(u64::from_le_bytes(*chunk)))
}

const fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Whether one of the eight bytes of a word needs an escape.
#[inline]
const fn any_needs_escape(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    // A byte below the subtracted one borrows, which leaves its high bit set unless it had it.
    let quote = word ^ ONES.wrapping_mul(b'"' as u64);
    let backslash = word ^ ONES.wrapping_mul(b'\\' as u64);
    let low = word.wrapping_sub(ONES.wrapping_mul(0x20)) & !word;
    let marks = quote.wrapping_sub(ONES) & !quote | backslash.wrapping_sub(ONES) & !backslash;
    (low | marks) & HIGHS != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_an_escape_is_found_wherever_it_is() {
        for length in 0..30 {
            for at in 0..length {
                for byte in 0..=255 {
                    let mut bytes = vec![0xE0; length];
                    bytes[at] = byte;
                    assert_eq!(is_plain(&bytes), !needs_escape(byte), "{byte} at {at} of {length}");
                }
            }
            assert!(is_plain(&vec![0x7F; length]));
        }
    }
}
