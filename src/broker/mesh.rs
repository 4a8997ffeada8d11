//! What shards send each other. Requests and replies travel on lanes of their own, so that a
//! flood of requests never holds up a reply.

use std::{net::SocketAddr, sync::Arc};

use ringmq_base::ShardId;
use ringmq_io::Accepted;
use ringmq_remoting::frame::Serialization;

use crate::{
    ask::{Answer, Ask},
    features::{ConnectionId, meta::MetaChange, topics::Deleted},
    handlers::pull::PullRequest,
    view::{Change, TopicView},
};

/// Who asked, and how to answer: travels with a request wherever it is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    pub connection: ConnectionId,
    pub opaque: i32,
    pub serialization: Serialization,
    /// One-way requests are never answered.
    pub oneway: bool,
}

/// One message of a [`SendBatch`]; its properties and body lie in the batch's bytes, one behind the
/// other in the order of the items.
#[derive(Clone, Debug)]
pub struct SendItem {
    pub origin: Origin,
    pub topic: u16,
    pub queue_id: i32,
    /// The queue that the reply names: that of the request, wherever the message goes first.
    pub reply_queue_id: i32,
    pub flag: i32,
    pub sys_flag: i32,
    pub born_timestamp: i64,
    pub born_host: SocketAddr,
    pub reconsume_times: i32,
    pub tags_code: i64,
    pub properties_bytes: u32,
    pub body_bytes: u32,
    pub part: Part,
}

/// How a message is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// For itself.
    Whole,
    /// With the last message of its batch.
    Member,
    /// For its whole batch.
    Last,
}

/// Checked messages for the queues of one shard, from one turn of another.
#[derive(Debug, Default)]
pub struct SendBatch {
    pub topics: Vec<Arc<TopicView>>,
    pub items: Vec<SendItem>,
    pub bytes: Vec<u8>,
}

/// A request that another shard handles, as it came in.
#[derive(Debug)]
pub struct ForwardedFrame {
    pub origin: Origin,
    pub peer: SocketAddr,
    pub frame: Vec<u8>,
}

/// Encoded replies (or requests to clients) for connections of one shard.
#[derive(Debug, Default)]
pub struct FrameBatch {
    pub parts: Vec<FramePart>,
    pub bytes: Vec<u8>,
}

/// Frames for one connection.
#[derive(Clone, Copy, Debug)]
pub struct FramePart {
    pub connection: ConnectionId,
    /// Of this part in the batch's bytes.
    pub end: usize,
    /// How many of the frames are replies.
    pub answers: u32,
}

/// Everything that crosses shards.
pub enum Message {
    /// The first message: what the shard needs to open its logs.
    Start(Box<Start>),
    /// A connection for this shard to serve.
    Connection(Accepted),
    Sends(Box<SendBatch>),
    Pulls(Vec<PullRequest>),
    Frames(Vec<ForwardedFrame>),
    Replies(Box<FrameBatch>),
    Ask {
        from: ShardId,
        id: u64,
        ask: Box<Ask>,
    },
    Answer {
        id: u64,
        answer: Box<Answer>,
    },
    /// A change of the shared view, from the control shard, in order.
    Change(Change),
    /// Changes that the control shard shall persist, such as consumer offsets.
    Persist(Vec<MetaChange>),
    /// A log has no space; for the control shard.
    LookAtStorage,
    /// End this connection.
    Close(ConnectionId),
    /// A connection is gone; for the control shard.
    Closed(ConnectionId),
    /// A shard has opened its logs, or the sentence why it could not.
    Ready {
        from: ShardId,
        result: Result<(), String>,
    },
    /// A shard has written everything and ends.
    Finished(ShardId),
    /// Stop taking requests, write everything, end.
    Shutdown,
}

/// The state of the store that a shard starts from.
pub struct Start {
    pub logs: u16,
    pub store_id: u128,
    pub changes: Vec<Change>,
    /// Consumer offsets of the queues that this shard owns.
    pub offsets: Vec<MetaChange>,
    /// Topics that were deleted, and where their queues would begin again.
    pub buried: Vec<(Arc<str>, Deleted)>,
}
