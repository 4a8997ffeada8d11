//! What shards say to each other: data only. Requests and replies travel on lanes of their own, so
//! that a flood of requests never holds up a reply.

pub mod access;
pub mod auto_create;
pub mod change;
pub mod live_settings;
pub mod new_message;
pub mod pull_request;
pub mod shard_batch;

use std::{
    any::Any,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::{Arc, mpsc},
    time::Duration,
};

use futures_util::future::LocalBoxFuture;
use ringmq_base::{LogId, ShardId};
use ringmq_io::Accepted;
use ringmq_remoting::frame::Serialization;
use ringmq_rules::{ConnectionId, acl::AccessRules, meta::MetaChange, topics::Deleted};

pub use self::{
    access::{AccessChange, AccessControl, AccessJob},
    auto_create::AutoCreate,
    change::{Change, TopicView, log_of_queue},
    live_settings::LiveSettings,
    new_message::{NewMessage, StoredAt},
    pull_request::{PullRequest, Wait},
    shard_batch::{FramePart, SendItem, ShardBatch, SpareBatches},
};

/// Who asked, and how to answer: travels with a request wherever it is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    pub connection: ConnectionId,
    pub opaque: i32,
    pub serialization: Serialization,
    /// One-way requests are never answered.
    pub oneway: bool,
    pub room: Room,
    pub asked: Asked,
}

/// What a request is counted as when it is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Its code.
    pub code: i32,
    /// When it came, in microseconds of the monotonic clock; wraps after an hour.
    pub at_us: u32,
}

/// What a shard has set aside for an answer that is not made yet: that of the connection, or the
/// one that makes it. It goes with the answer, and back when the client has taken that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Number of the shard that counts it.
    pub by: u16,
    /// For an answer that may be as long as a frame: few of them are made at a time.
    pub long: bool,
    /// 0: none.
    pub bytes: u32,
}

impl Room {
    /// Room of both, if one shard counts it.
    pub fn and(self, other: Room) -> Option<Room> {
        match (self.bytes, other.bytes) {
            (0, _) => Some(other),
            (_, 0) => Some(self),
            _ if self.by != other.by || self.long || other.long => None,
            (bytes, others) => Some(Room { bytes: bytes.checked_add(others)?, ..self }),
        }
    }
}

/// What a request takes until it is handled, in bytes, besides its frame: the task that it becomes.
pub const REQUEST_BYTES: usize = 1024;

/// A request that another shard handles, as it came in.
#[derive(Debug)]
pub struct ForwardedFrame {
    pub reply_to: ReplyTo,
    pub peer: SocketAddr,
    pub frame: Vec<u8>,
}

impl ForwardedFrame {
    /// What it takes until it is handled, in bytes.
    pub fn bytes(&self) -> usize {
        self.frame.len() + REQUEST_BYTES
    }
}

/// An answer with a body that is too long to be copied, for a connection of another shard.
pub struct LongReply {
    pub connection: ConnectionId,
    pub room: Room,
    /// The frame up to its body.
    pub head: Vec<u8>,
    pub body: Vec<u8>,
}

/// What a call does on the shard `S` that is called.
pub type Work<S> = Box<dyn FnOnce(Rc<S>) -> LocalBoxFuture<'static, Returned> + Send>;

/// What a call gives back; the caller knows its type.
pub type Returned = Box<dyn Any + Send>;

/// Everything that crosses shards, which are of type `S`.
pub enum Message<S> {
    /// The first message: what the shard needs to open its logs.
    Start(Box<Start>),
    /// A connection for this shard to serve.
    Connection(Accepted),
    /// The sends of the batch.
    Sends(ShardBatch),
    Pulls(Vec<PullRequest>),
    Frames(Vec<ForwardedFrame>),
    /// The replies of the batch.
    Replies(ShardBatch),
    LongReply(LongReply),
    /// Run this here and return what it gives.
    Call {
        from: ShardId,
        id: u64,
        work: Work<S>,
    },
    Returned {
        id: u64,
        value: Returned,
    },
    /// Frames of connections that were handed over are handled, of so many bytes.
    Handled(Vec<(ConnectionId, usize)>),
    /// Clients have taken so many bytes of answers that the shard counts.
    Taken(Vec<(ConnectionId, usize)>),
    /// A change of the shared view, from the control shard, in order.
    Change(Change),
    /// Files with accounts say something else now; for the control shard.
    AccessRules(Arc<AccessRules>),
    /// A log has no space; for the control shard.
    LookAtStorage,
    /// End this connection.
    Close(ConnectionId),
    /// A connection is gone, and what it had on other shards goes with it.
    Closed(ConnectionId),
    /// A connection of `shard` has ended, or was never served; for the control shard.
    Left {
        shard: ShardId,
        address: IpAddr,
    },
    /// A shard has opened its logs, or the sentence why it could not.
    Ready {
        result: Result<(), String>,
    },
    /// The shard that sends it has few requests before it again.
    Near,
    /// A log of the shard that sends it does not keep up with what it is sent, or does so again.
    Behind {
        log: LogId,
        is_behind: bool,
    },
    /// A shard has written everything and ends.
    Finished(ShardId),
    /// For the control shard: have sends and pulls refused and those under way answered, no longer
    /// than so, and tell what asks then.
    Drain {
        limit: Duration,
        drained: mpsc::Sender<()>,
    },
    /// For the control shard: the configuration says this of keys that are live.
    Reload {
        keys: Vec<(String, String)>,
        reloaded: mpsc::Sender<Result<(), String>>,
    },
    /// Tell what asks that this shard handles messages.
    Ping(mpsc::Sender<ShardId>),
    /// Stop taking requests, write everything, end.
    Shutdown,
}

impl<S> Message<S> {
    /// Bytes of clients that it carries.
    pub fn bytes(&self) -> usize {
        match self {
            Message::Sends(batch) | Message::Replies(batch) => batch.bytes.len(),
            Message::Frames(frames) => frames.iter().map(ForwardedFrame::bytes).sum(),
            Message::LongReply(reply) => reply.body.len(),
            _ => 0,
        }
    }
}

/// The state of the store that a shard starts from.
pub struct Start {
    pub logs: u16,
    pub store_id: u128,
    pub changes: Vec<Change>,
    /// Consumer offsets of the queues that this shard owns.
    pub offsets: Vec<MetaChange>,
    /// Topics that were deleted, and where their queues would begin again.
    pub deleted: Vec<(Arc<str>, Deleted)>,
}
