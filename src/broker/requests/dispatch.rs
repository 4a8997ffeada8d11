//! From a frame to whoever handles it. Sends and pulls are checked here, on the connection's
//! shard, and go to the owner of their queue without a task of their own; everything else goes by
//! the table of requests.

use std::{net::SocketAddr, panic::AssertUnwindSafe, rc::Rc};

use futures_util::FutureExt;
use ringmq_base::{LogId, ShardId};
use ringmq_io::{Runtime, Shares};
use ringmq_remoting::{
    codes::{request, response},
    command::{self, Header},
    frame::{Frame, FrameError},
};

use crate::{
    messages::{ForwardedFrame, Origin},
    requests::{
        self, Access, Plane, Request,
        consume::pull_request,
        prerequisite::Preparation,
        produce::send::{self, Sent},
    },
    shard::{CONTROL, Shard, view::log_of_queue},
};
use ringmq_rules::{ConnectionId, pull_check, refusal::Refusal};

/// What the reader of the connection does next.
pub enum Next {
    /// Go on with the next frame.
    Continue,
    /// The frame needs something that takes time, such as a new topic; later frames of the
    /// connection must not overtake it.
    Wait(Preparation),
    /// The log that the message is for has too much in memory: read no more until it has room.
    Room(LogId, Origin),
}

impl std::convert::From<Sent> for Next {
    fn from(sent: Sent) -> Next {
        match sent {
            Sent::Done => Next::Continue,
            Sent::Full(log, origin) => Next::Room(log, origin),
            Sent::NotYet(preparation) => Next::Wait(preparation),
        }
    }
}

impl std::convert::From<Option<Preparation>> for Next {
    fn from(preparation: Option<Preparation>) -> Next {
        preparation.map_or(Next::Continue, Next::Wait)
    }
}

/// Why a connection is closed.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Header(#[from] command::HeaderError),
    #[error("internal error: handling the frame panicked")]
    Panicked,
}

/// The connection that a frame came from.
#[derive(Clone, Copy)]
pub struct From {
    pub connection: ConnectionId,
    pub peer: SocketAddr,
}

impl<R: Runtime> Shard<R> {
    /// Handles one complete frame.
    pub fn dispatch(
        self: &Rc<Self>,
        from: From,
        bytes: &[u8],
        scratch: &mut Vec<u8>,
    ) -> Result<Next, Malformed> {
        let frame = Frame::parse(bytes)?;
        if let Some(next) = self.dispatch_fast(from, &frame, scratch) {
            return Ok(next);
        }
        let peek = command::peek(&frame)?;
        if peek.is_response() {
            self.client_answered(from.connection, &frame);
            return Ok(Next::Continue);
        }
        let origin = Origin {
            connection: from.connection,
            opaque: peek.opaque,
            serialization: frame.serialization,
            oneway: peek.is_oneway(),
        };
        if !self.begin_request(&origin) {
            return Ok(Next::Continue);
        }
        match peek.code {
            request::SEND_MESSAGE | request::SEND_MESSAGE_V2 | request::SEND_BATCH_MESSAGE => {
                Ok(send::send(self, from, origin, &frame)?.into())
            }
            request::LITE_PULL_MESSAGE if !self.facts.config.lite_pull_message_enable => {
                let refusal = pull_check::lite_pull_forbidden(&self.facts.config.broker_ip1);
                self.refuse(&origin, &refusal);
                Ok(Next::Continue)
            }
            request::PULL_MESSAGE | request::LITE_PULL_MESSAGE => {
                Ok(pull_request::pull(self, from, origin, &frame)?.into())
            }
            code => {
                self.dispatch_by_table(from, origin, code, &frame, bytes)?;
                Ok(Next::Continue)
            }
        }
    }

    /// Sends and pulls written as clients usually write them, in one pass over the header.
    fn dispatch_fast(
        self: &Rc<Self>,
        from: From,
        frame: &Frame<'_>,
        scratch: &mut Vec<u8>,
    ) -> Option<Next> {
        let origin = |opaque, oneway| Origin {
            connection: from.connection,
            opaque,
            serialization: frame.serialization,
            oneway,
        };
        match command::leading_code(frame)? {
            request::SEND_MESSAGE | request::SEND_MESSAGE_V2 | request::SEND_BATCH_MESSAGE => {
                let header = ringmq_remoting::send::decode_fast(frame, scratch)?;
                let origin = origin(header.opaque, header.oneway);
                if !self.begin_request(&origin) {
                    return Some(Next::Continue);
                }
                Some(send::check_and_store(self, from, origin, &header, frame.body).into())
            }
            request::LITE_PULL_MESSAGE if !self.facts.config.lite_pull_message_enable => None,
            request::PULL_MESSAGE | request::LITE_PULL_MESSAGE => {
                let header = ringmq_remoting::pull::decode_fast(frame, scratch)?;
                let origin = origin(header.opaque, header.oneway);
                if !self.begin_request(&origin) {
                    return Some(Next::Continue);
                }
                Some(pull_request::check_and_pull(self, from, origin, &header).into())
            }
            _ => None,
        }
    }

