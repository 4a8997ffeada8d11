//! The property string of a message: `name 0x01 value 0x02`, one behind the other; the last 0x02
//! may be missing. As in Java, a pair without a name or a value does not count, and of several
//! with one name the last counts. Works on bytes: a broker need not know whether they are UTF-8.

use std::ops::Range;

use memchr::memchr;
use ringmq_base::hash;

use crate::codes::property;
pub use crate::codes::property::{NAME_VALUE_SEPARATOR, SEPARATOR};

/// The pairs of a property string.
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    bytes: &'a [u8],
    at: usize,
}

struct Pair<'a> {
    name: &'a [u8],
    value: &'a [u8],
    /// Where it stands, with the separator behind it.
    range: Range<usize>,
}

impl<'a> Pairs<'a> {
    fn next_pair(&mut self) -> Option<Pair<'a>> {
        loop {
            let start = self.at;
            let rest = self.bytes.get(start..).filter(|rest| !rest.is_empty())?;
            let length = memchr(SEPARATOR, rest).unwrap_or(rest.len());
            self.at = self.bytes.len().min(start + length + 1);
            let pair = rest.get(..length)?;
            let Some(middle) = memchr(NAME_VALUE_SEPARATOR, pair) else {
                continue;
            };
            let (name, value) = (pair.get(..middle)?, pair.get(middle + 1..)?);
            if !name.is_empty() && !value.is_empty() {
                return Some(Pair { name, value, range: start..self.at });
            }
        }
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.next_pair().map(|pair| (pair.name, pair.value))
    }
}

/// Names and values in their order.
pub fn iter(properties: &[u8]) -> Pairs<'_> {
    Pairs { bytes: properties, at: 0 }
}

/// The value of a property.
pub fn get<'a>(properties: &'a [u8], name: &str) -> Option<&'a [u8]> {
    iter(properties).filter(|(key, _)| *key == name.as_bytes()).last().map(|(_, value)| value)
}

/// The value of a property, if it is UTF-8.
pub fn get_str<'a>(properties: &'a [u8], name: &str) -> Option<&'a str> {
    std::str::from_utf8(get(properties, name)?).ok()
}

/// A property string of these pairs. Those without a value are left out.
pub fn encode<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in pairs {
        append(&mut out, name, value);
    }
    out
}

/// Appends a pair, with a separator before it where one is missing.
pub fn append(properties: &mut Vec<u8>, name: &str, value: &str) {
    if name.is_empty() || value.is_empty() {
        return;
    }
    properties.extend_from_slice(missing_separator(properties));
    properties.extend_from_slice(name.as_bytes());
    properties.push(NAME_VALUE_SEPARATOR);
    properties.extend_from_slice(value.as_bytes());
    properties.push(SEPARATOR);
}

/// What must stand between a property string and a pair appended to it: nothing, or a separator.
pub fn missing_separator(properties: &[u8]) -> &'static [u8] {
    match properties.last() {
        None | Some(&SEPARATOR) => b"",
        Some(_) => &[SEPARATOR],
    }
}

/// The property string without a property.
pub fn remove(properties: &[u8], name: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(properties.len());
    let mut kept = 0;
    let mut pairs = iter(properties);
    while let Some(pair) = pairs.next_pair() {
        if pair.name == name.as_bytes() {
            out.extend_from_slice(properties.get(kept..pair.range.start).unwrap_or_default());
            kept = pair.range.end;
        }
    }
    out.extend_from_slice(properties.get(kept..).unwrap_or_default());
    out
}

/// A property string around one of its properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split<'a> {
    /// Ends with a separator unless empty.
    pub before: &'a [u8],
    pub value: &'a [u8],
    pub after: &'a [u8],
}

/// Finds a property, to leave it out without a copy: what is `before` and `after` it is a
/// property string again. None when it is not there, or more than once: then [`remove`] it.
pub fn split<'a>(properties: &'a [u8], name: &str) -> Option<Split<'a>> {
    let mut found = None;
    let mut pairs = iter(properties);
    while let Some(pair) = pairs.next_pair() {
        if pair.name == name.as_bytes() && found.replace(pair).is_some() {
            return None;
        }
    }
    let pair = found?;
    Some(Split {
        before: properties.get(..pair.range.start)?,
        value: pair.value,
        after: properties.get(pair.range.end..)?,
    })
}

