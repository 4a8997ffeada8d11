//! Delivery of messages with a time of their own: each log has a queue of the timer topic, whose
//! entries carry the times, and a wheel in memory that is read from it. What is due goes to the
//! real queues in the order of the times; how far that is becomes durable behind it, and after a
//! crash what was delivered beyond is found in the real queues.

mod load;
mod survey;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use futures_lite::future::or;
use futures_util::future::{LocalBoxFuture, join_all};
use ringmq_base::{LogId, LogPosition};
use ringmq_io::{Runtime, Shares};
use ringmq_rules::{
    meta::MetaChange,
    refusal::Refusal,
    timer::{
        self, Role, SLOT_MS_MAX,
        cancelled::Cancelled,
        wheel::{Frontier, Waiting, Wheel},
    },
    topic::TIMER_TOPIC,
};
use ringmq_store::{Entry, QueueHandle};

use super::{
    cursors::{Cursor, Cursors},
    delivery::{self, NotDelivered, Nowhere},
    suspects::IN_DOUBT_MAX,
};
use crate::{
    injected_bugs::{DELIVERED_EARLY, is_planted},
    messages::{NewMessage, TopicView},
    shard::{
        BrokerLog, Shard,
        held_messages::HeldMessages,
        lookups::position_of,
        timer_room::{Survey, TimerUse},
    },
};

/// Messages that are delivered at a time.
pub const WINDOW: usize = 1024;
/// The same, in bytes; a larger one is delivered alone.
const WINDOW_BYTES: u64 = 1024 * 1024;
/// The wall clock may jump: who waits looks at it again after this time at the latest.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Pause after a message could not be delivered.
const RETRY: Duration = Duration::from_secs(1);
/// A message that the device could not read so many times is taken for damaged.
const READ_TRIES: u32 = 10;
/// How long a cancelled slot is remembered beyond its time, in milliseconds: for messages that were
/// late.
const CANCELLED_MS: i64 = 5000;

/// How far a queue of the timer topic is delivered.
#[derive(Clone, Copy, Default)]
pub struct TimerCursor {
    pub frontier: Frontier,
    /// Messages that this process has settled before.
    settled: u64,
}

impl From<Frontier> for TimerCursor {
    fn from(frontier: Frontier) -> TimerCursor {
        TimerCursor { frontier, settled: 0 }
    }
}

impl Cursor for TimerCursor {
    const NAME: &'static str = "times of delivery";

    fn change(&self, key: i32) -> MetaChange {
        MetaChange::TimerFrontier { queue: key, frontier: self.frontier }
    }
}

/// By queue of the timer topic.
pub type TimerCursors = Cursors<TimerCursor>;

/// Starts a task for each queue of the timer topic that this shard owns.
pub fn start<R: Runtime>(shard: &Rc<Shard<R>>, cursors: &Rc<TimerCursors>) {
    let Some(topic) = shard.topic(TIMER_TOPIC) else {
        tracing::error!("no topic {TIMER_TOPIC}: messages with a time are not delivered");
        return;
    };
    for queue_id in own_queues(shard, &topic) {
        let (own, topic, cursors) = (shard.clone(), topic.clone(), cursors.clone());
        shard.runtime.spawn(Shares::Foreground, "timer", async move {
            deliver_queue(&own, &topic, queue_id, &cursors).await;
        });
    }
    let (own, changed) = (shard.clone(), cursors.clone());
    shard.runtime.spawn(Shares::Admin, "times of delivery", async move {
        changed.persist_changes(&own).await;
    });
    let (cursors, shard_of) = (cursors.clone(), Rc::downgrade(shard));
    shard.held_messages.borrow_mut().push(Rc::new(TimerMessages {
        shard: shard_of,
        topic,
        cursors,
    }));
}

fn own_queues<R: Runtime>(shard: &Shard<R>, topic: &TopicView) -> Vec<i32> {
    (0..topic.topic.queues()).filter(|queue| shard.queues.owns(topic, *queue)).collect()
}

