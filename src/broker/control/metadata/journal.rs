//! What a master has written to its metadata log lately, for those that copy it: entries in their
//! order, numbered from 1 on at each start. Whoever needs one that is gone gets everything.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    sync::Arc,
};

use ringmq_io::signal::Notify;
use ringmq_replication::streams::chained;
use ringmq_rules::meta::MetaChange;

/// What an entry takes, in bytes, besides its own.
const ENTRY_BYTES: usize = 64;

struct Entry {
    record: Arc<[u8]>,
    /// See [`chained`].
    hash: u64,
}

pub struct Journal {
    entries: RefCell<VecDeque<Entry>>,
    /// Number and hash of the entry before the first one that is kept.
    before: Cell<(u64, u64)>,
    last: Cell<(u64, u64)>,
    bytes: Cell<usize>,
    bytes_max: usize,
    /// How often what was in the tables did not become durable.
    taken_back: Cell<u64>,
    changed: Notify,
}

impl Journal {
    /// `begin`: drawn at random, so that numbers of two starts are not taken for each other.
    pub fn new(begin: u64, bytes_max: usize) -> Journal {
        Journal {
            entries: RefCell::default(),
            before: Cell::new((0, begin)),
            last: Cell::new((0, begin)),
            bytes: Cell::new(0),
            bytes_max,
            taken_back: Cell::new(0),
            changed: Notify::default(),
        }
    }

    /// A change is durable and in the tables. Keys of the configuration are each broker's own.
    pub fn push(&self, change: &MetaChange, record: &[u8]) {
        if matches!(change, MetaChange::Keys { .. }) {
            return;
        }
        let (number, hash) = self.last.get();
        let entry = Entry { record: record.into(), hash: chained(hash, record) };
        self.last.set((number + 1, entry.hash));
        self.bytes.set(self.bytes.get() + record.len() + ENTRY_BYTES);
        self.entries.borrow_mut().push_back(entry);
        while self.bytes.get() > self.bytes_max {
            let gone = self.entries.borrow_mut().pop_front();
            let Some(gone) = gone else { break };
            self.bytes.set(self.bytes.get() - gone.record.len() - ENTRY_BYTES);
            self.before.set((self.before.get().0 + 1, gone.hash));
        }
        self.changed.notify();
    }

    /// Something that was in the tables for a while is not durable, and no entry will say so.
    pub fn note_taken_back(&self) {
        self.taken_back.set(self.taken_back.get() + 1);
        self.changed.notify();
    }

    pub fn taken_back(&self) -> u64 {
        self.taken_back.get()
    }

    /// Number and hash of the last entry.
    pub fn last(&self) -> (u64, u64) {
        self.last.get()
    }

    /// The entry of that number with its hash; `None` if it is gone or not there yet.
    pub fn entry(&self, number: u64) -> Option<(Arc<[u8]>, u64)> {
        let place = number.checked_sub(self.before.get().0 + 1)?;
        let entries = self.entries.borrow();
        let entry = entries.get(usize::try_from(place).ok()?)?;
        Some((entry.record.clone(), entry.hash))
    }

    /// Whether somebody who has all up to that entry, with this hash, can go on behind it.
    pub fn can_follow(&self, (number, hash): (u64, u64)) -> bool {
        match self.entry(number) {
            Some((_, own)) => own == hash,
            None => (number, hash) == self.before.get(),
        }
    }

    /// Whether the entry behind that number is kept, or is the next one.
    pub fn reaches(&self, number: u64) -> bool {
        (self.before.get().0..=self.last.get().0).contains(&number)
    }

    /// Resolves at the next entry after this call.
    pub fn changed(&self) -> impl Future<Output = ()> {
        self.changed.wait()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::metadata::pieces::encode;

    fn push(journal: &Journal, offset: i64) -> u64 {
        let change = MetaChange::DelayOffset { level: 1, offset };
        journal.push(&change, &encode(&change));
        journal.last().1
    }

    #[test]
    fn entries_follow_on_each_other_and_keys_are_no_entries() {
        let journal = Journal::new(7, 1 << 20);
        assert!(journal.can_follow((0, 7)) && !journal.can_follow((0, 8)));
        let first = push(&journal, 1);
        let keys = MetaChange::Keys { keys: Vec::new() };
        journal.push(&keys, &encode(&keys));
        let second = push(&journal, 2);
        assert_eq!(journal.last(), (2, second));
        assert!(journal.can_follow((0, 7)) && journal.can_follow((1, first)));
        assert!(!journal.can_follow((1, second)) && !journal.can_follow((3, second)));
        let (record, hash) = journal.entry(2).expect("kept");
        assert_eq!(hash, chained(first, &record));
        assert_ne!(push(&Journal::new(8, 1 << 20), 1), first, "of another start");
    }

    #[test]
    fn what_is_beyond_the_limit_is_gone() {
        let journal = Journal::new(7, 1000);
        let hashes: Vec<u64> = (0..100).map(|offset| push(&journal, offset)).collect();
        assert!(journal.bytes.get() <= 1000);
        let kept = journal.entries.borrow().len() as u64;
        assert!((5..20).contains(&kept), "{kept}");
        let last_gone = 100 - kept;
        assert_eq!(journal.entry(last_gone), None);
        assert!(!journal.reaches(last_gone - 1) && journal.reaches(last_gone));
        assert!(journal.can_follow((last_gone, hashes[last_gone as usize - 1])));
        assert!(!journal.can_follow((0, 7)));
        let large = MetaChange::OffsetsDelete { topic: Some("t".repeat(2000)), group: None };
        journal.push(&large, &encode(&large));
        assert_eq!((journal.bytes.get(), journal.last().0), (0, 101), "it is not kept");
    }
}
