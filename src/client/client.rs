//! Connections, requests and answers.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, ensure};
use ringmq_base::limits::FRAME_BYTES_MAX;
use ringmq_remoting::codes::response;
use ringmq_remoting::command::Header;
use ringmq_remoting::encode;
use ringmq_remoting::frame::{Frame, Serialization};
use ringmq_tls::Connector;
use rustls::{ClientConnection, StreamOwned};

use crate::account::Account;
use crate::error::CallError;
use crate::lane::Lane;
use crate::tls::shake_hands;

const NO_NAME_SERVER: &str = "no name server is known: give one with -n or in NAMESRV_ADDR";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A client of name servers and brokers.
pub struct Client {
    name_servers: Vec<String>,
    connector: Option<Connector>,
    account: Option<Account>,
    connections: HashMap<String, Box<dyn Duplex>>,
    timeout: Duration,
    opaque: i32,
}

/// A connection, with or without TLS.
pub(crate) trait Duplex: Read + Write + Send {
    /// How long a read waits from now on.
    fn wait_at_most(&self, time: Duration) -> io::Result<()>;
}

impl Duplex for TcpStream {
    fn wait_at_most(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))
    }
}

impl Duplex for StreamOwned<ClientConnection, TcpStream> {
    fn wait_at_most(&self, time: Duration) -> io::Result<()> {
        self.sock.set_read_timeout(Some(time))
    }
}

/// What a server answered.
#[derive(Debug, Default)]
pub struct Answer {
    pub code: i32,
    pub remark: String,
    pub fields: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    /// A field that is a number.
    pub fn number(&self, field: &str) -> Option<i64> {
        self.fields.get(field)?.parse().ok()
    }
}

impl Client {
    /// A client of these name servers, separated by `;` or `,`, that waits so long for an answer;
    /// with a connector it uses TLS. It has not connected yet.
    pub fn new(name_servers: &str, connector: Option<Connector>, timeout: Duration) -> Client {
        let servers = name_servers.split([';', ',']).map(str::trim);
        Client {
            name_servers: servers.filter(|text| !text.is_empty()).map(str::to_owned).collect(),
            connector,
            account: None,
            connections: HashMap::new(),
            timeout,
            opaque: 0,
        }
    }

    /// Signs all requests from now on.
    #[must_use]
    pub fn signing(mut self, account: Option<Account>) -> Client {
        self.account = account;
        self
    }

    /// A connection of its own, for many requests that are under way together.
    ///
    /// # Errors
    /// [`CallError::Unreachable`] when there is no connection.
    pub fn lane(&self, address: &str) -> anyhow::Result<Lane> {
        match self.connect(address) {
            Ok(stream) => Ok(Lane::new(address, stream, self.account.clone(), self.timeout)),
            Err(why) => Err(CallError::unreachable(address, format!("{why:#}")).into()),
        }
    }

    pub fn name_servers(&self) -> &[String] {
        &self.name_servers
    }

    /// The addresses of all name servers.
    ///
    /// # Errors
    /// If none is known.
    pub fn name_servers_or_fail(&self) -> anyhow::Result<Vec<String>> {
        ensure!(!self.name_servers.is_empty(), NO_NAME_SERVER);
        Ok(self.name_servers.clone())
    }

