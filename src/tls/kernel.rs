//! TLS in the kernel, where it has any: rustls shakes hands, then the kernel has the keys, and the
//! connection is read and written like one without TLS.
//!
//! **When.** Whoever reads hands over ([`Session`](crate::session::Session)), and only between two
//! records: all that has come is opened and taken, and all that was sealed is with the socket. What
//! rustls has read it has opened, so none of it is lost; and from the end of the handshake on no
//! byte behind the record that has begun is read, so that such a moment comes soon: nearly always
//! before the first request. A connection whose suite the kernel does not know, or that it does not
//! ready, never leaves rustls: that is decided before the keys are taken from there, which cannot
//! be undone. The kernel is asked what it can once in a process ([`offered`]).
//!
//! **Reading** is `recvmsg` with room for the type of the record, never `recv`, which fails at each
//! record that is no data and may show one without contents as the end of the stream.
//! `close_notify` is the end, other alerts end it with their name; a KeyUpdate brings new keys;
//! tickets of servers are thrown away, their connections last.
//!
//! **Both directions or none.** rustls gives the keys of both and keeps neither. Sending alone
//! would need the records that come to be opened by code of our own.
//!
//! **Changes of keys** follow from secrets that are caught in the handshake
//! ([`traffic_secrets`](crate::traffic_secrets)). Before Linux 6.14 the kernel takes keys once: a
//! peer that changes its own is closed then, with a sentence (Java does after 128 GiB, rustls after
//! 16 million records), and connects again. AES-GCM seals so much under one key and no more
//! ([`BLOCKS_MAX`]): then the keys are changed by this side, or, where that cannot be, the
//! connection is closed as well.
//!
//! **What rustls does better.** A peer that sends nothing but records without contents, as fast as
//! the kernel opens them, keeps `recvmsg` and with it its shard busy; rustls closes such a peer
//! after 16 KiB. And `send` may count bytes whose record waits for room in the socket: should the
//! connection be shut down at that moment they are lost although they were counted. `tls.kernel =
//! off` is there for both.

#[cfg(test)]
mod in_kernel;
#[cfg(test)]
mod tests;

use std::{
    cell::{Cell, RefCell},
    io,
    sync::OnceLock,
};

use ringmq_base::config::TlsKernel;
use ringmq_io::{
    Stream,
    kernel_tls::{self, Cipher, Direction, Keys, Lacking, Offer, Version},
};
use rustls::{
    AlertDescription, CipherSuite, Connection, ConnectionTrafficSecrets, SupportedCipherSuite,
};

use crate::{
    stream::Came,
    traffic_secrets::{Caught, Secret},
};

/// Types of records.
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;
/// Types of messages of a handshake.
const NEW_SESSION_TICKET: u8 = 4;
const KEY_UPDATE: u8 = 24;
/// Levels of alerts.
const WARNING: u8 = 1;
const FATAL: u8 = 2;

/// A KeyUpdate that asks for none.
const CHANGE_OF_KEYS: [u8; 5] = [KEY_UPDATE, 0, 0, 1, 0];

/// Blocks of 16 bytes that are sealed under one key of AES-GCM, a little less than 2^34.5, which
/// RFC 8446, 5.5, gives as 24 million records of 16 KiB. ChaCha20 has no such limit.
const BLOCKS_MAX: u64 = 1 << 34;
const BLOCK_BYTES: usize = 16;
const RECORD_BYTES: usize = 16 * 1024;

/// Records without data that a peer may send in a row, in bytes, as in user space; what a record
/// has beside its contents; and the longest message of a handshake.
const SILENT_BYTES_MAX: usize = 16 * 1024;
const OVERHEAD_BYTES: usize = 22;
/// Changes of keys in user space; rustls takes fewer in a row.
const CHANGES_BEFORE_MAX: usize = 64;

/// What the kernel can do, if it is to. The first time it is tried, and the log says the outcome.
pub fn offered(wanted: TlsKernel) -> Option<Offer> {
    static FOUND: OnceLock<Result<Offer, Lacking>> = OnceLock::new();
    if wanted == TlsKernel::Off {
        return None;
    }
    let found = FOUND.get_or_init(|| {
        kernel_tls::probe()
            .inspect(|offer| tracing::info!("TLS in the kernel: {offer}"))
            .inspect_err(|lacking| tracing::info!("TLS in user space: {lacking}"))
    });
    found.as_ref().ok().copied()
}

