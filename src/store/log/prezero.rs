//! What is filled with zeros ahead of the tail, and who may write where.
//!
//! A zero write and a write of the tail never overlap in time: the flusher claims what it is about
//! to write and waits for a zero write of the same range that is under way; no zero write begins
//! before the end of what was ever claimed.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
};

use ringmq_base::limits::BLOCK_BYTES;
use ringmq_io::signal::Notify;

use crate::{files::block::block_ceiling, log::space::Space};

const WRITE_BYTES_MAX: u64 = 1 << 20;

#[derive(Default)]
pub struct Prezero {
    /// Size of a zero write, and how far ahead of the tail zeroing begins again when the tail has
    /// overtaken it.
    step: u64,
    /// The zero write under way.
    in_flight: Cell<Option<(u64, u64)>>,
    /// Nothing before it is ever zeroed again.
    frontier: Cell<u64>,
    /// A zero write ended, or the phase changed.
    pub changed: Notify,
    /// There may be something to zero again.
    pub wake: Notify,
    /// Written position from which on there may be.
    wake_at: Cell<u64>,
    /// Starts of segments that need no zeros: all of their blocks have been written before.
    recycled: RefCell<BTreeSet<u64>>,
}

impl Prezero {
    /// Zeroes behind `frontier` only, and about `ahead` bytes ahead of the tail.
    pub fn new(frontier: u64, ahead: u64) -> Prezero {
        let step = block_ceiling(ahead / 4).clamp(BLOCK_BYTES as u64, WRITE_BYTES_MAX);
        Prezero { step, frontier: Cell::new(frontier), ..Prezero::default() }
    }

    /// The segment that starts there was another one before.
    pub fn skip_segment(&self, start: u64) {
        let mut recycled = self.recycled.borrow_mut();
        recycled.insert(start);
        // Those behind the tail and the one that it is in are all that matter.
        while recycled.len() > 4 {
            recycled.pop_first();
        }
    }

    /// Resolves when `from..end` is the flusher's. True if it had to wait.
    pub async fn claim(&self, from: u64, end: u64) -> bool {
        self.frontier.set(self.frontier.get().max(end));
        let mut waited = false;
        while self.in_flight.get().is_some_and(|zero| zero.0 < end && from < zero.1) {
            waited = true;
            self.changed.wait().await;
        }
        waited
    }

    /// Where the zero write begins that is under way within the range, if one is.
    pub fn under_way_from(&self, range: std::ops::Range<u64>) -> Option<u64> {
        let (from, end) = self.in_flight.get()?;
        (from < range.end && range.start < end).then_some(from)
    }

    /// Tells the task that the log is written up to there.
    pub fn advance(&self, written: u64) {
        if written >= self.wake_at.get() {
            self.wake.notify();
        }
    }

    /// Size of a zero write.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Begins a zero write, which the flusher waits for from now on.
    pub fn begin(&self, from: u64, end: u64) {
        assert!(from >= self.frontier.get() && self.in_flight.get().is_none());
        self.in_flight.set(Some((from, end)));
    }

    /// The zero write that was begun is over.
    pub fn end(&self) {
        self.in_flight.set(None);
        self.changed.notify();
    }

    /// [`Prezero::wake`] comes when the log is written that far.
    pub fn wake_at(&self, written: u64) {
        self.wake_at.set(written);
    }

    /// The next range to zero within the spaces, and where zeroing has got to after it.
    pub fn next(
        &self,
        spaces: &[Space],
        position: u64,
        done: u64,
        ahead: u64,
    ) -> Option<(u64, u64)> {
        let frontier = self.frontier.get();
        let from = if done <= frontier { frontier + self.step } else { done };
        let limit = position.max(frontier).saturating_add(ahead + self.step);
        let recycled = self.recycled.borrow();
        for space in spaces.iter().filter(|space| !recycled.contains(&space.start)) {
            let from = from.max(space.start + BLOCK_BYTES as u64);
            let end = space.allocated.min(from + self.step);
            if from < end && from < limit {
                return Some((from, end));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeroing_keeps_ahead_of_what_was_claimed() {
        const STEP: u64 = WRITE_BYTES_MAX;
        let zeroing = Prezero::new(8192, 16 << 20);
        let spaces = [Space { start: 0, end: 1 << 30, allocated: 64 << 20 }];
        let ahead = 16 << 20;
        let (from, end) = zeroing.next(&spaces, 8192, 0, ahead).expect("space");
        assert_eq!((from, end), (8192 + STEP, 8192 + 2 * STEP));
        assert_eq!(zeroing.next(&spaces, 8192, end, ahead), Some((end, end + STEP)));
        zeroing.frontier.set(40 << 20);
        assert_eq!(zeroing.next(&spaces, 8192, end, ahead).map(|next| next.0), Some(41 << 20));
        zeroing.frontier.set(64 << 20);
        assert_eq!(zeroing.next(&spaces, 64 << 20, end, ahead), None);
    }

    #[test]
    fn recycled_segments_are_not_zeroed() {
        let zeroing = Prezero::new(8192, 16 << 20);
        let space =
            |start: u64| Space { start, end: start + (1 << 20), allocated: start + (1 << 20) };
        let spaces = [space(0), space(1 << 20), space(2 << 20)];
        zeroing.skip_segment(0);
        zeroing.skip_segment(1 << 20);
        let (from, _) = zeroing.next(&spaces, 8192, 0, 16 << 20).expect("the third");
        assert_eq!(from, (2 << 20) + BLOCK_BYTES as u64);
    }
}
