//! What a log knows, and the append. Nothing here waits.
//!
//! Positions in order: `stable <= written <= position <= allocated`, and `committed <= written`.
//! `committed` is what is acknowledged and visible: `written` itself in a log without replicas,
//! else what they have made certain. `stable` is what a power cut cannot take.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use ringmq_base::{
    LogId, LogPosition, PhysicalOffset,
    limits::{PROPERTIES_BYTES_MAX, TOPIC_BYTES_MAX},
    record::{NewRecord, Placement},
};

use crate::{
    api::{
        counters::{Counters, Queued},
        errors::{AppendError, LogError},
        injected_bugs,
        values::{Appended, QueueHandle, SegmentFacts},
    },
    files::envelope::{self, Envelope, Kind},
    index::{Index, Location, Place},
    keys::{KeyBuffer, Noted},
    log::{
        space::{Space, Stalled},
        tail::{Batch, Tail},
    },
};

#[derive(Clone, Debug)]
pub enum Phase {
    Open,
    /// Open, while the messages of a long batch are appended, some at a time. Nothing else is
    /// appended, and nothing at `start` or behind it written: it gets in whole or not at all.
    Batch {
        start: u64,
        /// Messages before it, counted as in [`Tail`].
        messages: u64,
    },
    /// Open for the records of a master only.
    Following,
    /// Appends are refused, what was appended is still written.
    Closing,
    /// An operation of the device failed; nothing is written any more.
    Fenced(Arc<str>),
}

/// A record, or a part of it that is named, is larger than the limit.
pub struct TooLarge {
    part: Option<&'static str>,
    size: usize,
    limit: usize,
}

impl TooLarge {
    /// The error for a message that is called `message`.
    #[cold]
    pub fn of(self, message: &str) -> AppendError {
        let TooLarge { part, size, limit } = self;
        let what = match part {
            Some(part) => format!("{part} of {message}"),
            None => format!("the record of {message}"),
        };
        AppendError::TooLarge { what: what.into(), size, limit }
    }
}

pub struct State<T> {
    pub log: LogId,
    pub epoch: u32,
    pub phase: Phase,
    pub tail: Tail,
    pub index: Index,
    pub keys: KeyBuffer,
    /// By the position that has to be written for them, ascending.
    pub tickets: VecDeque<(u64, T)>,
    /// Watched queues with a new message, by the position whose commit makes it visible.
    pub arriving: Vec<(u64, QueueHandle)>,
    /// The segment that appends go to, and those behind it.
    pub spaces: VecDeque<Space>,
    /// This copy counts for what is committed from there on: it has acknowledged all of it.
    pub counts_from: u64,
    /// The segments to come that the master has announced, if the log follows one.
    pub announced: VecDeque<SegmentFacts>,
    /// Where records of one segment end and those of the next begin, as far as not settled.
    pub segment_boundaries: VecDeque<(u64, u64)>,
    pub stalled: Option<Stalled>,
    /// Bytes ahead that would have let in an append that was refused for want of space, about; 0
    /// when the allocation has tried since.
    pub space_wanted: u64,
    /// What the allocation tried to get when it stalled last.
    pub space_missed: u64,
    /// Start of the first segment.
    pub first: u64,
    pub stable: u64,
    pub written: u64,
    /// Acknowledged and visible up to here, for ever: nothing before it is cut off.
    pub committed: u64,
    /// How far the replicas allow to commit; `u64::MAX` without any.
    pub allowed: u64,
    /// Stable on every member of the in-sync set up to here; `u64::MAX` without replicas.
    pub stable_everywhere: u64,
    /// Where the next append goes.
    pub position: u64,
    pub backlog: usize,
    pub backlog_max: usize,
    pub record_max: usize,
    pub last_timestamp: i64,
    /// Messages written, counted since the log was opened.
    pub written_messages: u64,
    pub counters: Counters,
}

/// What a commit means for others.
pub struct Committed<T> {
    pub tickets: Vec<T>,
    pub arrived: Vec<QueueHandle>,
}

impl<T> State<T> {
    /// Encodes a record at the end of the log; it is neither durable nor visible yet.
    #[inline]
    pub fn append(
        &mut self,
        queue: QueueHandle,
        record: &NewRecord<'_>,
        tags_code: i64,
        now_ms: i64,
    ) -> Result<Appended, AppendError> {
        let size = record.size();
        let stride = envelope::stride(size);
        self.is_taking()?;
        self.check_size(record, size).map_err(|too_large| too_large.of("a message"))?;
        // One that no limit leaves room for is let in at half of it, where `Log::room` resolves:
        // whoever waits for that gets in, however large the record is.
        let over = self.backlog + stride > self.backlog_max;
        if self.backlog > 0 && over && self.backlog * 2 > self.backlog_max {
            return Err(self.busy());
        }
        self.place(stride)?;
        Ok(self.put(queue, record, size, tags_code, now_ms))
    }

