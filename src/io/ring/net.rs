//! TCP over glommio: `send` and `recv` on the spot, the ring only to wait for readiness.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    net::{Shutdown, SocketAddr},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd},
    pin::Pin,
    task::Poll,
};

use futures_lite::{AsyncRead, AsyncWrite};
use glommio::net::{TcpListener, TcpStream};
use nix::sys::socket::{MsgFlags, send};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::plain_error;
use crate::net::{Accepted, Listener, Net, Stream};

/// Connections that the kernel completes before they are accepted; also bounded by
/// `net.core.somaxconn`, 4096 by default.
const BACKLOG: i32 = 4096;

/// The network, for the executor of the current thread.
#[derive(Clone, Debug)]
pub struct RingNet(());

impl RingNet {
    pub(super) fn new() -> RingNet {
        RingNet(())
    }
}

impl Net for RingNet {
    type Stream = RingStream;
    type Listener = RingListener;

    fn listen(&self, address: SocketAddr) -> io::Result<RingListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // Without SO_REUSEPORT, which glommio's own bind sets: two brokers on one port would take
        // each other's connections.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let local = internet_address(socket.local_addr()?)?;
        // SAFETY: the descriptor is a listening socket that nobody else owns.
        let listener = unsafe { TcpListener::from_raw_fd(socket.into_raw_fd()) };
        Ok(RingListener { listener, local })
    }

    fn adopt(&self, accepted: Accepted) -> io::Result<RingStream> {
        let socket = SockRef::from(&accepted.descriptor);
        socket.set_tcp_nodelay(true)?;
        let local = internet_address(socket.local_addr()?)?;
        // SAFETY: the descriptor is a connected socket, and `accepted` was its only owner.
        let stream = unsafe { TcpStream::from_raw_fd(accepted.descriptor.into_raw_fd()) };
        Ok(RingStream { stream: RefCell::new(stream), peer: accepted.peer, local })
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<RingStream> {
        let stream = TcpStream::connect(address).await.map_err(plain_error)?;
        stream.set_nodelay(true).map_err(plain_error)?;
        let peer = stream.peer_addr().map_err(plain_error)?;
        let local = stream.local_addr().map_err(plain_error)?;
        Ok(RingStream { stream: RefCell::new(stream), peer, local })
    }
}

fn internet_address(address: socket2::SockAddr) -> io::Result<SocketAddr> {
    address
        .as_socket()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not an internet socket"))
}

#[derive(Debug)]
pub struct RingListener {
    listener: TcpListener,
    local: SocketAddr,
}

impl std::fmt::Debug for RingStream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("RingStream").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl Listener for RingListener {
    fn local(&self) -> SocketAddr {
        self.local
    }

    async fn accept(&self) -> io::Result<Accepted> {
        let accepted = self.listener.shared_accept().await.map_err(plain_error)?;
        // glommio gives its descriptor out on an executor only, as a stream, and one way of its two
        // to accept forgets CLOEXEC: own a duplicate, and let the stream close the original.
        let stream = accepted.bind_to_executor();
        // SAFETY: the descriptor is open as long as `stream`, which outlives the borrow.
        let descriptor = unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) };
        let descriptor: OwnedFd = descriptor.try_clone_to_owned()?;
        let peer = internet_address(SockRef::from(&descriptor).peer_addr()?)?;
        Ok(Accepted { descriptor, peer })
    }
}

/// A connection. Its tasks borrow the glommio stream within one poll only.
pub struct RingStream {
    stream: RefCell<TcpStream>,
    peer: SocketAddr,
    local: SocketAddr,
}

impl Stream for RingStream {
    fn peer(&self) -> SocketAddr {
        self.peer
    }

    fn local(&self) -> SocketAddr {
        self.local
    }

    async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|context| Pin::new(&mut *self.stream.borrow_mut()).poll_read(context, buffer)).await
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        Ok(send(self.stream.borrow().as_raw_fd(), bytes, flags)?)
    }

    async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        poll_fn(|context| match self.try_write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // Tries again, and asks the ring for room if there still is none.
                Pin::new(&mut *self.stream.borrow_mut()).poll_write(context, bytes)
            }
            result => Poll::Ready(result),
        })
        .await
    }

    fn shutdown(&self) {
        let stream = self.stream.borrow();
        // SAFETY: the descriptor is open as long as `stream`, which outlives the borrow.
        let descriptor = unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) };
        // Fails only if the peer has ended the connection already.
        let _ = SockRef::from(&descriptor.as_fd()).shutdown(Shutdown::Both);
    }
}

impl Drop for RingStream {
    /// Polls of the ring keep the socket open for another turn after the descriptor is closed; the
    /// peer should see the end now.
    fn drop(&mut self) {
        self.shutdown();
    }
}
