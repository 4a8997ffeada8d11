//! What becomes of a send (request codes 10, 310 and 320): every check of the Java broker between
//! the header and the commit log, in its order and with its texts.
//!
//! Nothing here allocates or formats for a message that passes.

use std::net::SocketAddr;

use ringmq_base::limits::{PROPERTIES_BYTES_MAX, TOPIC_BYTES_MAX};
use ringmq_remoting::codes::{property::TIMER_OUT_MS, sys_flag, version::V3_4_9};

use super::{
    delay_levels::{DelayLevels, schedule_queue},
    group::{Group, SYSTEM_GROUP_PREFIX},
    message_properties::{
        self as properties, DELAY, Names, PropertiesWriter, PropertyError, REAL_QUEUE_ID,
        REAL_TOPIC, Scan, bytes_of,
    },
    message_type::MessageType,
    own_properties::OwnProperties,
    refusal::{FAQ, Refusal, code},
    timer::{self, DueTime, TimerLimits},
    topic::{
        DLQ_PREFIX, HALF_TOPIC, PERM_WRITE, SCHEDULE_TOPIC, TIMER_TOPIC, Topic, TopicFilterType,
        is_not_allowed_send_topic, retry_group, validate_topic,
    },
    transaction_rules::TransactionRules,
};

/// What a send says, as its header has it.
#[derive(Clone, Copy, Debug)]
pub struct SendRequest<'a> {
    pub topic: &'a str,
    /// Below 0: any queue.
    pub queue_id: i32,
    pub sys_flag: i32,
    pub properties: &'a [u8],
    pub body_bytes: usize,
    pub reconsume_times: i32,
    pub max_reconsume_times: Option<i32>,
    pub batch: bool,
    /// Version of the client.
    pub version: i32,
    pub producer: SocketAddr,
}

/// What the broker knows that does not depend on the message.
#[derive(Clone, Copy, Debug)]
pub struct SendContext<'a> {
    pub broker_permission: i32,
    /// startAcceptSendRequestTimeStamp: milliseconds since 1970.
    pub accept_from: i64,
    /// brokerIP1.
    pub broker_ip: &'a str,
    pub transactions: &'a TransactionRules,
    /// maxMessageSize.
    pub body_bytes_max: usize,
    pub auto_create_group: bool,
    pub own_properties: &'a OwnProperties,
    pub delay_levels: &'a DelayLevels,
    pub timers: TimerLimits,
    /// Milliseconds since 1970.
    pub now: i64,
    /// A fresh random number.
    pub random: u32,
}

/// What to do about a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendDecision<'a> {
    Store(SendPlan<'a>),
    /// The topic is not there: make it if the rules allow, and check again.
    CreateTopic,
    /// This group, whose retry topic the message goes to, is not there: make it and check again.
    CreateGroup(&'a str),
}

/// Which topic a message is stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// The one it was sent to.
    Requested,
    /// The dead letter topic of this group.
    DeadLetter(&'a str),
    /// `SCHEDULE_TOPIC_XXXX`.
    Schedule,
    /// `RMQ_SYS_TRANS_HALF_TOPIC`.
    Half,
    /// `rmq_sys_wheel_timer`, in the queue that is on the log of the real one.
    Timer,
}

/// How a message is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendPlan<'a> {
    pub target: Target<'a>,
    /// The queue of the target; for [`Target::Timer`] the real one; of the half topic the broker
    /// says, see [`SendPlan::real_queue`].
    pub queue_id: i32,
    /// The queue that the reply names.
    pub reply_queue_id: i32,
    /// The message is for the dead letter topic of this group, now or when its delay is over: make
    /// the topic (1 queue, readable and writable) unless it is there.
    pub dead_letter: Option<&'a str>,
    pub sys_flag: i32,
    /// For the schedule and the timer topic the time to deliver, for the half topic the time from
    /// which on the producer is asked, else the hash of the tag.
    pub tags_code: i64,
    /// When a message of the timer topic is due.
    pub timer: Option<DueTime>,
    /// Whether the producer waits for storage and replication.
    pub waits_for_store: bool,
    /// Bytes that [`SendPlan::write_properties`] writes.
    pub properties_bytes: usize,
    edit: Edit<'a>,
}

