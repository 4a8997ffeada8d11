//! How often half messages were checked. Checks are made in sweeps over a whole queue, so it is
//! enough to remember when the last sweeps were, and how far the queue went.

use std::collections::VecDeque;

/// One pass over the half messages of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// Milliseconds since 1970.
    pub at: i64,
    /// The next half message that would be stored.
    pub end: i64,
}

/// The last sweeps over a queue; as many as there are checks of one half.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sweeps(VecDeque<Sweep>);

impl Sweeps {
    /// From `(time, end)` of each, as they are stored.
    pub fn new(sweeps: &[(i64, i64)]) -> Sweeps {
        Sweeps(sweeps.iter().map(|(at, end)| Sweep { at: *at, end: *end }).collect())
    }

    /// How often a half was checked that was due from a time on.
    pub fn checks(&self, offset: i64, check_from: i64) -> u32 {
        let checked = |sweep: &&Sweep| sweep.at >= check_from && sweep.end > offset;
        self.0.iter().filter(checked).count() as u32
    }

    /// Notes a sweep, and forgets all but the last `most`.
    pub fn add(&mut self, sweep: Sweep, most: u32) {
        self.0.push_back(sweep);
        while self.0.len() > most as usize {
            self.0.pop_front();
        }
    }

    /// There is nothing undecided that they would say something about. True if there were any.
    pub fn clear(&mut self) -> bool {
        let any = !self.0.is_empty();
        self.0.clear();
        any
    }

    /// `(time, end)` of each.
    pub fn to_vec(&self) -> Vec<(i64, i64)> {
        self.0.iter().map(|sweep| (sweep.at, sweep.end)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_was_checked_by_the_sweeps_since_it_was_due() {
        let mut sweeps = Sweeps::default();
        for minute in 1..=5 {
            sweeps.add(Sweep { at: minute * 60_000, end: minute * 10 }, 4);
        }
        assert_eq!(sweeps.checks(0, 0), 4, "the first is forgotten");
        assert_eq!(sweeps.checks(0, 180_000), 3, "immune before");
        assert_eq!(sweeps.checks(45, 0), 1, "not there before");
        assert_eq!(sweeps.checks(45, 300_001), 0);
        assert_eq!(Sweeps::new(&sweeps.to_vec()), sweeps);
        assert!(sweeps.clear() && !sweeps.clear());
        assert_eq!(sweeps.checks(0, 0), 0);
    }
}
