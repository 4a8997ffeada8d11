//! Runs: sorted entries of a range of the log, in a key segment, and the search in one.
//!
//! Hashes are uniform, so that the page of a hash is known up to the spread of chance: a lookup
//! guesses it, reads it, and narrows the range. After a few guesses it halves the range, so that
//! many entries of one hash cost no more than a binary search.

use std::{cell::Cell, path::PathBuf, rc::Rc};

use ringmq_base::limits::BLOCK_BYTES;
use ringmq_io::{File, Runtime};

use super::{
    buffer::Wanted,
    entry::{Entry, UNIT_MS},
    page::{PAGE_ENTRIES, SegmentHeader, pages_of, read_page},
};
use crate::{api::errors::ReadError, files::segment::FileOf};

/// Guesses before the range is halved in turn with them.
const GUESSES: u32 = 3;

/// An open key segment.
pub struct KeySegment<R: Runtime> {
    pub header: SegmentHeader,
    pub path: PathBuf,
    pub file: FileOf<R>,
}

impl<R: Runtime> KeySegment<R> {
    /// Where a slot begins in the file, in blocks.
    pub fn slot_block(&self, slot: u32) -> u64 {
        1 + u64::from(slot) * u64::from(self.header.slot_blocks)
    }
}

/// A durable run. A few dozen bytes in memory.
pub struct Run<R: Runtime> {
    pub segment: Rc<KeySegment<R>>,
    pub slot: u32,
    pub entries: u32,
    pub unit_ms: u32,
    /// Holds all keys of the messages at these log positions.
    pub from: u64,
    pub to: u64,
    pub base_ms: i64,
    pub last_ms: i64,
    /// Damage was found: the run is not used any more.
    pub refused: Cell<bool>,
}

/// How many more pages a search may read.
pub struct Budget(Cell<u32>);

impl Budget {
    pub fn new(pages: u32) -> Budget {
        Budget(pages.into())
    }

    pub fn is_spent(&self) -> bool {
        self.0.get() == 0
    }

    fn spend(&self) -> bool {
        let left = self.0.get();
        self.0.set(left.saturating_sub(1));
        left > 0
    }
}

impl<R: Runtime> Run<R> {
    pub fn overlaps(&self, wanted: &Wanted) -> bool {
        self.from < wanted.before
            && self.base_ms <= wanted.end_ms
            && wanted.begin_ms <= self.last_ms
    }

    pub fn pages(&self) -> usize {
        pages_of(self.entries as usize)
    }

    /// Position of a page in the file, in bytes.
    pub fn page_position(&self, page: usize) -> u64 {
        (self.segment.slot_block(self.slot) + 1 + page as u64) * BLOCK_BYTES as u64
    }

    /// Entries of a page.
    pub fn page_entries(&self, page: usize) -> usize {
        (self.entries as usize).saturating_sub(page * PAGE_ENTRIES).min(PAGE_ENTRIES)
    }

    /// Refuses the run: it is damaged in that range of its file.
    pub fn refuse(&self, position: u64, bytes: u64, found: &str) -> ReadError {
        self.refused.set(true);
        let path = self.segment.path.clone();
        let (from, to) = (position, position + bytes);
        tracing::error!(
            path = %path.display(), from, to, found, log_from = self.from, log_to = self.to,
            "damaged run of the key index: these messages are not found by key any more"
        );
        ReadError::DamagedKeys { path, from, to, found: found.into() }
    }

    pub async fn page(&self, page: usize) -> Result<Vec<Entry>, ReadError> {
        let position = self.page_position(page);
        let read = self.segment.file.read(position, BLOCK_BYTES).await?;
        let number = u32::try_from(page).unwrap_or(u32::MAX);
        match read_page(read.bytes(), number, self.from, self.page_entries(page)) {
            Ok((entries, _)) if !entries.is_empty() => Ok(entries),
            Ok(_) => Err(self.refuse(position, BLOCK_BYTES as u64, "an empty page")),
            Err(found) => Err(self.refuse(position, BLOCK_BYTES as u64, found)),
        }
    }

