//! How many queues a broker keeps in memory: those of its topics, and until the next start also
//! what topics had before they were given fewer, and what deleted ones had.

use std::{collections::BTreeMap, sync::Arc};

use super::super::refusal::Refusal;

#[derive(Debug)]
pub struct QueueCount {
    /// The most that each topic, or what was deleted under its name, has had.
    had: BTreeMap<Arc<str>, u32>,
    sum: usize,
    /// `queuesMax`.
    most: usize,
}

impl QueueCount {
    pub fn with_limit(most: usize) -> QueueCount {
        QueueCount { had: BTreeMap::new(), sum: 0, most }
    }

    pub fn of(&self, topic: &str) -> u32 {
        self.had.get(topic).copied().unwrap_or(0)
    }

    /// A topic has so many; what it had before counts on.
    pub fn raise(&mut self, topic: &Arc<str>, queues: i32) {
        let queues = u32::try_from(queues).unwrap_or(0);
        if queues > self.of(topic) {
            self.set(topic, queues);
        }
    }

    /// What is kept under a name is so many, whatever it had.
    pub fn set(&mut self, topic: &Arc<str>, queues: u32) {
        let old = match queues {
            0 => self.had.remove(topic),
            _ => self.had.insert(topic.clone(), queues),
        };
        self.sum = self.sum + queues as usize - old.unwrap_or(0) as usize;
    }

    /// Whether there is room for a topic with so many.
    ///
    /// # Errors
    /// If it has not had as many yet, and they would be too many.
    pub fn check(&self, topic: &str, queues: i32) -> Result<(), Refusal> {
        let had = self.of(topic);
        let queues = u32::try_from(queues).unwrap_or(0);
        let sum = self.sum - had as usize + queues.max(had) as usize;
        if queues <= had || sum <= self.most {
            return Ok(());
        }
        let most = self.most;
        Err(Refusal::system_error(format!(
            "topic[{topic}] gets no {queues} queues: the broker would keep {sum}, those of topics \
             deleted since its start among them, at most {most} fit; use fewer queues a topic, \
             delete unused topics and start the broker again, or raise queuesMax"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_topic_had_counts_until_it_is_said_what_is_kept() {
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let mut count = QueueCount::with_limit(10);
        count.check(&a, 10).expect("the limit itself");
        count.raise(&a, 8);
        count.raise(&a, 2);
        let refusal = count.check(&b, 3).expect_err("11 queues");
        for part in ["topic[b]", "keep 11", "at most 10", "queuesMax"] {
            assert!(refusal.remark.contains(part), "{}", refusal.remark);
        }
        count.check(&a, 8).expect("it had them");
        count.check(&a, 11).expect_err("too many");
        count.set(&a, 7);
        count.check(&b, 3).expect("room");
        count.set(&a, 0);
        count.check(&b, 10).expect("room");
        assert_eq!((count.of(&a), count.sum, count.had.len()), (0, 0, 0));
    }
}
