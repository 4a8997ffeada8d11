//! The scan over the records of a log.

use std::collections::VecDeque;

use ringmq_base::record::Record;
use ringmq_io::Runtime;

use super::{Candidate, OpenError, window::Window};
use crate::{
    api::cases::{Case, Ending, Found, Verdict},
    files::{
        block::block_floor,
        envelope::{self, Envelope, Kind, Reject},
        epochs::{EpochStart, Epochs},
        mark::Mark,
        segment::{HEADER_BYTES, Segment},
    },
    index::{Location, load::Loaded},
    keys::{KeyBuffer, Noted},
};

/// So many bytes of a segment without an intact record end the search for later records in it: no
/// write ever leaves such a gap. A recycled segment is full of records of other positions, and the
/// start must not wait for a search of all of them.
const GAP_BYTES_MAX: u64 = 64 << 20;
/// Records between two chances for other tasks.
const YIELD_RECORDS: u64 = 4096;

/// Where the valid records end, and what they were.
pub struct End<R: Runtime> {
    pub case: Case,
    pub position: u64,
    /// What was known before, with what the scan has added.
    pub loaded: Loaded<R>,
    /// The keys of the messages, as far as they are in no run.
    pub keys: KeyBuffer,
    pub last_epoch: u32,
    /// Where they begin, those before the scan as the mark has them.
    pub epochs: Epochs,
    /// Where records of one segment end and those of the next begin.
    pub boundaries: VecDeque<(u64, u64)>,
    pub records: u64,
    pub bytes: u64,
}

/// Where a scan ends although records may follow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    pub end_max: Option<u64>,
}

struct Scan<'a, R: Runtime> {
    mark: &'a Mark,
    limits: Limits,
    /// Epochs up to this one may have begun before the first record of the scan.
    begun: u32,
    end: End<R>,
}

enum Step {
    /// A message or an epoch start of that stride.
    Record(usize),
    EndOfSegment,
    Stop(Found, String),
}

pub async fn scan<R: Runtime>(
    runtime: &R,
    candidates: &[Candidate<R>],
    (mark, limits): (&Mark, Limits),
    loaded: Loaded<R>,
    keys: KeyBuffer,
) -> Result<End<R>, OpenError> {
    let from = loaded.position;
    // A snapshot may have been made in a later epoch than that of the record before its position.
    let known = mark.epochs.at(from - 1);
    let unknown = if mark.epochs.is_empty() { loaded.epoch } else { 0 };
    let last_epoch = known.unwrap_or(unknown);
    let begun = match loaded.epoch.max(last_epoch) {
        0 if mark.first > 0 || from > HEADER_BYTES => u32::MAX,
        epoch => epoch,
    };
    let mut epochs = mark.epochs.clone();
    epochs.cut(from);
    let (case, position) = (Case::New, from);
    let boundaries = VecDeque::new();
    let (records, bytes) = (0, 0);
    let end = End { case, position, loaded, keys, last_epoch, epochs, boundaries, records, bytes };
    let mut scan = Scan { mark, limits, begun, end };
    for (at, candidate) in candidates.iter().enumerate() {
        let segment = &candidate.segment;
        if segment.end() <= from {
            continue;
        }
        let mut position = from.max(segment.start + HEADER_BYTES);
        let began = position;
        let least = began - segment.start;
        if candidate.file_bytes < least {
            let (path, to) = (segment.path.clone(), least);
            let (from, found) = (candidate.file_bytes, "the end of the file".to_string());
            return Err(OpenError::Refused { case: Case::ShortSegment, path, from, to, found });
        }
        let mut window = Window::new(segment, block_floor(position));
        let stopped = loop {
            scan.end.position = position;
            if let Some(stop) = scan.cut_at(position) {
                break Some(stop);
            }
            let head = window.at(position, envelope::BYTES).await?;
            let need = Envelope::claimed_bytes(head).unwrap_or(envelope::BYTES);
            let bytes = window.at(position, need).await?;
            match scan.step(segment, bytes, position)? {
                Step::Record(stride) => position += stride as u64,
                Step::EndOfSegment => {
                    let end = position + envelope::BYTES as u64;
                    scan.end.boundaries.push_back((end, segment.end() + HEADER_BYTES));
                    break None;
                }
                Step::Stop(found, what) => break Some((found, what)),
            }
            if scan.end.records.is_multiple_of(YIELD_RECORDS) {
                runtime.yield_if_needed().await;
            }
        };
        scan.end.bytes += position - began;
        if let Some((found, what)) = stopped {
            let rest = &candidates[at..];
            return scan.judge(rest, position, found, what).await;
        }
        if at + 1 == candidates.len() {
            return Err(missing_behind(segment, "no such file, the log goes on there".into()));
        }
    }
    let last = &candidates.last().expect("a log has a segment").segment;
    Err(missing_behind(last, format!("the snapshot goes on at {from}")))
}