/// What retention must not delete: messages that were not delivered yet.
struct TimerMessages<R: Runtime> {
    shard: Weak<Shard<R>>,
    topic: Arc<TopicView>,
    cursors: Rc<TimerCursors>,
}

impl<R: Runtime> HeldMessages for TimerMessages<R> {
    fn first_held(self: Rc<Self>) -> LocalBoxFuture<'static, BTreeMap<LogId, LogPosition>> {
        Box::pin(async move {
            let mut first = BTreeMap::new();
            let Some(shard) = self.shard.upgrade() else {
                return first;
            };
            for queue_id in own_queues(&shard, &self.topic) {
                let (log, queue) = shard.queues.get(&self.topic, queue_id);
                let next = self.cursors.of(queue_id).frontier.first;
                if let Some(position) = position_of(log, queue, next).await {
                    let earliest = first.entry(log.sink().log).or_insert(position);
                    *earliest = position.min(*earliest);
                }
            }
            first
        })
    }
}

/// A queue of the timer topic and what waits in it.
struct TimerQueue<'a, R: Runtime> {
    shard: &'a Rc<Shard<R>>,
    log: &'a BrokerLog<R>,
    queue: QueueHandle,
    queue_id: i32,
    wheel: Wheel,
    cancelled: Cancelled,
    /// The message that the device could not read last, and how often it was tried.
    unreadable: (i64, u32),
    /// Messages that this process has settled.
    settled: u64,
    /// The cursor says so much.
    noted: (Duration, Frontier),
    /// What waited at that time.
    surveyed: (Duration, Survey),
}

async fn deliver_queue<R: Runtime>(
    shard: &Rc<Shard<R>>,
    topic: &TopicView,
    queue_id: i32,
    cursors: &TimerCursors,
) {
    let (log, queue) = shard.queues.get(topic, queue_id);
    let arrived = shard.queue_watchers.watch(log.sink().log, queue);
    let frontier = cursors.of(queue_id).frontier;
    let mut own = TimerQueue {
        shard,
        log,
        queue,
        queue_id,
        wheel: Wheel::new(frontier),
        cancelled: Cancelled::default(),
        unreadable: (0, 0),
        settled: 0,
        noted: (shard.runtime.monotonic(), frontier),
        surveyed: (Duration::ZERO, Survey::default()),
    };
    own.load(frontier).await;
    while !shard.stopping.get() {
        // A start looks for so many that may be delivered.
        let known = (own.settled + WINDOW as u64).saturating_sub(IN_DOUBT_MAX as u64);
        cursors.wait_until(queue_id, |durable| durable.settled >= known).await;
        let read_ms = own.read_new().await;
        let delivered = own.deliver_due(read_ms).await;
        own.survey().await;
        own.note(cursors, matches!(delivered, Ok(0)).then_some(read_ms));
        match delivered {
            Ok(0) => {
                log.watch(queue);
                if own.wheel.read() < log.bounds(queue).1 {
                    continue;
                }
                let next = own.wheel.next_due_ms().map(|due| due - shard.runtime.now_ms());
                let wait = next.map_or(LOOK_AGAIN, |ms| {
                    Duration::from_millis(u64::try_from(ms).unwrap_or(0)).min(LOOK_AGAIN)
                });
                or(shard.runtime.sleep(wait), arrived.wait_and_clear()).await;
            }
            Ok(_) => shard.runtime.yield_if_needed().await,
            Err(refusal) => {
                tracing::warn!(queue_id, %refusal, "message with a time not delivered yet");
                shard.runtime.sleep(RETRY).await;
            }
        }
    }
}

