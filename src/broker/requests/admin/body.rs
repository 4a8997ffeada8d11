//! What bodies of answers have in common.

use ringmq_base::config::BrokerConfig;
use ringmq_remoting::{
    body::{DataVersion, MessageQueue},
    fastjson,
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
