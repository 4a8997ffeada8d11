//! The router: collects what leaves this shard for others and sends it as one message a kind and
//! target, so that one wake-up serves many requests. Nothing here ever waits: a target that does
//! not keep up gets no further requests (their senders are told at once), while replies and
//! changes are kept until it does. The two lanes into a shard never wait for each other.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use ringmq_base::ShardId;
use ringmq_io::{
    mailbox::Sender,
    signal::{Event, Notify},
};
use ringmq_remoting::codes::response;
use ringmq_rules::{ConnectionId, refusal::Refusal};

use crate::{
    injected_bugs::{BACKLOG_UNBOUNDED, LANE_BLOCKS, is_planted},
    messages::{
        ForwardedFrame, FramePart, LongReply, Message, PullRequest, Room, SendItem, ShardBatch,
        SpareBatches, TopicView,
    },
    sizes::Sizes,
};

/// Requests that a shard may have before it from others when a connection that asks for much has
/// its turn: some 2 ms. Those of connections that ask for little come behind them.
const NEAR_REQUESTS: usize = 512;

/// Requests that a shard has not handled yet, from all others.
#[derive(Default)]
struct Ahead {
    requests: AtomicUsize,
    /// Somebody wants to hear when there are few.
    is_waited_for: AtomicBool,
}

impl Ahead {
    fn is_near(&self) -> bool {
        self.requests.load(Ordering::SeqCst) <= NEAR_REQUESTS
    }
}

/// The two lanes into one shard, as its peers hold them.
pub struct Lanes<S> {
    pub requests: Sender<Message<S>>,
    pub replies: Sender<Message<S>>,
    /// Of requests that the shard has not handled yet, from all others.
    request_bytes: Arc<AtomicUsize>,
    ahead: Arc<Ahead>,
}

impl<S> Lanes<S> {
    pub fn new(requests: Sender<Message<S>>, replies: Sender<Message<S>>) -> Lanes<S> {
        Lanes { requests, replies, request_bytes: Arc::default(), ahead: Arc::default() }
    }
}

impl<S> Clone for Lanes<S> {
    fn clone(&self) -> Lanes<S> {
        Lanes {
            requests: self.requests.clone(),
            replies: self.replies.clone(),
            request_bytes: self.request_bytes.clone(),
            ahead: self.ahead.clone(),
        }
    }
}

/// The target shard is overloaded; the requester is to be told so.
#[derive(Debug, PartialEq, Eq)]
pub struct Overloaded {
    pub shard: ShardId,
    pub waiting: usize,
    pub limit: usize,
    /// What is counted: batches or bytes.
    pub unit: &'static str,
}

impl From<Overloaded> for Refusal {
    fn from(cause: Overloaded) -> Self {
        Refusal::new(
            response::SYSTEM_BUSY,
            format!(
                "[OVERLOAD]system busy, start flow control for a while: shard {} is {} {} \
                 behind, the limit is {}; send slower or raise the key cores",
                cause.shard, cause.waiting, cause.unit, cause.limit
            ),
        )
    }
}

/// A lane into a shard and what found it full.
struct Lane<S> {
    sender: Sender<Message<S>>,
    /// Oldest first.
    backlog: VecDeque<Message<S>>,
}

impl<S> Lane<S> {
    fn new(sender: Sender<Message<S>>) -> Lane<S> {
        Lane { sender, backlog: VecDeque::new() }
    }

    /// Sends a message behind all that were sent before. False: it waits for room.
    fn send(&mut self, message: Message<S>) -> bool {
        if !self.send_backlog() {
            self.backlog.push_back(message);
            return false;
        }
        match self.sender.try_send(message) {
            Ok(()) => true,
            Err(full) => {
                self.backlog.push_back(full.0);
                false
            }
        }
    }

    /// Sends what waits, as far as there is room. True if nothing waits any more.
    fn send_backlog(&mut self) -> bool {
        while let Some(message) = self.backlog.pop_front() {
            if let Err(full) = self.sender.try_send(message) {
                self.backlog.push_front(full.0);
                return false;
            }
        }
        true
    }

    fn bytes(&self) -> usize {
        self.backlog.iter().map(Message::bytes).sum()
    }
}

