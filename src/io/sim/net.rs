//! The network in memory: every runtime of one [`Sim`](super::Sim) is on it.

use std::{
    cell::RefCell,
    collections::VecDeque,
    future::poll_fn,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    rc::Rc,
    task::{Poll, Waker},
    time::Duration,
};

use super::{
    core::Core,
    network::delay,
    nodes::Place,
    stream::{End, SimStream, wake},
};
use crate::{Accepted, Listener, Net, SocketBuffers, net::unknown_name};

/// Connections that wait to be accepted; more are refused.
const BACKLOG_MAX: usize = 1024;

/// What nodes see the host come from.
const HOST_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// The first pause before an attempt to connect is made again, and the last one: with doubled ones
/// between them, two minutes.
const CONNECT_AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(64));

pub(super) struct Listening {
    place: Place,
    backlog: RefCell<VecDeque<SimStream>>,
    waker: RefCell<Option<Waker>>,
}

/// The network as the tasks of one runtime see it.
#[derive(Clone)]
pub struct SimNet {
    core: Rc<Core>,
    place: Place,
}

impl SimNet {
    pub(super) fn new(core: Rc<Core>, place: Place) -> Self {
        SimNet { core, place }
    }

    /// What a connection to that address, on that node, comes from.
    fn source(&self, address: SocketAddr, to: usize) -> IpAddr {
        if to != self.place.node {
            return self.core.nodes.ip(self.place.node).unwrap_or(HOST_IP);
        }
        let is_host = self.place == Place::HOST;
        match address.ip() {
            IpAddr::V4(_) if is_host => Ipv4Addr::LOCALHOST.into(),
            ip => ip,
        }
    }

    /// Waits until packets of this node go to the other one and back, and for a way there and back.
    async fn reach(&self, to: usize) -> io::Result<()> {
        let (core, from) = (&self.core, self.place.node);
        let mut pause = CONNECT_AGAIN.0;
        loop {
            let mut takes = core.network.draw(delay);
            if from != to {
                let (there, back) = (core.network.link(from, to), core.network.link(to, from));
                takes += there.delay + back.delay;
            }
            core.sleep_until(core.now() + takes).await;
            if core.network.is_open(from, to) && core.nodes.has_power(to) {
                return Ok(());
            }
            core.sleep_until(core.now() + pause).await;
            if pause >= CONNECT_AGAIN.1 {
                return Err(io::ErrorKind::TimedOut.into());
            }
            pause *= 2;
        }
    }

    /// Makes a name (`host:port`) stand for addresses; for none: not known.
    pub fn name(&self, name: &str, addresses: &[SocketAddr]) {
        self.core.network.names.borrow_mut().insert(name.to_owned(), addresses.to_vec());
    }
}

impl Net for SimNet {
    type Stream = SimStream;
    type Listener = SimListener;

    fn listen_with(&self, address: SocketAddr, _: SocketBuffers) -> io::Result<SimListener> {
        let network = &self.core.network;
        let mut address = address;
        if address.ip().is_unspecified() {
            // Those of IPv6 are among all addresses.
            address.set_ip(Ipv4Addr::UNSPECIFIED.into());
        }
        if address.port() == 0 {
            address.set_port(network.free_port());
        }
        let node = self.place.node;
        let own = self.core.nodes.ip(node);
        let ip = address.ip();
        if own.is_some_and(|own| own != ip) && !ip.is_unspecified() && !ip.is_loopback() {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        if network.find(node, address).is_some() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let listening = Rc::new(Listening {
            place: self.place,
            backlog: RefCell::default(),
            waker: RefCell::default(),
        });
        network.listeners.borrow_mut().insert((node, address), listening.clone());
        Ok(SimListener { core: self.core.clone(), address, listening })
    }

    fn adopt(&self, accepted: Accepted) -> io::Result<SimStream> {
        let key = accepted.descriptor.as_raw_fd();
        let found = self.core.network.accepted.borrow_mut().remove(&key);
        let (_, stream) = found.ok_or_else(|| {
            let message = "the connection was not accepted in this simulation";
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })?;
        Ok(stream)
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<SimStream> {
        let network = &self.core.network;
        let to = self.core.nodes.at(address.ip(), self.place.node);
        self.reach(to).await?;
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        if network.link(self.place.node, to).refuses {
            return Err(refused());
        }
        let listening = network.find(to, address).ok_or_else(refused)?;
        if listening.backlog.borrow().len() >= BACKLOG_MAX {
            return Err(refused());
        }
        let local = SocketAddr::new(self.source(address, to), network.free_port());
        self.core.trace(u64::from(address.port()) << 16 | u64::from(local.port()));
        let near = End { place: self.place, address: local };
        let far = End { place: listening.place, address };
        let (client, server) = SimStream::pair(&self.core, near, far);
        listening.backlog.borrow_mut().push_back(server);
        wake([listening.waker.take()]);
        Ok(client)
    }

    async fn look_up(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = name.parse() {
            return Ok(vec![address]);
        }
        let delay = self.core.network.draw(delay);
        self.core.sleep_until(self.core.now() + delay).await;
        let found = self.core.network.names.borrow().get(name).cloned().unwrap_or_default();
        if found.is_empty() { Err(unknown_name(name)) } else { Ok(found) }
    }
}

/// See [`Net::listen`]. Dropping it frees the address and ends what waits to be accepted.
pub struct SimListener {
    core: Rc<Core>,
    address: SocketAddr,
    listening: Rc<Listening>,
}

impl Listener for SimListener {
    fn local(&self) -> SocketAddr {
        self.address
    }

    async fn accept(&self) -> io::Result<Accepted> {
        let stream = poll_fn(|context| {
            let next = self.listening.backlog.borrow_mut().pop_front();
            if let Some(stream) = next {
                return Poll::Ready(stream);
            }
            *self.listening.waker.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
        // A real descriptor stands for the connection: `Accepted` may cross threads and be dropped.
        let (descriptor, other_end) = UnixStream::pair()?;
        other_end.set_nonblocking(true)?;
        let descriptor = OwnedFd::from(descriptor);
        let (key, peer) = (descriptor.as_raw_fd(), stream.peer_address());
        let stale = self.core.network.accepted.borrow_mut().insert(key, (other_end, stream));
        drop(stale);
        Ok(Accepted { descriptor, peer })
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        let mut listeners = self.core.network.listeners.borrow_mut();
        let key = (self.listening.place.node, self.address);
        let own =
            listeners.get(&key).is_some_and(|listening| Rc::ptr_eq(listening, &self.listening));
        if own {
            listeners.remove(&key);
        }
        drop(listeners);
        let backlog = std::mem::take(&mut *self.listening.backlog.borrow_mut());
        drop(backlog);
    }
}
