//! A request on the shard that handles it, and what becomes of it.

use std::net::SocketAddr;

use ringmq_io::Runtime;
use ringmq_remoting::{
    command::Header,
    encode::{self, Value},
    fastjson,
};
use ringmq_rules::{limits::SHORT_BODY_BYTES, refusal::Refusal};
use serde::de::DeserializeOwned;

use crate::{messages::ReplyTo, shard::Shard};

/// A body of an answer that is written as it is, without a copy.
const LONG_BODY_BYTES: usize = 64 * 1024;

/// A request on the shard that handles it.
pub struct Request<'a> {
    pub reply_to: ReplyTo,
    pub peer: SocketAddr,
    pub header: Header<'a>,
    pub body: &'a [u8],
}

impl Request<'_> {
    /// The body, read as JSON.
    ///
    /// # Errors
    /// Those of [`read_json`].
    pub async fn json<T, R>(&self, shard: &Shard<R>) -> Result<T, Refusal>
    where
        T: DeserializeOwned + Send + 'static,
        R: Runtime,
    {
        self.read(shard, read_json).await
    }

    /// What `read` makes of the body in as many bytes of memory as it is told. It holds the shard
    /// up for no longer than a short body takes: a long one is read aside.
    pub async fn read<T, R>(&self, shard: &Shard<R>, read: fn(&[u8], usize) -> T) -> T
    where
        T: Send + 'static,
        R: Runtime,
    {
        let memory = shard.body_room.memory_of(self.body.len());
        if self.body.len() <= SHORT_BODY_BYTES {
            return read(self.body, memory);
        }
        let body = self.body.to_vec();
        shard.runtime.aside(move || read(&body, memory)).await
    }
}

/// Reads JSON that becomes at most so many bytes.
///
/// # Errors
/// If it is not what the request needs, or becomes more.
pub fn read_json<T: DeserializeOwned>(body: &[u8], memory: usize) -> Result<T, Refusal> {
    Ok(fastjson::from_slice_within(body, memory)?)
}

/// A field of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    Int(i64),
    Text(String),
    Bool(bool),
}

impl Field {
    pub fn as_value(&self) -> Value<'_> {
        match self {
            Field::Int(value) => Value::Int(*value),
            Field::Text(text) => Value::Str(text),
            Field::Bool(value) => Value::Bool(*value),
        }
    }
}

/// An answer other than a refusal.
#[derive(Debug, Default)]
pub struct Response {
    pub code: i32,
    pub remark: Option<String>,
    pub fields: Vec<(&'static str, Field)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn ok() -> Self {
        Response::default()
    }

    /// Success with the fields of a response header.
    pub fn with_fields(header: &[(&'static str, Value<'_>)]) -> Self {
        let fields = header.iter().map(|(name, value)| {
            let field = match value {
                Value::Int(value) => Field::Int(*value),
                Value::Str(text) => Field::Text((*text).to_owned()),
                Value::Bool(value) => Field::Bool(*value),
            };
            (*name, field)
        });
        Response { fields: fields.collect(), ..Response::default() }
    }

    /// Success with a JSON body.
    pub fn with_json(body: &impl serde::Serialize) -> Result<Self, Refusal> {
        let body = serde_json::to_vec(body)
            .map_err(|error| Refusal::system_error(format!("cannot encode the answer: {error}")))?;
        Ok(Response::with_body(body))
    }

    pub fn with_body(body: Vec<u8>) -> Self {
        Response { body, ..Response::default() }
    }
}

pub type Handled = Result<Response, Refusal>;

/// Sends the answer to a request with the next flush of the shard.
pub fn reply<R: Runtime>(shard: &Shard<R>, reply_to: &ReplyTo, handled: Handled) {
    let response = match handled {
        Ok(response) => response,
        Err(refusal) => return shard.refuse(reply_to, &refusal),
    };
    let Response { code, remark, fields, body } = response;
    shard.count_late_answer(reply_to, code, false);
    let ReplyTo { serialization, opaque, .. } = *reply_to;
    let fields: Vec<_> = fields.iter().map(|(name, field)| (*name, field.as_value())).collect();
    let begin = |out: &mut Vec<u8>| {
        encode::begin_response(out, serialization, opaque, code, remark.as_deref(), &fields)
    };
    if body.len() < LONG_BODY_BYTES {
        return shard.write_reply(reply_to, |out| begin(out)?.finish_with(out, &body));
    }
    let bytes = body.len();
    shard.write_long_reply(reply_to, |out| begin(out)?.finish_before(out, bytes), body);
}
