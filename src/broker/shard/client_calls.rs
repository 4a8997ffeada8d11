//! Requests of the broker to clients that wait for an answer.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use ahash::AHashMap;
use ringmq_base::ShardId;
use ringmq_io::{
    Runtime,
    signal::{OneshotSender, oneshot},
};
use ringmq_remoting::{
    command::Header,
    encode::{self, EncodeError},
    frame::{Frame, Serialization},
};

use super::Shard;
use ringmq_rules::ConnectionId;

/// How long a client may take. Source: `Broker2Client.callClient`.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A request to a client.
#[derive(Clone, Debug)]
pub struct ClientCall {
    pub connection: ConnectionId,
    pub code: i32,
    pub fields: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

/// What the client answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAnswer {
    pub code: i32,
    pub remark: String,
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    #[error("the client's connection is closed")]
    Closed,
    #[error("the client did not answer within {} s", TIMEOUT.as_secs())]
    Timeout,
    #[error(
        "the client has not taken {waiting} bytes that it was sent; the limit is {limit} (key \
         perConnectionOutputBytesMax)"
    )]
    NotTaken { waiting: usize, limit: usize },
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// Calls to clients of this shard that are not answered yet.
#[derive(Default)]
pub struct ClientCalls {
    opaque: Cell<i32>,
    waiting: RefCell<AHashMap<(ConnectionId, i32), OneshotSender<ClientAnswer>>>,
}

impl ClientCalls {
    /// Takes the answer to a call; false if nobody waits for it.
    pub fn answered(&self, connection: ConnectionId, header: &Header<'_>, body: &[u8]) -> bool {
        let waiting = self.waiting.borrow_mut().remove(&(connection, header.opaque));
        let Some(waiting) = waiting else {
            return false;
        };
        waiting.send(ClientAnswer {
            code: header.code,
            remark: header.remark.as_deref().unwrap_or_default().to_owned(),
            body: body.to_vec(),
        });
        true
    }

    /// Nothing more comes from a connection.
    pub fn closed(&self, connection: ConnectionId) {
        self.waiting.borrow_mut().retain(|(other, _), _| *other != connection);
    }
}

impl<R: Runtime> Shard<R> {
    /// Asks a client, on whatever shard its connection is.
    pub async fn call_client(self: &Rc<Self>, call: ClientCall) -> Result<ClientAnswer, CallError> {
        let to = ShardId(call.connection.shard);
        self.call(to, async move |shard: Rc<Self>| shard.call_own_client(&call).await).await
    }

    /// Asks a client of this shard.
    async fn call_own_client(&self, call: &ClientCall) -> Result<ClientAnswer, CallError> {
        let calls = &self.client_calls;
        let connection = call.connection;
        let waiting = self.connections.with(connection, |connection| connection.output_bytes());
        let (waiting, limit) =
            (waiting.ok_or(CallError::Closed)?, self.settings.connection_output_bytes_max);
        if waiting > 0 && waiting + call.body.len() > limit {
            return Err(CallError::NotTaken { waiting, limit });
        }
        let opaque = calls.opaque.get();
        calls.opaque.set(opaque.wrapping_add(1));
        let (sender, receiver) = oneshot();
        calls.waiting.borrow_mut().insert((connection, opaque), sender);
        let sent = self.write_frame(connection, |out| {
            let fields: Vec<_> =
                call.fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let json = Serialization::Json;
            encode::request(out, json, call.code, opaque, false, &fields, &call.body)
        });
        if let Err(error) = sent {
            calls.waiting.borrow_mut().remove(&(connection, opaque));
            return Err(error.into());
        }
        self.flush();
        let answer = async { receiver.await.ok_or(CallError::Closed) };
        let timeout = async {
            self.runtime.sleep(TIMEOUT).await;
            Err(CallError::Timeout)
        };
        let answer = futures_lite::future::or(answer, timeout).await;
        calls.waiting.borrow_mut().remove(&(connection, opaque));
        answer
    }

    /// A response that came from a client.
    pub fn client_answered(&self, connection: ConnectionId, frame: &Frame<'_>) {
        match Header::decode(frame) {
            Ok(header) if self.client_calls.answered(connection, &header, frame.body) => {}
            Ok(header) => {
                tracing::debug!(code = header.code, opaque = header.opaque, "unexpected response");
            }
            Err(error) => tracing::debug!(%error, "malformed response"),
        }
    }
}
