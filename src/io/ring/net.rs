//! TCP: `send`, `recv` and `accept` on the spot; [`Readiness`] says when to try again.

use std::{
    fmt,
    future::poll_fn,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, ToSocketAddrs},
    os::fd::{AsFd, AsRawFd},
    rc::Rc,
    thread,
};

use futures_channel::oneshot;
use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, recv, send},
};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::{
    readiness::{Readiness, Watched},
    records,
};
use crate::{
    kernel_tls::{self, Direction, Keys},
    net::{Accepted, Listener, Net, SocketBuffers, Stream, unknown_name},
};

/// Connections that the kernel completes before they are accepted; also bounded by
/// `net.core.somaxconn`, 4096 by default.
const BACKLOG: i32 = 4096;

/// The network, for the executor of the current thread.
#[derive(Clone)]
pub struct RingNet {
    readiness: Rc<Readiness>,
}

impl RingNet {
    pub(super) fn new(readiness: Rc<Readiness>) -> RingNet {
        RingNet { readiness }
    }
}

impl Net for RingNet {
    type Stream = RingStream;
    type Listener = RingListener;

    fn listen_with(&self, address: SocketAddr, buffers: SocketBuffers) -> io::Result<RingListener> {
        let socket = match address.ip() {
            ip if ip.is_unspecified() => {
                match bound(Ipv6Addr::UNSPECIFIED.into(), address.port()) {
                    Err(error) if lacks_ipv6(&error) => {
                        bound(Ipv4Addr::UNSPECIFIED.into(), address.port())
                    }
                    result => result,
                }
            }
            ip => bound(ip, address.port()),
        }?;
        // Before it listens, so that the window that a peer is told of follows from them.
        if buffers.receive > 0 {
            socket.set_recv_buffer_size(buffers.receive as usize)?;
        }
        if buffers.send > 0 {
            socket.set_send_buffer_size(buffers.send as usize)?;
        }
        socket.listen(BACKLOG)?;
        let local = internet_address(socket.local_addr()?)?;
        Ok(RingListener { socket: self.readiness.watch(socket.into()), local })
    }

    fn adopt(&self, accepted: Accepted) -> io::Result<RingStream> {
        RingStream::new(self.readiness.watch(accepted.descriptor), accepted.peer)
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<RingStream> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            _ => {}
        }
        let socket = self.readiness.watch(socket.into());
        loop {
            let seen = socket.writable_count();
            let about = SockRef::from(&socket);
            if let Some(error) = about.take_error()? {
                return Err(error);
            }
            // Until it is connected or has failed there is no peer.
            if let Ok(peer) = about.peer_addr() {
                return RingStream::new(socket, internet_address(peer)?);
            }
            socket.writable_since(seen).await?;
        }
    }

    async fn look_up(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = name.parse() {
            return Ok(vec![address]);
        }
        // A thread of its own: a resolver that does not answer would keep files waiting on the
        // executor's blocking one.
        let (give, taken) = oneshot::channel();
        let wanted = name.to_owned();
        thread::Builder::new().name("resolver".to_owned()).spawn(move || {
            let found = wanted.to_socket_addrs().map(|found| found.collect());
            drop(give.send(found));
        })?;
        let found: Vec<SocketAddr> = taken.await.map_err(io::Error::other)??;
        if found.is_empty() { Err(unknown_name(name)) } else { Ok(found) }
    }
}

fn bound(ip: IpAddr, port: u16) -> io::Result<Socket> {
    let address = SocketAddr::new(ip, port);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if ip == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        socket.set_only_v6(false)?;
    }
    // Without SO_REUSEPORT: two brokers on one port would take each other's connections.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Whether a machine without IPv6 gives this error.
fn lacks_ipv6(error: &io::Error) -> bool {
    let of_the_family = [libc::EAFNOSUPPORT, libc::EPROTONOSUPPORT, libc::EADDRNOTAVAIL];
    error.raw_os_error().is_some_and(|code| of_the_family.contains(&code))
}

