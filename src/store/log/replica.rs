//! What replication asks of a log and tells it: how far it has got, its bytes for others, records
//! of a master, what may be committed, and the beginning of a leadership.

use ringmq_base::{LogId, LogPosition};
use ringmq_io::Runtime;

use super::{
    Log,
    state::{Phase, State},
};
use crate::{
    api::{
        errors::{AppendError, LogError, RawError},
        options::Sink,
        values::{LogEnds, SegmentFacts},
    },
    files::{
        envelope::{self, Envelope, Kind},
        epochs::Epochs,
        leadership::{self, Leadership},
        mark::Mark,
        segment::Segment,
    },
};

/// What [`Log::copy_appended`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopiedRange {
    /// Whole records up to here; the next ones begin at `next`, which is in another segment if it
    /// is not the same.
    Records { end: LogPosition, next: LogPosition },
    /// Nothing has been appended there yet.
    End,
    /// Not in memory any more: it has to be read from the files.
    Cold,
}

impl<R: Runtime, S: Sink> Log<R, S> {
    pub fn id(&self) -> LogId {
        self.shared.options.log
    }

    /// How far the log has got.
    pub fn ends(&self) -> LogEnds {
        let state = self.shared.state.borrow();
        LogEnds {
            stable: LogPosition(state.stable),
            written: LogPosition(state.written),
            committed: LogPosition(state.committed),
            end: LogPosition(state.position),
        }
    }

    /// The epoch of the newest record, or the one that appends carry if that is greater.
    pub fn epoch(&self) -> u32 {
        self.shared.state.borrow().epoch
    }

    /// Where epochs begin, as far as is known; that of an opening that leads counts as begun.
    pub fn epochs(&self) -> Epochs {
        self.shared.mark.last().epochs
    }

    /// Why nothing is appended or written any more, if an operation of the device has failed.
    pub fn failure(&self) -> Option<LogError> {
        self.shared.fenced()
    }

    /// Whether the log is neither closing nor fenced.
    pub fn is_open(&self) -> bool {
        self.shared.is_open()
    }

    /// Resolves when more is appended; when that has happened since a look at [`Log::ends`], wait
    /// for it without an await in between. Also when the log is fenced or closed. Safe to cancel.
    pub async fn appended(&self) {
        self.shared.appended.wait().await;
    }

    /// Resolves when more is written, synced or committed; as [`Log::appended`].
    pub async fn progressed(&self) {
        self.shared.published.wait().await;
    }

