//! Segment files: a header block, then records from position `start + 4096` on. The byte at log
//! position `p` is at `p - start` of its file.

use std::{
    cell::{Cell, RefCell},
    path::{Path, PathBuf},
    rc::Rc,
};

use ringmq_base::{LogId, limits::BLOCK_BYTES};
use ringmq_io::{BlockBuffer, Disk, File, OpenMode, Runtime};

use crate::{
    api::{
        options::{FlushMode, LogOptions},
        values::SegmentFacts,
    },
    files::{
        block::{BlockError, BlockReader, BlockWriter},
        directory::{create_durably, numbered},
        envelope,
    },
};

pub const MAGIC: &[u8; 8] = b"RMQSEGM\0";
pub const VERSION: u32 = 1;
pub const HEADER_BYTES: u64 = BLOCK_BYTES as u64;
/// First step of an empty log, small so that it starts at once.
pub const FIRST_BYTES: u64 = 1 << 20;
/// A segment under construction, renamed when it is complete.
pub const NEW_SUFFIX: &str = ".seg.new";
/// A segment that was given up and waits to become another one.
pub const SPARE_SUFFIX: &str = ".seg.spare";
const SUFFIX: &str = ".seg";

pub type FileOf<R> = <<R as Runtime>::Disk as Disk>::File;
pub type BufferOf<R> = <<R as Runtime>::Disk as Disk>::Buffer;
type DiskResult<T> = ringmq_io::disk::Result<T>;

/// What a header block says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub log: u32,
    /// Opening of the log that created the segment.
    pub epoch: u32,
    pub store_id: u128,
    pub start: u64,
    /// Size of the whole file when it is complete, header included.
    pub bytes: u64,
}

impl Header {
    pub fn write(&self, block: &mut [u8]) {
        BlockWriter::new(block, MAGIC, VERSION)
            .u32(self.log)
            .u32(self.epoch)
            .u128(self.store_id)
            .u64(self.start)
            .u64(self.bytes)
            .seal();
    }

    pub fn read(block: &[u8]) -> Result<Header, BlockError> {
        let mut fields = BlockReader::new(block, MAGIC, VERSION)?;
        Ok(Header {
            log: fields.u32(),
            epoch: fields.u32(),
            store_id: fields.u128(),
            start: fields.u64(),
            bytes: fields.u64(),
        })
    }
}

pub fn file_name(start: u64) -> String {
    format!("{start:020}{SUFFIX}")
}

/// The start position that a file name states; `None` if it is no segment's.
pub fn parse_name(name: &str) -> Option<u64> {
    numbered(name, "", SUFFIX)
}

/// An open segment.
pub struct Segment<R: Runtime> {
    pub start: u64,
    pub bytes: u64,
    /// Of its header.
    pub epoch: u32,
    pub path: PathBuf,
    pub reader: Rc<FileOf<R>>,
    /// For the flusher; `None` once the log has gone on to the next segment.
    pub writer: RefCell<Option<Rc<FileOf<R>>>>,
    /// For zero-filling and syncs, not durable by itself.
    pub filler: RefCell<Option<Rc<FileOf<R>>>>,
    /// Holds writes that no sync has covered.
    pub dirty: Cell<bool>,
    /// When its first message was stored, once somebody has looked.
    pub first_stored_ms: Cell<Option<i64>>,
}

impl<R: Runtime> Segment<R> {
    pub fn end(&self) -> u64 {
        self.start + self.bytes
    }

    /// Opens the handles that writing needs.
    pub async fn open_for_writing(&self, disk: &R::Disk, flush: FlushMode) -> DiskResult<()> {
        let mode = match flush {
            FlushMode::Sync => OpenMode::WriteDurable,
            FlushMode::Async => OpenMode::Write,
        };
        let writer = Rc::new(disk.open(&self.path, mode).await?);
        let filler = match flush {
            FlushMode::Sync => Rc::new(disk.open(&self.path, OpenMode::Write).await?),
            FlushMode::Async => writer.clone(),
        };
        self.writer.replace(Some(writer));
        self.filler.replace(Some(filler));
        Ok(())
    }

    pub async fn open(disk: &R::Disk, path: PathBuf, header: &Header) -> DiskResult<Segment<R>> {
        let reader = Rc::new(disk.open(&path, OpenMode::Read).await?);
        Ok(Segment {
            start: header.start,
            bytes: header.bytes,
            epoch: header.epoch,
            path,
            reader,
            writer: RefCell::new(None),
            filler: RefCell::new(None),
            dirty: Cell::new(false),
            first_stored_ms: Cell::new(None),
        })
    }
}

/// Creates a segment with its first `allocate` bytes allocated. When it resolves, the file is
/// complete and durable under its name; before, nothing has that name.
pub async fn create<D: Disk>(
    disk: &D,
    options: &LogOptions,
    facts: &SegmentFacts,
    allocate: u64,
) -> DiskResult<(PathBuf, Header)> {
    let (header, block) = header(options, facts);
    let path = options.directory.join(file_name(header.start));
    let new = options.directory.join(format!("{:020}{NEW_SUFFIX}", header.start));
    create_durably(disk, &new, &path, &block, allocate).await?;
    Ok((path, header))
}

/// Makes a segment of `spare`, a file as long as the segment will be. When it resolves, the file is
/// durable under its new name; before, nothing has that name and `spare` may be used for another
/// try. What stands behind the header was written for other positions and is no record here.
pub async fn recycle<D: Disk>(
    disk: &D,
    options: &LogOptions,
    facts: &SegmentFacts,
    spare: &Path,
) -> DiskResult<(PathBuf, Header)> {
    let (header, block) = header(options, facts);
    let path = options.directory.join(file_name(header.start));
    let file = disk.open(spare, OpenMode::Write).await?;
    let mut buffer = disk.buffer(BLOCK_BYTES);
    buffer.bytes_mut().copy_from_slice(&block);
    let written = file.write(&buffer, 0).await;
    let synced = match written {
        Ok(()) => file.sync().await,
        failed => failed,
    };
    file.close().await.and(synced)?;
    disk.rename_durably(spare, &path).await?;
    Ok((path, header))
}

fn header(options: &LogOptions, facts: &SegmentFacts) -> (Header, Vec<u8>) {
    let header = Header {
        log: log_word(options.log),
        epoch: facts.epoch,
        store_id: options.store_id,
        start: facts.start.0,
        bytes: facts.bytes,
    };
    let mut block = vec![0; BLOCK_BYTES];
    header.write(&mut block);
    (header, block)
}

/// The segment's log id as a word of the header.
pub fn log_word(log: LogId) -> u32 {
    u32::from(log.get())
}

/// Largest message record that any segment of this size takes.
pub fn record_bytes_max(segment_bytes: u64) -> usize {
    let room = segment_bytes - HEADER_BYTES - 3 * envelope::BYTES as u64;
    usize::try_from(room)
        .map_or(envelope::PAYLOAD_BYTES_MAX, |room| room.min(envelope::PAYLOAD_BYTES_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_names_round_trip() {
        let header = Header { log: 3, epoch: 9, store_id: 1 << 90, start: 1 << 30, bytes: 1 << 20 };
        let mut block = vec![0; BLOCK_BYTES];
        header.write(&mut block);
        assert_eq!(Header::read(&block), Ok(header));
        assert_eq!(parse_name(&file_name(1 << 40)), Some(1 << 40));
        assert_eq!(parse_name("+0000000000000000001.seg"), None);
        assert_eq!(parse_name("00000000000000000001.seg.new"), None);
        assert_eq!(parse_name("mark"), None);
    }
}
