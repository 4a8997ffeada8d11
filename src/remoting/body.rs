//! JSON bodies of requests and responses. All members may be missing and unknown ones are
//! ignored; enums of Java are texts here, so that names of other versions pass. Read and write
//! them with [`crate::fastjson`].

mod client;
mod consume;
mod group;
pub mod register;
mod route;
mod storage;
#[cfg(test)]
mod tests;
mod topic;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};

pub use self::client::*;
pub use self::consume::*;
pub use self::group::*;
pub use self::register::RegisterBrokerBody;
pub use self::route::*;
pub use self::storage::*;
pub use self::topic::*;
use crate::fastjson::ObjectKey;

/// A queue of a topic. Its order is that of Java: topic, broker, queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MessageQueue {
    pub topic: String,
    pub broker_name: String,
    pub queue_id: i32,
}

impl MessageQueue {
    pub fn new(topic: &str, broker_name: &str, queue_id: i32) -> MessageQueue {
        let (topic, broker_name) = (topic.to_owned(), broker_name.to_owned());
        MessageQueue { topic, broker_name, queue_id }
    }

    /// As fastjson writes a queue: names sorted.
    pub fn json(&self) -> String {
        let mut out = b"{\"brokerName\":".to_vec();
        crate::encode::json_string(&mut out, &self.broker_name);
        out.extend_from_slice(b",\"queueId\":");
        out.extend_from_slice(itoa::Buffer::new().format(self.queue_id).as_bytes());
        out.extend_from_slice(b",\"topic\":");
        crate::encode::json_string(&mut out, &self.topic);
        out.push(b'}');
        String::from_utf8(out).expect("made of UTF-8")
    }
}

impl DataVersion {
    /// The settings changed. `now` is in milliseconds since 1970.
    pub fn next(&mut self, now: i64) {
        self.timestamp = now;
        self.counter = self.counter.wrapping_add(1);
    }
}

/// Writes maps with queues as keys.
pub(crate) mod queue_map {
    use super::*;

    pub(crate) fn serialize<V: Serialize, S: Serializer>(
        map: &BTreeMap<MessageQueue, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(map.iter().map(|(queue, value)| (ObjectKey(queue.json()), value)))
    }
}
