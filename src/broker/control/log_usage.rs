//! What a shard knows of its logs that retention asks for: segments, and which messages somebody
//! still waits for.

use std::{collections::BTreeMap, sync::Arc};

use ringmq_base::{LogId, LogPosition};
use ringmq_io::Runtime;
use ringmq_store::QueueHandle;

use crate::{
    messages::TopicView,
    shard::{BrokerLog, Shard, lookups::position_of},
};
use ringmq_rules::{
    attributes::{reserve_bytes, reserve_time_ms},
    meta::MetaChange,
    offsets::{ListedTo, OFFSETS_OF_CHANGE_MAX},
    retention::{LogUsage, Reserve, Unconsumed},
    topic::Topic,
};

/// Messages of a queue whose sizes tell how large the others are.
const SAMPLE: i64 = 32;

/// By log: spans of positions with their rules.
type Reserves = BTreeMap<LogId, Vec<Reserve>>;

/// All logs of a shard. `unconsumed`: find out how far their consumers are, too.
pub async fn of_shard<R: Runtime>(shard: &Shard<R>, unconsumed: bool) -> Vec<LogUsage> {
    let mut reserves = reserves(shard).await;
    let mut held = first_held(shard).await;
    let mut behind = BTreeMap::new();
    if unconsumed {
        behind = self::unconsumed(shard).await;
    }
    let mut all = Vec::new();
    for log in shard.queues.own_logs() {
        let id = log.sink().log;
        let segments = log.segments().await;
        let spare_bytes = log.spare_segments() as u64 * shard.settings.segment_bytes;
        all.push(LogUsage {
            log: id,
            segments,
            spare_bytes,
            waiting: held.remove(&id),
            unconsumed: behind.remove(&id),
            reserves: reserves.remove(&id).unwrap_or_default(),
            full: log.counters().full,
        });
    }
    all
}

/// The first message of each log that is kept back for later.
async fn first_held<R: Runtime>(shard: &Shard<R>) -> BTreeMap<LogId, LogPosition> {
    let mut first: BTreeMap<LogId, LogPosition> = BTreeMap::new();
    let holders = shard.held_messages.borrow().clone();
    for holder in holders {
        for (log, position) in holder.first_held().await {
            let earliest = first.entry(log).or_insert(position);
            *earliest = position.min(*earliest);
        }
    }
    first
}

/// For each log the first message that a group with an offset in its queue has not consumed.
async fn unconsumed<R: Runtime>(shard: &Shard<R>) -> BTreeMap<LogId, Unconsumed> {
    let mut first: BTreeMap<LogId, Unconsumed> = BTreeMap::new();
    let mut to = ListedTo::default();
    loop {
        let some = shard.offsets.borrow().list(None, &mut to, OFFSETS_OF_CHANGE_MAX);
        if some.is_empty() {
            return first;
        }
        for change in some {
            let MetaChange::Offsets { topic, group, offsets } = change else { continue };
            for (queue_id, offset) in offsets {
                let Some((log, queue)) = shard.existing_queue(&topic, queue_id) else { continue };
                let Some(position) = position_of(log, queue, offset).await else { continue };
                let id = log.sink().log;
                if first.get(&id).is_none_or(|other| position < other.position) {
                    let (group, topic) = (group.to_string(), topic.to_string());
                    first.insert(id, Unconsumed { position, group, topic, queue_id });
                }
            }
            shard.runtime.yield_if_needed().await;
        }
    }
}

/// Where messages of topics with rules of their own are; nothing if there are none.
async fn reserves<R: Runtime>(shard: &Shard<R>) -> Reserves {
    let topics: Vec<_> = shard.view.borrow().topics.values().cloned().collect();
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
            if shard.queues.owns(&topic, queue_id) {
                let (log, queue) = shard.queues.get(&topic, queue_id);
                let spans = reserves.entry(log.sink().log).or_default();
                reserves_of(&topic.topic, log, queue, spans).await;
            }
        }
        shard.runtime.yield_if_needed().await;
    }
    reserves
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
