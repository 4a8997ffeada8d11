//! The router: collects what leaves this shard for others and sends it as one message a kind and
//! target, so that one wake-up serves many requests. Nothing here ever waits: a target that does
//! not keep up gets no further requests (their senders are told at once), while replies and
//! changes are kept until it does.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    sync::Arc,
};

use ringmq_base::ShardId;
use ringmq_io::{mailbox::Sender, signal::Event};
use ringmq_remoting::codes::response;

use crate::{
    messages::{
        ForwardedFrame, Message, SendItem,
        parcel::{FramePart, Parcel, Spares},
    },
    requests::consume::pull::PullRequest,
    shard::view::TopicView,
    sizes::Sizes,
};
use ringmq_rules::{ConnectionId, refusal::Refusal};

/// The two lanes into one shard, as its peers hold them.
#[derive(Clone)]
pub struct Lanes {
    pub requests: Sender<Message>,
    pub replies: Sender<Message>,
}

/// The target shard is overloaded; the requester is to be told so.
#[derive(Debug, PartialEq, Eq)]
pub struct Overloaded {
    pub shard: ShardId,
    pub waiting: usize,
    pub limit: usize,
}

impl From<Overloaded> for Refusal {
    fn from(cause: Overloaded) -> Self {
        Refusal::new(
            response::SYSTEM_BUSY,
            format!(
                "[OVERLOAD]system busy, start flow control for a while: shard {} is {} batches \
                 behind, the limit is {}; send slower or raise the key cores",
                cause.shard, cause.waiting, cause.limit
            ),
        )
    }
}

#[derive(Default)]
struct Outgoing {
    sends: Option<Parcel>,
    pulls: Vec<PullRequest>,
    frames: Vec<ForwardedFrame>,
    replies: Option<Parcel>,
    /// Messages that found the lane full, oldest first; true: the reply lane.
    backlog: VecDeque<(bool, Message)>,
}

pub struct Router {
    pub id: ShardId,
    lanes: Vec<Lanes>,
    outgoing: RefCell<Vec<Outgoing>>,
    spares: RefCell<Spares>,
    dirty: Cell<bool>,
    /// See [`Sizes`].
    backlog_messages_max: usize,
    parcel_bytes_max: usize,
    parcel_sends_max: usize,
    /// Set when there is something to flush at the end of this turn.
    pub collected: Event,
    /// Set when a lane was full: somebody has to flush again.
    pub stalled: Event,
}

impl Router {
    pub fn new(id: ShardId, lanes: Vec<Lanes>, sizes: &Sizes) -> Self {
        let outgoing = lanes.iter().map(|_| Outgoing::default()).collect();
        Router {
            id,
            lanes,
            outgoing: RefCell::new(outgoing),
            spares: RefCell::default(),
            dirty: Cell::new(false),
            backlog_messages_max: sizes.backlog_messages_max,
            parcel_bytes_max: sizes.parcel_bytes_max,
            parcel_sends_max: sizes.parcel_sends_max,
            collected: Event::default(),
            stalled: Event::default(),
        }
    }

    pub fn shards(&self) -> usize {
        self.lanes.len()
    }

    pub fn peers(&self) -> impl Iterator<Item = ShardId> + use<> {
        let own = self.id;
        (0..self.lanes.len()).map(|n| ShardId(n as u16)).filter(move |id| *id != own)
    }

    fn with<T>(&self, to: ShardId, change: impl FnOnce(&mut Outgoing) -> T) -> T {
        assert!(to != self.id, "a shard does not send to itself");
        self.dirty.set(true);
        change(&mut self.outgoing.borrow_mut()[to.index()])
    }

    fn admit(&self, out: &Outgoing, to: ShardId) -> Result<(), Overloaded> {
        let waiting = out.backlog.len();
        let limit = self.backlog_messages_max;
        if waiting < limit { Ok(()) } else { Err(Overloaded { shard: to, waiting, limit }) }
    }

