//! A new generation of the metadata log: written in pieces under another name, so that neither its
//! size in memory nor the time without a pause grows with what it holds.

use std::path::{Path, PathBuf};

use ringmq_base::limits::BLOCK_BYTES;
use ringmq_io::{BlockBuffer as _, Disk as _, DiskError, File as _, OpenMode, Runtime};

use super::format::{HEADER_BYTES, MetaHeader, NEW_NAME, RECORD_BYTES_MAX, seal};
use crate::{
    api::errors::LogError,
    files::{
        block::{block_ceiling, block_floor},
        directory::{is_full, remove_if_there},
        segment::FileOf,
    },
};

/// Records that are written together.
const WRITE_BYTES: usize = 256 << 10;

/// Gives the next records of a rewrite, each time some that take well under a millisecond; none at
/// the end.
pub type Source = Box<dyn FnMut() -> Vec<Vec<u8>>>;

/// What is complete and synced, but has no durable name.
pub struct Complete {
    pub path: PathBuf,
    /// Where its records end.
    pub position: u64,
    /// Bytes of the file.
    pub allocated: u64,
    /// What is before `position` in its block.
    pub partial: Vec<u8>,
}

struct Generation<'a, R: Runtime> {
    runtime: &'a R,
    file: FileOf<R>,
    path: PathBuf,
    epoch: u32,
    records: usize,
    /// Where `bytes` go: all before is written, but for the header.
    from: u64,
    bytes: Vec<u8>,
}

/// Creates the file with all that `source` gives. Nothing is left of it after an error, if the disk
/// allows.
pub async fn create<R: Runtime>(
    runtime: &R,
    directory: &Path,
    (generation, epoch): (u64, u32),
    source: &mut Source,
) -> Result<Complete, LogError> {
    let (disk, path) = (runtime.disk(), directory.join(NEW_NAME));
    let created = async {
        remove_if_there(disk, &path).await?;
        disk.create(&path, OpenMode::Write).await
    };
    let file = created.await.map_err(|error| failed(&error))?;
    let mut new = Generation {
        runtime,
        file,
        path: path.clone(),
        epoch,
        records: 0,
        from: HEADER_BYTES,
        bytes: Vec::new(),
    };
    let filled = new.fill(generation, source).await;
    let closed = new.file.close().await.map_err(|error| failed(&error));
    let result = filled.and_then(|complete| closed.map(|()| complete));
    if result.is_err() {
        let _ = disk.remove(&path).await;
    }
    result
}

impl<R: Runtime> Generation<'_, R> {
    async fn fill(&mut self, generation: u64, source: &mut Source) -> Result<Complete, LogError> {
        loop {
            let records = source();
            if records.is_empty() {
                break;
            }
            for record in records {
                self.add(&record)?;
            }
            if self.bytes.len() >= WRITE_BYTES {
                self.write_whole_blocks().await?;
            }
            self.runtime.yield_if_needed().await;
        }
        let complete = self.from + self.bytes.len() as u64;
        self.write_whole_blocks().await?;
        let partial = self.bytes.clone();
        if !partial.is_empty() {
            self.bytes.resize(BLOCK_BYTES, 0);
            self.write_whole_blocks().await?;
        }
        // The header says what is complete, so it comes last.
        let mut header = vec![0; BLOCK_BYTES];
        MetaHeader { generation, complete }.write(&mut header);
        self.write(0, &header).await?;
        self.file.sync().await.map_err(|error| failed(&error))?;
        let (path, allocated) = (self.path.clone(), block_ceiling(complete));
        Ok(Complete { path, position: complete, allocated, partial })
    }

    fn add(&mut self, record: &[u8]) -> Result<(), LogError> {
        if record.len() > RECORD_BYTES_MAX {
            let (record, size) = (self.records, record.len());
            return Err(LogError::TooLarge { record, size, limit: RECORD_BYTES_MAX });
        }
        let position = self.from + self.bytes.len() as u64;
        seal(&mut self.bytes, position, record, self.epoch, position);
        self.records += 1;
        Ok(())
    }

    async fn write_whole_blocks(&mut self) -> Result<(), LogError> {
        let count = block_floor(self.bytes.len() as u64) as usize;
        let rest = self.bytes.split_off(count);
        let blocks = std::mem::replace(&mut self.bytes, rest);
        if !blocks.is_empty() {
            self.write(self.from, &blocks).await?;
            self.from += blocks.len() as u64;
        }
        Ok(())
    }

    async fn write(&self, at: u64, blocks: &[u8]) -> Result<(), LogError> {
        let mut buffer = self.runtime.disk().buffer(blocks.len());
        buffer.bytes_mut().copy_from_slice(blocks);
        let written = async {
            self.file.allocate(at, blocks.len() as u64).await?;
            self.file.write(&buffer, at).await
        };
        match written.await {
            Err(error) if is_full(&error) => {
                let directory = self.path.parent().unwrap_or(&self.path);
                let space = self.runtime.disk().space(directory).await;
                let (needed, free) = (blocks.len() as u64, space.map_or(0, |(free, _)| free));
                Err(LogError::Full { needed, free, path: error.path })
            }
            other => other.map_err(|error| failed(&error)),
        }
    }
}

/// Nothing that counts was written.
pub fn failed(error: &DiskError) -> LogError {
    LogError::Failed { reason: error.to_string().into() }
}
