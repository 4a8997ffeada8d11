//! The table of request codes that the broker answers: one row a code. A new request is a row here
//! and a function in the folder of its family.

use ringmq_base::limits::FRAME_BYTES_MAX;
use ringmq_io::Runtime;
use ringmq_remoting::codes::{request, response};
use ringmq_rules::refusal::Refusal;

use super::{
    Requests,
    admin::*,
    clients::*,
    consume::*,
    produce::*,
    response::{Handled, Request},
};

/// Where a request is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plane {
    /// On the shard of the connection.
    Here,
    /// On the control shard, which owns topics, groups, clients and locks.
    Control,
    /// On the shard that owns the queue named by the fields `topic` and `queueId`.
    Queue,
}

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Clients that produce and consume.
    Data,
    /// Administration that changes state: from loopback addresses only, unless the operator opted
    /// out with `adminAllowRemote`.
    Admin,
    /// Administration that only reads.
    Inspect,
}

/// Most bytes that an answer and its making take, as far as that is worth a wait for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Too little to wait for.
    Small,
    /// One message.
    Message,
    /// A frame.
    Frame,
    /// Two frames: what two shards have found is joined.
    Joined,
}

impl Size {
    /// In bytes; `message`: of the largest message.
    pub fn bytes(self, message: usize) -> usize {
        match self {
            Size::Small => 0,
            Size::Message => message,
            Size::Frame => FRAME_BYTES_MAX,
            Size::Joined => 2 * FRAME_BYTES_MAX,
        }
    }
}

/// What holds for a request code.
pub struct Row {
    pub code: i32,
    pub name: &'static str,
    pub plane: Plane,
    pub access: Access,
    /// Largest body in bytes.
    pub body_bytes_max: usize,
    pub answer: Size,
}

/// No row has a smaller limit of its body.
pub const BODY_BYTES_LEAST: usize = 64 * KIB;

impl Row {
    /// # Errors
    /// The answer to a request whose body is too long.
    pub fn check_body(&self, bytes: usize) -> Result<(), Refusal> {
        if bytes <= self.body_bytes_max {
            return Ok(());
        }
        Err(Refusal::system_error(format!(
            "request {} has a body of {bytes} bytes, the limit is {}",
            self.name, self.body_bytes_max
        )))
    }
}

/// The row of a code; `None` for codes that the broker does not know.
pub fn row(code: i32) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.code == code)
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// What a handler works on: the control object for requests of the control plane, else the shard.
macro_rules! subject {
    ($requests:ident, Control) => {
        $requests.control()
    };
    ($requests:ident, $plane:ident) => {
        Ok::<_, Refusal>(&$requests.shard)
    };
}

macro_rules! requests {
    ($(
        $code:ident $plane:ident $access:ident $bytes:tt * $unit:ident $answer:ident
            => $handler:path;
    )*) => {
        pub const ROWS: &[Row] = &[$(Row {
            code: request::$code,
            name: stringify!($code),
            plane: Plane::$plane,
            access: Access::$access,
            body_bytes_max: $bytes * $unit,
            answer: Size::$answer,
        },)*];

        /// Runs the handler of a request.
        pub async fn handle<R: Runtime>(
            requests: &Requests<R>,
            request: &Request<'_>,
        ) -> Handled {
            match request.header.code {
                // Each takes the memory of its own handler, not of the largest.
                $(request::$code => {
                    Box::pin($handler(subject!(requests, $plane)?, request)).await
                })*
                code => Err(unsupported(code)),
            }
        }
    };
}

// Sends (10, 310, 320) and pulls (11, 361) are not here: they have a path of their own without a
// task or a copy, see `dispatch`.
requests! {
    QUERY_CONSUMER_OFFSET Queue Data 64 * KIB Small => offset::query;
    UPDATE_CONSUMER_OFFSET Queue Data 64 * KIB Small => offset::update;
    SEARCH_OFFSET_BY_TIMESTAMP Queue Data 64 * KIB Small => queue::search_by_time;
    GET_MAX_OFFSET Queue Data 64 * KIB Small => queue::max_offset;
    GET_MIN_OFFSET Queue Data 64 * KIB Small => queue::min_offset;
    GET_EARLIEST_MSG_STORETIME Queue Data 64 * KIB Small => queue::earliest_store_time;
    QUERY_MESSAGE Here Data 64 * KIB Joined => query::by_key;
    VIEW_MESSAGE_BY_ID Here Data 64 * KIB Message => message::view_by_id;
    CONSUMER_SEND_MSG_BACK Here Data 64 * KIB Small => send_back::send_back;
    SEND_REPLY_MESSAGE Control Data 16 * MIB Small => reply::send_reply;
    SEND_REPLY_MESSAGE_V2 Control Data 16 * MIB Small => reply::send_reply;
    HEART_BEAT Control Data 1 * MIB Small => client::heartbeat;
    UNREGISTER_CLIENT Control Data 64 * KIB Small => client::unregister;
    CHECK_CLIENT_CONFIG Here Data 1 * MIB Small => client::check_config;
    GET_CONSUMER_LIST_BY_GROUP Control Data 64 * KIB Small => client::consumer_list;
    LOCK_BATCH_MQ Control Data 1 * MIB Small => lock::lock_batch;
    UNLOCK_BATCH_MQ Control Data 1 * MIB Small => lock::unlock_batch;
    UPDATE_AND_CREATE_TOPIC Control Admin 64 * KIB Small => topic::update;
    DELETE_TOPIC_IN_BROKER Control Admin 64 * KIB Small => topic::delete;
    GET_ALL_TOPIC_CONFIG Control Inspect 64 * KIB Frame => topic::all;
    GET_TOPIC_CONFIG Control Inspect 64 * KIB Small => topic::one;
    GET_TOPIC_STATS_INFO Control Inspect 64 * KIB Frame => topic::stats;
    GET_SYSTEM_TOPIC_LIST_FROM_BROKER Control Inspect 64 * KIB Small => topic::system_list;
    UPDATE_AND_CREATE_SUBSCRIPTIONGROUP Control Admin 1 * MIB Small => group::update;
    DELETE_SUBSCRIPTIONGROUP Control Admin 64 * KIB Small => group::delete;
    GET_ALL_SUBSCRIPTIONGROUP_CONFIG Control Inspect 64 * KIB Frame => group::all;
    GET_CONSUMER_CONNECTION_LIST Control Inspect 64 * KIB Frame => connections::consumers;
    GET_PRODUCER_CONNECTION_LIST Control Inspect 64 * KIB Frame => connections::producers;
    GET_CONSUME_STATS Control Inspect 64 * KIB Frame => group::consume_stats;
    QUERY_TOPIC_CONSUME_BY_WHO Control Inspect 64 * KIB Frame => group::consumers_of_topic;
    QUERY_TOPICS_BY_CONSUMER Control Inspect 64 * KIB Frame => group::topics_of_group;
    GET_BROKER_RUNTIME_INFO Control Inspect 64 * KIB Small => runtime_info::runtime_info;
    STORAGE_PLAN Control Inspect 64 * KIB Small => storage::plan;
    DELETE_EXPIRED_COMMITLOG Control Admin 64 * KIB Small => storage::delete_expired;
    GET_BROKER_CONFIG Control Inspect 64 * KIB Small => runtime_info::config;
}

pub fn unsupported(code: i32) -> Refusal {
    Refusal::new(
        response::REQUEST_CODE_NOT_SUPPORTED,
        format!(" request type {code} not supported"),
    )
}
