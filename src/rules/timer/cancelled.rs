//! Messages that were cancelled and whose time has not passed: for each slot, digests of what was
//! cancelled in it.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, RandomState},
};

/// Bytes of memory for each deletion, here or in the wheel.
pub const DELETION_BYTES: usize = 64;

/// Cancelled messages by the start of their slot (TIMER_OUT_MS). In memory only: deletions are read
/// again after a start.
#[derive(Default)]
pub struct Cancelled {
    keys: BTreeSet<(i64, u64, u64)>,
    /// Two, so that no two keys have the same digest by chance.
    hashers: (RandomState, RandomState),
}

impl Cancelled {
    /// Cancels `key`, which is `topic+unique key`, in a slot.
    pub fn add(&mut self, out_ms: i64, key: &[u8]) {
        let (high, low) = self.digest(key);
        self.keys.insert((out_ms, high, low));
    }

    pub fn contains(&self, out_ms: i64, topic: &str, unique_key: &str) -> bool {
        if self.keys.is_empty() {
            return false;
        }
        let (high, low) = self.digest([topic, "+", unique_key].concat().as_bytes());
        self.keys.contains(&(out_ms, high, low))
    }

    /// Forgets slots that began before that.
    pub fn forget_before(&mut self, out_ms: i64) {
        if self.keys.first().is_some_and(|(first, ..)| *first < out_ms) {
            self.keys = self.keys.split_off(&(out_ms, 0, 0));
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

    #[test]
    fn a_message_is_cancelled_in_its_slot_until_that_is_forgotten() {
        let mut cancelled = Cancelled::default();
        assert!(!cancelled.contains(5, "T", "k"));
        cancelled.add(5, b"T+k");
        cancelled.add(7, b"T+k");
        assert!(cancelled.contains(5, "T", "k") && cancelled.contains(7, "T", "k"));
        assert!(!cancelled.contains(6, "T", "k") && !cancelled.contains(5, "T", "l"));
        assert_eq!(cancelled.bytes(), 2 * DELETION_BYTES);
        cancelled.forget_before(6);
        assert!(!cancelled.contains(5, "T", "k") && cancelled.contains(7, "T", "k"));
    }
}
