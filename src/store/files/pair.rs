//! Files of two guarded blocks that say the same kind of thing: they are written in turn, so that
//! one of them is always whole.

use std::{io::ErrorKind, path::Path};

use ringmq_base::limits::BLOCK_BYTES;
use ringmq_io::{BlockBuffer as _, Disk, File as _, OpenMode, Runtime};

use crate::files::{block::BlockError, directory::create_durably, segment::FileOf};

const BLOCKS: u64 = 2;
pub const FILE_BYTES: usize = BLOCKS as usize * BLOCK_BYTES;

type DiskResult<T> = ringmq_io::disk::Result<T>;

/// What a block says.
pub trait Side: Sized {
    /// Of two blocks that of the greater number counts.
    fn sequence(&self) -> u64;

    /// Fills one block.
    fn write(&self, block: &mut [u8]);

    fn read(block: &[u8]) -> Result<Self, BlockError>;

    /// The newer one of the intact blocks of a file.
    fn newest(bytes: &[u8]) -> Result<Self, BlockError> {
        let mut newest: Option<Self> = None;
        let mut error = BlockError::Short(bytes.len());
        for block in bytes.chunks(BLOCK_BYTES).take(BLOCKS as usize) {
            match Self::read(block) {
                Ok(side) if newest.as_ref().is_none_or(|old| old.sequence() < side.sequence()) => {
                    newest = Some(side);
                }
                Ok(_) => {}
                Err(newer @ BlockError::Newer(_)) => return Err(newer),
                Err(other) => error = other,
            }
        }
        newest.ok_or(error)
    }
}

/// What the file at `path` says; `None` if there is none.
pub async fn load<D: Disk, S: Side>(
    disk: &D,
    path: &Path,
) -> DiskResult<Option<Result<S, BlockError>>> {
    let file = match disk.open(path, OpenMode::Read).await {
        Err(error) if error.source.kind() == ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let read = file.read(0, FILE_BYTES).await;
    let closed = file.close().await;
    let side = S::newest(read?.bytes());
    closed?;
    Ok(Some(side))
}

/// Creates `path` by way of `new`, with both blocks saying `side`; durable when resolved.
pub async fn create<D: Disk, S: Side>(
    disk: &D,
    (new, path): (&Path, &Path),
    side: &S,
) -> DiskResult<()> {
    let mut blocks = vec![0; FILE_BYTES];
    blocks.chunks_mut(BLOCK_BYTES).for_each(|block| side.write(block));
    create_durably(disk, new, path, &blocks, FILE_BYTES as u64).await
}

/// An open file. One write at a time.
pub struct Pair<R: Runtime> {
    file: FileOf<R>,
    disk: R::Disk,
}

impl<R: Runtime> Pair<R> {
    pub async fn open(disk: &R::Disk, path: &Path) -> DiskResult<Pair<R>> {
        let file = disk.open(path, OpenMode::WriteDurable).await?;
        Ok(Pair { file, disk: disk.clone() })
    }

    /// Writes the block that the number is due in, the older one if numbers follow each other;
    /// durable when resolved.
    pub async fn write(&self, side: &impl Side) -> DiskResult<()> {
        let mut block = self.disk.buffer(BLOCK_BYTES);
        side.write(block.bytes_mut());
        self.file.write(&block, side.sequence() % BLOCKS * BLOCK_BYTES as u64).await
    }

    pub async fn close(self) -> DiskResult<()> {
        self.file.close().await
    }
}
