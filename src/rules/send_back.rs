//! CONSUMER_SEND_MSG_BACK (request code 36): a consumer gives a message back, to get it again later
//! or, after too many times, to have it in the group's dead letter topic.

use ringmq_base::{limits::TOPIC_BYTES_MAX, record::Record};
use ringmq_remoting::codes::version::V3_4_9;

use super::{
    delay_levels::{DelayLevels, schedule_queue},
    group::Group,
    message_properties::{
        self as properties, DELAY, Names, ORIGIN_MESSAGE_ID, PropertiesWriter, PropertyError,
        RETRY_TOPIC, Scan, WAIT,
    },
    names::Name,
    refusal::{FAQ, Refusal, code},
    topic::{DLQ_PREFIX, PERM_WRITE, RETRY_PREFIX, Topic},
};

/// A message that a consumer gave back for the n-th time waits for level 3 + n.
const FIRST_RETRY_LEVEL: i32 = 3;

/// What the request says.
#[derive(Clone, Copy, Debug)]
pub struct SendBackRequest<'a> {
    pub group: &'a str,
    /// Physical offset of the message.
    pub offset: i64,
    /// Below 0: to the dead letter topic; 0: the broker chooses.
    pub delay_level: i32,
    pub max_reconsume_times: Option<i32>,
    /// Version of the client.
    pub version: i32,
}

/// What to do before the message is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendBackStep {
    /// Make the retry topic with so many queues unless it is there, and load the message.
    Load { retry_queues: i32 },
    /// The group retries nothing: answer SUCCESS.
    Drop,
}

/// Where the message goes, given its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendBack<'a> {
    pub group: &'a str,
    /// The real topic is the group's dead letter topic (1 queue), which must be there; else its
    /// retry topic.
    pub dead_letter: bool,
    /// The queue of the real topic.
    pub real_queue_id: i32,
    /// Store the message in `SCHEDULE_TOPIC_XXXX` for this level, not in the real topic.
    pub level: Option<i32>,
    /// What the property DELAY says.
    delay_property: i32,
    /// For the schedule topic the time to deliver, else the hash of the tag.
    pub tags_code: i64,
    pub reconsume_times: i32,
}

/// The checks that need no message. `group` is `None` if it is not there even after trying to make
/// it.
///
/// # Errors
/// The answer to the client.
pub fn check(
    request: &SendBackRequest<'_>,
    group: Option<&Group>,
    broker_permission: i32,
    broker_ip: &str,
) -> Result<SendBackStep, Refusal> {
    // A store of an older version may have groups whose names are not taken any more.
    Name::Group.check(request.group)?;
    let Some(group) = group else {
        let remark = format!("subscription group not exist, {} {FAQ}", request.group);
        return Err(Refusal::new(code::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
    };
    if broker_permission & PERM_WRITE == 0 {
        let remark = format!("the broker[{broker_ip}] sending message is forbidden");
        return Err(Refusal::new(code::NO_PERMISSION, remark));
    }
    Ok(match group.retry_queues {
        ..=0 => SendBackStep::Drop,
        retry_queues => SendBackStep::Load { retry_queues },
    })
}

/// The check of the retry topic, once it is there.
///
/// # Errors
/// The answer to the client.
pub fn check_retry_topic(topic: &Topic) -> Result<(), Refusal> {
    if topic.is_writable() {
        return Ok(());
    }
    let remark = format!("the topic[{}] sending message is forbidden", topic.name);
    Err(Refusal::new(code::NO_PERMISSION, remark))
}

/// The answer if there is no message at the offset.
#[cold]
pub fn message_not_found(offset: i64) -> Refusal {
    Refusal::system_error(format!("look message by offset failed, {offset}"))
}

/// Decides where the message goes. `retry_queues`: those of the retry topic that can be written to;
/// `random`: a fresh random number.
///
/// # Errors
/// The answer to the client, if the topic's name would be longer than the field of a record for it.
pub fn decide<'a>(
    request: &SendBackRequest<'a>,
    (group, retry_queues): (&Group, i32),
    record: &Record<'_>,
    levels: &DelayLevels,
    now: i64,
    random: u32,
) -> Result<SendBack<'a>, Refusal> {
    let asked = request.max_reconsume_times;
    let asked = asked.filter(|_| request.version >= V3_4_9);
    let max = asked.unwrap_or(group.retry_max_times);
    let dead_letter = record.reconsume_times >= max || request.delay_level < 0;
    let queues = u32::try_from(group.retry_queues.min(retry_queues)).unwrap_or(1).max(1);
    let delay_property = match request.delay_level {
        _ if dead_letter => 0,
        0 => FIRST_RETRY_LEVEL.saturating_add(record.reconsume_times),
        level => level,
    };
    let level = levels.effective(delay_property);
    let tags_code = match level {
        Some(level) => levels.deliver_time(level, now),
        None => Scan::of(record.properties).tags_code(),
    };
    let decision = SendBack {
        group: request.group,
        dead_letter,
        real_queue_id: if dead_letter { 0 } else { i32::try_from(random % queues).unwrap_or(0) },
        level,
        delay_property: level.unwrap_or(delay_property),
        tags_code,
        reconsume_times: record.reconsume_times.saturating_add(1),
    };
    decision.check_topic_length()?;
    Ok(decision)
}

