//! The file of the KV configuration.

use std::path::{Path, PathBuf};

use ringmq_base::limits::BLOCK_BYTES;
use ringmq_io::{BlockBuffer, Disk, DiskError, File, OpenMode};

use super::KvTable;

/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Why there is no KV configuration.
#[derive(Debug, thiserror::Error)]
pub enum KvFileError {
    #[error("the KV configuration cannot be read: {0}")]
    Disk(#[from] DiskError),
    #[error(
        "the KV configuration {path} has {bytes} bytes, at most {FILE_BYTES_MAX} are read; is \
         kvConfigPath right?", path = path.display()
    )]
    Large { path: PathBuf, bytes: u64 },
    #[error(
        "the KV configuration {path} is not JSON as it should be: {problem}; there is no good copy \
         beside it with .bak at the end; repair the file or move it away",
        path = path.display()
    )]
    Damaged { path: PathBuf, problem: String },
}

/// Reads `path`; if it is missing or damaged, its `.bak`, which Java keeps. Neither: empty.
pub async fn load<D: Disk>(disk: &D, path: &Path) -> Result<KvTable, KvFileError> {
    let problem = match read(disk, path).await? {
        Some(bytes) => match KvTable::from_json(&bytes) {
            Ok(table) => return Ok(table),
            Err(problem) => Some(problem),
        },
        None => None,
    };
    let backup = beside(path, ".bak");
    let saved = read(disk, &backup).await?.and_then(|bytes| KvTable::from_json(&bytes).ok());
    match (saved, problem) {
        (Some(table), problem) => {
            let problem = problem.unwrap_or_else(|| "it is missing".to_owned());
            let (path, backup) = (path.display(), backup.display());
            tracing::warn!("{path} is not used: {problem}; {backup} is used instead");
            Ok(table)
        }
        (None, None) => Ok(KvTable::default()),
        (None, Some(problem)) => Err(KvFileError::Damaged { path: path.to_owned(), problem }),
    }
}

/// Replaces the file. When this resolves the new content is on stable storage; after an error, or
/// a power cut before, the old or the new content is there as a whole.
pub async fn save<D: Disk>(disk: &D, path: &Path, table: &KvTable) -> Result<(), DiskError> {
    if let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        disk.create_directory(directory).await?;
    }
    let temporary = beside(path, ".tmp");
    match disk.remove(&temporary).await {
        Err(error) if error.source.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let json = table.to_json();
    let padded = json.len().next_multiple_of(BLOCK_BYTES);
    let mut buffer = disk.buffer(padded);
    if let Some(room) = buffer.bytes_mut().get_mut(..json.len()) {
        room.copy_from_slice(json.as_bytes());
    }
    let file = disk.create(&temporary, OpenMode::Write).await?;
    file.write(&buffer, 0).await?;
    file.set_length(json.len() as u64).await?;
    file.sync().await?;
    file.close().await?;
    disk.rename_durably(&temporary, path).await
}

async fn read<D: Disk>(disk: &D, path: &Path) -> Result<Option<Vec<u8>>, KvFileError> {
    let file = match disk.open(path, OpenMode::Read).await {
        Ok(file) => file,
        Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let bytes = file.length().await?;
    if bytes > FILE_BYTES_MAX {
        return Err(KvFileError::Large { path: path.to_owned(), bytes });
    }
    let length = usize::try_from(bytes).unwrap_or(usize::MAX);
    let content = match length {
        0 => Vec::new(),
        _ => file.read(0, length.next_multiple_of(BLOCK_BYTES)).await?.bytes().to_vec(),
    };
    file.close().await?;
    Ok(Some(content))
}

/// The path with `suffix` behind its last part.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