/// What is on its way to one shard.
struct Outgoing<S> {
    sends: Option<ShardBatch>,
    pulls: Vec<PullRequest>,
    frames: Vec<ForwardedFrame>,
    /// See [`Message::Handled`].
    handled: Vec<(ConnectionId, usize)>,
    replies: Option<ShardBatch>,
    request_lane: Lane<S>,
    reply_lane: Lane<S>,
    /// See [`Lanes`].
    request_bytes: Arc<AtomicUsize>,
    ahead: Arc<Ahead>,
}

impl<S> Outgoing<S> {
    fn new(lanes: Lanes<S>) -> Outgoing<S> {
        Outgoing {
            sends: None,
            pulls: Vec::new(),
            frames: Vec::new(),
            handled: Vec::new(),
            replies: None,
            request_lane: Lane::new(lanes.requests),
            reply_lane: Lane::new(lanes.replies),
            request_bytes: lanes.request_bytes,
            ahead: lanes.ahead,
        }
    }

    fn is_stalled(&self) -> bool {
        !self.request_lane.backlog.is_empty() || !self.reply_lane.backlog.is_empty()
    }

    /// Sends what was collected. False: some of it waits for room in a lane.
    fn flush(&mut self) -> bool {
        let mut requests_sent = self.request_lane.send_backlog();
        if let Some(batch) = self.sends.take() {
            requests_sent = self.send_request(batch.sends.len(), Message::Sends(batch));
        }
        if !self.pulls.is_empty() {
            let pulls = std::mem::take(&mut self.pulls);
            requests_sent = self.send_request(pulls.len(), Message::Pulls(pulls));
        }
        if !self.frames.is_empty() {
            let frames = std::mem::take(&mut self.frames);
            requests_sent = self.send_request(frames.len(), Message::Frames(frames));
        }
        if is_planted(LANE_BLOCKS) && !requests_sent {
            return false;
        }
        let mut replies_sent = self.reply_lane.send_backlog();
        if let Some(batch) = self.replies.take_if(|batch| !batch.replies.is_empty()) {
            replies_sent = self.reply_lane.send(Message::Replies(batch));
        }
        if !self.handled.is_empty() {
            let handled = std::mem::take(&mut self.handled);
            replies_sent = self.reply_lane.send(Message::Handled(handled));
        }
        requests_sent && replies_sent
    }

    /// Sends what counts as memory of the target until that has handled it.
    fn send_request(&mut self, requests: usize, message: Message<S>) -> bool {
        self.request_bytes.fetch_add(message.bytes(), Ordering::Relaxed);
        self.ahead.requests.fetch_add(requests, Ordering::SeqCst);
        self.request_lane.send(message)
    }

    fn bytes(&self) -> usize {
        let batches = self.sends.iter().chain(&self.replies).map(|batch| batch.bytes.len());
        let frames = self.frames.iter().map(ForwardedFrame::bytes);
        let waiting = self.request_lane.bytes() + self.reply_lane.bytes();
        batches.chain(frames).sum::<usize>() + waiting
    }
}

pub struct Router<S> {
    pub id: ShardId,
    outgoing: RefCell<Vec<Outgoing<S>>>,
    spares: RefCell<SpareBatches>,
    dirty: Cell<bool>,
    /// See [`Sizes`].
    backlog_messages_max: usize,
    batch_bytes_max: usize,
    batch_sends_max: usize,
    lane_bytes_max: usize,
    /// Of requests for this shard that it has not handled yet.
    own_request_bytes: Arc<AtomicUsize>,
    own_ahead: Arc<Ahead>,
    /// Some other shard has few requests before it again.
    near: Notify,
    shards: usize,
    /// Set when there is something to flush at the end of this turn.
    pub collected: Event,
    /// Set when a lane was full: somebody has to flush again.
    pub stalled: Event,
}

impl<S> Router<S> {
    pub fn new(id: ShardId, lanes: Vec<Lanes<S>>, sizes: &Sizes) -> Self {
        let own_request_bytes = lanes[id.index()].request_bytes.clone();
        let own_ahead = lanes[id.index()].ahead.clone();
        Router {
            id,
            lane_bytes_max: sizes.lane_bytes_max,
            own_request_bytes,
            own_ahead,
            near: Notify::default(),
            shards: lanes.len(),
            outgoing: RefCell::new(lanes.into_iter().map(Outgoing::new).collect()),
            spares: RefCell::default(),
            dirty: Cell::new(false),
            backlog_messages_max: sizes.backlog_messages_max,
            batch_bytes_max: sizes.batch_bytes_max,
            batch_sends_max: sizes.batch_sends_max,
            collected: Event::default(),
            stalled: Event::default(),
        }
    }