    /// Adds a checked message; `properties` are concatenated.
    pub fn send(
        &self,
        to: ShardId,
        topic: &Arc<TopicView>,
        mut item: SendItem,
        properties: [&[u8]; 3],
        body: &[u8],
    ) -> Result<(), Overloaded> {
        self.with(to, |out| {
            self.admit(out, to)?;
            let parcel = out.sends.get_or_insert_with(|| self.spares.borrow_mut().take());
            let known = parcel.topics.iter().rposition(|known| Arc::ptr_eq(known, topic));
            let index = known.unwrap_or_else(|| {
                parcel.topics.push(topic.clone());
                parcel.topics.len() - 1
            });
            item.topic = u16::try_from(index).expect("a parcel is sent before 65,536 messages");
            for part in properties {
                parcel.bytes.extend_from_slice(part);
            }
            parcel.bytes.extend_from_slice(body);
            parcel.sends.push(item);
            if parcel.bytes.len() > self.parcel_bytes_max
                || parcel.sends.len() >= self.parcel_sends_max
            {
                self.flush_peer(to, out);
            }
            Ok(())
        })
    }

    pub fn pull(&self, to: ShardId, request: PullRequest) -> Result<(), Overloaded> {
        self.with(to, |out| {
            self.admit(out, to)?;
            out.pulls.push(request);
            Ok(())
        })
    }

    pub fn forward(&self, to: ShardId, frame: ForwardedFrame) -> Result<(), Overloaded> {
        self.with(to, |out| {
            self.admit(out, to)?;
            out.frames.push(frame);
            Ok(())
        })
    }

    /// Adds bytes for a connection of another shard. Never refused: replies are bounded by the
    /// requests that were admitted.
    pub fn reply_with(
        &self,
        connection: ConnectionId,
        answers: u32,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let to = ShardId(connection.shard);
        self.with(to, |out| {
            let parcel = out.replies.get_or_insert_with(|| self.spares.borrow_mut().take());
            let before = parcel.bytes.len();
            write(&mut parcel.bytes);
            let end = parcel.bytes.len();
            if end == before {
                return;
            }
            match parcel.replies.last_mut() {
                Some(last) if last.connection == connection => {
                    last.end = end;
                    last.answers += answers;
                }
                _ => parcel.replies.push(FramePart { connection, end, answers }),
            }
            if end > self.parcel_bytes_max {
                self.flush_peer(to, out);
            }
        });
    }

    /// Sends a single message on the request lane, behind what was collected before it; kept if the
    /// lane is full.
    pub fn post(&self, to: ShardId, message: Message) {
        self.with(to, |out| {
            self.flush_peer(to, out);
            self.push(to, out, false, message);
        });
    }

    /// Sends a single message on the reply lane; kept if the lane is full.
    pub fn answer(&self, to: ShardId, message: Message) {
        self.with(to, |out| self.push(to, out, true, message));
    }

    /// Has everything collected sent when the tasks that are runnable now have had their turn, so
    /// that what many connections brought at once goes together.
    pub fn flush_soon(&self) {
        if self.dirty.get() {
            self.collected.set();
        }
    }

    /// Takes back what another shard has sent, unpacked.
    pub fn unpacked(&self, parcel: Parcel) {
        self.spares.borrow_mut().keep(parcel);
    }

    /// Sends everything collected since the last flush.
    pub fn flush(&self) {
        if !self.dirty.replace(false) {
            return;
        }
        let mut outgoing = self.outgoing.borrow_mut();
        for (index, out) in outgoing.iter_mut().enumerate() {
            self.flush_peer(ShardId(index as u16), out);
        }
    }

    /// Whether a lane was full at the last flush.
    pub fn is_stalled(&self) -> bool {
        self.outgoing.borrow().iter().any(|out| !out.backlog.is_empty())
    }

    /// What waits for other shards: the most messages in front of a full lane, and bytes of all.
    pub fn held(&self) -> (usize, usize) {
        let outgoing = self.outgoing.borrow();
        let messages = outgoing.iter().map(|out| out.backlog.len()).max().unwrap_or(0);
        let bytes = outgoing.iter().map(|out| {
            let parcels = out.sends.iter().chain(&out.replies).map(|parcel| parcel.bytes.len());
            let frames = out.frames.iter().map(|forwarded| forwarded.frame.len());
            let waiting = out.backlog.iter().map(|(_, message)| message.bytes());
            parcels.chain(frames).chain(waiting).sum::<usize>()
        });
        (messages, bytes.sum())
    }

