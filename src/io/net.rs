//! TCP as the servers see it.

use std::{io, net::SocketAddr, os::fd::OwnedFd, rc::Rc, time::Duration};

use crate::{
    kernel_tls::{Direction, Keys},
    runtime::Runtime,
};

/// How long [`listen_when_free`] waits, and how often it looks: nothing tells when a port is free.
const PORT_PATIENCE: Duration = Duration::from_secs(1);
const PORT_LOOK: Duration = Duration::from_millis(5);

/// A connection that was accepted and belongs to no executor yet: it owns its descriptor and may
/// cross threads.
#[derive(Debug)]
pub struct Accepted {
    pub descriptor: OwnedFd,
    pub peer: SocketAddr,
}

/// Of the kernel, for each connection that a listener accepts, in bytes. 0: it chooses, and lets
/// them grow to megabytes. It allows no more than `net.core.rmem_max` and `net.core.wmem_max`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketBuffers {
    /// What may have arrived and was not read.
    pub receive: u32,
    /// What was written and the peer has not confirmed.
    pub send: u32,
}

#[allow(async_fn_in_trait)]
pub trait Net: Clone + 'static {
    type Stream: Stream;
    type Listener: Listener;

    /// Listens with SO_REUSEADDR and without SO_REUSEPORT: a port that is taken is an error.
    /// `0.0.0.0` and `::` both stand for all addresses, those of IPv6 too where the machine has it.
    fn listen_with(
        &self,
        address: SocketAddr,
        buffers: SocketBuffers,
    ) -> io::Result<Self::Listener>;

    /// [`Net::listen_with`] with the kernel's choice of buffers.
    fn listen(&self, address: SocketAddr) -> io::Result<Self::Listener> {
        self.listen_with(address, SocketBuffers::default())
    }

    /// Takes a connection over; sets TCP_NODELAY.
    fn adopt(&self, accepted: Accepted) -> io::Result<Self::Stream>;

    /// Connects; sets TCP_NODELAY.
    async fn connect(&self, address: SocketAddr) -> io::Result<Self::Stream>;

    /// The addresses that `host:port` stands for now, at least one. Takes as long as the machine's
    /// resolver does, without holding up the executor.
    async fn look_up(&self, name: &str) -> io::Result<Vec<SocketAddr>>;
}

/// The error of [`Net::look_up`] for a name that stands for nothing.
pub(crate) fn unknown_name(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no address is known for {name}"))
}

/// [`Net::listen_with`] for the port of a server that starts. Waits up to a second while the port
/// is taken: sockets that a ring watched are closed by a thread of the kernel some milliseconds
/// after a killed process has ended, and whoever starts it again may be faster.
pub async fn listen_when_free<R: Runtime>(
    runtime: &R,
    address: SocketAddr,
    buffers: SocketBuffers,
) -> io::Result<<R::Net as Net>::Listener> {
    let began = runtime.monotonic();
    loop {
        match runtime.net().listen_with(address, buffers) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if runtime.monotonic().saturating_sub(began) >= PORT_PATIENCE {
                    return Err(error);
                }
                runtime.sleep(PORT_LOOK).await;
            }
            result => return result,
        }
    }
}

#[allow(async_fn_in_trait)]
pub trait Listener: 'static {
    fn local(&self) -> SocketAddr;

    /// The next connection. Not safe to cancel: keep one loop that is never dropped half-way.
    ///
    /// # Errors
    /// If descriptors or memory are lacking, or the listener is no more; never for what one
    /// connection has, such as a reset before it was accepted.
    async fn accept(&self) -> io::Result<Accepted>;
}

/// One connection. One task may read while another writes.
#[allow(async_fn_in_trait)]
pub trait Stream: 'static {
    fn peer(&self) -> SocketAddr;
    fn local(&self) -> SocketAddr;

    /// Reads at least one byte, or 0 at the end of the stream. Safe to cancel.
    async fn read(&self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes what the socket takes now, without waiting; `WouldBlock` if nothing.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Writes at least one byte, waiting for room. Safe to cancel.
    async fn write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Ends both directions: a waiting read sees the end, the peer sees FIN.
    fn shutdown(&self);

    /// Readies the connection for TLS in the kernel. Nothing changes until it has keys.
    ///
    /// # Errors
    /// If there is no such thing, or the peer has gone.
    fn ready_kernel_tls(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Has the kernel seal, or open, with these keys from the next record on. What is written and
    /// read from then on are the contents of records.
    fn set_kernel_keys(&self, _: Direction, _: &Keys) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// As [`Stream::read`] of what the kernel opens: the type of the record with its contents or
    /// some of them; those of data also of several. No type at the end of the stream only, while a
    /// record may have no contents.
    async fn read_record(&self, _: &mut [u8]) -> io::Result<(Option<u8>, usize)> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// As [`Stream::try_write`], a record of this type.
    fn try_write_record(&self, _: u8, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Tries `write` until it does not say `WouldBlock`, whenever there may be room. Safe to
    /// cancel.
    async fn write_with(&self, _: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A stream that several have.
impl<S: Stream> Stream for Rc<S> {
    fn peer(&self) -> SocketAddr {
        S::peer(self)
    }

    fn local(&self) -> SocketAddr {
        S::local(self)
    }

    async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        S::read(self, buffer).await
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        S::try_write(self, bytes)
    }

    async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        S::write(self, bytes).await
    }

    fn shutdown(&self) {
        S::shutdown(self);
    }

    fn ready_kernel_tls(&self) -> io::Result<()> {
        S::ready_kernel_tls(self)
    }

    fn set_kernel_keys(&self, direction: Direction, keys: &Keys) -> io::Result<()> {
        S::set_kernel_keys(self, direction, keys)
    }

    async fn read_record(&self, buffer: &mut [u8]) -> io::Result<(Option<u8>, usize)> {
        S::read_record(self, buffer).await
    }

    fn try_write_record(&self, kind: u8, bytes: &[u8]) -> io::Result<usize> {
        S::try_write_record(self, kind, bytes)
    }

    async fn write_with(&self, write: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
        S::write_with(self, write).await
    }
}
