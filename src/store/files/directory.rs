//! What all files of a store's directories have in common: numbered names, creation that a
//! crash leaves complete or undone, and removal.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use ringmq_base::LogId;
use ringmq_io::{BlockBuffer, Disk, DiskError, File, OpenMode};

/// Directory of the broker's metadata log.
pub const META_DIRECTORY: &str = "meta";

/// Where a log of the store at `root` lives.
pub fn log_directory(root: &Path, log: LogId) -> PathBuf {
    root.join(format!("log-{:03}", log.get()))
}

/// The number in a name of `prefix`, 20 digits and `suffix`; `None` for any other name.
pub fn numbered(name: &str, prefix: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?.strip_suffix(suffix)?;
    let plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

/// Creates `path` with `content` and so many bytes of space by way of `new`, over what is left of
/// an earlier try. When it resolves, the file is complete and durable under its name; before,
/// nothing has that name.
pub async fn create_durably<D: Disk>(
    disk: &D,
    new: &Path,
    path: &Path,
    content: &[u8],
    allocate: u64,
) -> Result<(), DiskError> {
    create_complete(disk, new, content, allocate).await?;
    disk.rename_durably(new, path).await
}

/// Creates the file `new` with `content`, synced but without a durable name. Nothing is left of it
/// after an error, if the disk allows.
async fn create_complete<D: Disk>(
    disk: &D,
    new: &Path,
    content: &[u8],
    allocate: u64,
) -> Result<(), DiskError> {
    remove_if_there(disk, new).await?;
    let file = disk.create(new, OpenMode::Write).await?;
    let mut buffer = disk.buffer(content.len());
    buffer.bytes_mut().copy_from_slice(content);
    let filled = async {
        file.allocate(0, allocate).await?;
        file.write(&buffer, 0).await?;
        file.sync().await
    };
    let filled = filled.await;
    let closed = file.close().await;
    let result = filled.and(closed);
    if result.is_err() {
        let _ = disk.remove(new).await;
    }
    result
}

/// Removes a file that may be gone already; durable after the directory is synced.
pub async fn remove_if_there<D: Disk>(disk: &D, path: &Path) -> Result<(), DiskError> {
    match disk.remove(path).await {
        Err(error) if error.source.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The disk, or the quota, has no space left.
pub fn is_full(error: &DiskError) -> bool {
    matches!(error.source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}
