//! Bodies of POP and of balancing by the broker.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::MessageQueue;

/// QUERY_ASSIGNMENT.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueryAssignmentRequestBody {
    pub topic: String,
    pub consumer_group: String,
    pub client_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_model: Option<String>,
}

/// The answer to QUERY_ASSIGNMENT. None: the client keeps what it has. Empty: it drops all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueryAssignmentResponseBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_queue_assignments: Option<Vec<MessageQueueAssignment>>,
}

/// A queue that a client gets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MessageQueueAssignment {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_queue: Option<MessageQueue>,
    /// PULL or POP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachments: Option<BTreeMap<String, String>>,
}

/// SET_MESSAGE_REQUEST_MODE.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SetMessageRequestModeRequestBody {
    pub topic: String,
    pub consumer_group: String,
    /// PULL or POP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    pub pop_share_queue_num: i32,
}

/// The answer to GET_ALL_MESSAGE_REQUEST_MODE: topic, then group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MessageRequestModeSerializeWrapper {
    pub message_request_mode_map:
        BTreeMap<String, BTreeMap<String, SetMessageRequestModeRequestBody>>,
}

/// BATCH_ACK_MESSAGE.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BatchAckMessageRequestBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_name: Option<String>,
    pub acks: Vec<BatchAck>,
}

/// What is acknowledged of one pop.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BatchAck {
    #[serde(rename = "c")]
    pub consumer_group: String,
    #[serde(rename = "t")]
    pub topic: String,
    #[serde(rename = "r")]
    pub retry: String,
    #[serde(rename = "so")]
    pub start_offset: i64,
    #[serde(rename = "q")]
    pub queue_id: i32,
    #[serde(rename = "rq")]
    pub revive_queue_id: i32,
    #[serde(rename = "pt")]
    pub pop_time: i64,
    #[serde(rename = "it")]
    pub invisible_time: i64,
    /// Base64 of a little-endian bit set over offset less `start_offset`.
    #[serde(rename = "b")]
    pub bit_set: String,
}
