//! What stands for a kernel: a stream that seals and opens by itself from when it is given keys.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io,
    net::SocketAddr,
};

use ringmq_io::{
    Stream,
    kernel_tls::{Direction, Keys},
};
use rustls::{
    ContentType, ProtocolVersion,
    crypto::{
        cipher::{
            AeadKey, InboundOpaqueMessage, Iv, MessageDecrypter, MessageEncrypter, OutboundChunks,
            OutboundPlainMessage,
        },
        ring::cipher_suite::TLS13_AES_256_GCM_SHA384,
    },
};

use crate::records::complete_bytes;

const RECORD_BYTES: usize = 16 * 1024;
const HEADER_BYTES: usize = 5;

pub struct InKernel<S> {
    inner: S,
    /// It can be readied.
    pub can: bool,
    pub ready: Cell<bool>,
    /// How often each direction was given keys.
    pub keys: Cell<(u32, u32)>,
    seals: RefCell<Option<(Box<dyn MessageEncrypter>, u64)>>,
    opens: RefCell<Option<(Box<dyn MessageDecrypter>, u64)>>,
    came: RefCell<Vec<u8>>,
    opened: RefCell<VecDeque<(u8, Vec<u8>)>>,
    /// A record of which the socket has not taken all, and how much was sealed in it.
    waiting: RefCell<(Vec<u8>, usize)>,
    is_writing: Cell<bool>,
}

impl<S: Stream> InKernel<S> {
    pub fn new(inner: S, can: bool) -> InKernel<S> {
        InKernel {
            inner,
            can,
            ready: Cell::default(),
            keys: Cell::default(),
            seals: RefCell::default(),
            opens: RefCell::default(),
            came: RefCell::default(),
            opened: RefCell::default(),
            waiting: RefCell::default(),
            is_writing: Cell::default(),
        }
    }

    fn seals(&self) -> bool {
        self.seals.borrow().is_some()
    }

    /// Sends what the socket takes of the record that waits; of how much contents that was the end.
    fn push(&self) -> io::Result<usize> {
        let mut waiting = self.waiting.borrow_mut();
        let (record, sealed) = &mut *waiting;
        while !record.is_empty() {
            let count = self.inner.try_write(record)?;
            record.drain(..count);
        }
        Ok(std::mem::take(sealed))
    }

    fn seal(&self, kind: u8, bytes: &[u8]) -> io::Result<usize> {
        if self.is_writing.get() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        match self.push()? {
            0 => {}
            count => return Ok(count),
        }
        let part = &bytes[..bytes.len().min(RECORD_BYTES)];
        let mut seals = self.seals.borrow_mut();
        let (encrypter, sequence) = seals.as_mut().expect("it has keys");
        let message = OutboundPlainMessage {
            typ: ContentType::from(kind),
            version: ProtocolVersion::TLSv1_3,
            payload: OutboundChunks::Single(part),
        };
        let record = encrypter.encrypt(message, *sequence).expect("sound").encode();
        *sequence += 1;
        *self.waiting.borrow_mut() = (record, part.len());
        self.push()
    }

    /// Opens the first record that has come, if it has.
    fn open(&self) -> io::Result<bool> {
        let mut came = self.came.borrow_mut();
        let &[_, _, _, high, low, ..] = came.as_slice() else { return Ok(false) };
        let length = HEADER_BYTES + usize::from(u16::from_be_bytes([high, low]));
        if complete_bytes(&came) < length {
            return Ok(false);
        }
        let mut record: Vec<u8> = came.drain(..length).collect();
        let (kind, version) = (ContentType::from(record[0]), ProtocolVersion::TLSv1_2);
        let message = InboundOpaqueMessage::new(kind, version, &mut record[HEADER_BYTES..]);
        let mut opens = self.opens.borrow_mut();
        let (decrypter, sequence) = opens.as_mut().expect("it has keys");
        let bad = |_| io::Error::from_raw_os_error(74);
        let message = decrypter.decrypt(message, *sequence).map_err(bad)?;
        *sequence += 1;
        let opened = (u8::from(message.typ), message.payload.to_vec());
        self.opened.borrow_mut().push_back(opened);
        Ok(true)
    }
}

impl<S: Stream> Stream for InKernel<S> {
    fn peer(&self) -> SocketAddr {
        self.inner.peer()
    }

    fn local(&self) -> SocketAddr {
        self.inner.local()
    }

    async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(self.opens.borrow().is_none(), "records are read with their types");
        self.inner.read(buffer).await
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        if !self.seals() {
            return self.inner.try_write(bytes);
        }
        self.seal(23, bytes)
    }

    async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        if !self.seals() {
            return self.inner.write(bytes).await;
        }
        self.write_with(|| self.try_write(bytes)).await
    }

    fn shutdown(&self) {
        self.inner.shutdown();
    }

    fn ready_kernel_tls(&self) -> io::Result<()> {
        if !self.can {
            return Err(io::ErrorKind::NotConnected.into());
        }
        assert!(!self.ready.replace(true), "once");
        Ok(())
    }

    fn set_kernel_keys(&self, direction: Direction, keys: &Keys) -> io::Result<()> {
        assert!(self.ready.get());
        let suite = TLS13_AES_256_GCM_SHA384.tls13().expect("it is");
        let (_, key, iv, sequence) = keys.parts();
        let key = AeadKey::from(<[u8; 32]>::try_from(key).expect("that suite only"));
        let (mut sends, mut receives) = self.keys.get();
        match direction {
            Direction::Send => {
                let encrypter = suite.aead_alg.encrypter(key, Iv::from(iv));
                *self.seals.borrow_mut() = Some((encrypter, sequence));
                sends += 1;
            }
            Direction::Receive => {
                let decrypter = suite.aead_alg.decrypter(key, Iv::from(iv));
                *self.opens.borrow_mut() = Some((decrypter, sequence));
                receives += 1;
            }
        }
        self.keys.set((sends, receives));
        Ok(())
    }

    async fn read_record(&self, buffer: &mut [u8]) -> io::Result<(Option<u8>, usize)> {
        loop {
            let next = self.opened.borrow_mut().pop_front();
            if let Some((kind, bytes)) = next {
                let (taken, rest) = bytes.split_at(bytes.len().min(buffer.len()));
                buffer[..taken.len()].copy_from_slice(taken);
                if !rest.is_empty() {
                    self.opened.borrow_mut().push_front((kind, rest.to_vec()));
                }
                return Ok((Some(kind), taken.len()));
            }
            if self.open()? {
                continue;
            }
            let mut more = [0; 700];
            match self.inner.read(&mut more).await? {
                0 => return Ok((None, 0)),
                count => self.came.borrow_mut().extend_from_slice(&more[..count]),
            }
        }
    }

    fn try_write_record(&self, kind: u8, bytes: &[u8]) -> io::Result<usize> {
        self.seal(kind, bytes)
    }

    async fn write_with(&self, mut write: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
        loop {
            match write() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            let part = self.waiting.borrow().0.clone();
            self.is_writing.set(true);
            let wrote = self.inner.write(&part).await;
            self.is_writing.set(false);
            drop(self.waiting.borrow_mut().0.drain(..wrote?));
        }
    }
}
