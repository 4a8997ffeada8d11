//! The file of one generation.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use ringmq_base::limits::BLOCK_BYTES;
use ringmq_io::{BlockBuffer as _, Disk as _, DiskError, File as _, OpenMode, Runtime};

use crate::{
    api::errors::LogError,
    files::{
        block::{BlockError, BlockReader, BlockWriter, block_ceiling, block_floor},
        directory::{create_complete, is_full, numbered},
        envelope::{self, Envelope, Kind},
        mark::{Mark, MarkFile},
        segment::FileOf,
    },
};

const MAGIC: &[u8; 8] = b"RMQMETA\0";
const VERSION: u32 = 1;
pub const HEADER_BYTES: u64 = BLOCK_BYTES as u64;
/// The mark is written with an append when the last one is older.
const MARK_INTERVAL: Duration = Duration::from_secs(1);
pub const NEW_NAME: &str = "meta.new";

pub fn file_name(generation: u64) -> String {
    format!("meta-{generation:020}.log")
}

pub fn parse_name(name: &str) -> Option<u64> {
    numbered(name, "meta-", ".log")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetaHeader {
    pub generation: u64,
    /// Everything before it was on stable storage when the file got its name.
    pub complete: u64,
}

impl MetaHeader {
    pub fn write(&self, block: &mut [u8]) {
        BlockWriter::new(block, MAGIC, VERSION).u64(self.generation).u64(self.complete).seal();
    }

    pub fn read(block: &[u8]) -> Result<MetaHeader, BlockError> {
        let mut fields = BlockReader::new(block, MAGIC, VERSION)?;
        Ok(MetaHeader { generation: fields.u64(), complete: fields.u64() })
    }
}

/// Content of a new generation.
pub fn snapshot<'a>(
    generation: u64,
    epoch: u32,
    records: impl Iterator<Item = &'a Vec<u8>>,
) -> (Vec<u8>, u64) {
    let mut bytes = vec![0; BLOCK_BYTES];
    for record in records {
        let position = bytes.len() as u64;
        seal(&mut bytes, position, record, epoch, position);
    }
    let complete = bytes.len() as u64;
    bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES), 0);
    MetaHeader { generation, complete }.write(&mut bytes[..BLOCK_BYTES]);
    (bytes, complete)
}

/// Adds a record that goes to `position`.
fn seal(out: &mut Vec<u8>, position: u64, record: &[u8], epoch: u32, stable: u64) {
    let envelope = Envelope::new(Kind::Metadata, record.len(), epoch, 0, position - stable);
    let at = out.len();
    out.resize(at + envelope.stride(), 0);
    out[at + envelope::BYTES..at + envelope::BYTES + record.len()].copy_from_slice(record);
    envelope.seal(&mut out[at..], position);
}

/// The open file, at its end.
pub struct MetaFile<R: Runtime> {
    pub runtime: R,
    pub file: FileOf<R>,
    pub path: PathBuf,
    pub generation: u64,
    pub epoch: u32,
    /// Where the next record goes.
    pub position: u64,
    /// Bytes of the file that may be written.
    pub allocated: u64,
    /// How much it takes at a time.
    pub grow_bytes: u64,
    /// What is before `position` in its block.
    pub partial: Vec<u8>,
    pub marked_at: Duration,
}

impl<R: Runtime> MetaFile<R> {
    pub fn end(&self) -> u64 {
        self.position
    }

    /// Durable when resolved.
    pub async fn append<'a>(
        &mut self,
        mark: &MarkFile<R>,
        records: impl Iterator<Item = &'a Vec<u8>>,
    ) -> Result<(), LogError> {
        let from = block_floor(self.position);
        let mut bytes = self.partial.clone();
        for record in records {
            let position = from + bytes.len() as u64;
            seal(&mut bytes, position, record, self.epoch, self.position);
        }
        let end = from + bytes.len() as u64;
        self.grow(block_ceiling(end)).await?;
        let mut buffer =
            self.runtime.disk().buffer((block_ceiling(end) - from).max(HEADER_BYTES) as usize);
        buffer.bytes_mut()[..bytes.len()].copy_from_slice(&bytes);
        self.file.write(&buffer, from).await.map_err(fence)?;
        self.position = end;
        self.partial = bytes.split_off((block_floor(end) - from) as usize);
        if self.runtime.monotonic() >= self.marked_at + MARK_INTERVAL {
            self.note(mark, false).await?;
        }
        Ok(())
    }

    async fn grow(&mut self, end: u64) -> Result<(), LogError> {
        if end <= self.allocated {
            return Ok(());
        }
        let to = end.next_multiple_of(self.grow_bytes);
        match self.file.allocate(self.allocated, to - self.allocated).await {
            Ok(()) => {
                self.allocated = to;
                Ok(())
            }
            Err(error) if is_full(&error) => {
                let directory = self.path.parent().unwrap_or(&self.path).to_path_buf();
                let space = self.runtime.disk().space(&directory).await;
                let free = space.map_or(0, |(free, _)| free);
                let needed = to - self.allocated;
                Err(LogError::Full { needed, free, path: self.path.clone() })
            }
            Err(error) => Err(failed(&error)),
        }
    }

    /// Writes the mark.
    pub async fn note(&mut self, mark: &MarkFile<R>, clean: bool) -> Result<(), LogError> {
        self.marked_at = self.runtime.monotonic();
        let last = mark.last();
        let next = Mark { position: self.position, first: self.generation, clean, ..last };
        mark.write(next).await.map_err(fence)
    }

    /// Goes over to the next generation, which holds `records` only; durable when resolved.
    pub async fn rewrite<'a>(
        &mut self,
        runtime: &R,
        directory: &Path,
        mark: &MarkFile<R>,
        records: impl Iterator<Item = &'a Vec<u8>>,
    ) -> Result<(), LogError> {
        let generation = self.generation + 1;
        let (bytes, complete) = snapshot(generation, self.epoch, records);
        let disk = runtime.disk();
        let (new, path) = (directory.join(NEW_NAME), directory.join(file_name(generation)));
        let allocated = bytes.len() as u64;
        match create_complete(disk, &new, &bytes, allocated).await {
            Err(error) if is_full(&error) => {
                let free = disk.space(directory).await.map_or(0, |(free, _)| free);
                let needed = allocated;
                return Err(LogError::Full { needed, free, path: error.path });
            }
            other => other.map_err(|error| failed(&error))?,
        }
        let opened = async {
            disk.rename_durably(&new, &path).await?;
            disk.open(&path, OpenMode::WriteDurable).await
        };
        let file = match opened.await {
            Ok(file) => file,
            // The name may be there all the same. It does not count before the mark says so; the
            // next rewrite replaces it, and the next start removes it.
            Err(error) => return Err(failed(&error)),
        };
        let old = std::mem::replace(&mut self.file, file);
        let old_path = std::mem::replace(&mut self.path, path);
        self.generation = generation;
        self.position = complete;
        self.allocated = allocated;
        self.partial = bytes[block_floor(complete) as usize..complete as usize].to_vec();
        self.note(mark, false).await?;
        let removed = async {
            old.close().await?;
            disk.remove(&old_path).await?;
            disk.sync_directory(directory).await
        };
        if let Err(error) = removed.await {
            tracing::warn!(%error, "an old generation of metadata stays until the next start");
        }
        Ok(())
    }
}

/// Nothing that was written is in doubt.
fn failed(error: &DiskError) -> LogError {
    LogError::Failed { reason: Arc::from(error.to_string()) }
}

fn fence(error: DiskError) -> LogError {
    LogError::Fenced { reason: Arc::from(error.to_string()) }
}
