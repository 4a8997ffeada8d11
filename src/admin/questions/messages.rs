//! Messages: decoding, looking up and pulling them.

use std::io::Read;
use std::net::SocketAddr;

use anyhow::{Context, bail, ensure};
use ringmq_client::{Answer, CallError, Client};
use ringmq_remoting::codes::{perm, property, pull_flag, request, response, sys_flag};
use ringmq_remoting::message_id::{MessageId, message_id};
use ringmq_remoting::record::Record;
use serde_json::{Value, json};

use super::{brokers_with, route};
use crate::output::Cell;

/// A body that is compressed may become so large.
const BODY_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The group by which tools pull.
const TOOLS_GROUP: &str = "TOOLS_CONSUMER";
/// Says that a query looks for a unique id.
const UNIQUE: &str = "_UNIQUE_KEY_QUERY";

/// A message as it is stored, its body decompressed.
#[derive(Clone, Debug)]
pub struct Message {
    /// Empty if it is not known.
    pub broker: String,
    pub topic: String,
    pub queue: i32,
    pub queue_offset: i64,
    pub commit_log_offset: i64,
    pub store_size: usize,
    pub flag: i32,
    pub sys_flag: i32,
    /// Milliseconds since 1970.
    pub born: i64,
    pub born_host: SocketAddr,
    /// Milliseconds since 1970.
    pub stored: i64,
    pub store_host: SocketAddr,
    pub body_crc: u32,
    pub reconsume_times: i32,
    pub prepared_transaction_offset: i64,
    /// In the order in which they are stored.
    pub properties: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Message {
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The id that says where it is stored.
    pub fn offset_id(&self) -> String {
        message_id(self.store_host, self.commit_log_offset).as_str().to_owned()
    }

    /// The id that its producer gave it, or else where it is stored.
    pub fn id(&self) -> String {
        self.property(property::UNIQ_KEY).map_or_else(|| self.offset_id(), str::to_owned)
    }

    pub fn tags(&self) -> Option<&str> {
        self.property(property::TAGS)
    }

    pub fn keys(&self) -> Option<&str> {
        self.property(property::KEYS)
    }

    /// As RocketMQ prints a message's properties.
    pub fn properties_text(&self) -> String {
        let pairs: Vec<_> =
            self.properties.iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!("{{{}}}", pairs.join(", "))
    }

    /// As RocketMQ prints a message.
    pub fn describe(&self) -> String {
        let broker = if self.broker.is_empty() { "null" } else { &self.broker };
        let body: Vec<String> = self.body.iter().map(|byte| (*byte as i8).to_string()).collect();
        format!(
            "MessageExt [brokerName={broker}, queueId={}, storeSize={}, queueOffset={}, \
             sysFlag={}, bornTimestamp={}, bornHost=/{}, storeTimestamp={}, storeHost=/{}, \
             msgId={}, commitLogOffset={}, bodyCRC={}, reconsumeTimes={}, \
             preparedTransactionOffset={}, toString()=Message{{topic='{}', flag={}, \
             properties={}, body=[{}], transactionId='{}'}}]",
            self.queue,
            self.store_size,
            self.queue_offset,
            self.sys_flag,
            self.born,
            self.born_host,
            self.stored,
            self.store_host,
            self.offset_id(),
            self.commit_log_offset,
            self.body_crc,
            self.reconsume_times,
            self.prepared_transaction_offset,
            self.topic,
            self.flag,
            self.properties_text(),
            body.join(", "),
            self.property(property::TRANSACTION_ID).unwrap_or("null"),
        )
    }

    /// The body as text; bytes that are none as the sign for them.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// For programs. A body that is no text is in hexadecimal digits.
    pub fn value(&self) -> Value {
        let properties: serde_json::Map<String, Value> = self
            .properties
            .iter()
            .map(|(key, value)| (key.clone(), value.clone().into()))
            .collect();
        let mut value = json!({
            "id": self.id(),
            "offsetId": self.offset_id(),
            "topic": self.topic,
            "queue": self.queue,
            "offset": self.queue_offset,
            "commitLogOffset": self.commit_log_offset,
            "born": self.born,
            "bornHost": self.born_host.to_string(),
            "stored": self.stored,
            "storeHost": self.store_host.to_string(),
            "sysFlag": self.sys_flag,
            "reconsumeTimes": self.reconsume_times,
            "properties": properties,
        });
        let (key, body) = match std::str::from_utf8(&self.body) {
            Ok(text) => ("body", text.to_owned()),
            Err(_) => ("bodyHex", self.body.iter().map(|byte| format!("{byte:02x}")).collect()),
        };
        value[key] = body.into();
        if !self.broker.is_empty() {
            value["broker"] = self.broker.as_str().into();
        }
        value
    }

    /// A cell for each column of a list of messages.
    pub fn cells(&self, with_body: bool) -> [Cell; 8] {
        let body = if with_body { self.text().into() } else { Cell::missing("") };
        [
            self.id().into(),
            self.broker.as_str().into(),
            self.queue.into(),
            self.queue_offset.into(),
            self.stored.into(),
            self.tags().map_or_else(|| Cell::missing(""), Cell::from),
            self.keys().map_or_else(|| Cell::missing(""), Cell::from),
            body,
        ]
    }
}

/// The messages in the body of an answer.
///
/// # Errors
/// If bytes are no message, or a body cannot be decompressed.
pub fn decode(mut bytes: &[u8], broker: &str) -> anyhow::Result<Vec<Message>> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let record = Record::decode(bytes).context("a message of the answer")?;
        bytes = bytes.get(record.size..).unwrap_or_default();
        messages.push(Message {
            broker: broker.to_owned(),
            topic: record.topic.to_owned(),
            queue: record.queue_id,
            queue_offset: record.queue_offset,
            commit_log_offset: record.physical_offset,
            store_size: record.size,
            flag: record.flag,
            sys_flag: record.sys_flag,
            born: record.born_timestamp,
            born_host: record.born_host,
            stored: record.store_timestamp,
            store_host: record.store_host,
            body_crc: record.body_crc,
            reconsume_times: record.reconsume_times,
            prepared_transaction_offset: record.prepared_transaction_offset,
            properties: properties(record.properties),
            body: inflate(record.body, record.sys_flag)?,
        });
    }
    Ok(messages)
}

