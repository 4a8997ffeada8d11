//! [`Node`]: a machine of the simulation that dies, stands still and has a clock of its own.

use std::{cell::RefCell, net::IpAddr, rc::Rc};

use super::{PowerCut, Random, SimDisk, SimRuntime, core::Core};

/// A machine with a disk, an address and clocks of its own, on which one process runs at a time.
/// Clones are handles to the same machine. It is off until [`Node::boot`].
///
/// Tasks of its process are those that are spawned with the runtime of the boot. Whoever holds that
/// runtime beyond the death of the process can start nothing with it any more.
#[derive(Clone)]
pub struct Node {
    core: Rc<Core>,
    number: usize,
    disk: Rc<RefCell<SimDisk>>,
}

impl Node {
    pub(super) fn new(core: &Rc<Core>, ip: IpAddr, disk: &SimDisk) -> Self {
        let number = core.nodes.add(ip);
        let disk = Rc::new(RefCell::new(disk.without_core()));
        Node { core: core.clone(), number, disk }
    }

    pub(super) fn number(&self) -> usize {
        self.number
    }

    pub fn ip(&self) -> IpAddr {
        self.core.nodes.ip(self.number).expect("a node has an address")
    }

    /// Its disk as it is now. The end of a process leaves another one: an image of this.
    pub fn disk(&self) -> SimDisk {
        self.disk.borrow().clone()
    }

    /// Puts another disk in, such as an empty one or a copy.
    ///
    /// # Panics
    /// If a process is running.
    pub fn replace_disk(&self, disk: &SimDisk) {
        assert!(!self.is_running(), "a process of this node is running: kill it first");
        *self.disk.borrow_mut() = disk.without_core();
    }

    /// Starts a process: switches the machine on if it is off. Its tasks are spawned with what
    /// comes back.
    ///
    /// # Panics
    /// If a process is running.
    pub fn boot(&self) -> SimRuntime {
        let (place, was_off) = self.core.nodes.start(self.number, self.core.now());
        if was_off {
            self.core.network.came_up(&self.core, self.number);
        }
        let disk = self.disk.borrow().attach(&self.core, place);
        SimRuntime::new(self.core.clone(), disk, place)
    }

    /// How often the machine has been switched on: what its boot id stands for.
    pub fn boots(&self) -> u64 {
        self.core.nodes.boots(self.number)
    }

    pub fn is_running(&self) -> bool {
        self.core.nodes.is_running(self.number)
    }

    /// SIGKILL: the tasks are gone, peers see the ends of their connections, the listeners refuse.
    /// The disk is as [`SimDisk::kill`] leaves it. Of a process that has ended by itself it takes
    /// what is left.
    pub fn kill(&self) {
        let seed = self.core.draw(Random::word);
        let image = self.disk.borrow().kill(seed);
        self.end(image, false);
    }

    /// The power fails: the tasks are gone and nobody is told; connections and attempts to connect
    /// hang until the machine is up again, and then connections are reset by the first packet that
    /// comes for them. The disk is as [`SimDisk::power_cut`] leaves it.
    pub fn power_cut(&self) {
        self.power_cut_with(PowerCut::default());
    }

    pub fn power_cut_with(&self, cut: PowerCut) {
        let seed = self.core.draw(Random::word);
        let image = self.disk.borrow().power_cut_with(seed, cut);
        self.end(image, true);
    }

    fn end(&self, image: SimDisk, power_cut: bool) {
        self.core.end_process(self.number, power_cut);
        let before = self.disk.replace(image);
        before.abandon_operations();
    }

    /// SIGSTOP: no task of it runs until [`Node::resume`]. Its clocks and timers go on, and what is
    /// due is done late; its connections take what fits into their buffers, its listeners what
    /// fits into their backlogs.
    ///
    /// # Panics
    /// If no process is running.
    pub fn pause(&self) {
        self.core.nodes.pause(self.number);
    }

    pub fn resume(&self) {
        self.core.resume(self.number);
    }

    pub fn is_paused(&self) -> bool {
        self.core.nodes.is_paused(self.number)
    }

    /// Moves its wall clock (not the monotonic one).
    pub fn jump_wall_clock(&self, by_ms: i64) {
        self.core.nodes.jump_wall_clock(self.number, by_ms);
    }

    /// Has both its clocks, and so its timers, go faster by so many millionths, or slower.
    ///
    /// # Panics
    /// After the first boot, and for more than 500,000 either way.
    pub fn set_drift(&self, millionths: i32) {
        self.core.nodes.set_drift(self.number, millionths);
    }
}
