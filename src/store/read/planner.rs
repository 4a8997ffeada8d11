//! Reading messages: from memory where they are resident, else from the segments, with every
//! checksum checked. Only what is visible is ever read.

use futures_util::future::join_all;
use ringmq_base::{LogPosition, PhysicalOffset, ReadLimits, record::Record};
use ringmq_io::Runtime;

use crate::{
    api::{
        errors::ReadError,
        options::Sink,
        values::{Boundary, Entry, PageNeeded, QueueHandle, ReadAhead, ReadPlan, ReadStatus},
    },
    files::{
        envelope::{self, Envelope, Kind},
        segment::HEADER_BYTES,
    },
    index::{Location, page_cache::Reader},
    log::Log,
    read::index_page,
};

const ENVELOPE: u64 = envelope::BYTES as u64;

/// Extents of a plan that there is room for before any is found: the usual number of a pull.
const EXTENTS_MAX_AHEAD: usize = 32;
/// Pages of the index that [`Log::read_ahead`] reads at a time.
const READ_AHEAD_PAGES: usize = 64;

impl<R: Runtime, S: Sink> Log<R, S> {
    /// First offset and one past the last visible one.
    pub fn bounds(&self, queue: QueueHandle) -> (i64, i64) {
        let mut state = self.shared.state.borrow_mut();
        let max = state.max(queue);
        (state.index.queue(queue).min(), max)
    }

    /// Where in the log the messages of the queue begin, or shortly before; `None` without any.
    pub fn first_position(&self, queue: QueueHandle) -> Option<LogPosition> {
        self.shared.state.borrow_mut().index.queue(queue).first_position().map(LogPosition)
    }

    /// Where in the log the message at `offset` is, or shortly before; `None` outside of what the
    /// queue has. Reads nothing: for entries that cannot be read, too.
    pub fn position_floor(&self, queue: QueueHandle, offset: i64) -> Option<LogPosition> {
        let mut state = self.shared.state.borrow_mut();
        state.index.queue(queue).position_floor(offset).map(LogPosition)
    }

    /// A visible entry; `None` outside of what the queue has.
    pub async fn entry(&self, queue: QueueHandle, offset: i64) -> Result<Option<Entry>, ReadError> {
        let log = self.shared.options.log;
        Ok(self.location(queue, offset).await?.map(|found| Entry {
            physical: PhysicalOffset::new(log, LogPosition(found.position)),
            size: found.size,
            tags_code: found.tags_code,
        }))
    }

    async fn location(
        &self,
        queue: QueueHandle,
        offset: i64,
    ) -> Result<Option<Location>, ReadError> {
        if offset >= self.shared.state.borrow_mut().max(queue) {
            return Ok(None);
        }
        loop {
            match index_page::entry(&self.shared, queue, offset) {
                Ok(found) => return Ok(found),
                Err(needed) => self.fetch(needed).await?,
            }
        }
    }

    /// Brings into memory what [`Log::plan_read`] said it needs.
    pub async fn fetch(&self, needed: PageNeeded) -> Result<(), ReadError> {
        index_page::load(&self.shared, needed).await.map(drop)
    }

    /// For who goes through very many entries one by one, before each: brings the next pages of the
    /// index from `from` on into memory, many at a time, unless they were brought before. What
    /// cannot be read is told to who asks for its entries.
    pub async fn read_ahead(&self, queue: QueueHandle, from: i64, ahead: &mut ReadAhead) {
        if from < ahead.until {
            return;
        }
        let pages = READ_AHEAD_PAGES.min(self.shared.options.index_cache_pages / 2);
        let (pages, next) =
            self.shared.state.borrow_mut().index.queue(queue).pages_from(from, pages);
        if pages.is_empty() {
            // The rest is in memory.
            ahead.until = i64::MAX;
            return;
        }
        let needed = pages.into_iter().map(|(offset, block)| PageNeeded { queue, block, offset });
        join_all(needed.map(|needed| self.fetch(needed))).await;
        ahead.until = next;
    }

