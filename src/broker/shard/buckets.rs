//! Histograms with fixed bounds that a shard counts in: an addition each, nothing else.

use std::cell::Cell;

/// Values up to each of some bounds, and above; what they come to. Of one thread.
#[derive(Debug)]
pub struct Buckets<const N: usize> {
    counts: [Cell<u64>; N],
    sum: Cell<u64>,
}

impl<const N: usize> Default for Buckets<N> {
    fn default() -> Self {
        Buckets { counts: [const { Cell::new(0) }; N], sum: Cell::new(0) }
    }
}

impl<const N: usize> Buckets<N> {
    /// Counts a value whose bucket the caller knows; beyond the last one it is not counted.
    #[inline]
    pub fn add(&self, bucket: usize, value: u64) {
        if let Some(count) = self.counts.get(bucket) {
            count.set(count.get() + 1);
            self.sum.set(self.sum.get().wrapping_add(value));
        }
    }

    pub fn sums(&self) -> Sums<N> {
        Sums { counts: std::array::from_fn(|at| self.counts[at].get()), sum: self.sum.get() }
    }
}

/// What was counted, as it crosses shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sums<const N: usize> {
    pub counts: [u64; N],
    pub sum: u64,
}

impl<const N: usize> Default for Sums<N> {
    fn default() -> Self {
        Sums { counts: [0; N], sum: 0 }
    }
}

impl<const N: usize> Sums<N> {
    pub fn add(&mut self, other: &Sums<N>) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// Counts so many values, which come to `sum`.
    #[inline]
    pub fn count(&mut self, bucket: usize, values: u64, sum: u64) {
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += values;
            self.sum += sum;
        }
    }
}

/// The first of some bounds that a value does not exceed, or behind the last.
#[inline]
pub fn bucket_of(bounds: &[u64], value: u64) -> usize {
    bounds.iter().position(|bound| value <= *bound).unwrap_or(bounds.len())
}

/// Buckets of times: up to 256 ns, each twice the one before, up to 17 s, and above.
pub const TIME_BUCKETS: usize = 28;
const FIRST_TIME_BITS: u32 = 8;

/// Upper bound in nanoseconds of a bucket of times; `None` of the last.
pub fn time_bound(bucket: usize) -> Option<u64> {
    (bucket < TIME_BUCKETS - 1).then(|| 1 << (bucket as u32 + FIRST_TIME_BITS))
}

/// The bucket of a time in nanoseconds.
#[inline]
pub fn time_bucket(nanos: u64) -> usize {
    let bits = u64::BITS - nanos.saturating_sub(1).leading_zeros();
    (bits.saturating_sub(FIRST_TIME_BITS) as usize).min(TIME_BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_counted_below_the_first_bound_that_it_does_not_exceed() {
        for nanos in [0, 1, 255, 256, 257, 512, 513, 1_000_000, 1 << 34, (1 << 34) + 1, u64::MAX] {
            let bucket = time_bucket(nanos);
            assert!(time_bound(bucket).is_none_or(|bound| nanos <= bound), "{nanos}");
            let below = bucket.checked_sub(1).and_then(time_bound);
            assert!(below.is_none_or(|bound| nanos > bound), "{nanos}");
        }
        let times: Buckets<TIME_BUCKETS> = Buckets::default();
        times.add(time_bucket(300), 300);
        times.add(time_bucket(u64::MAX), 7);
        let sums = times.sums();
        assert_eq!((sums.counts[1], sums.counts[TIME_BUCKETS - 1], sums.sum), (1, 1, 307));
    }

    #[test]
    fn a_value_is_counted_with_its_bound() {
        let bounds = [10, 20];
        assert_eq!([10, 11, 20, 21].map(|value| bucket_of(&bounds, value)), [0, 1, 1, 2]);
    }
}
