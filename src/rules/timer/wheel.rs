//! The messages that wait for their time, in memory: a few bytes each, in order of their times and,
//! among equal ones, of their offsets in the queue that keeps them.
//!
//! What is far off lies in a list a second, eight bytes a message; the nearest seconds are sorted.
//! None of it is stored: a start reads the queue again.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    mem::size_of,
    ops::Range,
};

use serde::{Deserialize, Serialize};

use super::cancelled::DELETION_BYTES;

/// A message that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waiting {
    /// Milliseconds since 1970.
    pub due_ms: i64,
    pub offset: i64,
    pub is_deletion: bool,
}

/// How far deliveries are: every message before `read` that is before (`due_ms`, `offset`) is
/// delivered. All others may be delivered, or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Frontier {
    pub read: i64,
    pub due_ms: i64,
    pub offset: i64,
    /// No message before this offset waits, and no deletion before it is remembered.
    pub first: i64,
}

impl Frontier {
    /// Whether a message is delivered for sure.
    pub fn covers(&self, due_ms: i64, offset: i64) -> bool {
        offset < self.read && (due_ms, offset) < (self.due_ms, self.offset)
    }
}

/// Messages that memory is kept for when all that is due was taken.
const NEAR_KEPT_MAX: usize = 4096;
/// Messages of a queue are counted by so many offsets.
const RUN: i64 = 4096;
/// Bytes of memory for a second, a run, and a message that is taken, blocked or late.
const SECOND_BYTES: usize = 96;
const RUN_BYTES: usize = 48;
const OPEN_BYTES: usize = 48;
/// Of the eight bytes of a message far off: milliseconds, the mark of a deletion, the offset.
const MS_BITS: u32 = 10;
/// Larger offsets are not kept.
pub const OFFSET_MAX: i64 = (1 << (63 - MS_BITS)) - 1;

/// A message with its time, and its offset beside the mark of a deletion.
type Near = (i64, i64);

pub struct Wheel {
    /// Sorted; all that is not behind `near_until`.
    near: BinaryHeap<Reverse<Near>>,
    /// The last second that has no list of its own.
    near_until: i64,
    far: BTreeMap<i64, Vec<u64>>,
    far_bytes: usize,
    /// Taken to be delivered.
    taken: BTreeSet<Near>,
    /// Taken before, and not delivered.
    blocked: BTreeSet<Near>,
    /// Everything before was taken once, but for what came later than that.
    high: (i64, i64),
    /// Offsets of messages that came when their time had been passed by.
    late: BTreeSet<i64>,
    /// How many wait of each run of offsets, or are deletions that are remembered.
    runs: BTreeMap<i64, u32>,
    /// Offset of the next message to read.
    read: i64,
    count: usize,
    deletions: usize,
}

impl Wheel {
    /// Empty, to be filled with all messages that the frontier does not cover.
    pub fn new(frontier: Frontier) -> Wheel {
        Wheel {
            near: BinaryHeap::new(),
            near_until: i64::MIN,
            far: BTreeMap::new(),
            far_bytes: 0,
            taken: BTreeSet::new(),
            blocked: BTreeSet::new(),
            high: (frontier.due_ms, frontier.offset),
            late: BTreeSet::new(),
            runs: BTreeMap::new(),
            read: frontier.read,
            count: 0,
            deletions: 0,
        }
    }

    /// Adds a message that was read from the queue. Offsets are 0 to [`OFFSET_MAX`].
    pub fn add(&mut self, waiting: Waiting) {
        assert!((0..=OFFSET_MAX).contains(&waiting.offset), "a queue of so many messages");
        self.hold(waiting.offset);
        self.count += 1;
        self.deletions += usize::from(waiting.is_deletion);
        if (waiting.due_ms, waiting.offset) < self.high {
            self.late.insert(waiting.offset);
        }
        let second = waiting.due_ms.div_euclid(1000);
        if second <= self.near_until {
            self.near.push(Reverse(waiting.near()));
            return;
        }
        let list = self.far.entry(second).or_default();
        let before = list.capacity();
        if list.len() == before {
            // Not twice as much: most of the memory lies here.
            list.reserve_exact((before / 4).max(4));
        }
        list.push(waiting.pack());
        self.far_bytes += (list.capacity() - before) * size_of::<u64>();
    }

    /// All messages of the queue before that offset were added, or were delivered before.
    pub fn has_read(&mut self, offset: i64) {
        self.read = offset;
    }

    /// Offset of the next message to read.
    pub fn read(&self) -> i64 {
        self.read
    }

    /// When the next message is due that is not taken, or the start of its second if that has not
    /// begun.
    pub fn next_due_ms(&self) -> Option<i64> {
        let near = self.near.peek().map(|next| next.0.0);
        near.or_else(|| self.far.first_key_value().map(|(second, _)| second * 1000))
    }

    /// Messages that are due by `now_ms` and not settled. Of more than [`NEAR_KEPT_MAX`] that are
    /// near some may be due within the second.
    pub fn overdue(&self, now_ms: i64) -> usize {
        let is_due = |near: &&Reverse<Near>| near.0.0 <= now_ms;
        let near = match self.near.len() {
            0..=NEAR_KEPT_MAX => self.near.iter().filter(is_due).count(),
            many => many,
        };
        near + self.taken.len()
    }