    /// Units of a time, rounded down.
    fn units(&self, time_ms: i64) -> u64 {
        let since = time_ms.saturating_sub(self.base_ms).max(0);
        since.cast_unsigned() / u64::from(self.unit_ms)
    }

    /// Appends the wanted positions to `out`, the newest first, until it has `limit` or the budget
    /// is spent.
    pub async fn search(
        &self,
        wanted: &Wanted,
        limit: usize,
        budget: &Budget,
        out: &mut Vec<u64>,
    ) -> Result<(), ReadError> {
        if self.refused.get() {
            let (path, found) = (self.segment.path.clone(), "damage that was found before".into());
            let from = self.page_position(0);
            let to = self.page_position(self.pages());
            return Err(ReadError::DamagedKeys { path, from, to, found });
        }
        // Times are rounded down: what ended with `end_ms` is not beyond this.
        let bound = Entry::bound(wanted.hash, self.units(wanted.end_ms), u64::MAX);
        let Some((mut page, mut entries)) = self.last_page_before(&bound, budget).await? else {
            return Ok(());
        };
        loop {
            for entry in entries.iter().rev().filter(|entry| **entry <= bound) {
                let done = entry.hash < wanted.hash || self.is_before(entry, wanted.begin_ms);
                if done || out.len() >= limit {
                    return Ok(());
                }
                let position = entry.position();
                if position < wanted.before && out.last() != Some(&position) {
                    out.push(position);
                }
            }
            if page == 0 || !budget.spend() {
                return Ok(());
            }
            page -= 1;
            entries = self.page(page).await?;
        }
    }

    /// Whether the message is surely older.
    fn is_before(&self, entry: &Entry, begin_ms: i64) -> bool {
        let units = i64::try_from(entry.units()).unwrap_or(i64::MAX);
        let unit = i64::from(self.unit_ms);
        let time = self.base_ms.saturating_add(units.saturating_mul(unit));
        // Rounded down to the unit, and when the run was merged, to the unit before, too.
        time.saturating_add(unit + i64::from(UNIT_MS)) < begin_ms
    }

    /// The last page that begins with an entry up to `bound`.
    async fn last_page_before(
        &self,
        bound: &Entry,
        budget: &Budget,
    ) -> Result<Option<(usize, Vec<Entry>)>, ReadError> {
        let mut best = None;
        // The page wanted is in `low..high`, or it is the best so far.
        let (mut low, mut high) = (0, self.pages());
        let (mut low_hash, mut high_hash) = (0, u64::MAX);
        let mut reads = 0;
        while low < high {
            let guess = if reads < GUESSES || reads % 2 == 0 {
                interpolate(bound.hash, low_hash, high_hash, high - low)
            } else {
                (high - low) / 2
            };
            reads += 1;
            let page = low + guess.min(high - low - 1);
            if !budget.spend() {
                return Ok(None);
            }
            let entries = self.page(page).await?;
            let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
                return Ok(None);
            };
            if first > bound {
                (high, high_hash) = (page, first.hash);
                continue;
            }
            let inside = last >= bound;
            (low, low_hash) = (page + 1, last.hash);
            best = Some((page, entries));
            if inside {
                break;
            }
        }
        Ok(best)
    }
}

/// In which of so many equal parts of `low..=high` a hash is.
fn interpolate(hash: u64, low: u64, high: u64, parts: usize) -> usize {
    let span = u128::from(high.saturating_sub(low)) + 1;
    let from_low = u128::from(hash.clamp(low, high.max(low)) - low);
    usize::try_from(from_low * parts as u128 / span).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_a_hash_is_guessed_from_its_neighbours() {
        assert_eq!(interpolate(0, 0, u64::MAX, 256), 0);
        assert_eq!(interpolate(u64::MAX, 0, u64::MAX, 256), 255);
        assert_eq!(interpolate(1 << 63, 0, u64::MAX, 256), 128);
        assert_eq!(interpolate(5, 10, 20, 4), 0);
        assert_eq!(interpolate(25, 10, 20, 4), 3);
        assert_eq!(interpolate(7, 7, 7, 9), 0);
    }
}
