//! How much memory this process may use: the limit of its memory cgroup or of one above it, version
//! 1 or 2, else what the machine has.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

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
    let mut limits = Vec::new();
    for (controllers, path) in cgroup.lines().filter_map(membership) {
        let (kind, file) = match controllers {
            "" => ("cgroup2", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("cgroup", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let Some(mount) = mountinfo.lines().filter_map(mount).find(|mount| mount.is(kind)) else {
            continue;
        };
        // With a root of its own a container sees its cgroup at the mount point.
        let below = Path::new(path).strip_prefix(&mount.root).unwrap_or_else(|_| Path::new(""));
        let directory = mount.point.join(below);
        for directory in directory.ancestors().take_while(|at| at.starts_with(&mount.point)) {
            let file = directory.join(file);
            let bytes = read(&file).and_then(|text| text.trim().parse::<u64>().ok());
            limits.extend(bytes.filter(|bytes| *bytes < UNLIMITED).map(|bytes| (bytes, file)));
        }
    }
    limits.into_iter().min_by_key(|(bytes, _)| *bytes)
}

/// Controllers and path of a line of `/proc/self/cgroup`: `4:memory:/a/b`, `0::/a/b`.
fn membership(line: &str) -> Option<(&str, &str)> {
    let (_, rest) = line.split_once(':')?;
    rest.split_once(':')
}

struct Mount<'a> {
    root: PathBuf,
    point: PathBuf,
    kind: &'a str,
    options: &'a str,
}

impl Mount<'_> {
    fn is(&self, kind: &str) -> bool {
        let has_memory = || self.options.split(',').any(|option| option == "memory");
        self.kind == kind && (kind == "cgroup2" || has_memory())
    }
}

/// A line of `/proc/self/mountinfo`: id, parent, device, root, point, options, ... - kind, source,
/// options of the file system.
fn mount(line: &str) -> Option<Mount<'_>> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut fields = mount.split(' ').skip(3);
    let (root, point) = (fields.next()?.into(), fields.next()?.into());
    let mut fields = file_system.split(' ');
    let kind = fields.next()?;
    Some(Mount { root, point, kind, options: fields.nth(1).unwrap_or_default() })
}