    /// Messages of seconds that have begun, and are not settled.
    pub fn begun(&self) -> usize {
        self.near.len() + self.taken.len()
    }

    /// Messages of a range of seconds that have not begun: of so many seconds at most, with the
    /// second that the others begin with.
    pub fn some_due_in(&self, seconds: Range<i64>, seconds_max: usize) -> (usize, Option<i64>) {
        if seconds.is_empty() {
            return (0, None);
        }
        let mut lists = self.far.range(seconds);
        let count = lists.by_ref().take(seconds_max).map(|(_, list)| list.len()).sum();
        (count, lists.next().map(|(second, _)| *second))
    }

    /// Sorts the seconds that have begun.
    fn sort_until(&mut self, second: i64) {
        while let Some(list) = self.far.first_entry().filter(|first| *first.key() <= second) {
            let (second, list) = list.remove_entry();
            self.far_bytes -= list.capacity() * size_of::<u64>();
            let unpacked = list.iter().map(|packed| Waiting::unpack(second, *packed));
            let near: Vec<_> = unpacked.map(|waiting| Reverse(waiting.near())).collect();
            self.near.append(&mut near.into());
        }
        self.near_until = self.near_until.max(second);
    }

    /// Takes the next message if it is due by `now_ms`. It waits until it is settled.
    pub fn take(&mut self, now_ms: i64) -> Option<Waiting> {
        let second = now_ms.div_euclid(1000);
        if second > self.near_until {
            self.sort_until(second);
        }
        if self.near.peek()?.0.0 > now_ms {
            return None;
        }
        let Reverse(next) = self.near.pop()?;
        if self.near.is_empty() {
            self.near.shrink_to(NEAR_KEPT_MAX);
        }
        self.taken.insert(next);
        let waiting = Waiting::from_near(next);
        self.high = self.high.max((waiting.due_ms, waiting.offset + 1));
        Some(waiting)
    }

    /// A taken message is delivered, or passed over.
    pub fn settle(&mut self, settled: &Waiting) {
        if !self.taken.remove(&settled.near()) {
            return;
        }
        self.blocked.remove(&settled.near());
        self.late.remove(&settled.offset);
        self.count -= 1;
        self.deletions -= usize::from(settled.is_deletion);
        self.release(settled.offset);
    }

    /// What lies at this offset is read again after a start, until it is released.
    pub fn hold(&mut self, offset: i64) {
        *self.runs.entry(offset / RUN).or_default() += 1;
    }

    /// The opposite of [`Wheel::hold`].
    pub fn release(&mut self, offset: i64) {
        let run = offset / RUN;
        if let Some(count) = self.runs.get_mut(&run) {
            *count -= 1;
            if *count == 0 {
                self.runs.remove(&run);
            }
        }
    }

    /// What was taken and not settled waits again.
    pub fn give_back(&mut self) {
        let taken = std::mem::take(&mut self.taken);
        self.near.extend(taken.iter().copied().map(Reverse));
        self.blocked.extend(taken);
    }

    /// How far deliveries are.
    pub fn frontier(&self) -> Frontier {
        let open = self.taken.iter().chain(&self.blocked).map(|near| Waiting::from_near(*near));
        let in_time = open.filter(|waiting| !self.late.contains(&waiting.offset));
        let first = in_time.map(|waiting| (waiting.due_ms, waiting.offset)).min();
        let (due_ms, offset) = first.unwrap_or(self.high);
        let read = self.late.first().map_or(self.read, |late| self.read.min(*late));
        let first = self.runs.first_key_value().map_or(self.read, |(run, _)| run * RUN);
        Frontier { read, due_ms, offset, first: first.min(read) }
    }

    /// Messages that wait, deletions included.
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Of memory, about.
    pub fn bytes(&self) -> usize {
        let open = self.taken.len() + self.blocked.len() + self.late.len();
        self.near.capacity() * size_of::<Near>()
            + open * OPEN_BYTES
            + self.far_bytes
            + self.far.len() * SECOND_BYTES
            + self.runs.len() * RUN_BYTES
            + self.deletions * DELETION_BYTES
    }
}

impl Waiting {
    fn near(self) -> Near {
        (self.due_ms, (self.offset << 1) | i64::from(self.is_deletion))
    }

    fn from_near((due_ms, marked): Near) -> Waiting {
        Waiting { due_ms, offset: marked >> 1, is_deletion: marked & 1 == 1 }
    }

    fn pack(self) -> u64 {
        let ms = self.due_ms.rem_euclid(1000).cast_unsigned();
        let offset = self.offset.cast_unsigned();
        (offset << (MS_BITS + 1)) | (u64::from(self.is_deletion) << MS_BITS) | ms
    }

    fn unpack(second: i64, packed: u64) -> Waiting {
        let ms = (packed & ((1 << MS_BITS) - 1)).cast_signed();
        Waiting {
            due_ms: second * 1000 + ms,
            offset: (packed >> (MS_BITS + 1)).cast_signed(),
            is_deletion: packed & (1 << MS_BITS) != 0,
        }
    }
}

#[cfg(test)]
mod tests;
