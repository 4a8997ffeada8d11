//! The property string of a message as the broker needs it: one pass finds what decides about the
//! message, and one pass writes it with the broker's edits.
//!
//! `name 0x01 value 0x02 name 0x01 value ...`; the last 0x02 may be missing. As in Java, a piece
//! without a name or without a value is no property, and of several with one name the last counts:
//! what is stored has every name once, and nothing else.

mod writer;

use std::collections::BTreeMap;

use ringmq_base::{scan::find_byte as find, text::from_utf8};
pub use ringmq_remoting::codes::property::{
    DELAY_TIME_LEVEL as DELAY, ORIGIN_MESSAGE_ID, REAL_QUEUE_ID, REAL_TOPIC, RETRY_TOPIC, WAIT,
};
use ringmq_remoting::codes::property::{
    NAME_VALUE_SEPARATOR as NAME_END, SEPARATOR as PROPERTY_END,
};

use super::message_type::MessageType;

pub use writer::{PropertiesWriter, PropertyError, missing_end};

/// Properties that the broker replaces or takes out, as bits of a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names(u16);

impl Names {
    pub const NONE: Names = Names(0);
    pub const WAIT: Names = Names(1);
    pub const DELAY: Names = Names(2);
    pub const REAL_TOPIC: Names = Names(4);
    pub const REAL_QUEUE_ID: Names = Names(8);
    pub const CLUSTER: Names = Names(16);
    pub const RETRY_TOPIC: Names = Names(32);
    pub const ORIGIN_MESSAGE_ID: Names = Names(64);
    /// TIMER_DELAY_SEC, TIMER_DELAY_MS and TIMER_DELIVER_MS.
    pub const TIMER: Names = Names(128);
    /// MSG_REGION and TRACE_ON.
    pub const REGION: Names = Names(256);

    #[must_use]
    pub const fn and(self, other: Names) -> Names {
        Names(self.0 | other.0)
    }

    #[must_use]
    pub const fn without(self, other: Names) -> Names {
        Names(self.0 & !other.0)
    }

    pub const fn intersects(self, other: Names) -> bool {
        self.0 & other.0 != 0
    }

    /// The bit's number of a single name.
    const fn index(self) -> Option<usize> {
        if self.0 == 0 { None } else { Some(self.0.trailing_zeros() as usize) }
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
            b"MSG_REGION" | b"TRACE_ON" => Names::REGION,
            b"TIMER_DELAY_SEC" | b"TIMER_DELAY_MS" | b"TIMER_DELIVER_MS" => Names::TIMER,
            _ => Names::NONE,
        }
    }
}

/// The properties of a string in their order; pieces that Java skips are skipped.
#[derive(Clone, Debug)]
pub struct Properties<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Properties<'a> {
    pub const fn new(properties: &'a [u8]) -> Properties<'a> {
        Properties { bytes: properties, at: 0 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Property<'a> {
    pub name: &'a [u8],
    pub value: &'a [u8],
}

impl<'a> Iterator for Properties<'a> {
    type Item = Property<'a>;

    #[inline]
    fn next(&mut self) -> Option<Property<'a>> {
        while let Some(rest) = self.bytes.get(self.at..).filter(|rest| !rest.is_empty()) {
            let end = find(rest, PROPERTY_END).unwrap_or(rest.len());
            let (piece, _) = rest.split_at(end);
            self.at += end + 1;
            let Some(name_end) = find(piece, NAME_END) else {
                continue;
            };
            let (name, value) = piece.split_at(name_end);
            let value = value.get(1..).unwrap_or_default();
            if !name.is_empty() && !value.is_empty() {
                return Some(Property { name, value });
            }
        }
        None
    }
}

/// The value of a property; of the last one if it is there twice, as in a Java map.
pub fn value<'a>(properties: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let found = Properties::new(properties).filter(|property| property.name == name.as_bytes());
    found.last().map(|property| property.value)
}

/// The same as text; `None` as well if the value is not UTF-8.
pub fn text<'a>(properties: &'a [u8], name: &str) -> Option<&'a str> {
    from_utf8(value(properties, name)?)
}

/// From where to where a property takes its bytes, its end mark included, even a missing one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    start: u16,
    end: u16,
}

