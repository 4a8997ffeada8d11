//! What the executor knows of the network: who listens, which connections there are between nodes,
//! and what lies between these.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    io::{self, Read},
    net::{Ipv4Addr, SocketAddr},
    os::{fd::RawFd, unix::net::UnixStream},
    rc::{Rc, Weak},
    time::Duration,
};

use super::{
    core::{Alarm, Core},
    net::Listening,
    random::Random,
    stream::{Connection, SimStream},
};

/// What a direction of a connection holds before the writer has to wait, in bytes, unless told
/// otherwise.
const BUFFER_BYTES: usize = 64 * 1024;

const FIRST_FREE_PORT: u16 = 32_768;

/// When that arrives which does not.
pub(super) const NEVER: Duration = Duration::MAX;

/// The longest pause before lost packets are sent again.
const RESENT_AFTER_MAX: Duration = Duration::from_secs(120);

/// Whether packets go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    Open,
    /// They are lost, since then.
    Cut(Duration),
    /// They wait.
    Held,
}

/// One way from a node to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) passage: Passage,
    /// Attempts to connect are refused.
    pub(super) refuses: bool,
    /// Added to how long everything takes; and up to so much more.
    pub(super) delay: Duration,
    pub(super) spread: Duration,
    pub(super) bytes_per_second: Option<u64>,
    /// Until then it transmits what it was given.
    busy_until: Duration,
}

impl Default for Link {
    fn default() -> Self {
        Link {
            passage: Passage::Open,
            refuses: false,
            delay: Duration::ZERO,
            spread: Duration::ZERO,
            bytes_per_second: None,
            busy_until: Duration::ZERO,
        }
    }
}

pub(super) struct Network {
    random: RefCell<Random>,
    pub(super) listeners: RefCell<BTreeMap<(usize, SocketAddr), Rc<Listening>>>,
    /// Accepted connections that no runtime has taken over yet, by the descriptor that stands for
    /// them, with its other end: that reads as ended when the descriptor was dropped.
    pub(super) accepted: RefCell<BTreeMap<RawFd, (UnixStream, SimStream)>>,
    next_port: Cell<u16>,
    /// What names stand for, see [`SimNet::name`](super::SimNet::name).
    pub(super) names: RefCell<BTreeMap<String, Vec<SocketAddr>>>,
    pub(super) buffer_bytes: Cell<usize>,
    /// By the nodes that they lead from and to; those that nobody has touched are not here.
    links: RefCell<BTreeMap<(usize, usize), Link>>,
    /// Those of nodes, in the order of their making; some may be gone.
    connections: RefCell<Vec<Weak<Connection>>>,
    /// Connections that are gone are looked for when there are so many.
    look_at: Cell<usize>,
}

impl Network {
    pub(super) fn new(random: Random) -> Self {
        Network {
            random: RefCell::new(random),
            listeners: RefCell::default(),
            accepted: RefCell::default(),
            next_port: Cell::new(FIRST_FREE_PORT),
            names: RefCell::default(),
            buffer_bytes: Cell::new(BUFFER_BYTES),
            links: RefCell::default(),
            connections: RefCell::default(),
            look_at: Cell::new(64),
        }
    }

    /// Closes connections whose [`Accepted`](crate::Accepted) was dropped. True if there was one.
    pub(super) fn close_dropped(&self, core: &Core) -> bool {
        let mut dropped = Vec::new();
        self.accepted.borrow_mut().retain(|_, (other_end, stream)| {
            let open = matches!(other_end.read(&mut [0]), Err(error)
                if error.kind() == io::ErrorKind::WouldBlock);
            if !open {
                dropped.push(stream.alias());
            }
            open
        });
        for stream in &dropped {
            core.trace(u64::from(stream.peer_address().port()));
        }
        !dropped.is_empty()
    }

    pub(super) fn clear(&self) {
        let accepted = std::mem::take(&mut *self.accepted.borrow_mut());
        drop(accepted);
        let listeners = std::mem::take(&mut *self.listeners.borrow_mut());
        drop(listeners);
    }

    pub(super) fn draw<T>(&self, with: impl FnOnce(&mut Random) -> T) -> T {
        with(&mut self.random.borrow_mut())
    }

    pub(super) fn free_port(&self) -> u16 {
        let port = self.next_port.get();
        self.next_port.set(port.checked_add(1).unwrap_or(FIRST_FREE_PORT));
        port
    }

    pub(super) fn find(&self, node: usize, address: SocketAddr) -> Option<Rc<Listening>> {
        let listeners = self.listeners.borrow();
        let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
        listeners.get(&(node, address)).or_else(|| listeners.get(&(node, any))).cloned()
    }

