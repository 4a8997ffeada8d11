//! A topic's configuration and the names that RocketMQ gives a meaning.

use std::{collections::BTreeMap, sync::Arc};

use ringmq_remoting::{body::TopicConfigRef, codes::perm};
use serde::{Deserialize, Serialize};

use super::refusal::Refusal;

pub use ringmq_remoting::codes::{
    perm::{INHERIT as PERM_INHERIT, READ as PERM_READ, WRITE as PERM_WRITE},
    topic::{
        AUTO_CREATE_TOPIC_KEY as AUTO_CREATE_TOPIC, BENCHMARK as BENCHMARK_TOPIC, DLQ_PREFIX,
        OFFSET_MOVED_EVENT as OFFSET_MOVED_TOPIC, RETRY_PREFIX, SCHEDULE as SCHEDULE_TOPIC,
        SELF_TEST as SELF_TEST_TOPIC, TIMER as TIMER_TOPIC, TRACE as TRACE_TOPIC,
        TRANS_CHECK_MAX_TIME as CHECKED_OUT_TOPIC, TRANS_HALF as HALF_TOPIC,
        TRANS_OP_HALF as OPERATION_HALF_TOPIC, dlq_topic, is_not_allowed_send_topic,
        is_system_topic as is_system_name, reply_topic, retry_topic,
    },
};

/// Bits of [`Topic::sys_flag`].
pub const SYS_FLAG_UNIT: i32 = 1;
pub const SYS_FLAG_UNIT_SUB: i32 = 2;

/// How many tags a message of the topic may carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TopicFilterType {
    #[default]
    #[serde(rename = "SINGLE_TAG")]
    SingleTag,
    #[serde(rename = "MULTI_TAG")]
    MultiTag,
}

impl TopicFilterType {
    pub const fn name(self) -> &'static str {
        match self {
            TopicFilterType::SingleTag => "SINGLE_TAG",
            TopicFilterType::MultiTag => "MULTI_TAG",
        }
    }

    /// The type of that name; `SINGLE_TAG` for any other, as nothing else was ever in use.
    pub fn from_name(name: &str) -> TopicFilterType {
        if name == "MULTI_TAG" { TopicFilterType::MultiTag } else { TopicFilterType::SingleTag }
    }
}

/// Configuration of a topic, and on which log its queues live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Topic {
    #[serde(with = "arc_str")]
    pub name: Arc<str>,
    /// 0 to [`super::limits::TOPIC_QUEUES_MAX`].
    pub read_queues: i32,
    /// 0 to [`super::limits::TOPIC_QUEUES_MAX`].
    pub write_queues: i32,
    /// [`PERM_READ`], [`PERM_WRITE`], [`PERM_INHERIT`].
    pub perm: i32,
    #[serde(default)]
    pub filter_type: TopicFilterType,
    #[serde(default)]
    pub sys_flag: i32,
    #[serde(default)]
    pub order: bool,
    /// Attributes of RocketMQ 5, kept as they came.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Queue q lives on log `(first_log + q) % logs`, for ever.
    pub first_log: u16,
}

impl Topic {
    pub fn new(name: &str, queues: i32, perm: i32) -> Topic {
        Topic {
            name: Arc::from(name),
            read_queues: queues,
            write_queues: queues,
            perm,
            filter_type: TopicFilterType::SingleTag,
            sys_flag: 0,
            order: false,
            attributes: BTreeMap::new(),
            first_log: 0,
        }
    }

    /// How many queues the topic has for anybody.
    pub fn queues(&self) -> i32 {
        self.read_queues.max(self.write_queues)
    }

    pub const fn is_readable(&self) -> bool {
        self.perm & PERM_READ != 0
    }

    pub const fn is_writable(&self) -> bool {
        self.perm & PERM_WRITE != 0
    }

    pub const fn is_inherited(&self) -> bool {
        self.perm & PERM_INHERIT != 0
    }

    /// As requests and answers carry it.
    pub fn config(&self) -> TopicConfigRef<'_> {
        TopicConfigRef {
            topic_name: &self.name,
            read_queue_nums: self.read_queues,
            write_queue_nums: self.write_queues,
            perm: self.perm,
            topic_filter_type: self.filter_type.name(),
            topic_sys_flag: self.sys_flag,
            order: self.order,
            attributes: Some(&self.attributes).filter(|map| !map.is_empty()),
        }
    }

    /// As Java's `TopicConfig.toString` prints it in remarks.
    pub fn describe(&self) -> String {
        format!(
            "TopicConfig [topicName={}, readQueueNums={}, writeQueueNums={}, perm={}, \
             topicFilterType={}, topicSysFlag={}, order={}]",
            self.name,
            self.read_queues,
            self.write_queues,
            perm::text(self.perm),
            self.filter_type.name(),
            self.sys_flag,
            self.order
        )
    }
}

/// Whether the broker may deliver messages to a topic on its own: to any that clients may send to,
/// but for those of which it takes messages to deliver or act on them.
pub fn takes_deliveries(topic: &str) -> bool {
    !is_not_allowed_send_topic(topic) && topic != TIMER_TOPIC
}

/// The group of a `%RETRY%` topic.
pub fn retry_group(topic: &str) -> Option<&str> {
    topic.strip_prefix(RETRY_PREFIX)
}

/// Checks a topic name as Java's `TopicValidator.validateTopic` does.
///
/// # Errors
/// The answer to the client.
pub fn validate_topic(topic: &str) -> Result<(), Refusal> {
    let valid = ringmq_remoting::codes::topic::validate_topic(topic);
    valid.map_err(|error| Refusal::system_error(error.to_string()))
}

/// `Arc<str>` as a JSON string.
pub(super) mod arc_str {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
        String::deserialize(deserializer).map(Arc::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_with_the_texts_of_java() {
        for good in ["T", "%RETRY%g-1_x|y", &"x".repeat(127)] {
            assert_eq!(validate_topic(good), Ok(()));
        }
        let remark = |topic| validate_topic(topic).expect_err("invalid").remark;
        assert_eq!(remark(""), "The specified topic is blank.");
        assert_eq!(remark(" \t"), "The specified topic is blank.");
        assert!(remark("a b").starts_with("The specified topic contains illegal characters"));
        assert!(remark("\u{4e2d}").starts_with("The specified topic contains illegal"));
        assert!(remark(&"x".repeat(128)).ends_with("longer than topic max length."));
    }

    #[test]
    fn a_topic_is_described_as_java_does() {
        let topic = Topic::new("T", 8, 7);
        assert_eq!(
            topic.describe(),
            "TopicConfig [topicName=T, readQueueNums=8, writeQueueNums=8, perm=RWX, \
             topicFilterType=SINGLE_TAG, topicSysFlag=0, order=false]"
        );
    }

    #[test]
    fn a_topic_survives_json() {
        let mut topic = Topic::new("T", 8, 6);
        topic.attributes.insert("message.type".into(), "FIFO".into());
        topic.first_log = 3;
        let json = serde_json::to_string(&topic).expect("serializes");
        assert_eq!(serde_json::from_str::<Topic>(&json).expect("reads"), topic);
    }
}
