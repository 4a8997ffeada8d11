//! A store that is removed or moved away under a running broker. Its files go on being written,
//! and nobody will ever read them: the broker stops at once.

use std::{
    ffi::OsString,
    fs,
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::Context as _;
use nix::{
    errno::Errno,
    sys::{
        inotify::{AddWatchFlags, InitFlags, Inotify},
        signal::{Signal, kill},
    },
    unistd::Pid,
};

/// Set when the store is gone and the broker was told to stop.
#[derive(Clone, Debug, Default)]
pub struct StoreGone(Arc<AtomicBool>);

impl StoreGone {
    /// What the process ends with after that, or in order.
    pub fn exit_code(&self) -> ExitCode {
        if self.0.load(Ordering::Acquire) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

/// Watches the directory and those in it, and sends SIGTERM to this process when one of them is
/// removed or renamed. The thread ends with the process. A machine that allows no more watches is
/// warned about.
pub fn start(store: &Path) -> StoreGone {
    let told = StoreGone::default();
    if let Err(error) = watch(store, told.clone()) {
        tracing::warn!("nobody notices when the store is removed: {error:#}");
    }
    told
}

fn watch(store: &Path, told: StoreGone) -> anyhow::Result<()> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC).context("cannot watch the store")?;
    let mut directories = vec![];
    for entry in fs::read_dir(store)? {
        let entry = entry?;
        // Links, too: logs may be on a disk of their own.
        if entry.path().is_dir() {
            directories.push(entry.file_name());
        }
    }
    // A directory that is open, as the store is for its lock, is not said to be removed itself.
    let removed = AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MOVED_FROM;
    let gone = AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF;
    let add = |path: &Path, flags| {
        inotify.add_watch(path, flags).with_context(|| {
            let path = path.display();
            format!("cannot watch {path}; raise fs.inotify.max_user_watches or max_user_instances")
        })
    };
    add(store, removed | gone)?;
    for name in &directories {
        add(&store.join(name), gone)?;
    }
    let store = store.display().to_string();
    thread::Builder::new().name("store watch".into()).spawn(move || {
        wait(&inotify, &directories);
        told.0.store(true, Ordering::Release);
        tracing::error!(
            "a directory of the store {store} was removed or moved away while the broker ran: \
             what it acknowledges would be lost, so it stops; start it again on the store, or on \
             an empty directory"
        );
        let _ = kill(Pid::this(), Signal::SIGTERM);
    })?;
    Ok(())
}

/// Returns when one of the directories is gone, or the one that they are in.
fn wait(inotify: &Inotify, directories: &[OsString]) {
    loop {
        match inotify.read_events() {
            // Other files come and go in the directory.
            Ok(events) => {
                let is_other = |name: &OsString| !directories.contains(name);
                if !events.iter().all(|event| event.name.as_ref().is_some_and(is_other)) {
                    return;
                }
            }
            Err(Errno::EINTR) => {}
            Err(error) => {
                tracing::warn!(%error, "the store is watched no more");
                loop {
                    thread::park();
                }
            }
        }
    }
}