/// The tags code of a message: Java's hash of its tag, 0 without one.
pub fn tags_code(properties: &[u8]) -> i64 {
    let tag = get(properties, property::TAGS).map(String::from_utf8_lossy);
    hash::tags_code(tag.as_deref())
}

/// The keys that the user gave to a message.
pub fn keys(properties: &[u8]) -> impl Iterator<Item = &str> {
    let keys = get_str(properties, property::KEYS).unwrap_or_default();
    keys.split(' ').filter(|key| !key.is_empty())
}

/// Whether the producer wants to wait until the message is as safe as the broker makes it.
pub fn wait_store_msg_ok(properties: &[u8]) -> bool {
    get(properties, property::WAIT).is_none_or(|value| value.eq_ignore_ascii_case(b"true"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SAMPLE: &[u8] = b"KEYS\x01a  b\x02WAIT\x01false\x02TAGS\x01TagA";

    #[test]
    fn properties_are_found_with_and_without_the_last_separator() {
        for properties in [SAMPLE, &[SAMPLE, b"\x02"].concat()] {
            assert_eq!(get_str(properties, "TAGS"), Some("TagA"));
            assert_eq!(get(properties, "TAG"), None);
            assert_eq!(tags_code(properties), 2_598_919);
            assert_eq!(keys(properties).collect::<Vec<_>>(), ["a", "b"]);
            assert!(!wait_store_msg_ok(properties));
        }
        assert!(wait_store_msg_ok(b""));
        assert_eq!(tags_code(b""), 0);
    }

    #[test]
    fn incomplete_pairs_do_not_count() {
        let properties = b"\x02\x01v\x02n\x01\x02name\x02k\x01v\x01w\x02k\x01last";
        let pairs: Vec<_> = iter(properties).collect();
        assert_eq!(pairs, [(&b"k"[..], &b"v\x01w"[..]), (b"k", b"last")]);
        assert_eq!(get(properties, "k"), Some(b"last".as_slice()));
    }

    #[test]
    fn a_separator_is_added_only_where_it_is_missing() {
        for start in [&b"a\x01b"[..], b"a\x01b\x02"] {
            let mut properties = start.to_vec();
            append(&mut properties, "c", "d");
            append(&mut properties, "e", "");
            assert_eq!(properties, b"a\x01b\x02c\x01d\x02");
        }
        assert_eq!(encode([("a", "b"), ("c", "d")]), b"a\x01b\x02c\x01d\x02");
    }

    #[test]
    fn a_property_is_left_out() {
        assert_eq!(remove(SAMPLE, "WAIT"), b"KEYS\x01a  b\x02TAGS\x01TagA");
        assert_eq!(remove(SAMPLE, "TAGS"), b"KEYS\x01a  b\x02WAIT\x01false\x02");
        assert_eq!(remove(SAMPLE, "X"), SAMPLE);
        let split = split(SAMPLE, "WAIT").expect("there");
        assert_eq!(split.value, b"false");
        assert_eq!((split.before, split.after), (&b"KEYS\x01a  b\x02"[..], &b"TAGS\x01TagA"[..]));
        assert_eq!(super::split(b"a\x01b\x02a\x01c", "a"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(0_u8..5, 0..60)) {
            let removed = remove(&bytes, "\u{3}");
            prop_assert_eq!(get(&removed, "\u{3}"), None);
            if let Some(split) = split(&bytes, "\u{3}") {
                prop_assert_eq!([split.before, split.after].concat(), removed);
            }
        }

        #[test]
        fn pairs_are_read_back(
            pairs in proptest::collection::vec(("[a-z]{1,5}", "\\PC{1,9}"), 0..9),
        ) {
            let bytes = encode(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            let back: Vec<_> = iter(&bytes).collect();
            let expected: Vec<_> =
                pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
            prop_assert_eq!(back, expected);
        }
    }
}