    /// Asks a server and waits for its answer, whatever its code.
    ///
    /// # Errors
    /// [`CallError::Unreachable`] when there is no connection, or no answer in time.
    pub fn call(
        &mut self,
        address: &str,
        code: i32,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> anyhow::Result<Answer> {
        let result = self.try_call(address, code, fields, body);
        result.map_err(|why| {
            self.connections.remove(address);
            CallError::unreachable(address, format!("request {code}: {why:#}")).into()
        })
    }

    /// Asks a server; only success is an answer.
    ///
    /// # Errors
    /// As [`Client::call`], and [`CallError::Refused`] for any other code.
    pub fn ask(
        &mut self,
        address: &str,
        code: i32,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> anyhow::Result<Answer> {
        let answer = self.call(address, code, fields, body)?;
        accept(address, answer)
    }

    /// Asks the name servers one after the other until one answers; gives its address, too.
    ///
    /// # Errors
    /// When none answers, or none is known.
    pub fn call_name_server(
        &mut self,
        code: i32,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> anyhow::Result<(String, Answer)> {
        let mut failure = None;
        for server in self.name_servers.clone() {
            match self.call(&server, code, fields, body) {
                Ok(answer) => return Ok((server, answer)),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| anyhow::anyhow!(NO_NAME_SERVER)))
    }

    /// As [`Client::call_name_server`]; only success is an answer.
    ///
    /// # Errors
    /// As [`Client::call_name_server`], and [`CallError::Refused`] for any other code.
    pub fn ask_name_server(
        &mut self,
        code: i32,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> anyhow::Result<Answer> {
        let (server, answer) = self.call_name_server(code, fields, body)?;
        accept(&server, answer)
    }

    fn connect(&self, address: &str) -> anyhow::Result<Box<dyn Duplex>> {
        let mut stream = TcpStream::connect_timeout(&resolve(address)?, CONNECT_TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(self.timeout))?;
        stream.set_write_timeout(Some(self.timeout))?;
        let Some(connector) = &self.connector else { return Ok(Box::new(stream)) };
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let tls = shake_hands(connector, host, &mut stream).context("TLS handshake")?;
        Ok(Box::new(StreamOwned::new(*tls, stream)))
    }

    fn try_call(
        &mut self,
        address: &str,
        code: i32,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> anyhow::Result<Answer> {
        if !self.connections.contains_key(address) {
            let stream = self.connect(address)?;
            self.connections.insert(address.to_owned(), stream);
        }
        let stream = self.connections.get_mut(address).context("the connection was just made")?;
        self.opaque += 1;
        let frame = request(self.account.as_ref(), code, self.opaque, fields, body)?;
        stream.write_all(&frame)?;
        stream.flush()?;
        loop {
            let mut frame = vec![0; 4];
            stream.read_exact(&mut frame)?;
            let length = frame.first_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes));
            ensure!(length as usize <= FRAME_BYTES_MAX, "a frame of {length} bytes");
            frame.resize(4 + length as usize, 0);
            stream.read_exact(frame.get_mut(4..).unwrap_or_default())?;
            if let Some((opaque, answer)) = answer(&frame)?
                && opaque == self.opaque
            {
                return Ok(answer);
            }
        }
    }
}

/// The answer in a frame, and of which request it is; `None` if it is a request of the server.
pub(crate) fn answer(frame: &[u8]) -> anyhow::Result<Option<(i32, Answer)>> {
    let frame = Frame::parse(frame)?;
    let header = Header::decode(&frame)?;
    if !header.is_response() {
        return Ok(None);
    }
    let fields = header.fields.iter();
    let answer = Answer {
        code: header.code,
        fields: fields.map(|(name, text)| (name.to_owned(), text.to_owned())).collect(),
        body: frame.body.to_vec(),
        remark: header.remark.map_or_else(String::new, |text| text.into_owned()),
    };
    Ok(Some((header.opaque, answer)))
}

pub(crate) fn accept(address: &str, answer: Answer) -> anyhow::Result<Answer> {
    if answer.code == response::SUCCESS {
        return Ok(answer);
    }
    // what stands in further lines is a stack trace, or where RocketMQ's FAQ is
    let remark = answer.remark.lines().next().unwrap_or_default().to_owned();
    let (address, code) = (address.to_owned(), answer.code);
    Err(CallError::Refused { address, code, remark }.into())
}

/// A frame, signed if there is an account.
pub(crate) fn request(
    account: Option<&Account>,
    code: i32,
    opaque: i32,
    fields: &[(&str, &str)],
    body: &[u8],
) -> anyhow::Result<Vec<u8>> {
    let mut frame = Vec::new();
    match account {
        None => {
            encode::request(&mut frame, Serialization::Json, code, opaque, false, fields, body)?;
        }
        Some(account) => {
            let (mut all, signature) = account.sign(fields, body);
            all.push((Account::SIGNATURE, &signature));
            encode::request(&mut frame, Serialization::Json, code, opaque, false, &all, body)?;
        }
    }
    Ok(frame)
}

/// The first address of `host:port`.
///
/// # Errors
/// If it is no such text, or the name has no address.
pub fn resolve(address: &str) -> anyhow::Result<SocketAddr> {
    let found = address.to_socket_addrs().with_context(|| format!("address {address:?}"))?.next();
    found.with_context(|| format!("{address:?} has no address"))
}
