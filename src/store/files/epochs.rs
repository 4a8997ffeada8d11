//! Where the epochs of a log begin: what two members of a group compare to find out how far their
//! logs are the same.

use std::rc::Rc;

/// So many epochs are remembered, the newest ones; a mark has room for no more.
pub const EPOCHS_MAX: usize = 256;

/// The first record of an epoch is at `start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    pub epoch: u32,
    pub start: u64,
}

/// Epochs and starts, both ascending. Clones share memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Epochs(Rc<Vec<EpochStart>>);

impl Epochs {
    /// A table as it was read; what does not ascend is left out.
    pub fn read(found: impl Iterator<Item = EpochStart>) -> Epochs {
        let mut all: Vec<EpochStart> = Vec::new();
        for one in found.take(EPOCHS_MAX) {
            let ascends = |last: &EpochStart| last.epoch < one.epoch && last.start < one.start;
            if all.last().is_none_or(ascends) {
                all.push(one);
            }
        }
        Epochs(Rc::new(all))
    }

    /// Records from `start` on are of `epoch` or a greater one. An epoch that began there or
    /// further on has no record and is forgotten.
    pub fn began(&mut self, epoch: u32, start: u64) {
        self.cut(start);
        if self.last().is_some_and(|last| last.epoch >= epoch) {
            return;
        }
        let all = Rc::make_mut(&mut self.0);
        if all.len() == EPOCHS_MAX {
            all.remove(0);
        }
        all.push(EpochStart { epoch, start });
    }

    /// Forgets the epochs that begin at `end` or behind it.
    pub fn cut(&mut self, end: u64) {
        let kept = self.0.partition_point(|one| one.start < end);
        if kept < self.0.len() {
            Rc::make_mut(&mut self.0).truncate(kept);
        }
    }

    pub fn contains(&self, one: EpochStart) -> bool {
        self.0.contains(&one)
    }

    /// The newest epoch of a record at `position` or before it, as far as is known.
    pub fn at(&self, position: u64) -> Option<u32> {
        let count = self.0.partition_point(|one| one.start <= position);
        Some(self.0.get(count.checked_sub(1)?)?.epoch)
    }

    pub fn last(&self) -> Option<EpochStart> {
        self.0.last().copied()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = EpochStart> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(epochs: &Epochs) -> Vec<(u32, u64)> {
        epochs.iter().map(|one| (one.epoch, one.start)).collect()
    }

    #[test]
    fn epochs_without_a_record_are_forgotten() {
        let mut epochs = Epochs::default();
        epochs.began(1, 4096);
        epochs.began(2, 5000);
        epochs.began(3, 5000);
        assert_eq!(of(&epochs), [(1, 4096), (3, 5000)]);
        epochs.began(3, 7000);
        assert_eq!(of(&epochs), [(1, 4096), (3, 5000)], "it began before");
        assert_eq!(epochs.at(4095), None);
        assert_eq!([4096, 4999, 5000, 9000].map(|at| epochs.at(at)), [1, 1, 3, 3].map(Some));
        let before = epochs.clone();
        epochs.cut(5000);
        assert_eq!(of(&epochs), [(1, 4096)]);
        assert_eq!(before.len(), 2, "a clone is not cut with it");
    }

    #[test]
    fn the_newest_epochs_stay_and_bad_tables_do_no_harm() {
        let mut epochs = Epochs::default();
        for epoch in 1..=300 {
            epochs.began(epoch, u64::from(epoch) * 4096);
        }
        assert_eq!((epochs.len(), epochs.at(44 * 4096)), (EPOCHS_MAX, None));
        assert_eq!(epochs.last(), Some(EpochStart { epoch: 300, start: 300 * 4096 }));
        let bad = [(5, 9), (4, 10), (6, 9), (7, 10)];
        let bad = bad.into_iter().map(|(epoch, start)| EpochStart { epoch, start });
        assert_eq!(of(&Epochs::read(bad)), [(5, 9), (7, 10)]);
    }
}
