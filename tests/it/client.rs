//! A blocking client of the remoting protocol.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use ringmq_base::record::Record;
use ringmq_remoting::codes::{request, response};
use ringmq_remoting::encode::{self, Value};
use ringmq_remoting::frame::Serialization;
use ringmq_rules::acl::signature;
pub use ringmq_test_client::Answer;
use ringmq_test_client::{Pull, Send, queue_fields, topic_fields};
use rustls::{ClientConnection, StreamOwned};

const REPLY_TIMEOUT: Duration = Duration::from_secs(20);
/// How long delayed messages may take.
const MESSAGES_PATIENCE: Duration = Duration::from_secs(30);
pub const GROUP: &str = "it_group";

/// A stored message, as a pull shows it.
#[derive(Clone, Debug)]
pub struct Stored {
    pub queue_offset: i64,
    pub queue_id: i32,
    pub topic: String,
    pub body: Vec<u8>,
    pub flag: i32,
    pub properties: String,
    pub store_timestamp: i64,
}

#[derive(Clone, Debug)]
pub struct Pulled {
    pub code: i32,
    pub next: i64,
    pub min: i64,
    pub messages: Vec<Stored>,
}

/// What carries the bytes of a client.
pub enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Wire {
    fn tcp(&mut self) -> &mut TcpStream {
        match self {
            Wire::Plain(stream) => stream,
            Wire::Tls(stream) => &mut stream.sock,
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Wire::Plain(stream) => stream.write_all(bytes),
            Wire::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(stream) => stream.read(bytes),
            Wire::Tls(stream) => stream.read(bytes),
        }
    }
}

pub struct Client {
    wire: Wire,
    opaque: i32,
    input: Vec<u8>,
    credentials: Option<Credentials>,
}

/// What requests are signed with.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub access_key: &'static str,
    pub secret_key: &'static str,
}

/// A connection as clients have it.
pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
    stream.set_write_timeout(Some(REPLY_TIMEOUT))?;
    Ok(stream)
}

impl Client {
    pub fn connect(address: SocketAddr) -> io::Result<Client> {
        Ok(Client::over(connect(address)?))
    }

    /// Over a connection that was made otherwise.
    pub fn over(stream: TcpStream) -> Client {
        Client::over_wire(Wire::Plain(stream))
    }

    pub fn over_wire(wire: Wire) -> Client {
        Client { wire, opaque: 0, input: Vec::new(), credentials: None }
    }

    /// The same client, which signs what it asks for.
    pub fn signing(mut self, access_key: &'static str, secret_key: &'static str) -> Client {
        self.credentials = Some(Credentials { access_key, secret_key });
        self
    }

    /// With TLS, what is below it.
    pub fn stream(&mut self) -> &mut TcpStream {
        self.wire.tcp()
    }

    /// From here on it uses other keys and wants the same of the server. With TLS 1.3.
    pub fn change_keys(&mut self) {
        let Wire::Tls(stream) = &mut self.wire else { panic!("without TLS there are none") };
        stream.conn.refresh_traffic_keys().expect("TLS 1.3");
    }

    /// Says that nothing more comes and waits for the end, which with TLS the server has to say.
    pub fn end(mut self) -> io::Result<()> {
        match &mut self.wire {
            Wire::Plain(stream) => stream.shutdown(std::net::Shutdown::Write)?,
            Wire::Tls(stream) => {
                stream.conn.send_close_notify();
                stream.flush()?;
            }
        }
        let mut rest = [0; 4096];
        while self.wire.read(&mut rest)? > 0 {}
        Ok(())
    }

    pub fn set_timeout(&mut self, timeout: Duration) {
        self.stream().set_read_timeout(Some(timeout)).expect("a timeout above 0");
    }