fn missing_behind<R: Runtime>(last: &Segment<R>, found: String) -> OpenError {
    let to = last.end();
    let path = last.path.with_file_name(crate::files::segment::file_name(to));
    OpenError::Refused { case: Case::MissingSegment, path, from: to, to, found }
}

impl<R: Runtime> Scan<'_, R> {
    /// Up to where everything was on stable storage.
    fn durable(&self) -> u64 {
        self.mark.position.max(self.end.loaded.stable)
    }

    /// The log was cut here, or is to be: what follows is no part of it.
    fn cut_at(&self, position: u64) -> Option<(Found, String)> {
        let cut = self.limits.end_max.is_some_and(|end| position >= end);
        cut.then(|| (Found::Cut, "the log was cut here".to_owned()))
    }

    /// An intact record of that epoch is at `position`.
    fn note_epoch(&mut self, epoch: u32, position: u64) {
        let start = EpochStart { epoch, start: position };
        let begins = epoch > self.end.last_epoch.max(self.begun);
        if begins || self.mark.epochs.contains(start) {
            self.end.epochs.began(epoch, position);
        }
        self.begun = 0;
        self.end.last_epoch = epoch;
    }

    /// Looks at what stands at `position` and takes it into the index if it is a valid record.
    fn step(
        &mut self,
        segment: &Segment<R>,
        bytes: &[u8],
        position: u64,
    ) -> Result<Step, OpenError> {
        let refused = |case, length: usize, found: String| {
            let from = position - segment.start;
            let path = segment.path.clone();
            Err(OpenError::Refused { case, path, from, to: from + length as u64, found })
        };
        let envelope = match Envelope::open(bytes, position) {
            Ok(envelope) => envelope,
            Err(error @ Reject::Newer(_)) => {
                return refused(Case::NewerFormat, envelope::BYTES, error.to_string());
            }
            Err(Reject::Nothing) if bytes.is_empty() => {
                return Ok(Step::Stop(Found::EndOfFile, "the end of the file".into()));
            }
            Err(error @ Reject::Nothing) => return Ok(Step::Stop(Found::Zeros, error.to_string())),
            Err(error) => return Ok(Step::Stop(Found::Garbage, error.to_string())),
        };
        let least = self.mark.least_epoch(position, self.end.last_epoch);
        if envelope.epoch < least {
            let found = format!("a record of epoch {} after epoch {least}", envelope.epoch);
            return Ok(Step::Stop(Found::StaleEpoch, found));
        }
        let stride = envelope.stride();
        match envelope.kind {
            Kind::EndOfSegment => {
                self.note_epoch(envelope.epoch, position);
                return Ok(Step::EndOfSegment);
            }
            Kind::Metadata => {
                return refused(Case::ForeignSegment, stride, "a metadata record".into());
            }
            Kind::Message | Kind::EpochStart => {}
        }
        if position + stride as u64 > segment.end() - envelope::BYTES as u64 {
            return refused(Case::BrokenQueue, stride, "a record over the end".into());
        }
        let payload = bytes.get(envelope::BYTES..envelope::BYTES + envelope.length as usize);
        if envelope.kind == Kind::EpochStart {
            self.note_epoch(envelope.epoch, position);
            return Ok(Step::Record(stride));
        }
        match self.index_record(payload.unwrap_or_default(), &envelope, position) {
            Ok(()) => {
                self.note_epoch(envelope.epoch, position);
                Ok(Step::Record(stride))
            }
            Err(found) => refused(Case::BrokenQueue, stride, found),
        }
    }

    fn index_record(
        &mut self,
        payload: &[u8],
        envelope: &Envelope,
        position: u64,
    ) -> Result<(), String> {
        let record = Record::decode(payload).map_err(|error| error.to_string())?;
        let location = Location {
            position: position + envelope::BYTES as u64,
            size: envelope.length,
            tags_code: envelope.tags_code,
        };
        let physical = record.physical_offset.cast_unsigned() & ((1 << 48) - 1);
        if record.size != payload.len() || physical != location.position {
            return Err(format!("a message of {} bytes for {physical}", record.size));
        }
        let end = &mut self.end;
        // What retention has removed is missing in front of a queue, nothing elsewhere.
        let anew = self.mark.first > 0 && end.loaded.progress.good == 0;
        let min = if anew { record.queue_offset } else { 0 };
        let index = &mut end.loaded.index;
        let handle = index.find_or_create(record.topic, record.queue_id, min);
        let queue = index.queue(handle);
        let (offset, next) = (record.queue_offset, queue.next());
        // The snapshot was made while the log went on, so it may know records behind its position.
        let known = (0..next).contains(&offset) && position < end.loaded.stable;
        let same = !known || queue.place(offset).is_none_or(|place| place.agrees(&location));
        if !same || !known && offset != next {
            let (topic, id) = (record.topic, record.queue_id);
            return Err(format!("offset {offset} of queue {topic}/{id} where {next} is due"));
        }
        if !known {
            index.push(handle, location);
        }
        end.keys.note(&Noted {
            topic: record.topic,
            sys_flag: record.sys_flag,
            properties: record.properties,
            position: location.position,
            end: position + envelope.stride() as u64,
            store_timestamp: record.store_timestamp,
        });
        end.loaded.last_timestamp = end.loaded.last_timestamp.max(record.store_timestamp);
        end.records += 1;
        Ok(())
    }

    async fn judge(
        mut self,
        rest: &[Candidate<R>],
        position: u64,
        found: Found,
        what: String,
    ) -> Result<End<R>, OpenError> {
        let before_mark = position < self.durable();
        let clean = self.mark.clean && position == self.mark.position;
        let mut proof = None;
        if !before_mark && !clean && self.mark.claims && found != Found::Cut {
            proof = find_proof(rest, position).await?;
        }
        let ending = Ending { found, before_mark, proven: proof.is_some(), clean };
        let case = ending.case();
        self.end.case = case;
        if case.verdict() == Verdict::Opens {
            return Ok(self.end);
        }
        let segment = &rest[0].segment;
        let to = proof.unwrap_or_else(|| self.durable()).min(segment.end()).max(position);
        Err(OpenError::Refused {
            case,
            path: segment.path.clone(),
            from: position - segment.start,
            to: to - segment.start,
            found: what,
        })
    }
}

