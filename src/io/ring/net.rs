//! TCP: `send`, `recv` and `accept` on the spot; [`Readiness`] says when to try again.

use std::{
    fmt,
    future::poll_fn,
    io,
    net::{Shutdown, SocketAddr},
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
    rc::Rc,
};

use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, SockFlag, accept4, recv, send},
};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::readiness::{Readiness, Watched};
use crate::net::{Accepted, Listener, Net, Stream};

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

    fn listen(&self, address: SocketAddr) -> io::Result<RingListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // Without SO_REUSEPORT: two brokers on one port would take each other's connections.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
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
}

fn internet_address(address: socket2::SockAddr) -> io::Result<SocketAddr> {
    address
        .as_socket()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not an internet socket"))
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
        let listener = self.socket.as_fd().as_raw_fd();
        let accept = || Ok((accept4(listener, SockFlag::SOCK_CLOEXEC)?, false));
        let accepted = poll_fn(|context| self.socket.poll_read(context, accept)).await?;
        // SAFETY: the kernel has just made the descriptor for us alone.
        let descriptor = unsafe { OwnedFd::from_raw_fd(accepted) };
        let peer = internet_address(SockRef::from(&descriptor).peer_addr()?)?;
        Ok(Accepted { descriptor, peer })
    }
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
        loop {
            let seen = self.socket.writable_count();
            match self.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.socket.writable_since(seen).await?;
                }
                result => return result,
            }
        }
    }

    fn shutdown(&self) {
        // Fails only if the peer has ended the connection already.
        let _ = SockRef::from(&self.socket).shutdown(Shutdown::Both);
    }
}

impl Drop for RingStream {
    /// The poll may keep the socket open for a moment after the descriptor is closed; the peer
    /// should see the end now.
    fn drop(&mut self) {
        self.shutdown();
    }
}
