//! Which half messages of one queue are decided: a cursor, and a bit for each half behind it.

use std::collections::VecDeque;

/// Bits of a chunk: 4 KiB of them.
const CHUNK_BITS: i64 = 32_768;
const CHUNK_WORDS: usize = (CHUNK_BITS / 64) as usize;

type Chunk = Box<[u64; CHUNK_WORDS]>;

/// The half messages of one queue. What is not known is undecided; memory is taken for what is
/// decided behind the first that is not: a bit for each half in between.
#[derive(Debug, Default)]
pub struct HalfQueue {
    /// All before it are decided.
    first: i64,
    /// Decided ones behind it.
    decided: i64,
    /// The number of the first chunk.
    chunk: i64,
    /// 1: decided. Chunks without any are not there.
    chunks: VecDeque<Option<Chunk>>,
}

impl HalfQueue {
    /// All before `first` are decided.
    pub fn new(first: i64) -> HalfQueue {
        HalfQueue { first, chunk: first.div_euclid(CHUNK_BITS), ..HalfQueue::default() }
    }

    /// The first half that is not decided, or the next that will be stored.
    pub fn first(&self) -> i64 {
        self.first
    }

    /// Halves without a decision, if `next` is the next one that will be stored.
    pub fn undecided(&self, next: i64) -> i64 {
        (next - self.first - self.decided).max(0)
    }

    pub fn is_decided(&self, offset: i64) -> bool {
        offset < self.first || self.bit(offset)
    }

    /// Notes a decision; false if there was one before.
    pub fn decide(&mut self, offset: i64) -> bool {
        if self.is_decided(offset) {
            return false;
        }
        let index = usize::try_from(offset.div_euclid(CHUNK_BITS) - self.chunk);
        let index = index.expect("behind the first undecided half");
        if self.chunks.len() <= index {
            self.chunks.resize(index + 1, None);
        }
        let chunk = self.chunks[index].get_or_insert_with(|| Box::new([0; CHUNK_WORDS]));
        let (word, mask) = place(offset);
        chunk[word] |= mask;
        self.decided += 1;
        self.advance();
        true
    }

    /// The halves before `min` are there no more.
    pub fn skip_to(&mut self, min: i64) {
        while self.first < min {
            let known = self.chunks.iter().any(Option::is_some);
            if !known {
                self.first = min;
                self.drop_chunks();
                break;
            }
            self.decided -= i64::from(self.bit(self.first));
            self.first += 1;
            self.drop_chunks();
        }
        self.advance();
    }

    /// The first undecided half at or behind `from` and before `end`.
    pub fn next_undecided(&self, from: i64, end: i64) -> Option<i64> {
        let mut at = from.max(self.first);
        while at < end {
            match self.word(at) {
                // All of the word from here on.
                Some(word) if word >> at.rem_euclid(64) == u64::MAX >> at.rem_euclid(64) => {
                    at += 64 - at.rem_euclid(64);
                }
                Some(word) if word >> at.rem_euclid(64) & 1 == 1 => at += 1,
                _ => return Some(at),
            }
        }
        None
    }

    /// In bytes.
    pub fn memory(&self) -> usize {
        let chunks = self.chunks.iter().flatten().count() * CHUNK_WORDS * 8;
        chunks + self.chunks.capacity() * size_of::<Option<Chunk>>()
    }

    fn advance(&mut self) {
        while self.bit(self.first) {
            self.first += 1;
            self.decided -= 1;
        }
        self.drop_chunks();
        assert!(self.decided >= 0, "more halves are passed than were decided");
    }

    fn drop_chunks(&mut self) {
        let chunk = self.first.div_euclid(CHUNK_BITS);
        while self.chunk < chunk && self.chunks.pop_front().is_some() {
            self.chunk += 1;
        }
        self.chunk = chunk;
    }

    fn bit(&self, offset: i64) -> bool {
        let (_, mask) = place(offset);
        self.word(offset).is_some_and(|word| word & mask != 0)
    }

    fn word(&self, offset: i64) -> Option<u64> {
        let index = usize::try_from(offset.div_euclid(CHUNK_BITS) - self.chunk).ok()?;
        let chunk = self.chunks.get(index)?.as_ref()?;
        Some(chunk[place(offset).0])
    }
}

/// The word of its chunk that has an offset's bit, and the bit.
fn place(offset: i64) -> (usize, u64) {
    let within = offset.rem_euclid(CHUNK_BITS) as usize;
    (within / 64, 1 << (within % 64))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_decision_is_taken_once_and_the_first_undecided_moves_on() {
        let mut halves = HalfQueue::new(5);
        assert!(halves.is_decided(4) && !halves.is_decided(5));
        assert!(!halves.decide(4), "before the first");
        assert!(halves.decide(6) && !halves.decide(6));
        assert_eq!((halves.first(), halves.undecided(10)), (5, 4));
        assert_eq!(halves.next_undecided(0, 10), Some(5));
        assert_eq!(halves.next_undecided(6, 10), Some(7));
        assert!(halves.decide(5));
        assert_eq!((halves.first(), halves.undecided(10)), (7, 3));
        assert_eq!(halves.next_undecided(0, 7), None);
    }

    #[test]
    fn a_million_undecided_take_no_memory_and_decided_ones_a_bit() {
        let mut halves = HalfQueue::new(0);
        assert_eq!((halves.undecided(1_000_000), halves.memory()), (1_000_000, 0));
        for offset in 1..1_000_000 {
            assert!(halves.decide(offset));
        }
        assert_eq!((halves.first(), halves.undecided(1_000_000)), (0, 1));
        assert!(halves.memory() < 130_000, "{}", halves.memory());
        assert_eq!(halves.next_undecided(1, 1_000_000), None);
        assert!(halves.decide(0));
        assert_eq!((halves.first(), halves.undecided(1_000_000)), (1_000_000, 0));
        assert!(halves.memory() < 8_192, "{}", halves.memory());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Around the end of a chunk.
        #[test]
        fn it_says_what_a_set_says(
            first in 31_000_i64..33_000,
            steps in proptest::collection::vec((0_i64..2_000, 0..10), 0..60),
        ) {
            let mut halves = HalfQueue::new(first);
            let mut decided = BTreeSet::new();
            let (mut min, end) = (first, first + 2_000);
            for (step, kind) in steps {
                let offset = first + step;
                if kind == 0 && step < 200 {
                    min = min.max(offset);
                    halves.skip_to(offset);
                } else {
                    prop_assert_eq!(halves.decide(offset), offset >= min && decided.insert(offset));
                }
            }
            let undecided: Vec<i64> =
                (min..end).filter(|offset| !decided.contains(offset)).collect();
            prop_assert_eq!(Some(halves.first()), undecided.first().copied());
            prop_assert_eq!(halves.undecided(end), undecided.len() as i64);
            let mut at = 0;
            for offset in undecided {
                prop_assert_eq!(halves.next_undecided(at, end), Some(offset));
                at = offset + 1;
            }
            prop_assert_eq!(halves.next_undecided(at, end), None);
        }
    }
}
