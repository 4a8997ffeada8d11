//! Deleted topics: a topic that is made again under the same name lives on the same logs, and its
//! queues begin where those of the old one ended. Topic, queue and offset name one message for
//! ever, and nothing of the old topic comes back.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use ahash::AHashMap;
use ringmq_io::Runtime;
use ringmq_rules::refusal::Refusal;

use super::{Shard, queues::Seal};
use crate::messages::{TopicView, log_of_queue};

/// Where queues of this shard begin that do not begin at 0, by topic and queue.
#[derive(Default)]
pub struct QueueStarts(RefCell<AHashMap<String, AHashMap<i32, i64>>>);

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

    /// Ends the queues of a topic on all shards: nothing is stored in them any more, not even what
    /// was checked before. Resolves with their next offsets, without those at 0, when no power cut
    /// can take back what is before them.
    pub async fn seal_topic(
        self: &Rc<Self>,
        topic: &Arc<TopicView>,
    ) -> Result<Vec<(i32, i64)>, Refusal> {
        let sealed = topic.clone();
        let ends = self.call_all(async move |shard: Rc<Self>| shard.seal_own(&sealed).await).await;
        let mut all = Vec::new();
        for ends in ends {
            all.extend(ends?);
        }
        all.sort_unstable();
        Ok(all)
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
            // Of the log, not of the topic: it may have had more queues once.
            let queues = log.queues().into_iter().filter(|(name, ..)| **name == *topic.topic.name);
            ends.extend(queues.map(|(_, queue_id, queue)| (queue_id, log.next_offset(queue))));
        }
        for log in self.queues.own_logs() {
            let synced = log.synced().await;
            synced.map_err(|error| Refusal::system_error(error.to_string()))?;
        }
        ends.retain(|(_, end)| *end > 0);
        Ok(ends)
    }
}
