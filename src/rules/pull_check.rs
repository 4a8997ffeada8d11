//! What a pull (request codes 11 and 361) may read, with the codes and texts of the Java broker,
//! and how long and how much. Nothing here allocates or formats for a pull that passes.

use std::net::SocketAddr;

use ringmq_base::ReadLimits;
use ringmq_remoting::{codes::pull_flag, pull::PullHeader};

pub use super::filter::{Filter, FilterError, TagFilter};
use super::{
    group::{Group, SYSTEM_GROUP_PREFIX},
    limits::PULLED_EXPRESSION_BYTES_MAX,
    refusal::{FAQ, Refusal, code},
    sql_filter::{SQL92, SqlError},
    subscription::{GroupSubscriptions, MessageModel},
    topic::{PERM_READ, Topic},
};

/// Bytes of messages, in memory or on disk. Source: `maxTransferBytesOnMessageInMemory`.
const BYTES_MAX: usize = 256 * 1024;
/// Source: `pullBatchMaxMessageCount` of 5.x; clients ask for what they can take.
const MESSAGES_MAX: usize = 160;
/// Queue entries that one pull looks at. Source: 16,000 bytes of entries of 20.
const SCAN_MIN: usize = 800;

/// What a pull is checked against besides its group and topic.
#[derive(Clone, Copy, Debug)]
pub struct PullContext<'a> {
    pub broker_permission: i32,
    /// brokerIP1.
    pub broker_ip: &'a str,
    pub auto_create_group: bool,
    /// enablePropertyFilter.
    pub property_filter: bool,
    /// Who pulls.
    pub consumer: SocketAddr,
}

/// What to do about a pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PullDecision {
    Read(Filter),
    /// The group is not there: make it and check again.
    CreateGroup,
}

/// Checks a pull against the configurations of its group and topic and against the subscriptions
/// of the group's online members.
///
/// # Errors
/// The answer to the client.
#[inline]
pub fn check(
    context: &PullContext<'_>,
    header: &PullHeader<'_>,
    group: Option<&Group>,
    topic: Option<&Topic>,
    subscriptions: Option<&GroupSubscriptions>,
) -> Result<PullDecision, Refusal> {
    if context.broker_permission & PERM_READ == 0 {
        return Err(broker_forbids(context));
    }
    let Some(group) = group else {
        if context.auto_create_group || header.consumer_group.starts_with(SYSTEM_GROUP_PREFIX) {
            return Ok(PullDecision::CreateGroup);
        }
        return Err(unknown_group(header.consumer_group));
    };
    if !group.consume_enable {
        return Err(group_forbidden(header.consumer_group));
    }
    let topic = topic.ok_or_else(|| unknown_topic(header.topic))?;
    if !topic.is_readable() {
        return Err(topic_forbidden(header.topic));
    }
    if !(0..topic.read_queues).contains(&header.queue_id) {
        return Err(illegal_queue(header, topic, context.consumer));
    }
    let own = has_subscription(header.sys_flag);
    let filter = if own {
        check_length(header)?;
        let parsed = Filter::parse(header.subscription, header.expression_type);
        parsed.map_err(|error| parse_failed(&error))?
    } else {
        subscribed(header, group, subscriptions)?.clone()
    };
    match filter {
        Filter::Broken(error) => Err(no_filter(&error)),
        Filter::Unsupported(expression_type) => {
            let refusal = unsupported_filter(&expression_type);
            let code = if own { refusal.code } else { code::FILTER_DATA_NOT_EXIST };
            Err(Refusal { code, ..refusal })
        }
        Filter::Sql(_) if !context.property_filter => Err(filter_switched_off()),
        filter => Ok(PullDecision::Read(filter)),
    }
}

/// Whether a consumer may subscribe like this (request code 46).
///
/// # Errors
/// The answer to the client.
pub fn check_subscription(
    text: &str,
    expression_type: &str,
    property_filter: bool,
) -> Result<(), Refusal> {
    match Filter::of_heartbeat(text, expression_type, &[]) {
        Filter::Tags(_) => Ok(()),
        _ if !property_filter => Err(filter_switched_off()),
        Filter::Unsupported(expression_type) => {
            let refusal = unsupported_filter(&expression_type);
            Err(Refusal { code: code::SUBSCRIPTION_PARSE_FAILED, ..refusal })
        }
        Filter::Sql(_) => Ok(()),
        Filter::Broken(error) => {
            let remark = format!("the SQL92 expression {text:?} is wrong: {error}");
            Err(Refusal::new(code::SUBSCRIPTION_PARSE_FAILED, remark))
        }
    }
}