/// The suite of a connection as the kernel knows it.
pub fn suite(tls: &Connection) -> Option<(Version, Cipher)> {
    let suite = tls.negotiated_cipher_suite()?;
    let version = match suite {
        SupportedCipherSuite::Tls12(_) => Version::Tls12,
        SupportedCipherSuite::Tls13(_) => Version::Tls13,
    };
    let cipher = match suite.suite() {
        CipherSuite::TLS13_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => Cipher::Aes128Gcm,
        CipherSuite::TLS13_AES_256_GCM_SHA384
        | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
        | CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => Cipher::Aes256Gcm,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
        | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
        | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => Cipher::Chacha20Poly1305,
        _ => return None,
    };
    Some((version, cipher))
}

/// A connection whose keys the kernel has.
pub struct Kernel {
    version: Version,
    cipher: Cipher,
    is_client: bool,
    /// What the next keys follow from; `None` where there are none, or nobody takes them.
    secrets: RefCell<Option<Secrets>>,
    /// A KeyUpdate is to be sent before anything else.
    owes_change: Cell<bool>,
    /// Sealed under the keys that count.
    sealed_blocks: Cell<u64>,
    /// Of records that were no data, since there was data.
    silent_bytes: Cell<usize>,
    /// What has come of a message in records of a type.
    begun: RefCell<(u8, Vec<u8>)>,
    ended: Cell<bool>,
}

struct Secrets {
    send: Secret,
    receive: Secret,
}

impl Kernel {
    /// Takes the keys from a connection with nothing under way and gives them to the socket, which
    /// is ready.
    ///
    /// # Errors
    /// If rustls or the kernel refuses; then there is no connection any more.
    pub fn take_over<S: Stream>(
        tls: Connection,
        caught: Caught,
        offer: Offer,
        inner: &S,
    ) -> io::Result<Kernel> {
        let lost = |what: &str| io::Error::other(format!("TLS cannot go on in the kernel: {what}"));
        let (version, cipher) = suite(&tls).ok_or_else(|| lost("unknown suite"))?;
        let is_client = matches!(tls, Connection::Client(_));
        let tls13 = tls.negotiated_cipher_suite().and_then(|suite| suite.tls13());
        let extracted = tls.dangerous_extract_secrets().map_err(io::Error::other)?;
        let keys = |(sequence, secrets): &(u64, ConnectionTrafficSecrets)| {
            let (key, iv) = parts(secrets)?;
            Keys::new((version, cipher), key, iv, *sequence)
        };
        for (direction, of) in
            [(Direction::Send, &extracted.tx), (Direction::Receive, &extracted.rx)]
        {
            let keys = keys(of).ok_or_else(|| lost("keys of another length"))?;
            inner.set_kernel_keys(direction, &keys).map_err(|error| lost(&error.to_string()))?;
        }
        let (own, peers) = match is_client {
            true => (caught.client, caught.server),
            false => (caught.server, caught.client),
        };
        let secrets = match (tls13.filter(|_| offer.changes_keys), own, peers) {
            (Some(suite), Some(own), Some(peers)) => {
                let send = caught_up(Secret::new(suite, own), cipher, &extracted.tx);
                let receive = caught_up(Secret::new(suite, peers), cipher, &extracted.rx);
                send.zip(receive).map(|(send, receive)| Secrets { send, receive })
            }
            _ => None,
        };
        Ok(Kernel {
            version,
            cipher,
            is_client,
            secrets: RefCell::new(secrets),
            owes_change: Cell::new(false),
            sealed_blocks: Cell::new(0),
            silent_bytes: Cell::new(0),
            begun: RefCell::default(),
            ended: Cell::new(false),
        })
    }

