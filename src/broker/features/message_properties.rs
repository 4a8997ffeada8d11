//! The property string of a message as the broker needs it: one pass finds what decides about the
//! message, and one pass writes it with the broker's edits.
//!
//! `name 0x01 value 0x02 name 0x01 value ...`; the last 0x02 may be missing. As in Java, a piece
//! without a name or without a value is no property.

pub use ringmq_remoting::codes::property::{
    DELAY_TIME_LEVEL as DELAY, ORIGIN_MESSAGE_ID, REAL_QUEUE_ID, REAL_TOPIC, RETRY_TOPIC, WAIT,
};
use ringmq_remoting::codes::property::{
    NAME_VALUE_SEPARATOR as NAME_END, SEPARATOR as PROPERTY_END,
};

/// Properties that the broker replaces or takes out, as bits of a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names(u8);

impl Names {
    pub const NONE: Names = Names(0);
    pub const WAIT: Names = Names(1);
    pub const DELAY: Names = Names(2);
    pub const REAL_TOPIC: Names = Names(4);
    pub const REAL_QUEUE_ID: Names = Names(8);
    pub const CLUSTER: Names = Names(16);
    pub const RETRY_TOPIC: Names = Names(32);
    pub const ORIGIN_MESSAGE_ID: Names = Names(64);

    #[must_use]
    pub const fn and(self, other: Names) -> Names {
        Names(self.0 | other.0)
    }

    pub const fn intersects(self, other: Names) -> bool {
        self.0 & other.0 != 0
    }

    #[inline]
    fn of(name: &[u8]) -> Names {
        match name {
            b"WAIT" => Names::WAIT,
            b"DELAY" => Names::DELAY,
            b"REAL_TOPIC" => Names::REAL_TOPIC,
            b"REAL_QID" => Names::REAL_QUEUE_ID,
            b"CLUSTER" => Names::CLUSTER,
            b"RETRY_TOPIC" => Names::RETRY_TOPIC,
            b"ORIGIN_MESSAGE_ID" => Names::ORIGIN_MESSAGE_ID,
            _ => Names::NONE,
        }
    }
}

/// The properties of a string in their order; pieces that Java skips are skipped.
#[derive(Clone, Debug)]
pub struct Properties<'a> {
    rest: &'a [u8],
}

impl<'a> Properties<'a> {
    pub const fn new(properties: &'a [u8]) -> Properties<'a> {
        Properties { rest: properties }
    }
}

/// One property, and the bytes it takes including its end mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Property<'a> {
    pub name: &'a [u8],
    pub value: &'a [u8],
}

impl<'a> Iterator for Properties<'a> {
    type Item = Property<'a>;

    #[inline]
    fn next(&mut self) -> Option<Property<'a>> {
        while !self.rest.is_empty() {
            let end = find(self.rest, PROPERTY_END).unwrap_or(self.rest.len());
            let (piece, rest) = self.rest.split_at(end);
            self.rest = rest.get(1..).unwrap_or_default();
            if let Some(at) = find(piece, NAME_END) {
                let (name, value) = piece.split_at(at);
                let value = value.get(1..).unwrap_or_default();
                if !name.is_empty() && !value.is_empty() {
                    return Some(Property { name, value });
                }
            }
        }
        None
    }
}

#[inline]
fn find(bytes: &[u8], wanted: u8) -> Option<usize> {
    bytes.iter().position(|byte| *byte == wanted)
}

/// The value of a property; of the last one if it is there twice, as in a Java map.
pub fn value<'a>(properties: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let found = Properties::new(properties).filter(|property| property.name == name.as_bytes());
    found.last().map(|property| property.value)
}

/// The same as text; `None` as well if the value is not UTF-8.
pub fn text<'a>(properties: &'a [u8], name: &str) -> Option<&'a str> {
    std::str::from_utf8(value(properties, name)?).ok()
}

/// What a property string says to the broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scan<'a> {
    pub present: Names,
    pub tags: Option<&'a [u8]>,
    pub delay: Option<&'a [u8]>,
    pub wait: Option<&'a [u8]>,
    pub retry_topic: Option<&'a [u8]>,
    pub origin_message_id: Option<&'a [u8]>,
    /// `TRAN_MSG` is `true` in any case.
    pub transaction: bool,
}

