//! Files and directories: data through the ring past the page cache, names through the executor's
//! blocking thread.

use std::{
    fs,
    io::{self, ErrorKind},
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
    path::Path,
    rc::Rc,
};

use nix::sys::statvfs::statvfs;

use super::{
    blocking::Blocking,
    file::{RingBuffer, RingFile},
    operations::Operations,
};
use crate::{Disk, DiskError, File as _, OpenMode, disk::Result};

/// What works on files.
pub(super) struct Tools {
    pub operations: Rc<Operations>,
    pub blocking: Blocking,
}

/// The file systems of this machine, for the executor of the current thread.
#[derive(Clone)]
pub struct RingDisk {
    tools: Rc<Tools>,
}

impl RingDisk {
    pub(super) fn new(operations: Rc<Operations>, blocking: Blocking) -> RingDisk {
        RingDisk { tools: Rc::new(Tools { operations, blocking }) }
    }

    async fn open_with(
        &self,
        operation: &str,
        path: &Path,
        mode: OpenMode,
        create: bool,
    ) -> Result<RingFile> {
        let durable = if mode == OpenMode::WriteDurable { libc::O_DSYNC } else { 0 };
        let mut options = fs::OpenOptions::new();
        options.read(true).write(mode != OpenMode::Read).create_new(create).mode(0o640);
        options.custom_flags(libc::O_DIRECT | durable);
        let open = move |path: &Path| {
            let file = options.open(path).map_err(explain_direct);
            if create && file.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unsupported) {
                // Refused at O_DIRECT, it is there nevertheless.
                let _ = fs::remove_file(path);
            }
            file.map(OwnedFd::from)
        };
        let file = self.on_path(operation, path, open).await?;
        Ok(RingFile::new(file, path.to_owned(), self.tools.clone()))
    }

    /// Runs system calls on the blocking thread; the path names a failure. `call` must not panic.
    async fn on_path<T: Send + 'static>(
        &self,
        operation: &str,
        path: &Path,
        call: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let owned = path.to_owned();
        let result = self.tools.blocking.run(move || call(&owned)).await;
        result.map_err(|source| disk_error(operation, path, source))
    }
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
        if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
            files.push((name, metadata.len()));
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// The kernel gives 32 hexadecimal digits with dashes between them.
fn boot_id(path: &Path) -> io::Result<u128> {
    let text = fs::read_to_string(path)?;
    let digits: String = text.trim().split('-').collect();
    u128::from_str_radix(&digits, 16)
        .map_err(|_| io::Error::new(ErrorKind::InvalidData, format!("{text:?} is no boot id")))
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
            self.open_with("create", path, OpenMode::Write, true).await?.close().await?;
            return self.open(path, mode).await;
        }
        self.open_with("create", path, mode, true).await
    }

    async fn create_directory(&self, path: &Path) -> Result<()> {
        self.on_path("create directory", path, create_directory).await
    }

    async fn list(&self, directory: &Path) -> Result<Vec<(String, u64)>> {
        self.on_path("list", directory, list).await
    }

    async fn sync_directory(&self, path: &Path) -> Result<()> {
        self.on_path("sync directory", path, sync_directory).await
    }

    async fn rename_durably(&self, from: &Path, to: &Path) -> Result<()> {
        let target = to.to_owned();
        let operation = format!("rename to {}", to.display());
        self.on_path(&operation, from, move |from| rename_durably(from, &target)).await
    }

    async fn remove(&self, path: &Path) -> Result<()> {
        self.on_path("remove", path, |path| fs::remove_file(path)).await
    }

    async fn space(&self, path: &Path) -> Result<(u64, u64)> {
        self.on_path("ask for the space of", path, |path| {
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

    async fn boot_id(&self) -> Result<u128> {
        self.on_path("read", Path::new("/proc/sys/kernel/random/boot_id"), boot_id).await
    }
}
