//! What is mounted where, of `/proc/self/mountinfo`, and where the files of a cgroup are.

use std::path::{Path, PathBuf};

/// A line of `/proc/self/mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount<'a> {
    /// Major and minor number, as in `/sys/dev/block/254:0`.
    pub device: &'a str,
    pub root: PathBuf,
    pub point: PathBuf,
    /// Options of this mount: `rw,relatime`.
    pub options: &'a str,
    /// Name of the file system.
    pub kind: &'a str,
    /// What the kernel was told to mount.
    pub source: &'a str,
    /// Options of the file system, wherever it is mounted.
    pub super_options: &'a str,
}

/// All lines that can be read: id, parent, device, root, point, options, ... - kind, source,
/// options of the file system.
pub fn parse(mountinfo: &str) -> impl Iterator<Item = Mount<'_>> {
    mountinfo.lines().filter_map(line)
}

fn line(line: &str) -> Option<Mount<'_>> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut fields = mount.split(' ').skip(2);
    let device = fields.next()?;
    let (root, point) = (unescaped(fields.next()?), unescaped(fields.next()?));
    let options = fields.next().unwrap_or_default();
    let mut fields = file_system.split(' ');
    let kind = fields.next()?;
    let (source, super_options) =
        (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
    Some(Mount { device, root, point, options, kind, source, super_options })
}

/// The kernel writes blanks, tabs, line feeds and backslashes as octal numbers.
fn unescaped(field: &str) -> PathBuf {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    let text = escapes.iter().fold(field.to_owned(), |text, (from, to)| text.replace(from, to));
    text.into()
}

/// The mount that holds `path`, which is absolute and without links.
pub fn mount_of<'a>(mountinfo: &'a str, path: &Path) -> Option<Mount<'a>> {
    let holds = parse(mountinfo).filter(|mount| path.starts_with(&mount.point));
    // Of several at one place the last one is on top.
    holds.max_by_key(|mount| mount.point.components().count())
}

/// Files named `names` (version 1, version 2) of the process's cgroup for this controller, from its
/// own up to the root, whether they are there or not.
pub fn cgroup_files(
    cgroup: &str,
    mountinfo: &str,
    controller: &str,
    names: (&str, &str),
) -> Vec<PathBuf> {
    let has = |list: &str| list.split(',').any(|name| name == controller);
    let mut files = Vec::new();
    for (controllers, path) in cgroup.lines().filter_map(membership) {
        let (kind, name) = match controllers {
            "" => ("cgroup2", names.1),
            _ if has(controllers) => ("cgroup", names.0),
            _ => continue,
        };
        let is_it = |mount: &Mount<'_>| {
            mount.kind == kind && (kind == "cgroup2" || has(mount.super_options))
        };
        let Some(mount) = parse(mountinfo).find(is_it) else { continue };
        // With a root of its own a container sees its cgroup at the mount point.
        let below = Path::new(path).strip_prefix(&mount.root).unwrap_or_else(|_| Path::new(""));
        let directory = mount.point.join(below);
        let up = directory.ancestors().take_while(|at| at.starts_with(&mount.point));
        files.extend(up.map(|directory| directory.join(name)));
    }
    files
}

/// Controllers and path of a line of `/proc/self/cgroup`: `4:memory:/a/b`, `0::/a/b`.
fn membership(line: &str) -> Option<(&str, &str)> {
    let (_, rest) = line.split_once(':')?;
    rest.split_once(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_and_latest_mount_holds_a_path() {
        let text = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:2 / /a\\040b rw - xfs /dev/sdb rw\n\
                    3 1 8:3 / / rw shared:1 master:2 - ext4 /dev/sdc rw,barrier=0\n";
        let device = |path| mount_of(text, Path::new(path)).map(|mount| mount.device);
        assert_eq!(device("/a b/store"), Some("8:2"));
        assert_eq!(device("/a bc"), Some("8:3"));
        let root = mount_of(text, Path::new("/x")).expect("a mount");
        assert_eq!((root.kind, root.super_options), ("ext4", "rw,barrier=0"));
        assert_eq!(mount_of("", Path::new("/")), None);
    }
}
