//! Property text out. Whatever the broker adds to the properties of a message goes through
//! [`PropertiesWriter`]: neither a name nor a value can end its property and begin another.

use super::{NAME_END, Names, PROPERTY_END, Property, REAL_QUEUE_ID, REAL_TOPIC, Scan, find, kept};
use crate::refusal::{Refusal, code};

/// Bytes of a name that an error quotes.
const QUOTED_BYTES_MAX: usize = 64;

/// Why a property was not written; nothing of it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the {part} of the property {name:?} has the separator {separator:#04x} at byte {at}: \
     separators cannot be part of names or values"
)]
pub struct PropertyError {
    /// As much of the property's name as is quoted.
    name: String,
    part: &'static str,
    separator: u8,
    at: usize,
}

impl From<PropertyError> for Refusal {
    fn from(error: PropertyError) -> Refusal {
        Refusal::new(code::MESSAGE_ILLEGAL, format!("the message is illegal: {error}"))
    }
}

/// Appends properties to a buffer, each with its end mark.
pub struct PropertiesWriter<'o> {
    out: &'o mut Vec<u8>,
}

impl<'o> PropertiesWriter<'o> {
    /// Writes behind what is in `out`, which is nothing or property text.
    #[inline]
    pub fn new(out: &'o mut Vec<u8>) -> PropertiesWriter<'o> {
        let mut writer = PropertiesWriter { out };
        writer.end_last();
        writer
    }

    /// Appends property text as it is.
    #[inline]
    pub fn copy(&mut self, properties: &[u8]) {
        self.out.extend_from_slice(properties);
        self.end_last();
    }

    /// Appends property text without the properties named in `dropped`. `scan` is that of
    /// `properties`.
    #[inline]
    pub fn copy_without(&mut self, properties: &[u8], scan: &Scan<'_>, dropped: Names) {
        if scan.irregular {
            for Property { name, value } in kept(properties, dropped) {
                // They were found between separators, so there are none in them that would count.
                self.append(name, &[value]);
            }
            return;
        }
        let mut copied = 0;
        while let Some(span) = scan.next_dropped(dropped, copied) {
            let until = usize::from(span.start);
            self.out.extend_from_slice(properties.get(copied..until).unwrap_or_default());
            copied = usize::from(span.end);
        }
        self.copy(properties.get(copied..).unwrap_or_default());
    }

    /// Appends one property.
    ///
    /// # Errors
    /// If the name or the value has a separator in it.
    pub fn put(&mut self, name: &str, value: &[u8]) -> Result<(), PropertyError> {
        self.put_parts(name, &[value])
    }

    /// Appends one property with a number for its value.
    ///
    /// # Errors
    /// If the name has a separator in it.
    pub fn put_number(
        &mut self,
        name: &str,
        value: impl itoa::Integer,
    ) -> Result<(), PropertyError> {
        self.put(name, itoa::Buffer::new().format(value).as_bytes())
    }

    /// Appends where a message belongs that waits in a topic of the broker. The topic's name comes
    /// in two parts.
    ///
    /// # Errors
    /// If the topic's name has a separator in it.
    pub fn put_real(&mut self, topic: [&str; 2], queue_id: i32) -> Result<(), PropertyError> {
        self.put_parts(REAL_TOPIC, &topic.map(str::as_bytes))?;
        self.put_number(REAL_QUEUE_ID, queue_id)
    }

    fn put_parts(&mut self, name: &str, value: &[&[u8]]) -> Result<(), PropertyError> {
        check(name, "name", 0, name.as_bytes())?;
        let mut before = 0;
        for part in value {
            check(name, "value", before, part)?;
            before += part.len();
        }
        self.append(name.as_bytes(), value);
        Ok(())
    }

    fn append(&mut self, name: &[u8], value: &[&[u8]]) {
        self.out.extend_from_slice(name);
        self.out.push(NAME_END);
        value.iter().for_each(|part| self.out.extend_from_slice(part));
        self.out.push(PROPERTY_END);
    }

    #[inline]
    fn end_last(&mut self) {
        if self.out.last().is_some_and(|last| *last != PROPERTY_END) {
            self.out.push(PROPERTY_END);
        }
    }
}

/// What must stand behind property text before more of it: nothing, or the end mark.
pub fn missing_end(properties: &[u8]) -> &'static [u8] {
    match properties.last() {
        None | Some(&PROPERTY_END) => b"",
        Some(_) => &[PROPERTY_END],
    }
}

/// Looks for separators in a part of a property that begins `before` bytes into it.
fn check(name: &str, part: &'static str, before: usize, text: &[u8]) -> Result<(), PropertyError> {
    for separator in [NAME_END, PROPERTY_END] {
        if let Some(at) = find(text, separator) {
            let name = name.chars().take(QUOTED_BYTES_MAX).collect();
            return Err(PropertyError { name, part, separator, at: before + at });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{DELAY, Properties, text, value};
    use super::*;

    #[test]
    fn nothing_breaks_out_of_a_property() {
        let mut out = b"A\x01b".to_vec();
        let mut writer = PropertiesWriter::new(&mut out);
        let topic = ["%RETRY%", "e\u{2}REAL_TOPIC\u{1}SCHEDULE_TOPIC_XXXX\u{2}z"];
        let error = writer.put_real(topic, 0).expect_err("a separator");
        assert_eq!(
            error.to_string(),
            "the value of the property \"REAL_TOPIC\" has the separator 0x01 at byte 19: \
             separators cannot be part of names or values"
        );
        assert_eq!(Refusal::from(error).code, code::MESSAGE_ILLEGAL);
        assert!(writer.put("a\u{1}", b"").is_err() && writer.put("a\u{2}b", b"").is_err());
        assert!(writer.put("a", b"\x02").is_err() && writer.put("a", b"\x01").is_err());
        assert_eq!(out, b"A\x01b\x02", "nothing of a refused property is written");
    }

    #[test]
    fn what_is_put_is_read_back() {
        let mut out = Vec::new();
        let mut writer = PropertiesWriter::new(&mut out);
        writer.copy(b"A\x01b");
        writer.put_number(DELAY, -7).expect("no separator");
        writer.put_real(["%DLQ%", "g"], 3).expect("no separator");
        writer.put("UNIQ_KEY", b"0A").expect("no separator");
        writer.copy(b"");
        assert_eq!(
            out,
            b"A\x01b\x02DELAY\x01-7\x02REAL_TOPIC\x01%DLQ%g\x02REAL_QID\x013\x02UNIQ_KEY\x010A\x02"
        );
        assert_eq!(text(&out, REAL_TOPIC), Some("%DLQ%g"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Whatever text comes first, what is put last is what is read, and only that is added.
        #[test]
        fn a_property_is_read_back_or_refused(
            before in proptest::collection::vec(0_u8..5, 0..40),
            name in "[\u{1}\u{2}a-c]{1,4}",
            put in "[\u{1}\u{2}d-f]{1,6}",
        ) {
            let mut out = before.clone();
            let mut writer = PropertiesWriter::new(&mut out);
            let written = writer.put(&name, put.as_bytes());
            let clean = |text: &str| !text.contains(['\u{1}', '\u{2}']);
            prop_assert_eq!(written.is_ok(), clean(&name) && clean(&put));
            let expected = Properties::new(&before).count() + usize::from(written.is_ok());
            prop_assert_eq!(Properties::new(&out).count(), expected);
            if written.is_ok() {
                prop_assert_eq!(value(&out, &name), Some(put.as_bytes()));
            }
        }
    }
}