    pub fn shards(&self) -> usize {
        self.shards
    }

    pub fn peers(&self) -> impl Iterator<Item = ShardId> + use<S> {
        let own = self.id;
        (0..self.shards).map(|index| ShardId(index as u16)).filter(move |id| *id != own)
    }

    fn with<T>(&self, to: ShardId, change: impl FnOnce(&mut Outgoing<S>) -> T) -> T {
        assert!(to != self.id, "a shard does not send to itself");
        self.dirty.set(true);
        change(&mut self.outgoing.borrow_mut()[to.index()])
    }

    /// Whether a target takes another request.
    fn admit(&self, out: &Outgoing<S>, to: ShardId) -> Result<(), Overloaded> {
        let waiting = out.request_lane.backlog.len();
        let limit = self.backlog_messages_max;
        if is_planted(BACKLOG_UNBOUNDED) {
            return Ok(());
        }
        if waiting >= limit {
            return Err(Overloaded { shard: to, waiting, limit, unit: "batches" });
        }
        self.admit_bytes(out, to)
    }

    fn admit_bytes(&self, out: &Outgoing<S>, to: ShardId) -> Result<(), Overloaded> {
        // One that is larger than the limit gets in when nothing else is there.
        let waiting = out.request_bytes.load(Ordering::Relaxed);
        let limit = self.lane_bytes_max;
        if waiting >= limit {
            return Err(Overloaded { shard: to, waiting, limit, unit: "bytes" });
        }
        Ok(())
    }

    /// Counts a frame that this shard handles itself, until [`Router::handled`].
    pub fn keep(&self, frame: &ForwardedFrame) -> Result<(), Overloaded> {
        self.admit_bytes(&self.outgoing.borrow()[self.id.index()], self.id)?;
        self.own_request_bytes.fetch_add(frame.bytes(), Ordering::Relaxed);
        Ok(())
    }

    /// Requests of other shards that this one has not handled yet.
    pub fn requests_ahead(&self) -> usize {
        self.own_ahead.requests.load(Ordering::Relaxed)
    }

    /// Bytes of requests that a shard, be it this one, takes before it refuses them.
    pub fn room_of(&self, shard: ShardId) -> usize {
        let outgoing = self.outgoing.borrow();
        let waiting = outgoing[shard.index()].request_bytes.load(Ordering::Relaxed);
        self.lane_bytes_max.saturating_sub(waiting)
    }

