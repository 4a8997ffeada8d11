//! Where tasks live: the nodes of a simulation, their processes and their clocks.

use std::{cell::RefCell, net::IpAddr, time::Duration};

use super::core::START_MS;

const MILLION: u128 = 1_000_000;

/// A process of a node. Node 0 is the host, which tests and their tasks are on: it is always on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) node: usize,
    process: u64,
}

impl Place {
    pub(super) const HOST: Place = Place { node: 0, process: 0 };
}

struct NodeState {
    /// The host has every address that no node has.
    ip: Option<IpAddr>,
    /// Number of the process that runs, or of the next one.
    process: u64,
    running: bool,
    has_power: bool,
    /// Processes up to this one have ended without a word to anybody.
    silent: Option<u64>,
    paused: bool,
    /// Tasks that would run if the node were not paused.
    held: Vec<u64>,
    /// How much faster than the true time its clocks go, in millionths.
    drift: i32,
    /// When the machine came up, on its own clock.
    booted: Duration,
    /// How often it came up.
    boots: u64,
    wall_ms: i64,
}

impl NodeState {
    fn new(ip: Option<IpAddr>) -> Self {
        let is_host = ip.is_none();
        NodeState {
            ip,
            process: 0,
            running: is_host,
            has_power: is_host,
            silent: None,
            paused: false,
            held: Vec::new(),
            drift: 0,
            booted: Duration::ZERO,
            boots: 0,
            wall_ms: 0,
        }
    }

    fn rate(&self) -> u128 {
        u128::try_from(1_000_000 + i64::from(self.drift)).expect("a clock that goes forward")
    }

    /// What has passed on its own clock since the start of the simulation.
    fn own_time(&self, now: Duration) -> Duration {
        if self.drift == 0 {
            return now;
        }
        from_nanos(now.as_nanos().saturating_mul(self.rate()) / MILLION)
    }

    /// The first moment at which its own clock shows at least that.
    fn true_time(&self, own: Duration) -> Duration {
        if self.drift == 0 {
            return own;
        }
        from_nanos(own.as_nanos().saturating_mul(MILLION).div_ceil(self.rate()))
    }
}

fn from_nanos(nanos: u128) -> Duration {
    u64::try_from(nanos).map_or(Duration::MAX, Duration::from_nanos)
}

/// All nodes; the times that go in are true ones.
pub(super) struct Nodes {
    all: RefCell<Vec<NodeState>>,
}

impl Nodes {
    pub(super) fn new() -> Self {
        Nodes { all: RefCell::new(vec![NodeState::new(None)]) }
    }

    /// The number of a new node, which is off.
    pub(super) fn add(&self, ip: IpAddr) -> usize {
        assert!(!ip.is_loopback() && !ip.is_unspecified(), "{ip} is an address of every node");
        let mut all = self.all.borrow_mut();
        assert!(all.iter().all(|node| node.ip != Some(ip)), "{ip} is the address of another node");
        all.push(NodeState::new(Some(ip)));
        all.len() - 1
    }

    fn with<T>(&self, node: usize, act: impl FnOnce(&mut NodeState) -> T) -> T {
        act(&mut self.all.borrow_mut()[node])
    }

    pub(super) fn ip(&self, node: usize) -> Option<IpAddr> {
        self.with(node, |state| state.ip)
    }

    /// The node that packets of `from` to the address go to.
    pub(super) fn at(&self, ip: IpAddr, from: usize) -> usize {
        if ip.is_loopback() || ip.is_unspecified() {
            return from;
        }
        let all = self.all.borrow();
        all.iter().position(|node| node.ip == Some(ip)).unwrap_or(Place::HOST.node)
    }

    /// Starts a process. True if the machine came up for it.
    pub(super) fn start(&self, node: usize, now: Duration) -> (Place, bool) {
        self.with(node, |state| {
            assert!(!state.running, "a process of this node is running: kill it first");
            state.running = true;
            let was_off = !std::mem::replace(&mut state.has_power, true);
            if was_off {
                state.booted = state.own_time(now);
                state.boots += 1;
            }
            (Place { node, process: state.process }, was_off)
        })
    }

    /// The process that ran is no more. Its tasks are the caller's to drop.
    pub(super) fn end(&self, node: usize, power_cut: bool) -> Place {
        self.with(node, |state| {
            let ended = Place { node, process: state.process };
            state.process += 1;
            state.running = node == Place::HOST.node;
            if power_cut {
                state.has_power = false;
                state.silent = Some(ended.process);
            }
            state.paused = false;
            state.held.clear();
            ended
        })
    }

    /// All processes but the host's are no more.
    pub(super) fn end_all(&self) {
        let count = self.all.borrow().len();
        for node in Place::HOST.node + 1..count {
            self.end(node, false);
        }
    }

    pub(super) fn is_running(&self, node: usize) -> bool {
        self.with(node, |state| state.running)
    }

    pub(super) fn has_power(&self, node: usize) -> bool {
        self.with(node, |state| state.has_power)
    }

    pub(super) fn boots(&self, node: usize) -> u64 {
        self.with(node, |state| state.boots)
    }

    pub(super) fn is_alive(&self, place: Place) -> bool {
        place == Place::HOST
            || self.with(place.node, |state| state.running && state.process == place.process)
    }

    /// Whether the process has ended without a word: peers of its connections hear nothing.
    pub(super) fn is_silent(&self, place: Place) -> bool {
        self.with(place.node, |state| state.silent.is_some_and(|last| place.process <= last))
    }

    pub(super) fn pause(&self, node: usize) {
        self.with(node, |state| {
            assert!(state.running, "no process of this node is running");
            state.paused = true;
        });
    }

    /// The tasks that have waited for it.
    pub(super) fn resume(&self, node: usize) -> Vec<u64> {
        self.with(node, |state| {
            state.paused = false;
            std::mem::take(&mut state.held)
        })
    }

    pub(super) fn is_paused(&self, node: usize) -> bool {
        self.with(node, |state| state.paused)
    }

    /// Keeps a task for later if its node is paused.
    pub(super) fn hold(&self, place: Place, task: u64) -> bool {
        place != Place::HOST
            && self.with(place.node, |state| {
                if state.paused {
                    state.held.push(task);
                }
                state.paused
            })
    }

    pub(super) fn set_drift(&self, node: usize, drift: i32) {
        assert!(drift.abs() <= 500_000, "a clock that is off by half is off by enough");
        self.with(node, |state| {
            assert!(state.boots == 0, "the drift of a clock is set before the node boots");
            state.drift = drift;
        });
    }

    pub(super) fn jump_wall_clock(&self, node: usize, by_ms: i64) {
        self.with(node, |state| state.wall_ms += by_ms);
    }

    /// Milliseconds since 1970 on the node's wall clock.
    pub(super) fn wall_ms(&self, node: usize, now: Duration) -> i64 {
        self.with(node, |state| {
            let passed = state.own_time(now).as_millis();
            START_MS + i64::try_from(passed).expect("simulated years fit") + state.wall_ms
        })
    }

    /// Since the machine came up, on its own clock.
    pub(super) fn monotonic(&self, node: usize, now: Duration) -> Duration {
        self.with(node, |state| state.own_time(now).saturating_sub(state.booted))
    }

    /// The true time at which so much has passed on the node's clock.
    pub(super) fn after(&self, node: usize, now: Duration, duration: Duration) -> Duration {
        self.with(node, |state| state.true_time(state.own_time(now).saturating_add(duration)))
    }
}
