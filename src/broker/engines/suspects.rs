//! Messages that a process may have delivered before it was killed, when it had not noted yet that
//! it did. What was delivered names the message that it was made of, so it is found again among the
//! newest messages of the real queues.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
};

use futures_util::future::join_all;
use ringmq_base::record::Record;
use ringmq_io::Runtime;
use ringmq_store::{Boundary, Entry};

use super::delivery;
use crate::{
    messages::{NewMessage, TopicView},
    shard::Shard,
};

/// More messages than this are never delivered before it is durable how far deliveries are.
pub const IN_DOUBT_MAX: usize = 4096;
/// Suspects that are read side by side.
const READ_MAX: usize = 64;
/// Newest messages of a queue that are looked at, at most.
const LOOK_BACK_MAX: i64 = 1_000_000;
/// Sizes of a record differ by this with the kind of the broker's address.
const ADDRESS_BYTES: usize = 12;

/// A message that may have been delivered.
#[derive(Clone, Copy)]
pub struct Suspect {
    pub entry: Entry,
    /// It was not delivered before that: milliseconds since 1970.
    pub since_ms: i64,
}

/// What a delivered message looks like in its queue.
#[derive(Clone, Copy)]
struct Wanted {
    origin: i64,
    size: usize,
    tags_code: i64,
}

impl Wanted {
    fn may_be(&self, entry: &Entry) -> bool {
        let difference = self.size.abs_diff(entry.size as usize);
        entry.tags_code == self.tags_code && (difference == 0 || difference == ADDRESS_BYTES)
    }
}

/// The suspects of one real queue.
struct InQueue {
    topic: Arc<TopicView>,
    queue_id: i32,
    since_ms: i64,
    wanted: Vec<Wanted>,
}

/// No message was delivered later than that, whatever this machine's clock has done since:
/// milliseconds since 1970.
pub async fn latest_ms<R: Runtime>(shard: &Rc<Shard<R>>) -> i64 {
    let newest = async |shard: Rc<Shard<R>>| {
        shard.queues.own_logs().map(|log| log.last_stored_ms()).max().unwrap_or(0)
    };
    let newest = shard.call_all(newest).await.into_iter().max().unwrap_or(0);
    newest.max(shard.runtime.now_ms())
}

/// Which of the suspects are in their real queues, by their physical offsets. What cannot be read
/// counts as not delivered.
pub async fn delivered<R: Runtime>(shard: &Rc<Shard<R>>, suspects: &[Suspect]) -> BTreeSet<i64> {
    let mut queues: BTreeMap<(u64, i32), InQueue> = BTreeMap::new();
    for some in suspects.chunks(READ_MAX) {
        let read = join_all(some.iter().map(|suspect| delivery::read(shard, &suspect.entry)));
        for (suspect, message) in some.iter().zip(read.await) {
            if let Ok(message) = message {
                add(shard, &mut queues, &message, suspect.since_ms);
            }
        }
    }
    let found = queues.into_values().map(async |queue| {
        let owner = shard.queues.owner(&queue.topic, queue.queue_id);
        shard.call(owner, async move |shard: Rc<Shard<R>>| find(&shard, queue).await).await
    });
    join_all(found).await.into_iter().flatten().collect()
}

fn add<R: Runtime>(
    shard: &Shard<R>,
    queues: &mut BTreeMap<(u64, i32), InQueue>,
    message: &NewMessage,
    since_ms: i64,
) {
    let queue = queues.entry((message.topic.id, message.queue_id)).or_insert_with(|| InQueue {
        topic: message.topic.clone(),
        queue_id: message.queue_id,
        since_ms,
        wanted: Vec::new(),
    });
    queue.since_ms = queue.since_ms.min(since_ms);
    queue.wanted.push(Wanted {
        origin: message.prepared_transaction_offset,
        size: message.record(shard.settings.store_host).size(),
        tags_code: message.tags_code,
    });
}

/// On the owner of the queue.
async fn find<R: Runtime>(shard: &Rc<Shard<R>>, mut searched: InQueue) -> Vec<i64> {
    let (log, queue) = shard.queues.get(&searched.topic, searched.queue_id);
    let (min, max) = log.bounds(queue);
    let first = log.offset_by_time(queue, searched.since_ms, Boundary::Lower).await;
    let first = first.unwrap_or(min).max(min).max(max - LOOK_BACK_MAX);
    let mut found = Vec::new();
    for offset in first..max {
        if searched.wanted.is_empty() {
            break;
        }
        let Ok(Some(entry)) = log.entry(queue, offset).await else {
            continue;
        };
        if !searched.wanted.iter().any(|wanted| wanted.may_be(&entry)) {
            continue;
        }
        let Ok(Some(bytes)) = log.read_record(entry.physical).await else {
            continue;
        };
        let Ok(record) = Record::decode(&bytes) else {
            continue;
        };
        let origin = record.prepared_transaction_offset;
        let place = searched.wanted.iter().position(|wanted| wanted.origin == origin);
        if let Some(place) = place {
            found.push(searched.wanted.swap_remove(place).origin);
        }
        shard.runtime.yield_if_needed().await;
    }
    found
}