    /// Copies whole records from `from` on behind what is in `out`: at most `bytes_max`, unless the
    /// first is larger. They need not be written yet; nothing of a batch that is not complete is
    /// among them. `from` is where a record begins.
    pub fn copy_appended(
        &self,
        from: LogPosition,
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> CopiedRange {
        self.shared.state.borrow().copy_appended(from.0, bytes_max, out)
    }

    /// Takes whole records that the master has written at `position` and goes on behind them. When
    /// it returns they are in memory; [`Log::progressed`] tells of them as of own appends.
    ///
    /// # Errors
    /// [`RawError::Append`] with `Busy`: try again when [`Log::room`] has resolved, from the end
    /// that [`Log::ends`] says: some of the records may have been taken. All others: the stream is
    /// of no use any more. What was refused is not in the log.
    pub fn append_raw(&self, position: LogPosition, bytes: &[u8]) -> Result<(), RawError> {
        let shared = &self.shared;
        let (result, wants_space) = {
            let mut state = shared.state.borrow_mut();
            let began = |epoch, at| shared.mark.epoch_began(epoch, at);
            (state.append_raw(position.0, bytes, began), state.space_wanted > 0)
        };
        shared.appended.notify();
        if wants_space {
            shared.space.notify();
        }
        result
    }

    /// The master goes on in this segment when the one before is full: it is made as soon as there
    /// is space. Nothing happens if it is there.
    ///
    /// # Errors
    /// If another one is there or due, or the log does not follow a master.
    pub fn announce_segment(&self, facts: SegmentFacts) -> Result<(), RawError> {
        let shared = &self.shared;
        let known = shared.segment_at(facts.start.0).map(|segment| facts_of(&segment));
        shared.state.borrow_mut().announce(facts, known)?;
        shared.space.notify();
        Ok(())
    }

    /// The segments from the one on that holds `from`, in their order.
    pub fn segment_facts(&self, from: LogPosition) -> Vec<SegmentFacts> {
        let segments = self.shared.segments.borrow();
        let later = segments.iter().filter(|segment| segment.end() > from.0);
        later.map(|segment| facts_of(segment)).collect()
    }

    /// Everything before `position` is stable on each member of the in-sync set. Records that are
    /// appended from now on say so, and a start takes it for proof: it must be true for good.
    pub fn note_stable_everywhere(&self, position: LogPosition) {
        let mut state = self.shared.state.borrow_mut();
        assert!(position.0 <= state.stable, "the in-sync set without this node");
        state.stable_everywhere = position.0;
    }

    /// From `position` on this copy counts for what is committed: it has acknowledged everything
    /// before, and what later records say about stable storage is true here as well.
    pub fn count_from(&self, position: LogPosition) {
        self.shared.state.borrow_mut().counts_from = position.0;
    }

    /// This copy does not count any more: what comes may say of it what is not true. Durable when
    /// resolved; no record that was sent after it ceased to count may be appended before.
    ///
    /// # Errors
    /// If the mark cannot be written: the log is fenced.
    pub async fn count_no_more(&self) -> Result<(), LogError> {
        let shared = &self.shared;
        shared.state.borrow_mut().counts_from = u64::MAX;
        let _turn = shared.mark.turn().await;
        self.write_both(Mark { claims: false, clean: false, ..shared.mark.last() }).await
    }

    /// Begins a leadership: makes durable that records of a smaller epoch end here, unless the
    /// opening has, and appends `start` as the first record of `epoch`. Nothing else may be
    /// appended meanwhile. When it resolves, appends are taken and carry the epoch; the record is
    /// as durable as other appends, and nothing is taken from a master any more.
    ///
    /// # Errors
    /// If the mark or the record could not be written: then the log is fenced, closing or full.
    ///
    /// # Panics
    /// If the epoch is neither greater than any that the log has seen nor that of its opening.
    pub async fn start_epoch(&self, epoch: u32, start: Leadership) -> Result<(), StartError> {
        let shared = &self.shared;
        let end = shared.state.borrow().position;
        let opened = shared.mark.last();
        if epoch == opened.epoch {
            assert_eq!(end, opened.cut, "the epoch has begun");
        } else {
            self.note_epoch(epoch, end).await?;
        }
        loop {
            {
                let mut state = shared.state.borrow_mut();
                assert_eq!(state.position, end, "an append before its epoch");
                match state.put_epoch_start(epoch, &start) {
                    Ok(()) => break,
                    Err(AppendError::Busy { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            self.ask_for_space();
            self.room().await;
        }
        shared.appended.notify();
        Ok(())
    }

    /// Notes that records of a smaller epoch end at `end`, which is the end of the log.
    async fn note_epoch(&self, epoch: u32, end: u64) -> Result<(), LogError> {
        let shared = &self.shared;
        self.caught_up(0).await;
        if let Err(error) = shared.sync().await {
            shared.fence(&error);
        }
        let _turn = shared.mark.turn().await;
        let last = shared.mark.last();
        assert!(epoch > last.seen, "epoch {epoch} after {}", last.seen);
        let mut epochs = last.epochs.clone();
        epochs.began(epoch, end);
        // Everything here was whole when it became stable, and all of it is.
        let (cut, seen, claims, clean) = (end, epoch, true, false);
        self.write_both(Mark { epoch, cut, seen, claims, clean, epochs, ..last }).await
    }

    /// Writes both blocks of the mark; the caller has its turn.
    async fn write_both(&self, mark: Mark) -> Result<(), LogError> {
        for _ in 0..2 {
            if let Some(error) = self.shared.fenced() {
                return Err(error);
            }
            if let Err(error) = self.shared.mark.write(mark.clone()).await {
                self.shared.fence(&error);
            }
        }
        self.shared.fenced().map_or(Ok(()), Err)
    }
}

/// Why a leadership could not begin.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Append(#[from] AppendError),
}

fn facts_of<R: Runtime>(segment: &Segment<R>) -> SegmentFacts {
    SegmentFacts { start: LogPosition(segment.start), bytes: segment.bytes, epoch: segment.epoch }
}

impl<T> State<T> {
    fn copy_appended(&self, from: u64, bytes_max: usize, out: &mut Vec<u8>) -> CopiedRange {
        if from >= self.position {
            return CopiedRange::End;
        }
        if from < self.tail.resident_from() {
            return CopiedRange::Cold;
        }
        let Some(batch) = self.batch_from(from, bytes_max) else {
            return CopiedRange::End;
        };
        let before = out.len();
        out.resize(before + (batch.end - batch.from) as usize, 0);
        let copied = self.tail.copy(batch.from, &mut out[before..]);
        assert!(copied, "what is behind something resident is resident");
        let next = self.tail.next_chunk(batch.end).unwrap_or(self.position);
        CopiedRange::Records { end: LogPosition(batch.end), next: LogPosition(next) }
    }

    /// Appends the first record of a leadership.
    fn put_epoch_start(&mut self, epoch: u32, start: &Leadership) -> Result<(), AppendError> {
        if !matches!(self.phase, Phase::Following) {
            self.is_taking()?;
        }
        let stride = envelope::stride(leadership::BYTES);
        // An end of segment before it is of the new epoch, too.
        let before = std::mem::replace(&mut self.epoch, epoch);
        if let Err(error) = self.place(stride) {
            self.epoch = before;
            return Err(error);
        }
        let (position, unstable) = (self.position, self.unstable());
        let out = self.tail.extend(position, stride);
        if let Some(payload) = out.get_mut(envelope::BYTES..).and_then(<[u8]>::first_chunk_mut) {
            start.write(payload);
        }
        let envelope = Envelope::new(Kind::EpochStart, leadership::BYTES, epoch, 0, unstable);
        envelope.seal(out, position);
        self.position += stride as u64;
        self.backlog += stride;
        self.announced.clear();
        self.phase = Phase::Open;
        Ok(())
    }
}
