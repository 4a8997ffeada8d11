//! What the store reports: messages are durable, a log has failed, something new can be read. The
//! only place that answers SEND_OK.

use std::rc::{Rc, Weak};

use ringmq_base::{LogId, PhysicalOffset};
use ringmq_io::{Runtime, signal::OneshotSender};
use ringmq_remoting::{
    codes::response,
    encode::{self, SendOk},
    message_id::message_id,
};
use ringmq_rules::refusal::Refusal;
use ringmq_store::{LogError, QueueHandle, Sink};

use super::{Shard, probe::Stage, settings::BrokerSettings};
use crate::messages::{ReplyTo, StoredAt};

/// Who hears of new messages in queues of a shard.
pub trait Arrivals<R: Runtime> {
    /// Something new can be read from some queues of a log.
    fn arrived(&self, shard: &Rc<Shard<R>>, log: LogId, queues: &[QueueHandle]);
}

/// What waits for a message to become durable.
pub enum Ticket {
    /// A client's send.
    Client(ClientTicket),
    /// A message that the broker itself stores.
    Internal(OneshotSender<Result<StoredAt, Refusal>>, StoredAt),
}

/// A send of a client that is answered when its messages are durable.
pub struct ClientTicket {
    pub reply_to: ReplyTo,
    pub queue_id: i32,
    pub queue_offset: i64,
    pub physical: PhysicalOffset,
    /// What few answers tell besides.
    pub more: Option<Box<More>>,
}

/// What the answer to a send tells besides where its message is.
#[derive(Debug)]
pub enum More {
    /// The messages of a batch before the last one; `queue_offset` is that of the first then.
    Batch(Vec<PhysicalOffset>),
    /// The ids of all messages of a long batch, as the answer names them; the same.
    BatchIds(Vec<u8>),
    /// By which the message can be called back.
    RecallHandle(String),
}

/// The store's view of a shard.
pub struct LogSink<R: Runtime> {
    shard: Weak<Shard<R>>,
    pub log: LogId,
}

impl<R: Runtime> LogSink<R> {
    pub fn new(shard: &Rc<Shard<R>>, log: LogId) -> Self {
        LogSink { shard: Rc::downgrade(shard), log }
    }
}

impl<R: Runtime> Sink for LogSink<R> {
    type Ticket = Ticket;

    fn durable(&self, tickets: &mut Vec<Ticket>) {
        let Some(shard) = self.shard.upgrade() else {
            tickets.clear();
            return;
        };
        let began = shard.runtime.monotonic();
        shard.probe.set_now(began);
        for ticket in tickets.drain(..) {
            match ticket {
                Ticket::Client(ticket) => send_ok(&shard, &ticket),
                Ticket::Internal(waiter, stored) => waiter.send(Ok(stored)),
            }
        }
        shard.flush();
        shard.probe.took(Stage::Answer, shard.runtime.monotonic().saturating_sub(began));
    }

    fn failed(&self, error: &LogError, tickets: &mut Vec<Ticket>) {
        let Some(shard) = self.shard.upgrade() else {
            tickets.clear();
            return;
        };
        let refusal = Refusal::new(
            response::SERVICE_NOT_AVAILABLE,
            format!("service not available now. log {}: {error}", self.log),
        );
        for ticket in tickets.drain(..) {
            match ticket {
                Ticket::Client(ticket) => shard.refuse(&ticket.reply_to, &refusal),
                Ticket::Internal(waiter, _) => waiter.send(Err(refusal.clone())),
            }
        }
        shard.flush();
    }

    fn arrived(&self, queues: &[QueueHandle]) {
        if let Some(shard) = self.shard.upgrade() {
            shard.arrived(self.log, queues);
            shard.flush();
        }
    }
}

/// Answers a send whose messages are durable.
pub fn send_ok<R: Runtime>(shard: &Shard<R>, ticket: &ClientTicket) {
    let settings = &shard.settings;
    let last = message_id(settings.store_host, ticket.physical.get());
    let (joined, ids, recall_handle);
    (ids, recall_handle) = match ticket.more.as_deref() {
        None => (last.as_bytes(), None),
        Some(More::Batch(others)) => {
            joined = joined_ids(settings, others, last.as_bytes());
            (joined.as_slice(), None)
        }
        Some(More::BatchIds(ids)) => (ids.as_slice(), None),
        Some(More::RecallHandle(handle)) => (last.as_bytes(), Some(handle.as_str())),
    };
    let ok = SendOk {
        message_id: ids,
        queue_id: ticket.queue_id,
        queue_offset: ticket.queue_offset,
        transaction_id: None,
        recall_handle,
        region: &settings.region,
        trace_on: shard.view.borrow().live.config.trace_on,
    };
    let ReplyTo { serialization, opaque, .. } = ticket.reply_to;
    shard.count_answer(&ticket.reply_to, response::SUCCESS, false);
    shard.write_reply(&ticket.reply_to, |out| encode::send_ok(out, serialization, opaque, &ok));
}

/// The ids of a batch as its answer names them.
fn joined_ids(settings: &BrokerSettings, others: &[PhysicalOffset], last: &[u8]) -> Vec<u8> {
    let mut joined = Vec::with_capacity((others.len() + 1) * (last.len() + 1));
    for other in others {
        joined.extend_from_slice(message_id(settings.store_host, other.get()).as_bytes());
        joined.push(b',');
    }
    joined.extend_from_slice(last);
    joined
}
