//! The newest entries of the key index, in memory until they are in a durable run.
//!
//! Pure: nothing here waits. Entries come in the order of the log. A full block is sealed and waits
//! for the writer; when too many wait, the buffer *lags*: it takes nothing more until somebody has
//! read the log from [`KeyBuffer::frontier`] on.

use std::{collections::VecDeque, rc::Rc};

use ringmq_io::signal::Notify;

use super::{
    entry::{Entry, Hasher, UNIT_MS, UNITS_MAX},
    words::Words,
};
use crate::files::envelope;

/// The transaction bits of a system flag, and what they are in a rollback.
const TRANSACTION_MASK: i32 = 0x3 << 2;
const TRANSACTION_ROLLBACK: i32 = 0x3 << 2;
/// Memory of blocks kept for further ones.
const SPARE_BLOCKS_MAX: usize = 4;

/// What a message is noted with.
#[derive(Clone, Copy, Debug)]
pub struct Noted<'a> {
    pub topic: &'a str,
    pub sys_flag: i32,
    pub properties: &'a [u8],
    /// Of the message record, behind its envelope.
    pub position: u64,
    /// Where the next record of the log begins.
    pub end: u64,
    /// Milliseconds since 1970; never less than that of an earlier message.
    pub store_timestamp: i64,
}

impl Noted<'_> {
    /// Where the envelope of the record begins.
    fn start(&self) -> u64 {
        self.position - envelope::BYTES as u64
    }
}

/// Entries of the messages at log positions `from..to`; both are where a record begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    pub from: u64,
    pub to: u64,
    /// What the times of the entries count from, and what none is later than, in milliseconds.
    pub base_ms: i64,
    pub last_ms: i64,
    /// In the order of the log.
    pub entries: Vec<Entry>,
}

/// Which entries a search wants.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub hash: u64,
    /// Positions before this one.
    pub before: u64,
    /// Both included; entries may be up to a time unit outside.
    pub begin_ms: i64,
    pub end_ms: i64,
}

impl Block {
    /// Counts times from the block's first message.
    fn begin(&mut self, message: &Noted<'_>) {
        self.base_ms = message.store_timestamp.max(0);
        self.last_ms = self.base_ms;
    }

    /// Whether a message of the block may be within the times.
    pub fn overlaps(&self, wanted: &Wanted) -> bool {
        self.from < wanted.before
            && self.base_ms <= wanted.end_ms
            && wanted.begin_ms <= self.last_ms
            && !self.entries.is_empty()
    }

