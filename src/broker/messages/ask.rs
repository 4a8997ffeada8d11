//! Questions between shards with one answer each: rare work such as creating a topic, reading a
//! record by its physical offset, or storing a message on behalf of another shard.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    sync::Arc,
};

use ahash::AHashMap;
use ringmq_base::{LogId, LogPosition, PhysicalOffset};
use ringmq_io::signal::{Giver, Taker, oneshot};
use ringmq_store::{Queued, Retired, WriteLatency};

use crate::{
    requests::consume::query::{LookedUp, Lookup},
    shard::{
        client_calls::{CallError, ClientAnswer, ClientCall},
        view::TopicView,
    },
};
use ringmq_rules::{meta::MetaChange, rates::Totals, refusal::Refusal, retention::LogFacts};

/// A message to store that does not come straight from a client's frame.
#[derive(Clone, Debug)]
pub struct StoredMessage {
    pub topic: Arc<TopicView>,
    pub queue_id: i32,
    pub flag: i32,
    pub sys_flag: i32,
    pub born_timestamp: i64,
    pub born_host: SocketAddr,
    pub reconsume_times: i32,
    pub tags_code: i64,
    pub prepared_transaction_offset: i64,
    pub properties: Vec<u8>,
    pub body: Vec<u8>,
}

/// Where a [`StoredMessage`] went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Put {
    pub queue_offset: i64,
    pub physical: PhysicalOffset,
}

/// What one queue of a topic holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueBounds {
    pub queue_id: i32,
    pub min: i64,
    pub max: i64,
    /// Milliseconds since 1970 of the last message; 0 without one.
    pub last_timestamp: i64,
}

/// What a shard did since the start, and what its logs hold.
#[derive(Clone, Debug, Default)]
pub struct ShardTotals {
    pub totals: Totals,
    /// What waits for the disk, and how long the writes of its logs took since the start.
    pub queued: Queued,
    pub write_latency: WriteLatency,
    /// Smallest and largest physical offset of its logs; `None` if it has none.
    pub range: Option<(i64, i64)>,
}

/// A topic that a client sends to and that is not there.
#[derive(Clone, Debug)]
pub struct AutoCreate {
    pub topic: String,
    /// The template, `TBW102` as a rule.
    pub default_topic: String,
    pub queues: i32,
    pub unit_mode: bool,
}

#[derive(Debug)]
pub enum Ask {
    /// To the control shard: the topic of a send, created if the rules allow it.
    EnsureTopic(AutoCreate),
    /// To the control shard: a consumer group, created if the rules allow it.
    EnsureGroup(String),
    /// To the control shard: a topic of the broker's own, with so many queues and a system flag.
    EnsureInternalTopic { topic: String, queues: i32, sys_flag: i32 },
    /// To the owner of the queue. Answered when durable.
    Put(Box<StoredMessage>),
    /// To the owner of the log.
    Record(PhysicalOffset),
    /// To every shard: the queues of a topic that it owns.
    Bounds(Arc<TopicView>),
    /// To the owner of the queue: when the message at an offset was stored.
    StoredAt { topic: Arc<TopicView>, queue_id: i32, offset: i64 },
    /// To every shard: consumer offsets that it owns, of one group or of all.
    Offsets { group: Option<String> },
    /// To the shard of the client's connection.
    Client(Box<ClientCall>),
    /// To every shard: where the queues of a topic end that it owns.
    Ends(Arc<TopicView>),
    /// To every shard: messages by key in its logs.
    Lookup(Lookup),
    /// To every shard: what it did since the start.
    Totals,
    /// To every shard: forget these consumer offsets.
    ForgetOffsets { topic: Option<String>, group: Option<String> },
    /// To every shard: what retention wants to know of its logs.
    Storage { unconsumed: bool },
    /// To the owner of the log: give up what is before, keep so many files for reuse.
    Retire { log: LogId, before: LogPosition, spares: usize },
    /// To every shard: keep so many files for reuse, for each log.
    KeepSpares(usize),
}

#[derive(Debug)]
pub enum Answer {
    Topic(Result<Arc<TopicView>, Refusal>),
    /// Whether the group is there now.
    Group(Result<bool, Refusal>),
    Put(Result<Put, Refusal>),
    Record(Result<Option<Vec<u8>>, Refusal>),
    Bounds(Vec<QueueBounds>),
    /// Milliseconds since 1970.
    Timestamp(Option<i64>),
    Offsets(Vec<MetaChange>),
    Client(Result<ClientAnswer, CallError>),
    /// Queue id and next offset; nothing before is lost in a power cut.
    Ends(Result<Vec<(i32, i64)>, Refusal>),
    LookedUp(Result<LookedUp, Refusal>),
    Totals(Box<ShardTotals>),
    Storage(Vec<LogFacts>),
    Retired(Result<Retired, String>),
    Done,
}

/// Questions of this shard that are not answered yet.
#[derive(Default)]
pub struct Asked {
    next: Cell<u64>,
    open: RefCell<AHashMap<u64, Giver<Answer>>>,
}

impl Asked {
    pub fn open(&self) -> (u64, Taker<Answer>) {
        let id = self.next.get();
        self.next.set(id + 1);
        let (sender, receiver) = oneshot();
        self.open.borrow_mut().insert(id, sender);
        (id, receiver)
    }

    pub fn close(&self, id: u64, answer: Answer) {
        let asker = self.open.borrow_mut().remove(&id);
        if let Some(asker) = asker {
            asker.give(answer);
        }
    }
}
