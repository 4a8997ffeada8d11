//! What the clients of tests have in common, whatever carries their bytes: the fields of requests,
//! answers, and where their servers start from.

#![forbid(unsafe_code)]

use std::{collections::BTreeMap, env, process::Command, time::Duration};

use ringmq_remoting::{codes::pull_flag, command::Header, encode::Value, frame::Frame};

/// A field of a request.
pub type Field<'a> = (&'static str, Value<'a>);

/// A response of a broker, or a request that it sends.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub code: i32,
    pub opaque: i32,
    pub is_response: bool,
    pub remark: String,
    pub fields: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    /// Decodes a whole frame; the error is a sentence.
    pub fn decode(bytes: &[u8]) -> Result<Answer, String> {
        let frame = Frame::parse(bytes).map_err(|error| error.to_string())?;
        let header = Header::decode(&frame).map_err(|error| error.to_string())?;
        let fields = header.fields.iter();
        Ok(Answer {
            code: header.code,
            opaque: header.opaque,
            is_response: header.is_response(),
            remark: header.remark.as_deref().unwrap_or_default().to_owned(),
            fields: fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            body: frame.body.to_vec(),
        })
    }

    /// The answer, which must have this code.
    pub fn expect(self, code: i32) -> Answer {
        assert_eq!(self.code, code, "response code, remark {:?}", self.remark);
        self
    }

    /// A field that may be there, and a number.
    pub fn find_number(&self, field: &str) -> Option<i64> {
        self.fields.get(field)?.parse().ok()
    }

    /// A field that must be there and a number.
    pub fn number(&self, field: &str) -> i64 {
        self.find_number(field).unwrap_or_else(|| panic!("{field} is no number: {self:?}"))
    }
}

/// A message to store, or a batch of them.
#[derive(Clone, Copy, Debug)]
pub struct Send<'a> {
    pub topic: &'a str,
    pub queue: i32,
    /// Of the topic, if it is made for this message.
    pub queues: i32,
    pub properties: &'a str,
    pub batch: bool,
}

impl<'a> Send<'a> {
    /// Of SEND_MESSAGE_V2 and SEND_BATCH_MESSAGE.
    pub fn fields(&self) -> [Field<'a>; 13] {
        [
            ("a", Value::Str("producer")),
            ("b", Value::Str(self.topic)),
            ("c", Value::Str("TBW102")),
            ("d", Value::Int(self.queues.into())),
            ("e", Value::Int(self.queue.into())),
            ("f", Value::Int(0)),
            ("g", Value::Int(1_767_225_600_000)),
            ("h", Value::Int(0)),
            ("i", Value::Str(self.properties)),
            ("j", Value::Int(0)),
            ("k", Value::Bool(false)),
            ("l", Value::Int(0)),
            ("m", Value::Bool(self.batch)),
        ]
    }
}

/// A pull that brings its subscription along, to everything.
#[derive(Clone, Copy, Debug)]
pub struct Pull<'a> {
    pub group: &'a str,
    pub topic: &'a str,
    pub queue: i32,
    pub offset: i64,
    pub messages_max: u32,
    /// How long the broker may keep it.
    pub wait: Duration,
}

impl<'a> Pull<'a> {
    /// Of PULL_MESSAGE.
    pub fn fields(&self) -> [Field<'a>; 11] {
        let suspend = if self.wait.is_zero() { 0 } else { pull_flag::SUSPEND };
        let wait_ms = i64::try_from(self.wait.as_millis()).expect("short");
        [
            ("consumerGroup", Value::Str(self.group)),
            ("topic", Value::Str(self.topic)),
            ("queueId", Value::Int(self.queue.into())),
            ("queueOffset", Value::Int(self.offset)),
            ("maxMsgNums", Value::Int(self.messages_max.into())),
            ("sysFlag", Value::Int((suspend | pull_flag::SUBSCRIPTION).into())),
            ("commitOffset", Value::Int(0)),
            ("suspendTimeoutMillis", Value::Int(wait_ms)),
            ("subscription", Value::Str("*")),
            ("subVersion", Value::Int(1)),
            ("expressionType", Value::Str("TAG")),
        ]
    }
}

/// Of UPDATE_AND_CREATE_TOPIC.
pub fn topic_fields(topic: &str, queues: impl Into<i64>) -> [Field<'_>; 8] {
    let queues = Value::Int(queues.into());
    [
        ("topic", Value::Str(topic)),
        ("defaultTopic", Value::Str("TBW102")),
        ("readQueueNums", queues),
        ("writeQueueNums", queues),
        ("perm", Value::Int(6)),
        ("topicFilterType", Value::Str("SINGLE_TAG")),
        ("topicSysFlag", Value::Int(0)),
        ("order", Value::Bool(false)),
    ]
}

/// The same of a topic with one queue and attributes of RocketMQ 5.
pub fn topic_fields_with<'a>(topic: &'a str, attributes: &'a str) -> Vec<Field<'a>> {
    let attributes = ("attributes", Value::Str(attributes));
    topic_fields(topic, 1).into_iter().chain([attributes]).collect()
}

/// Of GET_MIN_OFFSET and GET_MAX_OFFSET.
pub fn queue_fields(topic: &str, queue: i32) -> [Field<'_>; 2] {
    [("topic", Value::Str(topic)), ("queueId", Value::Int(queue.into()))]
}

/// Of UPDATE_CONSUMER_OFFSET.
pub fn commit_fields<'a>(
    group: &'a str,
    topic: &'a str,
    queue: i32,
    offset: i64,
) -> [Field<'a>; 4] {
    let [topic, queue] = queue_fields(topic, queue);
    [("consumerGroup", Value::Str(group)), topic, queue, ("commitOffset", Value::Int(offset))]
}

/// Takes from a command what this process was told about servers and about tests, so that the
/// binary under test has no settings but those that the command itself sets.
pub fn forget_environment(command: &mut Command) {
    let set: Vec<_> = command.get_envs().map(|(name, _)| name.to_owned()).collect();
    for (name, _) in env::vars_os().filter(|(name, _)| !set.contains(name)) {
        let text = name.to_string_lossy();
        if text.starts_with("RINGMQ_") || text == "NAMESRV_ADDR" || text == "ROCKETMQ_HOME" {
            command.env_remove(&name);
        }
    }
}
