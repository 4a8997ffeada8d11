//! Bodies about the progress of consumers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{MessageQueue, SubscriptionData, queue_map};

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

/// Offsets by queue, with objects as keys.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QueueOffsets(
    #[serde(serialize_with = "queue_map::serialize")] pub BTreeMap<MessageQueue, i64>,
);

/// RESET_CONSUMER_CLIENT_OFFSET, and the answer to INVOKE_BROKER_TO_RESET_OFFSET.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResetOffsetBody {
    pub offset_table: QueueOffsets,
}

/// RESET_CONSUMER_CLIENT_OFFSET for clients in C++, whose JSON has no objects as keys.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResetOffsetBodyForC {
    pub offset_table: Vec<MessageQueueForC>,
}

/// A queue and its offset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MessageQueueForC {
    pub topic: String,
    pub broker_name: String,
    pub queue_id: i32,
    pub offset: i64,
}

/// The answers to GET_CONSUMER_STATUS_FROM_CLIENT, with the offsets of the client, and to
/// INVOKE_BROKER_TO_GET_CONSUMER_STATUS, with those of each client by its id.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GetConsumerStatusBody {
    pub message_queue_table: QueueOffsets,
    pub consumer_table: BTreeMap<String, QueueOffsets>,
}

/// The answer to QUERY_CORRECTION_OFFSET: by queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueryCorrectionOffsetBody {
    pub correction_offsets: BTreeMap<i32, i64>,
}

/// The answer to QUERY_CONSUME_TIME_SPAN.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueryConsumeTimeSpanBody {
    pub consume_time_span_set: Vec<QueueTimeSpan>,
}

/// Store times of the messages of a queue, milliseconds since 1970; -1 without one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueueTimeSpan {
    pub message_queue: MessageQueue,
    pub min_time_stamp: i64,
    pub max_time_stamp: i64,
    /// Of the last message that was consumed.
    pub consume_time_stamp: i64,
    /// How long the next one has been waiting, in milliseconds.
    pub delay_time: i64,
}

/// The answer to QUERY_SUBSCRIPTION_BY_CONSUMER.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QuerySubscriptionResponseBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data: Option<SubscriptionData>,
    pub group: String,
    pub topic: String,
}

/// The answer to QUERY_CONSUME_QUEUE.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueryConsumeQueueResponseBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data: Option<SubscriptionData>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_data: Option<Vec<ConsumeQueueData>>,
    pub max_queue_index: i64,
    pub min_queue_index: i64,
}

/// An entry of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeQueueData {
    pub physic_offset: i64,
    pub physic_size: i32,
    pub tags_code: i64,
    /// Whether the group's filter lets it through; only where there are extended entries.
    pub eval: bool,
}

/// The answer to VIEW_BROKER_STATS_DATA.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerStatsData {
    pub stats_minute: BrokerStatsItem,
    pub stats_hour: BrokerStatsItem,
    pub stats_day: BrokerStatsItem,
}

/// What was counted in some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerStatsItem {
    pub sum: i64,
    /// A second.
    pub tps: f64,
    /// For each time that something was counted.
    pub avgpt: f64,
}