impl<R: Runtime> TimerQueue<'_, R> {
    /// Reads what is new in the queue; all that was acknowledged before the time that this gives
    /// is read. What is due later must wait: a deletion of it may have come since.
    async fn read_new(&mut self) -> i64 {
        let (read_ms, end) = (self.shard.runtime.now_ms(), self.log.bounds(self.queue).1);
        while self.wheel.read() < end && !self.shard.stopping.get() {
            let offset = self.wheel.read();
            if let Some(entry) = self.entry_at(offset).await {
                self.wheel.add(waiting(offset, &entry));
            }
            self.wheel.has_read(offset + 1);
            self.count(1);
            self.shard.runtime.yield_if_needed().await;
        }
        read_ms
    }

    /// The entry at an offset, as soon as it can be read; `None` if it never will.
    async fn entry_at(&mut self, offset: i64) -> Option<Entry> {
        loop {
            match self.log.entry(self.queue, offset).await.map_err(NotDelivered::from) {
                // Without an entry retention has given it up, which it does not before it was
                // delivered.
                Ok(entry) => return entry,
                Err(NotDelivered::Never(why) | NotDelivered::Nowhere(why)) => {
                    self.pass_over(offset, &why);
                    return None;
                }
                Err(NotDelivered::Unreadable(why)) if self.gives_up(offset) => {
                    self.pass_over(offset, &why);
                    return None;
                }
                Err(NotDelivered::Unreadable(_) | NotDelivered::NotYet(_)) => {
                    self.shard.runtime.sleep(RETRY).await;
                }
            }
        }
    }

    /// Delivers the next messages that are due by then; how many are settled. What failed for now
    /// is the error; it waits again, as does what must not go before it.
    async fn deliver_due(&mut self, until_ms: i64) -> Result<usize, Refusal> {
        let (window, entries) = self.take_due(until_ms).await;
        if window.is_empty() {
            return Ok(0);
        }
        let both = window.iter().zip(entries);
        let read = join_all(both.map(async |(waiting, entry)| self.read(waiting, &entry?).await));
        let read = read.await;
        // Deletions come before what they cancel.
        let both = window.iter().zip(read);
        let messages = both.map(|(waiting, kept)| Ok(self.unless_cancelled(waiting, kept?)));
        let messages = messages.collect();
        let outcomes = delivery::put(self.shard, messages).await;
        let settled = self.settled;
        let failed = self.settle(&window, outcomes);
        self.wheel.give_back();
        self.count(0);
        failed.map_or(Ok((self.settled - settled) as usize), Err)
    }

    /// The next messages that are due by then, with their entries.
    async fn take_due(
        &mut self,
        mut until_ms: i64,
    ) -> (Vec<Waiting>, Vec<Result<Entry, NotDelivered>>) {
        if is_planted(DELIVERED_EARLY) {
            until_ms += 1000;
        }
        let (mut window, mut entries, mut bytes) = (Vec::new(), Vec::new(), 0);
        while window.len() < WINDOW
            && let Some(waiting) = self.wheel.take(until_ms)
        {
            let gone = || NotDelivered::Never("its entry is gone".to_owned());
            let entry = self.log.entry(self.queue, waiting.offset).await;
            let entry = entry.map_err(NotDelivered::from).and_then(|entry| entry.ok_or_else(gone));
            bytes += entry.as_ref().map_or(0, |entry| u64::from(entry.size));
            if bytes > WINDOW_BYTES && !window.is_empty() {
                break;
            }
            window.push(waiting);
            entries.push(entry);
        }
        (window, entries)
    }

    async fn read(&self, waiting: &Waiting, entry: &Entry) -> Result<Kept, NotDelivered> {
        if !waiting.is_deletion {
            let message = delivery::read(self.shard, entry).await?;
            return Ok(Kept::Message(Box::new(message)));
        }
        let bytes = delivery::read_record(self.shard, entry).await?;
        let record = delivery::decode(&bytes, entry)?;
        Ok(match timer::role(record.properties) {
            (Role::Deletion(key), Some(out_ms)) => Kept::Deletion(out_ms, key.to_vec()),
            _ => Kept::Nothing,
        })
    }

    /// Takes note of a deletion; the message to deliver, if it is one that was not cancelled.
    fn unless_cancelled(&mut self, waiting: &Waiting, kept: Kept) -> Option<NewMessage> {
        match kept {
            Kept::Nothing => None,
            Kept::Deletion(out_ms, key) => {
                self.cancelled.add(out_ms, &key, waiting.offset, &mut self.wheel);
                None
            }
            Kept::Message(message) => match timer::role(&message.properties) {
                (Role::Message { topic, unique_key: Some(key) }, Some(out_ms))
                    if self.cancelled.contains(out_ms, topic, key) =>
                {
                    None
                }
                _ => Some(*message),
            },
        }
    }

    /// Takes note of what became of a window; the first failure that may pass.
    fn settle(
        &mut self,
        window: &[Waiting],
        outcomes: Vec<Result<(), NotDelivered>>,
    ) -> Option<Refusal> {
        let (mut failed, mut nowhere) = (None, Nowhere::default());
        for (waiting, outcome) in window.iter().zip(outcomes) {
            match outcome {
                Ok(()) => {}
                Err(NotDelivered::Nowhere(why)) => nowhere.add(waiting.offset, why),
                Err(NotDelivered::Never(why)) => self.pass_over(waiting.offset, &why),
                Err(NotDelivered::Unreadable(why)) if self.gives_up(waiting.offset) => {
                    self.pass_over(waiting.offset, &why);
                }
                Err(NotDelivered::Unreadable(why)) => {
                    failed.get_or_insert_with(|| Refusal::system_error(why));
                    continue;
                }
                Err(NotDelivered::NotYet(refusal)) => {
                    failed.get_or_insert(refusal);
                    continue;
                }
            }
            self.wheel.settle(waiting);
            self.settled += 1;
        }
        nowhere.tell(self.shard, format_args!("messages with a time, queue {}", self.queue_id));
        failed
    }

    /// Says how far deliveries are: at once if something was delivered, else now and then.
    /// `all_until_ms`: nothing is left that was due by then.
    fn note(&mut self, cursors: &TimerCursors, all_until_ms: Option<i64>) {
        let passed = all_until_ms.unwrap_or_else(|| self.wheel.frontier().due_ms);
        self.cancelled.forget_before(passed - SLOT_MS_MAX - CANCELLED_MS, &mut self.wheel);
        let frontier = self.wheel.frontier();
        let (at, noted) = self.noted;
        let now = self.shard.runtime.monotonic();
        let delivered = (frontier.due_ms, frontier.offset) != (noted.due_ms, noted.offset);
        if delivered || (frontier != noted && now.saturating_sub(at) >= LOOK_AGAIN) {
            self.noted = (now, frontier);
            cursors.set(self.queue_id, TimerCursor { frontier, settled: self.settled });
        }
    }

    /// Counts a try to read a message; true if it was the last.
    fn gives_up(&mut self, offset: i64) -> bool {
        let (of, tries) = self.unreadable;
        let tries = if of == offset { tries + 1 } else { 1 };
        self.unreadable = (offset, tries);
        tries >= READ_TRIES
    }

    /// A message is lost: says so, once, and counts it.
    #[cold]
    fn pass_over(&self, offset: i64, why: &str) {
        self.shard.delayed_passed_over.set(self.shard.delayed_passed_over.get() + 1);
        let queue_id = self.queue_id;
        tracing::error!(queue_id, offset, why, "message with a time passed over: not delivered");
    }

    /// So many messages more were read; what waits has changed.
    fn count(&mut self, read: usize) {
        let now = TimerUse {
            bytes: self.wheel.bytes() + self.cancelled.bytes(),
            waiting: self.wheel.len(),
            settled: self.settled,
            next_due_ms: self.wheel.next_due_ms(),
            survey: self.surveyed.1,
            ..TimerUse::default()
        };
        self.shard.timer_room.note(self.log.sink().log, read, now);
    }
}

/// A message that was kept back until its time, as it was read.
enum Kept {
    Message(Box<NewMessage>),
    /// The slot and what is cancelled in it.
    Deletion(i64, Vec<u8>),
    Nothing,
}

fn waiting(offset: i64, entry: &Entry) -> Waiting {
    let due_ms = entry.tags_code.checked_abs().unwrap_or(i64::MAX);
    Waiting { due_ms, offset, is_deletion: entry.tags_code < 0 }
}
