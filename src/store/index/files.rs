//! Index segments: files that hold the pages of all queues of a log, in the order in which they
//! were completed.
//!
//! Blocks are numbered over all segments, as positions of the log are. The first block of a segment
//! is its header, the last ones are its footer, written when all between them is full. Pages behind
//! what the newest snapshot counts mean nothing and are written again.

use std::{
    cell::Cell,
    collections::VecDeque,
    path::{Path, PathBuf},
    rc::Rc,
};

use ringmq_base::limits::BLOCK_BYTES;
use ringmq_io::{BlockBuffer, Disk, DiskError, File, OpenMode, Runtime};

use super::page::{FOOTER_ENTRIES, PageEntry, write_footer};
use crate::{
    api::options::LogOptions,
    files::{
        block::{BlockError, BlockReader, BlockWriter},
        directory::{create_durably, numbered},
        segment::{FileOf, log_word},
    },
};

pub const MAGIC: &[u8; 8] = b"RMQINDX\0";
pub const VERSION: u32 = 1;
pub const NEW_SUFFIX: &str = ".idx.new";
const PREFIX: &str = "index-";
const SUFFIX: &str = ".idx";
const BLOCK: u64 = BLOCK_BYTES as u64;

/// What the header block of an index segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub log: u32,
    pub store_id: u128,
    /// Number of the header's block.
    pub start: u64,
    /// Blocks of the file, header and footer included.
    pub blocks: u64,
}

impl Header {
    pub fn write(&self, block: &mut [u8]) {
        BlockWriter::new(block, MAGIC, VERSION)
            .u32(self.log)
            .u128(self.store_id)
            .u64(self.start)
            .u64(self.blocks)
            .seal();
    }

    pub fn read(block: &[u8]) -> Result<Header, BlockError> {
        let mut fields = BlockReader::new(block, MAGIC, VERSION)?;
        Ok(Header {
            log: fields.u32(),
            store_id: fields.u128(),
            start: fields.u64(),
            blocks: fields.u64(),
        })
    }
}

pub fn file_name(start: u64) -> String {
    format!("{PREFIX}{start:020}{SUFFIX}")
}

/// The first block that a file name states; `None` if it is no index segment's.
pub fn parse_name(name: &str) -> Option<u64> {
    numbered(name, PREFIX, SUFFIX)
}

/// Blocks that the footer of a segment of `blocks` takes.
pub fn footer_blocks(blocks: u64) -> u64 {
    // Each footer block serves as many pages as it lists, so the two share what the header leaves.
    (blocks - 1).div_ceil(FOOTER_ENTRIES as u64 + 1)
}

/// An open index segment.
pub struct IndexSegment<R: Runtime> {
    pub start: u64,
    pub blocks: u64,
    pub path: PathBuf,
    pub file: Rc<FileOf<R>>,
    /// The messages of all its pages are before this position of the log; 0 while not complete.
    pub log_end: Cell<u64>,
}

impl<R: Runtime> IndexSegment<R> {
    pub fn end(&self) -> u64 {
        self.start + self.blocks
    }

    /// One past the last block for pages.
    pub fn pages_end(&self) -> u64 {
        self.end() - footer_blocks(self.blocks)
    }

    /// Place of a block in the file.
    pub fn at(&self, block: u64) -> u64 {
        (block - self.start) * BLOCK
    }
}

/// The index segments of a log. One task writes, any task reads.
pub struct IndexFiles<R: Runtime> {
    /// In order; pages are added to the last one.
    pub segments: VecDeque<Rc<IndexSegment<R>>>,
    /// Block of the next page.
    pub end: u64,
    /// The pages of the last segment.
    pub unfinished: Vec<PageEntry>,
    /// Handle of the last segment for durable writes.
    pub writer: Option<Rc<FileOf<R>>>,
    /// Block up to which the last segment has space.
    pub allocated: u64,
}

