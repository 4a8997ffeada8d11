//! What bodies of answers have in common.

use ringmq_base::config::BrokerConfig;
use ringmq_remoting::{
    body::{DataVersion, MessageQueue},
    fastjson::{self, BODY_BYTES_MAX, BodyTooLong},
};
use ringmq_rules::{meta, refusal::Refusal};
use serde::Serialize;

use crate::requests::{Handled, Response};

/// An answer that grows with the broker's tables.
pub fn long_body(body: &impl Serialize, remedy: &str) -> Handled {
    match fastjson::to_vec_for_frame(body) {
        Ok(body) => Ok(Response::with_body(body)),
        Err(error) => Err(Refusal::system_error(format!("{error}: {remedy}"))),
    }
}

/// The same, written in parts: no more of it is held than a frame carries.
pub struct PartedBody {
    bytes: Vec<u8>,
    /// Of all that was written, also when it is too much to be held.
    length: usize,
    /// The next item is the first of its list.
    first: bool,
}

impl PartedBody {
    pub fn new(begin: Vec<u8>) -> PartedBody {
        PartedBody { length: begin.len(), bytes: begin, first: true }
    }

    pub fn add(&mut self, part: &[u8]) {
        self.length += part.len();
        if self.length <= BODY_BYTES_MAX {
            self.bytes.extend_from_slice(part);
        } else {
            self.bytes = Vec::new();
        }
    }

    /// What stands between two lists.
    pub fn text(&mut self, text: &str) {
        self.add(text.as_bytes());
        self.first = true;
    }

    /// An item of a list, or a member of an object, with a comma unless it is the first.
    pub fn item(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut part = Vec::new();
        if !std::mem::replace(&mut self.first, false) {
            part.push(b',');
        }
        write(&mut part);
        self.add(&part);
    }

    /// False: it is too long already, and only its length goes on.
    pub fn fits(&self) -> bool {
        self.length <= BODY_BYTES_MAX
    }

    /// Bytes that are held.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.bytes.len()
    }

    /// The answer. `remedy`: what to do if it is too long.
    pub fn answer(self, remedy: &str) -> Handled {
        if self.length > BODY_BYTES_MAX {
            let error = BodyTooLong { bytes: self.length };
            return Err(Refusal::system_error(format!("{error}: {remedy}")));
        }
        Ok(Response::with_body(self.bytes))
    }
}

pub fn version(version: meta::DataVersion) -> DataVersion {
    DataVersion {
        state_version: version.state_version,
        timestamp: version.timestamp,
        counter: version.counter,
    }
}

/// A queue as clients name it.
pub fn message_queue(config: &BrokerConfig, topic: &str, queue_id: i32) -> MessageQueue {
    MessageQueue { topic: topic.to_owned(), broker_name: config.broker_name.clone(), queue_id }
}
