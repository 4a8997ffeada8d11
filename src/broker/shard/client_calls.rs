//! Requests of the broker to clients: those that wait for an answer, and those that do not. A call
//! lasts no longer than its time and its connection, and there are only so many.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use ahash::AHashMap;
use ringmq_base::ShardId;
use ringmq_io::{
    Runtime,
    signal::{OneshotReceiver, OneshotSender, oneshot},
};
use ringmq_remoting::{
    command::Header,
    encode::{self, EncodeError},
    frame::{Frame, Serialization},
};

use super::Shard;
use crate::net::connections::ShardConnection;
use ringmq_rules::ConnectionId;

/// How long a client may take. Source: `Broker2Client.callClient`.
pub const CALL_TIME: Duration = Duration::from_secs(10);

/// Calls to the clients of a shard that may wait for their answer; each has its request until then.
const WAITING_MAX: usize = 8192;
/// The same for one client: more than a few are under way only if it hangs.
const WAITING_OF_CLIENT_MAX: usize = 2048;

/// A request to a client.
#[derive(Clone, Debug)]
pub struct ClientCall {
    pub connection: ConnectionId,
    pub code: i32,
    pub fields: Vec<(Cow<'static, str>, String)>,
    pub body: Arc<[u8]>,
    /// How long the client may take to answer.
    pub time: Duration,
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
    #[error("the client did not answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    #[error(
        "{waiting} requests to clients wait for their answers, the limit is {limit}; try again \
         later"
    )]
    TooMany { waiting: usize, limit: usize },
    #[error(
        "the client has not taken {waiting} bytes that it was sent; the limit is {limit}, a part \
         of perConnectionOutputBytesMax"
    )]
    NotTaken { waiting: usize, limit: usize },
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// Calls to clients of this shard that are not answered yet.
#[derive(Default)]
pub struct ClientCalls {
    opaque: Cell<i32>,
    count: Cell<usize>,
    waiting: RefCell<Waiting>,
}

/// By connection and number.
type Waiting = AHashMap<ConnectionId, AHashMap<i32, OneshotSender<ClientAnswer>>>;

impl ClientCalls {
    /// Notes a call; what is given resolves with its answer.
    fn begin(
        &self,
        connection: ConnectionId,
    ) -> Result<(i32, OneshotReceiver<ClientAnswer>), CallError> {
        let mut waiting = self.waiting.borrow_mut();
        let own = waiting.get(&connection).map_or(0, |own| own.len());
        for (waiting, limit) in [(own, WAITING_OF_CLIENT_MAX), (self.count.get(), WAITING_MAX)] {
            if waiting >= limit {
                return Err(CallError::TooMany { waiting, limit });
            }
        }
        let opaque = self.opaque.get();
        self.opaque.set(opaque.wrapping_add(1));
        let (sender, receiver) = oneshot();
        waiting.entry(connection).or_default().insert(opaque, sender);
        self.count.set(self.count.get() + 1);
        Ok((opaque, receiver))
    }

    /// Forgets a call, if it still waits.
    fn end(&self, connection: ConnectionId, opaque: i32) -> Option<OneshotSender<ClientAnswer>> {
        let mut waiting = self.waiting.borrow_mut();
        let own = waiting.get_mut(&connection)?;
        let call = own.remove(&opaque)?;
        if own.is_empty() {
            waiting.remove(&connection);
        }
        self.count.set(self.count.get() - 1);
        Some(call)
    }

    /// Takes the answer to a call; false if nobody waits for it.
    pub fn answered(&self, connection: ConnectionId, header: &Header<'_>, body: &[u8]) -> bool {
        let Some(waiting) = self.end(connection, header.opaque) else {
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
        let gone = self.waiting.borrow_mut().remove(&connection);
        let count = gone.as_ref().map_or(0, |own| own.len());
        self.count.set(self.count.get() - count);
    }
}

impl<R: Runtime> Shard<R> {
    /// Asks a client, on whatever shard its connection is.
    pub async fn call_client(self: &Rc<Self>, call: ClientCall) -> Result<ClientAnswer, CallError> {
        let to = ShardId(call.connection.shard);
        self.call(to, async move |shard: Rc<Self>| shard.call_own_client(&call).await).await
    }

