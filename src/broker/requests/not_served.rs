//! Requests that RocketMQ's tools send and RingMQ does not serve: the answer says why.

use ringmq_remoting::codes::{request::*, response};
use ringmq_rules::refusal::Refusal;

/// Ranges of codes, with the reason.
const REASONS: &[(i32, i32, &str)] = &[
    (CHECK_ROCKSDB_CQ_WRITE_PROGRESS, EXPORT_ROCKSDB_CONFIG_TO_JSON, "there is no RocksDB store"),
    (QUERY_ASSIGNMENT, GET_ALL_MESSAGE_REQUEST_MODE, POP),
    (UPDATE_AND_CREATE_STATIC_TOPIC, UPDATE_AND_CREATE_STATIC_TOPIC, "there are no static topics"),
    (
        ADD_BROKER,
        REMOVE_BROKER,
        "there is no container of brokers; start or stop a broker by its own process",
    ),
    (NOTIFY_MIN_BROKER_ID_CHANGE, RESET_MASTER_FLUSH_OFFSET, REPLICATION),
    (CONTROLLER_ALTER_SYNC_STATE_SET, CONTROLLER_APPLY_BROKER_ID, REPLICATION),
    (
        UPDATE_COLD_DATA_FLOW_CTR_CONFIG,
        SET_COMMITLOG_READ_MODE,
        "readers of old messages hold nobody up, so there is nothing to control",
    ),
    (
        AUTH_CREATE_USER,
        AUTH_LIST_ACL,
        "accounts are those of RocketMQ 4: aclEnable, plain_acl.yml and updateAclConfig of mqadmin \
         4.9",
    ),
    (POP_MESSAGE, BATCH_ACK_MESSAGE, POP),
];
const POP: &str = "consuming by POP is not there yet";
const REPLICATION: &str = "replication is not there yet";

/// The answer to a code that is not in the table.
pub fn refusal(code: i32) -> Refusal {
    let reason = REASONS.iter().find(|(first, last, _)| (*first..=*last).contains(&code));
    let remark = match reason.filter(|_| name(code).is_some()) {
        Some((.., reason)) => format!(" request type {code} not supported: {reason}"),
        None => format!(" request type {code} not supported"),
    };
    Refusal::new(response::REQUEST_CODE_NOT_SUPPORTED, remark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_for_what_is_not_there_hears_why() {
        assert!(refusal(SET_MESSAGE_REQUEST_MODE).remark.ends_with("POP is not there yet"));
        assert!(refusal(AUTH_LIST_USER).remark.contains("plain_acl.yml"));
        for code in [-1, 9_999, 200_057] {
            assert_eq!(refusal(code).remark, format!(" request type {code} not supported"));
        }
    }

    #[test]
    fn what_is_served_has_no_reason() {
        for code in super::super::table::codes() {
            let reason = REASONS.iter().find(|(first, last, _)| (*first..=*last).contains(&code));
            assert_eq!(reason, None, "{code}");
        }
    }
}
