//! One TLS connection over a stream: what is written becomes records, records become what is read.
//!
//! Whoever writes is told only of bytes whose records the socket has taken, and begins the next
//! write with those that it was not told of: so nothing waits here without somebody who waits for
//! it, and no more than a few records are in memory.

use std::{
    cell::{Cell, OnceCell, RefCell},
    io::{self, Read, Write},
    panic::{self, AssertUnwindSafe},
    time::Duration,
};

use ringmq_io::{Runtime, Stream, kernel_tls::Offer};
use ringmq_net::{
    rounds::{SHARE, units_of},
    turn::Turn,
};
use rustls::Connection;

use crate::{
    kernel::{self, Kernel},
    output::Output,
    records::{Records, complete_bytes},
    stream::{Came, TLS_WORK},
    traffic_secrets::{self, Caught},
};

/// How long a handshake may take, as RocketMQ's (netty's).
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Bytes that a peer may send for it. Chains of certificates have some thousand.
const HANDSHAKE_BYTES_MAX: usize = 128 * 1024;
/// What a handshake takes beside what has come for it, and how often it has that: joined to
/// messages in memory that doubles as it grows, for the hash over all of it, and read.
const HANDSHAKE_BYTES: usize = 16 * 1024;
const HANDSHAKE_COPIES: usize = 4;
/// A record is joined in memory that is as long as what has come of it and this, and that doubles
/// as it grows; what is opened of it is whole until its last byte is taken.
const JOINING_BYTES: usize = 4096;
const RECORD_BYTES: usize = 16 * 1024;
const WIRE_BYTES_MAX: usize = RECORD_BYTES + 2048 + 5;
/// Bytes that are opened at a time: short records are held by a list, which stays as long as it was
/// once.
const OPEN_BYTES: usize = 2048;
/// Bytes that are read from the socket at a time: those of a record, so that what they bring fits.
const READ_BYTES: usize = 16 * 1024;
/// Bytes that are made records of at a time, and in one call that does not wait.
const WRITE_BYTES: usize = 64 * 1024;
const TRY_WRITE_BYTES: usize = 128 * 1024;
/// What is read or written in one go is some of a share of a round.
const _: () = assert!(units_of(READ_BYTES / 2 * TLS_WORK) > 0);
const _: () = assert!(units_of(TRY_WRITE_BYTES * TLS_WORK) >= SHARE);
/// Certificates that a peer shows are kept with its connection.
const PEER_CERTIFICATES_BYTES_MAX: usize = 16 * 1024;
/// Records without data that a peer may send in a row, in bytes: they are kept until their
/// messages are complete.
const SILENT_BYTES_MAX: usize = 16 * 1024;

type Tls = Box<Connection>;

pub struct Session {
    /// `None` while a step of the handshake is worked on beside the executor.
    tls: RefCell<Option<Tls>>,
    is_handshaking: Cell<bool>,
    began: Duration,
    /// What has come and is not opened yet: of a handshake until a record is complete, later until
    /// what was opened before is taken.
    unread: RefCell<Vec<u8>>,
    /// Bytes that have come for the handshake; later, since there was data.
    silent_bytes: Cell<usize>,
    records: RefCell<Records>,
    /// Opened and not taken.
    opened_bytes: Cell<usize>,
    /// The most that was joined since there was no record that had begun.
    joined_bytes: Cell<usize>,
    /// Of certificates of the peer.
    certificates_bytes: Cell<usize>,
    output: Output,
    /// How much of what is written next is in the output already.
    sealed: Cell<usize>,
    /// How much that was at first, and how long the output was then.
    part: Cell<(usize, usize)>,
    /// The kernel is to have the connection when nothing is under way.
    offer: Cell<Option<Offer>>,
    caught: RefCell<Caught>,
    /// The kernel has it: nothing above counts any more.
    kernel: OnceCell<Kernel>,
}

