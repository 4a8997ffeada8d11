//! Binary headers out; `command::binary` draws them.

use super::{EncodeError, Head, HeaderLimit, VERSION, Value};
use crate::{frame::HEADER_BYTES_MAX, language::Language};

pub(super) fn header<'a>(
    out: &mut Vec<u8>,
    limit: HeaderLimit,
    head: &Head<'_>,
    fields: impl ExactSizeIterator<Item = (&'a str, Value<'a>)>,
) -> Result<(), EncodeError> {
    start(out, head);
    let fields_at = out.len();
    out.extend_from_slice(&[0; 4]);
    for (name, value) in fields {
        let mut buffer = itoa::Buffer::new();
        let text = match value {
            Value::Str(text) => text,
            Value::Bool(true) => "true",
            Value::Bool(false) => "false",
            Value::Int(number) => buffer.format(number),
        };
        field(out, limit, name, text.as_bytes())?;
    }
    end_fields(out, fields_at);
    Ok(())
}

/// Appends everything before the length of the fields.
pub(super) fn start(out: &mut Vec<u8>, head: &Head<'_>) {
    out.extend_from_slice(&low_half(head.code));
    out.push(Language::Java.code());
    out.extend_from_slice(&low_half(VERSION));
    out.extend_from_slice(&head.opaque.to_be_bytes());
    out.extend_from_slice(&head.flag.to_be_bytes());
    let remark = head.remark.unwrap_or_default();
    out.extend_from_slice(&length(remark.len()));
    out.extend_from_slice(remark.as_bytes());
}

/// Appends a field, if it fits into the header.
pub(super) fn field(
    out: &mut Vec<u8>,
    limit: HeaderLimit,
    name: &str,
    value: &[u8],
) -> Result<(), EncodeError> {
    let bytes = name.len();
    let name_length = i16::try_from(bytes).map_err(|_| EncodeError::FieldName { bytes })?;
    limit.check(out, bytes.saturating_add(value.len()).saturating_add(6))?;
    out.extend_from_slice(&name_length.to_be_bytes());
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(&length(value.len()));
    out.extend_from_slice(value);
    Ok(())
}

/// Writes the length of the fields, which is at `at` and counts what follows it.
pub(super) fn end_fields(out: &mut [u8], at: usize) {
    let bytes = length(out.len() - at - 4);
    let place = out.get_mut(at..).and_then(|rest| rest.first_chunk_mut());
    *place.expect("reserved before the fields") = bytes;
}

/// The 16 bits that the binary form has for codes; decoders restore the rest.
fn low_half(code: i32) -> [u8; 2] {
    let [_, _, high, low] = code.to_be_bytes();
    [high, low]
}

/// Of a part of a header, which is far below 4 GiB.
fn length(length: usize) -> [u8; 4] {
    debug_assert!(length <= HEADER_BYTES_MAX, "part of {length} bytes was not checked");
    (length as u32).to_be_bytes()
}
