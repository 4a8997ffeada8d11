//! The scan over the records of a log.

use ringmq_base::record::Record;
use ringmq_io::Runtime;

use super::{
    Candidate, OpenError,
    table::{Case, Ending, Found, Verdict},
    window::Window,
};
use crate::{
    envelope::{self, Envelope, Kind, Reject},
    index::{Index, Location},
    mark::Mark,
    segment::{HEADER_BYTES, Segment},
};

/// So many zero bytes in a row end the search for later records: no write ever leaves such a gap.
const ZEROS_MAX: u64 = 64 << 20;
/// Records between two chances for other tasks.
const YIELD_RECORDS: u64 = 4096;

/// Where the valid records end, and what they were.
pub struct End {
    pub case: Case,
    pub position: u64,
    pub index: Index,
    pub last_epoch: u32,
    pub last_timestamp: i64,
    pub records: u64,
    pub bytes: u64,
}

struct Scan<'a> {
    mark: &'a Mark,
    end: End,
}

enum Step {
    /// A message of that stride.
    Message(usize),
    EndOfSegment,
    Stop(Found, String),
}

pub async fn scan<R: Runtime>(
    runtime: &R,
    candidates: &[Candidate<R>],
    mark: &Mark,
) -> Result<End, OpenError> {
    let end = End {
        case: Case::New,
        position: mark.first + HEADER_BYTES,
        index: Index::default(),
        last_epoch: 0,
        last_timestamp: 0,
        records: 0,
        bytes: 0,
    };
    let mut scan = Scan { mark, end };
    for (at, candidate) in candidates.iter().enumerate() {
        let segment = &candidate.segment;
        let mut position = segment.start + HEADER_BYTES;
        let mut window = Window::new(segment, position);
        let stopped = loop {
            scan.end.position = position;
            let bytes = window.at(position, envelope::BYTES).await?;
            let bytes = match Envelope::open(bytes, position) {
                Err(Reject::Short(need)) => window.at(position, need).await?,
                _ => bytes_of(&mut window, position).await?,
            };
            match scan.step(segment, bytes, position)? {
                Step::Message(stride) => position += stride as u64,
                Step::EndOfSegment => break None,
                Step::Stop(found, what) => break Some((found, what)),
            }
            if scan.end.records.is_multiple_of(YIELD_RECORDS) {
                runtime.yield_if_needed().await;
            }
        };
        scan.end.bytes += position - segment.start;
        if let Some((found, what)) = stopped {
            let rest = &candidates[at..];
            return scan.judge(rest, position, found, what).await;
        }
        if at + 1 == candidates.len() {
            let path = segment.path.with_file_name(crate::segment::file_name(segment.end()));
            let found = "no such file, the log goes on there".to_string();
            let (from, to) = (segment.end(), segment.end());
            return Err(OpenError::Refused { case: Case::MissingSegment, path, from, to, found });
        }
    }
    unreachable!("the last segment ends the loop")
}

/// The window's bytes again; the borrow checker cannot keep them over the branch that reads more.
async fn bytes_of<'w, R: Runtime>(
    window: &'w mut Window<'_, R>,
    position: u64,
) -> Result<&'w [u8], OpenError> {
    Ok(window.at(position, envelope::BYTES).await?)
}

impl Scan<'_> {
    /// Looks at what stands at `position` and takes it into the index if it is a valid record.
    fn step<R: Runtime>(
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
        let least = if position < self.mark.position { 0 } else { self.mark.epoch };
        let least = least.max(self.end.last_epoch);
        if envelope.epoch < least {
            let found = format!("a record of epoch {} after epoch {least}", envelope.epoch);
            return Ok(Step::Stop(Found::StaleEpoch, found));
        }
        let stride = envelope.stride();
        match envelope.kind {
            Kind::EndOfSegment => {
                self.end.last_epoch = envelope.epoch;
                return Ok(Step::EndOfSegment);
            }
            Kind::Metadata => {
                return refused(Case::ForeignSegment, stride, "a metadata record".into());
            }
            Kind::Message => {}
        }
        if position + stride as u64 > segment.end() - envelope::BYTES as u64 {
            return refused(Case::BrokenQueue, stride, "a message over the end".into());
        }
        let payload = bytes.get(envelope::BYTES..envelope::BYTES + envelope.length as usize);
        match self.index_record(payload.unwrap_or_default(), &envelope, position) {
            Ok(()) => Ok(Step::Message(stride)),
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
        let min = if self.mark.first == 0 { 0 } else { record.queue_offset };
        let handle = end.index.find_or_create(record.topic, record.queue_id, min);
        let queue = end.index.queue(handle);
        if record.queue_offset != queue.next() {
            let (topic, id, next) = (record.topic, record.queue_id, queue.next());
            let offset = record.queue_offset;
            return Err(format!("offset {offset} of queue {topic}/{id} where {next} is due"));
        }
        queue.push(location);
        end.last_epoch = envelope.epoch;
        end.last_timestamp = end.last_timestamp.max(record.store_timestamp);
        end.records += 1;
        Ok(())
    }

    async fn judge<R: Runtime>(
        mut self,
        rest: &[Candidate<R>],
        position: u64,
        found: Found,
        what: String,
    ) -> Result<End, OpenError> {
        let before_mark = position < self.mark.position;
        let clean = self.mark.clean && position == self.mark.position;
        let mut proof = None;
        if !before_mark && !clean {
            proof = find_proof(rest, position).await?;
        }
        let ending = Ending { found, before_mark, proven: proof.is_some(), clean };
        let case = ending.case();
        self.end.case = case;
        if case.verdict() == Verdict::Opens {
            return Ok(self.end);
        }
        let segment = &rest[0].segment;
        let to = proof.unwrap_or(self.mark.position).min(segment.end());
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
        let mut window = Window::new(segment, crate::tail::block_floor(at));
        let mut zeros = 0;
        while zeros < ZEROS_MAX {
            let bytes = window.at(at, envelope::BYTES).await?;
            if bytes.len() < envelope::BYTES {
                break;
            }
            let zero = bytes.iter().take_while(|byte| **byte == 0).count();
            let zero = zero - zero % envelope::ALIGNMENT;
            if zero > 0 {
                zeros += zero as u64;
                at += zero as u64;
                continue;
            }
            zeros = 0;
            let mut opened = Envelope::open(bytes, at);
            if let Err(Reject::Short(need)) = opened {
                opened = Envelope::open(window.at(at, need).await?, at);
            }
            match opened {
                Ok(envelope) if envelope.stable_before(at) > position => return Ok(Some(at)),
                Ok(envelope) => at += envelope.stride() as u64,
                Err(_) => at += envelope::ALIGNMENT as u64,
            }
        }
    }
    Ok(None)
}
