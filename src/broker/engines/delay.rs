//! Delivery of delayed messages: each level is a queue of SCHEDULE_TOPIC_XXXX whose entries carry
//! the time of delivery; its owner moves what is due to the real queue, in order, and remembers
//! how far it is. A message may be delivered again after a crash, never lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use futures_util::future::{LocalBoxFuture, join_all};
use ringmq_base::{LogId, LogPosition, record::Record};
use ringmq_io::{Runtime, Shares};
use ringmq_store::{Entry, QueueHandle, ReadError};

use crate::{
    messages::{NewMessage, TopicView},
    shard::{BrokerLog, Shard, held_messages::HeldMessages, lookups::position_of},
};
use ringmq_rules::{
    delay::{self, DelayStep},
    delay_levels::schedule_queue,
    refusal::{Refusal, code},
    topic::SCHEDULE_TOPIC,
};

mod offsets;
#[cfg(test)]
mod tests;

pub use offsets::DelayOffsets;

/// Messages that are delivered side by side.
const WINDOW: usize = 256;
/// The wall clock may jump: a level that waits looks at it again after this time at the latest.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// Pause after a message could not be delivered.
const RETRY: Duration = Duration::from_secs(1);
/// A message that the device could not read so many times is taken for damaged.
const READ_TRIES: u32 = 10;

/// Starts a task for each delay level whose queue this shard owns, from `offsets` on.
pub fn start<R: Runtime>(shard: &Rc<Shard<R>>, offsets: &Rc<DelayOffsets>) {
    let Some(topic) = shard.topic(SCHEDULE_TOPIC) else {
        tracing::error!("no topic {SCHEDULE_TOPIC}: delayed messages are not delivered");
        return;
    };
    for level in own_levels(shard, &topic) {
        let (level_of, topic, offsets) = (shard.clone(), topic.clone(), offsets.clone());
        shard.runtime.spawn(Shares::Foreground, "delay level", async move {
            deliver_level(&level_of, &topic, level, &offsets).await;
        });
    }
    let (own, changed) = (shard.clone(), offsets.clone());
    shard.runtime.spawn(Shares::Admin, "delay offsets", async move {
        changed.persist_changes(&own).await;
    });
    let (offsets, shard_of) = (offsets.clone(), Rc::downgrade(shard));
    let held = DelayedMessages { shard: shard_of, topic, offsets };
    shard.held_messages.borrow_mut().push(Rc::new(held));
}

fn own_levels<R: Runtime>(shard: &Shard<R>, topic: &TopicView) -> Vec<i32> {
    let own = |level: &i32| shard.queues.owns(topic, schedule_queue(*level));
    (1..=shard.settings.delay_levels.max()).filter(own).collect()
}

/// What retention must not delete: messages that were not delivered yet.
struct DelayedMessages<R: Runtime> {
    shard: Weak<Shard<R>>,
    topic: Arc<TopicView>,
    offsets: Rc<DelayOffsets>,
}

impl<R: Runtime> HeldMessages for DelayedMessages<R> {
    fn first_held(self: Rc<Self>) -> LocalBoxFuture<'static, BTreeMap<LogId, LogPosition>> {
        Box::pin(async move {
            let mut first = BTreeMap::new();
            let Some(shard) = self.shard.upgrade() else {
                return first;
            };
            for level in own_levels(&shard, &self.topic) {
                let (log, queue) = shard.queues.get(&self.topic, schedule_queue(level));
                let next = self.offsets.of(level);
                if let Some(position) = position_of(log, queue, next).await {
                    let earliest = first.entry(log.sink().log).or_insert(position);
                    *earliest = position.min(*earliest);
                }
            }
            first
        })
    }
}

/// Why a due message is not in its real queue.
enum NotDelivered {
    /// Something is in the way that may go: it is tried again.
    NotYet(Refusal),
    /// The device could not read it, which may pass or be a bad sector: it is tried again a few
    /// times, then passed over.
    Unreadable(String),
    /// It cannot be read, or be stored where it belongs, ever: it is passed over.
    Never(String),
}

impl From<Refusal> for NotDelivered {
    fn from(refusal: Refusal) -> Self {
        match refusal.code {
            code::MESSAGE_ILLEGAL => NotDelivered::Never(refusal.remark),
            _ => NotDelivered::NotYet(refusal),
        }
    }
}

impl From<ReadError> for NotDelivered {
    fn from(error: ReadError) -> Self {
        let text = error.to_string();
        match error {
            error if error.is_of_medium() => NotDelivered::Unreadable(text),
            ReadError::Damaged { .. } | ReadError::Removed { .. } => NotDelivered::Never(text),
            ReadError::Disk(_) | ReadError::DamagedKeys { .. } => {
                NotDelivered::NotYet(Refusal::system_error(text))
            }
        }
    }
}

/// What the next messages of a level are, up to the first that has to wait.
struct Due {
    /// An error: the entry of the message cannot be read.
    entries: Vec<Result<Entry, NotDelivered>>,
    /// Until the first message behind them is due; `None` without one.
    wait: Option<Duration>,
}

/// How far a level is delivered.
struct Level {
    level: i32,
    /// Offset of the next message.
    cursor: i64,
    /// Messages behind it that are delivered already.
    ahead: BTreeSet<i64>,
    /// The message that the device could not read last, and how often it was tried.
    unreadable: (i64, u32),
}

