//! The file of one generation.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use ringmq_io::{BlockBuffer as _, Disk as _, DiskError, File as _, OpenMode, Runtime};

use super::{
    format::{HEADER_BYTES, file_name, seal},
    generation::{self, Source, failed},
};
use crate::{
    api::errors::LogError,
    files::{
        block::{block_ceiling, block_floor},
        directory::is_full,
        mark::{Mark, MarkFile},
        segment::FileOf,
    },
};

/// The mark is written with an append when the last one is older.
const MARK_INTERVAL: Duration = Duration::from_secs(1);

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
        let (position, first) = (self.position, self.generation);
        // All of a new generation is of this epoch.
        let cut = if first > last.first { HEADER_BYTES } else { last.cut };
        let next = Mark { position, committed: position, first, cut, clean, ..last };
        mark.write(next).await.map_err(fence)
    }

    /// Goes over to the next generation, which holds the records of `source` only; durable when
    /// resolved.
    pub async fn rewrite(
        &mut self,
        runtime: &R,
        directory: &Path,
        mark: &MarkFile<R>,
        source: &mut Source,
    ) -> Result<(), LogError> {
        let generation = self.generation + 1;
        let new = generation::create(runtime, directory, (generation, self.epoch), source).await?;
        let disk = runtime.disk();
        let path = directory.join(file_name(generation));
        let opened = async {
            disk.rename_durably(&new.path, &path).await?;
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
        self.position = new.position;
        self.allocated = new.allocated;
        self.partial = new.partial;
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

fn fence(error: DiskError) -> LogError {
    LogError::Fenced { reason: Arc::from(error.to_string()) }
}
