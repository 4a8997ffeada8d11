//! How far groups are behind: of every group with offsets in a topic, be it connected or not. Each
//! shard adds up the queues that it owns, some at a time.

use std::{collections::BTreeMap, rc::Rc, sync::Arc, time::Duration};

use ahash::AHashMap;
use ringmq_io::Runtime;
use ringmq_rules::{
    meta::MetaChange,
    offsets::ListedTo,
    topic::{DLQ_PREFIX, RETRY_PREFIX},
};

use crate::{
    messages::TopicView,
    shard::{Shard, lookups::store_timestamp},
};

/// Offsets that are looked at without a pause: some 50 us.
const SLICE_OFFSETS: usize = 128;
/// How long a shard looks for the times of messages, for one answer; what is not found then is
/// found for the next one.
const TIMES_PATIENCE: Duration = Duration::from_millis(50);
/// Times that a shard remembers.
const TIMES_MAX: usize = 65_536;

/// How far a group is in a topic, in the queues of a shard or in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Messages that it has not confirmed, that it has pulled of these, and that it has not.
    pub behind: u64,
    pub inflight: u64,
    pub ready: u64,
    /// When the first message was stored that it has not confirmed, and has not pulled, in
    /// milliseconds since 1970; `None` without one, or if nobody knows.
    pub unconfirmed_ms: Option<i64>,
    pub unpulled_ms: Option<i64>,
}

impl Lag {
    fn add(&mut self, other: &Lag) {
        self.behind += other.behind;
        self.inflight += other.inflight;
        self.ready += other.ready;
        self.unconfirmed_ms = earlier(self.unconfirmed_ms, other.unconfirmed_ms);
        self.unpulled_ms = earlier(self.unpulled_ms, other.unpulled_ms);
    }
}

