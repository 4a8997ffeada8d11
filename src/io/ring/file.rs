//! [`File`] over a glommio `DmaFile` (O_DIRECT, with O_DSYNC for durable writes).

use std::{
    io::{self, ErrorKind},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::PathBuf,
    rc::Rc,
};

use glommio::io::{DmaBuffer, DmaFile, ReadResult};
use nix::{
    fcntl::{FallocateFlags, fallocate},
    sys::stat::fstat,
    unistd::ftruncate,
};
use ringmq_base::limits::BLOCK_BYTES;

use super::{
    disk::{blocking, disk_error},
    plain_error,
};
use crate::{
    BlockBuffer, DiskError, File,
    disk::{ReadBytes, Result},
};

/// Memory for the ring, aligned to 4096 bytes.
pub struct RingBuffer {
    memory: Memory,
}

enum Memory {
    /// Made by [`RingBuffer::zeroed`]. Shared only with a write under way.
    Own(Rc<DmaBuffer>),
    /// Filled by a read.
    Read(ReadResult),
}

impl RingBuffer {
    pub(super) fn zeroed(bytes: usize) -> RingBuffer {
        assert!(bytes > 0 && bytes.is_multiple_of(BLOCK_BYTES), "{bytes} bytes are no blocks");
        let mut memory = glommio::allocate_dma_buffer(bytes);
        assert!(memory.as_ptr().addr().is_multiple_of(BLOCK_BYTES));
        memory.as_bytes_mut().fill(0);
        RingBuffer { memory: Memory::Own(Rc::new(memory)) }
    }
}

impl BlockBuffer for RingBuffer {
    fn bytes(&self) -> &[u8] {
        match &self.memory {
            Memory::Own(memory) => memory.as_bytes(),
            Memory::Read(memory) => memory,
        }
    }

    /// Panics if a write of this buffer was abandoned half-way: the kernel may still read from it.
    fn bytes_mut(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Memory::Own(memory) => Rc::get_mut(memory)
                .expect("a write of this buffer is over: the caller awaited it")
                .as_bytes_mut(),
            Memory::Read(_) => unreachable!("what a read brought is handed out read-only"),
        }
    }
}

/// An open file of the executor that opened it.
pub struct RingFile {
    file: DmaFile,
    path: PathBuf,
}

impl RingFile {
    pub(super) fn new(file: DmaFile, path: PathBuf) -> RingFile {
        RingFile { file, path }
    }

    pub(super) async fn discard(self) -> Result<()> {
        self.close().await
    }

    fn failed(&self, operation: &str, source: io::Error) -> DiskError {
        disk_error(operation, &self.path, source)
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is open as long as `file`, which outlives the borrow.
        unsafe { BorrowedFd::borrow_raw(self.file.as_raw_fd()) }
    }

    /// A duplicate for the blocking thread: it stays open even if the caller gives up waiting.
    fn duplicate(&self) -> io::Result<OwnedFd> {
        self.descriptor().try_clone_to_owned()
    }

    fn length_now(&self) -> io::Result<u64> {
        // By descriptor and at once: glommio asks by path, which may have been renamed.
        let status = fstat(self.descriptor())?;
        u64::try_from(status.st_size).map_err(io::Error::other)
    }

    async fn read_once(&self, position: u64, bytes: usize) -> io::Result<ReadResult> {
        self.file.read_at_aligned(position, bytes).await.map_err(plain_error)
    }

    /// Goes on after a read that was short before the end of the file, which the kernel may do but
    /// hardly ever does: block by block into one buffer.
    async fn read_rest(
        &self,
        position: u64,
        bytes: usize,
        first: ReadResult,
    ) -> io::Result<(RingBuffer, usize)> {
        let mut whole = glommio::allocate_dma_buffer(bytes);
        let mut filled = 0;
        let mut part = first;
        loop {
            let room = whole.as_bytes_mut().get_mut(filled..).unwrap_or_default();
            let count = part.len().min(room.len());
            room[..count].copy_from_slice(&part[..count]);
            filled += count;
            let end = position + filled as u64;
            if filled == bytes || end >= self.length_now()? {
                whole.as_bytes_mut()[filled..].fill(0);
                return Ok((RingBuffer { memory: Memory::Own(Rc::new(whole)) }, filled));
            }
            filled -= filled % BLOCK_BYTES;
            part = self.read_once(position + filled as u64, bytes - filled).await?;
            if part.len() < BLOCK_BYTES
                && position + ((filled + part.len()) as u64) < self.length_now()?
            {
                return Err(io::Error::new(
                    ErrorKind::UnexpectedEof,
                    "the device returned less than a block before the end of the file",
                ));
            }
        }
    }

