//! What was cut from the end of a log, kept for people: messages that were never acknowledged by
//! the copies that count, or that a leader had taken alone.

use std::path::{Path, PathBuf};

use ringmq_base::limits::BLOCK_BYTES;
use ringmq_io::{Disk, DiskError};

use crate::files::{block::BlockWriter, directory::remove_if_there};

const MAGIC: &[u8; 8] = b"RMQSALV\0";
const VERSION: u32 = 1;
pub const NEW_NAME: &str = "cut.salvage.new";
const PREFIX: &str = "cut-";
const SUFFIX: &str = ".salvage";
/// Of a longer tail, the front.
pub const BYTES_MAX: u64 = 64 << 20;
const FILES_MAX: usize = 2;

/// What the first block says. The byte of position `p` stands at `4096 + p - from`, for a `from`
/// that is rounded down to a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub log: u32,
    pub store_id: u128,
    /// Where the log was cut.
    pub from: u64,
    /// Where its records ended, and where the copy does.
    pub end: u64,
    pub copied: u64,
    /// Of the leadership that it was cut for.
    pub epoch: u32,
}

impl Header {
    pub fn write(&self, block: &mut [u8]) {
        BlockWriter::new(block, MAGIC, VERSION)
            .u32(self.log)
            .u128(self.store_id)
            .u64(self.from)
            .u64(self.end)
            .u64(self.copied)
            .u32(self.epoch)
            .seal();
    }

    #[cfg(test)]
    pub fn read(block: &[u8]) -> Result<Header, crate::files::block::BlockError> {
        let mut fields = crate::files::block::BlockReader::new(block, MAGIC, VERSION)?;
        Ok(Header {
            log: fields.u32(),
            store_id: fields.u128(),
            from: fields.u64(),
            end: fields.u64(),
            copied: fields.u64(),
            epoch: fields.u32(),
        })
    }
}

const _: () = assert!((BYTES_MAX as usize).is_multiple_of(BLOCK_BYTES));

pub fn file_name(from: u64, epoch: u32) -> String {
    format!("{PREFIX}{from:020}-{epoch:010}{SUFFIX}")
}

/// The position and the epoch of a name; `None` for any other name.
pub fn parse_name(name: &str) -> Option<(u64, u32)> {
    let (from, epoch) = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.split_once('-')?;
    let plain =
        |text: &str, digits| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(from, 20) || !plain(epoch, 10) {
        return None;
    }
    Some((from.parse().ok()?, epoch.parse().ok()?))
}

/// Removes the files of a directory but the newest, which are those of the greatest epochs.
pub async fn remove_old<D: Disk>(disk: &D, directory: &Path) -> Result<(), DiskError> {
    let files = disk.list(directory).await?;
    let mut found: Vec<(u32, u64, PathBuf)> = Vec::new();
    for (name, _) in files {
        if let Some((from, epoch)) = parse_name(&name) {
            found.push((epoch, from, directory.join(name)));
        }
    }
    found.sort();
    let surplus = found.len().saturating_sub(FILES_MAX);
    for (_, _, path) in found.drain(..surplus) {
        remove_if_there(disk, &path).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_names_round_trip() {
        let (log, store_id, from, end, epoch) = (3, 1 << 90, 5000, 1 << 40, 7);
        let header = Header { log, store_id, from, end, copied: 9000, epoch };
        let mut block = vec![0; BLOCK_BYTES];
        header.write(&mut block);
        assert_eq!(Header::read(&block), Ok(header));
        assert_eq!(parse_name(&file_name(5000, 7)), Some((5000, 7)));
        assert_eq!(parse_name("cut-5000-7.salvage"), None);
        assert_eq!(parse_name(NEW_NAME), None);
    }
}
