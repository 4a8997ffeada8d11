//! A deterministic machine for tests: one thread, a virtual clock, a disk that loses, tears and
//! fails writes, a network in memory. One seed decides every choice, so a failure is its seed.
//!
//! ```ignore
//! let sim = Sim::new(seed);
//! sim.disk().crash_after_operation(17);
//! let stopped = sim.try_run(async |runtime| work(runtime).await);
//! let image = sim.disk().power_cut(another_seed);
//! Sim::with_disk(seed, &image).run(async |runtime| recover(runtime).await);
//! ```
//!
//! # Modelled
//!
//! - Order: any runnable task may go next; operations of the disk take times of their own and
//!   finish in any order.
//! - Process death ([`Sim::crash`], [`SimDisk::kill`]): tasks and connections vanish; resolved
//!   writes stay; of writes under way any subset of 512-byte sectors; metadata operations under way
//!   happen or not.
//! - Power cut ([`SimDisk::power_cut`]): besides, of every write that is not stable any subset of
//!   sectors stays, each in any of its unstable versions or, on request, torn inside; lengths stay
//!   at any state since the last sync; creations and removals without a synced directory stay or
//!   not, each by itself. Renames are atomic, and durable when resolved. Syncing a file does not
//!   make its name durable.
//! - Failures at chosen operations ([`FaultRule`]): EIO, ENOSPC, short writes, stalls, all of which
//!   may leave part of the write. After a failed sync the writes it covered never become stable by
//!   a later sync: the kernel has marked them clean.
//! - Images at any moment of one run, by a watcher ([`SimDisk::watch`]).
//! - A full disk ([`SimDisk::set_capacity`]), crash points at every operation
//!   ([`SimDisk::crash_after_operation`]), damaged bytes ([`SimDisk::flip_bit`] and others).
//! - Network: delays, partial reads and writes, bounded buffers, refused connections, ends of
//!   stream when either side goes away.
//! - Nodes ([`Sim::add_node`]): machines with a disk, an address and clocks of their own, whose
//!   process is killed, loses its power or stands still while the others go on.
//! - Links between nodes ([`Sim::links`]), each way by itself: cut (packets are lost and sent
//!   again, connections hang), held, slow, refused, reset.
//! - The wall clock jumps when told to ([`Sim::jump_wall_clock`], [`Node::jump_wall_clock`]), and
//!   the clocks of a node drift ([`Node::set_drift`]).
//!
//! # Not modelled
//!
//! - Writes that go to a wrong place, reads that return old bytes, a device that forgets what it
//!   confirmed as stable (injure the image by hand for those).
//! - Order guarantees of a real journal: images may be worse than any real file system's.
//! - Directories that fail to appear: creating one is durable when it resolves. Holes and
//!   fragmentation: a file takes the room up to the end of its last allocated byte.
//! - Connections that give up because nothing is confirmed for minutes: they hang until the link is
//!   whole. Threads; preemption inside a task; shares ([`crate::Shares`]), which do not bias the
//!   choice of tasks.

mod core;
mod disk;
mod disk_state;
mod executor;
mod faults;
mod file_state;
mod images;
mod links;
mod names;
mod net;
mod network;
mod node;
mod nodes;
mod random;
mod request;
mod stream;
mod surgery;

#[cfg(test)]
mod disk_tests;
#[cfg(test)]
mod executor_tests;
#[cfg(test)]
mod link_tests;
#[cfg(test)]
mod node_tests;
#[cfg(test)]
mod power_tests;

use std::{future::Future, rc::Rc, time::Duration};

pub use self::core::START_MS;
pub use disk::{SimBuffer, SimDisk, SimFile};
pub use executor::{Sim, Stopped};
pub use faults::{Fault, FaultRule, Moment, Operation, OperationKind};
pub use images::PowerCut;
pub use links::Links;
pub use net::{SimListener, SimNet};
pub use node::Node;
pub use random::Random;
pub use stream::SimStream;

use self::{core::Core, nodes::Place};
use crate::{Clock, Runtime, Shares, Spawn};

/// How long work beside the executor takes at most.
const ASIDE_MICROS_MAX: u64 = 20_000;

/// A handle to the executor of a [`Sim`].
#[derive(Clone)]
pub struct SimRuntime {
    core: Rc<Core>,
    place: Place,
    disk: SimDisk,
    net: SimNet,
}

impl SimRuntime {
    fn new(core: Rc<Core>, disk: SimDisk, place: Place) -> Self {
        let net = SimNet::new(core.clone(), place);
        SimRuntime { core, place, disk, net }
    }

    /// How often tasks have asked whether others want a turn, ever: long work is to ask often.
    pub fn pauses(&self) -> u64 {
        self.core.pauses.get()
    }

    /// How often work was done beside its executor, ever.
    pub fn asides(&self) -> u64 {
        self.core.asides.get()
    }

    /// A source of chance of the simulation's seed, for workloads.
    pub fn random(&self) -> Random {
        self.core.draw(Random::fork)
    }
}

impl Clock for SimRuntime {
    fn now_ms(&self) -> i64 {
        self.core.nodes.wall_ms(self.place.node, self.core.now())
    }

    fn monotonic(&self) -> Duration {
        self.core.nodes.monotonic(self.place.node, self.core.now())
    }

    async fn sleep(&self, duration: Duration) {
        let at = self.core.nodes.after(self.place.node, self.core.now(), duration);
        self.core.sleep_until(at).await;
    }
}

impl Spawn for SimRuntime {
    fn spawn(&self, _shares: Shares, name: &'static str, task: impl Future<Output = ()> + 'static) {
        self.core.spawn(self.place, name, Box::pin(task));
    }

    async fn aside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.core.asides.set(self.core.asides.get() + 1);
        let micros = self.core.draw(|random| random.below(ASIDE_MICROS_MAX));
        self.sleep(Duration::from_micros(micros)).await;
        work()
    }

    async fn yield_if_needed(&self) {
        self.core.pauses.set(self.core.pauses.get() + 1);
        if self.core.draw(|random| random.chance(1, 4)) {
            self.core.give_way().await;
        }
    }
}

impl Runtime for SimRuntime {
    type Disk = SimDisk;
    type Net = SimNet;

    fn disk(&self) -> &SimDisk {
        &self.disk
    }

    fn net(&self) -> &SimNet {
        &self.net
    }
}
