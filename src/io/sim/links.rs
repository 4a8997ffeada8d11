//! [`Links`]: what lies between the nodes of a simulation, and what goes wrong with it.

use std::{net::SocketAddr, rc::Rc, time::Duration};

use super::{Node, core::Core, network::Passage};

/// The links between the nodes of a simulation, each way by itself. Whatever happens to them, bytes
/// of a connection arrive in order and once, as with TCP.
#[derive(Clone)]
pub struct Links {
    core: Rc<Core>,
}

impl Links {
    pub(super) fn new(core: Rc<Core>) -> Self {
        Links { core }
    }

    /// Loses all packets from one node to the other, those on their way too. Nobody is told: bytes
    /// and ends of connections come when they are sent again after [`Links::heal`], and so do the
    /// confirmations without which buffers of the other direction stay full. Attempts to connect
    /// hang, either way, and time out after two minutes.
    pub fn cut(&self, from: &Node, to: &Node) {
        self.stop(from, to, Passage::Cut(self.core.now()));
    }

    /// [`Links::cut`] both ways.
    pub fn cut_both(&self, one: &Node, other: &Node) {
        self.cut(one, other);
        self.cut(other, one);
    }

    /// Holds all packets from one node to the other back until [`Links::heal`], and loses none:
    /// they come at once then.
    pub fn hold(&self, from: &Node, to: &Node) {
        self.stop(from, to, Passage::Held);
    }

    fn stop(&self, from: &Node, to: &Node, passage: Passage) {
        let (from, to) = (from.number(), to.number());
        assert!(from != to, "there is no link from a node to itself");
        self.core.network.change((from, to), |link| {
            if link.passage == Passage::Open {
                link.passage = passage;
            }
        });
        for connection in self.core.network.connections() {
            connection.stop(self.core.now(), (from, to));
        }
    }

    /// Ends [`Links::cut`] and [`Links::hold`].
    pub fn heal(&self, from: &Node, to: &Node) {
        self.open((from.number(), to.number()));
    }

    /// [`Links::heal`] for all links.
    pub fn heal_all(&self) {
        for ends in self.core.network.closed() {
            self.open(ends);
        }
    }

    fn open(&self, ends: (usize, usize)) {
        let (core, network, now) = (&self.core, &self.core.network, self.core.now());
        let before = network.change(ends, |link| link.passage = Passage::Open).passage;
        for connection in network.connections() {
            if !connection.leads(ends) {
                continue;
            }
            let at = match before {
                Passage::Open => return,
                Passage::Held => now,
                Passage::Cut(since) => network.resent(now, since),
            };
            connection.go_on(core, ends, at);
            network.answer_stranger(core, &connection);
        }
    }

    /// Whether packets go through, this way.
    pub fn is_open(&self, from: &Node, to: &Node) -> bool {
        self.core.network.link(from.number(), to.number()).passage == Passage::Open
    }

    /// The connections that one node has made to the other and that no end has ended, by their
    /// addresses at the first.
    pub fn connections(&self, from: &Node, to: &Node) -> Vec<SocketAddr> {
        let ends = (from.number(), to.number());
        let all = self.core.network.connections();
        all.iter().filter_map(|connection| connection.stands(ends)).collect()
    }

    /// Resets all connections between the two, at both ends at once: what was on its way is lost.
    pub fn reset(&self, one: &Node, other: &Node) {
        let (one, other) = (one.number(), other.number());
        for connection in self.core.network.connections() {
            if connection.leads((one, other)) || connection.leads((other, one)) {
                connection.reset();
            }
        }
    }

    /// Has attempts of one node to connect to the other refused, or no longer.
    pub fn refuse(&self, from: &Node, to: &Node, refuses: bool) {
        self.core.network.change((from.number(), to.number()), |link| link.refuses = refuses);
    }

    /// Has everything from one node to the other take so much longer, and up to `spread` more.
    pub fn delay(&self, from: &Node, to: &Node, delay: Duration, spread: Duration) {
        self.core.network.change((from.number(), to.number()), |link| {
            (link.delay, link.spread) = (delay, spread);
        });
    }

    /// Limits what goes from one node to the other, all connections together.
    pub fn limit(&self, from: &Node, to: &Node, bytes_per_second: Option<u64>) {
        assert_ne!(bytes_per_second, Some(0), "to let nothing through, cut the link");
        self.core.network.change((from.number(), to.number()), |link| {
            link.bytes_per_second = bytes_per_second;
        });
    }
}
