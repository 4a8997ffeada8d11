//! Messages that are kept back until a time of their own, and the deletions of such messages: on
//! the log of the real queue, for they are delivered in order with others for it; deletions on
//! every log, for nobody knows where the message is that they cancel.

use std::{rc::Rc, sync::Arc};

use ringmq_io::{Runtime, Shares};
use ringmq_remoting::codes::property::UNIQ_KEY;
use ringmq_rules::{
    message_properties::{REAL_TOPIC, text},
    refusal::Refusal,
    timer::{self, recall::RecallHandle},
    topic::{RETRY_PREFIX, TIMER_TOPIC},
};
use ringmq_store::{AppendError, Appended, QueueHandle};

use super::record::{record_of, ticket};
use crate::{
    injected_bugs::{DELETION_ELSEWHERE, is_planted},
    messages::{NewMessage, SendItem, StoredAt, TopicView},
    requests::next::Next,
    shard::{
        BrokerLog, Shard,
        acks::{ClientTicket, More, send_ok},
        view::View,
    },
};

/// The queue of the timer topic for messages of a queue: that on the same log.
#[cold]
pub fn timer_queue<R: Runtime>(
    shard: &Shard<R>,
    timers: &TopicView,
    real: &TopicView,
    queue_id: i32,
) -> i32 {
    let logs = shard.queues.log_count();
    let wanted = real.log(queue_id, logs);
    // A store keeps its number of logs, and the topic has a queue for each.
    (0..i32::from(logs)).find(|queue| timers.log(*queue, logs) == wanted).unwrap_or(0)
}

/// Where a message goes that is kept back, checked by the caller.
pub fn topic(view: &View) -> Result<&Arc<TopicView>, Refusal> {
    let topic = view.topics.get(TIMER_TOPIC);
    topic.ok_or_else(|| Refusal::system_error("the topic for messages with a time is missing"))
}

/// Why a message was not appended.
pub enum NotKept {
    Refused(Refusal),
    Log(AppendError),
}

/// Appends a message to its queue of the timer topic, which is one of this shard.
#[cold]
pub fn append<R: Runtime>(
    shard: &Shard<R>,
    topic: &TopicView,
    item: &SendItem,
    (log, queue): (&BrokerLog<R>, QueueHandle),
    properties: &[u8],
    body: &[u8],
) -> Result<(), NotKept> {
    let id = log.sink().log;
    let room = shard.timer_room.check(id, shard.queues.log_count());
    room.map_err(NotKept::Refused)?;
    let more = recall_handle(&shard.settings.config.broker_name, properties)
        .map(|handle| Box::new(More::RecallHandle(handle)));
    let appended = shard.append(|| {
        let record = record_of(shard, topic, item, [properties, b"", b""], body);
        let ticket = |appended: &Appended| ticket(item, appended, appended.queue_offset, more);
        log.append_at(shard.turn_ms.get(), queue, &record, item.tags_code, ticket)
    });
    let size = appended.map_err(NotKept::Log)?.size as u64;
    shard.timer_room.appended(id, shard.runtime.now_ms());
    shard.usage.count_send(topic, item.message_type, 1, size);
    count_delay(shard, properties);
    Ok(())
}

fn count_delay<R: Runtime>(shard: &Shard<R>, properties: &[u8]) {
    let (timer::Role::Message { .. }, Some(out_ms)) = timer::role(properties) else {
        return;
    };
    if let (Some(topic), Ok(ahead_ms)) =
        (text(properties, REAL_TOPIC), u64::try_from(out_ms - shard.turn_ms.get()))
    {
        shard.count_delayed(topic, ahead_ms / 1000);
    }
}

/// By which a message can be called back. Source: `attachRecallHandle`.
fn recall_handle(broker: &str, properties: &[u8]) -> Option<String> {
    let topic = text(properties, REAL_TOPIC)?;
    let (timer::Role::Message { .. }, Some(out_ms)) = timer::role(properties) else {
        return None;
    };
    if topic.starts_with(RETRY_PREFIX) {
        return None;
    }
    // The slot begins there, and what lies in it is behind that.
    Some(RecallHandle::encode(topic, broker, out_ms + 1, text(properties, UNIQ_KEY)?))
}

/// Stores a deletion on every log and answers when it is durable on all.
#[cold]
pub fn store_deletion<R: Runtime>(
    shard: &Rc<Shard<R>>,
    item: &SendItem,
    message: NewMessage,
) -> Next {
    let (own, item) = (shard.clone(), item.clone());
    shard.runtime.spawn(Shares::Foreground, "deletion of a timer", async move {
        match delete_everywhere(&own, message).await {
            Ok(stored) => send_ok(
                &own,
                &ClientTicket {
                    reply_to: item.reply_to,
                    queue_id: item.reply_queue_id,
                    queue_offset: stored.queue_offset,
                    physical: stored.physical,
                    more: None,
                },
            ),
            Err(refusal) => own.refuse(&item.reply_to, &refusal),
        }
        own.flush();
    });
    Next::Costly
}

/// Stores a deletion in every queue of the timer topic, of which it names one; where it went there.
///
/// # Errors
/// If it is not in all of them: it may be in some.
pub async fn delete_everywhere<R: Runtime>(
    shard: &Rc<Shard<R>>,
    message: NewMessage,
) -> Result<StoredAt, Refusal> {
    let own = message.queue_id;
    let queues = 0..i32::from(shard.queues.log_count());
    let queues = queues.filter(|queue| *queue == own || !is_planted(DELETION_ELSEWHERE));
    let copies = queues.map(|queue_id| NewMessage { queue_id, ..message.clone() }).collect();
    let mut stored_at = Err(Refusal::system_error("no queue for a deletion"));
    for (queue_id, stored) in (0..).zip(shard.put_in_order(copies).await) {
        let stored = stored?;
        if queue_id == own || stored_at.is_err() {
            stored_at = Ok(stored);
        }
    }
    stored_at
}
