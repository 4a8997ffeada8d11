//! Delivery of delayed messages: each level is a queue of SCHEDULE_TOPIC_XXXX whose entries carry
//! the time of delivery; its owner moves what is due to the real queues, in order, and remembers
//! how far it is. After a crash it looks what it has delivered beyond that.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use futures_util::future::LocalBoxFuture;
use ringmq_base::{LogId, LogPosition};
use ringmq_io::{Runtime, Shares};
use ringmq_store::{Entry, QueueHandle};

use super::{
    cursors::Cursors,
    delivery::{self, NotDelivered, Nowhere},
    suspects::{self, IN_DOUBT_MAX, Suspect},
};
use crate::{
    injected_bugs::{DELAYED_DROPPED, is_planted},
    messages::TopicView,
    shard::{BrokerLog, Shard, held_messages::HeldMessages, lookups::position_of},
};
use ringmq_rules::{
    delay::{self, DelayStep},
    delay_levels::schedule_queue,
    refusal::Refusal,
    topic::SCHEDULE_TOPIC,
};

#[cfg(test)]
mod tests;

/// By level: the next message to deliver.
pub type DelayOffsets = Cursors<i64>;

/// Messages that are delivered at a time.
const WINDOW: usize = 256;
/// The same, in bytes; a larger one is delivered alone.
const WINDOW_BYTES: u64 = 512 * 1024;
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

/// What the next messages of a level are, up to the first that has to wait.
struct NextOfLevel {
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
    /// Moves the cursor into what the queue has.
    fn correct(&mut self, (min, max): (i64, i64), offsets: &DelayOffsets) {
        let corrected = delay::corrected_offset(self.cursor, min, max);
        if corrected != self.cursor {
            self.cursor = corrected;
            offsets.set(self.level, corrected);
        }
    }

    /// Takes note of what became of the messages from the cursor on. Why the one that it stands at
    /// now is to be tried again, if it is.
    fn settle<R: Runtime>(
        &mut self,
        shard: &Shard<R>,
        outcomes: Vec<Result<(), NotDelivered>>,
    ) -> Option<Refusal> {
        let (mut not_yet, mut nowhere) = (None, Nowhere::default());
        for (offset, outcome) in (self.cursor..).zip(outcomes) {
            if not_yet.is_some() {
                if outcome.is_ok() {
                    self.ahead.insert(offset);
                }
                continue;
            }
            match outcome {
                Ok(()) => {}
                Err(NotDelivered::Nowhere(why)) => nowhere.add(offset, why),
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
        nowhere.tell(shard, format_args!("delay level {}", self.level));
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
    own.correct(log.bounds(queue), offsets);
    let (cursor, max) = (own.cursor, log.bounds(queue).1);
    own.ahead = delivered_before(shard, log, queue, level, cursor..max).await;
    if is_planted(DELAYED_DROPPED) {
        own.cursor = max;
    }
    while !shard.stopping.get() {
        own.correct(log.bounds(queue), offsets);
        // A start looks for so many that may be delivered.
        let known = own.cursor + WINDOW as i64 - IN_DOUBT_MAX as i64;
        offsets.wait_until(level, |durable| durable >= known).await;
        let NextOfLevel { entries, wait } = next(shard, log, queue, level, own.cursor).await;
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
        let due = (first..).zip(entries).map(|(offset, entry)| match entry {
            _ if own.ahead.contains(&offset) => delivery::Due::Done,
            Ok(entry) => delivery::Due::Deliver(entry),
            Err(error) => delivery::Due::Failed(error),
        });
        let outcomes = delivery::deliver(shard, due.collect()).await;
        let not_yet = own.settle(shard, outcomes);
        let offset = own.cursor;
        if offset > first {
            offsets.set(level, offset);
        }
        if let Some(refusal) = not_yet {
            tracing::warn!(level, offset, %refusal, "delayed message not delivered yet");
            shard.runtime.sleep(RETRY).await;
        }
    }
}

/// Messages of a level from its durable cursor on that an earlier process has delivered.
async fn delivered_before<R: Runtime>(
    shard: &Rc<Shard<R>>,
    log: &BrokerLog<R>,
    queue: QueueHandle,
    level: i32,
    waiting: Range<i64>,
) -> BTreeSet<i64> {
    if waiting.is_empty() {
        return BTreeSet::new();
    }
    let latest = suspects::latest_ms(shard).await;
    let levels = &shard.settings.delay_levels;
    let mut suspects = Vec::new();
    let mut offsets = BTreeMap::new();
    for offset in waiting.take(IN_DOUBT_MAX) {
        let Ok(Some(entry)) = log.entry(queue, offset).await else {
            continue;
        };
        let due = entry.tags_code;
        if delay::step(levels, level, due, latest) != DelayStep::Deliver {
            break;
        }
        // One whose time is far off was due when it was stored.
        let since_ms = if due <= latest { due } else { 0 };
        suspects.push(Suspect { entry, since_ms });
        offsets.insert(entry.physical.get(), offset);
    }
    let delivered = suspects::delivered(shard, &suspects).await;
    delivered.iter().filter_map(|origin| offsets.get(origin).copied()).collect()
}

/// The messages of a level from `cursor` on that are due, at most [`WINDOW`].
async fn next<R: Runtime>(
    shard: &Shard<R>,
    log: &BrokerLog<R>,
    queue: QueueHandle,
    level: i32,
    cursor: i64,
) -> NextOfLevel {
    let levels = &shard.settings.delay_levels;
    let mut next = NextOfLevel { entries: Vec::new(), wait: None };
    let mut bytes = 0;
    while next.entries.len() < WINDOW {
        let offset = cursor + next.entries.len() as i64;
        let entry = match log.entry(queue, offset).await {
            Ok(Some(entry)) => entry,
            Ok(None) => break,
            Err(error) => {
                let error = NotDelivered::from(error);
                let stops = error.stops();
                next.entries.push(Err(error));
                if stops {
                    break;
                }
                continue;
            }
        };
        match delay::step(levels, level, entry.tags_code, shard.runtime.now_ms()) {
            DelayStep::Deliver => {
                bytes += u64::from(entry.size);
                if bytes > WINDOW_BYTES && !next.entries.is_empty() {
                    break;
                }
                next.entries.push(Ok(entry));
            }
            DelayStep::Wait(ms) => {
                next.wait = Some(Duration::from_millis(u64::try_from(ms).unwrap_or(1)));
                break;
            }
        }
    }
    next
}

/// A message of a level is lost: says so, once, and counts it.
#[cold]
fn pass_over<R: Runtime>(shard: &Shard<R>, level: i32, offset: i64, why: &str) {
    shard.delayed_passed_over.set(shard.delayed_passed_over.get() + 1);
    tracing::error!(level, offset, why, "delayed message passed over: it is not delivered");
}
