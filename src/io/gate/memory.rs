//! How much memory this process may use: the limit of its memory cgroup or of one above it, version
//! 1 or 2, else what the machine has.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use super::mounts;

/// Version 1 has a number near 2^63 for "no limit".
const UNLIMITED: u64 = 1 << 60;
/// When it cannot be found out.
const UNKNOWN_MACHINE_BYTES: u64 = 1 << 30;

/// Memory that this process may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryLimit {
    pub bytes: u64,
    /// The file of the cgroup that says so; `None`: the machine has no more.
    pub file: Option<PathBuf>,
}

impl fmt::Display for MemoryLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{}", file.display()),
            None => f.write_str("the machine"),
        }
    }
}

/// Reads the limit that is in force now.
pub fn memory_limit() -> MemoryLimit {
    let read = |path: &Path| fs::read_to_string(path).ok();
    let text = |path: &str| read(Path::new(path)).unwrap_or_default();
    let machine = machine_bytes(&text("/proc/meminfo")).unwrap_or(UNKNOWN_MACHINE_BYTES);
    let cgroup = cgroup_limit(&text("/proc/self/cgroup"), &text("/proc/self/mountinfo"), read);
    match cgroup {
        Some((bytes, file)) if bytes < machine => MemoryLimit { bytes, file: Some(file) },
        _ => MemoryLimit { bytes: machine, file: None },
    }
}

/// Memory of the machine, of `/proc/meminfo`.
pub(super) fn machine_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib = line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()?;
    kib.checked_mul(1024)
}

/// The least limit of the process's cgroup and those above it, as far as they are mounted.
pub(super) fn cgroup_limit(
    cgroup: &str,
    mountinfo: &str,
    read: impl Fn(&Path) -> Option<String>,
) -> Option<(u64, PathBuf)> {
    let names = ("memory.limit_in_bytes", "memory.max");
    let files = mounts::cgroup_files(cgroup, mountinfo, "memory", names);
    let limits = files.into_iter().filter_map(|file| {
        let bytes = read(&file)?.trim().parse::<u64>().ok()?;
        (bytes < UNLIMITED).then_some((bytes, file))
    });
    limits.min_by_key(|(bytes, _)| *bytes)
}
