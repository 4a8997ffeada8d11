//! The other way into a log: records as the master of its group has written them, byte by byte.
//! What arrives here is not trusted; nothing is put into the tail that a start would refuse.

use ringmq_base::{LogPosition, PhysicalOffset, limits::TOPIC_BYTES_MAX, record::Record};

use super::{
    space::Space,
    state::{Phase, State},
};
use crate::{
    api::{
        errors::{AppendError, RawError},
        values::{QueueHandle, SegmentFacts},
    },
    files::{
        envelope::{self, Envelope, Kind},
        leadership::Leadership,
    },
    index::Location,
    keys::Noted,
};

/// The one after the active segment, and one that is being made.
const ANNOUNCED_MAX: usize = 2;

impl<T> State<T> {
    /// The segment that the allocation is to make next; `None` if a master has to say so first.
    pub fn next_segment(&self, bytes: u64) -> Option<SegmentFacts> {
        if matches!(self.phase, Phase::Following) {
            return self.announced.front().copied();
        }
        let start = LogPosition(self.spaces.back()?.end);
        Some(SegmentFacts { start, bytes, epoch: self.epoch })
    }

    /// A segment was made and opened for appends.
    pub fn add_segment(&mut self, space: Space) {
        self.spaces.push_back(space);
        self.announced.retain(|facts| facts.start.0 != space.start);
    }

    /// Takes note of a segment that the master goes on with. `known` are the facts of the one that
    /// begins there, if there is one.
    pub(super) fn announce(
        &mut self,
        facts: SegmentFacts,
        known: Option<SegmentFacts>,
    ) -> Result<(), RawError> {
        let last = self.spaces.back().map_or(0, |space| space.end);
        self.takes_raw()?;
        let announced = &mut self.announced;
        let pending = announced.iter().find(|other| other.start == facts.start).copied();
        if let Some(known) = known.or(pending) {
            let same = known == facts;
            return same.then_some(()).ok_or(RawError::OtherSegment { known, named: facts });
        }
        let due = announced.back().map_or(last, |facts| facts.start.0 + facts.bytes);
        if facts.start.0 != due || announced.len() >= ANNOUNCED_MAX {
            return Err(RawError::Segment { start: facts.start, due: LogPosition(due) });
        }
        announced.push_back(facts);
        Ok(())
    }

    fn takes_raw(&self) -> Result<(), RawError> {
        match self.phase {
            Phase::Following => Ok(()),
            Phase::Open | Phase::Batch { .. } => Err(RawError::Leads),
            _ => self.is_taking().map_err(RawError::Append),
        }
    }

