//! A request on the shard that handles it, and what becomes of it.

use std::net::SocketAddr;

use ringmq_io::Runtime;
use ringmq_remoting::{
    command::Header,
    encode::{self, Value},
    fastjson,
};
use ringmq_rules::{
    limits::{BODY_MEMORY_FREE, BODY_MEMORY_PER_BYTE},
    refusal::Refusal,
};
use serde::de::DeserializeOwned;

use crate::{messages::ReplyTo, shard::Shard};

/// A request on the shard that handles it.
pub struct Request<'a> {
    pub reply_to: ReplyTo,
    pub peer: SocketAddr,
    pub header: Header<'a>,
    pub body: &'a [u8],
}

impl Request<'_> {
    /// The body, read as JSON in memory that is in proportion to its length.
    ///
    /// # Errors
    /// If it is not what the request needs, or becomes too much.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        let memory = BODY_MEMORY_FREE + BODY_MEMORY_PER_BYTE * self.body.len();
        Ok(fastjson::from_slice_within(self.body, memory)?)
    }
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
pub fn reply<R: Runtime>(shard: &Shard<R>, reply_to: &ReplyTo, handled: &Handled) {
    let response = match handled {
        Ok(response) => response,
        Err(refusal) => return shard.refuse(reply_to, refusal),
    };
    shard.write_reply(reply_to, |out| {
        let fields = response.fields.iter().map(|(name, field)| (*name, field.as_value()));
        let fields: Vec<_> = fields.collect();
        encode::response(
            out,
            reply_to.serialization,
            reply_to.opaque,
            response.code,
            response.remark.as_deref(),
            &fields,
            &response.body,
        )
    });
}
