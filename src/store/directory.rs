//! What all files of a store's directories have in common: numbered names, and removal.

use std::{io::ErrorKind, path::Path};

use ringmq_io::{Disk, DiskError};

/// The number in a name of `prefix`, 20 digits and `suffix`; `None` for any other name.
pub fn numbered(name: &str, prefix: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?.strip_suffix(suffix)?;
    let plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

/// Removes a file that may be gone already; durable after the directory is synced.
pub async fn remove_if_there<D: Disk>(disk: &D, path: &Path) -> Result<(), DiskError> {
    match disk.remove(path).await {
        Err(error) if error.source.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