    /// Appends the whole records that `bytes` hold, which stand at `position` in the log of the
    /// master. Those before one that is refused stay: they are intact and in their order. `began`
    /// is told of epochs whose first record is among them, and where.
    pub(super) fn append_raw(
        &mut self,
        position: u64,
        bytes: &[u8],
        began: impl Fn(u32, u64),
    ) -> Result<(), RawError> {
        self.takes_raw()?;
        if position != self.position {
            let (at, end) = (LogPosition(position), LogPosition(self.position));
            return Err(RawError::Position { at, end });
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let (epoch, at) = (self.epoch, self.position);
            let taken = self.append_raw_record(rest)?;
            if self.epoch > epoch {
                began(self.epoch, at);
            }
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// Appends the first record of `bytes`; answers how many of them it has.
    fn append_raw_record(&mut self, bytes: &[u8]) -> Result<usize, RawError> {
        let at = self.position;
        let refused = |found: String| RawError::Record { at: LogPosition(at), found };
        let found = Envelope::open(bytes, at).map_err(|error| refused(error.to_string()))?;
        if found.epoch < self.epoch {
            let (epoch, least) = (found.epoch, self.epoch);
            return Err(refused(format!("a record of epoch {epoch} after epoch {least}")));
        }
        let stride = found.stride();
        let record = bytes.get(..stride).ok_or_else(|| {
            refused(format!("a record of {stride} bytes of which {} arrived", bytes.len()))
        })?;
        let payload = record.get(envelope::BYTES..envelope::BYTES + found.length as usize);
        let payload = payload.unwrap_or_default();
        match found.kind {
            Kind::EndOfSegment => self.end_raw_segment(record, stride)?,
            Kind::Message => self.append_raw_message(&found, record, payload)?,
            Kind::EpochStart => {
                if Leadership::read(payload).is_none() {
                    return Err(refused(format!("an epoch start of {} bytes", payload.len())));
                }
                self.raw_room(stride)?;
                self.put_raw(record, payload.len());
                self.position += stride as u64;
                self.backlog += stride;
            }
            Kind::Metadata => return Err(refused("a metadata record".to_owned())),
        }
        self.epoch = found.epoch;
        Ok(stride)
    }

    fn end_raw_segment(&mut self, record: &[u8], stride: usize) -> Result<(), RawError> {
        let at = LogPosition(self.position);
        if stride != envelope::BYTES {
            let found = format!("an end of segment of {stride} bytes");
            return Err(RawError::Record { at, found });
        }
        let Some(next) = self.spaces.get(1).copied() else {
            let due = self.spaces.front().map_or(0, |space| space.end);
            if self.announced.is_empty() {
                return Err(RawError::Segment { start: at, due: LogPosition(due) });
            }
            // It is being made.
            return Err(self.no_space(stride as u64).into());
        };
        self.put_raw(record, 0);
        self.go_on_at(next);
        Ok(())
    }

    fn append_raw_message(
        &mut self,
        found: &Envelope,
        bytes: &[u8],
        payload: &[u8],
    ) -> Result<(), RawError> {
        let at = self.position;
        let refused = |found: String| RawError::Record { at: LogPosition(at), found };
        let record = Record::decode(payload).map_err(|error| refused(error.to_string()))?;
        let position = at + envelope::BYTES as u64;
        let physical = PhysicalOffset::new(self.log, LogPosition(position)).get();
        if record.size != payload.len() || record.physical_offset != physical {
            let (size, named) = (record.size, record.physical_offset);
            return Err(refused(format!("a message of {size} bytes for {named}")));
        }
        if record.topic.len() > TOPIC_BYTES_MAX {
            let bytes = record.topic.len();
            return Err(refused(format!("a topic name of {bytes} bytes, above {TOPIC_BYTES_MAX}")));
        }
        let known = self.index.find(record.topic, record.queue_id);
        let next = known.map_or(0, |queue| self.index.queue(queue).next());
        if record.queue_offset != next {
            let (topic, id, offset) = (record.topic, record.queue_id, record.queue_offset);
            let found = format!("offset {offset} of queue {topic}/{id} where {next} is due");
            return Err(refused(found));
        }
        let stride = bytes.len();
        self.raw_room(stride)?;
        let queue = known.unwrap_or_else(|| self.create_queue(&record));
        self.put_raw(bytes, payload.len());
        self.keys.note(&Noted {
            topic: record.topic,
            sys_flag: record.sys_flag,
            properties: record.properties,
            position,
            end: at + stride as u64,
            store_timestamp: record.store_timestamp,
        });
        let (size, tags_code) = (found.length, found.tags_code);
        self.note_message(queue, Location { position, size, tags_code }, stride);
        self.last_timestamp = self.last_timestamp.max(record.store_timestamp);
        Ok(())
    }

    #[cold]
    fn create_queue(&mut self, record: &Record<'_>) -> QueueHandle {
        self.index.find_or_create(record.topic, record.queue_id, 0)
    }

    /// Whether `stride` bytes and an end of segment fit behind the end, in the backlog too.
    fn raw_room(&mut self, stride: usize) -> Result<(), RawError> {
        if self.backlog > 0 && self.backlog + stride > self.backlog_max {
            return Err(self.busy().into());
        }
        let need = (stride + envelope::BYTES) as u64;
        let space = *self.spaces.front().expect("there is always a segment");
        let at = LogPosition(self.position);
        if self.position + need > space.end {
            let (end, bytes) = (space.end, stride);
            let found = format!("a record of {bytes} bytes over the end of its segment at {end}");
            return Err(RawError::Record { at, found });
        }
        if self.position + need > space.allocated {
            return Err(self.no_space(need).into());
        }
        Ok(())
    }

    /// Copies a record behind the end, with zeros behind its `length` bytes of payload: no checksum
    /// covers those.
    fn put_raw(&mut self, record: &[u8], length: usize) {
        let out = self.tail.extend(self.position, record.len());
        out.copy_from_slice(record);
        out[envelope::BYTES + length..].fill(0);
    }
}

impl From<AppendError> for RawError {
    fn from(error: AppendError) -> RawError {
        RawError::Append(error)
    }
}
