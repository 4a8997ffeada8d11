//! A non-blocking connection: frames in, frames out, few system calls.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use ringmq_base::limits::FRAME_BYTES_MAX;
use ringmq_client::shake_hands;
use ringmq_tls::Connector;
use rustls::ClientConnection;

/// Bytes that are made records of at a time.
const RECORDS_BYTES: usize = 64 * 1024;
const INPUT_BYTES: usize = 256 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A connection that is registered with the thread's poll.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// What TLS reads from the socket.
    records: Vec<u8>,
    input: Vec<u8>,
    start: usize,
    end: usize,
    /// Frames that wait to be written; append freely, then call [`Connection::flush`].
    pub output: Vec<u8>,
    written: usize,
}

/// What one call of [`Connection::receive`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// Everything that had arrived.
    All,
    /// A full buffer: there may be more.
    Some,
}

impl Connection {
    /// Connects, waiting at most three seconds, and as long for each step of a TLS handshake, and
    /// registers for reading and writing.
    pub fn open(
        address: SocketAddr,
        connector: Option<&Connector>,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Connection> {
        let mut stream = std::net::TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
        stream.set_nodelay(true)?;
        let mut tls = None;
        if let Some(connector) = connector {
            stream.set_read_timeout(Some(CONNECT_TIMEOUT))?;
            tls = Some(shake_hands(connector, &address.ip().to_string(), &mut stream)?);
        }
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Connection {
            stream,
            records: if tls.is_some() { vec![0; INPUT_BYTES] } else { Vec::new() },
            tls,
            input: vec![0; INPUT_BYTES],
            start: 0,
            end: 0,
            output: Vec::with_capacity(INPUT_BYTES),
            written: 0,
        })
    }

    /// Whether output waits for the socket to become writable.
    pub fn has_unwritten(&self) -> bool {
        let records = self.tls.as_ref().is_some_and(|tls| tls.wants_write());
        records || self.written < self.output.len()
    }

    /// Writes what the socket takes. Nothing is lost when it takes less than all.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.has_unwritten() {
            match self.write_some() {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(bytes) => self.written += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        self.written = 0;
        Ok(())
    }

    /// Writes some of the output. With TLS that is done when its records are made; the call after
    /// that of the last byte writes what the socket did not take of them.
    fn write_some(&mut self) -> io::Result<usize> {
        let rest = &self.output[self.written..];
        let Some(tls) = &mut self.tls else { return self.stream.write(rest) };
        while tls.wants_write() {
            if tls.write_tls(&mut self.stream)? == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
        }
        if rest.is_empty() {
            return Err(ErrorKind::Interrupted.into());
        }
        tls.writer().write(&rest[..rest.len().min(RECORDS_BYTES)])
    }

    /// Reads once into the buffer.
    ///
    /// # Errors
    /// When the connection is broken or the peer closed it.
    pub fn receive(&mut self) -> io::Result<Received> {
        self.make_room();
        if self.tls.is_some() {
            return self.receive_records();
        }
        loop {
            let room = self.input.len() - self.end;
            match self.stream.read(&mut self.input[self.end..]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(bytes) => {
                    self.end += bytes;
                    // A short read emptied the socket; the poll tells when more comes.
                    return Ok(if bytes < room { Received::All } else { Received::Some });
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Received::All),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn receive_records(&mut self) -> io::Result<Received> {
        let Some(tls) = &mut self.tls else { return Ok(Received::All) };
        let count = match self.stream.read(&mut self.records) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Received::All),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(Received::Some),
            Err(error) => return Err(error),
        };
        let mut came = &self.records[..count];
        while !came.is_empty() {
            if tls.read_tls(&mut came)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let state = tls.process_new_packets();
            let state = state.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            let last = self.end + state.plaintext_bytes_to_read();
            if last > self.input.len() {
                self.input.resize(last + INPUT_BYTES, 0);
            }
            if last > self.end {
                tls.reader().read_exact(&mut self.input[self.end..last])?;
                self.end = last;
            }
        }
        Ok(if count < self.records.len() { Received::All } else { Received::Some })
    }

    /// Takes the next whole frame, without its length field.
    ///
    /// # Errors
    /// When the length is not possible: the stream is out of step.
    pub fn next_frame(&mut self) -> io::Result<Option<&[u8]>> {
        let Some(prefix) = self.input[self.start..self.end].first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*prefix) as usize;
        if !(4..=FRAME_BYTES_MAX).contains(&length) {
            let text = format!("frame of {length} bytes: allowed are 4 to {FRAME_BYTES_MAX}");
            return Err(io::Error::new(ErrorKind::InvalidData, text));
        }
        let (first, last) = (self.start + 4, self.start + 4 + length);
        if last > self.end {
            if 4 + length > self.input.len() {
                self.input.resize(4 + length + INPUT_BYTES, 0);
            }
            return Ok(None);
        }
        self.start = last;
        Ok(self.input.get(first..last))
    }

    fn make_room(&mut self) {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        } else if self.end + INPUT_BYTES / 4 > self.input.len() && self.start > 0 {
            self.input.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.input.len() {
            self.input.resize(self.end + INPUT_BYTES, 0);
        }
    }
}