/// IPv4 peers of a socket for both have addresses such as `::ffff:10.0.0.1`: they are meant as, and
/// told to others as, 10.0.0.1.
fn internet_address(address: socket2::SockAddr) -> io::Result<SocketAddr> {
    let no_internet = || io::Error::new(io::ErrorKind::InvalidInput, "not an internet socket");
    let address = address.as_socket().ok_or_else(no_internet)?;
    Ok(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

pub struct RingListener {
    socket: Watched,
    local: SocketAddr,
}

impl fmt::Debug for RingListener {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RingListener").field("local", &self.local).finish_non_exhaustive()
    }
}

impl Drop for RingListener {
    /// At once: the ring may hold the socket for a while longer, see [`Readiness::end`].
    fn drop(&mut self) {
        // The error is that it does not listen any more.
        let _ = SockRef::from(&self.socket).shutdown(Shutdown::Both);
    }
}

impl Listener for RingListener {
    fn local(&self) -> SocketAddr {
        self.local
    }

    async fn accept(&self) -> io::Result<Accepted> {
        // The address comes with the connection: one that was reset meanwhile has none any more.
        let accept = || Ok((SockRef::from(&self.socket).accept()?, false));
        loop {
            match poll_fn(|context| self.socket.poll_read(context, accept)).await {
                Ok((socket, address)) => {
                    let peer = internet_address(address)?;
                    return Ok(Accepted { descriptor: socket.into(), peer });
                }
                Err(error) if is_of_the_connection(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether the error is that of the one connection that was to be accepted. Source: accept(2).
fn is_of_the_connection(error: &io::Error) -> bool {
    let of_the_connection = [
        libc::ECONNABORTED,
        libc::EINTR,
        libc::ENETDOWN,
        libc::EPROTO,
        libc::ENOPROTOOPT,
        libc::EHOSTDOWN,
        libc::ENONET,
        libc::EHOSTUNREACH,
        libc::EOPNOTSUPP,
        libc::ENETUNREACH,
    ];
    error.raw_os_error().is_some_and(|code| of_the_connection.contains(&code))
}

/// A connection.
pub struct RingStream {
    socket: Watched,
    peer: SocketAddr,
    local: SocketAddr,
}

impl RingStream {
    fn new(socket: Watched, peer: SocketAddr) -> io::Result<RingStream> {
        let about = SockRef::from(&socket);
        about.set_tcp_nodelay(true)?;
        let local = internet_address(about.local_addr()?)?;
        Ok(RingStream { socket, peer, local })
    }
}

impl fmt::Debug for RingStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RingStream").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl Stream for RingStream {
    fn peer(&self) -> SocketAddr {
        self.peer
    }

    fn local(&self) -> SocketAddr {
        self.local
    }

    async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|context| {
            self.socket.poll_read(context, || {
                let socket = self.socket.as_fd().as_raw_fd();
                let count = loop {
                    match recv(socket, buffer, MsgFlags::MSG_DONTWAIT) {
                        Err(Errno::EINTR) => {}
                        result => break result?,
                    }
                };
                Ok((count, count < buffer.len()))
            })
        })
        .await
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        Ok(send(self.socket.as_fd().as_raw_fd(), bytes, flags)?)
    }

    async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.write_with(|| self.try_write(bytes)).await
    }

    fn shutdown(&self) {
        // Fails only if the peer has ended the connection already.
        let _ = SockRef::from(&self.socket).shutdown(Shutdown::Both);
    }

    fn ready_kernel_tls(&self) -> io::Result<()> {
        kernel_tls::ready(&self.socket)
    }

    fn set_kernel_keys(&self, direction: Direction, keys: &Keys) -> io::Result<()> {
        kernel_tls::set(&self.socket, direction, keys)
    }

    async fn read_record(&self, buffer: &mut [u8]) -> io::Result<(Option<u8>, usize)> {
        poll_fn(|context| {
            self.socket.poll_read(context, || {
                let received = records::receive(self.socket.as_fd(), buffer)?;
                // Fewer bytes than there is room for do not mean that there are no more: the next
                // record may be of another type, and was told of with those before.
                Ok((received, false))
            })
        })
        .await
    }

    fn try_write_record(&self, kind: u8, bytes: &[u8]) -> io::Result<usize> {
        records::send(self.socket.as_fd(), kind, bytes)
    }

    async fn write_with(&self, mut write: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
        loop {
            let seen = self.socket.writable_count();
            match write() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.socket.writable_since(seen).await?;
                }
                result => return result,
            }
        }
    }
}

impl Drop for RingStream {
    /// The poll may keep the socket open for a moment after the descriptor is closed; the peer
    /// should see the end now.
    fn drop(&mut self) {
        self.shutdown();
    }
}