    /// Finds out what a read from `from` brings. `keep` sees the tags code of each entry and must
    /// not use the log. Fails if part of the index has to be brought first with [`Log::fetch`];
    /// then plan again.
    pub fn plan_read(
        &self,
        queue: QueueHandle,
        from: i64,
        limits: &ReadLimits,
        mut keep: impl FnMut(i64) -> bool,
    ) -> Result<ReadPlan, PageNeeded> {
        let mut state = self.shared.state.borrow_mut();
        let resident_from = state.tail.readable_from();
        let max = state.max(queue);
        let entries = state.index.queue(queue);
        let min = entries.min();
        let mut plan = ReadPlan {
            status: ReadStatus::NoMatched,
            next_offset: from,
            min,
            max,
            extents: Vec::new(),
            bytes: 0,
            in_memory: true,
        };
        let outside = if max == 0 {
            Some((ReadStatus::QueueEmpty, 0))
        } else if from < min {
            Some((ReadStatus::OffsetTooSmall, min))
        } else if from == max {
            Some((ReadStatus::OffsetOverflowOne, from))
        } else if from > max {
            Some((ReadStatus::OffsetOverflowBadly, max))
        } else {
            None
        };
        if let Some((status, next_offset)) = outside {
            return Ok(ReadPlan { status, next_offset, ..plan });
        }
        let end = max.min(from.saturating_add_unsigned(limits.scan.max(1) as u64));
        let most = usize::try_from(end - from).unwrap_or(0).min(limits.messages);
        plan.extents.reserve(most.min(EXTENTS_MAX_AHEAD));
        let mut reader = Reader::new(&self.shared.pages, queue, entries);
        while plan.next_offset < end {
            let found = match reader.entry(plan.next_offset) {
                Ok(found) => found,
                // What was found so far is answered; the page is asked for by the next read.
                Err(_) if !plan.extents.is_empty() => break,
                Err(needed) => return Err(needed),
            };
            let size = found.size as usize;
            let full = plan.extents.len() >= limits.messages || plan.bytes + size > limits.bytes;
            if full && !plan.extents.is_empty() {
                break;
            }
            plan.next_offset += 1;
            if keep(found.tags_code) {
                plan.in_memory &= found.position >= resident_from;
                plan.extents.push((LogPosition(found.position), found.size));
                plan.bytes += size;
                plan.status = ReadStatus::Found;
            }
        }
        Ok(plan)
    }

    /// [`Log::plan_read`] with what it needs of the index brought from disk.
    pub async fn plan_cold_read(
        &self,
        queue: QueueHandle,
        from: i64,
        limits: &ReadLimits,
        mut keep: impl FnMut(i64) -> bool,
    ) -> Result<ReadPlan, ReadError> {
        loop {
            match self.plan_read(queue, from, limits, &mut keep) {
                Ok(plan) => return Ok(plan),
                Err(needed) => self.fetch(needed).await?,
            }
        }
    }

    /// Appends the planned records to `out` if all are in memory; else leaves it unchanged and the
    /// answer is false.
    pub fn copy_resident(&self, plan: &ReadPlan, out: &mut Vec<u8>) -> bool {
        let state = self.shared.state.borrow();
        let before = out.len();
        out.reserve(plan.bytes);
        let mut near = 0;
        for (position, size) in &plan.extents {
            match state.tail.get_near(&mut near, position.0, *size as usize) {
                Some(bytes) => out.extend_from_slice(bytes),
                None => {
                    out.truncate(before);
                    return false;
                }
            }
        }
        true
    }

    /// The same in pieces: appends at most `most` of the bytes of the planned records behind those
    /// that `out` has, and it has nothing else. The answer is false if they are not in memory, or
    /// not any more.
    pub fn copy_resident_piece(&self, plan: &ReadPlan, most: usize, out: &mut Vec<u8>) -> bool {
        let state = self.shared.state.borrow();
        let (mut skip, mut left, mut near) = (out.len(), most, 0);
        for (position, size) in &plan.extents {
            let size = *size as usize;
            let bytes = size.saturating_sub(skip).min(left);
            if bytes > 0 {
                let from = position.0 + skip as u64;
                match state.tail.get_near(&mut near, from, bytes) {
                    Some(bytes) => out.extend_from_slice(bytes),
                    None => return false,
                }
            }
            skip = skip.saturating_sub(size);
            left -= bytes;
        }
        true
    }