/// The answer if the store does not take the message: as in Java, whose code is the same for all
/// reasons and whose remark begins with the reason's name.
#[cold]
pub fn not_stored(refusal: Refusal) -> Refusal {
    if refusal.code != code::MESSAGE_ILLEGAL {
        return refusal;
    }
    Refusal::system_error(format!("MESSAGE_ILLEGAL: {}", refusal.remark))
}

impl SendBack<'_> {
    fn check_topic_length(&self) -> Result<(), Refusal> {
        let (prefix, limit) = (self.prefix(), TOPIC_BYTES_MAX);
        let bytes = prefix.len() + self.group.len();
        if bytes <= limit {
            return Ok(());
        }
        Err(not_stored(Refusal::new(
            code::MESSAGE_ILLEGAL,
            format!(
                "the topic {prefix}{} has {bytes} bytes, the limit is {limit}: use a group name \
                 of at most {} bytes",
                self.group,
                limit - RETRY_PREFIX.len()
            ),
        )))
    }

    /// The topic that the message is for.
    pub fn real_topic(&self) -> String {
        [self.prefix(), self.group].concat()
    }

    /// The queue to store the message in: of the schedule topic if there is a level.
    pub fn queue_id(&self) -> i32 {
        self.level.map_or(self.real_queue_id, schedule_queue)
    }

    /// Appends the properties of the new message to `out`. `message_id` is the offsetMsgId of the
    /// record; only a message that comes back for the first time needs it.
    ///
    /// # Errors
    /// If a name would break out of its property.
    pub fn write_properties(
        &self,
        record: &Record<'_>,
        message_id: impl FnOnce() -> String,
        out: &mut Vec<u8>,
    ) -> Result<(), PropertyError> {
        let scan = Scan::of(record.properties);
        let mut dropped = Names::DELAY.and(Names::WAIT).and(Names::ORIGIN_MESSAGE_ID);
        if self.level.is_some() {
            dropped = dropped.and(Names::REAL_TOPIC).and(Names::REAL_QUEUE_ID);
        }
        let mut writer = PropertiesWriter::new(out);
        writer.copy_without(record.properties, &scan, dropped);
        if !scan.present.intersects(Names::RETRY_TOPIC) {
            writer.put(RETRY_TOPIC, record.topic.as_bytes())?;
        }
        writer.put(WAIT, b"false")?;
        writer.put_number(DELAY, self.delay_property)?;
        match properties::value(record.properties, ORIGIN_MESSAGE_ID) {
            Some(origin) if !origin.trim_ascii().is_empty() => {
                writer.put(ORIGIN_MESSAGE_ID, origin)?;
            }
            _ => writer.put(ORIGIN_MESSAGE_ID, message_id().as_bytes())?,
        }
        if self.level.is_some() {
            writer.put_real([self.prefix(), self.group], self.real_queue_id)?;
        }
        Ok(())
    }

    fn prefix(&self) -> &'static str {
        if self.dead_letter { DLQ_PREFIX } else { RETRY_PREFIX }
    }
}

#[cfg(test)]
mod tests;
