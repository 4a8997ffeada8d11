//! The check before the first executor: does this machine let RingMQ run? glommio would panic, end
//! the process or fail much later without a reason; here every obstacle is one sentence with the
//! remedy.

mod machine_info;
mod memory;
pub mod mounts;

use std::{
    io,
    path::{Path, PathBuf},
};

pub use self::{
    machine_info::{DirectoryProbe, MachineInfo, UringProbe},
    memory::{MemoryLimit, memory_limit},
};

/// glommio refuses to make an executor below this limit of locked memory.
pub const MEMLOCK_BYTES_MIN: u64 = 512 * 1024;

/// The oldest kernel whose io_uring has all that is used: polls that go on (`ring/readiness.rs`).
pub const KERNEL_MIN: (u32, u32) = (5, 13);

/// Descriptors that a broker needs besides one for each connection.
pub const DESCRIPTORS_MIN: u64 = 1024;

/// Standard streams, the lock, listeners, name servers, accepted sockets that are about to be
/// refused.
const DESCRIPTORS_OF_PROCESS: u64 = 64;
/// Rings and events of an executor and its threads.
const DESCRIPTORS_OF_SHARD: u64 = 24;

/// What the check found, for the log and `ringmq doctor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub kernel: (u32, u32),
    /// CPUs that the process may use, ascending.
    pub cpus: Vec<usize>,
    /// Limits in force now, raised as far as allowed.
    pub memlock_bytes: u64,
    pub descriptors: u64,
    /// There are fewer CPUs than shards: pinning would put two shards on one.
    pub shares_cpus: bool,
}

/// Why RingMQ cannot run here. `Display` is one sentence for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    #[error(
        "RingMQ needs Linux {min}.{minor_min} or newer for io_uring, this is {major}.{minor}: \
         upgrade the kernel",
        min = KERNEL_MIN.0, minor_min = KERNEL_MIN.1
    )]
    KernelTooOld { major: u32, minor: u32 },
    #[error(
        "io_uring is disabled on this machine (kernel.io_uring_disabled = {setting}): run \
         `sysctl -w kernel.io_uring_disabled=0`"
    )]
    DisabledBySysctl { setting: u32 },
    #[error(
        "io_uring is blocked by a seccomp filter (error {errno}), as containers have by default: \
         start the container with `--security-opt seccomp=unconfined` or a profile that allows \
         io_uring_setup, io_uring_enter and io_uring_register"
    )]
    BlockedBySeccomp { errno: i32 },
    #[error(
        "this kernel was built without io_uring (error ENOSYS): use one with CONFIG_IO_URING=y"
    )]
    NotInKernel,
    #[error(
        "io_uring was refused with error {errno} (permission): look for a security module \
         (`ausearch -m avc`, `dmesg`) that denies io_uring to this process"
    )]
    Refused { errno: i32 },
    #[error(
        "there is not enough lockable memory for io_uring (limit {limit} bytes): raise it with \
         `docker run --ulimit memlock=-1`, `LimitMEMLOCK=infinity` in the systemd unit, or \
         `ulimit -l unlimited`"
    )]
    NoLockableMemory { limit: u64 },
    #[error(
        "the limit of locked memory is {limit} bytes and {min} are needed: raise it with `docker \
         run --ulimit memlock=-1`, `LimitMEMLOCK=infinity` in the systemd unit, or `ulimit -l \
         unlimited`", min = MEMLOCK_BYTES_MIN
    )]
    MemlockTooLow { limit: u64 },
    #[error("io_uring does not work here (error {errno}): run `ringmq doctor` and report this")]
    UringBroken { errno: i32 },
    #[error(
        "the limit of open files is {limit} and at least {min} are needed: raise it with `docker \
         run --ulimit nofile=65536`, `LimitNOFILE=65536` in the systemd unit, or `ulimit -n 65536`",
        min = DESCRIPTORS_MIN
    )]
    TooFewDescriptors { limit: u64 },
    #[error("the number of shards is 0: set it to the number of CPUs to use, or leave it out")]
    NoShards,
    #[error(
        "this process may use no CPU that it could find out: check `taskset -p` and the cpuset of \
         the container"
    )]
    NoCpus,
    #[error(
        "cannot use the directory {path}: {reason} (error {errno}): create it and give it to the \
         user that runs RingMQ", path = path.display()
    )]
    Directory { path: PathBuf, reason: &'static str, errno: i32 },
    #[error(
        "the directory {path} is on a {kind} file system, which loses what it holds or cannot do \
         O_DIRECT: put it on a disk with ext4 or XFS (a container needs a volume)",
        path = path.display()
    )]
    VolatileFileSystem { path: PathBuf, kind: &'static str },
    #[error(
        "the file system of {path} does not support O_DIRECT (error {errno}), which RingMQ needs: \
         put it on a disk with ext4 or XFS (a container needs a volume)", path = path.display()
    )]
    NoDirectIo { path: PathBuf, errno: i32 },
}

