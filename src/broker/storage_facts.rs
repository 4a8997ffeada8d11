//! What a shard knows of its logs that retention asks for: segments, and which messages somebody
//! still waits for.

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use ringmq_base::{LogId, LogPosition};
use ringmq_io::Runtime;
use ringmq_store::QueueHandle;

use crate::{
    features::{
        delay_levels::schedule_queue,
        meta::MetaChange,
        retention::{LogFacts, Reserve, Unconsumed, reserve_time_ms},
        topic::SCHEDULE_TOPIC,
    },
    mesh::Message,
    shard::{BrokerLog, CONTROL, Shard},
};

/// Attribute of RocketMQ 5: hours that messages of the topic are kept.
const RESERVE_TIME: &str = "reserve.time";

/// How often the control shard is told that a log has no space.
const TELL_AGAIN: Duration = Duration::from_secs(1);

/// By log: spans of positions with their reserve times.
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

    /// Where messages of topics with a reserve time of their own are; nothing if there are none.
    async fn reserves(&self) -> Reserves {
        let topics: Vec<_> = self.view.borrow().topics.values().cloned().collect();
        let own =
            |attributes: &BTreeMap<String, String>| reserve_time_ms(attributes.get(RESERVE_TIME));
        let mut reserves = Reserves::new();
        if topics.iter().all(|topic| own(&topic.topic.attributes).is_none()) {
            return reserves;
        }
        for topic in topics {
            let reserved_ms = own(&topic.topic.attributes);
            for queue_id in 0..topic.topic.queues() {
                if self.queue_owner(&topic.topic, queue_id) != self.id {
                    continue;
                }
                let (log, queue) = self.queue(&topic, queue_id);
                let (_, max) = log.bounds(queue);
                let Some(to) = position_of(log, queue, max - 1).await else {
                    continue;
                };
                // Of ordinary topics it is enough to know where they end.
                let from = reserved_ms.and_then(|_| log.first_position(queue));
                let from = from.unwrap_or(LogPosition(0));
                add(reserves.entry(log.sink().log).or_default(), Reserve { reserved_ms, from, to });
            }
            self.runtime.yield_if_needed().await;
        }
        reserves
    }
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

/// Spans of the same reserve time become one.
fn add(spans: &mut Vec<Reserve>, span: Reserve) {
    match spans.iter_mut().find(|other| other.reserved_ms == span.reserved_ms) {
        Some(other) => {
            other.from = other.from.min(span.from);
            other.to = other.to.max(span.to);
        }
        None => spans.push(span),
    }
}
