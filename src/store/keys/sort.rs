//! Sorting a full block in steps, so that no step keeps the executor for long.

use super::entry::Entry;

/// Hashes are uniform: each of these ranges of hashes gets about as many entries.
const RANGES: usize = 256;
/// Ranges sorted in one step, about 4,000 entries of a full block.
const RANGES_A_STEP: usize = 16;

/// Sorts by hash and place. [`Sorting::step`] until it is done.
pub struct Sorting {
    entries: Vec<Entry>,
    /// Where each range ends.
    ends: [usize; RANGES],
    done: usize,
}

fn range_of(entry: &Entry) -> usize {
    (entry.hash >> (u64::BITS - 8)) as usize
}

impl Sorting {
    /// Distributes the entries to their ranges.
    pub fn new(from: &[Entry]) -> Sorting {
        let mut counts = [0_usize; RANGES];
        from.iter().for_each(|entry| counts[range_of(entry)] += 1);
        let mut next = [0; RANGES];
        let mut sum = 0;
        for (start, count) in next.iter_mut().zip(counts) {
            *start = sum;
            sum += count;
        }
        let mut entries = vec![Entry::default(); from.len()];
        for entry in from {
            let place = &mut next[range_of(entry)];
            entries[*place] = *entry;
            *place += 1;
        }
        // What was the next place of each range is its end now.
        Sorting { entries, ends: next, done: 0 }
    }

    /// Sorts some more; false when all is sorted.
    pub fn step(&mut self) -> bool {
        for _ in 0..RANGES_A_STEP {
            if self.done == RANGES {
                return false;
            }
            let start = self.done.checked_sub(1).map_or(0, |before| self.ends[before]);
            self.entries[start..self.ends[self.done]].sort_unstable();
            self.done += 1;
        }
        true
    }

    pub fn finish(self) -> Vec<Entry> {
        assert!(self.done == RANGES, "sorted to the end");
        self.entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(from: &[Entry]) -> Vec<Entry> {
        let mut sorting = Sorting::new(from);
        while sorting.step() {}
        sorting.finish()
    }

    #[test]
    fn entries_are_sorted_whatever_their_hashes() {
        let mut seed = 1_u64;
        let mut word = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
            seed
        };
        for count in [0, 1, 2, 500, 5000] {
            for mask in [u64::MAX, 0, 0xFF00, 1 << 63] {
                let from: Vec<_> = (0..count).map(|n| Entry::new(word() & mask, n, n)).collect();
                let mut expected = from.clone();
                expected.sort_unstable();
                assert_eq!(sorted(&from), expected);
            }
        }
    }

    #[test]
    #[ignore = "a measurement, only meaningful in release"]
    fn a_full_block_is_sorted_in_short_steps() {
        let entries: Vec<_> = (0..65_280_u64)
            .map(|n| Entry::new(xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes()), 0, n * 300))
            .collect();
        for _ in 0..5 {
            let began = std::time::Instant::now();
            let mut sorting = Sorting::new(&entries);
            let distributed = began.elapsed();
            let mut longest = std::time::Duration::ZERO;
            loop {
                let step = std::time::Instant::now();
                let more = sorting.step();
                longest = longest.max(step.elapsed());
                if !more {
                    break;
                }
            }
            println!("{distributed:?} to distribute, {longest:?} a step, {:?}", began.elapsed());
        }
    }
}