    async fn on_duplicate(
        &self,
        call: impl FnOnce(OwnedFd) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let duplicate = self.duplicate()?;
        blocking(move || call(duplicate)).await
    }
}

fn assert_blocks(position: u64, bytes: usize) {
    assert!(
        position.is_multiple_of(BLOCK_BYTES as u64)
            && bytes > 0
            && bytes.is_multiple_of(BLOCK_BYTES),
        "{bytes} bytes at {position} are not whole blocks"
    );
}

impl File for RingFile {
    type Buffer = RingBuffer;

    async fn length(&self) -> Result<u64> {
        self.length_now().map_err(|source| self.failed("ask for the length of", source))
    }

    async fn read(&self, position: u64, bytes: usize) -> Result<ReadBytes<RingBuffer>> {
        assert_blocks(position, bytes);
        let failed = |source| self.failed(&format!("read {bytes} bytes at {position} of"), source);
        let result = self.read_once(position, bytes).await.map_err(failed)?;
        let count = result.len();
        let at_end =
            count == bytes || position + count as u64 >= self.length_now().map_err(failed)?;
        if at_end {
            let buffer = RingBuffer { memory: Memory::Read(result) };
            return Ok(ReadBytes::new(buffer, count));
        }
        let (buffer, count) = self.read_rest(position, bytes, result).await.map_err(failed)?;
        Ok(ReadBytes::new(buffer, count))
    }

    async fn write(&self, buffer: &RingBuffer, position: u64) -> Result<()> {
        let Memory::Own(memory) = &buffer.memory else {
            unreachable!("what a read brought is handed out inside ReadBytes only");
        };
        let bytes = memory.len();
        assert_blocks(position, bytes);
        let failed = |source| self.failed(&format!("write {bytes} bytes at {position} of"), source);
        let written = self
            .file
            .write_rc_at(memory.clone(), position)
            .await
            .map_err(plain_error)
            .map_err(failed)?;
        if written < bytes {
            // The kernel tells the reason at the next write only; there is hardly another one.
            return Err(failed(io::Error::new(
                ErrorKind::StorageFull,
                format!("only {written} bytes were written: the file system is probably full"),
            )));
        }
        Ok(())
    }

    async fn sync(&self) -> Result<()> {
        let synced = self.file.fdatasync().await.map_err(plain_error);
        synced.map_err(|source| self.failed("sync", source))
    }

    async fn allocate(&self, position: u64, bytes: u64) -> Result<()> {
        let failed =
            |source| self.failed(&format!("allocate {bytes} bytes at {position} of"), source);
        let range = i64::try_from(position).ok().zip(i64::try_from(bytes).ok());
        let (start, count) =
            range.ok_or_else(|| failed(io::Error::from(ErrorKind::FileTooLarge)))?;
        self.on_duplicate(move |file| {
            Ok(fallocate(file.as_fd(), FallocateFlags::empty(), start, count)?)
        })
        .await
        .map_err(failed)
    }

    async fn set_length(&self, bytes: u64) -> Result<()> {
        let failed = |source| self.failed(&format!("set to {bytes} bytes the length of"), source);
        let length =
            i64::try_from(bytes).map_err(|_| failed(io::Error::from(ErrorKind::FileTooLarge)))?;
        self.on_duplicate(move |file| Ok(ftruncate(file.as_fd(), length)?)).await.map_err(failed)
    }

    async fn close(self) -> Result<()> {
        let RingFile { file, path } = self;
        let closed = file.close().await.map_err(plain_error);
        closed.map_err(|source| disk_error("close", &path, source))
    }
}