fn properties(bytes: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(bytes);
    let pairs = text.split(char::from(property::SEPARATOR));
    let pairs =
        pairs.filter_map(|pair| pair.split_once(char::from(property::NAME_VALUE_SEPARATOR)));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// What was compressed otherwise than by zlib stays as it is.
fn inflate(body: &[u8], flag: i32) -> anyhow::Result<Vec<u8>> {
    let method = flag & sys_flag::COMPRESSION_MASK;
    let is_zlib = method == 0 || method == sys_flag::COMPRESSION_ZLIB;
    if flag & sys_flag::COMPRESSED == 0 || !is_zlib {
        return Ok(body.to_vec());
    }
    let mut out = Vec::new();
    let mut decoder = flate2::read::ZlibDecoder::new(body).take(BODY_BYTES_MAX + 1);
    decoder.read_to_end(&mut out).context("a compressed body")?;
    ensure!(out.len() as u64 <= BODY_BYTES_MAX, "a body of more than {BODY_BYTES_MAX} bytes");
    Ok(out)
}

/// The message that an id says the place of.
pub fn by_offset_id(client: &mut Client, host: SocketAddr, at: i64) -> anyhow::Result<Message> {
    let (address, offset) = (host.to_string(), at.to_string());
    let fields = [("offset", offset.as_str())];
    let answer = client.ask(&address, request::VIEW_MESSAGE_BY_ID, &fields, &[])?;
    let found = decode(&answer.body, "")?.into_iter().next();
    Ok(found.ok_or_else(|| CallError::NotFound(format!("{address} has no message at {at}")))?)
}

/// The message with an id of either kind; those of producers need the topic.
///
/// # Errors
/// If there is none, or the topic is missing.
pub fn by_any_id(
    client: &mut Client,
    topic: Option<&str>,
    route: Option<&str>,
    id: &str,
) -> anyhow::Result<Message> {
    if let Some((host, at)) = MessageId::parse(id) {
        match (by_offset_id(client, host, at), topic) {
            // both kinds of ids have 32 digits
            (Err(_), Some(_)) => {}
            (result, _) => return result,
        }
    }
    let Some(topic) = topic else {
        bail!("{id} does not say where the message is: give its topic with -t");
    };
    let query = Query { topic, key: id, max: 1, unique: true, route, ..Query::default() };
    let found = query.ask(client)?.into_iter().next();
    Ok(found.ok_or_else(|| no_message(topic, id))?)
}

/// In the words of RocketMQ.
pub fn no_message(topic: &str, key: &str) -> CallError {
    CallError::NotFound(format!(
        "CODE: 208  DESC: query message by key finished, but no message: {key} in {topic}"
    ))
}

/// A search by key.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    pub topic: &'a str,
    pub key: &'a str,
    /// Of each broker.
    pub max: u32,
    /// Milliseconds since 1970.
    pub begin: i64,
    pub end: i64,
    /// The key is the id that a producer gave.
    pub unique: bool,
    /// Cluster or topic whose brokers are asked.
    pub route: Option<&'a str>,
}