/// The first record behind `position` that was appended when `position` was on stable storage.
async fn find_proof<R: Runtime>(
    rest: &[Candidate<R>],
    position: u64,
) -> Result<Option<u64>, OpenError> {
    for candidate in rest {
        let segment = &candidate.segment;
        let begin = segment.start + HEADER_BYTES;
        let mut at = begin.max(position + envelope::ALIGNMENT as u64);
        let mut window = Window::new(segment, crate::files::block::block_floor(at));
        let mut last_intact = at;
        while at - last_intact < GAP_BYTES_MAX {
            let bytes = window.at(at, envelope::BYTES).await?;
            if bytes.len() < envelope::BYTES {
                break;
            }
            let words = bytes.chunks_exact(envelope::ALIGNMENT);
            let skipped = words.take_while(|word| !envelope::may_begin(word)).count();
            if skipped > 0 {
                at += (skipped * envelope::ALIGNMENT) as u64;
                continue;
            }
            let mut opened = Envelope::open(bytes, at);
            if let Err(Reject::Short(need)) = opened {
                opened = Envelope::open(window.at(at, need).await?, at);
            }
            match opened {
                Ok(envelope) if envelope.stable_before(at) > position => return Ok(Some(at)),
                Ok(envelope) => {
                    at += envelope.stride() as u64;
                    last_intact = at;
                }
                Err(_) => at += envelope::ALIGNMENT as u64,
            }
        }
    }
    Ok(None)
}
