//! Deleted topics: a topic that is made again under the same name lives on the same logs, and its
//! queues begin where those of the old one ended. Topic, queue and offset name one message for
//! ever, and nothing of the old topic comes back.

use std::{cell::RefCell, rc::Rc};

use ahash::AHashMap;
use ringmq_io::Runtime;

use crate::{
    messages::ask::{Answer, Ask},
    shard::{
        Shard,
        view::{TopicView, log_of_queue},
    },
};
use ringmq_rules::refusal::Refusal;

/// Where queues of this shard begin that do not begin at 0, by topic and queue.
#[derive(Default)]
pub struct Begins(RefCell<AHashMap<String, AHashMap<i32, i64>>>);

impl Begins {
    /// Where a queue began when its topic was made.
    pub fn of(&self, topic: &str, queue_id: i32) -> i64 {
        let begins = self.0.borrow();
        begins.get(topic).and_then(|queues| queues.get(&queue_id)).copied().unwrap_or(0)
    }
}

impl<R: Runtime> Shard<R> {
    /// Takes what a deleted topic had away from the queues of this shard.
    pub fn bury(&self, topic: &str, first_log: u16, ends: impl Iterator<Item = (i32, i64)>) {
        for (queue_id, end) in ends {
            let Some(log) = self.log(log_of_queue(first_log, queue_id, self.log_count())) else {
                continue;
            };
            log.begin_queue(topic, queue_id, end);
            let mut begins = self.begins.0.borrow_mut();
            begins.entry(topic.to_owned()).or_default().insert(queue_id, end);
        }
    }

    /// The next offsets of the queues of a topic on this shard, without those at 0. No power cut
    /// takes back what is before them.
    pub async fn ends(&self, topic: &TopicView) -> Result<Vec<(i32, i64)>, Refusal> {
        let mut ends = Vec::new();
        for log in self.own_logs() {
            // Of the log, not of the topic: it may have had more queues once.
            let queues = log.queues().into_iter().filter(|(name, ..)| **name == *topic.topic.name);
            ends.extend(queues.map(|(_, queue_id, queue)| (queue_id, log.next_offset(queue))));
        }
        for log in self.own_logs() {
            let synced = log.synced().await;
            synced.map_err(|error| Refusal::system_error(error.to_string()))?;
        }
        ends.retain(|(_, end)| *end > 0);
        Ok(ends)
    }

    /// The same of all shards.
    pub async fn all_ends(
        self: &Rc<Self>,
        topic: &std::sync::Arc<TopicView>,
    ) -> Result<Vec<(i32, i64)>, Refusal> {
        let mut all = Vec::new();
        for shard in self.everybody() {
            if let Answer::Ends(ends) = self.ask(shard, Ask::Ends(topic.clone())).await {
                all.extend(ends?);
            }
        }
        all.sort_unstable();
        Ok(all)
    }
}
