//! Answers that have a value for each of many queues, written one after the other.

use ringmq_remoting::{body::MessageQueue, fastjson};
use serde::Serialize;

use super::body::PartedBody;
use crate::requests::Handled;

/// A queue and its value, as fastjson writes objects that are keys.
pub fn add_queue(part: &mut Vec<u8>, queue: &MessageQueue, value: &impl Serialize) {
    part.extend_from_slice(queue.json().as_bytes());
    part.push(b':');
    fastjson::append(part, value);
}

/// `{"offsetTable":{{queue}:value,...}}`, as fastjson writes objects that are keys.
pub struct QueueTable(PartedBody);

impl QueueTable {
    pub fn new() -> QueueTable {
        QueueTable(PartedBody::new(b"{\"offsetTable\":{".to_vec()))
    }

    /// Each queue is to be added once, in their order.
    pub fn add(&mut self, queue: &MessageQueue, value: &impl Serialize) {
        self.0.item(|part| add_queue(part, queue, value));
    }

    /// False: the answer is too long already.
    pub fn fits(&self) -> bool {
        self.0.fits()
    }

    /// The answer. `members`: what stands behind the table. `remedy`: what to do if it is too long.
    pub fn answer(mut self, members: &str, remedy: &str) -> Handled {
        self.0.text(&format!("}}{members}}}"));
        self.0.answer(remedy)
    }
}

#[cfg(test)]
mod tests {
    use ringmq_remoting::body::{ConsumeStats, OffsetWrapper, TopicOffset, TopicStatsTable};

    use super::*;

    #[test]
    fn tables_are_written_as_the_bodies_that_they_are() {
        let queue = |id| MessageQueue::new("t\"", "broker-a", id);
        for count in [0, 1, 3] {
            let (mut table, mut body) = (QueueTable::new(), ConsumeStats::default());
            let (mut offsets, mut stats) = (QueueTable::new(), TopicStatsTable::default());
            for id in 0..count {
                let wrapper = OffsetWrapper { broker_offset: 7, ..OffsetWrapper::default() };
                table.add(&queue(id), &wrapper);
                body.offset_table.insert(queue(id), wrapper);
                let offset = TopicOffset { max_offset: 5, ..TopicOffset::default() };
                offsets.add(&queue(id), &offset);
                stats.offset_table.insert(queue(id), offset);
            }
            let written = table.answer(",\"consumeTps\":0.0", "").expect("short").body;
            assert_eq!(written, fastjson::to_vec(&body));
            assert_eq!(offsets.answer("", "").expect("short").body, fastjson::to_vec(&stats));
        }
    }
}
