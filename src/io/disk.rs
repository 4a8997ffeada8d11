//! The disk as the store sees it: files of 4096-byte blocks, written and read past the page cache.
//!
//! Positions, lengths and memory are multiples of [`BLOCK_BYTES`](ringmq_base::limits::BLOCK_BYTES)
//! unless said otherwise. Implementations assert it.

use std::{
    io,
    path::{Path, PathBuf},
};

/// What failed, on which file, where. `Display` is one sentence fit for an operator.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {path}: {source}", path = path.display())]
pub struct DiskError {
    /// A verb phrase: `open`, `write 8192 bytes at 4096 of`.
    pub operation: String,
    pub path: PathBuf,
    #[source]
    pub source: io::Error,
}

pub type Result<T> = std::result::Result<T, DiskError>;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Reads only.
    Read,
    /// Reads and writes. A resolved write has been accepted by the device: it survives the process
    /// but not a power cut, until [`File::sync`].
    Write,
    /// Reads and writes; a resolved write is on stable storage (`O_DSYNC`).
    WriteDurable,
}

/// Memory that the disk can read and write without a copy; zeroed when made.
pub trait BlockBuffer: 'static {
    fn bytes(&self) -> &[u8];
    fn bytes_mut(&mut self) -> &mut [u8];
}

/// A directory tree on one device. Clones are handles to the same disk.
#[allow(async_fn_in_trait)]
pub trait Disk: Clone + 'static {
    type Buffer: BlockBuffer;
    type File: File<Buffer = Self::Buffer>;

    /// Memory of `bytes` (a multiple of the block size, at least one block), zeroed.
    fn buffer(&self, bytes: usize) -> Self::Buffer;

    /// Opens an existing file. Fails with `NotFound` if there is none.
    async fn open(&self, path: &Path, mode: OpenMode) -> Result<Self::File>;

    /// Creates an empty file; fails with `AlreadyExists` rather than touch one. The name is durable
    /// only after [`Disk::sync_directory`] of the parent.
    async fn create(&self, path: &Path, mode: OpenMode) -> Result<Self::File>;

    /// Creates a directory and its missing parents; fine if it exists. Durable when resolved.
    async fn create_directory(&self, path: &Path) -> Result<()>;

    /// Names and lengths of the plain files in a directory, sorted by name.
    async fn list(&self, directory: &Path) -> Result<Vec<(String, u64)>>;

    /// Makes creations, renames and removals in the directory durable.
    async fn sync_directory(&self, path: &Path) -> Result<()>;

    /// Replaces `to` by `from`, which must be synced, and syncs the directory. The one way to
    /// replace a file.
    async fn rename_durably(&self, from: &Path, to: &Path) -> Result<()>;

    /// Removes a file; durable after [`Disk::sync_directory`].
    async fn remove(&self, path: &Path) -> Result<()>;

    /// Bytes (free for this user, in all for this user) of the file system that holds `path`.
    async fn space(&self, path: &Path) -> Result<(u64, u64)>;

    /// Which boot of the machine this is: another one after a power cut, the same after the death
    /// of a process.
    async fn boot_id(&self) -> Result<u128>;
}

/// An open file. Several reads and one write may be under way at once; the order of overlapping
/// operations is not defined, so callers never overlap a write with anything.
#[allow(async_fn_in_trait)]
pub trait File: 'static {
    type Buffer: BlockBuffer;

    /// Length in bytes as last set or extended; need not be a multiple of the block size.
    async fn length(&self) -> Result<u64>;

    /// Reads up to `bytes` from `position`. The slice that comes back is shorter only at the end of
    /// the file.
    async fn read(&self, position: u64, bytes: usize) -> Result<ReadBytes<Self::Buffer>>;

    /// Writes the whole buffer. Resolves when the device has accepted all of it
    /// ([`OpenMode::Write`]) or holds it on stable storage ([`OpenMode::WriteDurable`]). After an
    /// error any part of it may have been written. A short write is an error.
    async fn write(&self, buffer: &Self::Buffer, position: u64) -> Result<()>;

    /// Resolves when all that was written before the call, and the length, is on stable storage.
    async fn sync(&self) -> Result<()>;

    /// Makes room for the bytes `position..position + bytes` and extends the length to at least
    /// their end. The new bytes read as zeros.
    async fn allocate(&self, position: u64, bytes: u64) -> Result<()>;

    /// Cuts or extends the file.
    async fn set_length(&self, bytes: u64) -> Result<()>;

    /// Closes the file; errors of closing are reported here only.
    async fn close(self) -> Result<()>;
}

/// What a read brought: the first `length` bytes of a buffer.
pub struct ReadBytes<B> {
    buffer: B,
    length: usize,
}

impl<B: BlockBuffer> ReadBytes<B> {
    pub fn new(buffer: B, length: usize) -> Self {
        assert!(length <= buffer.bytes().len());
        ReadBytes { buffer, length }
    }

    pub fn bytes(&self) -> &[u8] {
        self.buffer.bytes().get(..self.length).unwrap_or_default()
    }
}