impl<R: Runtime> IndexFiles<R> {
    /// Without any segment; the first page creates one.
    pub fn empty(end: u64) -> IndexFiles<R> {
        IndexFiles {
            segments: VecDeque::new(),
            end,
            unfinished: Vec::new(),
            writer: None,
            allocated: 0,
        }
    }

    pub fn segment(&self, block: u64) -> Option<Rc<IndexSegment<R>>> {
        let after = self.segments.partition_point(|segment| segment.start <= block);
        let segment = self.segments.get(after.checked_sub(1)?)?;
        (block < segment.end()).then(|| segment.clone())
    }

    /// Pages that fit into the segment that is written now.
    pub fn room(&self) -> u64 {
        self.segments.back().map_or(0, |segment| segment.pages_end() - self.end)
    }
}

/// Creates the index segment that begins at `start` and opens it. Durable when resolved.
pub async fn create<R: Runtime>(
    disk: &R::Disk,
    options: &LogOptions,
    start: u64,
) -> Result<IndexSegment<R>, DiskError> {
    let header = Header {
        log: log_word(options.log),
        store_id: options.store_id,
        start,
        blocks: options.index_segment_blocks,
    };
    let mut block = vec![0; BLOCK_BYTES];
    header.write(&mut block);
    let path = options.directory.join(file_name(start));
    let new = options.directory.join(format!("{PREFIX}{start:020}{NEW_SUFFIX}"));
    create_durably(disk, &new, &path, &block, BLOCK).await?;
    open(disk, path, &header).await
}

pub async fn open<R: Runtime>(
    disk: &R::Disk,
    path: PathBuf,
    header: &Header,
) -> Result<IndexSegment<R>, DiskError> {
    let file = Rc::new(disk.open(&path, OpenMode::Read).await?);
    Ok(IndexSegment {
        start: header.start,
        blocks: header.blocks,
        path,
        file,
        log_end: Cell::new(0),
    })
}

/// Opens the handle that pages are written with; they are on stable storage when that resolves.
pub async fn open_writer<R: Runtime>(
    disk: &R::Disk,
    path: &Path,
) -> Result<Rc<FileOf<R>>, DiskError> {
    Ok(Rc::new(disk.open(path, OpenMode::WriteDurable).await?))
}

/// The footer blocks of a segment, ready to be written behind its pages.
pub fn footer<D: Disk>(
    disk: &D,
    first_block: u64,
    blocks: u64,
    log_end: u64,
    pages: &[PageEntry],
) -> D::Buffer {
    let mut buffer = disk.buffer(blocks as usize * BLOCK_BYTES);
    let mut lists = pages.chunks(FOOTER_ENTRIES);
    for (number, block) in (first_block..).zip(buffer.bytes_mut().chunks_exact_mut(BLOCK_BYTES)) {
        write_footer(block, number, log_end, lists.next().unwrap_or_default());
    }
    assert!(lists.next().is_none(), "the footer has room for all pages");
    buffer
}

/// Makes room for blocks up to `end` in the segment's file.
pub async fn allocate<F: File>(file: &F, from: u64, end: u64) -> Result<(), DiskError> {
    file.allocate(from * BLOCK, (end - from) * BLOCK).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn footers_have_room_for_all_pages() {
        for blocks in (3..70_000).step_by(7).chain([16_384]) {
            let footer = footer_blocks(blocks);
            let pages = blocks - 1 - footer;
            assert!(pages <= footer * FOOTER_ENTRIES as u64, "{blocks} blocks");
            assert!(pages + FOOTER_ENTRIES as u64 > (footer - 1) * FOOTER_ENTRIES as u64);
        }
        assert_eq!(parse_name(&file_name(1 << 40)), Some(1 << 40));
        assert_eq!(
            (parse_name("index-1.idx"), parse_name("00000000000000000001.seg")),
            (None, None)
        );
    }

    #[test]
    fn headers_round_trip() {
        let header = Header { log: 3, store_id: 1 << 90, start: 1 << 30, blocks: 1 << 14 };
        let mut block = vec![0; BLOCK_BYTES];
        header.write(&mut block);
        assert_eq!(Header::read(&block), Ok(header));
    }
}