    /// Adds a checked message, or a checked batch of a client as a whole.
    pub fn send(
        &self,
        to: ShardId,
        topic: &Arc<TopicView>,
        mut item: SendItem,
        properties: &[u8],
        body: &[u8],
    ) -> Result<(), Overloaded> {
        self.with(to, |out| {
            self.admit(out, to)?;
            let batch = out.sends.get_or_insert_with(|| {
                let began_us = item.reply_to.asked.at_us;
                ShardBatch { began_us, ..self.spares.borrow_mut().take() }
            });
            let known = batch.topics.iter().rposition(|known| Arc::ptr_eq(known, topic));
            let index = known.unwrap_or_else(|| {
                batch.topics.push(topic.clone());
                batch.topics.len() - 1
            });
            item.topic = u16::try_from(index).expect("a batch is sent before 65,536 messages");
            assert!(item.properties_bytes as usize == properties.len(), "items name their bytes");
            assert!(item.body_bytes as usize == body.len(), "items name their bytes");
            batch.bytes.extend_from_slice(properties);
            batch.bytes.extend_from_slice(body);
            batch.sends.push(item);
            if batch.bytes.len() > self.batch_bytes_max || batch.sends.len() >= self.batch_sends_max
            {
                self.flush_peer(out);
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
    /// requests that were admitted, and large ones by the `room` that was set aside for them.
    pub fn reply_with(
        &self,
        connection: ConnectionId,
        answers: u32,
        room: Room,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let to = ShardId(connection.shard);
        self.with(to, |out| {
            let batch = out.replies.get_or_insert_with(|| self.spares.borrow_mut().take());
            let before = batch.bytes.len();
            write(&mut batch.bytes);
            let end = batch.bytes.len();
            if end == before {
                return;
            }
            let last = batch.replies.last_mut().filter(|last| last.connection == connection);
            match last.and_then(|last| Some((last.room.and(room)?, last))) {
                Some((both, last)) => {
                    last.end = end;
                    last.answers += answers;
                    last.room = both;
                }
                None => batch.replies.push(FramePart { connection, end, answers, room }),
            }
            if end > self.batch_bytes_max {
                self.flush_peer(out);
            }
        });
    }

    /// Sends a single message on the request lane, behind what was collected before it; kept if the
    /// lane is full.
    pub fn post(&self, to: ShardId, message: Message<S>) {
        self.with(to, |out| {
            self.flush_peer(out);
            if !out.request_lane.send(message) {
                self.stalled.set();
            }
        });
    }

    /// Sends an answer with a long body behind those that were written before it; kept if the lane
    /// is full.
    pub fn reply_long(&self, reply: LongReply) {
        let to = ShardId(reply.connection.shard);
        self.with(to, |out| {
            self.flush_peer(out);
            if !out.reply_lane.send(Message::LongReply(reply)) {
                self.stalled.set();
            }
        });
    }

    /// Sends a single message on the reply lane; kept if the lane is full.
    pub fn answer(&self, to: ShardId, message: Message<S>) {
        self.with(to, |out| {
            if is_planted(LANE_BLOCKS) && !out.request_lane.send_backlog() {
                out.reply_lane.backlog.push_back(message);
                return self.stalled.set();
            }
            if !out.reply_lane.send(message) {
                self.stalled.set();
            }
        });
    }

    /// Has everything collected sent when the tasks that are runnable now have had their turn, so
    /// that what many connections brought at once goes together.
    pub fn flush_soon(&self) {
        if self.dirty.get() {
            self.collected.set();
        }
    }

    /// Resolves when no other shard has more requests before it than [`NEAR_REQUESTS`], or at
    /// [`Router::wake`]. Safe to cancel.
    pub async fn others_are_near(&self) {
        for peer in self.peers() {
            let ahead = self.outgoing.borrow()[peer.index()].ahead.clone();
            if ahead.is_near() {
                continue;
            }
            let woken = self.near.wait();
            ahead.is_waited_for.store(true, Ordering::SeqCst);
            if !ahead.is_near() {
                // It may be over for this one while it is not for the next: that is near enough.
                return woken.await;
            }
        }
    }

    /// Whoever waits for others to be near goes on.
    pub fn wake(&self) {
        self.near.notify();
    }

    /// So many requests of other shards are handled here: if somebody waits for it, all hear of it
    /// when few are left.
    pub fn done(&self, requests: usize) {
        let before = self.own_ahead.requests.fetch_sub(requests, Ordering::SeqCst);
        assert!(before >= requests, "requests are counted before they are handled");
        if self.own_ahead.is_near() && self.own_ahead.is_waited_for.swap(false, Ordering::SeqCst) {
            self.peers().for_each(|peer| self.answer(peer, Message::Near));
        }
    }

    /// Requests with so many bytes are handled here.
    pub fn handled(&self, bytes: usize) {
        self.own_request_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Tells the shard of a connection that a frame of it is handled.
    pub fn tell_handled(&self, connection: ConnectionId, bytes: usize) {
        self.with(ShardId(connection.shard), |out| match out.handled.last_mut() {
            Some((last, sum)) if *last == connection => *sum += bytes,
            _ => out.handled.push((connection, bytes)),
        });
    }

    /// Takes back what another shard has sent, unpacked.
    pub fn unpacked(&self, batch: ShardBatch) {
        self.spares.borrow_mut().keep(batch);
    }

    /// Sends everything collected since the last flush.
    pub fn flush(&self) {
        if !self.dirty.replace(false) {
            return;
        }
        for out in self.outgoing.borrow_mut().iter_mut() {
            self.flush_peer(out);
        }
    }

    /// Whether a lane was full at the last flush.
    pub fn is_stalled(&self) -> bool {
        self.outgoing.borrow().iter().any(Outgoing::is_stalled)
    }

    /// What waits for other shards: the most messages in front of a full lane of requests, and
    /// bytes of all.
    pub fn held(&self) -> (usize, usize) {
        let outgoing = self.outgoing.borrow();
        let lanes = outgoing.iter().map(|out| &out.request_lane);
        let messages = lanes.map(|lane| lane.backlog.len()).max().unwrap_or(0);
        (messages, outgoing.iter().map(Outgoing::bytes).sum())
    }

    fn flush_peer(&self, out: &mut Outgoing<S>) {
        if !out.flush() {
            self.dirty.set(true);
            self.stalled.set();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::{block_on, poll_once};
    use ringmq_io::mailbox::{Receiver, mailbox};
    use ringmq_remoting::frame::Serialization;

    use super::*;
    use crate::messages::{Asked, REQUEST_BYTES, ReplyTo, Room};

    /// The router of shard 0 of two, and the lanes into shard 1: requests, replies.
    fn router(room: usize) -> (Router<()>, Receiver<Message<()>>, Receiver<Message<()>>) {
        let lanes = || {
            let ((requests, from_requests), (replies, from_replies)) =
                (mailbox(room), mailbox(room));
            (Lanes::new(requests, replies), from_requests, from_replies)
        };
        let (own, ..) = lanes();
        let (peer, requests, replies) = lanes();
        (Router::new(ShardId(0), vec![own, peer], &Sizes::default()), requests, replies)
    }

    fn reply(router: &Router<()>, text: &str) {
        let connection = ConnectionId { shard: 1, slot: 3, generation: 1 };
        router.reply_with(connection, 1, Room::default(), |out| {
            out.extend_from_slice(text.as_bytes())
        });
    }

    fn text(message: Option<Message<()>>) -> Option<(String, ShardBatch)> {
        match message? {
            Message::Replies(batch) => Some((String::from_utf8_lossy(&batch.bytes).into(), batch)),
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
        let (both, batch) = text(replies.try_recv()).expect("collected before");
        assert_eq!(both, "one two");
        assert_eq!(batch.replies.len(), 1, "one connection, one part");
        assert!(matches!(requests.try_recv(), Some(Message::LookAtStorage)));
        router.flush();
        assert!(replies.try_recv().is_none() && requests.try_recv().is_none());
    }

    #[test]
    fn a_long_body_goes_behind_what_was_written_before_and_is_not_copied() {
        let (router, _requests, mut replies) = router(8);
        reply(&router, "one");
        let connection = ConnectionId { shard: 1, slot: 3, generation: 1 };
        let (head, body) = (b"head".to_vec(), vec![7; 100_000]);
        let memory = body.as_ptr();
        router.reply_long(LongReply { connection, room: Room::default(), head, body });
        reply(&router, "two");
        router.flush();
        assert_eq!(text(replies.try_recv()).expect("before").0, "one");
        let Some(Message::LongReply(long)) = replies.try_recv() else { panic!("it comes then") };
        assert_eq!((long.body.as_ptr(), long.head.as_slice()), (memory, b"head".as_slice()));
        assert_eq!(text(replies.try_recv()).expect("behind").0, "two");
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
    fn a_message_that_finds_its_lane_full_is_flushed_again() {
        for post in [Router::post, Router::answer] {
            let (router, _requests, _replies) = router(1);
            post(&router, ShardId(1), Message::LookAtStorage);
            assert!(!router.stalled.is_set() && !router.is_stalled());
            post(&router, ShardId(1), Message::LookAtStorage);
            assert!(router.stalled.is_set() && router.is_stalled());
        }
    }

    #[test]
    fn an_unpacked_batch_brings_the_next_replies() {
        let (router, _requests, mut replies) = router(8);
        let batch = ShardBatch { bytes: Vec::with_capacity(1000), ..ShardBatch::default() };
        let memory = batch.bytes.as_ptr();
        router.unpacked(batch);
        reply(&router, "one");
        router.flush();
        let (_, batch) = text(replies.try_recv()).expect("flushed");
        assert_eq!(batch.bytes.as_ptr(), memory);
    }

    /// A frame that counts as so many bytes.
    fn frame(bytes: usize) -> ForwardedFrame {
        ForwardedFrame {
            reply_to: ReplyTo {
                connection: ConnectionId { shard: 0, slot: 0, generation: 1 },
                opaque: 1,
                serialization: Serialization::Json,
                oneway: false,
                room: Room::default(),
                asked: Asked::default(),
            },
            peer: ([127, 0, 0, 1], 1).into(),
            frame: vec![0; bytes - REQUEST_BYTES],
        }
    }

    #[test]
    fn a_shard_that_has_too_many_bytes_before_it_gets_no_more() {
        let (router, mut requests, _replies) = router(8);
        let most = Sizes::default().lane_bytes_max;
        for bytes in [most - 1, REQUEST_BYTES] {
            assert_eq!(router.forward(ShardId(1), frame(bytes)), Ok(()));
            router.flush();
        }
        let one = || frame(REQUEST_BYTES);
        let refused = router.forward(ShardId(1), one()).expect_err("too much");
        let waiting = most - 1 + REQUEST_BYTES;
        assert_eq!((refused.waiting, refused.limit, refused.unit), (waiting, most, "bytes"));
        let handled = requests.try_recv().expect("sent").bytes();
        router.outgoing.borrow()[1].request_bytes.fetch_sub(handled, Ordering::Relaxed);
        assert_eq!(router.forward(ShardId(1), one()), Ok(()));
    }

    #[test]
    fn what_a_shard_handles_itself_counts_as_what_comes_from_others() {
        let (router, ..) = router(8);
        let frame = frame(Sizes::default().lane_bytes_max);
        assert_eq!((router.keep(&frame), router.room_of(ShardId(0))), (Ok(()), 0));
        let refused = router.keep(&frame).expect_err("too much");
        assert_eq!((refused.shard, refused.unit), (ShardId(0), "bytes"));
        router.handled(frame.bytes());
        assert_eq!(router.keep(&frame), Ok(()));
    }

    #[test]
    fn who_asks_for_much_waits_until_others_have_few_requests_before_them() {
        let ((own_requests, _), (own_replies, mut told)) = (mailbox(8), mailbox(8));
        let ((peer_requests, _from_requests), (peer_replies, _from_replies)) =
            (mailbox(1000), mailbox(8));
        let own = Lanes::new(own_requests, own_replies);
        let peer = Lanes::new(peer_requests, peer_replies);
        let lanes = || vec![own.clone(), peer.clone()];
        let [here, there] =
            [0, 1].map(|id| Router::<()>::new(ShardId(id), lanes(), &Sizes::default()));
        block_on(async {
            for _ in 0..=NEAR_REQUESTS {
                here.others_are_near().await;
                here.forward(ShardId(1), frame(REQUEST_BYTES)).expect("there is room");
                here.flush();
            }
            let mut waiting = Box::pin(here.others_are_near());
            assert!(poll_once(&mut waiting).await.is_none(), "one more than are few");
            there.done(1);
            assert!(matches!(told.try_recv(), Some(Message::Near)));
            here.wake();
            assert!(poll_once(&mut waiting).await.is_some());
            there.done(NEAR_REQUESTS);
        });
    }

    #[test]
    fn what_is_handled_is_told_together() {
        let (router, _requests, mut replies) = router(8);
        let connection = |slot| ConnectionId { shard: 1, slot, generation: 1 };
        for (slot, bytes) in [(1, 5), (1, 6), (2, 7)] {
            router.tell_handled(connection(slot), bytes);
        }
        router.flush();
        let told = match replies.try_recv() {
            Some(Message::Handled(told)) => told,
            _ => panic!("they are told"),
        };
        assert_eq!(told, [(connection(1), 11), (connection(2), 7)]);
        router.flush();
        assert!(replies.try_recv().is_none());
    }

    #[test]
    fn a_full_request_lane_holds_no_reply_up() {
        let (router, _requests, mut replies) = router(1);
        for _ in 0..3 {
            router.post(ShardId(1), Message::LookAtStorage);
        }
        assert!(router.is_stalled());
        reply(&router, "one");
        router.flush();
        assert_eq!(text(replies.try_recv()).map(|(word, _)| word).as_deref(), Some("one"));
    }

    #[test]
    fn a_full_reply_lane_holds_no_request_up() {
        let (router, mut requests, _replies) = router(1);
        for _ in 0..3 {
            router.answer(ShardId(1), Message::LookAtStorage);
        }
        router.post(ShardId(1), Message::LookAtStorage);
        assert!(requests.try_recv().is_some());
    }
}