    fn dispatch_by_table(
        self: &Rc<Self>,
        from: From,
        origin: Origin,
        code: i32,
        frame: &Frame<'_>,
        bytes: &[u8],
    ) -> Result<(), Malformed> {
        // What is no header ends the connection, whatever its code seems to be.
        let header = Header::decode(frame)?;
        let refusal = match requests::row(code) {
            None => requests::unsupported(code),
            Some(row) if frame.body.len() > row.body_bytes_max => Refusal::system_error(format!(
                "request {} has a body of {} bytes, the limit is {}",
                row.name,
                frame.body.len(),
                row.body_bytes_max
            )),
            Some(row) if row.access == Access::Admin && !self.may_administer(from.peer) => {
                Refusal::new(
                    response::NO_PERMISSION,
                    format!(
                        "request {} from {} refused: administration is allowed from loopback \
                         addresses only; set adminAllowRemote=true in the broker's configuration \
                         to allow it from everywhere",
                        row.name,
                        from.peer.ip()
                    ),
                )
            }
            Some(row) => {
                let target = match row.plane {
                    Plane::Here => self.id,
                    Plane::Control => CONTROL,
                    Plane::Queue => self.owner_of(&header),
                };
                return self.hand_over(target, from, origin, bytes);
            }
        };
        self.refuse(&origin, &refusal);
        Ok(())
    }

    fn hand_over(
        self: &Rc<Self>,
        target: ShardId,
        from: From,
        origin: Origin,
        bytes: &[u8],
    ) -> Result<(), Malformed> {
        let frame = ForwardedFrame { origin, peer: from.peer, frame: bytes.to_vec() };
        if target == self.id {
            self.handle_frame(frame);
        } else if let Err(overloaded) = self.router.forward(target, frame) {
            self.refuse(&origin, &overloaded.into());
        }
        Ok(())
    }

    /// Runs a request of the table on this shard, in a task of its own.
    pub fn handle_frame(self: &Rc<Self>, forwarded: ForwardedFrame) {
        let shard = self.clone();
        self.runtime.spawn(Shares::Foreground, "request", async move {
            let origin = forwarded.origin;
            let handled = shard.run_guarded(&forwarded).await;
            shard.reply(&origin, &handled);
            shard.flush();
        });
    }

    /// Runs a request; a panic in its handler costs this request only.
    async fn run_guarded(self: &Rc<Self>, forwarded: &ForwardedFrame) -> requests::Handled {
        let run = AssertUnwindSafe(self.run_request(forwarded)).catch_unwind();
        run.await.unwrap_or_else(|_| {
            tracing::error!(peer = %forwarded.peer, "a request's handler panicked");
            Err(Refusal::system_error("internal error: the request's handler failed"))
        })
    }

    async fn run_request(self: &Rc<Self>, forwarded: &ForwardedFrame) -> requests::Handled {
        let malformed = |error: Malformed| Refusal::system_error(error.to_string());
        let frame = Frame::parse(&forwarded.frame).map_err(|error| malformed(error.into()))?;
        let header = Header::decode(&frame).map_err(|error| malformed(error.into()))?;
        let request =
            Request { origin: forwarded.origin, peer: forwarded.peer, header, body: frame.body };
        requests::handle(self, &request).await
    }

    /// The shard that owns the queue that a request names; this one if it names none, so that the
    /// handler says what is wrong. Offsets in topics that are not there have an owner as well:
    /// every connection is to find what another has stored.
    fn owner_of(&self, header: &Header<'_>) -> ShardId {
        let queue_id = header.fields.get("queueId").and_then(|text| text.parse::<i32>().ok());
        let Some(queue_id) = queue_id else {
            return self.id;
        };
        match header.fields.get("topic").and_then(|name| self.topic(name)) {
            Some(topic) => self.queue_owner(&topic.topic, queue_id),
            None => self.log_owner(log_of_queue(0, queue_id, self.log_count())),
        }
    }

    fn may_administer(&self, peer: SocketAddr) -> bool {
        self.facts.admin_allow_remote || peer.ip().to_canonical().is_loopback()
    }
}
