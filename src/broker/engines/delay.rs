//! Delivery of delayed messages: each level is a queue of SCHEDULE_TOPIC_XXXX whose entries carry
//! the time of delivery; its owner moves what is due to the real queue, in order, and remembers
//! how far it is. A message may be delivered again after a crash, never lost.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use ahash::AHashMap;
use futures_util::future::join_all;
use ringmq_base::{LogId, record::Record};
use ringmq_io::{Runtime, Shares, signal::Event};
use ringmq_store::{Entry, QueueHandle};

use crate::{
    messages::{
        Message,
        ask::{Answer, Ask, StoredMessage},
    },
    shard::{CONTROL, Shard, view::TopicView},
};
use ringmq_rules::{
    delay::{self, DelayStep},
    delay_levels::schedule_queue,
    meta::MetaChange,
    refusal::Refusal,
    topic::SCHEDULE_TOPIC,
};

/// Messages that are delivered side by side.
const WINDOW: usize = 256;
/// The wall clock may jump: a level that waits looks at it again after this time at the latest.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// Pause after a message could not be delivered.
const RETRY: Duration = Duration::from_secs(1);

/// Tasks of this shard that wait for messages in a queue.
#[derive(Default)]
pub struct QueueWatchers {
    by_queue: RefCell<AHashMap<(LogId, QueueHandle), Rc<Event>>>,
}

impl QueueWatchers {
    fn watch(&self, log: LogId, queue: QueueHandle) -> Rc<Event> {
        self.by_queue.borrow_mut().entry((log, queue)).or_default().clone()
    }

    /// Something new can be read from the queue.
    pub fn wake(&self, log: LogId, queue: QueueHandle) {
        if let Some(event) = self.by_queue.borrow().get(&(log, queue)) {
            event.set();
        }
    }
}

/// Starts a task for each delay level whose queue this shard owns.
pub fn start<R: Runtime>(shard: &Rc<Shard<R>>) {
    let Some(topic) = shard.topic(SCHEDULE_TOPIC) else {
        tracing::error!("no topic {SCHEDULE_TOPIC}: delayed messages are not delivered");
        return;
    };
    for level in 1..=shard.facts.delay_levels.max() {
        if shard.queue_owner(&topic.topic, schedule_queue(level)) == shard.id {
            let (level_of, topic) = (shard.clone(), topic.clone());
            shard.runtime.spawn(Shares::Foreground, "delay level", async move {
                deliver_level(&level_of, &topic, level).await;
            });
        }
    }
}

async fn deliver_level<R: Runtime>(shard: &Rc<Shard<R>>, topic: &TopicView, level: i32) {
    let (log, queue) = shard.queue(topic, schedule_queue(level));
    let arrived = shard.watchers.watch(log.sink().log, queue);
    let levels = &shard.facts.delay_levels;
    let mut cursor = shard.delay_offsets.borrow().get(&level).copied().unwrap_or(0);
    while !shard.stopping.get() {
        let (min, max) = log.bounds(queue);
        cursor = delay::corrected_offset(cursor, min, max);
        let mut due = Vec::new();
        let mut wait = None;
        while due.len() < WINDOW {
            let offset = cursor + due.len() as i64;
            let entry = match log.entry(queue, offset).await {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(level, offset, %error, "delayed messages are not read");
                    wait = Some(RETRY);
                    break;
                }
            };
            match delay::step(levels, level, entry.tags_code, shard.runtime.now_ms()) {
                DelayStep::Deliver => due.push(entry),
                DelayStep::Wait(ms) => {
                    wait = Some(Duration::from_millis(u64::try_from(ms).unwrap_or(1)));
                    break;
                }
            }
        }
        if due.is_empty() {
            if let Some(wait) = wait {
                shard.runtime.sleep(wait.min(LOOK_AGAIN)).await;
            } else {
                log.watch(queue);
                if cursor >= log.bounds(queue).1 {
                    arrived.take().await;
                }
            }
            continue;
        }
        let outcomes = join_all(due.iter().map(|entry| deliver(shard, entry))).await;
        let done = outcomes.iter().take_while(|outcome| outcome.is_ok()).count();
        cursor += done as i64;
        shard.delay_offsets.borrow_mut().insert(level, cursor);
        shard.persist(vec![MetaChange::DelayOffset { level, offset: cursor }]);
        if let Some(Err(refusal)) = outcomes.into_iter().nth(done) {
            tracing::warn!(level, offset = cursor, %refusal, "delayed message not delivered yet");
            shard.runtime.sleep(RETRY).await;
        }
    }
}

async fn deliver<R: Runtime>(shard: &Rc<Shard<R>>, entry: &Entry) -> Result<(), Refusal> {
    let owner = shard.log(entry.physical.log());
    let log = owner.ok_or_else(|| Refusal::system_error("the log belongs to another shard"))?;
    let bytes = log.read_record(entry.physical).await;
    let bytes = bytes.map_err(|error| Refusal::system_error(error.to_string()))?;
    let bytes = bytes.ok_or_else(|| Refusal::system_error("the delayed message is gone"))?;
    let record = Record::decode(&bytes);
    let record = record.map_err(|error| Refusal::system_error(error.to_string()))?;
    let real = match delay::due_message(&record) {
        Ok(real) => real,
        Err(error) => {
            tracing::error!(offset = entry.physical.get(), %error, "delayed message passed over");
            return Ok(());
        }
    };
    let Some(topic) = shard.topic(real.topic) else {
        tracing::warn!(topic = %real.topic, "topic of a delayed message is gone: dropped");
        return Ok(());
    };
    let message = StoredMessage {
        topic: Arc::clone(&topic),
        queue_id: real.queue_id.clamp(0, (topic.topic.queues() - 1).max(0)),
        flag: record.flag,
        sys_flag: record.sys_flag,
        born_timestamp: record.born_timestamp,
        born_host: record.born_host,
        reconsume_times: record.reconsume_times,
        tags_code: real.tags_code,
        prepared_transaction_offset: record.prepared_transaction_offset,
        properties: real.properties.to_vec(),
        body: record.body.to_vec(),
    };
    shard.put_message(message).await.map(drop)
}

impl<R: Runtime> Shard<R> {
    /// Stores a message wherever its queue lives; resolves when it is durable.
    pub async fn put_message(
        self: &Rc<Self>,
        message: StoredMessage,
    ) -> Result<crate::messages::ask::Put, Refusal> {
        let owner = self.queue_owner(&message.topic.topic, message.queue_id);
        match self.ask(owner, Ask::Put(Box::new(message))).await {
            Answer::Put(put) => put,
            other => unreachable!("a message was to be stored, the answer is {other:?}"),
        }
    }

    /// Has changes persisted, at the control shard's leisure.
    pub fn persist(self: &Rc<Self>, changes: Vec<MetaChange>) {
        if let Some(control) = self.control.get() {
            control.persist_later(changes);
        } else {
            // On the reply lane, which the control shard reads to its very end.
            self.router.answer(CONTROL, Message::Persist(changes));
        }
    }
}
