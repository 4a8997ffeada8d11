//! A stream with or without TLS: whoever has connected to a server decides with its first byte.

use std::{
    cell::{Cell, OnceCell},
    io,
    net::SocketAddr,
    rc::Rc,
};

use ringmq_base::config::TlsMode;
use ringmq_io::{Runtime, Stream};
use ringmq_net::turn::Turn;

use crate::{
    session::Session,
    watch::{Acceptor, Connector},
};

/// The first byte of every TLS connection: a record of its handshake. A frame of RocketMQ begins
/// with the highest byte of its length, which is 0 or 1.
const HANDSHAKE: u8 = 0x16;
/// Room for what a server says in a handshake that this side began.
const HANDSHAKE_ROOM_BYTES: usize = 4096;

/// How much more work a byte is with TLS.
pub const TLS_WORK: usize = 4;

/// What the connections of an executor have in common: the certificates of the server, and that
/// one step of one handshake is worked on at a time.
#[derive(Default)]
pub struct Handshakes {
    acceptor: Acceptor,
    turn: Turn,
}

impl Handshakes {
    pub fn new(acceptor: &Acceptor) -> Rc<Handshakes> {
        Rc::new(Handshakes { acceptor: acceptor.clone(), turn: Turn::default() })
    }
}

/// What a step of reading brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// So many bytes of data; 0 at the end of the stream.
    Bytes(usize),
    /// The same with TLS: a byte is some [`TLS_WORK`] times the work.
    Opened(usize),
    /// Something that is no data, or not all of a record: memory is held for it.
    Nothing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing has come.
    Unknown,
    Plain,
    Tls,
}

pub struct TlsStream<S> {
    inner: S,
    /// Whoever has made a connection says himself what is wrong with it.
    is_accepted: bool,
    kind: Cell<Kind>,
    handshakes: Rc<Handshakes>,
    session: OnceCell<Box<Session>>,
}

impl<S: Stream> TlsStream<S> {
    /// A connection that was accepted.
    pub fn accepted(inner: S, handshakes: &Rc<Handshakes>) -> TlsStream<S> {
        let (kind, handshakes) = (Cell::new(Kind::Unknown), handshakes.clone());
        TlsStream { inner, is_accepted: true, kind, handshakes, session: OnceCell::new() }
    }