/// Whether a pull that waits may go on waiting, now that something has changed that was checked
/// when it came. `own`: it brought its subscription along.
///
/// # Errors
/// The answer to the client.
pub fn still_allowed(
    auto_create_group: bool,
    (group_name, group): (&str, Option<&Group>),
    (topic_name, topic): (&str, Option<&Topic>),
    subscriptions: Option<&GroupSubscriptions>,
    own: bool,
) -> Result<(), Refusal> {
    match group {
        Some(group) if !group.consume_enable => return Err(group_forbidden(group_name)),
        None if !auto_create_group && !group_name.starts_with(SYSTEM_GROUP_PREFIX) => {
            return Err(unknown_group(group_name));
        }
        _ => {}
    }
    let topic = topic.ok_or_else(|| unknown_topic(topic_name))?;
    if !topic.is_readable() {
        return Err(topic_forbidden(topic_name));
    }
    let forbids = group.is_some_and(|group| !group.consume_broadcast_enable);
    let broadcasts = |all: &GroupSubscriptions| all.message_model == MessageModel::Broadcasting;
    if forbids && !own && subscriptions.is_some_and(broadcasts) {
        return Err(no_broadcast(group_name));
    }
    Ok(())
}

fn subscribed<'a>(
    header: &PullHeader<'_>,
    group: &Group,
    subscriptions: Option<&'a GroupSubscriptions>,
) -> Result<&'a Filter, Refusal> {
    let subscriptions =
        subscriptions.ok_or_else(|| not_subscribed("the consumer's group info not exist"))?;
    let broadcasting = subscriptions.message_model == MessageModel::Broadcasting;
    if broadcasting && !group.consume_broadcast_enable {
        return Err(no_broadcast(header.consumer_group));
    }
    let subscription = subscriptions
        .topics
        .get(header.topic)
        .ok_or_else(|| not_subscribed("the consumer's subscription not exist"))?;
    if subscription.version < header.sub_version {
        return Err(not_latest());
    }
    Ok(&subscription.filter)
}

/// How long a pull that finds nothing may wait, in milliseconds; `None`: it is answered at once.
/// `short_polling_ms`: the time to wait when longPollingEnable is off.
pub fn suspend_ms(sys_flag: i32, timeout_ms: i64, short_polling_ms: Option<i64>) -> Option<i64> {
    let waits = sys_flag & pull_flag::SUSPEND != 0;
    let time = short_polling_ms.unwrap_or(timeout_ms);
    (waits && time > 0).then_some(time)
}

/// Whether the pull carries its subscription.
pub const fn has_subscription(sys_flag: i32) -> bool {
    sys_flag & pull_flag::SUBSCRIPTION != 0
}

/// Whether the pull carries an offset to store. Do it once, not again when a kept pull wakes up.
pub const fn has_commit(sys_flag: i32) -> bool {
    sys_flag & pull_flag::COMMIT_OFFSET != 0
}

/// How much a pull may read for a client that asks for `messages_max` and, from 5.x on,
/// `bytes_max`. One message may always go, however large.
pub fn limits(messages_max: i32, bytes_max: Option<i32>) -> ReadLimits {
    let messages = usize::try_from(messages_max).unwrap_or(0).clamp(1, MESSAGES_MAX);
    let asked = bytes_max.and_then(|bytes| usize::try_from(bytes).ok()).filter(|bytes| *bytes > 0);
    let bytes = asked.unwrap_or(BYTES_MAX).min(BYTES_MAX);
    ReadLimits { messages, bytes, scan: SCAN_MIN.max(messages) }
}

/// How reading a queue ended, in Java's words, as far as it can end like that here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetStatus {
    Found,
    NoMatchedMessage,
    OffsetOverflowBadly,
    OffsetOverflowOne,
    OffsetTooSmall,
    NoMessageInQueue,
}

impl GetStatus {
    /// The remark of the answer.
    pub const fn name(self) -> &'static str {
        match self {
            GetStatus::Found => "FOUND",
            GetStatus::NoMatchedMessage => "NO_MATCHED_MESSAGE",
            GetStatus::OffsetOverflowBadly => "OFFSET_OVERFLOW_BADLY",
            GetStatus::OffsetOverflowOne => "OFFSET_OVERFLOW_ONE",
            GetStatus::OffsetTooSmall => "OFFSET_TOO_SMALL",
            GetStatus::NoMessageInQueue => "NO_MESSAGE_IN_QUEUE",
        }
    }

    /// The response code of the answer to a pull from `offset`.
    pub const fn response_code(self, offset: i64) -> i32 {
        match self {
            GetStatus::Found => code::SUCCESS,
            GetStatus::NoMatchedMessage => code::PULL_RETRY_IMMEDIATELY,
            GetStatus::OffsetOverflowOne => code::PULL_NOT_FOUND,
            GetStatus::OffsetOverflowBadly | GetStatus::OffsetTooSmall => code::PULL_OFFSET_MOVED,
            GetStatus::NoMessageInQueue => {
                if offset == 0 {
                    code::PULL_NOT_FOUND
                } else {
                    code::PULL_OFFSET_MOVED
                }
            }
        }
    }
}