/// What a property string says to the broker, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan<'a> {
    pub present: Names,
    pub tags: Option<&'a [u8]>,
    /// `TRAN_MSG` is `true`, in capitals or not.
    pub transaction: bool,
    /// The producer waits until the message is on stable storage and replicated.
    pub waits_for_store: bool,
    /// `TIMER_DEL_UNIQKEY` is there: it cancels another message.
    pub cancels: bool,
    /// Messages with the same `__SHARDINGKEY` are consumed in order.
    pub is_sharded: bool,
    /// Some of the string is no property, a name is there twice, or not every property of [`Names`]
    /// is in `spans` for the string is long.
    irregular: bool,
    /// Where the properties of [`Names`] are, by index.
    spans: [Span; 9],
}

impl<'a> Scan<'a> {
    #[inline]
    pub fn of(properties: &'a [u8]) -> Scan<'a> {
        let mut scan = Scan {
            present: Names::NONE,
            tags: None,
            transaction: false,
            waits_for_store: true,
            cancels: false,
            is_sharded: false,
            irregular: false,
            spans: [Span::default(); 9],
        };
        let mut all = Properties::new(properties);
        let (mut behind, mut seen) = (0, Seen::default());
        while let Some(Property { name, value }) = all.next() {
            let start = all.at - (name.len() + value.len() + 2);
            scan.irregular |= start != behind || seen.repeats(properties, start, name);
            behind = all.at;
            match name {
                b"TAGS" => scan.tags = Some(value),
                b"TRAN_MSG" => scan.transaction = value.eq_ignore_ascii_case(b"true"),
                b"TIMER_DEL_UNIQKEY" => scan.cancels = true,
                b"__SHARDINGKEY" => scan.is_sharded = true,
                _ => {
                    let known = Names::of(name);
                    if known == Names::WAIT {
                        scan.waits_for_store = value.eq_ignore_ascii_case(b"true");
                    }
                    if let Some(index) = known.index() {
                        scan.note(known, index, start, all.at);
                    }
                }
            }
        }
        scan.irregular |= behind < properties.len();
        scan
    }

    fn note(&mut self, known: Names, index: usize, start: usize, end: usize) {
        // Several names have one place.
        self.irregular |= self.present.intersects(known);
        self.present = self.present.and(known);
        match (self.spans.get_mut(index), u16::try_from(start), u16::try_from(end)) {
            (Some(span), Ok(start), Ok(end)) => *span = Span { start, end },
            _ => self.irregular = true,
        }
    }

    /// What metrics count it as.
    #[inline]
    pub fn message_type(&self) -> MessageType {
        if self.transaction {
            MessageType::Transaction
        } else if self.is_sharded {
            MessageType::Fifo
        } else if self.asks_for_delay() {
            MessageType::Delay
        } else {
            MessageType::Normal
        }
    }

    /// The message is to be kept back, or to cancel one that is.
    pub fn asks_for_delay(&self) -> bool {
        self.cancels || self.present.intersects(Names::DELAY.and(Names::TIMER))
    }

    /// It has a time of its own, or cancels a message that has.
    pub fn asks_for_time(&self) -> bool {
        self.cancels || self.present.intersects(Names::TIMER)
    }

    /// The hash of the tag, sign-extended; 0 without one.
    pub fn tags_code(&self) -> i64 {
        let tags = self.tags.and_then(from_utf8);
        ringmq_base::hash::tags_code(tags)
    }
}

/// The names of a property string as far as it has been read: a bit for each, so that nothing has
/// to be compared unless two names share theirs.
#[derive(Default)]
struct Seen {
    bits: u64,
    count: usize,
}

impl Seen {
    /// More names than this are taken for repeated ones, which costs time but changes nothing.
    const NAMES_MAX: usize = 64;

    /// Notes a name; true if one before `start` is the same.
    #[inline]
    fn repeats(&mut self, properties: &[u8], start: usize, name: &[u8]) -> bool {
        let bit = 1 << Seen::hash(name);
        let shared = self.bits & bit != 0;
        self.bits |= bit;
        self.count += 1;
        shared && self.is_before(properties, start, name)
    }

    /// No two names of RocketMQ's own that producers use often share a bit.
    #[inline]
    fn hash(name: &[u8]) -> usize {
        let (first, last) = (name.first(), name.last());
        let byte = |byte: Option<&u8>| byte.map_or(0, |byte| usize::from(*byte));
        (name.len() + 2 * byte(first) + 8 * byte(last)) % 64
    }

