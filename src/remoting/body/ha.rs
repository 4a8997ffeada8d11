//! The answer to GET_BROKER_HA_STATUS (907) of RocketMQ 5.

use serde::{Deserialize, Serialize};

/// How a broker replicates. Offsets and differences are bytes; of several logs their sum.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HaRuntimeInfo {
    pub master: bool,
    pub master_commit_log_max_offset: i64,
    pub in_sync_slave_nums: i32,
    /// Of a master: its slaves.
    pub ha_connection_info: Vec<HaConnectionInfo>,
    /// Of a slave.
    pub ha_client_runtime_info: HaClientInfo,
}

/// A slave as its master sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HaConnectionInfo {
    /// `host:port`.
    pub addr: String,
    pub slave_ack_offset: i64,
    pub diff: i64,
    pub in_sync: bool,
    pub transferred_byte_in_second: i64,
    pub transfer_from_where: i64,
}

/// A slave as it sees itself. Times are milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HaClientInfo {
    pub master_addr: Option<String>,
    pub transferred_byte_in_second: i64,
    pub max_offset: i64,
    pub last_read_timestamp: i64,
    pub last_write_timestamp: i64,
    pub master_flush_offset: i64,
    pub activated: bool,
}
