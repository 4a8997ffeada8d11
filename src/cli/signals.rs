//! The signals that a server listens to.

use std::{io::IsTerminal as _, process, sync::mpsc, thread, time::Duration};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals as Watched,
};

use super::logging;

/// What the process ends with when it is told to stop twice.
const STOPPED_TWICE: i32 = 130;
/// Most for the thread that writes log lines to write the last one; nobody may read it.
const LAST_LINE: Duration = Duration::from_secs(1);

/// What whoever sends signals wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGHUP: read again what may change.
    Reload,
}

/// SIGTERM and SIGINT, of which a second one ends the process at once, and SIGHUP.
pub struct Signals(mpsc::Receiver<Wish>);

impl Signals {
    /// From now on they are noticed, also while the server starts. SIGHUP of a terminal that is
    /// closed goes on ending whoever was started in it.
    pub fn register() -> anyhow::Result<Signals> {
        let mut wanted = vec![SIGTERM, SIGINT];
        if !std::io::stdin().is_terminal() {
            wanted.push(SIGHUP);
        }
        let mut watched = Watched::new(wanted)?;
        let (wish, wishes) = mpsc::channel();
        thread::Builder::new().name("signals".into()).spawn(move || {
            let mut is_stopping = false;
            for signal in watched.forever() {
                let told = if signal == SIGHUP { Wish::Reload } else { Wish::Stop };
                if told == Wish::Stop && std::mem::replace(&mut is_stopping, true) {
                    tracing::warn!("told to stop twice: ending now");
                    logging::await_written(LAST_LINE);
                    process::exit(STOPPED_TWICE);
                }
                // A server that has ended hears nothing.
                let _ = wish.send(told);
            }
        })?;
        Ok(Signals(wishes))
    }

    /// Waits until the server is to stop; does what else is wished meanwhile.
    pub fn wait(&self, mut reload: impl FnMut()) {
        while let Ok(Wish::Reload) = self.0.recv() {
            reload();
        }
    }
}

/// Has this thread, which belongs to no executor, wait.
pub fn pause(time: Duration) {
    let (_sender, nobody_sends) = mpsc::channel::<()>();
    let _ = nobody_sends.recv_timeout(time);
}

/// What is left of the time to stop when requests under way have had theirs: to write what is in
/// memory.
const CLOSE_MAX: Duration = Duration::from_secs(30);

/// Ends the process when stopping takes longer than `drain` and what it takes to write everything:
/// a disk or a shard may be stuck for ever.
pub fn limit_stop(drain: Duration) {
    let limit = drain + CLOSE_MAX;
    let ends = move || {
        pause(limit);
        tracing::error!(
            "not stopped within {limit:?}: the process ends now; what was acknowledged is on disk, \
             and the next start recovers the logs"
        );
        logging::await_written(LAST_LINE);
        process::exit(1);
    };
    // Without a thread it takes as long as it takes.
    let _ = thread::Builder::new().name("stop limit".into()).spawn(ends);
}
