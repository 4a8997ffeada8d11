//! One entry of the key index: 16 bytes that say where a message with a key is.

use xxhash_rust::xxh3::xxh3_64;

/// Bits of a log position.
const POSITION_BITS: u32 = 48;
const POSITION_MASK: u64 = (1 << POSITION_BITS) - 1;
/// Largest number of time units that an entry holds.
pub const UNITS_MAX: u64 = u64::MAX >> POSITION_BITS;
/// Unit of the times in memory and in runs that were not merged, in milliseconds.
pub const UNIT_MS: u32 = 1000;

/// Ordered by hash, then by position: within a run the time never goes back with the position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub hash: u64,
    /// The store time in units since that of the run (16 bits), then the position of the message
    /// record (48 bits).
    place: u64,
}

impl Entry {
    /// # Panics
    /// If `units` or `position` have too many bits.
    #[inline]
    pub fn new(hash: u64, units: u64, position: u64) -> Entry {
        assert!(units <= UNITS_MAX && position <= POSITION_MASK);
        Entry { hash, place: units << POSITION_BITS | position }
    }

    /// Greater than every entry of the hash with a smaller time or, at the same time, position.
    pub fn bound(hash: u64, units: u64, position: u64) -> Entry {
        let (units, position) = (units.min(UNITS_MAX), position.min(POSITION_MASK));
        Entry { hash, place: units << POSITION_BITS | position }
    }

    pub fn from_words(hash: u64, place: u64) -> Entry {
        Entry { hash, place }
    }

    pub fn words(&self) -> (u64, u64) {
        (self.hash, self.place)
    }

    #[inline]
    pub fn position(&self) -> u64 {
        self.place & POSITION_MASK
    }

    #[inline]
    pub fn units(&self) -> u64 {
        self.place >> POSITION_BITS
    }
}

/// The published hash of a key of a topic: XXH3 (64 bits, seed 0) of `topic # key`. Keeps the
/// topic's part of the text between two calls.
#[derive(Default)]
pub struct Hasher {
    text: Vec<u8>,
    /// Bytes of the topic and the separator.
    prefix: usize,
}

impl Hasher {
    #[inline]
    pub fn set_topic(&mut self, topic: &str) {
        let same = self.prefix == topic.len() + 1 && self.text.starts_with(topic.as_bytes());
        if !same {
            self.text.clear();
            self.text.extend_from_slice(topic.as_bytes());
            self.text.push(b'#');
            self.prefix = self.text.len();
        }
    }

    #[inline]
    pub fn hash(&mut self, key: &[u8]) -> u64 {
        self.text.truncate(self.prefix);
        self.text.extend_from_slice(key);
        xxh3_64(&self.text)
    }
}

/// See [`Hasher`].
pub fn hash_of(topic: &str, key: &[u8]) -> u64 {
    let mut hasher = Hasher::default();
    hasher.set_topic(topic);
    hasher.hash(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one_for_ever() {
        assert_eq!(xxh3_64(b""), 0x2D06_8005_38D3_94C2);
        assert_eq!(hash_of("T", b"a"), xxh3_64(b"T#a"));
        let mut hasher = Hasher::default();
        for (topic, key) in [("T", "a"), ("T", "bc"), ("Topic", ""), ("To", "pic"), ("T", "a")] {
            hasher.set_topic(topic);
            assert_eq!(hasher.hash(key.as_bytes()), xxh3_64(format!("{topic}#{key}").as_bytes()));
        }
    }

    #[test]
    fn entries_are_ordered_by_hash_then_by_place() {
        let entry = Entry::new(7, UNITS_MAX, POSITION_MASK);
        assert_eq!((entry.units(), entry.position()), (UNITS_MAX, POSITION_MASK));
        assert!(Entry::new(7, 1, 5) < Entry::new(7, 2, 9));
        assert!(Entry::new(7, 1, 5) < Entry::new(7, 1, 6));
        assert!(Entry::new(7, 9, 9) < Entry::new(8, 0, 0));
        assert!(Entry::new(7, 9, 9) < Entry::bound(7, u64::MAX, u64::MAX));
    }
}
