//! What shards send each other. Requests and replies travel on lanes of their own, so that a
//! flood of requests never holds up a reply.

pub mod ask;
pub mod parcel;

use std::{net::SocketAddr, sync::Arc};

use ringmq_base::ShardId;
use ringmq_io::Accepted;
use ringmq_remoting::frame::Serialization;

use crate::{
    messages::{
        ask::{Answer, Ask},
        parcel::Parcel,
    },
    requests::consume::pull::PullRequest,
    shard::view::Change,
};
use ringmq_rules::{ConnectionId, meta::MetaChange, topics::Deleted};

/// Who asked, and how to answer: travels with a request wherever it is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    pub connection: ConnectionId,
    pub opaque: i32,
    pub serialization: Serialization,
    /// One-way requests are never answered.
    pub oneway: bool,
}

/// One message of a [`Parcel`]; its properties and body lie in the parcel's bytes, one behind the
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

/// A request that another shard handles, as it came in.
#[derive(Debug)]
pub struct ForwardedFrame {
    pub origin: Origin,
    pub peer: SocketAddr,
    pub frame: Vec<u8>,
}

/// Everything that crosses shards.
pub enum Message {
    /// The first message: what the shard needs to open its logs.
    Start(Box<Start>),
    /// A connection for this shard to serve.
    Connection(Accepted),
    /// The sends of the parcel.
    Sends(Parcel),
    Pulls(Vec<PullRequest>),
    Frames(Vec<ForwardedFrame>),
    /// The replies of the parcel.
    Replies(Parcel),
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
        result: Result<(), String>,
    },
    /// A shard has written everything and ends.
    Finished(ShardId),
    /// Stop taking requests, write everything, end.
    Shutdown,
}

impl Message {
    /// Bytes of clients that it carries.
    pub fn bytes(&self) -> usize {
        match self {
            Message::Sends(parcel) | Message::Replies(parcel) => parcel.bytes.len(),
            Message::Frames(frames) => frames.iter().map(|forwarded| forwarded.frame.len()).sum(),
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
    pub buried: Vec<(Arc<str>, Deleted)>,
}
