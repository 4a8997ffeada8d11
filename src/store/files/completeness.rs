//! The file `complete` of a store: all logs and the metadata log were made. From then on one that
//! is missing was lost, and is refused rather than begun anew.

use std::{io::ErrorKind, path::Path};

use ringmq_base::{LogId, limits::BLOCK_BYTES};
use ringmq_io::{Disk, DiskError, File as _, OpenMode, Runtime};

use crate::{
    api::{cases::Case, errors::OpenError},
    files::{
        block::BlockWriter,
        directory::{META_DIRECTORY, create_durably, log_directory},
        mark,
    },
};

pub const FILE_NAME: &str = "complete";
const NEW_NAME: &str = "complete.new";
const MAGIC: &[u8; 8] = b"RMQDONE\0";
const VERSION: u32 = 1;

/// Whether the store was complete once. The file's presence says so, whatever its content.
pub async fn is_complete<D: Disk>(disk: &D, root: &Path) -> Result<bool, DiskError> {
    exists(disk, &root.join(FILE_NAME)).await
}

async fn exists<D: Disk>(disk: &D, path: &Path) -> Result<bool, DiskError> {
    match disk.open(path, OpenMode::Read).await {
        Ok(file) => file.close().await.map(|()| true),
        Err(error) if error.source.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Notes that everything that belongs to the store was made; does nothing if that was noted before.
/// Durable when resolved. To be called when all logs and the metadata log are open.
pub async fn complete_store<R: Runtime>(
    runtime: &R,
    root: &Path,
    store_id: u128,
) -> Result<(), DiskError> {
    let disk = runtime.disk();
    if is_complete(disk, root).await? {
        return Ok(());
    }
    let mut block = vec![0; BLOCK_BYTES];
    BlockWriter::new(&mut block, MAGIC, VERSION).u128(store_id).seal();
    let (new, path) = (root.join(NEW_NAME), root.join(FILE_NAME));
    create_durably(disk, &new, &path, &block, BLOCK_BYTES as u64).await
}

/// Refuses a complete store of which a log has lost its mark, which is the first file of each.
pub async fn refuse_missing<D: Disk>(disk: &D, root: &Path, logs: u16) -> Result<(), OpenError> {
    if !is_complete(disk, root).await? {
        return Ok(());
    }
    let logs = (0..logs).filter_map(LogId::new).map(|log| log_directory(root, log));
    for directory in logs.chain([root.join(META_DIRECTORY)]) {
        let path = directory.join(mark::FILE_NAME);
        if !exists(disk, &path).await? {
            let found = "no such file, in a store that was complete; is the disk of its logs \
                         mounted?"
                .to_string();
            return Err(OpenError::Refused {
                case: Case::MissingMark,
                path,
                from: 0,
                to: 0,
                found,
            });
        }
    }
    Ok(())
}
