//! Delivering delayed messages: when the next one of a level is due, and what it becomes.
//!
//! The messages of a level lie in one queue of the schedule topic in the order they are due, so a
//! cursor a level is all the state there is.

use ringmq_base::record::Record;

pub use super::delay_levels::{DelayLevelError, DelayLevels, level_of_queue, schedule_queue};
use super::{
    message_properties::{REAL_QUEUE_ID, REAL_TOPIC, Scan, text},
    topic::takes_deliveries,
};

/// What to do about the next entry of a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DelayStep {
    /// Store the message in its real queue; when that is durable, go to the next entry.
    Deliver,
    /// Look again after so many milliseconds, at least 1.
    Wait(i64),
}

/// Decides about the next entry of a level, whose `tagsCode` is its deliver time. A time further
/// away than the level's delay means that the clock or the levels have changed: it is due.
pub fn step(levels: &DelayLevels, level: i32, deliver_time: i64, now: i64) -> DelayStep {
    let wait = deliver_time.saturating_sub(now);
    let longest = levels.deliver_time(level, 0);
    if wait <= 0 || wait > longest { DelayStep::Deliver } else { DelayStep::Wait(wait) }
}

/// A cursor that lies within its queue, after the queue or the cursor lost something.
pub fn corrected_offset(offset: i64, min: i64, max: i64) -> i64 {
    offset.min(max).max(min)
}

/// What a due message becomes; body, flags, times, hosts and reconsume times stay those of the
/// record. The properties stay as they are, DELAY, REAL_TOPIC and REAL_QID among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueMessage<'a> {
    pub topic: &'a str,
    pub queue_id: i32,
    pub tags_code: i64,
    pub properties: &'a [u8],
}

/// Why a due message cannot be delivered: it is passed over, as in Java, and worth a line in the
/// log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DueError {
    #[error("a message of the schedule topic has no {REAL_TOPIC}")]
    NoTopic,
    #[error("a delayed message for topic {topic} has {queue_id:?} for its {REAL_QUEUE_ID}")]
    Queue { topic: String, queue_id: Option<String> },
    #[error("a delayed message is for {topic:?}, which is the broker's own: nobody may send there")]
    System { topic: String },
}

/// What the message of a due entry becomes.
///
/// # Errors
/// If its properties do not say where it belongs.
pub fn due_message<'a>(record: &Record<'a>) -> Result<DueMessage<'a>, DueError> {
    let properties = record.properties;
    let topic = text(properties, REAL_TOPIC).ok_or(DueError::NoTopic)?;
    // Whatever the properties say: the broker itself takes messages from there and acts on them.
    if !takes_deliveries(topic) {
        return Err(DueError::System { topic: topic.to_owned() });
    }
    let queue_id = text(properties, REAL_QUEUE_ID);
    let parsed = queue_id.and_then(|queue| queue.parse().ok()).filter(|queue: &i32| *queue >= 0);
    let queue_id = parsed.ok_or_else(|| DueError::Queue {
        topic: topic.to_owned(),
        queue_id: queue_id.map(str::to_owned),
    })?;
    Ok(DueMessage { topic, queue_id, tags_code: Scan::of(properties).tags_code(), properties })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record<'a>(properties: &'a [u8]) -> Record<'a> {
        let host = "10.0.0.1:10911".parse().expect("address");
        Record {
            size: 0,
            body_crc: 0,
            queue_id: 2,
            flag: 0,
            queue_offset: 0,
            physical_offset: 0,
            sys_flag: 0,
            born_timestamp: 0,
            born_host: host,
            store_timestamp: 0,
            store_host: host,
            reconsume_times: 1,
            prepared_transaction_offset: 0,
            body: b"",
            topic: "SCHEDULE_TOPIC_XXXX",
            properties,
        }
    }

    #[test]
    fn a_message_waits_for_its_time_and_not_longer_than_its_level() {
        let levels = DelayLevels::default();
        assert_eq!(step(&levels, 3, 10_000, 10_000), DelayStep::Deliver);
        assert_eq!(step(&levels, 3, 9_000, 10_000), DelayStep::Deliver);
        assert_eq!(step(&levels, 3, 20_000, 10_000), DelayStep::Wait(10_000));
        assert_eq!(step(&levels, 3, 20_001, 10_000), DelayStep::Deliver);
        assert_eq!(step(&levels, 3, i64::MAX, -1), DelayStep::Deliver);
    }

    #[test]
    fn a_due_message_goes_to_its_real_queue_with_all_its_properties() {
        let properties = b"TAGS\x01a\x02DELAY\x013\x02REAL_TOPIC\x01T\x02REAL_QID\x017";
        let record = record(properties);
        let due = due_message(&record).expect("complete");
        assert_eq!((due.topic, due.queue_id, due.tags_code), ("T", 7, 97));
        assert_eq!(due.properties, properties);
    }

    #[test]
    fn messages_without_a_place_to_go_are_passed_over() {
        let error = |properties| due_message(&record(properties)).expect_err("no place");
        assert_eq!(error(b"TAGS\x01a\x02"), DueError::NoTopic);
        assert!(matches!(error(b"REAL_TOPIC\x01T\x02"), DueError::Queue { queue_id: None, .. }));
        assert!(matches!(error(b"REAL_TOPIC\x01T\x02REAL_QID\x01-1"), DueError::Queue { .. }));
    }

    #[test]
    fn nothing_is_delivered_into_a_topic_that_the_broker_reads() {
        for topic in [
            "SCHEDULE_TOPIC_XXXX",
            "RMQ_SYS_TRANS_HALF_TOPIC",
            "RMQ_SYS_TRANS_OP_HALF_TOPIC",
            "TRANS_CHECK_MAX_TIME_TOPIC",
            "OFFSET_MOVED_EVENT",
            "rmq_sys_wheel_timer",
        ] {
            let properties =
                format!("REAL_TOPIC\u{1}T\u{2}REAL_TOPIC\u{1}{topic}\u{2}REAL_QID\u{1}0");
            let error = due_message(&record(properties.as_bytes())).expect_err("a system topic");
            assert_eq!(error, DueError::System { topic: topic.to_owned() });
        }
        // Clients may send there, and so may be sent there later.
        let properties = b"REAL_TOPIC\x01BenchmarkTest\x02REAL_QID\x010";
        assert!(due_message(&record(properties)).is_ok());
    }

    #[test]
    fn a_cursor_outside_of_its_queue_moves_into_it() {
        assert_eq!(corrected_offset(5, 0, 10), 5);
        assert_eq!(corrected_offset(5, 7, 10), 7);
        assert_eq!(corrected_offset(15, 7, 10), 10);
    }
}