/// How the stored properties differ from those sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Edit<'a> {
    scan: Scan<'a>,
    dropped: Names,
    /// A delay level to put in place of the one beyond the highest.
    level: Option<i32>,
    /// Prefix and rest of the real topic's name, and the real queue, if the target is another.
    real: Option<([&'a str; 2], i32)>,
}

/// Checks a send. `topic` is the configuration of the topic sent to; `group` that of the group
/// whose retry topic it is, and not looked at for other topics.
///
/// # Errors
/// The answer to the client.
#[inline]
pub fn check<'a>(
    context: &SendContext<'_>,
    request: &SendRequest<'a>,
    topic: Option<&Topic>,
    group: Option<&Group>,
) -> Result<SendDecision<'a>, Refusal> {
    if context.now < context.accept_from {
        return Err(not_yet(context));
    }
    // Only topics that are not there, or that the broker guards, need their name looked at: what
    // is there has a valid name, except for retry topics of long groups.
    if context.broker_permission & PERM_WRITE == 0 && topic.is_some_and(|topic| topic.order) {
        return Err(broker_forbids(context));
    }
    let retry = retry_group(request.topic);
    if topic.is_none() || request.topic.len() > TOPIC_BYTES_MAX {
        validate_topic(request.topic)?;
    }
    // The broker delivers what is in the timer topic, so that nobody else puts anything there.
    if is_not_allowed_send_topic(request.topic) || request.topic == TIMER_TOPIC {
        return Err(not_sendable(request.topic));
    }
    let Some(topic) = topic else {
        return Ok(SendDecision::CreateTopic);
    };
    if request.queue_id >= topic.queues() {
        return Err(illegal_queue(request, topic));
    }
    let reply_queue_id = match u32::try_from(topic.write_queues) {
        _ if request.queue_id >= 0 => request.queue_id,
        Ok(queues @ 1..) => i32::try_from(context.random % queues).expect("below an i32"),
        _ => return Err(no_write_queue(topic)),
    };
    let dead_letter = match retry {
        None => None,
        Some(name) => {
            if request.batch {
                return Err(batch_to_retry(request.topic));
            }
            match group {
                Some(group) if is_exhausted(request, group) => Some(name),
                Some(_) => None,
                None if context.auto_create_group || name.starts_with(SYSTEM_GROUP_PREFIX) => {
                    return Ok(SendDecision::CreateGroup(name));
                }
                None => return Err(unknown_group(name)),
            }
        }
    };
    plan(context, request, topic, reply_queue_id, dead_letter)
}

fn plan<'a>(
    context: &SendContext<'_>,
    request: &SendRequest<'a>,
    topic: &Topic,
    reply_queue_id: i32,
    dead_letter: Option<&'a str>,
) -> Result<SendDecision<'a>, Refusal> {
    let scan = Scan::of(request.properties);
    let mut flags = request.sys_flag;
    if topic.filter_type == TopicFilterType::MultiTag {
        flags |= sys_flag::MULTI_TAGS;
    }
    let (target, queue_id) = match dead_letter {
        Some(group) => (Target::DeadLetter(group), 0),
        None => (Target::Requested, reply_queue_id),
    };
    let mut plan = SendPlan {
        target,
        queue_id,
        reply_queue_id,
        dead_letter,
        sys_flag: flags,
        tags_code: scan.tags_code(),
        timer: None,
        waits_for_store: scan.waits_for_store,
        properties_bytes: 0,
        edit: Edit {
            scan,
            dropped: Names::WAIT.and(context.own_properties.names),
            level: None,
            real: None,
        },
    };
    if request.batch {
        // As in Java, the messages of a batch keep what the request says of all of them.
        plan.edit.dropped = context.own_properties.names;
        check_batch(context, request, &plan)?;
    } else {
        if scan.transaction {
            plan.hold_half(context, request)?;
        } else if scan.asks_for_delay() {
            plan.keep_back(context, request)?;
        }
    }
    plan.properties_bytes = plan.edited_bytes(request.properties, context.own_properties);
    if plan.properties_bytes > PROPERTIES_BYTES_MAX || request.body_bytes > context.body_bytes_max {
        return Err(illegal_message(context.body_bytes_max));
    }
    Ok(SendDecision::Store(plan))
}

impl<'a> SendPlan<'a> {
    /// What metrics count it as.
    #[inline]
    pub fn message_type(&self) -> MessageType {
        self.edit.scan.message_type()
    }

    /// The half of a transaction: kept aside, with its real place in its properties.
    #[cold]
    fn hold_half(
        &mut self,
        context: &SendContext<'_>,
        request: &SendRequest<'a>,
    ) -> Result<(), Refusal> {
        if context.transactions.reject {
            let remark = format!(
                "the broker[{}] sending transaction message is forbidden",
                context.broker_ip
            );
            return Err(Refusal::new(code::NO_PERMISSION, remark));
        }
        self.refuse_delay(context, request)?;
        self.move_to(Target::Half, 0, request);
        self.sys_flag = sys_flag::with_transaction_value(self.sys_flag, 0);
        self.tags_code = context.transactions.check_from(request.properties, context.now);
        Ok(())
    }