impl Session {
    /// `offer`: what the kernel can do, if it is to.
    pub fn new(tls: Connection, offer: Option<Offer>, now: Duration) -> Session {
        Session {
            tls: RefCell::new(Some(Box::new(tls))),
            is_handshaking: Cell::new(true),
            began: now,
            unread: RefCell::default(),
            silent_bytes: Cell::new(0),
            records: RefCell::default(),
            opened_bytes: Cell::new(0),
            joined_bytes: Cell::new(0),
            certificates_bytes: Cell::new(0),
            output: Output::default(),
            sealed: Cell::new(0),
            part: Cell::default(),
            offer: Cell::new(offer),
            caught: RefCell::default(),
            kernel: OnceCell::new(),
        }
    }

    pub fn is_handshaking(&self) -> bool {
        self.is_handshaking.get()
    }

    /// Memory for what is read, at most, beyond [`IDLE_BYTES`](crate::IDLE_BYTES); in a handshake
    /// with what it says.
    pub fn input_bytes(&self) -> usize {
        let unread = self.unread.borrow().capacity();
        let silent = self.silent_bytes.get();
        if self.is_handshaking.get() {
            return unread + self.output.bytes() + HANDSHAKE_BYTES + silent * HANDSHAKE_COPIES;
        }
        let joining = match silent + self.records.borrow().partial_bytes() {
            0 => 0,
            begun => (begun.max(self.joined_bytes.get()) + JOINING_BYTES) * 2,
        };
        let opened = match self.opened_bytes.get() {
            0 => 0,
            opened => opened + RECORD_BYTES,
        };
        unread + joining + opened + self.certificates_bytes.get()
    }

    /// Memory of what waits for the socket.
    pub fn output_bytes(&self) -> usize {
        self.output.bytes()
    }

    /// At most so much memory is made of so many written bytes at a time.
    pub fn sealed_bytes(&self, written: usize) -> usize {
        if self.kernel.get().is_some() {
            return 0;
        }
        // Records have some bytes more, and the room for them doubles as it grows.
        written.min(WRITE_BYTES) * 9 / 4
    }

    /// A handshake or a record has begun to come.
    pub fn is_partial(&self) -> bool {
        self.is_handshaking.get() || self.records.borrow().partial_bytes() > 0
    }

    /// The peer has sent the first bytes of the handshake.
    pub fn begin(&self, bytes: &[u8]) {
        self.unread.borrow_mut().extend_from_slice(bytes);
    }

    /// A step of reading into `buffer`, which is not empty. At most one step of a handshake, of all
    /// that share a `turn`, is worked on at a time, beside the executor.
    pub async fn read<S: Stream, R: Runtime>(
        &self,
        inner: &S,
        (runtime, turn): (&R, &Turn),
        buffer: &mut [u8],
    ) -> io::Result<Came> {
        if !self.is_handshaking.get() {
            return self.read_data(inner, buffer).await;
        }
        let passed = runtime.monotonic().saturating_sub(self.began);
        let step = self.shake_hands(inner, (runtime, turn), buffer);
        let late = async {
            if passed < HANDSHAKE_MAX {
                runtime.sleep(HANDSHAKE_MAX - passed).await;
            }
            let late = format!("its TLS handshake takes longer than {HANDSHAKE_MAX:?}");
            Err(io::Error::new(io::ErrorKind::InvalidData, late))
        };
        // Who is late does not go on because there is always a byte more of it.
        futures_lite::future::or(late, step).await
    }

