//! A subscription group's configuration.

use std::{collections::BTreeMap, sync::Arc};

use ringmq_remoting::body::GroupRetryPolicy;
use serde::{Deserialize, Serialize};

use super::topic::arc_str;

/// Groups of this prefix belong to the system and are always made on demand.
pub const SYSTEM_GROUP_PREFIX: &str = "CID_RMQ_SYS_";

/// Configuration of a subscription group, with the defaults of Java.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    #[serde(with = "arc_str")]
    pub name: Arc<str>,
    pub consume_enable: bool,
    pub consume_from_min_enable: bool,
    pub consume_broadcast_enable: bool,
    /// Of RocketMQ 5, kept.
    #[serde(default)]
    pub consume_message_orderly: bool,
    /// Queues of the retry topic; 0 or less: messages sent back are dropped.
    pub retry_queues: i32,
    pub retry_max_times: i32,
    pub broker_id: i64,
    pub which_broker_when_consume_slowly: i64,
    pub notify_consumer_ids_changed_enable: bool,
    /// Of RocketMQ 5, kept.
    #[serde(default)]
    pub group_sys_flag: i32,
    /// Of RocketMQ 5, kept.
    #[serde(default = "consume_timeout_minutes")]
    pub consume_timeout_minutes: i32,
    /// Of RocketMQ 5, kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_policy: Option<GroupRetryPolicy>,
    /// Of RocketMQ 5, kept.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

const fn consume_timeout_minutes() -> i32 {
    15
}

impl Group {
    pub fn new(name: &str) -> Group {
        Group {
            name: Arc::from(name),
            consume_enable: true,
            consume_from_min_enable: true,
            consume_broadcast_enable: true,
            consume_message_orderly: false,
            retry_queues: 1,
            retry_max_times: 16,
            broker_id: 0,
            which_broker_when_consume_slowly: 1,
            notify_consumer_ids_changed_enable: true,
            group_sys_flag: 0,
            consume_timeout_minutes: consume_timeout_minutes(),
            retry_policy: None,
            attributes: BTreeMap::new(),
        }
    }
}
