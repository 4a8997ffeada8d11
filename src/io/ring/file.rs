//! [`File`] past the page cache (O_DIRECT, with O_DSYNC for durable writes): data through the ring,
//! what may wait otherwise on the blocking thread.

use std::{
    io::{self, ErrorKind},
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    rc::Rc,
};

use nix::{
    fcntl::{FallocateFlags, fallocate},
    sys::stat::fstat,
    unistd::{close, ftruncate},
};
use ringmq_base::limits::BLOCK_BYTES;

use super::{
    disk::{Tools, disk_error},
    memory::Blocks,
};
use crate::{
    BlockBuffer, DiskError, File,
    disk::{ReadBytes, Result},
};

/// Memory for the ring, aligned to 4096 bytes.
pub struct RingBuffer {
    /// Shared only with a read or write under way.
    memory: Rc<Blocks>,
}

impl RingBuffer {
    pub(super) fn zeroed(bytes: usize) -> RingBuffer {
        RingBuffer { memory: Rc::new(Blocks::zeroed(bytes)) }
    }
}

impl BlockBuffer for RingBuffer {
    fn bytes(&self) -> &[u8] {
        self.memory.bytes()
    }

    /// Panics if a write of this buffer was abandoned half-way: the kernel may still read from it.
    fn bytes_mut(&mut self) -> &mut [u8] {
        Rc::get_mut(&mut self.memory)
            .expect("a write of this buffer is over: the caller awaited it")
            .bytes_mut()
    }
}

/// An open file of the executor that opened it.
pub struct RingFile {
    file: Rc<OwnedFd>,
    path: PathBuf,
    tools: Rc<Tools>,
}

impl RingFile {
    pub(super) fn new(file: OwnedFd, path: PathBuf, tools: Rc<Tools>) -> RingFile {
        RingFile { file: Rc::new(file), path, tools }
    }

    fn failed(&self, operation: &str, source: io::Error) -> DiskError {
        disk_error(operation, &self.path, source)
    }

    fn length_now(&self) -> io::Result<u64> {
        let status = fstat(&self.file)?;
        u64::try_from(status.st_size).map_err(io::Error::other)
    }

    /// Gives the bytes read, fewer than there is room for only at the end of the file. The kernel
    /// may read less before it, though it hardly ever does.
    async fn fill(&self, memory: &Rc<Blocks>, position: u64) -> io::Result<usize> {
        let mut filled = 0;
        let mut first = true;
        loop {
            let start = position + filled as u64;
            let count = self.tools.operations.read(&self.file, memory, filled, start).await?;
            filled += count;
            if filled == memory.len() || position + filled as u64 >= self.length_now()? {
                return Ok(filled);
            }
            // Of the first one the file may have grown meanwhile.
            if !std::mem::take(&mut first) && count < BLOCK_BYTES {
                return Err(io::Error::new(
                    ErrorKind::UnexpectedEof,
                    "the device returned less than a block before the end of the file",
                ));
            }
            filled -= filled % BLOCK_BYTES;
        }
    }

    /// Runs the call on the blocking thread, with a descriptor that stays open even if the caller
    /// gives up waiting.
    async fn on_duplicate(
        &self,
        call: impl FnOnce(OwnedFd) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let duplicate = self.file.try_clone()?;
        self.tools.blocking.run(move || call(duplicate)).await
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
        let buffer = RingBuffer::zeroed(bytes);
        let filled = self.fill(&buffer.memory, position).await;
        let count = filled.map_err(|source| {
            self.failed(&format!("read {bytes} bytes at {position} of"), source)
        })?;
        Ok(ReadBytes::new(buffer, count))
    }

    async fn write(&self, buffer: &RingBuffer, position: u64) -> Result<()> {
        let bytes = buffer.memory.len();
        assert_blocks(position, bytes);
        let failed = |source| self.failed(&format!("write {bytes} bytes at {position} of"), source);
        let write = self.tools.operations.write(&self.file, &buffer.memory, position);
        let written = write.await.map_err(failed)?;
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
        let synced = self.tools.operations.sync(&self.file).await;
        synced.map(drop).map_err(|source| self.failed("sync", source))
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
        let RingFile { file, path, tools } = self;
        let Ok(file) = Rc::try_unwrap(file) else {
            // An abandoned operation has it still, and closes it.
            return Ok(());
        };
        // The last one of a removed file gives its blocks back, which takes a while.
        let closed = tools.blocking.run(move || Ok(close(file)?)).await;
        closed.map_err(|source| disk_error("close", &path, source))
    }
}
