//! From a frame to whoever handles it. Sends and pulls are checked here, on the connection's
//! shard, and go to the owner of their queue without a task of their own; everything else goes by
//! the table of requests.

use std::{
    net::SocketAddr,
    panic::{self, AssertUnwindSafe},
    rc::Rc,
    task::{Context, Waker},
};

use futures_util::FutureExt;
use ringmq_base::{ShardId, limits::MESSAGE_OVERHEAD_BYTES_MAX};
use ringmq_io::{Runtime, Shares};
use ringmq_net::addresses::is_loopback;
use ringmq_remoting::{
    codes::{request, response},
    command::{self, Header},
    field_limits::{self, REQUEST_HEADER_BYTES_MAX, SHORT_HEADER_BYTES},
    frame::{Frame, FrameError},
};
use ringmq_rules::{pull_check, refusal::Refusal};

use super::{
    Handled, Request, Requests, administration,
    admission::check_header_length,
    authorize::Access as Authorized,
    consume::pull_request,
    next::{Next, Peer, Wait},
    not_served,
    produce::send,
    response::reply,
    table::{self, Access, Plane, Row},
};
use crate::{
    messages::{ForwardedFrame, ReplyTo, log_of_queue},
    shard::CONTROL,
};

/// Why a connection is closed.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Header(#[from] command::HeaderError),
    #[error("the header of a request has {bytes} bytes, the limit is {REQUEST_HEADER_BYTES_MAX}")]
    LongHeader { bytes: usize },
    #[error("internal error: handling the frame panicked")]
    Panicked,
}

impl<R: Runtime> Requests<R> {
    /// Handles one complete frame. `is_checked`: it was found that it may be, see [`Wait::Access`].
    pub fn dispatch(
        self: &Rc<Self>,
        peer: Peer,
        (bytes, is_checked): (&[u8], bool),
        scratch: &mut Vec<u8>,
    ) -> Result<Next, Malformed> {
        let frame = Frame::parse(bytes)?;
        check_header_length(frame.header.len())?;
        let mut checked = None;
        if self.shard.settings.config.acl_enable {
            // The header is read once: what is checked is what is handled.
            checked = match self.authorize(peer, &frame, is_checked)? {
                Authorized::Granted(header) => Some(header),
                Authorized::Refused => return Ok(Next::Continue),
                Authorized::Long(reply_to) => return Ok(Next::Wait(reply_to, Wait::Access)),
            };
        } else if let Some(next) = self.dispatch_fast(peer, &frame, scratch) {
            return Ok(next);
        }
        let peek = command::peek(&frame)?;
        if peek.is_response() {
            self.shard.client_answered(peer.connection, &frame);
            return Ok(Next::Continue);
        }
        let reply_to =
            peer.reply_to(frame.serialization, (peek.code, peek.opaque), peek.is_oneway());
        if !self.shard.begin_request(&reply_to) {
            return Ok(Next::Continue);
        }
        let header = || checked.map_or_else(|| Header::decode(&frame), Ok);
        match peek.code {
            request::SEND_MESSAGE | request::SEND_MESSAGE_V2 | request::SEND_BATCH_MESSAGE => {
                Ok(send::send(&self.shard, peer, reply_to, (&header()?, &frame)))
            }
            request::LITE_PULL_MESSAGE if !self.serves_lite_pulls() => {
                let refusal =
                    pull_check::lite_pull_forbidden(&self.shard.settings.config.broker_ip1);
                self.shard.refuse(&reply_to, &refusal);
                Ok(Next::Continue)
            }
            request::PULL_MESSAGE | request::LITE_PULL_MESSAGE => {
                Ok(pull_request::pull(&self.shard, peer, reply_to, (&header()?, &frame)))
            }
            // What is no header ends the connection, whatever its code seems to be.
            _ => Ok(self.dispatch_by_table(peer, reply_to, (&header()?, &frame), bytes)),
        }
    }