    /// A step of reading.
    pub async fn read<S: Stream>(&self, inner: &S, buffer: &mut [u8]) -> io::Result<Came> {
        if self.ended.get() {
            return Ok(Came::Opened(0));
        }
        let (kind, count) = match inner.read_record(buffer).await {
            Ok(received) => received,
            Err(error) => return Err(explained(inner, error)),
        };
        let contents = buffer.get(..count).unwrap_or_default();
        match kind {
            Some(DATA) if count > 0 => {
                self.silent_bytes.set(0);
                return Ok(Came::Opened(count));
            }
            None if count == 0 => return Ok(Came::Opened(0)),
            None => return Err(io::Error::other("the kernel does not say what it has opened")),
            _ => {}
        }
        let silent = self.silent_bytes.get() + count + OVERHEAD_BYTES;
        self.silent_bytes.set(silent);
        if silent > SILENT_BYTES_MAX {
            return Err(invalid(format!(
                "more than {SILENT_BYTES_MAX} bytes of TLS bring no data"
            )));
        }
        match kind {
            Some(kind @ (ALERT | HANDSHAKE)) => self.take_message(inner, kind, contents)?,
            Some(DATA) => {}
            kind => {
                let kind = kind.unwrap_or_default();
                return Err(refused(inner, AlertDescription::UnexpectedMessage, kind));
            }
        }
        if self.ended.get() { Ok(Came::Opened(0)) } else { Ok(Came::Nothing) }
    }

    /// Contents of a record that is no data, or some of them.
    fn take_message<S: Stream>(&self, inner: &S, kind: u8, contents: &[u8]) -> io::Result<()> {
        let mut begun = self.begun.borrow_mut();
        let (of, bytes) = &mut *begun;
        if !bytes.is_empty() && *of != kind {
            return Err(refused(inner, AlertDescription::UnexpectedMessage, kind));
        }
        *of = kind;
        bytes.extend_from_slice(contents);
        loop {
            let taken = match (kind, bytes.as_slice()) {
                (ALERT, &[level, what, ..]) => {
                    self.take_alert(level, what)?;
                    2
                }
                (HANDSHAKE, &[what, a, b, c, ref rest @ ..]) => {
                    let length = u32::from_be_bytes([0, a, b, c]) as usize;
                    if length > SILENT_BYTES_MAX {
                        return Err(refused(inner, AlertDescription::DecodeError, kind));
                    }
                    let Some(message) = rest.get(..length) else { break };
                    let is_last = rest.len() == length;
                    self.take_handshake(inner, (what, message), is_last)?;
                    4 + length
                }
                _ => break,
            };
            bytes.drain(..taken);
        }
        if bytes.is_empty() {
            *bytes = Vec::new();
        }
        Ok(())
    }

    fn take_alert(&self, level: u8, what: u8) -> io::Result<()> {
        let alert = AlertDescription::from(what);
        match alert {
            AlertDescription::CloseNotify => self.ended.set(true),
            AlertDescription::UserCanceled => {}
            _ if level == WARNING && self.version == Version::Tls12 => {}
            _ => return Err(invalid(rustls::Error::AlertReceived(alert).to_string())),
        }
        Ok(())
    }

    fn take_handshake<S: Stream>(
        &self,
        inner: &S,
        (what, message): (u8, &[u8]),
        is_last: bool,
    ) -> io::Result<()> {
        match (self.version, what, message) {
            // Clients that begin anew with TLS 1.2 hear that this is not done, and go on.
            (Version::Tls12, ..) => {
                let refusal = [WARNING, AlertDescription::NoRenegotiation.into()];
                let _ = inner.try_write_record(ALERT, &refusal);
                Ok(())
            }
            (Version::Tls13, NEW_SESSION_TICKET, _) if self.is_client => Ok(()),
            // Nothing of the same keys comes behind it.
            (Version::Tls13, KEY_UPDATE, &[asks @ (0 | 1)]) if is_last => {
                self.change(inner, Direction::Receive)?;
                if asks == 1 {
                    self.owes_change.set(true);
                    // Else before whatever is written next.
                    let _ = self.send_change(inner)?;
                }
                Ok(())
            }
            _ => Err(refused(inner, AlertDescription::UnexpectedMessage, HANDSHAKE)),
        }
    }

    /// The next keys of a direction count.
    fn change<S: Stream>(&self, inner: &S, direction: Direction) -> io::Result<()> {
        let mut secrets = self.secrets.borrow_mut();
        let secret = secrets.as_mut().map(|secrets| match direction {
            Direction::Send => &mut secrets.send,
            Direction::Receive => &mut secrets.receive,
        });
        let secret = secret.ok_or_else(|| {
            let why = match direction {
                Direction::Receive => "its peer changes keys (KeyUpdate)",
                Direction::Send => "AES-GCM has sealed what it may under one key",
            };
            invalid(format!(
                "{why}, and the kernel takes no others before Linux 6.14 and TLS 1.3: let it \
                 connect again, or set tls.kernel = off"
            ))
        })?;
        let next = secret.next().ok_or_else(|| io::Error::other("no next secret"))?;
        let keys = next.keys(self.cipher, 0).ok_or_else(|| io::Error::other("no next keys"))?;
        inner.set_kernel_keys(direction, &keys)?;
        *secret = next;
        Ok(())
    }

