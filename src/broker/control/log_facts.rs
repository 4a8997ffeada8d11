//! What a shard knows of its logs that retention asks for: segments, and which messages somebody
//! still waits for.

use std::{collections::BTreeMap, rc::Rc, sync::Arc, time::Duration};

use ringmq_base::{LogId, LogPosition};
use ringmq_io::Runtime;
use ringmq_store::QueueHandle;

use crate::{
    messages::Message,
    shard::{BrokerLog, CONTROL, Shard, view::TopicView},
};
use ringmq_rules::{
    attributes::{reserve_bytes, reserve_time_ms},
    delay_levels::schedule_queue,
    meta::MetaChange,
    retention::{LogFacts, Reserve, Unconsumed},
    topic::{SCHEDULE_TOPIC, Topic},
};

/// How often the control shard is told that a log has no space.
const TELL_AGAIN: Duration = Duration::from_secs(1);

/// Messages of a queue whose sizes tell how large the others are.
const SAMPLE: i64 = 32;

/// By log: spans of positions with their rules.
type Reserves = BTreeMap<LogId, Vec<Reserve>>;

impl<R: Runtime> Shard<R> {
    /// All logs of this shard. `unconsumed`: find out how far their consumers are, too.
    pub async fn storage_facts(self: &Rc<Self>, unconsumed: bool) -> Vec<LogFacts> {
        let mut reserves = self.reserves().await;
        let mut waiting = self.waiting_positions().await;
        let mut behind = BTreeMap::new();
        if unconsumed {
            behind = self.unconsumed().await;
        }
        let mut all = Vec::new();
        for log in self.own_logs() {
            let id = log.sink().log;
            let segments = log.segments().await;
            let spare_bytes = log.spare_segments() as u64 * self.facts.segment_bytes;
            all.push(LogFacts {
                log: id,
                segments,
                spare_bytes,
                waiting: waiting.remove(&id),
                unconsumed: behind.remove(&id),
                reserves: reserves.remove(&id).unwrap_or_default(),
                full: log.counters().full,
            });
        }
        all
    }

    pub async fn keep_spares(&self, spares: usize) {
        for log in self.own_logs() {
            log.drop_spares(spares).await;
        }
    }

    /// A send was refused because the file system has no space: has retention look at it, if it has
    /// not been told a moment ago.
    pub fn note_full(&self) {
        let now = self.runtime.monotonic();
        let told = self.storage.told_full.get();
        if told.is_some_and(|told| now.saturating_sub(told) < TELL_AGAIN) {
            return;
        }
        self.storage.told_full.set(Some(now));
        if self.control.get().is_some() {
            self.storage.look();
        } else {
            self.router.post(CONTROL, Message::LookAtStorage);
        }
    }

    /// The first undelivered message of each log: delayed ones. Whoever keeps messages back for
    /// later adds them here.
    async fn waiting_positions(&self) -> BTreeMap<LogId, LogPosition> {
        let mut first = BTreeMap::new();
        let Some(topic) = self.topic(SCHEDULE_TOPIC) else {
            return first;
        };
        for level in 1..=self.facts.delay_levels.max() {
            let queue_id = schedule_queue(level);
            if self.queue_owner(&topic.topic, queue_id) != self.id {
                continue;
            }
            let (log, queue) = self.queue(&topic, queue_id);
            let delivered = self.delay_offsets.borrow().get(&level).copied().unwrap_or(0);
            if let Some(position) = position_of(log, queue, delivered).await {
                let earliest = first.entry(log.sink().log).or_insert(position);
                *earliest = position.min(*earliest);
            }
        }
        first
    }

    /// For each log the first message that a group with an offset in its queue has not consumed.
    async fn unconsumed(&self) -> BTreeMap<LogId, Unconsumed> {
        let mut first: BTreeMap<LogId, Unconsumed> = BTreeMap::new();
        let offsets = self.offsets.borrow().snapshot();
        for change in offsets {
            let MetaChange::Offsets { topic, group, offsets } = change else {
                continue;
            };
            for (queue_id, offset) in offsets {
                let Some((log, queue)) = self.existing_queue(&topic, queue_id) else {
                    continue;
                };
                let Some(position) = position_of(log, queue, offset).await else {
                    continue;
                };
                let id = log.sink().log;
                if first.get(&id).is_none_or(|other| position < other.position) {
                    let (group, topic) = (group.to_string(), topic.to_string());
                    first.insert(id, Unconsumed { position, group, topic, queue_id });
                }
            }
            self.runtime.yield_if_needed().await;
        }
        first
    }

