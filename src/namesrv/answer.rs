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

/// A body in pieces, of which each is made, counted and given back by itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Body(Vec<Vec<u8>>);

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Body {
        Body(if bytes.is_empty() { Vec::new() } else { vec![bytes] })
    }
}

impl From<String> for Body {
    fn from(text: String) -> Body {
        text.into_bytes().into()
    }
}

impl Body {
    pub fn push(&mut self, piece: Vec<u8>) {
        self.0.push(piece);
    }

    pub fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Vec::is_empty)
    }

    /// The pieces, in order.
    pub fn into_pieces(self) -> impl Iterator<Item = Vec<u8>> {
        self.0.into_iter()
    }
}

/// What goes back.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub code: i32,
    pub remark: Option<String>,
    pub fields: Vec<(&'static str, String)>,
    pub body: Body,
}

impl Answer {
    /// SUCCESS without anything.
    pub fn success() -> Answer {
        Answer::default()
    }

    pub fn body(body: impl Into<Body>) -> Answer {
        Answer { body: body.into(), ..Answer::default() }
    }

    pub fn refuse(code: i32, remark: impl Into<String>) -> Answer {
        Answer { code, remark: Some(remark.into()), ..Answer::default() }
    }

    pub fn with_field(mut self, name: &'static str, value: impl ToString) -> Answer {
        self.fields.push((name, value.to_string()));
        self
    }

    /// Appends the answer, as a frame in the serialization of the request, without its body, which
    /// must follow.
    ///
    /// # Errors
    /// If it fits no frame.
    pub fn encode_head(
        &self,
        out: &mut Vec<u8>,
        serialization: Serialization,
        opaque: i32,
    ) -> Result<(), EncodeError> {
        let fields: Vec<(&str, Value<'_>)> =
            self.fields.iter().map(|(name, value)| (*name, Value::Str(value))).collect();
        let remark = self.remark.as_deref();
        encode::begin_response(out, serialization, opaque, self.code, remark, &fields)?
            .finish_before(out, self.body.len())
    }
}
