//! Where appends go: segments with allocated space, the way from one to the next, and what is said
//! when there is none.

use std::{path::PathBuf, sync::Arc};

use super::state::State;
use crate::{
    api::errors::AppendError,
    files::{
        envelope::{self, Envelope, Kind},
        segment::HEADER_BYTES,
    },
};

/// A segment as far as appends go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    pub start: u64,
    pub end: u64,
    /// Appends may fill the log up to here.
    pub allocated: u64,
}

/// Where a record goes that needs some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    Here,
    /// Behind an end of segment, for which there is room.
    InNext,
    /// Nowhere before more is allocated.
    Missing,
}

impl Space {
    /// Where `need` bytes go, an end of segment among them, if the log is at `position`.
    pub fn room(&self, position: u64, need: u64) -> Room {
        if position + need <= self.allocated {
            Room::Here
        } else if position + need > self.end && position + envelope::BYTES as u64 <= self.allocated
        {
            Room::InNext
        } else {
            Room::Missing
        }
    }
}

/// Why the log gets no more space for now. What it has is used meanwhile.
#[derive(Clone, Debug)]
pub enum Stalled {
    /// The disk has none.
    Full { needed: u64, free: u64, path: PathBuf },
    /// A file could not be made, opened or extended.
    Failed { cause: Arc<str> },
}

impl Stalled {
    pub fn is_full(&self) -> bool {
        matches!(self, Stalled::Full { .. })
    }

    pub fn error(&self) -> AppendError {
        match self {
            Stalled::Full { needed, free, path } => {
                AppendError::Full { needed: *needed, free: *free, path: path.clone() }
            }
            Stalled::Failed { cause } => AppendError::NoRoom { cause: cause.clone() },
        }
    }
}

impl<T> State<T> {
    /// Makes `position` a place where `stride` bytes and an end of segment fit.
    #[inline]
    pub(super) fn place(&mut self, stride: usize) -> Result<(), AppendError> {
        let need = (stride + envelope::BYTES) as u64;
        let space = self.spaces.front();
        if space.is_some_and(|space| self.position + need <= space.allocated) {
            return Ok(());
        }
        self.place_in_next(need)
    }

    #[cold]
    fn place_in_next(&mut self, need: u64) -> Result<(), AppendError> {
        loop {
            let space = *self.spaces.front().expect("there is always a segment");
            let next = self.spaces.get(1).copied();
            match (space.room(self.position, need), next) {
                (Room::Here, _) => return Ok(()),
                (Room::InNext, Some(next)) => self.leave_segment(next),
                _ => return Err(self.no_space(need)),
            }
        }
    }

    /// Ends the segment and goes on at the start of the next.
    fn leave_segment(&mut self, next: Space) {
        let unstable = self.unstable();
        let out = self.tail.extend(self.position, envelope::BYTES);
        Envelope::new(Kind::EndOfSegment, 0, self.epoch, 0, unstable).seal(out, self.position);
        self.go_on_at(next);
    }

    /// Goes on at the start of the next segment behind the end of this one, which was just put into
    /// the tail.
    pub(super) fn go_on_at(&mut self, next: Space) {
        self.backlog += envelope::BYTES;
        let end = self.position + envelope::BYTES as u64;
        self.position = next.start + HEADER_BYTES;
        self.segment_boundaries.push_back((end, self.position));
        self.spaces.pop_front();
    }

    /// Asks for `missing` bytes more than are allocated ahead.
    #[cold]
    pub(super) fn no_space(&mut self, missing: u64) -> AppendError {
        self.space_wanted = self.space_wanted.max(self.space_ahead() + missing + HEADER_BYTES);
        match &self.stalled {
            Some(stalled) => {
                self.counters.refused_full += 1;
                stalled.error()
            }
            None => {
                // Space is on its way: it is allocated far ahead of the tail.
                self.counters.refused_busy += 1;
                AppendError::Busy { backlog: self.backlog, limit: self.backlog_max }
            }
        }
    }

    /// Allocated bytes ahead of the next append.
    pub fn space_ahead(&self) -> u64 {
        let ahead = |space: &Space| space.allocated - space.start.max(self.position);
        self.spaces.iter().filter(|space| space.allocated > self.position).map(ahead).sum()
    }
}