    /// Appends the planned records to `out`, from disk where they are not in memory. After an error
    /// `out` is unchanged.
    pub async fn read_cold(&self, plan: &ReadPlan, out: &mut Vec<u8>) -> Result<(), ReadError> {
        let before = out.len();
        let result = self.load_records(&plan.extents, out).await;
        if result.is_err() {
            out.truncate(before);
        }
        result
    }

    /// The visible record that starts there, checked; `None` if none does. Takes the same time for
    /// any offset.
    pub async fn read_record(
        &self,
        physical: PhysicalOffset,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        let position = physical.position().0;
        let committed = {
            let state = self.shared.state.borrow();
            let least = state.first + HEADER_BYTES + ENVELOPE;
            let aligned = position.is_multiple_of(envelope::ALIGNMENT as u64);
            if physical.log() != state.log || position < least || !aligned {
                return Ok(None);
            }
            state.committed
        };
        if position >= committed {
            return Ok(None);
        }
        let from = position - ENVELOPE;
        let Ok(segment) = self.segment(from, position) else {
            return Ok(None);
        };
        if from < segment.start + HEADER_BYTES {
            return Ok(None);
        }
        let limit = committed.min(segment.end());
        let (bytes, claims) = self.load_unknown(physical, limit).await?;
        let opened = Envelope::open(&bytes, from);
        let payload = bytes.get(envelope::BYTES..).unwrap_or_default();
        match (opened, Record::decode(payload).ok()) {
            (Ok(envelope), Some(record)) if envelope.kind == Kind::Message => {
                // The body of a message may imitate a record; the index has the last word.
                let queue = self.find_queue(record.topic, record.queue_id);
                let found = match queue {
                    Some(queue) => self.location(queue, record.queue_offset).await?,
                    None => None,
                };
                let genuine = found.is_some_and(|found| found.position == position);
                Ok(genuine.then(|| payload.to_vec()))
            }
            // It says that it stands here, so somebody may well ask for it.
            (Err(reject), _) if claims => {
                let to = from + bytes.len() as u64;
                Err(self.damaged(&segment, from, to, &reject.to_string()))
            }
            _ => Ok(None),
        }
    }

    /// The offset that a store time stands for; 0 for a queue without messages. Fails with
    /// [`ReadError::Removed`] if messages of the queue are given up meanwhile: ask again.
    pub async fn offset_by_time(
        &self,
        queue: QueueHandle,
        timestamp_ms: i64,
        boundary: Boundary,
    ) -> Result<i64, ReadError> {
        let (min, max) = self.bounds(queue);
        if min >= max {
            return Ok(0);
        }
        // The first offset in min..=max whose message is not older, or newer for the upper bound.
        let (mut low, mut high) = (min, max);
        while low < high {
            let middle = low + (high - low) / 2;
            let time = self.store_time(queue, middle).await?;
            let before = match boundary {
                Boundary::Upper => time <= timestamp_ms,
                Boundary::Lower | Boundary::Nearest49 => time < timestamp_ms,
            };
            if before {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        match boundary {
            Boundary::Lower => Ok(low),
            Boundary::Upper if low == min => Ok(0),
            Boundary::Upper => Ok(low - 1),
            Boundary::Nearest49 if low == min => Ok(min),
            Boundary::Nearest49 if low == max => Ok(max - 1),
            Boundary::Nearest49 => {
                let left = timestamp_ms.saturating_sub(self.store_time(queue, low - 1).await?);
                let right = self.store_time(queue, low).await?.saturating_sub(timestamp_ms);
                Ok(if left <= right { low - 1 } else { low })
            }
        }
    }

    async fn store_time(&self, queue: QueueHandle, offset: i64) -> Result<i64, ReadError> {
        // Retention may have removed it meanwhile.
        let removed = ReadError::Removed { from: 0, to: self.shared.state.borrow().first };
        let found = self.location(queue, offset).await?;
        let Location { position, size, .. } = found.ok_or(removed)?;
        let mut record = Vec::new();
        self.load_records(&[(LogPosition(position), size)], &mut record).await?;
        Record::decode(&record).map(|record| record.store_timestamp).map_err(|error| {
            ReadError::Damaged {
                path: self.shared.options.directory.clone(),
                from: position,
                to: position + u64::from(size),
                found: error.to_string(),
            }
        })
    }
}
