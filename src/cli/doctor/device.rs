//! The file system of a directory and the device below it.

use std::path::Path;

use ringmq_io::gate::mounts::{self, Mount};

use super::{
    condition::{Condition, Severity},
    files::{Files, chosen},
};

/// The largest block that positions and lengths of the store are multiples of.
const BLOCK_BYTES: u64 = 4096;

/// What a kind of file system means for a store.
const KINDS: &[(&[&str], Severity, &str)] = &[
    (&["ext4", "xfs"], Severity::Ok, ""),
    (
        &["overlay", "aufs"],
        Severity::Warning,
        "it is the layer of the container and goes with it: mount a volume there",
    ),
    (
        &["btrfs", "zfs", "bcachefs"],
        Severity::Warning,
        "it writes each change to a new place, which makes flushes slow and files fragmented: use \
         ext4 or XFS",
    ),
    (
        &["nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "ceph", "lustre", "glusterfs", "fuse"],
        Severity::Warning,
        "what a flush is worth and how long it takes is up to the server: use a device of this \
         machine with ext4 or XFS",
    ),
];

/// Options of the file system that take away what a store relies on.
const OPTIONS: &[(&str, &str)] = &[
    ("nobarrier", "flushes do not reach the device: a power cut loses what was acknowledged"),
    ("barrier=0", "flushes do not reach the device: a power cut loses what was acknowledged"),
    ("data=journal", "it turns O_DIRECT off and writes everything twice"),
];

/// Rows of the directory `path` (absolute, without links), which is called `role`.
pub fn rows(files: &dyn Files, path: &Path, role: &str) -> Vec<Condition> {
    let mountinfo = files.text("/proc/self/mountinfo").unwrap_or_default();
    let Some(mount) = mounts::mount_of(&mountinfo, path) else {
        return vec![Condition::new(
            format!("file system of the {role}"),
            "ext4 or XFS",
            "not known: /proc/self/mountinfo does not have it",
        )];
    };
    let mut rows = vec![file_system(&mount, role)];
    if let Some(queue) = queue(files, mount.device) {
        rows.extend(alignment(files, &queue, role));
        rows.extend(write_cache(files, &queue, role));
        rows.extend(scheduler(files, mount.device, &queue, role));
    }
    rows
}

fn file_system(mount: &Mount<'_>, role: &str) -> Condition {
    let found = format!("{} on {} ({})", mount.kind, mount.source, mount.point.display());
    let row = Condition::new(format!("file system of the {role}"), "ext4 or XFS", found);
    let kind = mount.kind.split('.').next().unwrap_or_default();
    let row = match KINDS.iter().find(|(kinds, ..)| kinds.contains(&kind)) {
        Some((_, Severity::Ok, _)) => row,
        Some((_, severity, remedy)) => row.but(*severity, *remedy),
        None => row.but(Severity::Note, "RingMQ was not tried on it; ext4 and XFS are known to do"),
    };
    let set = mount.super_options.split(',').chain(mount.options.split(','));
    let bad = set.filter_map(|option| OPTIONS.iter().find(|(bad, _)| *bad == option)).next();
    match bad {
        Some((option, why)) => {
            row.but(Severity::Warning, format!("mount it without {option}: {why}"))
        }
        None => row,
    }
}

/// The directory of a device's queue; that of the whole disk for a partition.
fn queue(files: &dyn Files, device: &str) -> Option<String> {
    let device = format!("/sys/dev/block/{device}");
    let queue = match files.text(&format!("{device}/partition")) {
        Some(_) => format!("{device}/../queue"),
        None => format!("{device}/queue"),
    };
    files.text(&format!("{queue}/scheduler")).map(|_| queue)
}

fn alignment(files: &dyn Files, queue: &str, role: &str) -> Option<Condition> {
    let block = files.number(&format!("{queue}/logical_block_size"))?;
    let required = format!("blocks of {BLOCK_BYTES} bytes at most");
    let found = format!("blocks of {block} bytes");
    Some(Condition::new(format!("alignment of the {role}"), required, found).but_if(
        block > BLOCK_BYTES,
        Severity::Error,
        "O_DIRECT with 4096 bytes does not work on it: choose another device",
    ))
}

fn write_cache(files: &dyn Files, queue: &str, role: &str) -> Option<Condition> {
    let cache = files.word(&format!("{queue}/write_cache"))?;
    let fua = files.number(&format!("{queue}/fua"))? > 0;
    let rotational = files.number(&format!("{queue}/rotational")) == Some(1);
    let kind = if rotational { ", a disk that turns" } else { "" };
    let found = format!("{cache}, FUA {}{kind}", if fua { "yes" } else { "no" });
    let row = Condition::new(
        format!("write cache of the {role}"),
        "write through, or write back with FUA",
        found,
    );
    let row = row.but_if(
        rotational,
        Severity::Note,
        "if that is true, a flush takes a turn of the disk, some 8 ms (`ringmq doctor --probe` \
         measures it)",
    );
    Some(row.but_if(
        cache == "write back" && !fua && !rotational,
        Severity::Note,
        "each durable write is followed by a flush of the device's whole cache: `ringmq doctor \
         --probe` tells what that costs",
    ))
}

/// The scheduler is that of the devices below one that is made of others.
fn scheduler(files: &dyn Files, device: &str, queue: &str, role: &str) -> Option<Condition> {
    let below = files.names(&format!("/sys/dev/block/{device}/slaves"));
    let mut found = Vec::new();
    for name in &below {
        let device = format!("/sys/class/block/{name}");
        let partition = files.text(&format!("{device}/partition")).is_some();
        let queue = format!("{device}{}/queue", if partition { "/.." } else { "" });
        let text = files.text(&format!("{queue}/scheduler")).unwrap_or_default();
        found.extend(chosen(&text).map(|chosen| format!("{chosen} ({name})")));
    }
    if found.is_empty() {
        let text = files.text(&format!("{queue}/scheduler"))?;
        found.push(chosen(&text).unwrap_or_else(|| text.trim()).to_owned());
    }
    let slow = found.iter().any(|name| name.starts_with("bfq"));
    let row = Condition::new(
        format!("I/O scheduler of the {role}"),
        "none or mq-deadline",
        found.join(", "),
    );
    Some(row.but_if(
        slow,
        Severity::Warning,
        "bfq holds back flushes to share the disk among programs: `echo none > \
         /sys/block/DISK/queue/scheduler` (mq-deadline for a disk that turns), by a udev rule to \
         last",
    ))
}

#[cfg(test)]
mod tests {
    use super::{
        super::files::testing::{CLOUD, CONTAINER, DESK, Other},
        *,
    };

    fn of(texts: &str, path: &str, name: &str) -> Condition {
        let rows = rows(&Other::new(texts), Path::new(path), "store");
        let row = rows.iter().find(|row| row.name.starts_with(name));
        row.unwrap_or_else(|| panic!("no row {name} in {rows:?}")).clone()
    }

    /// Machine, path, row, severity, part of what was found, part of the remedy.
    type Row<'a> = (&'a str, &'a str, &'a str, Severity, &'a str, &'a str);

    #[test]
    fn devices_of_other_machines_are_judged() {
        use Severity::{Note, Ok, Warning};
        let rows: &[Row<'_>] = &[
            (CLOUD, "/data/store", "file system", Ok, "xfs on /dev/nvme1n1 (/data)", ""),
            (CLOUD, "/data/store", "write cache", Ok, "write through, FUA no", ""),
            (CLOUD, "/data/store", "I/O scheduler", Ok, "none", ""),
            (CLOUD, "/home", "file system", Ok, "ext4 on /dev/root (/)", ""),
            (CLOUD, "/home", "write cache", Ok, "write back, FUA yes", ""),
            (CLOUD, "/home", "alignment", Ok, "blocks of 4096 bytes", ""),
            (CONTAINER, "/", "file system", Warning, "overlay", "volume"),
            (CONTAINER, "/shared/a", "file system", Warning, "nfs4 on 10.0.0.9:/export", "ext4"),
            (CONTAINER, "/store", "file system", Warning, "ext4", "without nobarrier"),
            (CONTAINER, "/store", "write cache", Note, "write back, FUA no", "--probe"),
            (CONTAINER, "/store", "I/O scheduler", Warning, "bfq (nvme0n1p3)", "echo none"),
            (DESK, "/var", "file system", Warning, "ext4", "without data=journal"),
            (DESK, "/var", "write cache", Note, "a disk that turns", "8 ms"),
            (DESK, "/var", "I/O scheduler", Warning, "bfq", "udev"),
            (DESK, "/home/me", "file system", Warning, "btrfs on /dev/sdb2", "new place"),
        ];
        for (texts, path, name, severity, found, remedy) in rows {
            let row = of(texts, path, name);
            assert_eq!(row.severity, *severity, "{path}: {row:?}");
            assert!(row.found.contains(found) && row.remedy.contains(remedy), "{row:?}");
        }
    }

    #[test]
    fn what_is_not_there_is_no_reason_to_stop() {
        let unknown = rows(&Other::new(""), Path::new("/store"), "store");
        assert!(unknown.len() == 1 && unknown[0].severity == Severity::Ok, "{unknown:?}");
        // A file system without a device of its own has one row.
        assert_eq!(rows(&Other::new(CONTAINER), Path::new("/shared"), "store").len(), 1);
        let large = "== /sys/dev/block/259:1/queue/logical_block_size\n16384\n";
        let files = Other::new(CLOUD).with(large);
        let rows = rows(&files, Path::new("/data"), "store");
        assert!(rows.iter().any(|row| row.severity == Severity::Error), "{rows:?}");
    }
}