    /// Appends the wanted positions to `out`, the newest first, until it has `limit`.
    pub fn search(&self, wanted: &Wanted, limit: usize, out: &mut Vec<u64>) {
        if !self.overlaps(wanted) {
            return;
        }
        for entry in self.entries.iter().rev().filter(|entry| entry.hash == wanted.hash) {
            let units = i64::try_from(entry.units()).unwrap_or(i64::MAX);
            let time = self.base_ms.saturating_add(units * i64::from(UNIT_MS));
            if out.len() >= limit || time.saturating_add(i64::from(UNIT_MS)) < wanted.begin_ms {
                return;
            }
            let position = entry.position();
            if position < wanted.before && time <= wanted.end_ms && out.last() != Some(&position) {
                out.push(position);
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct BufferLimits {
    /// Entries of a full block.
    pub block_entries: usize,
    /// Sealed blocks that may wait.
    pub sealed_max: usize,
}

pub struct KeyBuffer {
    pub(super) limits: BufferLimits,
    pub(super) open: Block,
    /// Oldest first.
    pub(crate) sealed: VecDeque<Rc<Block>>,
    /// All messages before this are noted.
    pub(super) frontier: u64,
    pub(super) lagging: bool,
    /// The newest message with an entry: position and store time.
    pub(super) newest: (u64, i64),
    /// A block was sealed or went to disk, or the buffer began to lag.
    pub changed: Rc<Notify>,
    spare: Vec<Vec<Entry>>,
    hasher: Hasher,
}

impl KeyBuffer {
    pub fn limits(&self) -> BufferLimits {
        self.limits
    }

    /// An empty buffer for the messages from `from` on.
    pub fn new(limits: BufferLimits, from: u64) -> KeyBuffer {
        assert!(limits.block_entries > 0 && limits.sealed_max > 0);
        KeyBuffer {
            limits,
            open: Block { from, to: from, ..Block::default() },
            sealed: VecDeque::new(),
            frontier: from,
            lagging: false,
            newest: (0, 0),
            changed: Rc::default(),
            spare: Vec::new(),
            hasher: Hasher::default(),
        }
    }

    /// Takes the keys of a message. A message that was noted before changes nothing, so that a log
    /// may be replayed from any earlier position.
    #[inline]
    pub fn note(&mut self, message: &Noted<'_>) {
        if !self.lagging {
            self.note_late(message);
        }
    }

    /// As [`KeyBuffer::note`], while the buffer lags: for whoever reads the log behind it.
    #[inline]
    pub fn note_late(&mut self, message: &Noted<'_>) {
        if message.position < self.frontier {
            return;
        }
        self.frontier = message.end;
        if message.sys_flag & TRANSACTION_MASK == TRANSACTION_ROLLBACK {
            return;
        }
        let words = Words::of(message.properties);
        if !words.is_empty() {
            self.take(message, words);
        }
    }

    #[inline]
    fn take(&mut self, message: &Noted<'_>, words: Words<'_>) {
        let units = self.units(message);
        self.newest = (message.position, message.store_timestamp);
        self.hasher.set_topic(message.topic);
        let first = self.open.entries.len();
        for word in words.iter() {
            let hash = self.hasher.hash(word);
            self.open.entries.push(Entry::new(hash, units, message.position));
        }
        if self.open.entries.len() >= self.limits.block_entries {
            self.fill_up(first, message);
        }
    }

    /// The time of the message for its entries.
    #[inline]
    fn units(&mut self, message: &Noted<'_>) -> u64 {
        if let Some(last) = self.open.entries.last() {
            let since = message.store_timestamp.saturating_sub(self.open.base_ms).max(0);
            let units = (since.cast_unsigned() / u64::from(UNIT_MS)).max(last.units());
            if units <= UNITS_MAX {
                self.open.last_ms = self.open.last_ms.max(message.store_timestamp);
                return units;
            }
            self.seal(message.start());
        }
        self.open.begin(message);
        0
    }

    /// Seals what is full. The entries of one message, from `first` on, stay together.
    #[cold]
    fn fill_up(&mut self, first: usize, message: &Noted<'_>) {
        let full = self.limits.block_entries;
        if self.open.entries.len() == full || first == 0 {
            // One message with more keys than a block takes: no real one has so many.
            self.open.entries.truncate(full);
            self.seal(message.end);
            return;
        }
        let over: Vec<Entry> = self.open.entries.drain(first..).collect();
        self.seal(message.start());
        self.open.begin(message);
        let again = over.iter().map(|entry| Entry::new(entry.hash, 0, message.position));
        self.open.entries.extend(again);
    }

    /// Hands the open block over to the writer; the next one begins at `to`.
    fn seal(&mut self, to: u64) {
        let room = self.limits.block_entries;
        let entries = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(room));
        let next = Block { from: to, to, entries, ..Block::default() };
        let mut full = std::mem::replace(&mut self.open, next);
        full.to = to;
        self.sealed.push_back(Rc::new(full));
        if self.sealed.len() >= self.limits.sealed_max {
            self.lagging = true;
        }
        self.changed.notify();
    }

    /// Hands over what is in memory up to the frontier, if there is something.
    pub fn flush(&mut self) {
        if !self.open.entries.is_empty() {
            self.seal(self.frontier);
        }
    }

    /// All messages before this position, where a record begins, are in the index.
    pub fn frontier(&self) -> u64 {
        self.frontier
    }

    /// Nothing is noted until [`KeyBuffer::resume`].
    pub fn is_lagging(&self) -> bool {
        self.lagging
    }

    /// Takes messages again, from the frontier on. The caller notes all of them in their order.
    pub fn resume(&mut self) {
        assert!(self.has_room());
        self.lagging = false;
    }

    /// Notes nothing: messages are not indexed.
    pub fn stop(&mut self) {
        self.lagging = true;
    }

    /// Goes on at a later position: there are no messages before it, or none that can be read.
    pub fn skip_to(&mut self, position: u64) {
        self.frontier = self.frontier.max(position);
    }

    /// Whether another sealed block may wait.
    pub fn has_room(&self) -> bool {
        self.sealed.len() + 1 < self.limits.sealed_max
    }

    /// Gives up what is in memory and lags from `from` on.
    pub fn restart(&mut self, from: u64) {
        self.sealed.clear();
        self.open.entries.clear();
        self.open.from = from;
        self.open.to = from;
        self.frontier = from;
        self.newest = (0, 0);
        self.lagging = true;
        self.changed.notify();
    }

    /// The oldest block that waits for the writer.
    pub fn oldest(&self) -> Option<Rc<Block>> {
        self.sealed.front().cloned()
    }

    /// Forgets the oldest block: it is in a durable run now.
    pub fn retire(&mut self, block: Rc<Block>) {
        let oldest = self.sealed.pop_front();
        assert!(oldest.is_some_and(|oldest| Rc::ptr_eq(&oldest, &block)), "blocks go in order");
        if let Ok(mut block) = Rc::try_unwrap(block)
            && self.spare.len() < SPARE_BLOCKS_MAX
        {
            block.entries.clear();
            self.spare.push(block.entries);
        }
        self.changed.notify();
    }

    /// Position and store time of the newest message with a key; zeros without one.
    pub fn newest(&self) -> (u64, i64) {
        self.newest
    }

    /// Bytes of entries in memory.
    pub fn bytes(&self) -> usize {
        let sealed: usize = self.sealed.iter().map(|block| block.entries.len()).sum();
        (sealed + self.open.entries.len()) * size_of::<Entry>()
    }

    /// Appends the wanted positions to `out`, the newest first, until it has `limit`.
    pub fn search(&self, wanted: &Wanted, limit: usize, out: &mut Vec<u64>) {
        self.open.search(wanted, limit, out);
        for block in self.sealed.iter().rev() {
            block.search(wanted, limit, out);
        }
    }
}

#[cfg(test)]
mod tests;
