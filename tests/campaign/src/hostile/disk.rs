//! How long the disk takes for a write of somebody else: beside a send, so that what a busy disk
//! makes a send wait for is not taken for the broker's.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
};

use nix::libc;

const BLOCK: usize = 4096;
/// The probe's file, written round and round; of ordinary size for an append without a new block.
const BLOCKS: u64 = 256;

/// A file whose writes go to the disk at once, as those of a log do.
pub struct DiskProbe {
    file: File,
    memory: Vec<u8>,
    next: u64,
}

impl DiskProbe {
    /// Makes the file, with space for all that will be written.
    ///
    /// # Errors
    /// Those of the file system, such as that it cannot write around its cache.
    pub fn create(path: &Path) -> io::Result<DiskProbe> {
        std::fs::write(path, vec![0; BLOCK * BLOCKS as usize])?;
        File::open(path)?.sync_all()?;
        let mut options = OpenOptions::new();
        let file = options.write(true).custom_flags(libc::O_DIRECT).open(path)?;
        Ok(DiskProbe { file, memory: vec![7; 2 * BLOCK], next: 0 })
    }

    /// Writes a block.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&mut self) -> io::Result<()> {
        self.next = (self.next + 1) % BLOCKS;
        let start = self.memory.as_ptr().align_offset(BLOCK);
        self.file.write_all_at(&self.memory[start..start + BLOCK], self.next * BLOCK as u64)
    }
}
