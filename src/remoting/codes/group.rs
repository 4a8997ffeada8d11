//! Groups of RocketMQ's own (`MixAll`).

pub const DEFAULT_PRODUCER: &str = "DEFAULT_PRODUCER";
pub const DEFAULT_CONSUMER: &str = "DEFAULT_CONSUMER";
pub const TOOLS_CONSUMER: &str = "TOOLS_CONSUMER";
pub const SCHEDULE_CONSUMER: &str = "SCHEDULE_CONSUMER";
pub const FILTERSRV_CONSUMER: &str = "FILTERSRV_CONSUMER";
pub const MONITOR_CONSUMER: &str = "__MONITOR_CONSUMER";
pub const CLIENT_INNER_PRODUCER: &str = "CLIENT_INNER_PRODUCER";
pub const SELF_TEST_PRODUCER: &str = "SELF_TEST_P_GROUP";
pub const SELF_TEST_CONSUMER: &str = "SELF_TEST_C_GROUP";
pub const ONS_HTTP_PROXY: &str = "CID_ONS-HTTP-PROXY";
pub const ONSAPI_PERMISSION: &str = "CID_ONSAPI_PERMISSION";
pub const ONSAPI_OWNER: &str = "CID_ONSAPI_OWNER";
pub const ONSAPI_PULL: &str = "CID_ONSAPI_PULL";
/// Consumer of the half messages.
pub const SYS_TRANS: &str = "CID_RMQ_SYS_TRANS";
pub const SYSTEM_PREFIX: &str = "CID_RMQ_SYS_";

/// What is no user's to tools (`DefaultMQAdminExtImpl.SYSTEM_GROUP_SET`).
const NO_USERS: [&str; 13] = [
    DEFAULT_CONSUMER,
    DEFAULT_PRODUCER,
    TOOLS_CONSUMER,
    FILTERSRV_CONSUMER,
    MONITOR_CONSUMER,
    CLIENT_INNER_PRODUCER,
    SELF_TEST_PRODUCER,
    SELF_TEST_CONSUMER,
    ONS_HTTP_PROXY,
    ONSAPI_PERMISSION,
    ONSAPI_OWNER,
    ONSAPI_PULL,
    SYS_TRANS,
];

/// Whether tools show a group as a user's (`getUserSubscriptionGroup`).
pub fn is_users_group(group: &str) -> bool {
    !is_system_group(group) && !NO_USERS.contains(&group)
}

/// Whether a group is RocketMQ's own (`MixAll.isSysConsumerGroup`).
pub fn is_system_group(group: &str) -> bool {
    group.starts_with(SYSTEM_PREFIX)
}
