//! Which leadership wrote which part of a log, and up to where two logs are therefore the same.
//!
//! One leader writes in an epoch, and a member takes what it wrote only behind what both have: two
//! logs with an epoch that begins at the same place are equal up to where the shorter of both ends
//! it.

use crate::ids::Epoch;

/// The newest epochs of a log, with the positions where they begin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct EpochTable(Vec<(Epoch, u64)>);

/// A member keeps and tells so many.
pub const EPOCHS_MAX: usize = 256;

/// What cannot be the table of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTable {
    #[error("epoch {epoch} at {start} follows epoch {before} at {before_start}: both have to grow")]
    Unordered { before: Epoch, before_start: u64, epoch: Epoch, start: u64 },
    #[error("{count} epochs, more than {EPOCHS_MAX}")]
    Long { count: usize },
}

impl EpochTable {
    /// # Errors
    /// If epochs or their starts do not grow, or there are more than [`EPOCHS_MAX`].
    pub fn new(rows: Vec<(Epoch, u64)>) -> Result<EpochTable, NoTable> {
        if rows.len() > EPOCHS_MAX {
            return Err(NoTable::Long { count: rows.len() });
        }
        for pair in rows.windows(2) {
            if let [(before, before_start), (epoch, start)] = *pair
                && (before >= epoch || before_start >= start)
            {
                return Err(NoTable::Unordered { before, before_start, epoch, start });
            }
        }
        Ok(EpochTable(rows))
    }

    /// The log goes on in another epoch from there. The oldest row makes room.
    ///
    /// # Errors
    /// If the epoch or the position does not grow.
    pub fn begin(&mut self, epoch: Epoch, start: u64) -> Result<(), NoTable> {
        if let Some((before, before_start)) = self.0.last().copied()
            && (before >= epoch || before_start >= start)
        {
            return Err(NoTable::Unordered { before, before_start, epoch, start });
        }
        if self.0.len() == EPOCHS_MAX {
            self.0.remove(0);
        }
        self.0.push((epoch, start));
        Ok(())
    }

    pub fn rows(&self) -> &[(Epoch, u64)] {
        &self.0
    }

    /// The epoch of what was written last.
    pub fn last(&self) -> Option<Epoch> {
        self.0.last().map(|(epoch, _)| *epoch)
    }

    /// Leaves what begins before `end`.
    pub fn cut(&mut self, end: u64) {
        self.0.retain(|(_, start)| *start < end);
    }

    /// Up to where this log, which ends at `end`, and another one are the same; `None` if they have
    /// no epoch in common.
    pub fn common_end(&self, end: u64, other: &EpochTable, other_end: u64) -> Option<u64> {
        let common = self.0.iter().rev().find(|row| other.0.contains(row))?;
        Some(self.end_of(common.0, end).min(other.end_of(common.0, other_end)))
    }

    fn end_of(&self, epoch: Epoch, end: u64) -> u64 {
        let next = self.0.iter().find(|(later, _)| *later > epoch);
        next.map_or(end, |(_, start)| *start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[(u32, u64)]) -> EpochTable {
        let rows = rows.iter().map(|(epoch, start)| (Epoch(*epoch), *start));
        EpochTable::new(rows.collect()).expect("it grows")
    }

    #[test]
    fn logs_are_the_same_to_where_the_newest_common_epoch_ends_in_one_of_them() {
        let one = table(&[(1, 0), (2, 100)]);
        assert_eq!(one.common_end(150, &table(&[(1, 0), (2, 100)]), 120), Some(120));
        assert_eq!(one.common_end(150, &table(&[(1, 0)]), 130), Some(100), "1 ends there");
        assert_eq!(one.common_end(150, &table(&[(1, 0)]), 70), Some(70));
        assert_eq!(one.common_end(150, &table(&[(1, 0), (3, 80)]), 400), Some(80));
        // Another leader of epoch 2 there cannot be; whoever says so has another log.
        assert_eq!(one.common_end(150, &table(&[(1, 0), (2, 90)]), 400), Some(90));
        assert_eq!(one.common_end(150, &table(&[(4, 0)]), 400), None);
        assert_eq!(one.common_end(150, &table(&[]), 0), None);
    }

    #[test]
    fn a_table_grows_and_keeps_the_newest() {
        let mut full = table(&[]);
        for number in 1..=300 {
            full.begin(Epoch(number), u64::from(number) * 10).expect("it grows");
        }
        assert_eq!(full.rows().len(), EPOCHS_MAX);
        assert_eq!(full.rows()[0], (Epoch(45), 450));
        assert_eq!(full.last(), Some(Epoch(300)));
        assert!(full.begin(Epoch(300), 9000).is_err());
        assert!(full.begin(Epoch(301), 3000).is_err());
        full.cut(2990);
        assert_eq!(full.last(), Some(Epoch(298)));
        let backwards = EpochTable::new(vec![(Epoch(2), 5), (Epoch(1), 9)]);
        assert!(backwards.expect_err("1 behind 2").to_string().starts_with("epoch 1 at 9 follows"));
        let long = (0..257).map(|number| (Epoch(number), u64::from(number))).collect();
        assert_eq!(EpochTable::new(long), Err(NoTable::Long { count: 257 }));
    }
}
