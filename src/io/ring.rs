//! The runtime of production, one executor a thread: tasks and files by way of glommio, sockets on
//! a ring of our own, timers on a timerfd.
//!
//! The only module of the workspace that names glommio; `docs/RUNTIME.md` tells which of its
//! properties the settings and work-arounds here answer to.

mod counter;
mod disk;
mod doorbell;
mod file;
mod net;
mod pulse;
mod readiness;
mod timers;

use std::{
    fmt, io,
    panic::AssertUnwindSafe,
    rc::Rc,
    sync::{Arc, OnceLock},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use futures_lite::FutureExt;
use glommio::{GlommioError, Latency, TaskQueueHandle};

pub(crate) use self::pulse::Pulse;
pub use self::{
    disk::RingDisk,
    file::{RingBuffer, RingFile},
    net::{RingListener, RingNet, RingStream},
};
use self::{readiness::Readiness, timers::Timers};
use crate::runtime::{Clock, Doorbell, Runtime, Shares, Spawn};

/// The exit code of a process that ended because a task panicked (EX_SOFTWARE).
pub const PANIC_EXIT_CODE: i32 = 70;

/// The handle of the executor of the current thread; see [`crate::launch`] for how to get one.
#[derive(Clone)]
pub struct RingRuntime {
    shared: Rc<RuntimeParts>,
}

/// What an executor needs besides glommio.
pub(crate) struct Parts {
    timers: Rc<Timers>,
    readiness: Rc<Readiness>,
}

impl Parts {
    pub(crate) fn new() -> io::Result<Parts> {
        Ok(Parts { timers: Timers::new()?, readiness: Readiness::new()? })
    }
}

struct RuntimeParts {
    foreground: TaskQueueHandle,
    cold_read: TaskQueueHandle,
    admin: TaskQueueHandle,
    background: TaskQueueHandle,
    disk: RingDisk,
    net: RingNet,
    timers: Rc<Timers>,
}

impl fmt::Debug for RingRuntime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RingRuntime").finish_non_exhaustive()
    }
}

impl RingRuntime {
    /// Makes the executor of this thread ready: task queues, timers. `pulse` bounds how long a
    /// runnable task of this executor, number `executor` of its launch, can be forgotten.
    ///
    /// Panics outside of an executor.
    pub(crate) fn start(parts: Parts, pulse: Arc<Pulse>, executor: usize) -> RingRuntime {
        let Parts { timers, readiness } = parts;
        let queue = |shares, name| {
            // Latency requirements would shorten the preempt timer, which must stay long.
            glommio::executor().create_task_queue(
                glommio::Shares::Static(shares),
                Latency::NotImportant,
                name,
            )
        };
        let runtime = RingRuntime {
            shared: Rc::new(RuntimeParts {
                foreground: queue(1000, "foreground"),
                cold_read: queue(300, "cold-read"),
                admin: queue(100, "admin"),
                background: queue(50, "background"),
                disk: RingDisk::new(),
                net: RingNet::new(readiness.clone()),
                timers: timers.clone(),
            }),
        };
        runtime.spawn(Shares::Foreground, "timers", timers.run());
        runtime.spawn(Shares::Foreground, "readiness", readiness.run());
        runtime.spawn(Shares::Foreground, "pulse", pulse.listen(executor));
        runtime
    }
}

impl Clock for RingRuntime {
    fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX / 1000 - 1);
        seconds * 1000 + i64::from(since.subsec_millis())
    }

    fn monotonic(&self) -> Duration {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        self.shared.timers.sleep(duration).await;
    }
}

impl Spawn for RingRuntime {
    fn spawn(&self, shares: Shares, name: &'static str, task: impl Future<Output = ()> + 'static) {
        let queue = match shares {
            Shares::Foreground => self.shared.foreground,
            Shares::ColdRead => self.shared.cold_read,
            Shares::Admin => self.shared.admin,
            Shares::Background => self.shared.background,
        };
        glommio::spawn_local_into(ending_process_on_panic(name, task), queue)
            .expect("the queues of an executor live as long as it does")
            .detach();
    }

    async fn yield_if_needed(&self) {
        glommio::executor().yield_if_needed().await;
    }
}

impl Runtime for RingRuntime {
    type Disk = RingDisk;
    type Net = RingNet;

    fn disk(&self) -> &RingDisk {
        &self.shared.disk
    }

    fn net(&self) -> &RingNet {
        &self.shared.net
    }

    fn doorbell(&self) -> io::Result<Box<dyn Doorbell>> {
        Ok(Box::new(doorbell::EventBell::new()?))
    }
}

/// Runs the task; if it panics, says so and ends the process with [`PANIC_EXIT_CODE`].
pub(crate) async fn ending_process_on_panic<T>(
    name: &'static str,
    task: impl Future<Output = T>,
) -> T {
    match AssertUnwindSafe(task).catch_unwind().await {
        Ok(output) => output,
        Err(payload) => {
            let reason = payload
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
                .unwrap_or("a panic without a message");
            tracing::error!(task = name, reason, "task panicked: ending the process");
            eprintln!("ringmq: task {name} panicked, ending the process: {reason}");
            // SAFETY: _exit has no preconditions. Nothing else may run: state that the panic left
            // half-changed must not be served, and exit handlers could wait for other threads.
            unsafe { libc::_exit(PANIC_EXIT_CODE) }
        }
    }
}

/// The error of the operating system inside, with its number where there is one.
fn plain_error<T>(error: GlommioError<T>) -> io::Error {
    match error {
        GlommioError::EnhancedIoError { source, .. } => source,
        other => other.into(),
    }
}