    /// Sends a client a request that it does not answer, on whatever shard its connection is.
    pub async fn tell_client(self: &Rc<Self>, call: ClientCall) -> Result<(), CallError> {
        let to = ShardId(call.connection.shard);
        let tell = async move |shard: Rc<Self>| {
            shard.check_taken(call.connection, call.body.len())?;
            let told = shard.write_call(&call, (0, true));
            shard.flush();
            told
        };
        self.call(to, tell).await
    }

    /// Asks a client of this shard.
    async fn call_own_client(&self, call: &ClientCall) -> Result<ClientAnswer, CallError> {
        let (calls, connection) = (&self.client_calls, call.connection);
        self.check_taken(connection, call.body.len())?;
        let (opaque, receiver) = calls.begin(connection)?;
        if let Err(error) = self.write_call(call, (opaque, false)) {
            calls.end(connection, opaque);
            return Err(error);
        }
        self.flush();
        let answer = async { receiver.await.ok_or(CallError::Closed) };
        let timeout = async {
            self.runtime.sleep(call.time).await;
            Err(CallError::Timeout(call.time))
        };
        let answer = futures_lite::future::or(answer, timeout).await;
        calls.end(connection, opaque);
        answer
    }

    /// Whether a client of this shard takes what it is sent, so that there is room for so many
    /// bytes more.
    ///
    /// # Errors
    /// If it is gone, or has not taken enough.
    pub fn check_taken(&self, to: ConnectionId, bytes: usize) -> Result<(), CallError> {
        let output = |connection: &ShardConnection<R>| connection.output_bytes();
        let waiting = self.connections.with(to, output).ok_or(CallError::Closed)?;
        // Less than what has the broker read the connection no more: a client with one thread that
        // writes its answer before it reads on would wait for ever.
        let limit = self.answer_room.pause_at() / 2;
        if waiting > 0 && waiting + bytes > limit {
            return Err(CallError::NotTaken { waiting, limit });
        }
        Ok(())
    }

    fn write_call(
        &self,
        call: &ClientCall,
        (opaque, oneway): (i32, bool),
    ) -> Result<(), CallError> {
        self.write_frame(call.connection, |out| {
            let fields = call.fields.iter().map(|(name, value)| (&**name, &**value));
            let (json, fields) = (Serialization::Json, fields.collect::<Vec<_>>());
            encode::request(out, json, call.code, opaque, oneway, &fields, &call.body)
        })?;
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(slot: u32) -> ConnectionId {
        ConnectionId { shard: 0, slot, generation: 0 }
    }

    #[test]
    fn calls_are_bounded_and_end_with_their_connection() {
        let calls = ClientCalls::default();
        let mut kept = Vec::new();
        for _ in 0..WAITING_OF_CLIENT_MAX {
            kept.push(calls.begin(connection(1)).expect("room"));
        }
        let error = calls.begin(connection(1)).err().expect("this client has many");
        assert!(matches!(error, CallError::TooMany { limit: WAITING_OF_CLIENT_MAX, .. }));
        for client in 2..=(WAITING_MAX / WAITING_OF_CLIENT_MAX) as u32 {
            for _ in 0..WAITING_OF_CLIENT_MAX {
                kept.push(calls.begin(connection(client)).expect("room"));
            }
        }
        let error = calls.begin(connection(99)).err().expect("all have many");
        assert!(error.to_string().contains("the limit is 8192"), "{error}");
        calls.closed(connection(1));
        calls.closed(connection(1));
        assert_eq!(calls.count.get(), WAITING_MAX - WAITING_OF_CLIENT_MAX);
        calls.begin(connection(99)).expect("room again");
        for client in 2..=99 {
            calls.closed(connection(client));
        }
        assert!(calls.count.get() == 0 && calls.waiting.borrow().is_empty());
    }
}