    async fn shake_hands<S: Stream, R: Runtime>(
        &self,
        inner: &S,
        (runtime, turn): (&R, &Turn),
        buffer: &mut [u8],
    ) -> io::Result<Came> {
        self.send_own(inner).await?;
        if complete_bytes(&self.unread.borrow()) > 0 {
            self.work(runtime, turn).await?;
            self.seal();
            self.send_own(inner).await?;
            return Ok(Came::Nothing);
        }
        let waiting = self.unread.borrow().len();
        if self.silent_bytes.get() + waiting > HANDSHAKE_BYTES_MAX {
            let long = format!("its TLS handshake has more than {HANDSHAKE_BYTES_MAX} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, long));
        }
        let room = buffer.len().min(READ_BYTES);
        let Some(room) = buffer.get_mut(..room) else { return Ok(Came::Bytes(0)) };
        let count = inner.read(room).await?;
        if count == 0 {
            return Ok(Came::Bytes(0));
        }
        self.unread.borrow_mut().extend_from_slice(room.get(..count).unwrap_or_default());
        Ok(Came::Nothing)
    }

    /// One step of the handshake, with all records that are complete. What it costs, some hundred
    /// microseconds to some milliseconds, holds up no other connection.
    async fn work<R: Runtime>(&self, runtime: &R, turn: &Turn) -> io::Result<()> {
        let turn = turn.take().await;
        let Some(mut tls) = self.tls.take() else { return Err(gone()) };
        let mut bytes = self.unread.take();
        let complete = complete_bytes(&bytes);
        let step = move || {
            traffic_secrets::begin();
            let fed = feed(&mut tls, bytes.get(..complete).unwrap_or_default());
            (tls, fed, bytes, traffic_secrets::take())
        };
        let (tls, fed, back, caught) = runtime.aside(step).await;
        self.caught.borrow_mut().add(caught);
        bytes = back;
        drop(turn);
        let is_handshaking = tls.is_handshaking();
        let shown = tls.peer_certificates().unwrap_or_default();
        let certificates = shown.iter().map(|certificate| certificate.len()).sum();
        self.certificates_bytes.set(certificates);
        *self.tls.borrow_mut() = Some(tls);
        let fed = fed.inspect_err(|_| self.seal())?;
        let taken = bytes.drain(..fed.taken.min(bytes.len()));
        self.records.borrow_mut().pass(taken.as_slice());
        drop(taken);
        bytes.shrink_to_fit();
        self.silent_bytes.set(self.silent_bytes.get() + fed.taken);
        self.opened_bytes.set(fed.opened);
        *self.unread.borrow_mut() = bytes;
        if certificates > PEER_CERTIFICATES_BYTES_MAX {
            let many = format!(
                "its certificates have {certificates} bytes, at most {PEER_CERTIFICATES_BYTES_MAX} \
                 are taken"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, many));
        }
        if !is_handshaking {
            self.is_handshaking.set(false);
            self.silent_bytes.set(0);
        }
        Ok(())
    }

    async fn read_data<S: Stream>(&self, inner: &S, buffer: &mut [u8]) -> io::Result<Came> {
        if self.kernel.get().is_none() {
            if let Some(count) = self.take_opened(buffer)? {
                return Ok(Came::Opened(count));
            }
            self.hand_over(inner)?;
        }
        if let Some(kernel) = self.kernel.get() {
            return kernel.read(inner, buffer).await;
        }
        let mut unread = self.unread.take();
        if unread.is_empty() {
            let mut room = buffer.len().min(READ_BYTES);
            if self.offer.get().is_some() {
                // Up to where the kernel may go on.
                room = room.min(self.records.borrow().missing_bytes());
            }
            let Some(room) = buffer.get_mut(..room) else { return Ok(Came::Bytes(0)) };
            let count = inner.read(room).await?;
            let came = room.get(..count).unwrap_or_default();
            if came.is_empty() {
                return Ok(Came::Bytes(0));
            }
            let opened = self.open(inner, came)?;
            unread = came.get(opened..).unwrap_or_default().to_vec();
        } else {
            let opened = self.open(inner, &unread)?;
            drop(unread.drain(..opened.min(unread.len())));
        }
        if !unread.is_empty() {
            *self.unread.borrow_mut() = unread;
        }
        Ok(self.take_opened(buffer)?.map_or(Came::Nothing, Came::Opened))
    }

