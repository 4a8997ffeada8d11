//! Topics of RocketMQ's own and what makes a topic name (`TopicValidator`, `MixAll`).

use ringmq_base::limits::TOPIC_BYTES_MAX;

/// Topic whose settings an automatically created topic takes over.
pub const AUTO_CREATE_TOPIC_KEY: &str = "TBW102";
pub const SCHEDULE: &str = "SCHEDULE_TOPIC_XXXX";
pub const BENCHMARK: &str = "BenchmarkTest";
pub const TRANS_HALF: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
pub const TRACE: &str = "RMQ_SYS_TRACE_TOPIC";
pub const TRANS_OP_HALF: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";
pub const TRANS_CHECK_MAX_TIME: &str = "TRANS_CHECK_MAX_TIME_TOPIC";
pub const SELF_TEST: &str = "SELF_TEST_TOPIC";
pub const OFFSET_MOVED_EVENT: &str = "OFFSET_MOVED_EVENT";
/// Timer messages of RocketMQ 5.
pub const TIMER: &str = "rmq_sys_wheel_timer";

pub const SYSTEM_PREFIX: &str = "rmq_sys_";
pub const RETRY_PREFIX: &str = "%RETRY%";
pub const DLQ_PREFIX: &str = "%DLQ%";
pub const LMQ_PREFIX: &str = "%LMQ%";
/// A cluster's reply topic is its name, `_` and this.
pub const REPLY_POSTFIX: &str = "REPLY_TOPIC";

/// The topics that no user may create or delete, besides those with [`SYSTEM_PREFIX`].
pub const SYSTEM: [&str; 9] = [
    AUTO_CREATE_TOPIC_KEY,
    SCHEDULE,
    BENCHMARK,
    TRANS_HALF,
    TRACE,
    TRANS_OP_HALF,
    TRANS_CHECK_MAX_TIME,
    SELF_TEST,
    OFFSET_MOVED_EVENT,
];

/// The topics that no client may send to.
pub const NOT_ALLOWED_SEND: [&str; 6] =
    [SCHEDULE, TRANS_HALF, TRANS_OP_HALF, TRANS_CHECK_MAX_TIME, SELF_TEST, OFFSET_MOVED_EVENT];

/// Whether a topic is RocketMQ's own.
pub fn is_system_topic(topic: &str) -> bool {
    topic.starts_with(SYSTEM_PREFIX) || SYSTEM.contains(&topic)
}

/// Whether clients are refused to send to a topic.
pub fn is_not_allowed_send_topic(topic: &str) -> bool {
    NOT_ALLOWED_SEND.contains(&topic)
}

/// The topic through which a group's messages are delivered again.
pub fn retry_topic(group: &str) -> String {
    [RETRY_PREFIX, group].concat()
}

/// The topic for the messages that a group could not consume.
pub fn dlq_topic(group: &str) -> String {
    [DLQ_PREFIX, group].concat()
}

/// The topic through which replies to a cluster's requests go.
pub fn reply_topic(cluster: &str) -> String {
    [cluster, "_", REPLY_POSTFIX].concat()
}

/// Whether a topic or group name has a character that Java refuses.
pub fn is_topic_or_group_illegal(name: &str) -> bool {
    !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"%-_|".contains(&byte))
}

/// Why a topic name is refused; the texts are those of the Java broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicNameError {
    #[error("The specified topic is blank.")]
    Blank,
    #[error("The specified topic contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$")]
    Illegal,
    #[error("The specified topic is longer than topic max length.")]
    Long,
}

/// Checks a topic name as `TopicValidator.validateTopic` does.
pub fn validate_topic(topic: &str) -> Result<(), TopicNameError> {
    if topic.chars().all(char::is_whitespace) {
        return Err(TopicNameError::Blank);
    }
    if is_topic_or_group_illegal(topic) {
        return Err(TopicNameError::Illegal);
    }
    if topic.len() > TOPIC_BYTES_MAX {
        return Err(TopicNameError::Long);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_topics_are_known() {
        assert!(is_system_topic("rmq_sys_anything"));
        assert!(is_system_topic("TBW102"));
        assert!(!is_system_topic("%RETRY%group"));
        assert!(is_not_allowed_send_topic(SCHEDULE));
        assert!(!is_not_allowed_send_topic(AUTO_CREATE_TOPIC_KEY));
    }

    #[test]
    fn names_are_made_as_in_java() {
        assert_eq!(retry_topic("g"), "%RETRY%g");
        assert_eq!(dlq_topic("g"), "%DLQ%g");
        assert_eq!(reply_topic("c"), "c_REPLY_TOPIC");
    }

    #[test]
    fn topic_names_are_checked_as_in_java() {
        assert_eq!(validate_topic("%RETRY%a-b_c|d"), Ok(()));
        assert_eq!(validate_topic(" "), Err(TopicNameError::Blank));
        assert_eq!(validate_topic("a b"), Err(TopicNameError::Illegal));
        assert_eq!(validate_topic(&"t".repeat(127)), Ok(()));
        assert_eq!(validate_topic(&"t".repeat(128)), Err(TopicNameError::Long));
    }
}