    /// Sends a request and returns its opaque, without waiting for the reply.
    pub fn start(
        &mut self,
        code: i32,
        oneway: bool,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<i32> {
        let values: Vec<_> =
            fields.iter().map(|(name, value)| (*name, Value::Str(value))).collect();
        self.start_values(code, oneway, &values, body)
    }

    fn start_values(
        &mut self,
        code: i32,
        oneway: bool,
        fields: &[(&str, Value<'_>)],
        body: &[u8],
    ) -> io::Result<i32> {
        self.opaque += 1;
        let mut out = Vec::with_capacity(512 + body.len());
        let json = Serialization::Json;
        let signature;
        let mut fields = fields.to_vec();
        if let Some(Credentials { access_key, secret_key }) = self.credentials {
            fields.push(("AccessKey", Value::Str(access_key)));
            signature = sign(secret_key, &fields, body);
            fields.push(("Signature", Value::Str(&signature)));
        }
        encode::request_values(&mut out, json, code, self.opaque, oneway, &fields, body)
            .map_err(io::Error::other)?;
        self.wire.write_all(&out)?;
        Ok(self.opaque)
    }

    /// The next reply, whichever request it answers. Requests of the broker are passed over.
    pub fn reply(&mut self) -> io::Result<Answer> {
        self.next(true)
    }

    /// The next request of the broker. Replies are passed over.
    pub fn request(&mut self) -> io::Result<Answer> {
        self.next(false)
    }

    /// The next request of the broker with this code. All else is passed over.
    pub fn asked(&mut self, code: i32) -> io::Result<Answer> {
        loop {
            let asked = self.request()?;
            if asked.code == code {
                return Ok(asked);
            }
        }
    }

    /// Answers a request of the broker.
    pub fn answer(&mut self, opaque: i32, code: i32, remark: Option<&str>) -> io::Result<()> {
        self.answer_with(opaque, code, remark, b"")
    }

    /// The same with a body.
    pub fn answer_with(
        &mut self,
        opaque: i32,
        code: i32,
        remark: Option<&str>,
        body: &[u8],
    ) -> io::Result<()> {
        let mut out = Vec::new();
        encode::response(&mut out, Serialization::Json, opaque, code, remark, &[], body)
            .map_err(io::Error::other)?;
        self.wire.write_all(&out)
    }

    fn next(&mut self, response: bool) -> io::Result<Answer> {
        loop {
            let answer = Answer::decode(&self.frame()?);
            let answer =
                answer.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            if answer.is_response == response {
                return Ok(answer);
            }
        }
    }

    fn frame(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(length) = self.input.first_chunk::<4>() {
                let total = 4 + usize::try_from(u32::from_be_bytes(*length)).expect("64 bits");
                if self.input.len() >= total {
                    let rest = self.input.split_off(total);
                    return Ok(std::mem::replace(&mut self.input, rest));
                }
            }
            let mut chunk = [0; 65_536];
            match self.wire.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.input.extend_from_slice(&chunk[..count]),
            }
        }
    }

    /// A request and its reply; for connections without other requests in flight.
    pub fn call(&mut self, code: i32, fields: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
        let opaque = self.start(code, false, fields, body)?;
        self.reply_to(opaque)
    }

    pub fn call_values(
        &mut self,
        code: i32,
        fields: &[(&str, Value<'_>)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let opaque = self.start_values(code, false, fields, body)?;
        self.reply_to(opaque)
    }

    fn reply_to(&mut self, opaque: i32) -> io::Result<Answer> {
        let reply = self.reply()?;
        assert_eq!(reply.opaque, opaque, "opaque of the reply {reply:?}");
        Ok(reply)
    }

    pub fn create_topic(&mut self, topic: &str, queues: u32) -> io::Result<Answer> {
        self.call_values(request::UPDATE_AND_CREATE_TOPIC, &topic_fields(topic, queues), b"")
    }

    pub fn start_send(&mut self, topic: &str, queue: i32, body: &[u8]) -> io::Result<i32> {
        let properties = "UNIQ_KEY\u{1}7F0000010001\u{2}WAIT\u{1}true\u{2}";
        let send = Send { topic, queue, queues: 4, properties, batch: false };
        self.start_values(request::SEND_MESSAGE_V2, false, &send.fields(), body)
    }

    pub fn send(&mut self, topic: &str, queue: i32, body: &[u8]) -> io::Result<Answer> {
        let opaque = self.start_send(topic, queue, body)?;
        self.reply_to(opaque)
    }

    /// Sends a message with these properties and the flag 3, which is to be stored.
    pub fn send_with(&mut self, topic: &str, queue: i32, properties: &str, body: &str) -> Answer {
        let opaque = self.start_send_with(topic, queue, properties, body);
        self.reply_to(opaque).expect("an answer").expect(response::SUCCESS)
    }

    /// The same without waiting for the reply; the opaque.
    pub fn start_send_with(
        &mut self,
        topic: &str,
        queue: i32,
        properties: &str,
        body: &str,
    ) -> i32 {
        let queue = queue.to_string();
        let fields = [
            ("a", "it_producer"),
            ("b", topic),
            ("c", "TBW102"),
            ("d", "4"),
            ("e", queue.as_str()),
            ("f", "0"),
            ("g", "1700000000000"),
            ("h", "3"),
            ("i", properties),
            ("j", "0"),
            ("k", "false"),
            ("l", "0"),
            ("m", "false"),
        ];
        let started = self.start(request::SEND_MESSAGE_V2, false, &fields, body.as_bytes());
        started.expect("a connection")
    }

    /// The messages of a queue when it has that many; it must not have more.
    pub fn await_messages(&mut self, topic: &str, queue: i32, count: usize) -> Vec<Stored> {
        let began = Instant::now();
        loop {
            let found = self.pull(topic, queue, 0, 32).expect("an answer").messages;
            if found.len() >= count {
                assert_eq!(found.len(), count, "{found:?}");
                return found;
            }
            let waited = began.elapsed();
            assert!(waited < MESSAGES_PATIENCE, "queue {queue} has {} of {count}", found.len());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Pulls without waiting for messages; a refusal is an error of the kind `Other`.
    pub fn pull(&mut self, topic: &str, queue: i32, offset: i64, max: u32) -> io::Result<Pulled> {
        let wait = Duration::ZERO;
        let pull = Pull { group: GROUP, topic, queue, offset, messages_max: max, wait };
        let reply = self.call_values(request::PULL_MESSAGE, &pull.fields(), b"")?;
        let known = [
            response::SUCCESS,
            response::PULL_NOT_FOUND,
            response::PULL_RETRY_IMMEDIATELY,
            response::PULL_OFFSET_MOVED,
        ];
        if !known.contains(&reply.code) {
            let text = format!("pull of {topic} refused with {}: {}", reply.code, reply.remark);
            return Err(io::Error::other(text));
        }
        Ok(Pulled {
            code: reply.code,
            next: reply.number("nextBeginOffset"),
            min: reply.number("minOffset"),
            messages: records(&reply.body),
        })
    }

    /// Sends a pull, without waiting for its answer.
    pub fn start_pull(
        &mut self,
        topic: &str,
        queue: i32,
        offset: i64,
        max: u32,
    ) -> io::Result<i32> {
        let wait = Duration::ZERO;
        let pull = Pull { group: GROUP, topic, queue, offset, messages_max: max, wait };
        self.start_values(request::PULL_MESSAGE, false, &pull.fields(), b"")
    }

    /// The same, which may be kept for so long.
    pub fn start_long_pull(
        &mut self,
        topic: &str,
        queue: i32,
        offset: i64,
        wait: Duration,
    ) -> io::Result<i32> {
        let pull = Pull { group: GROUP, topic, queue, offset, messages_max: 32, wait };
        self.start_values(request::PULL_MESSAGE, false, &pull.fields(), b"")
    }

    pub fn max_offset(&mut self, topic: &str, queue: i32) -> io::Result<i64> {
        let fields = queue_fields(topic, queue);
        let reply = self.call_values(request::GET_MAX_OFFSET, &fields, b"")?;
        Ok(reply.expect(response::SUCCESS).number("offset"))
    }
}

/// As Java's clients sign.
fn sign(secret_key: &str, fields: &[(&str, Value<'_>)], body: &[u8]) -> String {
    let texts: Vec<(&str, String)> = fields
        .iter()
        .map(|(name, value)| {
            let text = match value {
                Value::Int(number) => number.to_string(),
                Value::Str(text) => (*text).to_owned(),
                Value::Bool(truth) => truth.to_string(),
            };
            (*name, text)
        })
        .collect();
    let texts: Vec<_> = texts.iter().map(|(name, text)| (*name, text.as_str())).collect();
    signature::sign(secret_key, &texts, body)
}

/// Takes a pull's body apart; every record must be whole and intact.
pub fn records(body: &[u8]) -> Vec<Stored> {
    let mut rest = body;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let record = Record::decode(rest).expect("a record that can be decoded");
        assert!(record.body_is_intact(), "CRC of the body at offset {}", record.queue_offset);
        found.push(Stored {
            queue_offset: record.queue_offset,
            queue_id: record.queue_id,
            topic: record.topic.to_owned(),
            body: record.body.to_vec(),
            flag: record.flag,
            properties: String::from_utf8_lossy(record.properties).into_owned(),
            store_timestamp: record.store_timestamp,
        });
        rest = &rest[record.size..];
    }
    found
}
