//! Snapshots: what of the index is in no complete index segment, as of a position of the log.
//!
//! A file `snapshot-<sequence>.snp` is a guarded block and sections. A snapshot is made while the
//! log goes on: each queue is noted when its turn comes, as far as it is on stable storage by then.
//! The replay from the snapshot's position on passes over what is known already.
//!
//! ```text
//! section: crc u32 (of the sequence u64, then of bytes 4..16 + length), kind u32, length u64,
//!          payload
//!   kind 1 queues: number of the first u32, then for each queue
//!          topic bytes (varint), topic, queue id (zigzag varint), first offset, first offset that
//!          is in no page, entries (varints); for each entry: position minus the one before
//!          (zigzag), size, tags code (zigzag)
//!   kind 2 pages of the unfinished index segment: 16 bytes each, as in a footer
//!   kind 3 keys that are in no run: see `keys::section`
//! ```

use integer_encoding::VarInt;
use ringmq_base::{
    checksum::{crc32c, crc32c_append},
    limits::BLOCK_BYTES,
};

use super::{Location, Queue, page::PageEntry};
use crate::files::{
    block::{BlockError, BlockReader, BlockWriter},
    directory::numbered,
};

pub const MAGIC: &[u8; 8] = b"RMQSNAP\0";
pub const VERSION: u32 = 1;
pub const NEW_NAME: &str = "snapshot.new";
pub const SECTION_QUEUES: u32 = 1;
pub const SECTION_PAGES: u32 = 2;
/// The keys that are in no run, see `keys::section`.
pub const SECTION_KEYS: u32 = 3;
/// Head of a section.
pub const SECTION_BYTES: usize = 16;
/// Of a varint of 64 bits.
const NUMBER_BYTES_MAX: usize = 10;
const PREFIX: &str = "snapshot-";
const SUFFIX: &str = ".snp";

/// What the first block says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    pub log: u32,
    pub store_id: u128,
    /// Counts snapshots; the greater one counts.
    pub sequence: u64,
    /// Position of the record that a replay begins with.
    pub position: u64,
    /// Everything that the snapshot knows is before this position, on stable storage.
    pub stable: u64,
    /// No record from `position` on has a smaller epoch.
    pub epoch: u32,
    /// Store time of no earlier record is later.
    pub last_timestamp: i64,
    /// Bytes of all sections.
    pub bytes: u64,
    /// Block of the next page, and the first block of the segment that it belongs to.
    pub index_end: u64,
    pub index_segment: u64,
    /// Queues in all.
    pub queues: u32,
    /// Start of the first segment of the log.
    pub first: u64,
}

impl Header {
    pub fn write(&self, block: &mut [u8]) {
        BlockWriter::new(block, MAGIC, VERSION)
            .u32(self.log)
            .u32(self.epoch)
            .u128(self.store_id)
            .u64(self.sequence)
            .u64(self.position)
            .u64(self.stable)
            .u64(self.last_timestamp.cast_unsigned())
            .u64(self.bytes)
            .u64(self.index_end)
            .u64(self.index_segment)
            .u32(self.queues)
            .u64(self.first)
            .seal();
    }

    pub fn read(block: &[u8]) -> Result<Header, BlockError> {
        let mut fields = BlockReader::new(block, MAGIC, VERSION)?;
        Ok(Header {
            log: fields.u32(),
            epoch: fields.u32(),
            store_id: fields.u128(),
            sequence: fields.u64(),
            position: fields.u64(),
            stable: fields.u64(),
            last_timestamp: fields.u64().cast_signed(),
            bytes: fields.u64(),
            index_end: fields.u64(),
            index_segment: fields.u64(),
            queues: fields.u32(),
            first: fields.u64(),
        })
    }
}

pub fn file_name(sequence: u64) -> String {
    format!("{PREFIX}{sequence:020}{SUFFIX}")
}

/// The sequence number that a file name states; `None` if it is no snapshot's.
pub fn parse_name(name: &str) -> Option<u64> {
    numbered(name, PREFIX, SUFFIX)
}

