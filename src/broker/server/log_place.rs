//! Where the logs of a store lie: in its directory, or below `storePathCommitLog` with a link to
//! each in that directory. All that works on a store follows the links, `ringmq doctor` too.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, symlink},
    path::{self, Path, PathBuf},
};

use ringmq_base::LogId;
use ringmq_store::{MANIFEST_NAME, log_directory};

/// Makes sure that the logs of the store at `root` can be made below `wanted`, and returns the
/// directory whose disk they fill. `logs`: how many a new store gets. An existing store keeps the
/// place that it has. The error is a sentence for the operator.
pub fn place(root: &Path, wanted: &Path, logs: u16) -> Result<PathBuf, String> {
    let first = log_directory(root, LogId::new(0).expect("0 is in range"));
    let failed = |what: &Path, error: io::Error| {
        format!(
            "storePathCommitLog = {}: {} cannot be used: {error}; make it writable for this user, \
             or take the key out of the configuration of a new store",
            wanted.display(),
            what.display()
        )
    };
    let there = || place_of(root, &first).map_err(|error| failed(&first, error));
    let own_disk = has_own_disk(root, wanted);
    if root.join(MANIFEST_NAME).exists() {
        let there = there()?;
        if own_disk {
            warn_if_elsewhere(&there, wanted);
        }
        return Ok(there);
    }
    if !own_disk {
        return there();
    }
    let wanted = path::absolute(wanted).map_err(|error| failed(wanted, error))?;
    for log in (0..logs).filter_map(LogId::new) {
        let (link, target) = (log_directory(root, log), log_directory(&wanted, log));
        fs::create_dir_all(&target).map_err(|error| failed(&target, error))?;
        match symlink(&target, &link) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed(&link, error));
            }
            _ => {}
        }
    }
    for directory in [wanted.as_path(), root] {
        let synced = fs::File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(|error| failed(directory, error))?;
    }
    there()
}

/// What a link to the first log points into; the store's directory if it is none.
fn place_of(root: &Path, first: &Path) -> io::Result<PathBuf> {
    match fs::read_link(first) {
        Ok(target) => Ok(target.parent().unwrap_or(root).to_owned()),
        // A directory, or not there yet.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::NotFound) =>
        {
            Ok(root.to_owned())
        }
        Err(error) => Err(error),
    }
}

/// A place within the store's directory and on its disk is none of its own: RocketMQ's usual
/// `store/commitlog` changes nothing.
fn has_own_disk(root: &Path, wanted: &Path) -> bool {
    !wanted.starts_with(root) || device(wanted) != device(root)
}

/// The device of a path, or of what it will be made in.
fn device(path: &Path) -> Option<u64> {
    path.ancestors().find_map(|path| fs::metadata(path).ok()).map(|metadata| metadata.dev())
}

fn warn_if_elsewhere(there: &Path, wanted: &Path) {
    if path::absolute(wanted).is_ok_and(|wanted| wanted != there) {
        tracing::warn!(
            "storePathCommitLog = {} is not used: the logs of this store lie in {}; stop the \
             broker, move the log-* directories there and link them from storePathRootDir",
            wanted.display(),
            there.display()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("ringmq-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("store")).expect("writable");
        path
    }

    #[test]
    fn a_new_store_gets_its_logs_where_the_key_says() {
        let base = directory("log-place");
        let (root, wanted) = (base.join("store"), base.join("disk2/commitlog"));
        assert_eq!(place(&root, &wanted, 2).as_deref(), Ok(wanted.as_path()));
        for log in ["log-000", "log-001"] {
            assert!(wanted.join(log).is_dir());
            assert_eq!(fs::read_link(root.join(log)).ok(), Some(wanted.join(log)));
        }
        // A start that was interrupted before there was a manifest, and one after it.
        assert_eq!(place(&root, &wanted, 2).as_deref(), Ok(wanted.as_path()));
        fs::write(root.join(MANIFEST_NAME), "").expect("writable");
        assert_eq!(place(&root, &wanted, 4).as_deref(), Ok(wanted.as_path()));
        assert!(!wanted.join("log-003").exists(), "a store keeps its number of logs");
        // Without the key, or with another, they stay where they are.
        assert_eq!(place(&root, &root.join("commitlog"), 2).as_deref(), Ok(wanted.as_path()));
        fs::remove_dir_all(&base).expect("removable");
    }

    #[test]
    fn a_place_within_the_store_on_the_same_disk_changes_nothing() {
        let base = directory("log-place-within");
        let root = base.join("store");
        assert_eq!(place(&root, &root.join("commitlog"), 1).as_deref(), Ok(root.as_path()));
        assert!(!root.join("log-000").exists() && !root.join("commitlog").exists());
        fs::create_dir(root.join("log-000")).expect("writable");
        fs::write(root.join(MANIFEST_NAME), "").expect("writable");
        assert_eq!(place(&root, &base.join("other"), 1).as_deref(), Ok(root.as_path()));
        assert!(!base.join("other").exists());
        fs::remove_dir_all(&base).expect("removable");
    }

    #[test]
    fn a_place_that_cannot_be_made_is_told_with_the_key() {
        let base = directory("log-place-file");
        fs::write(base.join("file"), "").expect("writable");
        let error =
            place(&base.join("store"), &base.join("file/logs"), 1).expect_err("no directory");
        assert!(error.contains("storePathCommitLog") && error.contains("log-000"), "{error}");
        fs::remove_dir_all(&base).expect("removable");
    }
}
