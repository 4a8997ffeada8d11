//! Blocks of an index segment: pages with entries of one queue, and the footer that lists them.
//!
//! Little-endian, 4096 bytes:
//!
//! ```text
//!   0 CRC32C  u32  over the block number (u64), then over bytes 4..4096
//!   4 queue   u32  number of the queue; 0xFFFFFFFF in a footer
//!   8 first   u48  offset of the first entry; in a footer: the log position behind all entries
//!  14 count   u16  entries
//!  16         entries of 20 bytes, or of 16 bytes in a footer; the rest is zero
//! ```
//!
//! An entry of a page is position (u64), size (u32) and tags code (i64) of a message; one of a
//! footer is queue (u32), first offset (u48) and log position of the first entry (u48) of a page.
//! The block number in the checksum rejects a block that was written elsewhere.

use ringmq_base::{
    checksum::{crc32c, crc32c_append},
    limits::BLOCK_BYTES,
};

use super::location::{self, Packed};

/// Entries of a full page.
pub const ENTRIES: usize = (BLOCK_BYTES - HEAD_BYTES) / location::BYTES;
/// Pages that a footer block lists.
pub const FOOTER_ENTRIES: usize = (BLOCK_BYTES - HEAD_BYTES) / FOOTER_ENTRY_BYTES;

const HEAD_BYTES: usize = 16;
const FOOTER_ENTRY_BYTES: usize = 16;
const FOOTER_QUEUE: u32 = u32::MAX;

const _: () = assert!(ENTRIES == 204 && FOOTER_ENTRIES == 255);

/// What a page holds, as a footer and a snapshot list it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageEntry {
    pub queue: u32,
    /// Offset of the first entry.
    pub first: i64,
    /// Log position of the first entry's message.
    pub position: u64,
}

impl PageEntry {
    pub const BYTES: usize = FOOTER_ENTRY_BYTES;

    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&self.queue.to_le_bytes());
        bytes[4..10].copy_from_slice(&word48(self.first.cast_unsigned()));
        bytes[10..].copy_from_slice(&word48(self.position));
        bytes
    }

    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> PageEntry {
        let [a, b, c, d, rest @ ..] = *bytes;
        let [first, position] = [0, 6].map(|at| read48(rest.get(at..).unwrap_or_default()));
        PageEntry { queue: u32::from_le_bytes([a, b, c, d]), first: first.cast_signed(), position }
    }
}

/// Why a block is not what the directory says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    #[error("a wrong checksum")]
    Checksum,
    #[error("another page")]
    Other,
}

fn word48(value: u64) -> [u8; 6] {
    let [a, b, c, d, e, f, high @ ..] = value.to_le_bytes();
    assert!(high == [0; 2], "{value} does not fit 48 bits");
    [a, b, c, d, e, f]
}

fn read48(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    let (low, bytes) = (&mut word[..6], bytes.get(..6).unwrap_or(&[0; 6]));
    low.copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

fn checksum(block: &[u8], number: u64) -> u32 {
    crc32c_append(crc32c(&number.to_le_bytes()), block.get(4..).unwrap_or_default())
}

fn write_head(block: &mut [u8], queue: u32, first: u64, count: usize) {
    assert_eq!(block.len(), BLOCK_BYTES);
    block[4..8].copy_from_slice(&queue.to_le_bytes());
    block[8..14].copy_from_slice(&word48(first));
    block[14..16].copy_from_slice(&(count as u16).to_le_bytes());
}

fn seal(block: &mut [u8], number: u64) {
    let crc = checksum(block, number);
    block[..4].copy_from_slice(&crc.to_le_bytes());
}

/// Fills block `number` with a page.
pub fn write_page(block: &mut [u8], number: u64, queue: u32, first: i64, entries: &[Packed]) {
    assert!(!entries.is_empty() && entries.len() <= ENTRIES && queue != FOOTER_QUEUE);
    block.fill(0);
    write_head(block, queue, first.cast_unsigned(), entries.len());
    for (entry, out) in entries.iter().zip(block[HEAD_BYTES..].chunks_exact_mut(location::BYTES)) {
        out.copy_from_slice(&entry.to_bytes());
    }
    seal(block, number);
}

/// Fills block `number` with a footer block; `end` is a log position behind all entries of all
/// pages of the segment.
pub fn write_footer(block: &mut [u8], number: u64, end: u64, pages: &[PageEntry]) {
    assert!(pages.len() <= FOOTER_ENTRIES);
    block.fill(0);
    write_head(block, FOOTER_QUEUE, end, pages.len());
    for (page, out) in pages.iter().zip(block[HEAD_BYTES..].chunks_exact_mut(FOOTER_ENTRY_BYTES)) {
        out.copy_from_slice(&page.to_bytes());
    }
    seal(block, number);
}

struct Head {
    queue: u32,
    first: u64,
    count: usize,
}

fn open(block: &[u8], number: u64) -> Result<Head, PageError> {
    let block: &[u8; BLOCK_BYTES] = block.try_into().map_err(|_| PageError::Checksum)?;
    let head: &[u8; HEAD_BYTES] = block.first_chunk().expect("a block is larger than its head");
    let [a, b, c, d, ..] = *head;
    if u32::from_le_bytes([a, b, c, d]) != checksum(block, number) {
        return Err(PageError::Checksum);
    }
    Ok(Head::read(head))
}

impl Head {
    fn read(head: &[u8; HEAD_BYTES]) -> Head {
        let [_, _, _, _, a, b, c, d, first @ .., low, high] = *head;
        Head {
            queue: u32::from_le_bytes([a, b, c, d]),
            first: read48(&first),
            count: usize::from(u16::from_le_bytes([low, high])),
        }
    }
}

/// An intact page of a queue.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    pub queue: u32,
    pub first: i64,
    entries: &'a [u8],
}

