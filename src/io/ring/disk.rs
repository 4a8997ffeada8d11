//! Files and directories over glommio: data through the ring past the page cache, names through the
//! executor's blocking thread.

use std::{
    cell::RefCell,
    collections::HashSet,
    fs,
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering},
};

use glommio::io::{DmaFile, OpenOptions};
use nix::sys::statvfs::statvfs;

use super::{
    file::{RingBuffer, RingFile},
    plain_error,
};
use crate::{Disk, DiskError, OpenMode, disk::Result};

/// Files this process creates and removes at once, one per executor and device.
const PROBE_PREFIX: &str = ".ringmq-probe-";

/// The file systems of this machine, for the executor of the current thread.
#[derive(Clone, Debug)]
pub struct RingDisk {
    /// Devices that glommio knows not to poll on this executor.
    prepared: Rc<RefCell<HashSet<u64>>>,
}

impl RingDisk {
    pub(super) fn new() -> RingDisk {
        RingDisk { prepared: Rc::default() }
    }

    async fn open_with(
        &self,
        operation: &str,
        path: &Path,
        mode: OpenMode,
        create: bool,
    ) -> Result<RingFile> {
        let failed = |source| disk_error(operation, path, source);
        if let Some(parent) = path.parent() {
            self.prepare_device(parent).await.map_err(failed)?;
        }
        let mut options = OpenOptions::new();
        options.read(true).write(mode != OpenMode::Read).create_new(create).mode(0o640);
        if mode == OpenMode::WriteDurable {
            options.custom_flags(libc::O_DSYNC);
        }
        let file = options.dma_open(path).await.map_err(plain_error).map_err(explain_direct);
        Ok(RingFile::new(file.map_err(failed)?, path.to_owned()))
    }

    /// Makes glommio find out, before the first real file, that I/O on this device is not polled.
    ///
    /// It asks once per device and executor, by a read from the first file it opens; on an empty
    /// file that read succeeds without reaching the device, and then all writes fail (EOPNOTSUPP)
    /// or the core spins while any I/O is under way. From a file open for writing only the read
    /// fails in any case, which settles it.
    async fn prepare_device(&self, directory: &Path) -> io::Result<()> {
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        let device = fs::metadata(directory)?.dev();
        if self.prepared.borrow().contains(&device) {
            return Ok(());
        }
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PROBE_PREFIX}{}-{number}", std::process::id());
        let path = fs::canonicalize(directory)?.join(name);
        let opened = open_probe(&path).await;
        // A read-only file system has no probe and can do without: no write can fail there.
        match opened {
            Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem => {}
            Err(error) => return Err(explain_direct(error)),
            Ok(()) => {}
        }
        self.prepared.borrow_mut().insert(device);
        Ok(())
    }
}

async fn open_probe(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let opened: io::Result<DmaFile> = options.dma_open(path).await.map_err(plain_error);
    // If opening failed at O_DIRECT the file is there nevertheless.
    let removed = fs::remove_file(path);
    opened?.close().await.map_err(plain_error)?;
    removed
}

/// EINVAL is all that the kernel says when a file system cannot do O_DIRECT.
fn explain_direct(error: io::Error) -> io::Error {
    if error.raw_os_error() == Some(libc::EINVAL) {
        return io::Error::new(
            ErrorKind::Unsupported,
            "the file system does not support O_DIRECT, which RingMQ needs: put the directory on \
             ext4 or XFS",
        );
    }
    error
}

pub(super) fn disk_error(operation: &str, path: &Path, source: io::Error) -> DiskError {
    DiskError { operation: operation.to_owned(), path: path.to_owned(), source }
}

/// Runs system calls that may wait on the executor's blocking thread. `call` must not panic.
pub(super) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    glommio::executor().spawn_blocking(call).await
}

/// [`blocking`] with a path, which names the failure.
async fn on_path<T: Send + 'static>(
    operation: &str,
    path: &Path,
    call: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let owned: PathBuf = path.to_owned();
    blocking(move || call(&owned)).await.map_err(|source| disk_error(operation, path, source))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    fs::File::open(path)?.sync_all()
}

fn create_directory(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            create_directory(path.parent().ok_or(error)?)?;
            match fs::create_dir(path) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        Err(error) => return Err(error),
    }
    sync_directory(path)?;
    path.parent().map_or(Ok(()), sync_directory)
}

fn list(path: &Path) -> io::Result<Vec<(String, u64)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            // Removed meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string())
            && !name.starts_with(PROBE_PREFIX)
        {
            files.push((name, metadata.len()));
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn rename_durably(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    let parents = (from.parent(), to.parent());
    if let Some(parent) = parents.1 {
        sync_directory(parent)?;
    }
    match parents {
        (Some(from), to) if Some(from) != to => sync_directory(from),
        _ => Ok(()),
    }
}

impl Disk for RingDisk {
    type Buffer = RingBuffer;
    type File = RingFile;

    fn buffer(&self, bytes: usize) -> RingBuffer {
        RingBuffer::zeroed(bytes)
    }

    async fn open(&self, path: &Path, mode: OpenMode) -> Result<RingFile> {
        self.open_with("open", path, mode, false).await
    }

    async fn create(&self, path: &Path, mode: OpenMode) -> Result<RingFile> {
        if mode == OpenMode::Read {
            // An empty file that can only be read: made, closed, and opened again.
            self.open_with("create", path, OpenMode::Write, true).await?.discard().await?;
            return self.open(path, mode).await;
        }
        self.open_with("create", path, mode, true).await
    }

    async fn create_directory(&self, path: &Path) -> Result<()> {
        on_path("create directory", path, create_directory).await
    }

    async fn list(&self, directory: &Path) -> Result<Vec<(String, u64)>> {
        on_path("list", directory, list).await
    }

    async fn sync_directory(&self, path: &Path) -> Result<()> {
        on_path("sync directory", path, sync_directory).await
    }

    async fn rename_durably(&self, from: &Path, to: &Path) -> Result<()> {
        let target = to.to_owned();
        let operation = format!("rename to {}", to.display());
        on_path(&operation, from, move |from| rename_durably(from, &target)).await
    }

    async fn remove(&self, path: &Path) -> Result<()> {
        on_path("remove", path, |path| fs::remove_file(path)).await
    }

    async fn space(&self, path: &Path) -> Result<(u64, u64)> {
        on_path("ask for the space of", path, |path| {
            let room = statvfs(path)?;
            let unit = room.fragment_size();
            // What the file system keeps for the administrator is neither free nor used, as `df`
            // and Java see it.
            let reserved = room.blocks_free().saturating_sub(room.blocks_available());
            let blocks = room.blocks().saturating_sub(reserved);
            Ok((room.blocks_available() * unit, blocks * unit))
        })
        .await
    }
}
