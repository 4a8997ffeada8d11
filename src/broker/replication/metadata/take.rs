//! The side of a copy: what comes is checked, made durable, and in effect.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
};

use bytes::{Buf, Bytes, BytesMut};
use ringmq_io::{Runtime, signal::Notify};
use ringmq_replication::{
    frames::{Frame, MORE_FOLLOW, Meta, MetaAck, MetaSnapshot},
    streams::{StreamError, chained},
};
use ringmq_rules::meta::MetaChange;
use ringmq_store::MetaLog;

use super::WINDOW_BYTES;
use crate::control::{Control, metadata::differences::Others};

/// Bytes of a record that is read where it comes in: some 300 us. Longer ones are read beside the
/// shard.
const SHORT_BYTES: usize = 64 * 1024;

/// The last entry that a copy has, with its hash, as long as its process runs: zeros if it is not
/// known what it has.
#[derive(Default)]
pub struct Has(pub Cell<(u64, u64)>);

/// What one connection brings.
pub struct Taking<'a, R: Runtime> {
    control: &'a Rc<Control<R>>,
    has: &'a Has,
    /// The last entry that has come, with its hash; none before the first snapshot.
    came: Cell<Option<(u64, u64)>>,
    collected: RefCell<Option<Collected>>,
    waiting: RefCell<VecDeque<Came>>,
    waiting_bytes: Cell<usize>,
    acknowledged: Cell<u64>,
    /// Something has come, or is done.
    progress: Notify,
}

enum Came {
    Entry { last: (u64, u64), change: Bytes },
    Everything { last: (u64, u64), others: Box<Others> },
}

/// A snapshot that has come in part.
struct Collected {
    index: u64,
    hash: Option<u64>,
    offset: u64,
    rest: BytesMut,
    others: Box<Others>,
}

fn wrong(what: String) -> StreamError {
    StreamError::Metadata(what)
}

fn read(record: &[u8]) -> Result<MetaChange, StreamError> {
    serde_json::from_slice(record).map_err(|error| {
        wrong(format!(
            "a change of {} bytes is not known to this version ({error}): let both run the same",
            record.len()
        ))
    })
}

impl<'a, R: Runtime> Taking<'a, R> {
    pub fn new(control: &'a Rc<Control<R>>, has: &'a Has) -> Self {
        Taking {
            control,
            has,
            came: Cell::new(Some(has.0.get()).filter(|has| *has != (0, 0))),
            collected: RefCell::default(),
            waiting: RefCell::default(),
            waiting_bytes: Cell::default(),
            acknowledged: Cell::new(has.0.get().0),
            progress: Notify::default(),
        }
    }

    pub fn has(&self) -> (u64, u64) {
        self.has.0.get()
    }

    /// The master's heartbeat names the entry that it has sent last.
    ///
    /// # Errors
    /// If that is another one than has come.
    pub fn compare(&self, (index, hash): (u64, u64)) -> Result<(), StreamError> {
        match self.came.get().filter(|_| index > 0) {
            Some(came) if came != (index, hash) && self.collected.borrow().is_none() => {
                self.has.0.set((0, 0));
                let (own, own_hash) = came;
                Err(wrong(format!(
                    "the last entry sent is {index} ({hash:016x}), and {own} ({own_hash:016x}) has \
                     come"
                )))
            }
            _ => Ok(()),
        }
    }

    pub async fn take(&self, frame: Frame) -> Result<(), StreamError> {
        match frame {
            Frame::Meta(meta) => self.take_entry(meta),
            Frame::MetaSnapshot(piece) => self.take_piece(piece).await,
            other => Err(StreamError::Unexpected { kind: other.kind() }),
        }
    }

    fn take_entry(&self, meta: Meta) -> Result<(), StreamError> {
        let Some((last, hash)) = self.came.get() else {
            return Err(wrong(format!("entry {} comes before the snapshot", meta.index)));
        };
        if meta.index != last.wrapping_add(1) || self.collected.borrow().is_some() {
            return Err(wrong(format!("entry {} comes behind entry {last}", meta.index)));
        }
        let bytes = self.waiting_bytes.get() + meta.change.len();
        let most = WINDOW_BYTES + MetaLog::<R>::RECORD_BYTES_MAX;
        if bytes > most {
            return Err(wrong(format!(
                "{bytes} bytes of entries wait here, at most {most} may be on their way"
            )));
        }
        let last = (meta.index, chained(hash, &meta.change));
        self.came.set(Some(last));
        self.waiting_bytes.set(bytes);
        self.waiting.borrow_mut().push_back(Came::Entry { last, change: meta.change });
        self.progress.notify();
        Ok(())
    }