impl<'a> Page<'a> {
    pub fn open(block: &'a [u8], number: u64) -> Result<Page<'a>, PageError> {
        let head = open(block, number)?;
        let entries = block.get(HEAD_BYTES..HEAD_BYTES + head.count * location::BYTES);
        match entries {
            Some(entries) if head.queue != FOOTER_QUEUE => {
                Ok(Page { queue: head.queue, first: head.first.cast_signed(), entries })
            }
            _ => Err(PageError::Other),
        }
    }

    /// A page that was opened before.
    pub fn trusted(block: &'a [u8]) -> Page<'a> {
        let (head, entries) = block.split_first_chunk().unwrap_or((&[0; HEAD_BYTES], &[]));
        let Head { queue, first, count } = Head::read(head);
        let entries = entries.get(..count * location::BYTES).unwrap_or_default();
        Page { queue, first: first.cast_signed(), entries }
    }

    /// The entry of that offset of the queue.
    pub fn get(&self, offset: i64) -> Option<Packed> {
        let index = usize::try_from(offset.checked_sub(self.first)?).ok()?;
        self.entries.as_chunks().0.get(index).map(Packed::from_bytes)
    }

    pub fn len(&self) -> usize {
        self.entries.len() / location::BYTES
    }
}

/// The log position behind all entries of the segment, and the pages that the block lists.
pub fn read_footer(block: &[u8], number: u64) -> Result<(u64, Vec<PageEntry>), PageError> {
    let head = open(block, number)?;
    let entries = block.get(HEAD_BYTES..HEAD_BYTES + head.count * FOOTER_ENTRY_BYTES);
    match entries {
        Some(entries) if head.queue == FOOTER_QUEUE => {
            Ok((head.first, entries.as_chunks().0.iter().map(PageEntry::from_bytes).collect()))
        }
        _ => Err(PageError::Other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::location::Location;

    fn entries(count: usize) -> Vec<Packed> {
        let location = |n: usize| Location { position: 4128 + n as u64 * 8, size: 5, tags_code: 9 };
        (0..count).map(|n| location(n).pack()).collect()
    }

    #[test]
    fn a_page_opens_at_its_place_only_and_notices_every_flipped_bit() {
        let (mut block, entries) = (vec![1; BLOCK_BYTES], entries(ENTRIES));
        write_page(&mut block, 77, 3, 1000, &entries);
        let page = Page::open(&block, 77).expect("intact");
        assert_eq!((page.queue, page.first, page.len()), (3, 1000, ENTRIES));
        for (offset, entry) in (1000..).zip(&entries) {
            assert_eq!(page.get(offset), Some(*entry));
        }
        assert_eq!((page.get(999), page.get(1000 + ENTRIES as i64)), (None, None));
        assert_eq!(Page::open(&block, 78).err(), Some(PageError::Checksum));
        assert_eq!(read_footer(&block, 77), Err(PageError::Other));
        for bit in 0..BLOCK_BYTES * 8 {
            block[bit / 8] ^= 1 << (bit % 8);
            assert!(Page::open(&block, 77).is_err(), "bit {bit}");
            block[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_footer_lists_pages() {
        let page = |n: i64| PageEntry { queue: 9, first: n * 204, position: (1 << 47) + 8 };
        let pages: Vec<PageEntry> = (0..255).map(page).collect();
        let mut block = vec![1; BLOCK_BYTES];
        write_footer(&mut block, 5, 1 << 40, &pages);
        assert_eq!(read_footer(&block, 5), Ok((1 << 40, pages)));
        assert!(Page::open(&block, 5).is_err() && read_footer(&block, 6).is_err());
    }
}
