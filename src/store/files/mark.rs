//! The durable mark: up to where a log was on stable storage when last noted. Two blocks are
//! written in turn, so that one of them is always whole.

use std::{cell::Cell, io::ErrorKind, path::Path};

use ringmq_base::limits::BLOCK_BYTES;
use ringmq_io::{BlockBuffer, Disk, File, OpenMode, Runtime, signal::Notify};

use crate::files::{
    block::{BlockError, BlockReader, BlockWriter},
    directory::create_durably,
    segment::FileOf,
};

pub const MAGIC: &[u8; 8] = b"RMQMARK\0";
pub const VERSION: u32 = 1;
pub const FILE_NAME: &str = "mark";
pub const NEW_NAME: &str = "mark.new";
const BLOCKS: u64 = 2;

type DiskResult<T> = ringmq_io::disk::Result<T>;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Counts marks; the greater one counts.
    pub sequence: u64,
    /// Everything before it was on stable storage.
    pub position: u64,
    /// Start of the first segment, or the generation of a metadata log.
    pub first: u64,
    pub epoch: u32,
    /// The log was closed in order and ends at `position`.
    pub clean: bool,
    pub store_id: u128,
    pub log: u32,
}

impl Mark {
    pub fn write(&self, block: &mut [u8]) {
        BlockWriter::new(block, MAGIC, VERSION)
            .u64(self.sequence)
            .u64(self.position)
            .u64(self.first)
            .u32(self.epoch)
            .u32(u32::from(self.clean))
            .u128(self.store_id)
            .u32(self.log)
            .seal();
    }

    pub fn read(block: &[u8]) -> Result<Mark, BlockError> {
        let mut fields = BlockReader::new(block, MAGIC, VERSION)?;
        Ok(Mark {
            sequence: fields.u64(),
            position: fields.u64(),
            first: fields.u64(),
            epoch: fields.u32(),
            clean: fields.u32() != 0,
            store_id: fields.u128(),
            log: fields.u32(),
        })
    }

    /// The newer one of the intact blocks of a mark file.
    pub fn newest(bytes: &[u8]) -> Result<Mark, BlockError> {
        let mut newest: Option<Mark> = None;
        let mut error = BlockError::Short(bytes.len());
        for block in bytes.chunks(BLOCK_BYTES).take(BLOCKS as usize) {
            match Mark::read(block) {
                Ok(mark) if newest.is_none_or(|other| other.sequence < mark.sequence) => {
                    newest = Some(mark);
                }
                Ok(_) => {}
                Err(newer @ BlockError::Newer(_)) => return Err(newer),
                Err(other) => error = other,
            }
        }
        newest.ok_or(error)
    }
}

/// The mark of `directory`; `None` if there is no file.
pub async fn load<D: Disk>(
    disk: &D,
    directory: &Path,
) -> DiskResult<Option<Result<Mark, BlockError>>> {
    let file = match disk.open(&directory.join(FILE_NAME), OpenMode::Read).await {
        Err(error) if error.source.kind() == ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let bytes = file.read(0, BLOCKS as usize * BLOCK_BYTES).await?;
    let mark = Mark::newest(bytes.bytes());
    file.close().await?;
    Ok(Some(mark))
}

/// Creates the file with both blocks saying `mark`; durable when resolved.
pub async fn create<D: Disk>(disk: &D, directory: &Path, mark: Mark) -> DiskResult<()> {
    let mut blocks = vec![0; BLOCKS as usize * BLOCK_BYTES];
    blocks.chunks_mut(BLOCK_BYTES).for_each(|block| mark.write(block));
    let room = blocks.len() as u64;
    create_durably(disk, &directory.join(NEW_NAME), &directory.join(FILE_NAME), &blocks, room).await
}

/// The open mark file. One write at a time.
pub struct MarkFile<R: Runtime> {
    file: FileOf<R>,
    disk: R::Disk,
    last: Cell<Mark>,
    taken: Cell<bool>,
    given_back: Notify,
}

/// The right to find out what a mark says and to write it; see [`MarkFile::turn`].
pub struct Turn<'a> {
    taken: &'a Cell<bool>,
    given_back: &'a Notify,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.taken.set(false);
        self.given_back.notify();
    }
}

impl<R: Runtime> MarkFile<R> {
    /// Opens the file and writes `mark` to both blocks, one after the other; durable when resolved.
    pub async fn begin(disk: &R::Disk, directory: &Path, mark: Mark) -> DiskResult<MarkFile<R>> {
        let file = disk.open(&directory.join(FILE_NAME), OpenMode::WriteDurable).await?;
        let (disk, last) = (disk.clone(), Cell::new(mark));
        let (taken, given_back) = (Cell::new(false), Notify::default());
        let file = MarkFile { file, disk, last, taken, given_back };
        file.write(mark).await?;
        file.write(mark).await?;
        Ok(file)
    }

    /// Resolves when nobody else is about to write. For files that several tasks write to: a mark
    /// that was made before another one was written may say less than that.
    pub async fn turn(&self) -> Turn<'_> {
        while self.taken.get() {
            self.given_back.wait().await;
        }
        self.taken.set(true);
        Turn { taken: &self.taken, given_back: &self.given_back }
    }

    /// Writes the mark with the next sequence number over the older block; durable when resolved.
    pub async fn write(&self, mark: Mark) -> DiskResult<()> {
        let last = self.last.get();
        assert!(mark.first > last.first || mark.position >= last.position, "the mark went back");
        assert!(mark.epoch >= last.epoch);
        let mark = Mark { sequence: last.sequence + 1, ..mark };
        let mut block = self.disk.buffer(BLOCK_BYTES);
        mark.write(block.bytes_mut());
        self.file.write(&block, mark.sequence % BLOCKS * BLOCK_BYTES as u64).await?;
        self.last.set(mark);
        Ok(())
    }

    pub fn last(&self) -> Mark {
        self.last.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newer_intact_block_counts() {
        let mut bytes = vec![0; 2 * BLOCK_BYTES];
        assert_eq!(Mark::newest(&bytes), Err(BlockError::Zeros));
        let old = Mark { sequence: 4, position: 100, epoch: 2, ..Mark::default() };
        let new = Mark { sequence: 5, position: 200, clean: true, ..old };
        old.write(&mut bytes[..BLOCK_BYTES]);
        new.write(&mut bytes[BLOCK_BYTES..]);
        assert_eq!(Mark::newest(&bytes), Ok(new));
        bytes[BLOCK_BYTES + 20] ^= 1;
        assert_eq!(Mark::newest(&bytes), Ok(old));
        bytes[20] ^= 1;
        assert_eq!(Mark::newest(&bytes), Err(BlockError::Checksum));
        assert_eq!(Mark::newest(&bytes[..100]), Err(BlockError::Short(100)));
    }
}
