//! [`Sim`]: what tests hold; it drives the executor.

use std::{
    cell::RefCell,
    future::Future,
    net::IpAddr,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use super::{Links, Node, SimDisk, SimRuntime, core::Core, nodes::Place};

/// Polls without the clock moving after which a run counts as spinning.
const POLLS_AT_ONE_MOMENT_MAX: u64 = 1_000_000;

/// Why a run ended before its main future did. All tasks have been dropped, as a process death
/// would.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    #[error(
        "deadlock (seed {seed}, after {at:?}): nothing can run, no timer is set; waiting: {}",
        waiting.join(", ")
    )]
    Deadlock { seed: u64, at: Duration, waiting: Vec<String> },
    #[error(
        "spinning (seed {seed}, after {at:?}): tasks ran {POLLS_AT_ONE_MOMENT_MAX} times without \
         waiting for time; last: {task}"
    )]
    Spinning { seed: u64, at: Duration, task: String },
    #[error("the disk reached its crash point (seed {seed}, after {at:?})")]
    DiskCrashed { seed: u64, at: Duration },
    #[error("the time limit was reached (seed {seed}, after {at:?})")]
    TimeLimit { seed: u64, at: Duration },
}

/// A simulated process: one thread, a virtual clock, a disk, a network, and one seed that decides
/// which runnable task goes next and how long everything takes.
///
/// The clock moves only when nothing can run, and then to the next timer. Dropping it drops every
/// task. It may run several futures one after the other; spawned tasks live on between the runs.
pub struct Sim {
    core: Rc<Core>,
    disk: SimDisk,
    disks_aside: RefCell<Vec<SimDisk>>,
    nodes: RefCell<Vec<Node>>,
}

impl Sim {
    /// A simulation with an empty disk.
    pub fn new(seed: u64) -> Self {
        Sim::with_disk(seed, &SimDisk::new(seed))
    }

    /// A simulation on a disk that exists: after a restart the same, after a crash an image of it
    /// ([`SimDisk::kill`], [`SimDisk::power_cut`]).
    ///
    /// # Panics
    /// If the disk has passed its crash point: it answers nothing any more.
    pub fn with_disk(seed: u64, disk: &SimDisk) -> Self {
        let core = Rc::new(Core::new(seed));
        let disk = disk.attach(&core, Place::HOST);
        Sim { core, disk, disks_aside: RefCell::default(), nodes: RefCell::default() }
    }

    pub fn seed(&self) -> u64 {
        self.core.seed
    }

    /// The disk of this process. Clones may outlive the simulation.
    pub fn disk(&self) -> &SimDisk {
        &self.disk
    }

    /// A handle as tasks use it.
    pub fn runtime(&self) -> SimRuntime {
        SimRuntime::new(self.core.clone(), self.disk.clone(), Place::HOST)
    }

    /// A handle of the same executor and network with another disk. A crash point of that disk does
    /// not end the run. For machines that die alone see [`Sim::add_node`].
    pub fn runtime_on(&self, disk: &SimDisk) -> SimRuntime {
        let disk = disk.attach(&self.core, Place::HOST);
        self.disks_aside.borrow_mut().push(disk.clone());
        SimRuntime::new(self.core.clone(), disk, Place::HOST)
    }

    /// A further machine on the network of this simulation, which is off. Its clocks show what
    /// those of the host show, until told otherwise.
    ///
    /// # Panics
    /// If another node has the address, or every node has it.
    pub fn add_node(&self, ip: impl Into<IpAddr>, disk: &SimDisk) -> Node {
        let node = Node::new(&self.core, ip.into(), disk);
        self.nodes.borrow_mut().push(node.clone());
        node
    }

    /// What lies between its nodes.
    pub fn links(&self) -> Links {
        Links::new(self.core.clone())
    }

    /// Runs `main` to its end and panics with the seed if it cannot end.
    pub fn run<T>(&self, main: impl AsyncFnOnce(SimRuntime) -> T) -> T {
        self.try_run(main).unwrap_or_else(|stopped| panic!("{stopped}"))
    }

    /// Runs `main` to its end, or says what ended it.
    pub fn try_run<T>(&self, main: impl AsyncFnOnce(SimRuntime) -> T) -> Result<T, Stopped> {
        self.drive(main(self.runtime()))
    }

    /// As [`Sim::run`], for a future that has its runtime already.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.drive(future).unwrap_or_else(|stopped| panic!("{stopped}"))
    }

    /// Ends runs with [`Stopped::TimeLimit`] once the clock would pass `limit` since the start.
    pub fn set_time_limit(&self, limit: Duration) {
        self.core.time_limit.set(limit);
    }

    /// What a direction of a connection holds before its writer has to wait, in bytes, at least 1.
    pub fn set_socket_bytes(&self, bytes: usize) {
        self.core.network.buffer_bytes.set(bytes);
    }

    /// Virtual time since the start.
    pub fn now(&self) -> Duration {
        self.core.now.get()
    }

    /// Moves the wall clock of the host (not the monotonic one), as an operator or NTP may.
    pub fn jump_wall_clock(&self, by_ms: i64) {
        self.core.nodes.jump_wall_clock(Place::HOST.node, by_ms);
    }

    /// A hash of everything that happened in order: equal for two runs of one program with one
    /// seed, else the program has a source of chance of its own.
    pub fn trace_hash(&self) -> u64 {
        self.core.trace.get()
    }

    /// Drops every task, timer and connection as the death of the process would, and of those of
    /// all nodes. What the disks were doing stays half done; images taken now decide it.
    pub fn crash(&self) {
        self.core.crash();
        self.each_disk(SimDisk::abandon_operations);
    }

    fn each_disk(&self, act: impl Fn(&SimDisk)) {
        act(&self.disk);
        self.disks_aside.borrow().iter().for_each(&act);
        self.nodes.borrow().iter().for_each(|node| act(&node.disk()));
    }

    fn drive<T>(&self, future: impl Future<Output = T>) -> Result<T, Stopped> {
        self.each_disk(SimDisk::settle_abandoned);
        let core = &self.core;
        core.dead.set(false);
        let mut future = pin!(future);
        let (main, waker) = core.new_waker();
        waker.wake_by_ref();
        let mut polls = 0_u64;
        let mut moment = core.now.get();
        let stopped = loop {
            if self.disk.is_crashed() {
                break Stopped::DiskCrashed { seed: core.seed, at: core.now.get() };
            }
            let Some(task) = core.pick() else {
                if let Err(stopped) = core.advance() {
                    break stopped;
                }
                continue;
            };
            if core.now.get() != moment {
                moment = core.now.get();
                polls = 0;
            }
            polls += 1;
            if polls > POLLS_AT_ONE_MOMENT_MAX {
                break core.spinning(task);
            }
            if task != main {
                core.poll_task(task);
                continue;
            }
            core.running.set("main");
            waker.begin_poll();
            if let Poll::Ready(output) =
                future.as_mut().poll(&mut Context::from_waker(&Waker::from(waker.clone())))
            {
                return Ok(output);
            }
        };
        self.crash();
        Err(stopped)
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.crash();
    }
}