    /// Gives the connection to the kernel, if it is to have it and nothing is under way: whoever
    /// reads has taken all that was opened.
    fn hand_over<S: Stream>(&self, inner: &S) -> io::Result<()> {
        let Some(offer) = self.offer.get() else { return Ok(()) };
        if let Some(tls) = self.tls.borrow_mut().as_mut() {
            // A KeyUpdate that the peer has asked for waits for what is written next, unseen. Its
            // keys count already.
            let _ = tls.writer().write(&[])?;
        }
        self.seal();
        self.output.send(inner)?;
        let came_whole = self.unread.borrow().is_empty()
            && self.silent_bytes.get() == 0
            && self.records.borrow().partial_bytes() == 0;
        let sent_whole =
            self.sealed.get() == 0 && self.output.left() == 0 && !self.output.is_writing();
        if !came_whole || !sent_whole {
            return Ok(());
        }
        let mut tls = self.tls.borrow_mut();
        let whole = tls.as_ref().filter(|tls| !tls.wants_write());
        let Some(suite) = whole.map(|tls| kernel::suite(tls)) else { return Ok(()) };
        self.offer.set(None);
        if !suite.is_some_and(|suite| offer.has(suite)) || inner.ready_kernel_tls().is_err() {
            return Ok(());
        }
        let (tls, caught) = (tls.take().ok_or_else(gone)?, self.caught.take());
        let kernel = Kernel::take_over(*tls, caught, offer, inner)?;
        self.certificates_bytes.set(0);
        let _ = self.kernel.set(kernel);
        Ok(())
    }

    /// What has been opened and not been taken, if anything; 0 at the end.
    fn take_opened(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let mut tls = self.tls.borrow_mut();
        let tls = tls.as_mut().ok_or_else(gone)?;
        match tls.reader().read(buffer) {
            Ok(count) => {
                self.opened_bytes.set(self.opened_bytes.get().saturating_sub(count));
                Ok(Some(count))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Some(0)),
            Err(error) => Err(error),
        }
    }

    /// Opens records as far as there is room for what they bring; of how many bytes.
    fn open<S: Stream>(&self, inner: &S, bytes: &[u8]) -> io::Result<usize> {
        let fed = {
            let mut tls = self.tls.borrow_mut();
            feed(tls.as_mut().ok_or_else(gone)?, bytes)
        };
        // The peer is to hear why, and what it asks for itself.
        self.seal();
        let sent = self.output.send(inner);
        let fed = fed?;
        sent?;
        let opened = bytes.get(..fed.taken).unwrap_or(bytes);
        let joined = self.records.borrow().partial_bytes() + opened.len();
        self.records.borrow_mut().pass(opened);
        self.joined_bytes.set(match self.records.borrow().partial_bytes() {
            0 => 0,
            _ => self.joined_bytes.get().max(joined.min(WIRE_BYTES_MAX)),
        });
        self.opened_bytes.set(fed.opened);
        let silent = if fed.opened > 0 { 0 } else { self.silent_bytes.get() + opened.len() };
        // A record of data is silent until its end has come.
        let whole = silent.saturating_sub(self.records.borrow().partial_bytes());
        if whole > SILENT_BYTES_MAX {
            let idle = format!("more than {SILENT_BYTES_MAX} bytes of TLS bring no data");
            return Err(io::Error::new(io::ErrorKind::InvalidData, idle));
        }
        self.silent_bytes.set(whole);
        Ok(opened.len())
    }

    /// Sends what the connection itself has to say, all of it.
    pub async fn send_own<S: Stream>(&self, inner: &S) -> io::Result<()> {
        self.seal();
        while !self.output.send(inner)? {
            self.output.send_some(inner).await?;
        }
        Ok(())
    }

    /// As [`Stream::try_write`].
    pub fn try_write<S: Stream>(&self, inner: &S, bytes: &[u8]) -> io::Result<usize> {
        if let Some(kernel) = self.kernel.get() {
            return kernel.try_write(inner, bytes);
        }
        let mut taken = 0;
        loop {
            let (count, all) = self.send(inner)?;
            taken += count;
            if !all {
                return if taken > 0 { Ok(taken) } else { Err(io::ErrorKind::WouldBlock.into()) };
            }
            let rest = bytes.get(taken..).unwrap_or_default();
            if rest.is_empty() || taken >= TRY_WRITE_BYTES {
                return Ok(taken);
            }
            self.make_records(rest)?;
        }
    }

