//! The network in memory: every runtime of one [`Sim`](super::Sim) is on it.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    future::poll_fn,
    io::{self, Read},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    rc::Rc,
    task::{Poll, Waker},
    time::Duration,
};

use super::{
    core::{Alarm, Core},
    random::Random,
};
use crate::{Accepted, Listener, Net, SocketBuffers, Stream, net::unknown_name};

/// What a direction of a connection holds before the writer has to wait, in bytes, unless told
/// otherwise.
const BUFFER_BYTES: usize = 64 * 1024;

/// Connections that wait to be accepted; more are refused.
const BACKLOG_MAX: usize = 1024;

const FIRST_FREE_PORT: u16 = 32_768;

/// All that the executor knows of the network.
pub(super) struct Network {
    random: RefCell<Random>,
    listeners: RefCell<BTreeMap<SocketAddr, Rc<Listening>>>,
    /// Accepted connections that no runtime has taken over yet, by the descriptor that stands for
    /// them, with its other end: that reads as ended when the descriptor was dropped.
    accepted: RefCell<BTreeMap<RawFd, (UnixStream, SimStream)>>,
    next_port: Cell<u16>,
    /// What names stand for, see [`SimNet::name`].
    names: RefCell<BTreeMap<String, Vec<SocketAddr>>>,
    pub(super) buffer_bytes: Cell<usize>,
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
        }
    }

    /// Closes connections whose [`Accepted`] was dropped. True if there was one.
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
            core.trace(u64::from(stream.peer.port()));
        }
        !dropped.is_empty()
    }

    pub(super) fn clear(&self) {
        let accepted = std::mem::take(&mut *self.accepted.borrow_mut());
        drop(accepted);
        let listeners = std::mem::take(&mut *self.listeners.borrow_mut());
        drop(listeners);
    }

    fn draw<T>(&self, with: impl FnOnce(&mut Random) -> T) -> T {
        with(&mut self.random.borrow_mut())
    }

    fn free_port(&self) -> u16 {
        let port = self.next_port.get();
        self.next_port.set(port.checked_add(1).unwrap_or(FIRST_FREE_PORT));
        port
    }

    fn find(&self, address: SocketAddr) -> Option<Rc<Listening>> {
        let listeners = self.listeners.borrow();
        let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
        listeners.get(&address).or_else(|| listeners.get(&any)).cloned()
    }
}

struct Listening {
    backlog: RefCell<VecDeque<SimStream>>,
    waker: RefCell<Option<Waker>>,
}

/// One direction of a connection.
#[derive(Default)]
struct Pipe {
    /// Bytes and when they arrive; arrivals never go back.
    chunks: VecDeque<(Duration, VecDeque<u8>)>,
    bytes: usize,
    /// The writer has ended: the reader sees the end behind the last byte.
    finished: bool,
    /// The reader has gone: writing is an error.
    abandoned: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn wake_both(&mut self) -> [Option<Waker>; 2] {
        [self.reader.take(), self.writer.take()]
    }
}

fn wake(wakers: impl IntoIterator<Item = Option<Waker>>) {
    wakers.into_iter().flatten().for_each(Waker::wake);
}

/// The network as the tasks of one runtime see it.
#[derive(Clone)]
pub struct SimNet {
    core: Rc<Core>,
}

impl SimNet {
    pub(super) fn new(core: Rc<Core>) -> Self {
        SimNet { core }
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
        if network.find(address).is_some() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let listening =
            Rc::new(Listening { backlog: RefCell::default(), waker: RefCell::default() });
        network.listeners.borrow_mut().insert(address, listening.clone());
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
        let delay = self.core.network.draw(delay);
        self.core.sleep_until(self.core.now() + delay).await;
        let listening = self.core.network.find(address).ok_or(io::ErrorKind::ConnectionRefused)?;
        if listening.backlog.borrow().len() >= BACKLOG_MAX {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let ip = if address.is_ipv6() { address.ip() } else { IpAddr::V4(Ipv4Addr::LOCALHOST) };
        let local = SocketAddr::new(ip, self.core.network.free_port());
        self.core.trace(u64::from(address.port()) << 16 | u64::from(local.port()));
        let (client, server) = SimStream::pair(&self.core, local, address);
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
        let (key, peer) = (descriptor.as_raw_fd(), stream.peer);
        let stale = self.core.network.accepted.borrow_mut().insert(key, (other_end, stream));
        drop(stale);
        Ok(Accepted { descriptor, peer })
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        let mut listeners = self.core.network.listeners.borrow_mut();
        let own = listeners
            .get(&self.address)
            .is_some_and(|listening| Rc::ptr_eq(listening, &self.listening));
        if own {
            listeners.remove(&self.address);
        }
        drop(listeners);
        let backlog = std::mem::take(&mut *self.listening.backlog.borrow_mut());
        drop(backlog);
    }
}

/// One end of a connection. Dropping it ends both directions.
pub struct SimStream {
    core: Rc<Core>,
    local: SocketAddr,
    peer: SocketAddr,
    incoming: Rc<RefCell<Pipe>>,
    outgoing: Rc<RefCell<Pipe>>,
}

impl SimStream {
    fn pair(core: &Rc<Core>, client: SocketAddr, server: SocketAddr) -> (SimStream, SimStream) {
        let to_server = Rc::new(RefCell::new(Pipe::default()));
        let to_client = Rc::new(RefCell::new(Pipe::default()));
        let near = SimStream {
            core: core.clone(),
            local: client,
            peer: server,
            incoming: to_client.clone(),
            outgoing: to_server.clone(),
        };
        let far = SimStream {
            core: core.clone(),
            local: server,
            peer: client,
            incoming: to_server,
            outgoing: to_client,
        };
        (near, far)
    }