    /// A connection that was made to `host`. Without a connector it is a plain one; with one the
    /// handshake is done when this resolves.
    ///
    /// # Errors
    /// If the host is no name or address that a certificate can have, or has none that is taken.
    pub async fn connected<R: Runtime>(
        inner: S,
        connector: Option<&Connector>,
        host: &str,
        runtime: &R,
    ) -> io::Result<TlsStream<S>> {
        let (kind, handshakes, session) = (Cell::new(Kind::Plain), Rc::default(), OnceCell::new());
        let stream = TlsStream { inner, is_accepted: false, kind, handshakes, session };
        let Some(connector) = connector else { return Ok(stream) };
        stream.kind.set(Kind::Tls);
        let tls = connector.connection(host)?;
        let session = Session::new(tls, connector.kernel(), runtime.monotonic());
        let session = stream.session.get_or_init(|| Box::new(session));
        let mut room = vec![0; HANDSHAKE_ROOM_BYTES];
        while session.is_handshaking() {
            match stream.read(runtime, &mut room).await {
                Ok(Came::Bytes(0) | Came::Opened(0)) => {
                    let ended = "it closed the connection in the TLS handshake";
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, ended));
                }
                Ok(_) => {}
                Err(error) => {
                    // The server is to hear why.
                    stream.shutdown();
                    return Err(error);
                }
            }
        }
        Ok(stream)
    }

    fn session(&self) -> io::Result<&Session> {
        let session = self.session.get().map(|session| &**session);
        session.ok_or_else(|| io::Error::other("internal error: there is no TLS session"))
    }

    pub fn peer(&self) -> SocketAddr {
        self.inner.peer()
    }

    pub fn local(&self) -> SocketAddr {
        self.inner.local()
    }

    /// A step of reading, into a buffer that is not empty. Safe to cancel, but for a handshake,
    /// whose connection is of no use then.
    pub async fn read<R: Runtime>(&self, runtime: &R, buffer: &mut [u8]) -> io::Result<Came> {
        match self.kind.get() {
            Kind::Plain => self.inner.read(buffer).await.map(Came::Bytes),
            Kind::Tls => {
                let turn = (runtime, &self.handshakes.turn);
                let step = self.session()?.read(&self.inner, turn, buffer).await;
                step.inspect_err(|error| self.report(error))
            }
            Kind::Unknown => self.first_read(runtime, buffer).await,
        }
    }

    /// Reads data: at least one byte, or 0 at the end of the stream.
    pub async fn read_data<R: Runtime>(&self, runtime: &R, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.read(runtime, buffer).await? {
                Came::Bytes(count) | Came::Opened(count) => return Ok(count),
                Came::Nothing => {}
            }
        }
    }

    async fn first_read<R: Runtime>(&self, runtime: &R, buffer: &mut [u8]) -> io::Result<Came> {
        let count = self.inner.read(buffer).await?;
        let came = buffer.get(..count).unwrap_or_default();
        let Some(first) = came.first() else { return Ok(Came::Bytes(0)) };
        let acceptor = &self.handshakes.acceptor;
        let (peer, mode) = (self.inner.peer(), acceptor.mode());
        let closed = "connection closed";
        match (*first == HANDSHAKE, mode) {
            (true, TlsMode::Disabled) => {
                tracing::warn!(%peer, "{closed}: it wants TLS, tls.server.mode = disabled");
                Err(io::ErrorKind::PermissionDenied.into())
            }
            (false, TlsMode::Enforcing) => {
                tracing::warn!(%peer, "{closed}: it lacks TLS, tls.server.mode = enforcing");
                Err(io::ErrorKind::PermissionDenied.into())
            }
            (false, _) => {
                self.kind.set(Kind::Plain);
                Ok(Came::Bytes(count))
            }
            (true, _) => {
                let tls = acceptor.connection()?;
                let session = Session::new(tls, acceptor.kernel(), runtime.monotonic());
                session.begin(came);
                let _ = self.session.set(Box::new(session));
                self.kind.set(Kind::Tls);
                Ok(Came::Nothing)
            }
        }
    }

    /// What a peer does wrong, and not that it has gone.
    fn report(&self, error: &io::Error) {
        if self.is_accepted && error.kind() == io::ErrorKind::InvalidData {
            tracing::warn!(peer = %self.inner.peer(), "connection closed: TLS: {error}");
        }
    }

    /// Memory for what is read, in bytes, at most, beyond [`IDLE_BYTES`](crate::IDLE_BYTES), and
    /// whether a handshake or a record has begun to come. Nothing without TLS.
    #[inline]
    pub fn input(&self) -> (usize, bool) {
        let session = self.session.get();
        session.map_or((0, false), |session| (session.input_bytes(), session.is_partial()))
    }

    /// How much work it is to send so many bytes, in bytes without TLS.
    pub fn work_of(&self, bytes: usize) -> usize {
        match self.kind.get() {
            Kind::Tls => bytes.saturating_mul(TLS_WORK),
            Kind::Plain | Kind::Unknown => bytes,
        }
    }

    /// Memory of what was made of written bytes and waits for the socket; 0 without TLS.
    #[inline]
    pub fn output_bytes(&self) -> usize {
        self.session.get().map_or(0, |session| session.output_bytes())
    }

    /// At most so much memory is made of so many written bytes before the socket has taken some; 0
    /// without TLS.
    pub fn sealed_bytes(&self, written: usize) -> usize {
        self.session.get().map_or(0, |session| session.sealed_bytes(written))
    }

    /// As [`Stream::try_write`]. After less than all was written the next write begins with the
    /// byte behind.
    #[inline]
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.kind.get() {
            Kind::Tls => self.session()?.try_write(&self.inner, bytes),
            Kind::Plain | Kind::Unknown => self.inner.try_write(bytes),
        }
    }

    /// As [`Stream::write`], likewise.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.kind.get() {
            Kind::Tls => self.session()?.write(&self.inner, bytes).await,
            Kind::Plain | Kind::Unknown => self.inner.write(bytes).await,
        }
    }

    /// As [`Stream::shutdown`].
    pub fn shutdown(&self) {
        if let Some(session) = self.session.get() {
            session.close(&self.inner);
        }
        self.inner.shutdown();
    }
}