    fn serves_lite_pulls(&self) -> bool {
        self.shard.view.borrow().live.config.lite_pull_message_enable
    }

    /// Sends and pulls written as clients usually write them, in one pass over the header.
    fn dispatch_fast(
        self: &Rc<Self>,
        peer: Peer,
        frame: &Frame<'_>,
        scratch: &mut Vec<u8>,
    ) -> Option<Next> {
        if frame.header.len() > SHORT_HEADER_BYTES {
            return None;
        }
        let code = command::leading_code(frame)?;
        let reply_to = |opaque, oneway| peer.reply_to(frame.serialization, (code, opaque), oneway);
        match code {
            request::SEND_MESSAGE | request::SEND_MESSAGE_V2 | request::SEND_BATCH_MESSAGE => {
                let header = ringmq_remoting::send::decode_fast(frame, scratch)?;
                let reply_to = reply_to(header.opaque, header.oneway);
                if !self.shard.begin_request(&reply_to) {
                    return Some(Next::Continue);
                }
                Some(send::check_and_store(&self.shard, peer, reply_to, &header, frame.body))
            }
            request::LITE_PULL_MESSAGE if !self.serves_lite_pulls() => None,
            request::PULL_MESSAGE | request::LITE_PULL_MESSAGE => {
                let header = ringmq_remoting::pull::decode_fast(frame, scratch)?;
                let reply_to = reply_to(header.opaque, header.oneway);
                if !self.shard.begin_request(&reply_to) {
                    return Some(Next::Continue);
                }
                Some(pull_request::check_and_pull(&self.shard, peer, reply_to, &header))
            }
            _ => None,
        }
    }

    fn dispatch_by_table(
        self: &Rc<Self>,
        peer: Peer,
        mut reply_to: ReplyTo,
        (header, frame): (&Header<'_>, &Frame<'_>),
        bytes: &[u8],
    ) -> Next {
        let row = table::row(header.code);
        if let Err(refusal) = check_sizes(row, header, frame.body.len()) {
            self.shard.refuse(&reply_to, &refusal);
            return Next::Continue;
        }
        let refusal = match row {
            None => not_served::refusal(header.code),
            Some(row) if row.access == Access::Admin && !self.may_administer(peer.address) => {
                let refusal = not_local(row, peer);
                administration::note(row, peer.address, header, frame.body, Some(&refusal));
                refusal
            }
            Some(row) => {
                let target = match row.plane {
                    Plane::Here => self.shard.id,
                    Plane::Control => CONTROL,
                    Plane::Queue => self.owner_of(header),
                };
                if !self.shard.may_hand_over(target, peer.connection, bytes.len()) {
                    return Next::Wait(reply_to, Wait::Handled);
                }
                let largest = self.shard.live().config.max_message_size as usize;
                let largest = largest + MESSAGE_OVERHEAD_BYTES_MAX;
                let needed = row.answer.needed(largest);
                if needed.bytes > 0 && !self.shard.try_room(&mut reply_to, needed) {
                    return Next::Wait(reply_to, Wait::Answer(needed));
                }
                self.hand_over(target, peer, reply_to, bytes);
                return Next::Costly;
            }
        };
        self.shard.refuse(&reply_to, &refusal);
        Next::Continue
    }

    fn hand_over(self: &Rc<Self>, target: ShardId, peer: Peer, reply_to: ReplyTo, bytes: &[u8]) {
        let frame = ForwardedFrame { reply_to, peer: peer.address, frame: bytes.to_vec() };
        let (router, counted) = (&self.shard.router, frame.bytes());
        let handed = match target == self.shard.id {
            true => router.keep(&frame).map(|()| Some(frame)),
            false => router.forward(target, frame).map(|()| None),
        };
        match handed {
            Ok(here) => {
                self.shard.frame_begun(peer.connection, counted);
                here.into_iter().for_each(|frame| self.handle_frame(frame));
            }
            Err(overloaded) => self.shard.refuse(&reply_to, &overloaded.into()),
        }
    }

