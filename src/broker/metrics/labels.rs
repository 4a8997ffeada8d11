//! Values of labels.

use ringmq_rules::{group::SYSTEM_GROUP_PREFIX, topic::is_system_name};

fn truth(is: bool) -> &'static str {
    if is { "true" } else { "false" }
}

pub fn is_system_topic(topic: &str) -> &'static str {
    truth(is_system_name(topic))
}

/// Whether topic or group is the system's. Source: `BrokerMetricsManager.isSystem`.
pub fn is_system(topic: &str, group: &str) -> &'static str {
    truth(is_system_name(topic) || is_group(group))
}

pub fn is_system_group(group: &str) -> &'static str {
    truth(is_group(group))
}

fn is_group(group: &str) -> bool {
    let prefix = group.get(..SYSTEM_GROUP_PREFIX.len());
    prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(SYSTEM_GROUP_PREFIX))
}

pub fn boolean(is: bool) -> &'static str {
    truth(is)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_the_system_is_told() {
        assert_eq!(is_system("orders", "CID_RMQ_SYS_x"), "true");
        assert_eq!(is_system("orders", "cid_rmq_sys_x"), "true");
        assert_eq!(is_system("SCHEDULE_TOPIC_XXXX", "g"), "true");
        assert_eq!(is_system("orders", "g"), "false");
        assert_eq!(is_system_topic("rmq_sys_wheel_timer"), "true");
    }
}