    /// Another handle of the same end; dropping either ends the connection.
    fn alias(&self) -> SimStream {
        SimStream {
            core: self.core.clone(),
            local: self.local,
            peer: self.peer,
            incoming: self.incoming.clone(),
            outgoing: self.outgoing.clone(),
        }
    }

    fn end(&self) {
        let wakers = {
            let mut outgoing = self.outgoing.borrow_mut();
            outgoing.finished = true;
            outgoing.wake_both()
        };
        wake(wakers);
        let wakers = {
            let mut incoming = self.incoming.borrow_mut();
            incoming.abandoned = true;
            incoming.wake_both()
        };
        wake(wakers);
    }
}

impl Stream for SimStream {
    fn peer(&self) -> SocketAddr {
        self.peer
    }

    fn local(&self) -> SocketAddr {
        self.local
    }

    async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(!buffer.is_empty(), "a read needs room");
        let mut arrival = None;
        poll_fn(|context| {
            if let Some(key) = arrival.take() {
                self.core.withdraw_alarm(key);
            }
            let mut pipe = self.incoming.borrow_mut();
            if pipe.abandoned {
                return Poll::Ready(Ok(0));
            }
            let Some((at, chunk)) = pipe.chunks.front_mut() else {
                if pipe.finished {
                    return Poll::Ready(Ok(0));
                }
                pipe.reader = Some(context.waker().clone());
                return Poll::Pending;
            };
            if *at > self.core.now() {
                let waker = context.waker().clone();
                arrival = Some(self.core.set_alarm(*at, Alarm::Wake(waker.clone())));
                pipe.reader = Some(waker);
                return Poll::Pending;
            }
            let count =
                self.core.network.draw(|random| part(random, chunk.len().min(buffer.len())));
            for (target, byte) in buffer.iter_mut().zip(chunk.drain(..count)) {
                *target = byte;
            }
            if chunk.is_empty() {
                pipe.chunks.pop_front();
            }
            pipe.bytes -= count;
            let writer = pipe.writer.take();
            drop(pipe);
            self.core.trace(count as u64);
            wake([writer]);
            Poll::Ready(Ok(count))
        })
        .await
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        assert!(!bytes.is_empty(), "a write needs bytes");
        let mut pipe = self.outgoing.borrow_mut();
        if pipe.finished || pipe.abandoned {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = self.core.network.buffer_bytes.get().saturating_sub(pipe.bytes);
        if room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let network = &self.core.network;
        let count = network.draw(|random| part(random, room.min(bytes.len())));
        let earliest = pipe.chunks.back().map_or(Duration::ZERO, |(at, _)| *at);
        let at = earliest.max(self.core.now() + network.draw(delay));
        pipe.chunks.push_back((at, bytes[..count].iter().copied().collect()));
        pipe.bytes += count;
        let reader = pipe.reader.take();
        drop(pipe);
        self.core.trace(count as u64);
        wake([reader]);
        Ok(count)
    }

    async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        poll_fn(|context| match self.try_write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.outgoing.borrow_mut().writer = Some(context.waker().clone());
                Poll::Pending
            }
            result => Poll::Ready(result),
        })
        .await
    }

    fn shutdown(&self) {
        self.end();
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.end();
    }
}

/// How long a segment travels.
fn delay(random: &mut Random) -> Duration {
    let pause = if random.chance(1, 128) { 2_000 } else { 0 };
    Duration::from_micros(10 + pause + random.below(90))
}

/// All of `most` (at least 1), or now and then a part of it.
fn part(random: &mut Random, most: usize) -> usize {
    if random.chance(1, 4) { 1 + random.index(most) } else { most }
}
