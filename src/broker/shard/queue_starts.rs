//! Deleted topics: a topic that is made again under the same name lives on the same logs, and its
//! queues begin where those of the old one ended. Topic, queue and offset name one message for
//! ever, and nothing of the old topic comes back.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc};

use ahash::AHashMap;
use ringmq_io::Runtime;
use ringmq_rules::refusal::Refusal;

use super::{Shard, queues::Seal};
use crate::messages::{TopicView, log_of_queue};

/// Queues of a topic that are sealed, or deleted, without a pause: some 100 us.
pub const SLICE_QUEUES: usize = 512;

/// Where queues of this shard begin that do not begin at 0, by topic and queue. A topic may have
/// very many: a tree does not move them when it grows.
#[derive(Default)]
pub struct QueueStarts(RefCell<AHashMap<String, BTreeMap<i32, i64>>>);

impl QueueStarts {
    /// Where a queue began when its topic was made.
    pub fn of(&self, topic: &str, queue_id: i32) -> i64 {
        let starts = self.0.borrow();
        starts.get(topic).and_then(|queues| queues.get(&queue_id)).copied().unwrap_or(0)
    }
}

impl<R: Runtime> Shard<R> {
    /// Takes what a deleted topic had away from the queues of this shard.
    pub fn record_deletion(
        &self,
        topic: &str,
        first_log: u16,
        ends: impl Iterator<Item = (i32, i64)>,
    ) {
        for (queue_id, end) in ends {
            let id = log_of_queue(first_log, queue_id, self.queues.log_count());
            let Some(log) = self.queues.log(id) else {
                continue;
            };
            log.begin_queue(topic, queue_id, end);
            let mut starts = self.queue_starts.0.borrow_mut();
            starts.entry(topic.to_owned()).or_default().insert(queue_id, end);
        }
    }

    /// The same on all shards, some queues at a time.
    pub async fn record_long_deletion(
        self: &Rc<Self>,
        topic: &Arc<str>,
        first_log: u16,
        ends: &Arc<[(i32, i64)]>,
    ) {
        let (topic, ends) = (topic.clone(), ends.clone());
        let record = async move |shard: Rc<Self>| {
            for some in ends.chunks(SLICE_QUEUES) {
                shard.record_deletion(&topic, first_log, some.iter().copied());
                shard.runtime.yield_if_needed().await;
            }
        };
        self.call_all(record).await;
    }

    /// Ends the queues of a topic on all shards: nothing is stored in them any more, not even what
    /// was checked before. Resolves with their next offsets, without those at 0, when no power cut
    /// can take back what is before them; and how many queues the logs know of the topic.
    pub async fn seal_topic(
        self: &Rc<Self>,
        topic: &Arc<TopicView>,
    ) -> Result<(Vec<(i32, i64)>, usize), Refusal> {
        let sealed = topic.clone();
        let ends = self.call_all(async move |shard: Rc<Self>| shard.seal_own(&sealed).await).await;
        let mut all = Vec::new();
        for ends in ends {
            all.extend(ends?);
        }
        let queues = all.len();
        all.retain(|(_, end)| *end > 0);
        // Those of each log are sorted: no sort from the ground up.
        all.sort();
        Ok((all, queues))
    }

    /// After [`Shard::seal_topic`], when the topic was not deleted: with `None` it takes messages
    /// again on all shards.
    pub async fn seal_again(self: &Rc<Self>, topic: &Arc<TopicView>, seal: Option<Seal>) {
        let topic = topic.clone();
        self.call_all(async move |shard: Rc<Self>| shard.queues.set_seal(&topic, seal)).await;
    }

    async fn seal_own(&self, topic: &TopicView) -> Result<Vec<(i32, i64)>, Refusal> {
        self.queues.set_seal(topic, Some(Seal::Deletion));
        let mut ends = Vec::new();
        for log in self.queues.own_logs() {
            // A batch that is being stored gets in whole.
            log.settled().await;
            // Of the log, not of the topic: it may have had more queues once.
            let mut from = i32::MIN;
            loop {
                let queues = log.queues_of(&topic.topic.name, from, SLICE_QUEUES);
                ends.extend(queues.iter().map(|(id, queue)| (*id, log.next_offset(*queue))));
                let Some((last, _)) = queues.get(SLICE_QUEUES - 1) else {
                    break;
                };
                from = last.saturating_add(1);
                self.runtime.yield_if_needed().await;
            }
        }
        for log in self.queues.own_logs() {
            let synced = log.synced().await;
            synced.map_err(|error| Refusal::system_error(error.to_string()))?;
        }
        Ok(ends)
    }
}