    /// Encodes a record where [`State::place`] has made room for it.
    #[inline]
    pub(super) fn put(
        &mut self,
        queue: QueueHandle,
        record: &NewRecord<'_>,
        size: usize,
        tags_code: i64,
        now_ms: i64,
    ) -> Appended {
        let stride = envelope::stride(size);
        let position = self.position;
        let record_position = position + envelope::BYTES as u64;
        let physical = PhysicalOffset::new(self.log, LogPosition(record_position));
        self.last_timestamp = self.last_timestamp.max(now_ms);
        let entries = self.index.queue(queue);
        assert!(entries.is(record.topic, record.queue_id), "an append to another queue");
        entries.prefetch_entry();
        let placement = Placement {
            queue_offset: injected_bugs::offset(
                entries.next(),
                self.epoch > 1 && self.counters.appends == 0,
            ),
            physical_offset: physical.get(),
            store_timestamp: self.last_timestamp,
        };
        let unstable = self.unstable();
        let out = self.tail.extend(position, stride);
        record.encode(&mut out[envelope::BYTES..envelope::BYTES + size], &placement);
        Envelope::new(Kind::Message, size, self.epoch, tags_code, unstable).seal(out, position);
        let record_end = envelope::BYTES + size;
        self.keys.note(&Noted {
            topic: record.topic,
            sys_flag: record.sys_flag,
            properties: &out[record_end - record.properties_bytes()..record_end],
            position: record_position,
            end: position + stride as u64,
            store_timestamp: placement.store_timestamp,
        });
        // The size fits: it was compared with a limit of 16 MiB.
        let location = Location { position: record_position, size: size as u32, tags_code };
        self.note_message(queue, location, stride);
        let (queue_offset, store_timestamp) = (placement.queue_offset, placement.store_timestamp);
        Appended { queue_offset, physical, size, store_timestamp }
    }

    /// Takes a message into the index that was put behind the end of the log, `stride` bytes long.
    #[inline]
    pub(super) fn note_message(&mut self, queue: QueueHandle, location: Location, stride: usize) {
        self.tail.count_message();
        self.position += stride as u64;
        let entries = self.index.queue(queue);
        if entries.watched {
            entries.watched = false;
            self.arriving.push((self.position, queue));
        }
        self.index.push(queue, location);
        self.backlog += stride;
        self.counters.appends += 1;
        self.counters.append_bytes += stride as u64;
    }

    #[inline]
    pub(super) fn is_taking(&self) -> Result<(), AppendError> {
        match &self.phase {
            Phase::Open => Ok(()),
            Phase::Batch { .. } => {
                Err(AppendError::Busy { backlog: self.backlog, limit: self.backlog_max })
            }
            Phase::Following => Err(AppendError::Following),
            Phase::Closing => Err(AppendError::ShuttingDown),
            Phase::Fenced(reason) => Err(AppendError::Fenced { reason: reason.clone() }),
        }
    }

    #[inline]
    pub(super) fn check_size(&self, record: &NewRecord<'_>, size: usize) -> Result<(), TooLarge> {
        let limits = [
            (None, size, self.record_max),
            (Some("the property string"), record.properties_bytes(), PROPERTIES_BYTES_MAX),
            (Some("the topic name"), record.topic.len(), TOPIC_BYTES_MAX),
        ];
        match limits.into_iter().find(|(_, size, limit)| size > limit) {
            Some((part, size, limit)) => Err(TooLarge { part, size, limit }),
            None => Ok(()),
        }
    }

    #[cold]
    pub(super) fn busy(&mut self) -> AppendError {
        self.counters.refused_busy += 1;
        AppendError::Busy { backlog: self.backlog, limit: self.backlog_max }
    }

    /// Where a replay begins that is to find all that is not settled: at a record, or where the
    /// next one will be.
    pub fn replay_position(&mut self) -> u64 {
        let settled = self.settled();
        while self.segment_boundaries.front().is_some_and(|(end, _)| *end < settled) {
            self.segment_boundaries.pop_front();
        }
        match self.segment_boundaries.front() {
            Some((end, next)) if *end == settled => *next,
            _ => settled,
        }
    }

    /// What was appended and is not written yet.
    pub fn queued(&self) -> Queued {
        Queued {
            messages: self.counters.appends - self.written_messages,
            bytes: self.backlog as u64,
        }
    }

    /// Bytes before the next append that are not known to be stable wherever they count.
    #[inline]
    pub(super) fn unstable(&self) -> u64 {
        self.position - self.stable.min(self.stable_everywhere)
    }

