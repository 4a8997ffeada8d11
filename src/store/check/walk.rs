//! Walks over the records of a log, across its files and across damage: what is intact behind a
//! damaged range is checked, too.

use std::collections::HashMap;

use ringmq_base::record::Record;
use ringmq_io::Runtime;

use crate::{
    api::cases::{Case, Ending, Found, Verdict},
    check::{
        report::{Damage, FileReport},
        source::{GAP_BYTES_MAX, Pace, Place, Source},
    },
    files::{
        envelope::{self, Envelope, Kind},
        leadership::Leadership,
        mark::Mark,
        segment::{FileOf, HEADER_BYTES},
    },
};

/// A file whose header is believed.
pub struct Part<R: Runtime> {
    pub file: FileOf<R>,
    /// Positions of the first byte and behind the last one.
    pub start: u64,
    pub end: u64,
    pub report: FileReport,
}

impl<R: Runtime> Part<R> {
    fn source<'a>(&'a self, runtime: &'a R, position: u64) -> Source<'a, R> {
        Source::new(runtime, &self.file, (self.start, self.end), position, Pace::FULL)
    }
}

/// What is known before the walk.
#[derive(Clone, Debug, Default)]
pub struct Bounds {
    /// Everything before it was on stable storage.
    pub durable: u64,
    /// Where the log ends, if it was closed in order.
    pub clean: Option<u64>,
    pub mark: Mark,
}

/// The queues of a log, each with its next offset.
#[derive(Default)]
struct Queues {
    topics: HashMap<Box<str>, HashMap<i32, i64, ahash::RandomState>, ahash::RandomState>,
    /// Queues begin at 0: nothing was removed in front.
    from_zero: bool,
    /// Something is damaged further in front: offsets may be missing.
    gaps: bool,
    missing: u64,
}

impl Queues {
    /// The error says what is wrong.
    fn take(&mut self, record: &Record<'_>) -> Result<(), String> {
        if !self.topics.contains_key(record.topic) {
            self.topics.insert(record.topic.into(), HashMap::default());
        }
        let topic = self.topics.get_mut(record.topic).expect("it was just made");
        let offset = record.queue_offset;
        let first = if self.from_zero { 0 } else { offset };
        let next = topic.entry(record.queue_id).or_insert(first);
        let due = std::mem::replace(next, offset + 1);
        if offset == due {
            return Ok(());
        }
        if self.gaps && offset > due {
            self.missing += offset.abs_diff(due);
            return Ok(());
        }
        let (topic, id) = (record.topic, record.queue_id);
        Err(format!("offset {offset} of queue {topic}/{id} where {due} is due"))
    }
}

/// Where a walk is: a part and a position in it.
type At = (usize, u64);

pub struct Walk<'a, R: Runtime> {
    runtime: &'a R,
    parts: &'a [Part<R>],
    bounds: Bounds,
    kind: Kind,
    last_epoch: u32,
    queues: Queues,
    /// Damages and records by part.
    damages: Vec<Vec<Damage>>,
    records: Vec<u64>,
    bytes: Vec<u64>,
    end: Option<(At, Case)>,
    /// A file that the log needs and that is not there.
    pub missing_file: Option<u64>,
}

/// What a walk found, for the reports.
pub struct Walked {
    pub end: Option<(usize, u64, Case)>,
    pub missing_messages: u64,
    pub missing_file: Option<u64>,
    pub damages: Vec<Vec<Damage>>,
    pub records: Vec<u64>,
    pub bytes: Vec<u64>,
}

impl<'a, R: Runtime> Walk<'a, R> {
    /// `kind` is that of the records: messages, or metadata. `from_zero`: queues begin at offset 0.
    pub fn new(
        runtime: &'a R,
        parts: &'a [Part<R>],
        bounds: Bounds,
        kind: Kind,
        from_zero: bool,
    ) -> Self {
        let queues = Queues { from_zero, ..Queues::default() };
        let damages = parts.iter().map(|_| Vec::new()).collect();
        let (records, bytes) = (vec![0; parts.len()], vec![0; parts.len()]);
        let (last_epoch, end, missing_file) = (0, None, None);
        Walk {
            runtime,
            parts,
            bounds,
            kind,
            last_epoch,
            queues,
            damages,
            records,
            bytes,
            end,
            missing_file,
        }
    }

    /// Offsets may be missing: a file or a range is gone.
    pub fn expect_gaps(&mut self) {
        self.queues.gaps = true;
    }

    pub async fn run(mut self) -> Walked {
        let mut next = self.parts.first().map(|part| (0, part.start + HEADER_BYTES));
        while let Some((at, position)) = next {
            next = self.walk_part(at, position).await;
        }
        Walked {
            end: self.end.map(|((part, position), case)| (part, position, case)),
            missing_messages: self.queues.missing,
            missing_file: self.missing_file,
            damages: self.damages,
            records: self.records,
            bytes: self.bytes,
        }
    }