    /// As [`Stream::write`]. Lets others run in between, and makes one part of records at most.
    pub async fn write<S: Stream>(&self, inner: &S, bytes: &[u8]) -> io::Result<usize> {
        futures_lite::future::yield_now().await;
        loop {
            // Whoever reads may have handed over while this waited.
            if let Some(kernel) = self.kernel.get() {
                return kernel.write(inner, bytes).await;
            }
            match self.send(inner)? {
                (count @ 1.., _) => return Ok(count),
                (0, true) => self.make_records(bytes)?,
                (0, false) => self.output.send_some(inner).await?,
            }
        }
    }

    fn make_records(&self, bytes: &[u8]) -> io::Result<()> {
        let part = bytes.get(..WRITE_BYTES).unwrap_or(bytes);
        let count = {
            let mut tls = self.tls.borrow_mut();
            tls.as_mut().ok_or_else(gone)?.writer().write(part)?
        };
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.seal();
        self.sealed.set(count);
        self.part.set((count, self.output.left()));
        Ok(())
    }

    /// Sends what the socket takes. How much of what was written that is, and whether it was all.
    fn send<S: Stream>(&self, inner: &S) -> io::Result<(usize, bool)> {
        self.seal();
        let all = self.output.send(inner)?;
        let sealed = self.sealed.get();
        let left = match all {
            true => 0,
            false if self.output.is_writing() => sealed,
            // Of what was written as much is left as of its records: who takes a little at a time
            // is seen to do so.
            false => {
                let (part, records) = self.part.get();
                (part * self.output.left()).div_ceil(records.max(1)).min(sealed)
            }
        };
        self.sealed.set(left);
        Ok((sealed - left, all))
    }

    /// Tells the peer that no more comes, as far as the socket takes that.
    pub fn close<S: Stream>(&self, inner: &S) {
        if let Some(kernel) = self.kernel.get() {
            return kernel.close(inner);
        }
        if let Some(tls) = self.tls.borrow_mut().as_mut() {
            tls.send_close_notify();
        }
        self.seal();
        let _ = self.output.send(inner);
    }

    /// Moves finished records into the output.
    fn seal(&self) {
        let mut tls = self.tls.borrow_mut();
        let Some(tls) = tls.as_mut().filter(|tls| tls.wants_write()) else { return };
        self.output.add(|bytes| {
            // Memory takes all.
            while tls.wants_write() && tls.write_tls(bytes).is_ok_and(|count| count > 0) {}
        });
    }
}

/// What became of bytes.
struct Fed {
    /// Bytes that are done with.
    taken: usize,
    /// What was opened and waits to be taken.
    opened: usize,
}

/// Opens records until there is something to take: some short ones, or one. A panic over
/// bytes of a peer costs its connection only.
fn feed(tls: &mut Tls, bytes: &[u8]) -> io::Result<Fed> {
    let invalid = |error: rustls::Error| io::Error::new(io::ErrorKind::InvalidData, error);
    let work = || {
        let mut rest = bytes;
        let mut opened = 0;
        while !rest.is_empty() && opened == 0 {
            let mut next = rest.get(..OPEN_BYTES).unwrap_or(rest);
            let count = tls.read_tls(&mut next)?;
            rest = rest.get(count..).unwrap_or_default();
            if count == 0 {
                // What comes behind the end is thrown away.
                return Ok(Fed { taken: bytes.len(), opened });
            }
            opened = tls.process_new_packets().map_err(invalid)?.plaintext_bytes_to_read();
        }
        give_back(tls);
        Ok(Fed { taken: bytes.len() - rest.len(), opened })
    };
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(io::Error::other("panic")))
}

/// Has memory given back in which records were joined, which else happens with the next read only,
/// however late that comes.
fn give_back(tls: &mut Tls) {
    struct Later;
    impl Read for Later {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }
    let _ = tls.read_tls(&mut Later);
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the handshake is not done")
}