    /// Sends the KeyUpdate that is owed, if the socket takes it; whether it is owed no more.
    fn send_change<S: Stream>(&self, inner: &S) -> io::Result<bool> {
        if !self.owes_change.get() {
            return Ok(true);
        }
        if self.secrets.borrow().is_none() {
            self.change(inner, Direction::Send)?;
        }
        match inner.try_write_record(HANDSHAKE, &CHANGE_OF_KEYS) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
        self.owes_change.set(false);
        self.change(inner, Direction::Send)?;
        self.sealed_blocks.set(0);
        Ok(true)
    }

    /// As [`Stream::try_write`].
    pub fn try_write<S: Stream>(&self, inner: &S, bytes: &[u8]) -> io::Result<usize> {
        if self.sealed_blocks.get() >= BLOCKS_MAX && self.cipher != Cipher::Chacha20Poly1305 {
            self.owes_change.set(true);
        }
        if !self.send_change(inner).inspect_err(|error| say(inner, error))? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = inner.try_write(bytes)?;
        // Each record has two blocks more.
        let blocks = count.div_ceil(BLOCK_BYTES) + 2 * count.div_ceil(RECORD_BYTES);
        self.sealed_blocks.set(self.sealed_blocks.get() + blocks as u64);
        Ok(count)
    }

    /// As [`Stream::write`].
    pub async fn write<S: Stream>(&self, inner: &S, bytes: &[u8]) -> io::Result<usize> {
        inner.write_with(|| self.try_write(inner, bytes)).await
    }

    /// Tells the peer that no more comes, if the socket takes that.
    pub fn close<S: Stream>(&self, inner: &S) {
        let _ = inner.try_write_record(ALERT, &[WARNING, AlertDescription::CloseNotify.into()]);
    }
}

fn say<S: Stream>(inner: &S, error: &io::Error) {
    if error.kind() == io::ErrorKind::InvalidData {
        tracing::warn!(peer = %inner.peer(), "connection closed: TLS: {error}");
    }
}

fn parts(secrets: &ConnectionTrafficSecrets) -> Option<(&[u8], [u8; 12])> {
    let (key, iv) = match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (key, iv),
        _ => return None,
    };
    Some((key.as_ref(), iv.as_ref().try_into().ok()?))
}

/// The secret that these keys follow from: the first, or, where keys were changed before they were
/// handed over, one of those behind it.
fn caught_up(
    mut secret: Secret,
    cipher: Cipher,
    (sequence, secrets): &(u64, ConnectionTrafficSecrets),
) -> Option<Secret> {
    let (key, iv) = parts(secrets)?;
    let given = Keys::new((Version::Tls13, cipher), key, iv, *sequence)?;
    for _ in 0..=CHANGES_BEFORE_MAX {
        if secret.keys(cipher, *sequence)?.parts() == given.parts() {
            return Some(secret);
        }
        secret = secret.next()?;
    }
    None
}

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// The peer is to hear why.
fn refused<S: Stream>(inner: &S, alert: AlertDescription, kind: u8) -> io::Error {
    let _ = inner.try_write_record(ALERT, &[FATAL, alert.into()]);
    invalid(format!("a record of type {kind} is refused: {alert:?}"))
}

/// What the kernel says of records that are none, in words; the peer hears of it, too.
fn explained<S: Stream>(inner: &S, error: io::Error) -> io::Error {
    let (alert, why) = match kernel_tls::of_record(&error) {
        Some(kernel_tls::BadRecord::Sealed) => {
            (AlertDescription::BadRecordMac, "cannot decrypt peer's message")
        }
        Some(kernel_tls::BadRecord::Long) => {
            (AlertDescription::RecordOverflow, "message too large")
        }
        Some(kernel_tls::BadRecord::Shape) => {
            (AlertDescription::DecodeError, "message of invalid shape")
        }
        None => return error,
    };
    let _ = inner.try_write_record(ALERT, &[FATAL, alert.into()]);
    invalid(why.to_owned())
}