/// Finds out whether `shards` executors can run here and keep their data in `directory`, which must
/// exist. Raises the soft limits of locked memory and open files to the hard ones. To be called
/// before any thread is pinned.
pub fn check(directory: Option<&Path>, shards: usize) -> Result<Report, GateError> {
    decide(&look(directory, shards))
}

/// Descriptors that this process may have open at once: the limit in force.
pub fn descriptor_limit() -> u64 {
    machine_info::descriptor_limit()
}

/// Size in bytes of the file system that holds `path`.
pub fn disk_bytes(path: &Path) -> io::Result<u64> {
    machine_info::disk_bytes(path)
}

/// Descriptors for connections when `needed` are set aside for files first and some for the
/// executors of `shards`. A quarter of `limit` even if that leaves less: files may never be as many
/// as they can.
pub fn descriptors_for_connections(limit: u64, needed: u64, shards: usize) -> u64 {
    let others = DESCRIPTORS_OF_PROCESS + DESCRIPTORS_OF_SHARD * shards as u64;
    limit.saturating_sub(needed).saturating_sub(others).max(limit / 4)
}

/// What a broker would find: limits are raised first, as at its start.
pub fn look(directory: Option<&Path>, shards: usize) -> MachineInfo {
    machine_info::raise_limits();
    machine_info::collect(directory, shards)
}

/// What is judged of a machine, in the order in which obstacles must be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Kernel,
    LockedMemory,
    OpenFiles,
    Uring,
    Shards,
    Cpus,
    Directory,
}

impl Subject {
    pub const ALL: [Subject; 7] = [
        Subject::Kernel,
        Subject::LockedMemory,
        Subject::OpenFiles,
        Subject::Uring,
        Subject::Shards,
        Subject::Cpus,
        Subject::Directory,
    ];
}

/// The verdict on one subject.
pub fn judge(machine: &MachineInfo, subject: Subject) -> Result<(), GateError> {
    let (major, minor) = machine.kernel;
    let refuse = |refused, error| if refused { Err(error) } else { Ok(()) };
    match subject {
        Subject::Kernel => {
            refuse(machine.kernel < KERNEL_MIN, GateError::KernelTooOld { major, minor })
        }
        Subject::LockedMemory => {
            let limit = machine.memlock_bytes;
            refuse(limit < MEMLOCK_BYTES_MIN, GateError::MemlockTooLow { limit })
        }
        Subject::OpenFiles => {
            let limit = machine.descriptors;
            refuse(limit < DESCRIPTORS_MIN, GateError::TooFewDescriptors { limit })
        }
        Subject::Uring => decide_uring(machine),
        Subject::Shards => refuse(machine.shards == 0, GateError::NoShards),
        Subject::Cpus => refuse(machine.cpus.is_empty(), GateError::NoCpus),
        Subject::Directory => match &machine.directory {
            Some((path, directory)) => decide_directory(path, directory),
            None => Ok(()),
        },
    }
}

/// The verdict on the machine: the first obstacle.
pub fn decide(machine: &MachineInfo) -> Result<Report, GateError> {
    Subject::ALL.into_iter().try_for_each(|subject| judge(machine, subject))?;
    Ok(Report {
        kernel: machine.kernel,
        cpus: machine.cpus.clone(),
        memlock_bytes: machine.memlock_bytes,
        descriptors: machine.descriptors,
        shares_cpus: machine.cpus.len() < machine.shards,
    })
}

fn decide_uring(machine: &MachineInfo) -> Result<(), GateError> {
    let UringProbe::Failed(errno) = machine.uring else {
        return Ok(());
    };
    Err(match errno {
        libc::EPERM | libc::EACCES if machine.uring_disabled > 0 => {
            GateError::DisabledBySysctl { setting: machine.uring_disabled }
        }
        libc::EPERM | libc::EACCES | libc::ENOSYS if machine.seccomp_filter => {
            GateError::BlockedBySeccomp { errno }
        }
        libc::EPERM | libc::EACCES => GateError::Refused { errno },
        libc::ENOSYS => GateError::NotInKernel,
        libc::ENOMEM => GateError::NoLockableMemory { limit: machine.memlock_bytes },
        libc::EMFILE | libc::ENFILE => GateError::TooFewDescriptors { limit: machine.descriptors },
        _ => GateError::UringBroken { errno },
    })
}

fn decide_directory(path: &Path, probe: &DirectoryProbe) -> Result<(), GateError> {
    let path = path.to_owned();
    match *probe {
        DirectoryProbe::Usable => Ok(()),
        DirectoryProbe::Missing(errno) => {
            Err(GateError::Directory { path, reason: "it is not a directory", errno })
        }
        DirectoryProbe::NotWritable(errno) => {
            Err(GateError::Directory { path, reason: "no file can be created in it", errno })
        }
        DirectoryProbe::Volatile(kind) => Err(GateError::VolatileFileSystem { path, kind }),
        DirectoryProbe::NoDirectIo(errno) => Err(GateError::NoDirectIo { path, errno }),
    }
}

#[cfg(test)]
mod tests;