    pub(super) fn link(&self, from: usize, to: usize) -> Link {
        self.links.borrow().get(&(from, to)).copied().unwrap_or_default()
    }

    /// Changes a link; gives it as it was.
    pub(super) fn change(
        &self,
        (from, to): (usize, usize),
        change: impl FnOnce(&mut Link),
    ) -> Link {
        let mut links = self.links.borrow_mut();
        let link = links.entry((from, to)).or_default();
        let before = *link;
        change(link);
        before
    }

    /// The links that are not open, by their ends.
    pub(super) fn closed(&self) -> Vec<(usize, usize)> {
        let links = self.links.borrow();
        let closed = links.iter().filter(|(_, link)| link.passage != Passage::Open);
        closed.map(|(ends, _)| *ends).collect()
    }

    /// Whether packets go through, this way.
    pub(super) fn goes_through(&self, from: usize, to: usize) -> bool {
        self.link(from, to).passage == Passage::Open
    }

    /// Whether packets go through both ways.
    pub(super) fn is_open(&self, one: usize, other: usize) -> bool {
        self.goes_through(one, other) && self.goes_through(other, one)
    }

    /// When something arrives that is sent now and takes `usual` at least.
    pub(super) fn arrival(
        &self,
        now: Duration,
        (from, to): (usize, usize),
        bytes: usize,
        usual: Duration,
    ) -> Duration {
        let mut links = self.links.borrow_mut();
        let Some(link) = links.get_mut(&(from, to)) else {
            return now + usual;
        };
        if link.passage != Passage::Open {
            return NEVER;
        }
        let mut sent = now;
        if let Some(rate) = link.bytes_per_second {
            let takes = (bytes as u64).saturating_mul(1_000_000) / rate;
            sent = now.max(link.busy_until) + Duration::from_micros(takes);
            link.busy_until = sent;
        }
        let spread = u64::try_from(link.spread.as_micros()).expect("less than a year");
        let more = if spread == 0 { 0 } else { self.draw(|random| random.below(spread)) };
        sent + usual + link.delay + Duration::from_micros(more)
    }

    /// When lost packets of one connection come that are sent again: pauses double, so at most once
    /// more the time since they were lost for the first time.
    pub(super) fn resent(&self, now: Duration, since: Duration) -> Duration {
        let most = now.saturating_sub(since).min(RESENT_AFTER_MAX);
        let most = u64::try_from(most.as_micros()).expect("minutes");
        now + Duration::from_micros(200 + self.draw(|random| random.below(most.max(1))))
    }

    /// Notes a connection between nodes.
    pub(super) fn register(&self, connection: &Rc<Connection>) {
        let mut all = self.connections.borrow_mut();
        if all.len() >= self.look_at.get() {
            all.retain(|connection| connection.strong_count() > 0);
            self.look_at.set(64.max(all.len() * 2));
        }
        all.push(Rc::downgrade(connection));
    }

    pub(super) fn connections(&self) -> Vec<Rc<Connection>> {
        self.connections.borrow().iter().filter_map(Weak::upgrade).collect()
    }

    /// The machine is up again: whoever sends again what nobody has confirmed is told that there is
    /// no such connection.
    pub(super) fn came_up(&self, core: &Rc<Core>, node: usize) {
        for connection in self.connections() {
            if connection.nodes().contains(&node) {
                self.answer_stranger(core, &connection);
            }
        }
    }

    /// Has a connection reset that the machine at one end has forgotten, if the other end has sent
    /// something that was not confirmed, and if both can be reached.
    pub(super) fn answer_stranger(&self, core: &Rc<Core>, connection: &Rc<Connection>) {
        if !connection.has_stranger_waiting() || !self.reaches(core, connection) {
            return;
        }
        let [one, other] = connection.nodes();
        let way = self.link(one, other).delay + self.link(other, one).delay;
        let at = core.now() + way + self.draw(delay);
        let (core_then, connection) = (Rc::downgrade(core), Rc::downgrade(connection));
        let act = move || {
            let (Some(core), Some(connection)) = (core_then.upgrade(), connection.upgrade()) else {
                return;
            };
            // Else it is sent again once more.
            if core.network.reaches(&core, &connection) {
                connection.reset();
            }
        };
        core.set_alarm(at, Alarm::Act(Box::new(act)));
    }

    fn reaches(&self, core: &Core, connection: &Connection) -> bool {
        let nodes = connection.nodes();
        self.is_open(nodes[0], nodes[1]) && nodes.iter().all(|node| core.nodes.has_power(*node))
    }
}

/// How long a segment travels.
pub(super) fn delay(random: &mut Random) -> Duration {
    let pause = if random.chance(1, 128) { 2_000 } else { 0 };
    Duration::from_micros(10 + pause + random.below(90))
}