    /// A half message cannot be delayed besides, and is not stored as if nothing were asked.
    fn refuse_delay(
        &self,
        context: &SendContext<'_>,
        request: &SendRequest<'a>,
    ) -> Result<(), Refusal> {
        if self.edit.scan.asks_for_time() {
            return Err(Refusal::new(
                code::MESSAGE_ILLEGAL,
                "the message is illegal: a transactional message has a time of its own (property \
                 TIMER_*); send it without, for transactions and delays do not combine",
            ));
        }
        let asked = properties::value(request.properties, DELAY).map(parse_level).transpose()?;
        match asked.and_then(|asked| context.delay_levels.effective(asked)) {
            None => Ok(()),
            Some(level) => Err(Refusal::new(
                code::MESSAGE_ILLEGAL,
                format!(
                    "the message is illegal: a transactional message has the delay level {level} \
                     (property DELAY); send it without, for transactions and delays do not combine"
                ),
            )),
        }
    }

    /// A delayed message: kept in the schedule or the timer topic, with its real place in its
    /// properties. A level goes before a time, as in Java.
    #[cold]
    fn keep_back(
        &mut self,
        context: &SendContext<'_>,
        request: &SendRequest<'a>,
    ) -> Result<(), Refusal> {
        let level = properties::value(request.properties, DELAY).map(parse_level).transpose()?;
        let transaction = sys_flag::transaction_value(self.sys_flag);
        if !matches!(transaction, 0 | sys_flag::TRANSACTION_COMMIT_TYPE) {
            return Ok(());
        }
        let effective = level.and_then(|level| context.delay_levels.effective(level));
        match (level, effective) {
            (Some(_), Some(_)) if self.edit.scan.cancels => Err(timer::illegal(&context.timers)),
            (Some(asked), Some(level)) => {
                self.delay(context, request, asked, level);
                Ok(())
            }
            _ => self.time(context, request),
        }
    }

    fn time(
        &mut self,
        context: &SendContext<'_>,
        request: &SendRequest<'a>,
    ) -> Result<(), Refusal> {
        let due = timer::due_time(request.properties, &context.timers, context.now)?;
        if let Some(due) = due {
            self.move_to(Target::Timer, self.queue_id, request);
            self.tags_code = due.tags_code();
            self.timer = Some(due);
        }
        Ok(())
    }

    fn delay(
        &mut self,
        context: &SendContext<'_>,
        request: &SendRequest<'a>,
        asked: i32,
        level: i32,
    ) {
        self.move_to(Target::Schedule, schedule_queue(level), request);
        self.tags_code = context.delay_levels.deliver_time(level, context.now);
        self.edit.dropped = self.edit.dropped.and(Names::TIMER);
        if level != asked {
            self.edit.level = Some(level);
            self.edit.dropped = self.edit.dropped.and(Names::DELAY);
        }
    }

    /// As in Java, WAIT stays among the properties of a message that waits elsewhere.
    fn move_to(&mut self, target: Target<'a>, queue_id: i32, request: &SendRequest<'a>) {
        let real = match self.target {
            Target::DeadLetter(group) => [DLQ_PREFIX, group],
            _ => ["", request.topic],
        };
        self.edit.real = Some((real, self.queue_id));
        let dropped = self.edit.dropped.without(Names::WAIT);
        self.edit.dropped = dropped.and(Names::REAL_TOPIC).and(Names::REAL_QUEUE_ID);
        (self.target, self.queue_id) = (target, queue_id);
    }

    fn edited_bytes(&self, sent: &[u8], own: &OwnProperties) -> usize {
        let edit = &self.edit;
        let kept = properties::bytes_without(sent, &edit.scan, edit.dropped);
        let level = edit.level.map_or(0, |level| bytes_of(DELAY, digits(level)));
        let real = edit.real.map_or(0, |(topic, queue)| {
            let topic_bytes = topic.iter().map(|part| part.len()).sum();
            bytes_of(REAL_TOPIC, topic_bytes) + bytes_of(REAL_QUEUE_ID, digits(queue))
        });
        let out = self.timer.map_or(0, |due| bytes_of(TIMER_OUT_MS, digits(due.out_ms)));
        kept + level + real + out + own.text.len()
    }

    /// Appends the properties to store: `sent` are those of the request that was checked.
    ///
    /// # Errors
    /// If the name of the topic would break out of its property.
    pub fn write_properties(
        &self,
        sent: &[u8],
        own: &OwnProperties,
        out: &mut Vec<u8>,
    ) -> Result<(), PropertyError> {
        let edit = &self.edit;
        let mut writer = PropertiesWriter::new(out);
        writer.copy_without(sent, &edit.scan, edit.dropped);
        writer.copy(&own.text);
        if let Some(level) = edit.level {
            writer.put_number(DELAY, level)?;
        }
        if let Some((topic, queue)) = edit.real {
            writer.put_real(topic, queue)?;
        }
        if let Some(due) = self.timer {
            writer.put_number(TIMER_OUT_MS, due.out_ms)?;
        }
        Ok(())
    }

