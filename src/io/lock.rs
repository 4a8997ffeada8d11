//! One process at a time for a directory: an advisory lock on the directory itself, which ends with
//! the process however it ends.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

use nix::fcntl::{Flock, FlockArg};

/// How long a lock that another process has is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Keeps the directory for this process as long as it lives.
#[derive(Debug)]
pub struct DirectoryLock {
    _lock: Flock<File>,
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error(
        "{path} is in use by another process; stop that one, or give this one another directory",
        path = path.display()
    )]
    InUse { path: PathBuf },
    #[error("cannot create or open the directory {path}: {source}", path = path.display())]
    Open {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Creates the directory if it is not there, and locks it.
pub fn lock_directory(path: &Path) -> Result<DirectoryLock, LockError> {
    let open = |source| LockError::Open { path: path.to_owned(), source };
    std::fs::create_dir_all(path).map_err(open)?;
    lock_existing_directory(path)
}

/// Locks the directory, which must be there; changes nothing on disk. Waits a second for a process
/// that was killed to be gone.
pub fn lock_existing_directory(path: &Path) -> Result<DirectoryLock, LockError> {
    let open = |source| LockError::Open { path: path.to_owned(), source };
    let directory = File::open(path).map_err(open)?;
    let (give, taken) = mpsc::channel();
    // The kernel waits for a lock without a limit of time, so a thread does; one that comes too
    // late for anybody gives it up again.
    thread::spawn(move || give.send(Flock::lock(directory, FlockArg::LockExclusive)));
    match taken.recv_timeout(PATIENCE) {
        Ok(Ok(lock)) => Ok(DirectoryLock { _lock: lock }),
        Ok(Err((_, errno))) => Err(open(errno.into())),
        Err(_) => Err(LockError::InUse { path: path.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_locked_once_and_free_again_afterwards() {
        let path = std::env::temp_dir().join(format!("ringmq-lock-{}", std::process::id()));
        let lock = lock_directory(&path).expect("free");
        let error = lock_directory(&path).expect_err("in use");
        assert!(matches!(error, LockError::InUse { .. }));
        drop(lock);
        drop(lock_directory(&path).expect("free again"));
        std::fs::remove_dir(&path).expect("empty");
    }

    #[test]
    fn a_lock_that_is_given_up_within_a_second_is_had() {
        let path = std::env::temp_dir().join(format!("ringmq-lock-soon-{}", std::process::id()));
        let lock = lock_directory(&path).expect("free");
        let giving_up = thread::spawn(move || drop(lock));
        drop(lock_directory(&path).expect("free soon"));
        giving_up.join().expect("it does not panic");
        std::fs::remove_dir(&path).expect("empty");
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let path = std::env::temp_dir().join(format!("ringmq-file-{}", std::process::id()));
        std::fs::write(&path, b"x").expect("writable");
        let error = lock_directory(&path).expect_err("a file");
        assert!(error.to_string().contains(path.to_str().expect("ascii")));
        std::fs::remove_file(&path).expect("there");
    }
}