    #[cold]
    fn is_before(&self, properties: &[u8], start: usize, name: &[u8]) -> bool {
        let before = properties.get(..start).unwrap_or_default();
        self.count > Seen::NAMES_MAX || Properties::new(before).any(|other| other.name == name)
    }
}

/// Bytes that [`PropertiesWriter::copy_without`] appends.
#[inline]
pub fn bytes_without(properties: &[u8], scan: &Scan<'_>, dropped: Names) -> usize {
    if scan.irregular {
        let kept = kept(properties, dropped).into_iter();
        return kept.map(|property| property.name.len() + property.value.len() + 2).sum();
    }
    let unmarked = properties.last().is_some_and(|last| *last != PROPERTY_END);
    let spans = scan.dropped_spans(dropped);
    let gone: usize = spans.map(|span| usize::from(span.end - span.start)).sum();
    properties.len() + usize::from(unmarked) - gone
}

/// Every name once, with its last value.
#[cold]
fn kept(properties: &[u8], dropped: Names) -> Vec<Property<'_>> {
    let all = Properties::new(properties);
    let all = all.filter(|property| !Names::of(property.name).intersects(dropped));
    let mut last: BTreeMap<&[u8], usize> = BTreeMap::new();
    for (index, property) in all.clone().enumerate() {
        last.insert(property.name, index);
    }
    let counts = |(index, property): &(usize, Property<'_>)| last[property.name] == *index;
    all.enumerate().filter(counts).map(|(_, property)| property).collect()
}

impl Scan<'_> {
    /// Where the dropped properties are, in no order.
    #[inline]
    fn dropped_spans(&self, dropped: Names) -> impl Iterator<Item = Span> {
        let mut left = self.present.0 & dropped.0;
        std::iter::from_fn(move || {
            let index = Names(left).index()?;
            left &= left - 1;
            self.spans.get(index).copied()
        })
    }

    /// The first of the dropped properties that begins at `from` or behind it.
    #[inline]
    fn next_dropped(&self, dropped: Names, from: usize) -> Option<Span> {
        let behind = self.dropped_spans(dropped).filter(|span| usize::from(span.start) >= from);
        behind.min_by_key(|span| span.start)
    }
}

