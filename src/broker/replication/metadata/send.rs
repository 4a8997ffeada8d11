//! The master's side: what a copy lacks, entry by entry, or everything and then the entries since.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
};

use bytes::{Bytes, BytesMut};
use ringmq_io::{Runtime, signal::Notify};
use ringmq_replication::{
    frames::{Frame, MORE_FOLLOW, Meta, MetaAck, MetaSnapshot},
    streams::StreamError,
};

use super::{PIECE_BYTES, WINDOW_BYTES};
use crate::control::{
    Control,
    metadata::{journal::Journal, snapshot::Snapshot},
};

/// What one copy is sent, on one connection.
pub struct Sending<R: Runtime> {
    control: Rc<Control<R>>,
    phase: RefCell<Phase<R>>,
    /// Number and hash of the last entry that was sent.
    sent: Cell<(u64, u64)>,
    /// Entries without an acknowledgement: number and bytes.
    under_way: RefCell<VecDeque<(u64, usize)>>,
    window: Cell<usize>,
    /// How often something was taken back that the copy may have, when that began.
    doubt: Cell<Option<u64>>,
    /// Something can go on.
    progress: Notify,
}

enum Phase<R: Runtime> {
    /// The copy has not said what it has.
    Unknown,
    Whole(Whole<R>),
    Entries,
}

/// Everything, a piece at a time.
struct Whole<R: Runtime> {
    snapshot: Snapshot<R>,
    /// Entries behind this one follow.
    begun: (u64, u64),
    taken_back: u64,
    bytes: BytesMut,
    offset: u64,
}

impl<R: Runtime> Whole<R> {
    /// The next piece. True: it was the last.
    fn piece(&mut self) -> (MetaSnapshot, bool) {
        if self.bytes.len() < PIECE_BYTES {
            for record in self.snapshot.next() {
                let length = u32::try_from(record.len()).expect("records are below 2^32 bytes");
                self.bytes.extend_from_slice(&length.to_le_bytes());
                self.bytes.extend_from_slice(&record);
            }
        }
        let piece = self.bytes.split_to(self.bytes.len().min(PIECE_BYTES)).freeze();
        let is_last = self.bytes.is_empty() && self.snapshot.is_at_end();
        let offset = self.offset;
        self.offset += piece.len() as u64;
        let total = if is_last { self.offset } else { MORE_FOLLOW };
        let written_in = ringmq_replication::Epoch::default();
        (MetaSnapshot { index: self.begun.0, written_in, offset, total, piece }, is_last)
    }
}

impl<R: Runtime> Sending<R> {
    pub fn new(control: &Rc<Control<R>>) -> Self {
        Sending {
            control: control.clone(),
            phase: RefCell::new(Phase::Unknown),
            sent: Cell::default(),
            under_way: RefCell::default(),
            window: Cell::default(),
            doubt: Cell::default(),
            progress: Notify::default(),
        }
    }

    fn journal(&self) -> &Journal {
        self.control.metadata.journal.as_ref().expect("a broker that is copied keeps one")
    }

    /// The last entry that was sent, with its hash; zeros while it has no beginning.
    pub fn sent(&self) -> (u64, u64) {
        match *self.phase.borrow() {
            Phase::Entries => self.sent.get(),
            _ => (0, 0),
        }
    }

    /// The copy says what it has. Only what it says first decides what it is sent.
    pub fn has(&self, last: (u64, u64)) {
        let is_unknown = matches!(*self.phase.borrow(), Phase::Unknown);
        if !is_unknown {
            return;
        }
        if self.journal().can_follow(last) {
            self.sent.set(last);
            self.phase.replace(Phase::Entries);
        } else {
            self.begin_whole();
        }
        self.progress.notify();
    }

    fn begin_whole(&self) {
        let journal = self.journal();
        let (begun, taken_back) = (journal.last(), journal.taken_back());
        let snapshot = Snapshot::for_copy(self.control.clone());
        let bytes = BytesMut::from(&begun.1.to_le_bytes()[..]);
        let whole = Whole { snapshot, begun, taken_back, bytes, offset: 0 };
        self.under_way.borrow_mut().clear();
        self.window.set(0);
        self.doubt.set(None);
        self.phase.replace(Phase::Whole(whole));
    }

    /// The next frame; none for now.
    pub fn next(&self) -> Option<Frame> {
        if self.is_spoiled() {
            self.begin_whole();
        }
        let mut phase = self.phase.borrow_mut();
        match &mut *phase {
            Phase::Unknown => None,
            Phase::Whole(whole) => {
                let (piece, is_last) = whole.piece();
                if is_last {
                    self.sent.set(whole.begun);
                    let unsettled = !self.control.metadata.is_settled();
                    self.doubt.set(unsettled.then_some(whole.taken_back));
                    *phase = Phase::Entries;
                }
                Some(Frame::MetaSnapshot(piece))
            }
            Phase::Entries => self.next_entry(),
        }
    }

    /// Whether the copy needs everything anew: entries that it lacks are gone, or it may have
    /// something that was taken back.
    fn is_spoiled(&self) -> bool {
        let journal = self.journal();
        match &*self.phase.borrow() {
            Phase::Unknown => false,
            Phase::Whole(whole) => {
                journal.taken_back() != whole.taken_back || !journal.reaches(whole.begun.0)
            }
            Phase::Entries => {
                let is_wrong = self.doubt.get().is_some_and(|then| journal.taken_back() != then);
                if self.control.metadata.is_settled() {
                    self.doubt.set(None);
                }
                is_wrong || !journal.reaches(self.sent.get().0)
            }
        }
    }

    fn next_entry(&self) -> Option<Frame> {
        let index = self.sent.get().0 + 1;
        let (record, hash) = self.journal().entry(index)?;
        let window = self.window.get();
        if window > 0 && window + record.len() > WINDOW_BYTES {
            return None;
        }
        self.under_way.borrow_mut().push_back((index, record.len()));
        self.window.set(window + record.len());
        self.sent.set((index, hash));
        let (committed, change) = (self.journal().last().0, Bytes::copy_from_slice(&record));
        Some(Frame::Meta(Meta { index, committed, change }))
    }

    /// Resolves when there may be a next frame.
    pub async fn changed(&self) {
        let (changed, progress) = (self.journal().changed(), self.progress.wait());
        futures_lite::future::or(changed, progress).await;
    }

    /// The copy has made entries durable.
    ///
    /// # Errors
    /// If it says so of what it was not sent.
    pub fn acknowledged(&self, ack: MetaAck) -> Result<(), StreamError> {
        // From before everything was begun anew, or about that.
        if !matches!(*self.phase.borrow(), Phase::Entries) {
            return Ok(());
        }
        if ack.written > self.sent.get().0 {
            let (said, sent) = (ack.written, self.sent.get().0);
            let what =
                format!("a slave says that it has entry {said}, and {sent} is the last sent");
            return Err(StreamError::Metadata(what));
        }
        let mut under_way = self.under_way.borrow_mut();
        while let Some((_, bytes)) = under_way.front().filter(|(index, _)| *index <= ack.written) {
            self.window.set(self.window.get() - bytes);
            under_way.pop_front();
        }
        self.progress.notify();
        Ok(())
    }
}
