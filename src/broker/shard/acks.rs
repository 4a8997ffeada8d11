//! What the store tells the broker: messages are durable, a log has failed, a watched queue has
//! something new. The only place that answers SEND_OK.

use std::rc::{Rc, Weak};

use ringmq_base::{LogId, PhysicalOffset};
use ringmq_io::{Runtime, signal::Giver};
use ringmq_remoting::{
    codes::response,
    encode::{self, SendOk},
    message_id::message_id,
};
use ringmq_store::{LogError, QueueHandle, Sink};

use crate::{
    messages::{Origin, ask::Put},
    shard::Shard,
};
use ringmq_rules::refusal::Refusal;

/// What waits for a message to become durable.
pub enum Ticket {
    /// A client's send.
    Client(ClientTicket),
    /// A message that the broker itself stores.
    Internal(Giver<Result<Put, Refusal>>, Put),
}

pub struct ClientTicket {
    pub origin: Origin,
    pub queue_id: i32,
    pub queue_offset: i64,
    pub physical: PhysicalOffset,
    /// The messages of a batch before the last one; `queue_offset` is that of the first then.
    pub batch: Option<Box<[PhysicalOffset]>>,
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
        for ticket in tickets.drain(..) {
            match ticket {
                Ticket::Client(ticket) => send_ok(&shard, &ticket),
                Ticket::Internal(waiter, put) => waiter.give(Ok(put)),
            }
        }
        shard.flush();
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
                Ticket::Client(ticket) => shard.refuse(&ticket.origin, &refusal),
                Ticket::Internal(waiter, _) => waiter.give(Err(refusal.clone())),
            }
        }
        shard.flush();
    }

    fn arrived(&self, queues: &[QueueHandle]) {
        if let Some(shard) = self.shard.upgrade() {
            for queue in queues {
                shard.wake_waiting(self.log, *queue);
            }
            shard.flush();
        }
    }
}

fn send_ok<R: Runtime>(shard: &Shard<R>, ticket: &ClientTicket) {
    let facts = &shard.facts;
    let last = message_id(facts.store_host, ticket.physical.get());
    let joined = ticket.batch.as_ref().map(|others| {
        let ids = others.iter().map(|other| message_id(facts.store_host, other.get()));
        let mut joined = Vec::with_capacity((others.len() + 1) * (last.as_bytes().len() + 1));
        for id in ids {
            joined.extend_from_slice(id.as_bytes());
            joined.push(b',');
        }
        joined.extend_from_slice(last.as_bytes());
        joined
    });
    let ok = SendOk {
        message_id: joined.as_deref().unwrap_or(last.as_bytes()),
        queue_id: ticket.queue_id,
        queue_offset: ticket.queue_offset,
        transaction_id: None,
        region: &facts.region,
        trace_on: facts.trace_on,
    };
    let Origin { serialization, opaque, .. } = ticket.origin;
    shard.write_reply(&ticket.origin, |out| encode::send_ok(out, serialization, opaque, &ok));
}
