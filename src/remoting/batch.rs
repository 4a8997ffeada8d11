//! The body of a batch: several messages of one topic, one behind the other. All integers
//! big-endian:
//!
//! ```text
//! total size i32 | magic i32 | body CRC i32 | flag i32
//! body length i32, body | properties length i16, properties
//! ```
//!
//! As in Java, total size, magic and CRC are not looked at.

/// A message of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchMessage<'a> {
    pub flag: i32,
    pub body: &'a [u8],
    /// A property string of its own; the properties of the batch come on top.
    pub properties: &'a [u8],
}

/// Why bytes are not a batch, or a message cannot be part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    #[error("message {index} of the batch: {field} needs {need} bytes, {have} are left")]
    Short { index: usize, field: &'static str, need: usize, have: usize },
    #[error("message {index} of the batch: {field} is {value}")]
    Negative { index: usize, field: &'static str, value: i32 },
    #[error("message for a batch: {field} has {bytes} bytes, more than its length can tell")]
    Long { field: &'static str, bytes: usize },
}

/// Whether a property of a message may ask to keep it back: `DELAY`, `TIMER_DELAY_MS` and their
/// like have this in common.
pub fn may_ask_for_delay(body: &[u8]) -> bool {
    memchr::memmem::find(body, b"DEL").is_some()
}

/// The messages of a batch body. Ends after the first error.
pub fn messages(body: &[u8]) -> Messages<'_> {
    Messages { rest: body, index: 0 }
}

#[derive(Clone, Debug)]
pub struct Messages<'a> {
    rest: &'a [u8],
    index: usize,
}

impl<'a> Messages<'a> {
    fn take(&mut self, field: &'static str, need: usize) -> Result<&'a [u8], BatchError> {
        let have = self.rest.len();
        let short = BatchError::Short { index: self.index, field, need, have };
        let (part, rest) = self.rest.split_at_checked(need).ok_or(short)?;
        self.rest = rest;
        Ok(part)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], BatchError> {
        Ok(self.take(field, N)?.try_into().expect("take gives the length asked for"))
    }

    fn part(&mut self, field: &'static str, length: i32) -> Result<&'a [u8], BatchError> {
        let negative = BatchError::Negative { index: self.index, field, value: length };
        self.take(field, usize::try_from(length).map_err(|_| negative)?)
    }

    fn message(&mut self) -> Result<BatchMessage<'a>, BatchError> {
        self.take("total size, magic and CRC", 12)?;
        let flag = i32::from_be_bytes(self.array("flag")?);
        let length = i32::from_be_bytes(self.array("body length")?);
        let body = self.part("body", length)?;
        let length = i16::from_be_bytes(self.array("properties length")?);
        let properties = self.part("properties", i32::from(length))?;
        self.index += 1;
        Ok(BatchMessage { flag, body, properties })
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<BatchMessage<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let message = self.message();
        if message.is_err() {
            self.rest = &[];
        }
        Some(message)
    }
}

/// Appends a message to a batch body.
///
/// # Errors
/// If its properties are longer than 32,767 bytes or all of it is beyond 2 GiB; nothing is
/// appended then.
pub fn append(out: &mut Vec<u8>, message: &BatchMessage<'_>) -> Result<(), BatchError> {
    let long = |field, bytes| BatchError::Long { field, bytes };
    let properties = message.properties.len();
    let properties_length =
        i16::try_from(properties).map_err(|_| long("properties", properties))?;
    let total = 22 + message.body.len() + properties;
    let total_length = i32::try_from(total).map_err(|_| long("total size", total))?;
    let body_length = i32::try_from(message.body.len()).map_err(|_| long("body", total))?;
    out.extend_from_slice(&total_length.to_be_bytes());
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&message.flag.to_be_bytes());
    out.extend_from_slice(&body_length.to_be_bytes());
    out.extend_from_slice(message.body);
    out.extend_from_slice(&properties_length.to_be_bytes());
    out.extend_from_slice(message.properties);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One message as the Java and Go clients encode it.
    const ONE: &[u8] = b"\x00\x00\x00\x1C\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07\
        \x00\x00\x00\x02hi\x00\x04a\x01b\x02";

    #[test]
    fn a_batch_is_taken_apart_and_put_together() {
        let message = BatchMessage { flag: 7, body: b"hi", properties: b"a\x01b\x02" };
        let two = [ONE, ONE].concat();
        let all: Result<Vec<_>, _> = messages(&two).collect();
        assert_eq!(all, Ok(vec![message, message]));
        let mut out = Vec::new();
        append(&mut out, &message).expect("fits");
        append(&mut out, &message).expect("fits");
        let long = BatchMessage { properties: &[b'x'; 32_768], ..message };
        let error = BatchError::Long { field: "properties", bytes: 32_768 };
        assert_eq!(append(&mut out, &long), Err(error));
        assert_eq!(out, two);
        assert_eq!(messages(b"").count(), 0);
    }

    #[test]
    fn every_truncation_is_an_error_and_the_end() {
        for cut in 1..ONE.len() {
            let mut messages = messages(&ONE[..cut]);
            assert!(matches!(messages.next(), Some(Err(BatchError::Short { .. }))), "{cut}");
            assert_eq!(messages.next(), None);
        }
    }

    #[test]
    fn huge_and_negative_lengths_are_errors() {
        let mut bytes = ONE.to_vec();
        bytes[16] = 0x7F;
        assert!(matches!(messages(&bytes).next(), Some(Err(BatchError::Short { .. }))));
        bytes[16] = 0xFF;
        let error = BatchError::Negative { index: 0, field: "body", value: -16_777_214 };
        assert_eq!(messages(&bytes).next(), Some(Err(error)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(0_u8..3, 0..200)) {
            let read: usize = messages(&bytes).flatten().map(|m| m.body.len()).sum();
            prop_assert!(read <= bytes.len());
        }
    }
}