/// The answer to LITE_PULL_MESSAGE when litePullMessageEnable is off.
#[cold]
pub fn lite_pull_forbidden(broker_ip: &str) -> Refusal {
    let remark = format!("the broker[{broker_ip}] for lite pull consumer is forbidden");
    Refusal::new(code::NO_PERMISSION, remark)
}

/// The answer to a filter that the broker does not have.
#[cold]
fn unsupported_filter(expression_type: &str) -> Refusal {
    Refusal::system_error(format!(
        "The broker does not support consumer to filter message by {expression_type}"
    ))
}

#[cold]
fn filter_switched_off() -> Refusal {
    let mut refusal = unsupported_filter(SQL92);
    refusal.remark.push_str("; set enablePropertyFilter=true in the broker's configuration");
    refusal
}

#[cold]
fn no_filter(error: &SqlError) -> Refusal {
    let remark = format!(
        "The broker's consumer filter data is not exist!Your expression may be wrong! {error}"
    );
    Refusal::new(code::FILTER_DATA_NOT_EXIST, remark)
}

#[cold]
fn broker_forbids(context: &PullContext<'_>) -> Refusal {
    let remark = format!("the broker[{}] pulling message is forbidden", context.broker_ip);
    Refusal::new(code::NO_PERMISSION, remark)
}

#[cold]
fn unknown_group(group: &str) -> Refusal {
    let remark = format!("subscription group [{group}] does not exist, {FAQ}");
    Refusal::new(code::SUBSCRIPTION_GROUP_NOT_EXIST, remark)
}

#[cold]
fn group_forbidden(group: &str) -> Refusal {
    Refusal::new(code::NO_PERMISSION, format!("subscription group no permission, {group}"))
}

#[cold]
fn unknown_topic(topic: &str) -> Refusal {
    let remark = format!("topic[{topic}] not exist, apply first please! {FAQ}");
    Refusal::new(code::TOPIC_NOT_EXIST, remark)
}

#[cold]
fn topic_forbidden(topic: &str) -> Refusal {
    Refusal::new(code::NO_PERMISSION, format!("the topic[{topic}] pulling message is forbidden"))
}

#[cold]
fn illegal_queue(header: &PullHeader<'_>, topic: &Topic, consumer: SocketAddr) -> Refusal {
    Refusal::system_error(format!(
        "queueId[{}] is illegal, topic:[{}] topicConfig.readQueueNums:[{}] consumer:[/{}]",
        header.queue_id, header.topic, topic.read_queues, consumer
    ))
}

fn check_length(header: &PullHeader<'_>) -> Result<(), Refusal> {
    let bytes = header.subscription.map_or(0, str::len);
    if header.expression_type != Some(SQL92) || bytes <= PULLED_EXPRESSION_BYTES_MAX {
        return Ok(());
    }
    let remark = format!(
        "the pull's own SQL92 expression has {bytes} bytes, at most {PULLED_EXPRESSION_BYTES_MAX} \
         are compiled for one pull; subscribe to it by heartbeat, as push consumers do"
    );
    Err(Refusal::new(code::SUBSCRIPTION_PARSE_FAILED, remark))
}

#[cold]
fn parse_failed(error: &FilterError) -> Refusal {
    let remark = format!("parse the consumer's subscription failed: {error}");
    Refusal::new(code::SUBSCRIPTION_PARSE_FAILED, remark)
}

#[cold]
fn not_subscribed(what: &str) -> Refusal {
    Refusal::new(code::SUBSCRIPTION_NOT_EXIST, format!("{what}{FAQ}"))
}

#[cold]
fn no_broadcast(group: &str) -> Refusal {
    let remark = format!("the consumer group[{group}] can not consume by broadcast way");
    Refusal::new(code::NO_PERMISSION, remark)
}

#[cold]
fn not_latest() -> Refusal {
    Refusal::new(code::SUBSCRIPTION_NOT_LATEST, "the consumer's subscription not latest")
}

#[cfg(test)]
mod tests;