    /// Walks on in a part; answers where to go on behind its end or behind damage.
    async fn walk_part(&mut self, at: usize, from: u64) -> Option<At> {
        let part = &self.parts[at];
        let mut source = part.source(self.runtime, from);
        let mut position = from;
        let stopped = loop {
            if self.bounds.mark.end_max().is_some_and(|end| position >= end) {
                break (Found::Cut, "the log was cut here".to_owned(), false);
            }
            let envelope = match source.look(position).await {
                Place::Record(envelope) => envelope,
                Place::Other { found, what, newer } => break (found, what, newer),
            };
            let least = self.bounds.mark.least_epoch(position, self.last_epoch);
            if envelope.epoch < least {
                let epoch = envelope.epoch;
                let what = format!("a record of epoch {epoch} after epoch {least}");
                break (Found::StaleEpoch, what, false);
            }
            self.last_epoch = envelope.epoch;
            let stride = envelope.stride() as u64;
            if envelope.kind == Kind::EndOfSegment && self.kind == Kind::Message {
                self.bytes[at] += source.read;
                return self.next_part(at);
            }
            let payload = source.payload(position, &envelope).await;
            match self.check(payload, &envelope, position) {
                Ok(()) => self.records[at] += 1,
                Err((case, found)) => self.damage(at, case, (position, position + stride), found),
            }
            position += stride;
        };
        self.bytes[at] += source.read;
        let (found, what, newer) = stopped;
        self.judge(at, position, found, what, newer, &source).await
    }

    /// Behind an end of segment.
    fn next_part(&mut self, at: usize) -> Option<At> {
        let next = self.parts.get(at + 1);
        if next.is_none() {
            self.missing_file = Some(self.parts[at].end);
        }
        next.map(|part| (at + 1, part.start + HEADER_BYTES))
    }

    /// Looks at an intact record.
    fn check(
        &mut self,
        payload: &[u8],
        envelope: &Envelope,
        position: u64,
    ) -> Result<(), (Case, String)> {
        if envelope.kind == Kind::EpochStart {
            let read = Leadership::read(payload).map(drop);
            return read
                .ok_or_else(|| (Case::ForeignSegment, "an epoch start of another size".into()));
        }
        if envelope.kind != self.kind {
            let found = format!("a record of kind {:?}", envelope.kind);
            return Err((Case::ForeignSegment, found));
        }
        if self.kind == Kind::Metadata {
            return Ok(());
        }
        let broken = |found: String| (Case::BrokenQueue, found);
        let record = Record::decode(payload).map_err(|error| broken(error.to_string()))?;
        let physical = record.physical_offset.cast_unsigned() & ((1 << 48) - 1);
        if record.size != payload.len() || physical != position + envelope::BYTES as u64 {
            return Err(broken(format!("a message of {} bytes for {physical}", record.size)));
        }
        self.queues.take(&record).map_err(broken)
    }

    fn damage(&mut self, at: usize, case: Case, (from, to): (u64, u64), found: String) {
        let start = self.parts[at].start;
        let (from, to) = (from - start, to - start);
        self.damages[at].push(Damage::of(case, (from, to), found));
        self.queues.gaps = true;
    }

    /// No valid record stands at `position`: the end of the log, or damage. Answers where intact
    /// records go on behind damage.
    async fn judge(
        &mut self,
        at: usize,
        position: u64,
        found: Found,
        what: String,
        newer: bool,
        source: &Source<'_, R>,
    ) -> Option<At> {
        let before_mark = position < self.bounds.durable;
        let clean = self.bounds.clean == Some(position);
        let ends = clean || found == Found::Cut;
        let behind = if ends { Behind::default() } else { self.look_behind(at, position).await };
        let proven = behind.proof.is_some() && self.bounds.mark.claims;
        let ending = Ending { found, before_mark, proven, clean };
        let case = if newer { Case::NewerFormat } else { ending.case() };
        if case.verdict() == Verdict::Opens {
            self.end = Some(((at, position), case));
            return None;
        }
        let next = behind.next.or(behind.proof);
        let part_end = self.parts[at].end;
        let to = match next {
            Some((part, to)) if part == at => to,
            Some(_) => part_end,
            None if before_mark => self.bounds.durable.min(part_end),
            None => position + envelope::ALIGNMENT as u64,
        };
        let what = match source.unreadable(position, to) {
            Some(why) => format!("cannot be read: {why}"),
            None => what,
        };
        self.damage(at, case, (position, to), what);
        match next {
            Some((part, _)) if part == at => next,
            // What lies between is damaged, too, and says so itself.
            _ if self.bounds.durable > part_end || next.is_some() => self.next_part(at),
            _ => {
                self.end = Some(((at, position), case));
                None
            }
        }
    }

    /// Finds what stands behind a place: where records may go on, and the first record that proves
    /// that the place was once whole.
    async fn look_behind(&self, at: usize, position: u64) -> Behind {
        let mut behind = Behind::default();
        let before_mark = position < self.bounds.durable;
        // Before the mark there are records behind any damage.
        let within = if before_mark { u64::MAX } else { GAP_BYTES_MAX };
        for (number, part) in self.parts.iter().enumerate().skip(at) {
            let begin = part.start + HEADER_BYTES;
            let mut from = begin.max(position + envelope::ALIGNMENT as u64);
            if from >= part.end {
                continue;
            }
            let mut source = part.source(self.runtime, from);
            while let Some((found, envelope)) = source.next_record(from, within).await {
                if behind.next.is_none() && envelope.epoch >= self.last_epoch {
                    behind.next = Some((number, found));
                }
                if envelope.stable_before(found) > position {
                    behind.proof = Some((number, found));
                }
                if behind.proof.is_some() || before_mark && behind.next.is_some() {
                    return behind;
                }
                from = found + envelope.stride() as u64;
            }
        }
        behind
    }
}

#[derive(Clone, Copy, Default)]
struct Behind {
    next: Option<At>,
    proof: Option<At>,
}
