//! Bodies about the progress of consumers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{MessageQueue, queue_map};

/// The answer to GET_CONSUME_STATS.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeStats {
    #[serde(serialize_with = "queue_map::serialize")]
    pub offset_table: BTreeMap<MessageQueue, OffsetWrapper>,
    pub consume_tps: f64,
}

/// How far a group is in a queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OffsetWrapper {
    pub broker_offset: i64,
    pub consumer_offset: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_offset: Option<i64>,
    /// Store time of the last message that was consumed, milliseconds since 1970.
    pub last_timestamp: i64,
}