impl<'a> Scan<'a> {
    pub fn of(properties: &'a [u8]) -> Scan<'a> {
        let mut scan = Scan::default();
        for Property { name, value } in Properties::new(properties) {
            scan.present = scan.present.and(Names::of(name));
            match name {
                b"TAGS" => scan.tags = Some(value),
                b"DELAY" => scan.delay = Some(value),
                b"WAIT" => scan.wait = Some(value),
                b"RETRY_TOPIC" => scan.retry_topic = Some(value),
                b"ORIGIN_MESSAGE_ID" => scan.origin_message_id = Some(value),
                b"TRAN_MSG" => scan.transaction = value.eq_ignore_ascii_case(b"true"),
                _ => {}
            }
        }
        scan
    }

    /// The hash of the tag, sign-extended; 0 without one.
    pub fn tags_code(&self) -> i64 {
        let tags = self.tags.and_then(|tags| std::str::from_utf8(tags).ok());
        ringmq_base::hash::tags_code(tags)
    }

    /// Whether the producer waits until the message is on stable storage and replicated.
    pub fn waits_for_store(&self) -> bool {
        self.wait
            .is_none_or(|wait| wait.eq_ignore_ascii_case(b"true"))
    }
}

/// Appends `properties` without those named in `dropped`, and with an end mark behind the last one
/// that is left. `scan` is that of `properties`.
pub fn copy_without(properties: &[u8], scan: &Scan<'_>, dropped: Names, out: &mut Vec<u8>) {
    if properties.is_empty() {
        return;
    }
    if !scan.present.intersects(dropped) {
        out.extend_from_slice(properties);
        if properties.last() != Some(&PROPERTY_END) {
            out.push(PROPERTY_END);
        }
        return;
    }
    for Property { name, value } in Properties::new(properties) {
        if !Names::of(name).intersects(dropped) {
            put(name, value, out);
        }
    }
}

/// Bytes that [`copy_without`] appends.
pub fn bytes_without(properties: &[u8], scan: &Scan<'_>, dropped: Names) -> usize {
    if properties.is_empty() {
        return 0;
    }
    if !scan.present.intersects(dropped) {
        return properties.len() + usize::from(properties.last() != Some(&PROPERTY_END));
    }
    let kept = Properties::new(properties)
        .filter(|property| !Names::of(property.name).intersects(dropped));
    kept.map(|property| property.name.len() + property.value.len() + 2)
        .sum()
}

/// Appends where a message belongs that waits in a topic of the broker. The topic's name comes in
/// two parts.
pub fn put_real(topic: [&str; 2], queue_id: i32, out: &mut Vec<u8>) {
    out.extend_from_slice(REAL_TOPIC.as_bytes());
    out.push(NAME_END);
    topic
        .iter()
        .for_each(|part| out.extend_from_slice(part.as_bytes()));
    out.push(PROPERTY_END);
    put_number(REAL_QUEUE_ID.as_bytes(), queue_id, out);
}

/// Appends one property with its end mark.
pub fn put(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.push(NAME_END);
    out.extend_from_slice(value);
    out.push(PROPERTY_END);
}

/// Appends one property with a number for its value.
pub fn put_number(name: &[u8], value: i32, out: &mut Vec<u8>) {
    put(name, itoa::Buffer::new().format(value).as_bytes(), out);
}

/// Bytes that [`put`] appends.
pub const fn bytes_of(name: &str, value_bytes: usize) -> usize {
    name.len() + value_bytes + 2
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[u8] = b"TAGS\x01a\x02WAIT\x01false\x02DELAY\x013\x02KEYS\x01k";

    #[test]
    fn one_pass_finds_what_the_broker_needs() {
        let scan = Scan::of(ALL);
        assert_eq!(scan.tags, Some(b"a".as_slice()));
        assert_eq!(scan.delay, Some(b"3".as_slice()));
        assert_eq!(scan.tags_code(), 97);
        assert!(!scan.waits_for_store() && Scan::of(b"").waits_for_store());
        assert!(Scan::of(b"TRAN_MSG\x01True").transaction);
        assert_eq!(text(ALL, "KEYS"), Some("k"));
        assert_eq!(text(ALL, "NONE"), None);
    }

    #[test]
    fn pieces_that_java_skips_are_skipped() {
        let odd = b"\x01x\x02TAGS\x01\x02\x02novalue\x02TAGS\x01b\x02a\x01b\x01c";
        let pieces: Vec<_> = Properties::new(odd).collect();
        assert_eq!(pieces.len(), 2);
        assert_eq!(
            pieces[1],
            Property {
                name: b"a",
                value: b"b\x01c"
            }
        );
        assert_eq!(Scan::of(odd).tags, Some(b"b".as_slice()));
    }

    #[test]
    fn properties_are_copied_without_the_dropped_ones() {
        let copy = |dropped| {
            let mut out = Vec::new();
            copy_without(ALL, &Scan::of(ALL), dropped, &mut out);
            out
        };
        assert_eq!(copy(Names::CLUSTER), [ALL, b"\x02"].concat());
        assert_eq!(
            copy(Names::WAIT),
            b"TAGS\x01a\x02DELAY\x013\x02KEYS\x01k\x02"
        );
        let mut out = Vec::new();
        put_number(b"REAL_QID", 7, &mut out);
        assert_eq!(
            (out.len(), out.as_slice()),
            (bytes_of("REAL_QID", 1), &b"REAL_QID\x017\x02"[..])
        );
    }
}
