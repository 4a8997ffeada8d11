//! What a handler gets and gives.

use std::net::SocketAddr;

use ringmq_remoting::{
    codes::response,
    command::Header,
    encode::{self, EncodeError, Value},
    frame::Serialization,
};

use crate::route::ConnectionId;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    /// The peer is on this machine.
    pub local: bool,
    pub connection: ConnectionId,
}

/// A request, as its connection decoded it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub header: &'a Header<'a>,
    pub body: &'a [u8],
    pub peer: Peer,
    /// Milliseconds since the name server started.
    pub now_ms: u64,
}

impl<'a> Request<'a> {
    /// A field that may be missing; the binary header knows no difference to an empty one.
    pub fn field(&self, name: &str) -> Option<&'a str> {
        self.header.fields.get(name).filter(|value| !value.is_empty())
    }

    /// A field that may be empty, for names of which Java takes any.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.header.fields.get(name)
    }

    /// A field that must be there.
    pub fn required(&self, name: &'static str) -> Result<&'a str, Answer> {
        self.field(name).ok_or_else(|| {
            Answer::refuse(response::SYSTEM_ERROR, format!("the header field {name} is missing"))
        })
    }

    /// A number that may be missing; what is no number counts as missing, as in Java.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.field(name)?.trim().parse().ok()
    }

    pub fn boolean(&self, name: &str) -> Option<bool> {
        self.field(name).map(|value| value.trim().eq_ignore_ascii_case("true"))
    }
}

/// What goes back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub code: i32,
    pub remark: Option<String>,
    pub fields: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// SUCCESS without anything.
    pub fn success() -> Answer {
        Answer::default()
    }

    pub fn body(body: impl Into<Vec<u8>>) -> Answer {
        Answer { body: body.into(), ..Answer::default() }
    }

    pub fn refuse(code: i32, remark: impl Into<String>) -> Answer {
        Answer { code, remark: Some(remark.into()), ..Answer::default() }
    }

    pub fn with_field(mut self, name: &'static str, value: impl ToString) -> Answer {
        self.fields.push((name, value.to_string()));
        self
    }

    /// Appends the answer as a frame in the serialization of the request.
    ///
    /// # Errors
    /// If it fits no frame.
    pub fn encode(
        &self,
        out: &mut Vec<u8>,
        serialization: Serialization,
        opaque: i32,
    ) -> Result<(), EncodeError> {
        let fields: Vec<(&str, Value<'_>)> =
            self.fields.iter().map(|(name, value)| (*name, Value::Str(value))).collect();
        let remark = self.remark.as_deref();
        encode::response(out, serialization, opaque, self.code, remark, &fields, &self.body)
    }
}