impl Default for Query<'_> {
    fn default() -> Self {
        let (topic, key) = ("", "");
        Query { topic, key, max: 64, begin: 0, end: i64::MAX, unique: false, route: None }
    }
}

impl Query<'_> {
    /// Asks all brokers of the topic; the oldest first.
    pub fn ask(&self, client: &mut Client) -> anyhow::Result<Vec<Message>> {
        let (max, begin, end) =
            (self.max.to_string(), self.begin.to_string(), self.end.to_string());
        let mut fields = vec![
            ("topic", self.topic),
            ("key", self.key),
            ("maxNum", max.as_str()),
            ("beginTimestamp", &begin),
            ("endTimestamp", &end),
        ];
        if self.unique {
            fields.push((UNIQUE, "true"));
        }
        let route = route(client, self.route.unwrap_or(self.topic))?;
        let mut found = Vec::new();
        for (broker, address) in brokers_with(&route) {
            let answer = client.call(address, request::QUERY_MESSAGE, &fields, &[])?;
            match answer.code {
                response::SUCCESS => found.extend(decode(&answer.body, broker)?),
                response::QUERY_NOT_FOUND => {}
                code => return Err(refused(address, code, answer)),
            }
        }
        // brokers find them by hashes
        found.retain(|message| self.matches(message));
        found.sort_by_key(|message| message.stored);
        Ok(found)
    }

    fn matches(&self, message: &Message) -> bool {
        if self.unique {
            return message.id() == self.key || message.offset_id() == self.key;
        }
        let keys = message.keys().unwrap_or_default();
        keys.split(' ').any(|key| key == self.key)
    }
}

fn refused(address: &str, code: i32, answer: Answer) -> anyhow::Error {
    CallError::Refused { address: address.to_owned(), code, remark: answer.remark }.into()
}

/// A queue and the broker that has it.
#[derive(Clone, Debug)]
pub struct Queue {
    pub topic: String,
    pub broker: String,
    pub address: String,
    pub id: i32,
}

/// What a pull found.
#[derive(Debug)]
pub struct Pulled {
    /// In the words of RocketMQ: FOUND, NO_NEW_MSG, NO_MATCHED_MSG, OFFSET_ILLEGAL.
    pub status: &'static str,
    pub next: i64,
    pub messages: Vec<Message>,
}

impl Queue {
    /// All queues of a topic that can be read, sorted.
    pub fn readable(client: &mut Client, topic: &str) -> anyhow::Result<Vec<Queue>> {
        Queue::permitted(client, topic, |mask| mask & perm::READ != 0)
    }

    /// All queues of a topic, sorted, also those that can only be written.
    pub fn all(client: &mut Client, topic: &str) -> anyhow::Result<Vec<Queue>> {
        Queue::permitted(client, topic, |_| true)
    }