fn earlier(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Group and topic, with their lag.
pub type LagRow = ((Arc<str>, Arc<str>), Lag);

/// When messages were stored: by the topic's number, queue and offset.
pub type Times = AHashMap<(u64, i32, i64), i64>;

/// Of all shards, at most `most`; how many others there are.
pub async fn all<R: Runtime>(shard: &Rc<Shard<R>>, most: usize) -> (Vec<LagRow>, usize) {
    let own = async move |shard: Rc<Shard<R>>| of_shard(&shard, most).await;
    let of_shards = shard.call_all(own).await;
    let merge = move || {
        let (mut all, mut left_out) = (BTreeMap::<_, Lag>::new(), 0);
        for (rows, more) in of_shards {
            left_out = left_out.max(more);
            for (key, lag) in rows {
                if all.len() < most || all.contains_key(&key) {
                    all.entry(key).or_default().add(&lag);
                } else {
                    left_out += 1;
                }
            }
        }
        (all.into_iter().collect(), left_out)
    };
    shard.runtime.aside(merge).await
}

async fn of_shard<R: Runtime>(shard: &Rc<Shard<R>>, most: usize) -> (Vec<LagRow>, usize) {
    let mut rows: Vec<LagRow> = Vec::new();
    let (mut to, mut left_out) = (ListedTo::default(), 0);
    let mut clock = TimesClock::new(shard);
    loop {
        let some = shard.offsets.borrow().list(None, &mut to, SLICE_OFFSETS);
        if some.is_empty() {
            break;
        }
        for change in some {
            let MetaChange::Offsets { topic, group, offsets } = change else { continue };
            let Some(view) = counted(shard, &topic, &group) else { continue };
            let key = (group, topic);
            if rows.last().is_none_or(|(last, _)| *last != key) {
                if rows.len() >= most {
                    left_out += 1;
                    continue;
                }
                rows.push((key.clone(), Lag::default()));
            }
            for (queue_id, offset) in offsets {
                let lag = of_queue(shard, &mut clock, (&key, &view), (queue_id, offset)).await;
                if let (Some((_, sum)), Some(lag)) = (rows.last_mut(), lag) {
                    sum.add(&lag);
                }
            }
        }
        shard.runtime.yield_if_needed().await;
    }
    clock.keep();
    (rows, left_out)
}

/// As in Java, retry topics do not count; what nobody can read does not either.
fn counted<R: Runtime>(shard: &Shard<R>, topic: &str, group: &str) -> Option<Arc<TopicView>> {
    if topic.starts_with(RETRY_PREFIX) || topic.starts_with(DLQ_PREFIX) {
        return None;
    }
    let view = shard.view.borrow();
    view.groups.contains_key(group).then_some(())?;
    view.topics.get(topic).cloned()
}

async fn of_queue<R: Runtime>(
    shard: &Rc<Shard<R>>,
    clock: &mut TimesClock<R>,
    (key, topic): (&(Arc<str>, Arc<str>), &Arc<TopicView>),
    (queue_id, offset): (i32, i64),
) -> Option<Lag> {
    let (log, queue) = shard.existing_queue(&key.1, queue_id)?;
    let (min, max) = log.bounds(queue);
    // As in Java, a group without an offset waits for what is new.
    let confirmed = if offset < 0 { max } else { offset.clamp(min, max) };
    if confirmed == max {
        return Some(Lag::default());
    }
    let pulled = shard.usage.next_pull(topic, &key.0, queue_id);
    let pulled = pulled.unwrap_or(confirmed).clamp(confirmed, max);
    let unconfirmed_ms = clock.stored_at((topic, queue_id), confirmed).await;
    let unpulled_ms = match pulled {
        pulled if pulled == max => None,
        pulled if pulled == confirmed => unconfirmed_ms,
        pulled => clock.stored_at((topic, queue_id), pulled).await,
    };
    Some(Lag {
        behind: (max - confirmed).unsigned_abs(),
        inflight: (pulled - confirmed).unsigned_abs(),
        ready: (max - pulled).unsigned_abs(),
        unconfirmed_ms,
        unpulled_ms,
    })
}

/// Looks up when messages were stored, as long as there is time for it.
struct TimesClock<R: Runtime> {
    shard: Rc<Shard<R>>,
    until: Duration,
    seen: Times,
}

impl<R: Runtime> TimesClock<R> {
    fn new(shard: &Rc<Shard<R>>) -> Self {
        let until = shard.runtime.monotonic() + TIMES_PATIENCE;
        TimesClock { shard: shard.clone(), until, seen: Times::default() }
    }

    async fn stored_at(&mut self, (topic, queue): (&TopicView, i32), offset: i64) -> Option<i64> {
        let key = (topic.id, queue, offset);
        let known = self.seen.get(&key).copied();
        let known = known.or_else(|| self.shard.lag_times.borrow().get(&key).copied());
        let time = match known {
            Some(time) => time,
            None if self.shard.runtime.monotonic() > self.until => return None,
            None => {
                let (log, handle) = self.shard.existing_queue(&topic.topic.name, queue)?;
                let time = store_timestamp(log, handle, offset).await.ok().flatten()?;
                self.shard.runtime.yield_if_needed().await;
                time
            }
        };
        if self.seen.len() < TIMES_MAX {
            self.seen.insert(key, time);
        }
        Some(time)
    }

    /// Remembers what was seen this time, and nothing else.
    fn keep(self) {
        self.shard.lag_times.replace(self.seen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shards_tell_of_a_group_adds_up() {
        let one = Lag { behind: 5, inflight: 2, ready: 3, ..Lag::default() };
        let other = Lag { unconfirmed_ms: Some(7), unpulled_ms: Some(9), ..one };
        let mut sum = one;
        sum.add(&other);
        sum.add(&Lag { unconfirmed_ms: Some(8), ..one });
        assert_eq!((sum.behind, sum.inflight, sum.ready), (15, 6, 9));
        assert_eq!((sum.unconfirmed_ms, sum.unpulled_ms), (Some(7), Some(9)));
    }
}
