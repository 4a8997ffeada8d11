//! Starts the executors of a process: one thread a shard.

use std::{
    future::Future,
    io,
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Duration,
};

use glommio::{LocalExecutor, LocalExecutorBuilder, Placement, PoolPlacement};
use nix::{
    sched::{CpuSet, sched_getaffinity},
    unistd::Pid,
};
use ringmq_base::ShardId;

use crate::ring::{Parts, Pulse, RingRuntime, ending_process_on_panic};

/// Entries of each of glommio's three rings, which carry its preempt timer only.
const GLOMMIO_RING_DEPTH: usize = 128;
/// Bytes of glommio's memory for files, which is not used: the least that it takes.
const GLOMMIO_IO_MEMORY: usize = 64 << 10;

/// How executors run. The defaults were settled by measurement; see `docs/RUNTIME.md`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Pins each thread to its CPU. Off for tests and for more shards than CPUs.
    pub pinned: bool,
    /// How often glommio looks at its own rings. The shorter, the more often glommio 0.9.0 may
    /// forget runnable tasks until the next pulse.
    pub preempt_timer: Duration,
    /// Busy executors are woken at this interval and idle ones up to ten times as seldom, so that
    /// no task is forgotten for longer; costs CPU.
    pub pulse: Duration,
    /// How long an idle executor looks for work before it sleeps. Saves tens of microseconds a wake
    /// and burns the core; only for pinned executors with cores to themselves, others never do.
    pub spin_before_park: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            pinned: true,
            preempt_timer: Duration::from_millis(100),
            pulse: Duration::from_millis(20),
            spin_before_park: Duration::ZERO,
        }
    }
}

/// Why executors could not be started. [`crate::gate::check`] tells more about most reasons.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error("cannot start the thread that wakes the executors: {source}")]
    Pulse { source: io::Error },
    #[error("cannot start the thread of {shard}: {source}", shard = thread_name(*.shard))]
    Thread { shard: ShardId, source: io::Error },
    #[error(
        "cannot start the executor of {shard} on CPU {cpu}: {source}",
        shard = thread_name(*.shard)
    )]
    Executor { shard: ShardId, cpu: usize, source: io::Error },
}

/// The threads of all shards.
#[derive(Debug)]
pub struct Handles<T> {
    threads: Vec<JoinHandle<Option<T>>>,
}

impl<T> Handles<T> {
    /// Waits until every shard's body has ended; gives their results in the order of the shards.
    pub fn join(self) -> Vec<T> {
        let results = self.threads.into_iter().map(|thread| match thread.join() {
            Ok(result) => result.expect("a launched body runs"),
            Err(panic) => std::panic::resume_unwind(panic),
        });
        results.collect()
    }
}

/// The CPUs that this process may use, ascending. To be called before any thread is pinned: a
/// pinned thread and its children see their own CPU only.
pub fn allowed_cpus() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::from_raw(0))?;
    Ok((0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).collect())
}

/// [`launch_with`] the default settings.
pub fn launch<F, B, T>(cpus: &[usize], pinned: bool, body: B) -> Result<Handles<T>, LaunchError>
where
    B: Fn(ShardId, RingRuntime) -> F + Clone + Send + 'static,
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    launch_with(cpus, &Settings { pinned, ..Settings::default() }, body)
}

/// Starts one executor for each entry of `cpus`, on a thread `shard-N`, and runs `body` there; an
/// executor ends with its body. CPUs may repeat, with `pinned` off also be any number. No body runs
/// unless all executors could be made. A panic ends the process, in a body as in any task.
pub fn launch_with<F, B, T>(
    cpus: &[usize],
    settings: &Settings,
    body: B,
) -> Result<Handles<T>, LaunchError>
where
    B: Fn(ShardId, RingRuntime) -> F + Clone + Send + 'static,
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    assert!(cpus.len() <= usize::from(u16::MAX), "shards are numbered by 16 bits");
    let pulse =
        Pulse::start(cpus.len(), settings.pulse).map_err(|source| LaunchError::Pulse { source })?;
    let mut threads = Vec::with_capacity(cpus.len());
    let mut starts = Vec::with_capacity(cpus.len());
    for (shard, cpu) in (0..).map(ShardId).zip(cpus.iter().copied()) {
        let (made, is_made) = mpsc::sync_channel(1);
        let (start, may_start) = mpsc::sync_channel(1);
        let (settings, body, pulse) = (settings.clone(), body.clone(), pulse.clone());
        let run = move || {
            let spin = if settings.pinned { settings.spin_before_park } else { Duration::ZERO };
            // Before the executor pins this thread: the blocking thread would inherit its CPU.
            let parts = Parts::new(spin);
            let made_both = parts.and_then(|parts| Ok((make_executor(cpu, &settings)?, parts)));
            let (executor, parts) = match made_both {
                Ok(both) => both,
                Err(error) => {
                    let _ = made.send(Err(error));
                    return None;
                }
            };
            let _ = made.send(Ok(()));
            // Fails if another shard could not be made.
            may_start.recv().ok()?;
            let main = parts.run(pulse, shard.index(), |runtime| body(shard, runtime));
            Some(executor.run(ending_process_on_panic("main", main)))
        };
        let thread = thread::Builder::new()
            .name(thread_name(shard))
            .spawn(run)
            .map_err(|source| LaunchError::Thread { shard, source })?;
        is_made
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("the thread ended")))
            .map_err(|source| LaunchError::Executor { shard, cpu, source })?;
        threads.push(thread);
        starts.push(start);
    }
    for start in starts {
        let _ = start.send(());
    }
    Ok(Handles { threads })
}

fn thread_name(shard: ShardId) -> String {
    format!("shard-{shard}")
}

fn make_executor(cpu: usize, settings: &Settings) -> io::Result<LocalExecutor> {
    let placement = if settings.pinned { Placement::Fixed(cpu) } else { Placement::Unbound };
    let builder = LocalExecutorBuilder::new(placement)
        .ring_depth(GLOMMIO_RING_DEPTH)
        .preempt_timer(settings.preempt_timer)
        .io_memory(GLOMMIO_IO_MEMORY)
        // By default it would be pinned to the executor's CPU.
        .blocking_thread_pool_placement(PoolPlacement::Unbound(1));
    builder.make().map_err(Into::into)
}
