//! Messages that were cancelled and whose time has not passed: for each slot, digests of what was
//! cancelled in it.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
};

use super::wheel::Wheel;

/// Bytes of memory for each deletion, here or in the wheel.
pub const DELETION_BYTES: usize = 64;

/// Cancelled messages by the start of their slot (TIMER_OUT_MS). In memory only: deletions are read
/// again after a start, so they hold the queue that they lie in until they are forgotten.
#[derive(Default)]
pub struct Cancelled {
    /// With the offset of the first deletion.
    keys: BTreeMap<(i64, u64, u64), i64>,
    /// Two, so that no two keys have the same digest by chance.
    hashers: (RandomState, RandomState),
}

impl Cancelled {
    /// Cancels `key`, which is `topic+unique key`, in a slot, by the deletion at that offset.
    pub fn add(&mut self, out_ms: i64, key: &[u8], offset: i64, wheel: &mut Wheel) {
        let (high, low) = self.digest(key);
        self.keys.entry((out_ms, high, low)).or_insert_with(|| {
            wheel.hold(offset);
            offset
        });
    }

    pub fn contains(&self, out_ms: i64, topic: &str, unique_key: &str) -> bool {
        if self.keys.is_empty() {
            return false;
        }
        let (high, low) = self.digest([topic, "+", unique_key].concat().as_bytes());
        self.keys.contains_key(&(out_ms, high, low))
    }

    /// Forgets slots that began before that.
    pub fn forget_before(&mut self, out_ms: i64, wheel: &mut Wheel) {
        while let Some(first) = self.keys.first_entry().filter(|first| first.key().0 < out_ms) {
            wheel.release(first.remove());
        }
    }

    /// Of memory.
    pub fn bytes(&self) -> usize {
        self.keys.len() * DELETION_BYTES
    }

    fn digest(&self, key: &[u8]) -> (u64, u64) {
        (self.hashers.0.hash_one(key), self.hashers.1.hash_one(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timer::wheel::Frontier;

    #[test]
    fn a_message_is_cancelled_in_its_slot_until_that_is_forgotten() {
        let (mut cancelled, mut wheel) = (Cancelled::default(), Wheel::new(Frontier::default()));
        assert!(!cancelled.contains(5, "T", "k"));
        cancelled.add(5, b"T+k", 0, &mut wheel);
        cancelled.add(7, b"T+k", 1, &mut wheel);
        assert!(cancelled.contains(5, "T", "k") && cancelled.contains(7, "T", "k"));
        assert!(!cancelled.contains(6, "T", "k") && !cancelled.contains(5, "T", "l"));
        assert_eq!(cancelled.bytes(), 2 * DELETION_BYTES);
        cancelled.forget_before(6, &mut wheel);
        assert!(!cancelled.contains(5, "T", "k") && cancelled.contains(7, "T", "k"));
    }

    #[test]
    fn what_is_remembered_is_read_again_after_a_start() {
        let (mut cancelled, mut wheel) = (Cancelled::default(), Wheel::new(Frontier::default()));
        cancelled.add(5, b"T+k", 4096, &mut wheel);
        cancelled.add(5, b"T+k", 20_000, &mut wheel);
        cancelled.add(6, b"T+l", 8192, &mut wheel);
        wheel.has_read(30_000);
        assert_eq!(wheel.frontier().first, 4096);
        cancelled.forget_before(6, &mut wheel);
        assert_eq!(wheel.frontier().first, 8192);
        cancelled.forget_before(7, &mut wheel);
        assert_eq!(wheel.frontier().first, 30_000);
    }
}