/// Bytes of the file for sections of `bytes`.
pub fn file_bytes(bytes: u64) -> u64 {
    BLOCK_BYTES as u64 + bytes.next_multiple_of(BLOCK_BYTES as u64)
}

/// Adds a section to `out` whose payload `fill` appends.
pub fn section(out: &mut Vec<u8>, sequence: u64, kind: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; SECTION_BYTES]);
    fill(out);
    let length = (out.len() - start - SECTION_BYTES) as u64;
    let section = &mut out[start..];
    section[4..8].copy_from_slice(&kind.to_le_bytes());
    section[8..16].copy_from_slice(&length.to_le_bytes());
    let crc = crc32c_append(crc32c(&sequence.to_le_bytes()), &section[4..]);
    section[..4].copy_from_slice(&crc.to_le_bytes());
}

/// The next section of `bytes`: kind, payload, what is behind it. `None` if it is damaged.
pub fn next_section(bytes: &[u8], sequence: u64) -> Option<(u32, &[u8], &[u8])> {
    let (head, _) = bytes.split_first_chunk::<SECTION_BYTES>()?;
    let [a, b, c, d, e, f, g, h, length @ ..] = *head;
    let length = usize::try_from(u64::from_le_bytes(length)).ok()?;
    let (section, rest) = bytes.split_at_checked(SECTION_BYTES.checked_add(length)?)?;
    let crc = crc32c_append(crc32c(&sequence.to_le_bytes()), section.get(4..)?);
    let intact = crc == u32::from_le_bytes([a, b, c, d]);
    intact.then_some((u32::from_le_bytes([e, f, g, h]), section.get(SECTION_BYTES..)?, rest))
}

fn put(out: &mut Vec<u8>, value: impl VarInt) {
    let mut bytes = [0; NUMBER_BYTES_MAX];
    let count = value.encode_var(&mut bytes);
    out.extend_from_slice(&bytes[..count]);
}

/// Takes numbers off the front of a section.
pub struct Numbers<'a>(pub &'a [u8]);

impl<'a> Numbers<'a> {
    pub fn next<V: VarInt>(&mut self) -> Option<V> {
        let (value, count) = V::decode_var(self.0)?;
        self.0 = self.0.get(count..)?;
        Some(value)
    }

    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }
}

/// Appends a queue as far as it ends within the first `stable` bytes of the log.
pub fn put_queue(out: &mut Vec<u8>, queue: &Queue, stable: u64) {
    let from = queue.memory_first();
    let end = queue.ending_within(from, stable);
    // Entries that retention has passed by are left out; those behind keep their offsets.
    let from = from.max(queue.min());
    put(out, queue.topic.len() as u64);
    out.extend_from_slice(queue.topic.as_bytes());
    put(out, i64::from(queue.queue_id));
    put(out, queue.min().cast_unsigned());
    put(out, from.cast_unsigned());
    put(out, (end - from).cast_unsigned());
    let mut before = 0_i64;
    let (mut bytes, mut used) = ([0; 256], 0);
    for entry in queue.entries(from, end) {
        if used > bytes.len() - 3 * NUMBER_BYTES_MAX {
            out.extend_from_slice(&bytes[..used]);
            used = 0;
        }
        let position = entry.position.cast_signed();
        used += (position - before).encode_var(&mut bytes[used..]);
        used += entry.size.encode_var(&mut bytes[used..]);
        used += entry.tags_code.encode_var(&mut bytes[used..]);
        before = position;
    }
    out.extend_from_slice(&bytes[..used]);
}

/// A queue as a snapshot has it.
pub struct SavedQueue<'a> {
    pub topic: &'a str,
    pub queue_id: i32,
    pub min: i64,
    pub memory_first: i64,
    entries: u64,
    before: i64,
}

