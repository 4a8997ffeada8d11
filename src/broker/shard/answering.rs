//! Answers to the questions of other shards (see `ask`).

use std::rc::Rc;

use ringmq_base::{PhysicalOffset, record::NewRecord};
use ringmq_io::{Runtime, signal::oneshot};

use crate::{
    control::Control,
    messages::ask::{Answer, Ask, Put, QueueBounds, StoredMessage},
    requests::consume::queue::store_timestamp,
    shard::{Shard, acks::Ticket, view::TopicView},
};
use ringmq_rules::{meta::MetaChange, refusal::Refusal};

pub async fn answer<R: Runtime>(shard: &Rc<Shard<R>>, ask: Ask) -> Answer {
    match ask {
        Ask::EnsureTopic(wanted) => Answer::Topic(control(shard).ensure_topic(&wanted).await),
        Ask::EnsureInternalTopic { topic, queues, sys_flag } => {
            Answer::Topic(control(shard).ensure_internal_topic(&topic, queues, sys_flag).await)
        }
        Ask::EnsureGroup(name) => Answer::Group(control(shard).ensure_group(&name).await),
        Ask::Put(message) => Answer::Put(put(shard, *message).await),
        Ask::Record(physical) => Answer::Record(record(shard, physical).await),
        Ask::Bounds(topic) => Answer::Bounds(bounds(shard, &topic).await),
        Ask::StoredAt { topic, queue_id, offset } => {
            let (log, queue) = shard.queue(&topic, queue_id);
            Answer::Timestamp(store_timestamp(log, queue, offset).await.ok().flatten())
        }
        Ask::Offsets { group } => {
            let mut offsets = shard.offsets.borrow().snapshot();
            offsets.retain(|change| match (change, &group) {
                (MetaChange::Offsets { group: of, .. }, Some(group)) => **of == **group,
                _ => true,
            });
            Answer::Offsets(offsets)
        }
        Ask::Client(call) => Answer::Client(shard.call_own_client(&call).await),
        Ask::Ends(topic) => Answer::Ends(shard.ends(&topic).await),
        Ask::Lookup(lookup) => Answer::LookedUp(shard.look_up(&lookup).await),
        Ask::Totals => Answer::Totals(Box::new(shard.totals())),
        Ask::ForgetOffsets { topic, group } => {
            let change = MetaChange::OffsetsDelete { topic, group };
            shard.offsets.borrow_mut().apply(&change);
            Answer::Done
        }
        Ask::Storage { unconsumed } => Answer::Storage(shard.storage_facts(unconsumed).await),
        Ask::Retire { log, before, spares } => {
            Answer::Retired(shard.retire(log, before, spares).await)
        }
        Ask::KeepSpares(spares) => {
            shard.keep_spares(spares).await;
            Answer::Done
        }
    }
}

fn control<R: Runtime>(shard: &Shard<R>) -> &Rc<Control<R>> {
    shard.control.get().expect("only the control shard is asked this")
}

async fn record<R: Runtime>(
    shard: &Shard<R>,
    physical: PhysicalOffset,
) -> Result<Option<Vec<u8>>, Refusal> {
    let Some(log) = shard.log(physical.log()) else {
        return Ok(None);
    };
    log.read_record(physical).await.map_err(|error| Refusal::system_error(error.to_string()))
}

/// Stores a message in a queue of this shard; resolves when it is durable.
pub async fn put<R: Runtime>(shard: &Shard<R>, message: StoredMessage) -> Result<Put, Refusal> {
    if let Some(refusal) = &shard.view.borrow().disk_full {
        return Err((**refusal).clone());
    }
    let (log, queue) = shard.queue(&message.topic, message.queue_id);
    log.room().await;
    let record = NewRecord {
        topic: &message.topic.topic.name,
        queue_id: message.queue_id,
        flag: message.flag,
        sys_flag: message.sys_flag,
        born_timestamp: message.born_timestamp,
        born_host: message.born_host,
        store_host: shard.facts.store_host,
        reconsume_times: message.reconsume_times,
        prepared_transaction_offset: message.prepared_transaction_offset,
        body: &message.body,
        properties: [&message.properties, b"", b""],
    };
    let (sender, receiver) = oneshot();
    let appended = log.append(queue, &record, message.tags_code, |appended| {
        let put = Put { queue_offset: appended.queue_offset, physical: appended.physical };
        Some(Ticket::Internal(sender, put))
    });
    appended.map_err(|error| shard.refusal_of(&error))?;
    receiver.await.unwrap_or_else(|| Err(Refusal::system_error("the log was closed")))
}

async fn bounds<R: Runtime>(shard: &Shard<R>, topic: &TopicView) -> Vec<QueueBounds> {
    let mut all = Vec::new();
    for queue_id in 0..topic.topic.queues() {
        if shard.queue_owner(&topic.topic, queue_id) != shard.id {
            continue;
        }
        let (log, queue) = shard.queue(topic, queue_id);
        let (min, max) = log.bounds(queue);
        let last = if max > min { store_timestamp(log, queue, max - 1).await } else { Ok(None) };
        let last_timestamp = last.ok().flatten().unwrap_or(0);
        all.push(QueueBounds { queue_id, min, max, last_timestamp });
    }
    all
}
