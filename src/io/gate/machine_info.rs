//! What the gate looks at. Nothing is judged here.

use std::{
    fs,
    io::{self, Write},
    os::{
        fd::{AsFd, FromRawFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        statfs::{FsType, TMPFS_MAGIC, statfs},
        utsname::uname,
    },
};
use ringmq_base::limits::BLOCK_BYTES;

use crate::launch::allowed_cpus;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineInfo {
    /// Major and minor version of the running kernel.
    pub kernel: (u32, u32),
    pub uring: UringProbe,
    /// `kernel.io_uring_disabled`: 0 allows all, 1 a group, 2 nobody.
    pub uring_disabled: u32,
    /// System calls of this process are filtered.
    pub seccomp_filter: bool,
    /// Soft limits after raising.
    pub memlock_bytes: u64,
    pub descriptors: u64,
    pub cpus: Vec<usize>,
    pub shards: usize,
    pub directory: Option<(PathBuf, DirectoryProbe)>,
}

impl MachineInfo {
    /// A machine that nothing is wrong with, for tests of what is judged.
    pub fn sound() -> MachineInfo {
        MachineInfo {
            kernel: (6, 1),
            uring: UringProbe::Works,
            uring_disabled: 0,
            seccomp_filter: false,
            memlock_bytes: 8 << 20,
            descriptors: 65_536,
            cpus: vec![0, 1],
            shards: 2,
            directory: Some((PathBuf::from("/store"), DirectoryProbe::Usable)),
        }
    }
}

/// What `io_uring_setup` said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UringProbe {
    Works,
    /// The error number.
    Failed(i32),
}

/// What trying to use the directory showed; error numbers inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectoryProbe {
    Usable,
    Missing(i32),
    NotWritable(i32),
    /// The name of a file system in memory.
    Volatile(&'static str),
    NoDirectIo(i32),
}

const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);

/// Raises the soft limits to the hard ones; a refusal shows in what is collected.
pub fn raise_limits() {
    for resource in [Resource::RLIMIT_MEMLOCK, Resource::RLIMIT_NOFILE] {
        if let Ok((soft, hard)) = getrlimit(resource)
            && soft < hard
        {
            let _ = setrlimit(resource, hard, hard);
        }
    }
}

pub fn descriptor_limit() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft)
}

pub fn disk_bytes(path: &Path) -> io::Result<u64> {
    let found = nix::sys::statvfs::statvfs(path)?;
    Ok(found.blocks() * found.fragment_size())
}

pub fn collect(directory: Option<&Path>, shards: usize) -> MachineInfo {
    let limit = |resource| getrlimit(resource).map_or(0, |(soft, _)| soft);
    MachineInfo {
        kernel: kernel_version(),
        uring: probe_uring(),
        uring_disabled: read_number("/proc/sys/kernel/io_uring_disabled").unwrap_or(0),
        seccomp_filter: fs::read_to_string("/proc/self/status")
            .is_ok_and(|status| has_seccomp_filter(&status)),
        memlock_bytes: limit(Resource::RLIMIT_MEMLOCK),
        descriptors: descriptor_limit(),
        cpus: allowed_cpus().unwrap_or_default(),
        shards,
        directory: directory.map(|path| (path.to_owned(), probe_directory(path))),
    }
}

fn kernel_version() -> (u32, u32) {
    let name = uname();
    name.ok().and_then(|name| parse_version(name.release().to_str()?)).unwrap_or((0, 0))
}

pub(super) fn parse_version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|character: char| !character.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

pub(super) fn has_seccomp_filter(status: &str) -> bool {
    let mode = status.lines().find_map(|line| line.strip_prefix("Seccomp:"));
    mode.is_some_and(|mode| mode.trim() != "0")
}

fn read_number(path: &str) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Makes a small ring and closes it.
fn probe_uring() -> UringProbe {
    /// Bytes of `struct io_uring_params`.
    const PARAMETER_BYTES: usize = 120;
    let mut parameters = [0_u64; PARAMETER_BYTES / 8];
    // SAFETY: the call writes at most the size of io_uring_params to the array, and keeps no
    // pointer to it; zeros are valid parameters.
    let result = unsafe { libc::syscall(libc::SYS_io_uring_setup, 8, parameters.as_mut_ptr()) };
    match i32::try_from(result) {
        Ok(descriptor) if descriptor >= 0 => {
            // SAFETY: the kernel has just made this descriptor for us alone.
            drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
            UringProbe::Works
        }
        _ => UringProbe::Failed(errno(&io::Error::last_os_error())),
    }
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(0)
}

/// A new file without a name, or, on file systems that have none such, without it from now on.
fn scratch_file(directory: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    let nameless = options.clone().custom_flags(libc::O_TMPFILE).open(directory);
    let cannot = [libc::EOPNOTSUPP, libc::EISDIR, libc::EINVAL, libc::ENOENT];
    match nameless {
        Err(error) if cannot.contains(&errno(&error)) => {}
        result => return result,
    }
    let path = directory.join(format!(".ringmq-gate-{}", std::process::id()));
    let file = options.create(true).truncate(true).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn probe_directory(path: &Path) -> DirectoryProbe {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return DirectoryProbe::Missing(libc::ENOTDIR),
        Err(error) => return DirectoryProbe::Missing(errno(&error)),
    }
    match statfs(path).map(|file_system| file_system.filesystem_type()) {
        Ok(TMPFS_MAGIC) => return DirectoryProbe::Volatile("tmpfs"),
        Ok(RAMFS_MAGIC) => return DirectoryProbe::Volatile("ramfs"),
        _ => {}
    }
    probe_file(path)
}

/// Writes a file, turns O_DIRECT on, and reads a block that way.
fn probe_file(directory: &Path) -> DirectoryProbe {
    let written = scratch_file(directory).and_then(|mut file| {
        file.write_all(&[0; BLOCK_BYTES])?;
        file.sync_all()?;
        Ok(file)
    });
    let file = match written {
        Ok(file) => file,
        // A broker must start on a full disk, to serve what is there and to make room. What needs
        // space says so itself.
        Err(error) if is_full(&error) => return DirectoryProbe::Usable,
        Err(error) => return DirectoryProbe::NotWritable(errno(&error)),
    };
    let flags = OFlag::O_RDWR | OFlag::O_DIRECT;
    if let Err(error) = fcntl(file.as_fd(), FcntlArg::F_SETFL(flags)) {
        return DirectoryProbe::NoDirectIo(error as i32);
    }
    #[repr(C, align(4096))]
    struct Block([u8; BLOCK_BYTES]);
    let mut block = Box::new(Block([0; BLOCK_BYTES]));
    match std::os::unix::fs::FileExt::read_at(&file, &mut block.0, 0) {
        Ok(_) => DirectoryProbe::Usable,
        Err(error) => DirectoryProbe::NoDirectIo(errno(&error)),
    }
}
