//! Files of segments that were given up, kept to become the next ones.

use std::{
    cell::{Cell, RefCell},
    path::{Path, PathBuf},
};

use ringmq_io::{Disk, DiskError};

use crate::{api::options::LogOptions, files::segment::SPARE_SUFFIX};

/// Files of segments that were given up, for the next ones.
#[derive(Default)]
pub struct Spares {
    files: RefCell<Vec<PathBuf>>,
    /// Numbers the names of spares.
    next: Cell<u64>,
}

impl Spares {
    pub fn count(&self) -> usize {
        self.files.borrow().len()
    }

    /// A number that no spare has yet.
    pub fn next_number(&self) -> u64 {
        let number = self.next.get();
        self.next.set(number + 1);
        number
    }

    pub fn add(&self, spare: PathBuf) {
        self.files.borrow_mut().push(spare);
    }

    pub fn any(&self) -> bool {
        !self.files.borrow().is_empty()
    }

    /// Takes over the spares that an earlier life of the log has left, and removes those that do
    /// not fit. Before the first [`crate::Log::retire`].
    pub async fn adopt<D: Disk>(&self, disk: &D, options: &LogOptions) -> Result<(), DiskError> {
        for (name, length) in disk.list(&options.directory).await? {
            let Some(number) = name.strip_suffix(SPARE_SUFFIX) else {
                continue;
            };
            let path = options.directory.join(&name);
            let number = number.parse::<u64>().ok().filter(|number| *number < u64::MAX);
            match number {
                Some(number)
                    if length == options.segment_bytes
                        && self.count() < options.spare_segments_max =>
                {
                    self.next.set(self.next.get().max(number + 1));
                    self.add(path);
                }
                _ => disk.remove(&path).await?,
            }
        }
        Ok(())
    }

    /// A spare to use; it is the caller's from now on.
    pub fn take(&self) -> Option<PathBuf> {
        self.files.borrow_mut().pop()
    }

    /// Removes spares down to `keep`.
    pub async fn drop_to<D: Disk>(&self, disk: &D, keep: usize) {
        while self.count() > keep {
            if let Some(spare) = self.take() {
                discard(disk, &spare).await;
            }
        }
    }
}

/// Removes a spare that could not be used.
pub async fn discard<D: Disk>(disk: &D, spare: &Path) {
    if let Err(error) = disk.remove(spare).await {
        tracing::warn!(%error, "a spare segment is not removed before the next start");
    }
}