    async fn take_piece(&self, piece: MetaSnapshot) -> Result<(), StreamError> {
        let collected = self.collected.take().filter(|_| piece.offset > 0);
        let mut collected = match collected {
            Some(collected) => collected,
            None if piece.offset == 0 => Collected {
                index: piece.index,
                hash: None,
                offset: 0,
                rest: BytesMut::new(),
                others: Box::new(Others::new(self.control)),
            },
            None => {
                return Err(wrong(format!(
                    "a piece of a snapshot at byte {} comes before its beginning",
                    piece.offset
                )));
            }
        };
        if (piece.index, piece.offset) != (collected.index, collected.offset) {
            return Err(wrong(format!(
                "a piece of the snapshot of entry {} at byte {} comes where that of entry {} is at \
                 byte {}",
                piece.index, piece.offset, collected.index, collected.offset
            )));
        }
        collected.offset += piece.piece.len() as u64;
        let most = self.control.shard.settings.sizes.snapshot_bytes_max as u64;
        if collected.offset > most {
            return Err(wrong(format!(
                "the snapshot has more than {most} bytes, which is all that the memory was planned \
                 for: give this broker more memory"
            )));
        }
        collected.rest.extend_from_slice(&piece.piece);
        self.read_records(&mut collected).await?;
        if piece.total == MORE_FOLLOW {
            self.collected.replace(Some(collected));
            return Ok(());
        }
        self.finish(collected, piece.total)
    }

    /// Reads the records that are whole.
    async fn read_records(&self, collected: &mut Collected) -> Result<(), StreamError> {
        if collected.hash.is_none() {
            if collected.rest.len() < 8 {
                return Ok(());
            }
            collected.hash = Some(collected.rest.get_u64_le());
        }
        while let Some(length) = collected.rest.first_chunk::<4>() {
            let length = u32::from_le_bytes(*length) as usize;
            let most = MetaLog::<R>::RECORD_BYTES_MAX;
            if length > most {
                return Err(wrong(format!(
                    "a record of a snapshot has {length} bytes, at most {most} are possible"
                )));
            }
            if collected.rest.len() < 4 + length {
                return Ok(());
            }
            collected.rest.advance(4);
            let record = collected.rest.split_to(length).freeze();
            collected.others.apply(&self.read(record).await?);
            self.control.shard.runtime.yield_if_needed().await;
        }
        Ok(())
    }

    async fn read(&self, record: Bytes) -> Result<MetaChange, StreamError> {
        if record.len() <= SHORT_BYTES {
            return read(&record);
        }
        self.control.shard.runtime.aside(move || read(&record)).await
    }

    fn finish(&self, collected: Collected, total: u64) -> Result<(), StreamError> {
        let (missing, end) = (collected.rest.len(), collected.offset);
        let Some(hash) = collected.hash.filter(|_| missing == 0 && end == total) else {
            return Err(wrong(format!(
                "a snapshot of {total} bytes ends at byte {end} in the midst of a record, \
                 {missing} bytes behind its beginning"
            )));
        };
        let last = (collected.index, hash);
        self.came.set(Some(last));
        // What has come before is in it.
        self.waiting.borrow_mut().clear();
        self.waiting_bytes.set(0);
        let everything = Came::Everything { last, others: collected.others };
        self.waiting.borrow_mut().push_back(everything);
        self.progress.notify();
        Ok(())
    }

    /// Makes what comes durable and has it count, in order. Ends only with an error.
    pub async fn apply(&self) -> Result<std::convert::Infallible, StreamError> {
        loop {
            let came = self.waiting.borrow_mut().pop_front();
            match came {
                None => self.progress.wait().await,
                Some(Came::Everything { last, others }) => {
                    // Half of it is worse to go on from than nothing.
                    self.has.0.set((0, 0));
                    let done = self.control.become_like(&others).await;
                    done.map_err(|error| StreamError::NotTaken(error.refusal.remark))?;
                    self.done(last);
                    tracing::info!(entry = last.0, "metadata is that of the master");
                }
                Some(Came::Entry { last, change }) => self.apply_entries(last, change).await?,
            }
        }
    }

    /// All entries that have come, by one write.
    async fn apply_entries(&self, mut last: (u64, u64), first: Bytes) -> Result<(), StreamError> {
        self.popped(&first);
        let mut changes = vec![self.read(first).await?];
        loop {
            let next = {
                let mut waiting = self.waiting.borrow_mut();
                let is_entry = matches!(waiting.front(), Some(Came::Entry { .. }));
                if is_entry { waiting.pop_front() } else { None }
            };
            let Some(Came::Entry { last: next, change }) = next else { break };
            self.popped(&change);
            changes.push(self.read(change).await?);
            last = next;
            self.control.shard.runtime.yield_if_needed().await;
        }
        changes.retain(|change| !matches!(change, MetaChange::Keys { .. }));
        // If the connection ends in between, the same entries come again.
        let taken = self.control.take_copied(&changes).await;
        if let Err(error) = taken {
            // Some may be written and in no table.
            self.has.0.set((0, 0));
            return Err(StreamError::NotTaken(error.refusal.remark));
        }
        self.done(last);
        Ok(())
    }

    fn popped(&self, change: &Bytes) {
        self.waiting_bytes.set(self.waiting_bytes.get() - change.len());
    }

    fn done(&self, last: (u64, u64)) {
        self.has.0.set(last);
        self.progress.notify();
    }

    /// What the master has not been told yet.
    pub fn next(&self) -> Option<Frame> {
        let (last, _) = self.has.0.get();
        if last == 0 || last == self.acknowledged.get() {
            return None;
        }
        self.acknowledged.set(last);
        Some(Frame::MetaAck(MetaAck { written: last, stable: last }))
    }

    pub fn changed(&self) -> impl Future<Output = ()> {
        self.progress.wait()
    }
}
