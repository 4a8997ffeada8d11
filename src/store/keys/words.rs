//! The keys of a message: its unique id and the words of its user's keys.

use ringmq_base::scan::find_byte;

/// The property that a client's id of the message is in.
const UNIQUE: &[u8] = b"UNIQ_KEY\x01";
/// The property with the user's keys, one space between two of them.
const KEYS: &[u8] = b"KEYS\x01";
const PROPERTY_END: u8 = 2;
const WORD_END: u8 = b' ';

/// Empty where a message has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Words<'a> {
    unique: &'a [u8],
    keys: &'a [u8],
}

impl<'a> Words<'a> {
    /// Of a property string. As in Java, of several properties with one name the last counts, and
    /// one without a value does not.
    #[inline]
    pub fn of(properties: &'a [u8]) -> Words<'a> {
        let mut words = Words::default();
        let mut rest = properties;
        while !rest.is_empty() {
            let end = find(rest, PROPERTY_END);
            let (piece, behind) = rest.split_at(end);
            let wanted = match piece.first() {
                Some(b'U') => piece.strip_prefix(UNIQUE).map(|value| (value, &mut words.unique)),
                Some(b'K') => piece.strip_prefix(KEYS).map(|value| (value, &mut words.keys)),
                _ => None,
            };
            if let Some((value, place)) = wanted.filter(|(value, _)| !value.is_empty()) {
                *place = value;
            }
            rest = behind.get(1..).unwrap_or_default();
        }
        words
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.unique.is_empty() && self.keys.is_empty()
    }

    /// The unique id first, then the user's keys in their order; none is empty.
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        let Words { unique, mut keys } = self;
        let mut next = Some(unique).filter(|unique| !unique.is_empty());
        std::iter::from_fn(move || {
            if let Some(unique) = next.take() {
                return Some(unique);
            }
            while !keys.is_empty() {
                let (word, behind) = keys.split_at(find(keys, WORD_END));
                keys = behind.get(1..).unwrap_or_default();
                if !word.is_empty() {
                    return Some(word);
                }
            }
            None
        })
    }

    pub fn contains(self, key: &[u8]) -> bool {
        self.iter().any(|word| word == key)
    }
}

/// Position of the first such byte, or the length.
#[inline]
fn find(bytes: &[u8], wanted: u8) -> usize {
    find_byte(bytes, wanted).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(properties: &[u8]) -> Vec<&str> {
        let words = Words::of(properties).iter();
        words.map(|word| std::str::from_utf8(word).expect("text")).collect()
    }

    #[test]
    fn the_unique_id_and_every_word_are_keys() {
        let properties = b"KEYS\x01a  bc \x02WAIT\x01true\x02UNIQ_KEY\x01AC11\x02TAGS\x01t";
        assert_eq!(words(properties), ["AC11", "a", "bc"]);
        assert_eq!(words(b"UNIQ_KEY\x01AC11"), ["AC11"]);
        assert!(Words::of(properties).contains(b"bc"));
        assert!(!Words::of(properties).contains(b""));
        assert!(!Words::of(properties).contains(b"a  bc"));
    }

    #[test]
    fn a_byte_is_found_wherever_it_is() {
        for length in 0..40 {
            let mut bytes = vec![0x81; length];
            assert_eq!(find(&bytes, 2), length);
            for at in (0..length).rev() {
                bytes[at] = 2;
                assert_eq!(find(&bytes, 2), at);
            }
        }
    }

    #[test]
    fn other_properties_are_none() {
        assert!(Words::of(b"").is_empty());
        assert!(
            Words::of(b"KEYS\x01\x02UNIQ_KEY\x02KEY\x01a\x02KEYSX\x01b\x02UNIQ_KEY").is_empty()
        );
        assert!(Words::of(b"\x02\x02\x01KEYS\x01a\x02A\x01KEYS\x01b").is_empty());
    }

    #[test]
    fn of_two_properties_with_one_name_the_last_counts() {
        assert_eq!(words(b"KEYS\x01a\x02KEYS\x01b\x02KEYS\x01\x02"), ["b"]);
    }
}
