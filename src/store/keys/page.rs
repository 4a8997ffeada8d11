//! The blocks of a key segment, byte by byte; see `docs/FORMAT.md`.

use ringmq_base::{
    checksum::{crc32c, crc32c_append},
    limits::BLOCK_BYTES,
};

use super::entry::Entry;
use crate::files::block::{BlockError, BlockReader, BlockWriter};

const SEGMENT_MAGIC: &[u8; 8] = b"RMQKEYS\0";
const RUN_MAGIC: &[u8; 8] = b"RMQKRUN\0";
const VERSION: u32 = 1;

/// Where the entries of a page begin.
const ENTRIES_AT: usize = 16;
const ENTRY_BYTES: usize = 16;
/// Entries of a full page.
pub const PAGE_ENTRIES: usize = (BLOCK_BYTES - ENTRIES_AT) / ENTRY_BYTES;

const _: () = assert!(PAGE_ENTRIES == 255 && size_of::<Entry>() == ENTRY_BYTES);

/// The first block of a key segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    pub log: u32,
    pub store_id: u128,
    /// The number in the file's name.
    pub number: u64,
    /// Runs that the segment has room for.
    pub slots: u32,
    /// Blocks of the room of a run, header included.
    pub slot_blocks: u32,
}

impl SegmentHeader {
    pub fn write(&self, block: &mut [u8]) {
        BlockWriter::new(block, SEGMENT_MAGIC, VERSION)
            .u32(self.log)
            .u128(self.store_id)
            .u64(self.number)
            .u32(self.slots)
            .u32(self.slot_blocks)
            .seal();
    }

    pub fn read(block: &[u8]) -> Result<SegmentHeader, BlockError> {
        let mut fields = BlockReader::new(block, SEGMENT_MAGIC, VERSION)?;
        Ok(SegmentHeader {
            log: fields.u32(),
            store_id: fields.u128(),
            number: fields.u64(),
            slots: fields.u32(),
            slot_blocks: fields.u32(),
        })
    }
}

/// The first block of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunHeader {
    pub log: u32,
    pub store_id: u128,
    /// Of the segment.
    pub number: u64,
    pub slot: u32,
    pub entries: u32,
    /// Unit of the times of the entries, in milliseconds.
    pub unit_ms: u32,
    /// CRC32C over the crc fields of all pages in their order.
    pub pages_crc: u32,
    /// The run holds all keys of the messages at these log positions.
    pub from: u64,
    pub to: u64,
    /// What the times of the entries count from, and that of the newest one.
    pub base_ms: u64,
    pub last_ms: u64,
}

impl RunHeader {
    pub fn write(&self, block: &mut [u8]) {
        BlockWriter::new(block, RUN_MAGIC, VERSION)
            .u32(self.log)
            .u128(self.store_id)
            .u64(self.number)
            .u32(self.slot)
            .u32(self.entries)
            .u32(self.unit_ms)
            .u32(self.pages_crc)
            .u64(self.from)
            .u64(self.to)
            .u64(self.base_ms)
            .u64(self.last_ms)
            .seal();
    }

    pub fn read(block: &[u8]) -> Result<RunHeader, BlockError> {
        let mut fields = BlockReader::new(block, RUN_MAGIC, VERSION)?;
        Ok(RunHeader {
            log: fields.u32(),
            store_id: fields.u128(),
            number: fields.u64(),
            slot: fields.u32(),
            entries: fields.u32(),
            unit_ms: fields.u32(),
            pages_crc: fields.u32(),
            from: fields.u64(),
            to: fields.u64(),
            base_ms: fields.u64(),
            last_ms: fields.u64(),
        })
    }

    /// Whether the fields fit each other and the segment.
    pub fn is_sound(&self, segment: &SegmentHeader, slot: u32) -> bool {
        let place = (self.log, self.store_id, self.number, self.slot);
        place == (segment.log, segment.store_id, segment.number, slot)
            && self.from < self.to
            && self.base_ms <= self.last_ms
            && i64::try_from(self.last_ms).is_ok()
            && self.entries > 0
            && self.unit_ms > 0
            && pages_of(self.entries as usize) < segment.slot_blocks as usize
    }
}

/// Pages that so many entries take.
pub fn pages_of(entries: usize) -> usize {
    entries.div_ceil(PAGE_ENTRIES)
}