/// Bytes that [`PropertiesWriter::put`] appends.
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
        assert_eq!(value(ALL, DELAY), Some(b"3".as_slice()));
        assert_eq!(scan.tags_code(), 97);
        assert!(!scan.waits_for_store && Scan::of(b"").waits_for_store);
        assert!(Scan::of(b"TRAN_MSG\x01True").transaction);
        assert_eq!(text(ALL, "KEYS"), Some("k"));
        assert_eq!(text(ALL, "NONE"), None);
    }

    #[test]
    fn pieces_that_java_skips_are_skipped() {
        let odd = b"\x01x\x02TAGS\x01\x02\x02novalue\x02TAGS\x01b\x02a\x01b\x01c";
        let pieces: Vec<_> = Properties::new(odd).collect();
        assert_eq!(pieces.len(), 2);
        assert_eq!(pieces[1], Property { name: b"a", value: b"b\x01c" });
        assert_eq!(Scan::of(odd).tags, Some(b"b".as_slice()));
    }

    #[test]
    fn properties_are_copied_without_the_dropped_ones() {
        let copy = |dropped| {
            let mut out = Vec::new();
            PropertiesWriter::new(&mut out).copy_without(ALL, &Scan::of(ALL), dropped);
            out
        };
        assert_eq!(copy(Names::CLUSTER), [ALL, b"\x02"].concat());
        assert_eq!(copy(Names::WAIT), b"TAGS\x01a\x02DELAY\x013\x02KEYS\x01k\x02");
        assert_eq!(copy(Names::WAIT.and(Names::DELAY)), b"TAGS\x01a\x02KEYS\x01k\x02");
        let mut out = Vec::new();
        PropertiesWriter::new(&mut out).put_number("REAL_QID", 7).expect("no separator");
        assert_eq!(
            (out.len(), out.as_slice()),
            (bytes_of("REAL_QID", 1), &b"REAL_QID\x017\x02"[..])
        );
    }

    #[test]
    fn copies_have_the_size_foretold_whatever_is_dropped() {
        let strings: [&[u8]; 15] = [
            b"TIMER_DELAY_MS\x015\x02TAGS\x01a\x02TIMER_DELIVER_MS\x017",
            b"A\x01b\x02TIMER_DELAY_SEC\x015\x02C\x01d",
            b"\x02",
            b"a\x02WAIT\x01true",
            b"WAIT\x01true\x02\x02",
            b"a\x01b\x02a\x01c\x02CLUSTER\x01c",
            b"a\x01\x02\x01b\x02k\x01v\x02x",
            b"a\x01b\x02novalue",
            ALL,
            b"",
            b"WAIT\x01true",
            b"WAIT\x01true\x02",
            b"A\x01b\x02WAIT\x01true",
            b"WAIT\x011\x02A\x01b\x02WAIT\x012\x02CLUSTER\x01c",
            b"REAL_QID\x011\x02REAL_TOPIC\x01t\x02ORIGIN_MESSAGE_ID\x01i\x02RETRY_TOPIC\x01r",
        ];
        for properties in strings {
            for dropped in (0..=255).map(Names) {
                let scan = Scan::of(properties);
                let mut out = Vec::new();
                PropertiesWriter::new(&mut out).copy_without(properties, &scan, dropped);
                assert_eq!(out.len(), bytes_without(properties, &scan, dropped));
                let left: Vec<_> = Properties::new(&out).collect();
                assert_eq!(left, kept(properties, dropped));
                assert!(out.is_empty() || out.ends_with(&[PROPERTY_END]));
            }
        }
    }

    fn stored(properties: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        PropertiesWriter::new(&mut out).copy_without(
            properties,
            &Scan::of(properties),
            Names::NONE,
        );
        out
    }

    #[test]
    fn what_is_stored_has_every_name_once_and_nothing_else() {
        let cases: [(&[u8], &[u8]); 9] = [
            (b"a\x01b\x02a\x01c", b"a\x01c\x02"),
            (b"a\x01b\x02c\x01d\x02a\x01e\x02", b"c\x01d\x02a\x01e\x02"),
            (b"a\x01b\x02\x02", b"a\x01b\x02"),
            (b"\x02a\x01b", b"a\x01b\x02"),
            (b"novalue", b""),
            (b"a\x01\x02c\x01d\x02\x01e", b"c\x01d\x02"),
            (b"a\x01b\x02novalue", b"a\x01b\x02"),
            (b"a\x01b\x02a\x01", b"a\x01b\x02"),
            (b"a\x01b\x01c\x02", b"a\x01b\x01c\x02"),
        ];
        for (sent, expected) in cases {
            assert_eq!(stored(sent), expected, "{:?}", String::from_utf8_lossy(sent));
        }
    }

    #[test]
    fn a_name_is_found_again_among_many_and_many_names_are_kept() {
        let many: Vec<String> = (0..500).map(|name| format!("{name}\x01v\x02")).collect();
        let many = many.concat().into_bytes();
        assert_eq!(stored(&many), many);
        let again = [many.as_slice(), b"7\x01w\x02"].concat();
        assert_eq!(stored(&again).len(), many.len());
        assert_eq!(value(&stored(&again), "7"), Some(b"w".as_slice()));
        for length in 1..70 {
            let names: Vec<u8> =
                (0..length).flat_map(|at| [b'a' + at / 26, b'a' + at % 26]).collect();
            let pairs = names.chunks(2).map(|name| [name, b"\x01v\x02"].concat());
            let pairs = pairs.collect::<Vec<_>>().concat();
            let again = [pairs.as_slice(), b"aa\x01w\x02"].concat();
            assert_eq!(stored(&pairs), pairs);
            assert_eq!(stored(&again).len(), pairs.len(), "{length}");
        }
    }

    #[test]
    fn a_byte_is_found_wherever_it_is() {
        for length in 0..40 {
            let mut bytes = vec![0x81; length];
            assert_eq!(find(&bytes, 1), None);
            for at in (0..length).rev() {
                bytes[at] = 1;
                assert_eq!(find(&bytes, 1), Some(at));
                assert_eq!(find(&bytes, 2), None);
            }
        }
    }
}
