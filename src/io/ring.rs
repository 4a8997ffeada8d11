//! The runtime of production, one executor a thread: glommio runs the tasks; sockets, files, timers
//! and sleeping are on one ring of our own, with a driver that is a task among them.
//!
//! The only module of the workspace that names glommio; `docs/RUNTIME.md` tells which of its
//! properties the settings and work-arounds here answer to.

mod blocking;
mod disk;
mod driver;
mod file;
mod memory;
mod net;
mod operations;
mod pulse;
mod readiness;
mod records;
mod tasks;
mod timers;
mod uring;

use std::{
    fmt, io,
    panic::{self, AssertUnwindSafe},
    rc::Rc,
    sync::{Arc, OnceLock},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use futures_lite::FutureExt;
use glommio::{Latency, TaskQueueHandle};

pub(crate) use self::pulse::Pulse;
use self::{blocking::Blocking, driver::Driver};
pub use self::{
    disk::RingDisk,
    file::{RingBuffer, RingFile},
    net::{RingListener, RingNet, RingStream},
};
use crate::runtime::{Clock, Runtime, Shares, Spawn};

/// The exit code of a process that ended because a task panicked (EX_SOFTWARE).
pub const PANIC_EXIT_CODE: i32 = 70;

/// The handle of the executor of the current thread; see [`crate::launch`] for how to get one.
#[derive(Clone)]
pub struct RingRuntime {
    shared: Rc<RuntimeParts>,
}

/// What an executor needs besides glommio.
pub(crate) struct Parts {
    driver: Rc<Driver>,
    blocking: Blocking,
    aside: Blocking,
}

impl Parts {
    /// To be called on the executor's thread. `spin` is how long an idle executor looks for work
    /// before it sleeps.
    pub(crate) fn new(spin: Duration) -> io::Result<Parts> {
        let (blocking, aside) = (Blocking::start()?, Blocking::start_for_work()?);
        Ok(Parts { driver: Driver::new(spin)?, blocking, aside })
    }

    /// Runs `body` as a task of the executor, number `executor` of its launch, that ends with it.
    /// `pulse` bounds how long a runnable task can be forgotten.
    ///
    /// Panics outside of an executor.
    pub(crate) async fn run<F: Future>(
        self,
        pulse: Arc<Pulse>,
        executor: usize,
        body: impl FnOnce(RingRuntime) -> F,
    ) -> F::Output {
        let driver = self.driver.clone();
        let runtime = RingRuntime::start(self, pulse, executor);
        let output = driver.task(body(runtime)).await;
        driver.readiness.end();
        driver.end();
        output
    }
}

struct RuntimeParts {
    foreground: TaskQueueHandle,
    cold_read: TaskQueueHandle,
    admin: TaskQueueHandle,
    background: TaskQueueHandle,
    disk: RingDisk,
    net: RingNet,
    driver: Rc<Driver>,
    aside: Blocking,
}

impl fmt::Debug for RingRuntime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RingRuntime").finish_non_exhaustive()
    }
}

impl RingRuntime {
    fn start(parts: Parts, pulse: Arc<Pulse>, executor: usize) -> RingRuntime {
        let Parts { driver, blocking, aside } = parts;
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
                disk: RingDisk::new(driver.operations.clone(), blocking),
                net: RingNet::new(driver.readiness.clone()),
                driver: driver.clone(),
                aside,
            }),
        };
        // Both outside of what the driver counts: itself, and what is for glommio's own sleep.
        runtime.spawn_plain(Shares::Foreground, "driver", driver.run());
        runtime.spawn_plain(Shares::Foreground, "pulse", pulse.listen(executor));
        runtime
    }

    fn spawn_plain(
        &self,
        shares: Shares,
        name: &'static str,
        task: impl Future<Output = ()> + 'static,
    ) {
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
        self.shared.driver.timers.sleep(duration).await;
    }
}

impl Spawn for RingRuntime {
    fn spawn(&self, shares: Shares, name: &'static str, task: impl Future<Output = ()> + 'static) {
        self.spawn_plain(shares, name, self.shared.driver.task(task));
    }

    async fn aside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let caught = move || panic::catch_unwind(AssertUnwindSafe(work));
        let done = self.shared.aside.run(caught).await;
        done.unwrap_or_else(|payload| panic::resume_unwind(payload))
    }

    async fn yield_if_needed(&self) {
        let driver = &self.shared.driver;
        if driver.is_overdue() {
            driver.call();
            glommio::executor().yield_task_queue_now().await;
        }
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
