//! What was done with the topics of a shard's queues since the control shard last took it, every
//! few seconds: what nobody uses takes no memory.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
};

use ahash::AHashMap;
use ringmq_io::Runtime;
use ringmq_rules::stats::Counts;

use super::Shard;
use crate::messages::{PullRequest, TopicView};

/// Groups of all topics together that are counted; others are not until this was taken.
const GROUPS_MAX: usize = 100_000;

/// Of one topic.
pub struct TopicUsage {
    pub name: Arc<str>,
    pub puts: Counts,
    pub groups: AHashMap<Arc<str>, Counts>,
}

#[derive(Default)]
pub struct Usage {
    /// By the topic's number.
    topics: RefCell<Vec<Option<Box<TopicUsage>>>>,
    /// Those that have something.
    used: RefCell<Vec<u32>>,
    groups: Cell<usize>,
}

impl Usage {
    #[inline]
    fn with(&self, topic: &TopicView, count: impl FnOnce(&mut TopicUsage)) {
        let mut topics = self.topics.borrow_mut();
        let index = topic.id as usize;
        match topics.get_mut(index) {
            Some(Some(usage)) => count(usage),
            _ => {
                if topics.len() <= index {
                    topics.resize_with(index + 1, || None);
                }
                let name = topic.topic.name.clone();
                let (puts, groups) = (Counts::default(), AHashMap::new());
                let mut usage = Box::new(TopicUsage { name, puts, groups });
                count(&mut usage);
                topics[index] = Some(usage);
                self.used.borrow_mut().push(topic.id);
            }
        }
    }

    /// A send stored so many messages, which take so many bytes.
    #[inline]
    pub fn count_puts(&self, topic: &TopicView, messages: u64, bytes: u64) {
        self.with(topic, |usage| {
            usage.puts.messages += messages;
            usage.puts.bytes += bytes;
            usage.puts.times += 1;
        });
    }

    fn count_group(&self, topic: &TopicView, group: &Arc<str>, counts: &Counts) {
        self.with(topic, |usage| match usage.groups.get_mut(group) {
            Some(known) => known.add(counts),
            None if self.groups.get() < GROUPS_MAX => {
                usage.groups.insert(group.clone(), *counts);
                self.groups.set(self.groups.get() + 1);
            }
            None => {}
        });
    }

    /// Takes what was counted since the last time.
    fn take(&self) -> Vec<TopicUsage> {
        self.groups.set(0);
        let mut topics = self.topics.borrow_mut();
        let used = self.used.take();
        used.into_iter().filter_map(|id| Some(*topics.get_mut(id as usize)?.take()?)).collect()
    }
}

impl<R: Runtime> Shard<R> {
    /// A pull is answered with messages, after so many milliseconds.
    pub fn count_pull(&self, pull: &PullRequest, (messages, bytes): (usize, usize), ms: u64) {
        self.pull_counts.count(messages);
        let (messages, bytes) = (messages as u64, bytes as u64);
        let counts = Counts { messages, bytes, times: 1, latency_ms: ms, sent_back: 0 };
        self.usage.count_group(&pull.topic, &pull.group, &counts);
    }

    /// A consumer sent a message of a topic back.
    pub fn count_sent_back(&self, topic: &str, group: &Arc<str>) {
        if let Some(topic) = self.topic(topic) {
            let counts = Counts { sent_back: 1, ..Counts::default() };
            self.usage.count_group(&topic, group, &counts);
        }
    }

    /// What all shards have counted since the last time.
    pub async fn take_usage(self: &Rc<Self>) -> Vec<TopicUsage> {
        let own = async |shard: Rc<Self>| shard.usage.take();
        self.call_all(own).await.into_iter().flatten().collect()
    }
}