    fn flush_peer(&self, to: ShardId, out: &mut Outgoing) {
        while let Some((reply, message)) = out.backlog.pop_front() {
            if let Err(message) = self.try_send(to, reply, message) {
                out.backlog.push_front((reply, message));
                break;
            }
        }
        if let Some(parcel) = out.sends.take() {
            self.push(to, out, false, Message::Sends(parcel));
        }
        if !out.pulls.is_empty() {
            let pulls = std::mem::take(&mut out.pulls);
            self.push(to, out, false, Message::Pulls(pulls));
        }
        if !out.frames.is_empty() {
            let frames = std::mem::take(&mut out.frames);
            self.push(to, out, false, Message::Frames(frames));
        }
        if let Some(parcel) = out.replies.take_if(|parcel| !parcel.replies.is_empty()) {
            self.push(to, out, true, Message::Replies(parcel));
        }
        if !out.backlog.is_empty() {
            self.dirty.set(true);
            self.stalled.set();
        }
    }

    fn push(&self, to: ShardId, out: &mut Outgoing, reply: bool, message: Message) {
        if out.backlog.is_empty() {
            if let Err(message) = self.try_send(to, reply, message) {
                out.backlog.push_back((reply, message));
                self.stalled.set();
            }
        } else {
            out.backlog.push_back((reply, message));
        }
    }

    fn try_send(&self, to: ShardId, reply: bool, message: Message) -> Result<(), Message> {
        let lanes = &self.lanes[to.index()];
        let lane = if reply { &lanes.replies } else { &lanes.requests };
        lane.try_send(message).map_err(|full| full.0)
    }
}

#[cfg(test)]
mod tests {
    use ringmq_io::mailbox::{Receiver, mailbox};

    use super::*;

    /// The router of shard 0 of two, and the lanes into shard 1: requests, replies.
    fn router(room: usize) -> (Router, Receiver<Message>, Receiver<Message>) {
        let lanes = || {
            let ((requests, from_requests), (replies, from_replies)) =
                (mailbox(room), mailbox(room));
            (Lanes { requests, replies }, from_requests, from_replies)
        };
        let (own, ..) = lanes();
        let (peer, requests, replies) = lanes();
        (Router::new(ShardId(0), vec![own, peer], &Sizes::default()), requests, replies)
    }

    fn reply(router: &Router, text: &str) {
        let connection = ConnectionId { shard: 1, slot: 3, generation: 1 };
        router.reply_with(connection, 1, |out| out.extend_from_slice(text.as_bytes()));
    }

    fn text(message: Option<Message>) -> Option<(String, Parcel)> {
        match message? {
            Message::Replies(parcel) => {
                Some((String::from_utf8_lossy(&parcel.bytes).into(), parcel))
            }
            _ => None,
        }
    }

    #[test]
    fn what_is_collected_goes_together_and_before_what_is_posted_later() {
        let (router, mut requests, mut replies) = router(8);
        reply(&router, "one ");
        reply(&router, "two");
        router.flush_soon();
        assert!(router.collected.is_set());
        assert!(replies.try_recv().is_none(), "the turn is not over");
        router.post(ShardId(1), Message::LookAtStorage);
        let (both, parcel) = text(replies.try_recv()).expect("collected before");
        assert_eq!(both, "one two");
        assert_eq!(parcel.replies.len(), 1, "one connection, one part");
        assert!(matches!(requests.try_recv(), Some(Message::LookAtStorage)));
        router.flush();
        assert!(replies.try_recv().is_none() && requests.try_recv().is_none());
    }

    #[test]
    fn a_full_lane_loses_nothing_and_keeps_the_order() {
        let (router, _requests, mut replies) = router(1);
        for word in ["one", "two", "three"] {
            reply(&router, word);
            router.flush();
        }
        assert!(router.is_stalled());
        let mut seen = Vec::new();
        while let Some((word, _)) = text(replies.try_recv()) {
            seen.push(word);
            router.flush();
        }
        assert_eq!(seen, ["one", "two", "three"]);
        assert!(!router.is_stalled());
    }

    #[test]
    fn an_unpacked_parcel_brings_the_next_replies() {
        let (router, _requests, mut replies) = router(8);
        let parcel = Parcel { bytes: Vec::with_capacity(1000), ..Parcel::default() };
        let memory = parcel.bytes.as_ptr();
        router.unpacked(parcel);
        reply(&router, "one");
        router.flush();
        let (_, parcel) = text(replies.try_recv()).expect("flushed");
        assert_eq!(parcel.bytes.as_ptr(), memory);
    }
}