    /// The queue that the message is for, if it waits in another topic; of the requested topic, or
    /// of the dead letter topic.
    pub fn real_queue(&self) -> Option<i32> {
        self.edit.real.map(|(_, queue)| queue)
    }

    /// The name of the topic that the message is stored in, unless it is the requested one or a
    /// dead letter topic, whose name is made of the group's.
    pub fn system_topic(&self) -> Option<&'static str> {
        match self.target {
            Target::Schedule => Some(SCHEDULE_TOPIC),
            Target::Half => Some(HALF_TOPIC),
            Target::Timer => Some(TIMER_TOPIC),
            Target::Requested | Target::DeadLetter(_) => None,
        }
    }
}

fn digits(number: impl itoa::Integer) -> usize {
    itoa::Buffer::new().format(number).len()
}

/// As in Java, a batch has no part in a transaction and is not delayed.
fn check_batch(
    context: &SendContext<'_>,
    request: &SendRequest<'_>,
    plan: &SendPlan<'_>,
) -> Result<(), Refusal> {
    let delay = properties::value(request.properties, DELAY).map(parse_level).transpose()?;
    if plan.edit.scan.asks_for_time() {
        return Err(timer::in_batch());
    }
    if delay.is_some_and(|level| level > 0) || sys_flag::transaction_value(plan.sys_flag) != 0 {
        return Err(illegal_message(context.body_bytes_max));
    }
    Ok(())
}

/// A delay level as Java reads it: a failure is an exception there, so an error here.
fn parse_level(delay: &[u8]) -> Result<i32, Refusal> {
    let level = std::str::from_utf8(delay).ok().and_then(|text| text.parse().ok());
    level.ok_or_else(|| {
        let text = String::from_utf8_lossy(delay);
        let remark = format!("the property DELAY is {text:?}; it must be a delay level, 1 or more");
        Refusal::system_error(remark)
    })
}

/// Whether a message sent to a retry topic has been consumed often enough. The header's limit
/// means something for retry topics only.
fn is_exhausted(request: &SendRequest<'_>, group: &Group) -> bool {
    let asked = request.max_reconsume_times;
    let asked = asked.filter(|_| request.version >= V3_4_9);
    request.reconsume_times >= asked.unwrap_or(group.retry_max_times)
}

#[cold]
fn not_yet(context: &SendContext<'_>) -> Refusal {
    Refusal::system_error(format!(
        "broker unable to service, until {} (milliseconds since 1970, from the key \
         startAcceptSendRequestTimeStamp; it is {} now)",
        context.accept_from, context.now
    ))
}

#[cold]
fn broker_forbids(context: &SendContext<'_>) -> Refusal {
    let remark = format!("the broker[{}] sending message is forbidden", context.broker_ip);
    Refusal::new(code::NO_PERMISSION, remark)
}

#[cold]
fn not_sendable(topic: &str) -> Refusal {
    let remark = format!("Sending message to topic[{topic}] is forbidden.");
    Refusal::new(code::NO_PERMISSION, remark)
}

#[cold]
fn illegal_queue(request: &SendRequest<'_>, topic: &Topic) -> Refusal {
    Refusal::system_error(format!(
        "request queueId[{}] is illegal, {} Producer: {}",
        request.queue_id,
        topic.describe(),
        request.producer
    ))
}

#[cold]
fn no_write_queue(topic: &Topic) -> Refusal {
    Refusal::system_error(format!(
        "topic[{}] has no queue to write to; give it some (mqadmin updateTopic -w)",
        topic.name
    ))
}

#[cold]
fn batch_to_retry(topic: &str) -> Refusal {
    let remark = format!("batch request does not support retry group {topic}");
    Refusal::new(code::MESSAGE_ILLEGAL, remark)
}

#[cold]
fn unknown_group(group: &str) -> Refusal {
    let remark = format!("subscription group not exist, {group} {FAQ}");
    Refusal::new(code::SUBSCRIPTION_GROUP_NOT_EXIST, remark)
}

/// The answer to a message, or to the sum of a batch's records, that is too large.
#[cold]
pub fn illegal_message(body_bytes_max: usize) -> Refusal {
    let remark = format!(
        "the message is illegal, maybe msg body or properties length not matched. msg body length \
         limit {body_bytes_max}B, msg properties length limit 32KB."
    );
    Refusal::new(code::MESSAGE_ILLEGAL, remark)
}

/// The answer to a send whose topic is not there and may not be made.
#[cold]
pub fn unknown_topic(topic: &str) -> Refusal {
    let remark = format!("topic[{topic}] not exist, apply first please!{FAQ}");
    Refusal::new(code::TOPIC_NOT_EXIST, remark)
}

#[cfg(test)]
mod tests;