impl Level {
    /// Takes note of what became of the messages from the cursor on. Why the one that it stands at
    /// now is to be tried again, if it is.
    fn settle<R: Runtime>(
        &mut self,
        shard: &Shard<R>,
        outcomes: Vec<Result<(), NotDelivered>>,
    ) -> Option<Refusal> {
        let mut not_yet = None;
        for (offset, outcome) in (self.cursor..).zip(outcomes) {
            if not_yet.is_some() {
                if outcome.is_ok() {
                    self.ahead.insert(offset);
                }
                continue;
            }
            match outcome {
                Ok(()) => {}
                Err(NotDelivered::Never(why)) => pass_over(shard, self.level, offset, &why),
                Err(NotDelivered::Unreadable(why)) if self.gives_up(offset) => {
                    pass_over(shard, self.level, offset, &why);
                }
                Err(NotDelivered::Unreadable(why)) => not_yet = Some(Refusal::system_error(why)),
                Err(NotDelivered::NotYet(refusal)) => not_yet = Some(refusal),
            }
            self.cursor = offset + i64::from(not_yet.is_none());
        }
        self.ahead = self.ahead.split_off(&self.cursor);
        not_yet
    }

    /// Counts a try to read a message; true if it was the last.
    fn gives_up(&mut self, offset: i64) -> bool {
        let (of, tries) = self.unreadable;
        let tries = if of == offset { tries + 1 } else { 1 };
        self.unreadable = (offset, tries);
        tries >= READ_TRIES
    }
}

async fn deliver_level<R: Runtime>(
    shard: &Rc<Shard<R>>,
    topic: &TopicView,
    level: i32,
    offsets: &DelayOffsets,
) {
    let (log, queue) = shard.queues.get(topic, schedule_queue(level));
    let arrived = shard.queue_watchers.watch(log.sink().log, queue);
    let cursor = offsets.of(level);
    let mut own = Level { level, cursor, ahead: BTreeSet::new(), unreadable: (0, 0) };
    while !shard.stopping.get() {
        let (min, max) = log.bounds(queue);
        own.cursor = delay::corrected_offset(own.cursor, min, max);
        let Due { entries, wait } = due(shard, log, queue, level, own.cursor).await;
        if entries.is_empty() {
            if let Some(wait) = wait {
                shard.runtime.sleep(wait.min(LOOK_AGAIN)).await;
            } else {
                log.watch(queue);
                if own.cursor >= log.bounds(queue).1 {
                    arrived.wait_and_clear().await;
                }
            }
            continue;
        }
        let first = own.cursor;
        let outcomes = (first..).zip(entries).map(async |(offset, entry)| {
            if own.ahead.contains(&offset) { Ok(()) } else { deliver(shard, entry).await }
        });
        let outcomes = join_all(outcomes).await;
        let not_yet = own.settle(shard, outcomes);
        let offset = own.cursor;
        if offset > first {
            offsets.delivered(level, offset);
        }
        if let Some(refusal) = not_yet {
            tracing::warn!(level, offset, %refusal, "delayed message not delivered yet");
            shard.runtime.sleep(RETRY).await;
        }
    }
}

/// The messages of a level from `cursor` on that are due, at most [`WINDOW`].
async fn due<R: Runtime>(
    shard: &Shard<R>,
    log: &BrokerLog<R>,
    queue: QueueHandle,
    level: i32,
    cursor: i64,
) -> Due {
    let levels = &shard.settings.delay_levels;
    let mut due = Due { entries: Vec::new(), wait: None };
    while due.entries.len() < WINDOW {
        let offset = cursor + due.entries.len() as i64;
        let entry = match log.entry(queue, offset).await {
            Ok(Some(entry)) => entry,
            Ok(None) => break,
            Err(error) => {
                let error = NotDelivered::from(error);
                let stops = !matches!(error, NotDelivered::Never(_));
                due.entries.push(Err(error));
                if stops {
                    break;
                }
                continue;
            }
        };
        match delay::step(levels, level, entry.tags_code, shard.runtime.now_ms()) {
            DelayStep::Deliver => due.entries.push(Ok(entry)),
            DelayStep::Wait(ms) => {
                due.wait = Some(Duration::from_millis(u64::try_from(ms).unwrap_or(1)));
                break;
            }
        }
    }
    due
}

/// A message of a level is lost: says so, once, and counts it.
#[cold]
fn pass_over<R: Runtime>(shard: &Shard<R>, level: i32, offset: i64, why: &str) {
    shard.delayed_passed_over.set(shard.delayed_passed_over.get() + 1);
    tracing::error!(level, offset, why, "delayed message passed over: it is not delivered");
}

async fn deliver<R: Runtime>(
    shard: &Rc<Shard<R>>,
    entry: Result<Entry, NotDelivered>,
) -> Result<(), NotDelivered> {
    let entry = entry?;
    let id = entry.physical.log();
    let Some(log) = shard.queues.log(id) else {
        return Err(Refusal::system_error("the log belongs to another shard").into());
    };
    let place = || {
        let from = entry.physical.position().0;
        format!("log {id}, bytes {from}..{}", from + u64::from(entry.size))
    };
    let never = |why: &dyn std::fmt::Display| NotDelivered::Never(format!("{}: {why}", place()));
    let bytes = log.read_record(entry.physical).await?;
    let bytes = bytes.ok_or_else(|| never(&"no message begins there, or not any more"))?;
    let record = Record::decode(&bytes).map_err(|error| never(&error))?;
    let real = delay::due_message(&record).map_err(|error| never(&error))?;
    let Some(topic) = shard.topic(real.topic) else {
        return Err(never(&format_args!("its topic {:?} is gone", real.topic)));
    };
    let message = NewMessage {
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
    Ok(shard.put_message(message).await.map(drop)?)
}
