//! Frames and blocking connections of clients, honest or not.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use ringmq_remoting::{
    encode::{self, Value},
    frame::Serialization,
};
use ringmq_test_client::{Answer, Field};
use socket2::{Domain, Socket, Type};

/// Longest wait for a connection, for an answer and for room to write.
pub const PATIENCE: Duration = Duration::from_secs(10);
const READ_BYTES: usize = 65_536;

/// A request as a frame with a JSON header.
///
/// # Panics
/// If it does not fit a frame.
pub fn request(code: i32, opaque: i32, fields: &[Field<'_>], body: &[u8]) -> Vec<u8> {
    frame(code, opaque, false, fields, body)
}

/// A request that is not answered.
pub fn oneway(code: i32, fields: &[Field<'_>], body: &[u8]) -> Vec<u8> {
    frame(code, 0, true, fields, body)
}

fn frame(code: i32, opaque: i32, oneway: bool, fields: &[Field<'_>], body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(512 + body.len());
    let json = Serialization::Json;
    encode::request_values(&mut out, json, code, opaque, oneway, fields, body)
        .expect("it fits a frame");
    out
}

/// Text fields as typed ones.
pub fn texts<'a>(fields: &[(&'static str, &'a str)]) -> Vec<Field<'a>> {
    fields.iter().map(|(name, value)| (*name, Value::Str(value))).collect()
}

/// Writes digits over a place that was kept for a number: `to` bytes from `at` on.
pub fn patch(frame: &mut [u8], at: usize, digits: usize, number: u64) {
    let text = format!("{number:0digits$}");
    frame[at..at + digits].copy_from_slice(&text.as_bytes()[text.len() - digits..]);
}

/// Where `mark` begins in a frame.
pub fn place(frame: &[u8], mark: &[u8]) -> usize {
    frame.windows(mark.len()).position(|part| part == mark).expect("the mark was written")
}

/// A connection.
pub struct Link {
    stream: TcpStream,
    input: Vec<u8>,
    opaque: i32,
}

impl Link {
    pub fn open(address: SocketAddr) -> io::Result<Link> {
        Link::open_for(address, PATIENCE)
    }

    /// A connection whose calls wait at most so long.
    pub fn open_for(address: SocketAddr, patience: Duration) -> io::Result<Link> {
        Link::over(TcpStream::connect_timeout(&address, patience)?, patience)
    }

    /// A connection that comes from this address of the machine.
    pub fn open_from(from: Ipv4Addr, address: SocketAddr) -> io::Result<Link> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((from, 0)).into())?;
        socket.connect_timeout(&address.into(), PATIENCE)?;
        Link::over(socket.into(), PATIENCE)
    }

    fn over(stream: TcpStream, patience: Duration) -> io::Result<Link> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Link { stream, input: Vec::new(), opaque: 0 })
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// A request and its answer; for connections without other requests under way.
    pub fn call(&mut self, code: i32, fields: &[Field<'_>], body: &[u8]) -> io::Result<Answer> {
        self.opaque = self.opaque.wrapping_add(1);
        let frame = request(code, self.opaque, fields, body);
        self.exchange(&frame, self.opaque)
    }

    /// Writes a request that was encoded before, and waits for the answer of this number.
    pub fn exchange(&mut self, frame: &[u8], opaque: i32) -> io::Result<Answer> {
        self.write(frame)?;
        loop {
            let answer = self.answer()?;
            if answer.is_response && answer.opaque == opaque {
                return Ok(answer);
            }
        }
    }

    /// The next frame, whatever it is.
    pub fn answer(&mut self) -> io::Result<Answer> {
        loop {
            if let Some(length) = self.input.first_chunk::<4>() {
                let total = 4 + usize::try_from(u32::from_be_bytes(*length)).expect("64 bits");
                if self.input.len() >= total {
                    let answer = Answer::decode(&self.input[..total]);
                    self.input.drain(..total);
                    return answer.map_err(|text| io::Error::new(io::ErrorKind::InvalidData, text));
                }
            }
            let mut chunk = [0; READ_BYTES];
            match self.stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.input.extend_from_slice(&chunk[..count]),
            }
        }
    }

    /// Reads and forgets until the other side closes or nothing comes for `patience`.
    pub fn drain(&mut self, patience: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(patience))?;
        let mut chunk = [0; READ_BYTES];
        while self.stream.read(&mut chunk)? > 0 {}
        Ok(())
    }
}
