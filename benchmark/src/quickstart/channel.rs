//! A blocking connection to a server, with one request under way at a time.

use std::{
    collections::BTreeMap,
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, TcpStream, ToSocketAddrs as _},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use ringmq_base::limits::FRAME_BYTES_MAX;
use ringmq_remoting::{
    codes::{request, response},
    command::Header,
    encode,
    frame::{Frame, Serialization},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A server may take so long for an answer, besides what it was asked to wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The read that waits for what nobody asked for.
const LISTEN: Duration = Duration::from_millis(20);

pub struct Channel {
    stream: TcpStream,
    address: String,
    opaque: i32,
    buffer: Vec<u8>,
    /// The members of a group have changed, as the server has told.
    members_changed: bool,
}

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub remark: String,
    pub fields: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn number(&self, field: &str) -> Option<i64> {
        self.fields.get(field)?.parse().ok()
    }

    /// The answer, if its code is SUCCESS.
    pub fn success(self) -> anyhow::Result<Answer> {
        ensure!(self.code == response::SUCCESS, "CODE: {}  DESC: {}", self.code, self.remark);
        Ok(self)
    }
}

impl Channel {
    /// Connects to the first address of `address` (host:port) that takes the connection.
    pub fn connect(address: &str) -> anyhow::Result<Channel> {
        let addresses = address.to_socket_addrs().with_context(|| format!("address {address}"))?;
        let mut failed = None;
        for one in addresses {
            match TcpStream::connect_timeout(&one, CONNECT_TIMEOUT) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    let (address, buffer) = (address.to_owned(), Vec::new());
                    return Ok(Channel {
                        stream,
                        address,
                        opaque: 0,
                        buffer,
                        members_changed: false,
                    });
                }
                Err(error) => failed = Some(error),
            }
        }
        let failed = failed.unwrap_or_else(|| ErrorKind::NotFound.into());
        Err(failed).with_context(|| format!("connect to {address} failed"))
    }

    /// Asks, and waits for the answer whatever its code.
    pub fn call(
        &mut self,
        code: i32,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> anyhow::Result<Answer> {
        self.call_for(code, fields, body, Duration::ZERO)
    }

    /// As [`Channel::call`], of a server that was asked to wait so long before it answers.
    pub fn call_for(
        &mut self,
        code: i32,
        fields: &[(&str, &str)],
        body: &[u8],
        wait: Duration,
    ) -> anyhow::Result<Answer> {
        let asked = self.ask(code, fields, body, wait + ANSWER_TIMEOUT);
        asked.with_context(|| format!("request {code} to {}", self.address))
    }

    fn ask(
        &mut self,
        code: i32,
        fields: &[(&str, &str)],
        body: &[u8],
        timeout: Duration,
    ) -> anyhow::Result<Answer> {
        self.opaque += 1;
        let mut frame = Vec::new();
        encode::request(&mut frame, Serialization::Json, code, self.opaque, false, fields, body)?;
        self.stream.write_all(&frame)?;
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            ensure!(!left.is_zero(), "no answer within {timeout:?}");
            if self.fill(left)?
                && let Some(answer) = self.take_frame()?
            {
                return Ok(answer);
            }
        }
    }

    /// Takes what the server says of itself, and tells whether the members of a group changed.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn listen(&mut self) -> anyhow::Result<bool> {
        while self.fill(LISTEN)? {
            self.take_frame()?;
        }
        Ok(std::mem::take(&mut self.members_changed))
    }

    /// A handle that ends the connection from another thread.
    pub fn closer(&self) -> anyhow::Result<Closer> {
        Ok(Closer(self.stream.try_clone()?))
    }

    /// Reads until the buffer begins with a whole frame; false if that takes longer.
    fn fill(&mut self, timeout: Duration) -> anyhow::Result<bool> {
        let deadline = Instant::now() + timeout;
        let mut chunk = [0; 16 * 1024];
        loop {
            if let Some(prefix) = self.buffer.first_chunk::<4>() {
                let length = u32::from_be_bytes(*prefix) as usize;
                ensure!(length <= FRAME_BYTES_MAX, "a frame of {length} bytes");
                if self.buffer.len() >= 4 + length {
                    return Ok(true);
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(&mut chunk) {
                Ok(0) => anyhow::bail!("{} closed the connection", self.address),
                Ok(bytes) => self.buffer.extend_from_slice(chunk.get(..bytes).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes the frame that the buffer begins with: the answer that is waited for, if it is that.
    fn take_frame(&mut self) -> anyhow::Result<Option<Answer>> {
        let prefix = self.buffer.first_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        let rest = self.buffer.split_off((4 + prefix as usize).min(self.buffer.len()));
        let bytes = std::mem::replace(&mut self.buffer, rest);
        let frame = Frame::parse(&bytes)?;
        let header = Header::decode(&frame)?;
        if !header.is_response() {
            self.hear(header.code, header.opaque, header.is_oneway())?;
            return Ok(None);
        }
        if header.opaque != self.opaque {
            return Ok(None);
        }
        let fields = header.fields.iter();
        Ok(Some(Answer {
            code: header.code,
            fields: fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            body: frame.body.to_vec(),
            remark: header.remark.map_or_else(String::new, |text| text.into_owned()),
        }))
    }

    /// What the server asks: nothing but the news of members is served.
    fn hear(&mut self, code: i32, opaque: i32, oneway: bool) -> anyhow::Result<()> {
        self.members_changed |= code == request::NOTIFY_CONSUMER_IDS_CHANGED;
        if oneway {
            return Ok(());
        }
        let mut frame = Vec::new();
        let remark = Some("this client is a quickstart of RocketMQ's tutorials");
        let (json, refused) = (Serialization::Json, response::REQUEST_CODE_NOT_SUPPORTED);
        encode::response(&mut frame, json, refused, opaque, remark, &[], &[])?;
        self.stream.write_all(&frame)?;
        Ok(())
    }
}

/// See [`Channel::closer`].
pub struct Closer(TcpStream);

impl Closer {
    pub fn close(&self) {
        // It may be closed already.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}
