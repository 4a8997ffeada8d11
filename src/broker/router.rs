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
    features::{ConnectionId, refusal::Refusal},
    handlers::pull::PullRequest,
    mesh::{ForwardedFrame, FrameBatch, FramePart, Message, SendBatch, SendItem},
    view::TopicView,
};

/// Messages a target may be behind before it gets no more requests. Each is a batch.
const BACKLOG_MESSAGES_MAX: usize = 256;

/// Bytes of one batch after which it is sent without waiting for the end of the turn.
const BATCH_BYTES_MAX: usize = 1024 * 1024;

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
    sends: SendBatch,
    sends_capacity: usize,
    pulls: Vec<PullRequest>,
    frames: Vec<ForwardedFrame>,
    replies: FrameBatch,
    replies_capacity: usize,
    /// Messages that found the lane full, oldest first; true: the reply lane.
    backlog: VecDeque<(bool, Message)>,
}

pub struct Router {
    pub id: ShardId,
    lanes: Vec<Lanes>,
    outgoing: RefCell<Vec<Outgoing>>,
    dirty: Cell<bool>,
    /// Set when a lane was full: somebody has to flush again.
    pub stalled: Event,
}

impl Router {
    pub fn new(id: ShardId, lanes: Vec<Lanes>) -> Self {
        let outgoing = lanes.iter().map(|_| Outgoing::default()).collect();
        Router {
            id,
            lanes,
            outgoing: RefCell::new(outgoing),
            dirty: Cell::new(false),
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

    fn admit(out: &Outgoing, to: ShardId) -> Result<(), Overloaded> {
        let waiting = out.backlog.len();
        let limit = BACKLOG_MESSAGES_MAX;
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
            Self::admit(out, to)?;
            let batch = &mut out.sends;
            if batch.bytes.capacity() == 0 {
                batch.bytes.reserve(out.sends_capacity);
            }
            let known = batch.topics.iter().rposition(|known| Arc::ptr_eq(known, topic));
            let index = known.unwrap_or_else(|| {
                batch.topics.push(topic.clone());
                batch.topics.len() - 1
            });
            item.topic = u16::try_from(index).expect("a batch is sent before 65,536 messages");
            for part in properties {
                batch.bytes.extend_from_slice(part);
            }
            batch.bytes.extend_from_slice(body);
            batch.items.push(item);
            if batch.bytes.len() > BATCH_BYTES_MAX || batch.items.len() >= 16_384 {
                self.flush_peer(to, out);
            }
            Ok(())
        })
    }

    pub fn pull(&self, to: ShardId, request: PullRequest) -> Result<(), Overloaded> {
        self.with(to, |out| {
            Self::admit(out, to)?;
            out.pulls.push(request);
            Ok(())
        })
    }

    pub fn forward(&self, to: ShardId, frame: ForwardedFrame) -> Result<(), Overloaded> {
        self.with(to, |out| {
            Self::admit(out, to)?;
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
            let batch = &mut out.replies;
            if batch.bytes.capacity() == 0 {
                batch.bytes.reserve(out.replies_capacity);
            }
            let before = batch.bytes.len();
            write(&mut batch.bytes);
            let end = batch.bytes.len();
            if end == before {
                return;
            }
            match batch.parts.last_mut() {
                Some(last) if last.connection == connection => {
                    last.end = end;
                    last.answers += answers;
                }
                _ => batch.parts.push(FramePart { connection, end, answers }),
            }
            if end > BATCH_BYTES_MAX {
                self.flush_peer(to, out);
            }
        });
    }

    /// Sends a single message on the request lane, behind what was collected before it; kept if the
    /// lane is full.
    pub fn post(&self, to: ShardId, message: Message) {
        self.with(to, |out| self.push(to, out, false, message));
    }

    /// Sends a single message on the reply lane; kept if the lane is full.
    pub fn answer(&self, to: ShardId, message: Message) {
        self.with(to, |out| self.push(to, out, true, message));
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

    fn flush_peer(&self, to: ShardId, out: &mut Outgoing) {
        while let Some((reply, message)) = out.backlog.pop_front() {
            if let Err(message) = self.try_send(to, reply, message) {
                out.backlog.push_front((reply, message));
                break;
            }
        }
        if !out.sends.items.is_empty() {
            let batch = std::mem::take(&mut out.sends);
            out.sends_capacity = batch.bytes.len().next_multiple_of(4096);
            self.push(to, out, false, Message::Sends(Box::new(batch)));
        }
        if !out.pulls.is_empty() {
            let pulls = std::mem::take(&mut out.pulls);
            self.push(to, out, false, Message::Pulls(pulls));
        }
        if !out.frames.is_empty() {
            let frames = std::mem::take(&mut out.frames);
            self.push(to, out, false, Message::Frames(frames));
        }
        if !out.replies.parts.is_empty() {
            let batch = std::mem::take(&mut out.replies);
            out.replies_capacity = batch.bytes.len().next_multiple_of(4096);
            self.push(to, out, true, Message::Replies(Box::new(batch)));
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