    /// What neither a power cut nor a change of the master can take: indexes and marks end here.
    pub fn settled(&self) -> u64 {
        self.stable.min(self.committed)
    }

    /// What is never cut off, whoever leads.
    pub fn committed_for_good(&self) -> u64 {
        // Without replicas a power cut decides that.
        if self.allowed == u64::MAX { self.settled() } else { self.committed }
    }

    /// Takes note of a completed write, which [`State::commit`] has to follow.
    pub fn wrote(&mut self, batch: Batch, durable: bool) {
        assert!(batch.end > self.written && batch.end <= self.position);
        // The queue is longest before a write takes from it.
        self.counters.queued_max = self.counters.queued_max.max(self.queued());
        self.written = batch.end;
        if durable {
            self.stable = batch.end;
        }
        self.backlog -= (batch.end - batch.from) as usize;
        self.note_batch(batch.messages - self.written_messages);
        self.written_messages = batch.messages;
        self.tail.evict(self.written);
    }

    /// Everything that is written, as far as it is allowed, is visible from now on. The vectors are
    /// empty and used for the answer.
    pub fn commit(&mut self, tickets: Vec<T>) -> Committed<T> {
        let end = self.written.min(self.allowed);
        assert!(end >= self.committed, "what was committed is taken back");
        self.committed = end;
        let mut committed = Committed { tickets, arrived: Vec::new() };
        let due = self.tickets.partition_point(|(ticket, _)| *ticket <= end);
        committed.tickets.extend(self.tickets.drain(..due).map(|(ticket, waiting)| {
            assert!(ticket <= self.committed, "acknowledged before it was committed");
            waiting
        }));
        if !self.arriving.is_empty() {
            let arrived = &mut committed.arrived;
            self.arriving.retain(|(arrival, queue)| {
                let visible = *arrival <= end;
                if visible {
                    arrived.push(*queue);
                }
                !visible
            });
        }
        committed
    }

    fn note_batch(&mut self, messages: u64) {
        // 1, 2..=4, 5..=16, ... : a row for each power of four.
        let row =
            (messages.saturating_sub(1).checked_ilog2().map_or(0, |log| log / 2 + 1)) as usize;
        let rows = self.counters.batch_messages.len();
        self.counters.batch_messages[row.min(rows - 1)] += 1;
    }

    pub fn note_write(&mut self, bytes: usize, took: Duration) {
        self.counters.writes += 1;
        self.counters.write_bytes += bytes as u64;
        self.counters.write_latency.note(took);
    }

    /// Fences the log; the tickets that will never be acknowledged come back the first time.
    pub fn fence(&mut self, reason: &str) -> Option<(LogError, Vec<T>)> {
        if matches!(self.phase, Phase::Fenced(_)) {
            return None;
        }
        let reason: Arc<str> = reason.into();
        self.phase = Phase::Fenced(reason.clone());
        let tickets = self.tickets.drain(..).map(|(_, ticket)| ticket).collect();
        self.arriving.clear();
        Some((LogError::Fenced { reason }, tickets))
    }

    pub fn is_fenced(&self) -> bool {
        matches!(self.phase, Phase::Fenced(_))
    }

    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Batch { .. } | Phase::Following)
    }

    /// Whether appends wait for those of a long batch.
    pub fn is_held(&self) -> bool {
        matches!(self.phase, Phase::Batch { .. })
    }

    /// What to write next, at most `bytes_max` as in [`Tail::next_batch`]; nothing of a batch that
    /// is not there to its end.
    pub fn next_batch(&self, bytes_max: usize) -> Option<Batch> {
        self.batch_from(self.written, bytes_max)
    }

    /// The same from another place on where a record begins.
    pub(super) fn batch_from(&self, from: u64, bytes_max: usize) -> Option<Batch> {
        let batch = self.tail.next_batch(from, bytes_max)?;
        match self.phase {
            Phase::Batch { start, messages } if start < batch.end => {
                (batch.from < start).then_some(Batch { end: start, messages, ..batch })
            }
            _ => Some(batch),
        }
    }

    /// A queue's visible end.
    pub fn max(&mut self, queue: QueueHandle) -> i64 {
        let visible = injected_bugs::visible_end(self.committed, self.position);
        self.index.queue(queue).visible(visible)
    }

    pub fn watch(&mut self, queue: QueueHandle) {
        let committed = self.committed;
        let entries = self.index.queue(queue);
        let visible = entries.visible(committed);
        match entries.place(visible) {
            // What is not visible yet is in memory.
            Some(Place::Memory(next)) if self.arriving.iter().all(|(_, other)| *other != queue) => {
                self.arriving.push((next.end(), queue));
            }
            Some(_) => {}
            None => entries.watched = true,
        }
    }
}