/// Fills a page of the run that begins at log position `from`. The answer is its checksum.
pub fn write_page(block: &mut [u8], page: u32, from: u64, entries: &[Entry]) -> u32 {
    assert!(block.len() == BLOCK_BYTES && entries.len() <= PAGE_ENTRIES);
    block[4..8].copy_from_slice(&page.to_le_bytes());
    block[8..16].copy_from_slice(&from.to_le_bytes());
    let (slots, rest) = block[ENTRIES_AT..].as_chunks_mut::<ENTRY_BYTES>();
    assert!(rest.is_empty());
    for (slot, entry) in slots.iter_mut().zip(entries) {
        let (hash, place) = entry.words();
        slot[..8].copy_from_slice(&hash.to_le_bytes());
        slot[8..].copy_from_slice(&place.to_le_bytes());
    }
    slots[entries.len()..].fill([0; ENTRY_BYTES]);
    let crc = crc32c(&block[4..]);
    block[..4].copy_from_slice(&crc.to_le_bytes());
    crc
}

/// The first `count` entries of a page and its checksum, if it is intact and the one wanted.
pub fn read_page(
    block: &[u8],
    page: u32,
    from: u64,
    count: usize,
) -> Result<(Vec<Entry>, u32), &'static str> {
    let Some((head, slots)) = block.split_first_chunk::<ENTRIES_AT>() else {
        return Err("the end of the file");
    };
    let [c0, c1, c2, c3, p0, p1, p2, p3, start @ ..] = *head;
    let crc = u32::from_le_bytes([c0, c1, c2, c3]);
    if block.len() != BLOCK_BYTES || crc32c(&block[4..]) != crc {
        return Err("a wrong checksum");
    }
    if u32::from_le_bytes([p0, p1, p2, p3]) != page || u64::from_le_bytes(start) != from {
        return Err("another page");
    }
    let (slots, _) = slots.as_chunks::<ENTRY_BYTES>();
    let entries = slots.iter().take(count).map(|slot| {
        let word = |at: usize| slot[at..].first_chunk().copied().map_or(0, u64::from_le_bytes);
        Entry::from_words(word(0), word(8))
    });
    Ok((entries.collect(), crc))
}

/// Continues the checksum over the checksums of pages.
pub fn add_page_crc(pages_crc: u32, crc: u32) -> u32 {
    crc32c_append(pages_crc, &crc.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_round_trip_and_are_checked_against_their_place() {
        let segment =
            SegmentHeader { log: 3, store_id: 1 << 90, number: 7, slots: 64, slot_blocks: 257 };
        let mut block = vec![0; BLOCK_BYTES];
        segment.write(&mut block);
        assert_eq!(SegmentHeader::read(&block), Ok(segment));
        assert_eq!(RunHeader::read(&block), Err(BlockError::Magic));
        let run = RunHeader {
            log: 3,
            store_id: 1 << 90,
            number: 7,
            slot: 5,
            entries: 256 * 255,
            unit_ms: 1000,
            pages_crc: 9,
            from: 4096,
            to: 1 << 47,
            base_ms: 1 << 40,
            last_ms: 1 << 41,
        };
        run.write(&mut block);
        assert_eq!(RunHeader::read(&block), Ok(run));
        assert!(run.is_sound(&segment, 5) && !run.is_sound(&segment, 6));
        assert!(!RunHeader { entries: 256 * 255 + 1, ..run }.is_sound(&segment, 5));
        assert!(!RunHeader { to: 4096, ..run }.is_sound(&segment, 5));
    }

    #[test]
    fn pages_round_trip_and_notice_every_flipped_bit() {
        let entries: Vec<Entry> = (0..200).map(|n| Entry::new(n << 40, n, n * 3)).collect();
        let mut block = vec![7; BLOCK_BYTES];
        let crc = write_page(&mut block, 4, 4096, &entries);
        assert_eq!(read_page(&block, 4, 4096, 200), Ok((entries, crc)));
        assert_eq!(read_page(&block, 5, 4096, 200), Err("another page"));
        assert_eq!(read_page(&block, 4, 8192, 200), Err("another page"));
        assert_eq!(read_page(&block[..4095], 4, 4096, 200), Err("a wrong checksum"));
        for bit in 0..BLOCK_BYTES * 8 {
            block[bit / 8] ^= 1 << (bit % 8);
            assert!(read_page(&block, 4, 4096, 200).is_err(), "bit {bit}");
            block[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