    /// Runs a request of the table on this shard: here and now as far as it waits for nothing, the
    /// rest in a task of its own. So requests that come faster than they are handled do not pile
    /// up as tasks. The caller flushes.
    pub fn handle_frame(self: &Rc<Self>, forwarded: ForwardedFrame) {
        let requests = self.clone();
        let mut request = Box::pin(async move {
            let handled = requests.run_guarded(&forwarded).await;
            reply(&requests.shard, &forwarded.reply_to, handled);
            requests.shard.frame_handled(&forwarded);
        });
        if request.poll_unpin(&mut Context::from_waker(Waker::noop())).is_ready() {
            return;
        }
        let shard = self.shard.clone();
        self.shard.runtime.spawn(Shares::Foreground, "request", async move {
            request.await;
            shard.flush();
            shard.runtime.yield_if_needed().await;
        });
    }

    /// Runs a request; a panic in its handler costs this request only, unless it was in the midst
    /// of an append.
    async fn run_guarded(&self, forwarded: &ForwardedFrame) -> Handled {
        match AssertUnwindSafe(self.run_request(forwarded)).catch_unwind().await {
            Ok(handled) => handled,
            Err(cause) if self.shard.is_appending() => panic::resume_unwind(cause),
            Err(_) => {
                tracing::error!(peer = %forwarded.peer, "a request's handler panicked");
                Err(Refusal::system_error("internal error: the request's handler failed"))
            }
        }
    }

    async fn run_request(&self, forwarded: &ForwardedFrame) -> Handled {
        let malformed = |error: Malformed| Refusal::system_error(error.to_string());
        let frame = Frame::parse(&forwarded.frame).map_err(|error| malformed(error.into()))?;
        let header = Header::decode(&frame).map_err(|error| malformed(error.into()))?;
        let request = Request {
            reply_to: forwarded.reply_to,
            peer: forwarded.peer,
            header,
            body: frame.body,
        };
        let handled = table::handle(self, &request).await;
        if let Some(row) = table::row(request.header.code) {
            let Request { peer, header, body, .. } = &request;
            administration::note(row, *peer, header, body, handled.as_ref().err());
        }
        handled
    }

    /// The shard that owns the queue that a request names; this one if it names none, so that the
    /// handler says what is wrong. Offsets in topics that are not there have an owner as well:
    /// every connection is to find what another has stored.
    fn owner_of(&self, header: &Header<'_>) -> ShardId {
        let shard = &self.shard;
        let queue_id = header.fields.get("queueId").and_then(|text| text.parse::<i32>().ok());
        let Some(queue_id) = queue_id else {
            return shard.id;
        };
        match header.fields.get("topic").and_then(|name| shard.topic(name)) {
            Some(topic) => shard.queues.owner(&topic, queue_id),
            None => shard.queues.log_owner(log_of_queue(0, queue_id, shard.queues.log_count())),
        }
    }

    fn may_administer(&self, peer: SocketAddr) -> bool {
        let settings = &self.shard.settings;
        let checked = settings.config.acl_enable || settings.admin_from_anywhere;
        checked || is_loopback(peer.ip())
    }
}

#[cold]
fn not_local(row: &Row, peer: Peer) -> Refusal {
    let remark = format!(
        "request {} from {} refused: what changes configuration, permissions or access is taken \
         from loopback addresses only; set aclEnable=true for accounts, or adminAccess=any to take \
         it from everywhere",
        row.name,
        peer.address.ip()
    );
    Refusal::new(response::NO_PERMISSION, remark)
}

fn check_sizes(row: Option<&Row>, header: &Header<'_>, body: usize) -> Result<(), Refusal> {
    row.map_or(Ok(()), |row| row.check_body(body))?;
    Ok(field_limits::check(&header.fields)?)
}
