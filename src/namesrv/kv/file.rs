//! The file of the KV configuration.

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
};

use ringmq_base::limits::BLOCK_BYTES;
use ringmq_io::{BlockBuffer, Disk, DiskError, File, OpenMode};

use super::{Change, KvTable, writer::FileWriter};
use crate::work::Work;

/// A file may be so many times as long as its entries may be in memory: of a character that is
/// escaped there are six bytes, and people write blanks.
const FILE_SHARE: u64 = 8;
/// What is written in one go.
const WRITE_BYTES: usize = 256 * 1024;

/// Why there is no KV configuration.
#[derive(Debug, thiserror::Error)]
pub enum KvFileError {
    #[error("the KV configuration cannot be read: {0}")]
    Disk(#[from] DiskError),
    #[error(
        "the KV configuration {path} has {bytes} bytes, at most {limit} are read; is kvConfigPath \
         right? If so, raise kvBytesMax", path = path.display()
    )]
    Large { path: PathBuf, bytes: u64, limit: u64 },
    #[error(
        "the entries of the KV configuration {path} take {bytes} bytes of memory, the limit is \
         {limit}; raise kvBytesMax", path = path.display()
    )]
    Bytes { path: PathBuf, bytes: usize, limit: usize },
    #[error(
        "the KV configuration {path} is not JSON as it should be: {problem}; there is no good copy \
         beside it with .bak at the end; repair the file or move it away",
        path = path.display()
    )]
    Damaged { path: PathBuf, problem: String },
}

/// Reads `path`; if it is missing or damaged, its `.bak`, which Java keeps. Neither: empty.
///
/// # Errors
/// Also if the entries take more than `limit` bytes of memory.
pub async fn load<D: Disk>(disk: &D, path: &Path, limit: usize) -> Result<KvTable, KvFileError> {
    let table = load_any(disk, path, limit).await?;
    match table.bytes() {
        bytes if bytes > limit => Err(KvFileError::Bytes { path: path.to_owned(), bytes, limit }),
        _ => Ok(table),
    }
}

async fn load_any<D: Disk>(disk: &D, path: &Path, limit: usize) -> Result<KvTable, KvFileError> {
    // What is read takes some more while it is read.
    let from_json = |bytes: &[u8]| KvTable::from_json(bytes, limit.saturating_mul(8));
    let problem = match read(disk, path, limit).await? {
        Some(bytes) => match from_json(&bytes) {
            Ok(table) => return Ok(table),
            Err(problem) => Some(problem),
        },
        None => None,
    };
    let backup = beside(path, ".bak");
    let saved = read(disk, &backup, limit).await?.and_then(|bytes| from_json(&bytes).ok());
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
pub async fn save<D: Disk>(
    disk: &D,
    path: &Path,
    table: &RefCell<KvTable>,
    change: Option<&Change<'_>>,
    work: &impl Work,
) -> Result<(), DiskError> {
    if let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        disk.create_directory(directory).await?;
    }
    let temporary = beside(path, ".tmp");
    match disk.remove(&temporary).await {
        Err(error) if error.source.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.create(&temporary, OpenMode::Write).await?;
    let mut writer = FileWriter::new(change);
    let (mut collected, mut at, mut complete) = (Vec::new(), 0, false);
    while !complete {
        let mut piece = String::new();
        complete = writer.write(&table.borrow(), &mut piece);
        collected.extend_from_slice(piece.as_bytes());
        while collected.len() >= WRITE_BYTES || (complete && !collected.is_empty()) {
            let part = collected.get(..WRITE_BYTES).unwrap_or(&collected);
            let mut buffer = disk.buffer(part.len().next_multiple_of(BLOCK_BYTES));
            if let Some(room) = buffer.bytes_mut().get_mut(..part.len()) {
                room.copy_from_slice(part);
            }
            work.rest();
            file.write(&buffer, at).await?;
            let written = part.len();
            at += written as u64;
            collected.drain(..written);
        }
        if !complete {
            // Even if nobody waits for an answer any more: the change is made all the same.
            let _ = work.pause().await;
        }
    }
    file.set_length(at).await?;
    file.sync().await?;
    file.close().await?;
    disk.rename_durably(&temporary, path).await
}

async fn read<D: Disk>(disk: &D, path: &Path, most: usize) -> Result<Option<Vec<u8>>, KvFileError> {
    let file = match disk.open(path, OpenMode::Read).await {
        Ok(file) => file,
        Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let bytes = file.length().await?;
    let limit = (most as u64).saturating_mul(FILE_SHARE);
    if bytes > limit {
        return Err(KvFileError::Large { path: path.to_owned(), bytes, limit });
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
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