    fn permitted(
        client: &mut Client,
        topic: &str,
        is_permitted: impl Fn(i32) -> bool,
    ) -> anyhow::Result<Vec<Queue>> {
        let route = route(client, topic)?;
        let mut queues = Vec::new();
        for data in &route.queue_datas {
            let broker = &data.broker_name;
            let address = brokers_with(&route).find(|(name, _)| name == broker);
            let Some((_, address)) = address.filter(|_| is_permitted(data.perm)) else { continue };
            queues.extend((0..data.read_queue_nums).map(|id| Queue {
                topic: topic.to_owned(),
                broker: broker.clone(),
                address: address.to_owned(),
                id,
            }));
        }
        queues.sort_by(|one, other| (&one.broker, one.id).cmp(&(&other.broker, other.id)));
        Ok(queues)
    }

    /// One queue of a broker.
    ///
    /// # Errors
    /// If the broker does not have the topic.
    pub fn of(client: &mut Client, topic: &str, broker: &str, id: i32) -> anyhow::Result<Queue> {
        let route = route(client, topic)?;
        let found = brokers_with(&route).find(|(name, _)| *name == broker);
        let Some((_, address)) = found else {
            let text = format!("broker {broker} has no topic {topic}: see topicRoute");
            return Err(CallError::NotFound(text).into());
        };
        let address = address.to_owned();
        Ok(Queue { topic: topic.to_owned(), broker: broker.to_owned(), address, id })
    }

    /// As RocketMQ prints a queue.
    pub fn describe(&self) -> String {
        let Queue { topic, broker, id, .. } = self;
        format!("MessageQueue [topic={topic}, brokerName={broker}, queueId={id}]")
    }

    fn offset(&self, client: &mut Client, code: i32, time: Option<i64>) -> anyhow::Result<i64> {
        let (id, time) = (self.id.to_string(), time.map(|time| time.to_string()));
        let mut fields = vec![("topic", self.topic.as_str()), ("queueId", id.as_str())];
        fields.extend(time.as_deref().map(|time| ("timestamp", time)));
        let answer = client.ask(&self.address, code, &fields, &[])?;
        answer.number("offset").context("an answer without an offset")
    }

    pub fn min(&self, client: &mut Client) -> anyhow::Result<i64> {
        self.offset(client, request::GET_MIN_OFFSET, None)
    }

    pub fn max(&self, client: &mut Client) -> anyhow::Result<i64> {
        self.offset(client, request::GET_MAX_OFFSET, None)
    }

    /// The offset of the first message that was stored then (milliseconds since 1970) or later.
    pub fn at(&self, client: &mut Client, time: i64) -> anyhow::Result<i64> {
        self.offset(client, request::SEARCH_OFFSET_BY_TIMESTAMP, Some(time))
    }

    /// Reads messages from an offset on, without waiting for new ones.
    pub fn pull(
        &self,
        client: &mut Client,
        offset: i64,
        max: i64,
        expression: &str,
    ) -> anyhow::Result<Pulled> {
        let (id, at, max) = (self.id.to_string(), offset.to_string(), max.clamp(1, 32).to_string());
        let flag = pull_flag::SUBSCRIPTION.to_string();
        let fields = [
            ("consumerGroup", TOOLS_GROUP),
            ("topic", self.topic.as_str()),
            ("queueId", id.as_str()),
            ("queueOffset", &at),
            ("maxMsgNums", &max),
            ("sysFlag", &flag),
            ("commitOffset", "0"),
            ("suspendTimeoutMillis", "0"),
            ("subscription", expression),
            ("subVersion", "0"),
            ("expressionType", "TAG"),
        ];
        let answer = client.call(&self.address, request::PULL_MESSAGE, &fields, &[])?;
        let next = answer.number("nextBeginOffset").unwrap_or(offset);
        let status = match answer.code {
            response::SUCCESS => "FOUND",
            response::PULL_NOT_FOUND => "NO_NEW_MSG",
            response::PULL_RETRY_IMMEDIATELY => "NO_MATCHED_MSG",
            response::PULL_OFFSET_MOVED => "OFFSET_ILLEGAL",
            code => return Err(refused(&self.address, code, answer)),
        };
        let mut messages =
            if status == "FOUND" { decode(&answer.body, &self.broker)? } else { Vec::new() };
        let tags: Vec<&str> = expression.split("||").map(str::trim).collect();
        messages.retain(|message| {
            expression == "*" || tags.contains(&message.tags().unwrap_or_default())
        });
        Ok(Pulled { status, next, messages })
    }
}