    /// Where messages of topics with rules of their own are; nothing if there are none.
    async fn reserves(&self) -> Reserves {
        let topics: Vec<_> = self.view.borrow().topics.values().cloned().collect();
        let mut reserves = Reserves::new();
        let own_rules = |topic: &&Arc<TopicView>| {
            let attributes = &topic.topic.attributes;
            reserve_time_ms(attributes).is_some() || reserve_bytes(attributes).is_some()
        };
        if !topics.iter().any(|topic| own_rules(&topic)) {
            return reserves;
        }
        for topic in topics {
            for queue_id in 0..topic.topic.queues() {
                if self.queue_owner(&topic.topic, queue_id) == self.id {
                    let (log, queue) = self.queue(&topic, queue_id);
                    let spans = reserves.entry(log.sink().log).or_default();
                    reserves_of(&topic.topic, log, queue, spans).await;
                }
            }
            self.runtime.yield_if_needed().await;
        }
        reserves
    }
}

/// Adds where the messages of a queue are.
async fn reserves_of<R: Runtime>(
    topic: &Topic,
    log: &BrokerLog<R>,
    queue: QueueHandle,
    spans: &mut Vec<Reserve>,
) {
    let (_, max) = log.bounds(queue);
    let Some(to) = position_of(log, queue, max - 1).await else {
        return;
    };
    let reserved_ms = reserve_time_ms(&topic.attributes);
    let bytes = reserve_bytes(&topic.attributes);
    // Of ordinary topics it is enough to know where they end.
    let ordinary = reserved_ms.is_none() && bytes.is_none();
    let first = if ordinary { None } else { log.first_position(queue) };
    let mut from = first.unwrap_or(LogPosition(0));
    if let Some(bytes) = bytes {
        let queues = u64::try_from(topic.queues()).unwrap_or(1).max(1);
        let kept = offset_of_newest(log, queue, bytes / queues).await;
        if kept > log.bounds(queue).0
            && let Some(last) = position_of(log, queue, kept - 1).await
        {
            add(spans, Reserve { reserved_ms, surplus: true, from, to: last });
            from = position_of(log, queue, kept).await.unwrap_or(last);
        }
    }
    add(spans, Reserve { reserved_ms, surplus: false, from, to });
}

/// Where the newest messages of so many bytes begin, by the mean size of a sample; at most the last
/// offset.
async fn offset_of_newest<R: Runtime>(log: &BrokerLog<R>, queue: QueueHandle, bytes: u64) -> i64 {
    let (min, max) = log.bounds(queue);
    let step = usize::try_from((max - min) / SAMPLE + 1).unwrap_or(usize::MAX);
    let (mut sum, mut count) = (0, 0);
    for offset in (min..max).step_by(step) {
        if let Ok(Some(entry)) = log.entry(queue, offset).await {
            sum += u64::from(entry.size);
            count += 1;
        }
    }
    let messages = bytes.saturating_mul(count).checked_div(sum);
    let messages = messages.and_then(|messages| i64::try_from(messages).ok()).unwrap_or(i64::MAX);
    max.saturating_sub(messages.max(1)).max(min)
}

/// Where the first message at or behind `offset` is, or shortly before; `None` if there is none.
async fn position_of<R: Runtime>(
    log: &BrokerLog<R>,
    queue: QueueHandle,
    offset: i64,
) -> Option<LogPosition> {
    let (min, max) = log.bounds(queue);
    let offset = offset.max(min);
    if offset >= max {
        return None;
    }
    match log.entry(queue, offset).await {
        Ok(Some(entry)) => Some(entry.physical.position()),
        // It was given up meanwhile, and what is behind it begins the queue.
        Ok(None) => log.first_position(queue),
        // What cannot be looked up may be anywhere.
        Err(_) => Some(LogPosition(0)),
    }
}

/// Spans of the same rules become one.
fn add(spans: &mut Vec<Reserve>, span: Reserve) {
    let rules = |span: &Reserve| (span.reserved_ms, span.surplus);
    match spans.iter_mut().find(|other| rules(other) == rules(&span)) {
        Some(other) => {
            other.from = other.from.min(span.from);
            other.to = other.to.max(span.to);
        }
        None => spans.push(span),
    }
}