impl<'a> SavedQueue<'a> {
    /// The head of the next queue; its entries follow with [`SavedQueue::entry`].
    pub fn read(numbers: &mut Numbers<'a>) -> Option<SavedQueue<'a>> {
        let topic_bytes = usize::try_from(numbers.next::<u64>()?).ok()?;
        let topic = std::str::from_utf8(numbers.bytes(topic_bytes)?).ok()?;
        let queue_id = i32::try_from(numbers.next::<i64>()?).ok()?;
        let offset = |value: Option<u64>| value.and_then(|value| i64::try_from(value).ok());
        let (min, memory_first) = (offset(numbers.next())?, offset(numbers.next())?);
        Some(SavedQueue { topic, queue_id, min, memory_first, entries: numbers.next()?, before: 0 })
    }

    /// The next entry; `None` after the last, an error if the section is malformed.
    pub fn entry(&mut self, numbers: &mut Numbers<'_>) -> Option<Result<Location, ()>> {
        self.entries = self.entries.checked_sub(1)?;
        Some(self.decode(numbers).ok_or(()))
    }

    fn decode(&mut self, numbers: &mut Numbers<'_>) -> Option<Location> {
        let position = self.before.checked_add(numbers.next()?)?;
        self.before = position;
        let size = u32::try_from(numbers.next::<u64>()?).ok()?;
        let tags_code = numbers.next()?;
        Some(Location { position: u64::try_from(position).ok()?, size, tags_code })
    }
}

/// Appends the pages of the unfinished index segment.
pub fn put_pages(out: &mut Vec<u8>, pages: &[PageEntry]) {
    pages.iter().for_each(|page| out.extend_from_slice(&page.to_bytes()));
}

pub fn read_pages(payload: &[u8]) -> impl Iterator<Item = PageEntry> {
    payload.as_chunks().0.iter().map(PageEntry::from_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_come_back_as_far_as_they_are_stable() {
        let mut queue = Queue::new(1, "Topic".into(), 7, 0);
        let location = |n: i64| Location {
            position: 4128 + n.cast_unsigned() * 1000,
            size: 100,
            tags_code: if n % 3 == 0 { i64::MIN + n } else { -n },
        };
        (0..100).for_each(|n| assert!(!queue.push(location(n))));
        let mut out = Vec::new();
        section(&mut out, 5, SECTION_QUEUES, |out| {
            put_queue(out, &queue, location(49).end());
            put_queue(out, &Queue::new(2, "Empty".into(), -1, 30), 0);
        });
        let (kind, payload, rest) = next_section(&out, 5).expect("intact");
        assert_eq!((kind, rest.len()), (SECTION_QUEUES, 0));
        let mut numbers = Numbers(payload);
        let mut saved = SavedQueue::read(&mut numbers).expect("a queue");
        assert_eq!((saved.topic, saved.queue_id), ("Topic", 7));
        assert_eq!((saved.min, saved.memory_first), (0, 0));
        for n in 0..50 {
            assert_eq!(saved.entry(&mut numbers), Some(Ok(location(n))));
        }
        assert_eq!(saved.entry(&mut numbers), None);
        let mut saved = SavedQueue::read(&mut numbers).expect("a queue");
        assert_eq!((saved.topic, saved.queue_id, saved.min), ("Empty", -1, 30));
        assert_eq!(saved.memory_first, 30);
        assert!(saved.entry(&mut numbers).is_none() && numbers.0.is_empty());
        assert!(next_section(&out, 6).is_none(), "of another snapshot");
        for bit in 0..out.len() * 8 {
            out[bit / 8] ^= 1 << (bit % 8);
            assert!(next_section(&out, 5).is_none(), "bit {bit}");
            out[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn headers_round_trip() {
        let header = Header {
            log: 3,
            store_id: 1 << 90,
            sequence: 9,
            position: 5000,
            stable: 6000,
            epoch: 2,
            last_timestamp: -1,
            bytes: 77,
            index_end: 12,
            index_segment: 8,
            queues: 80_000,
            first: 4096,
        };
        let mut block = vec![0; BLOCK_BYTES];
        header.write(&mut block);
        assert_eq!(Header::read(&block), Ok(header));
        assert_eq!(parse_name(&file_name(77)), Some(77));
        assert_eq!((parse_name("snapshot.new"), parse_name("snapshot-1.snp")), (None, None));
    }
}
