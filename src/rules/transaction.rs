//! Transactions: what a half message is, what ends it, and what its end leaves in the log.
//!
//! A half message lies in the half topic, in the queue of the log that has its real queue. What
//! ends it is a record of the operation topic in the same log: the *decision*, which names the half
//! by its queue offset. A commit, and giving a half up after too many checks, store a message
//! besides, directly behind the decision and as one unit with it; the decision says where, so that
//! a start can tell from the last decision of a log whether the message behind it was lost.

mod check;
mod half_queue;
mod sweeps;

use std::borrow::Cow;

use ringmq_base::record::Record;
use ringmq_remoting::{
    codes::{
        property::{PRODUCER_GROUP, TAGS, UNIQ_KEY},
        sys_flag,
    },
    headers::produce::EndTransactionRequestHeader,
};

pub use self::{
    check::{CheckStep, Checked, check_properties, step},
    half_queue::HalfQueue,
    sweeps::{Sweep, Sweeps},
};
pub use super::transaction_rules::TransactionRules;
use super::{
    message_properties::{self as properties, PropertiesWriter, REAL_QUEUE_ID, REAL_TOPIC, Scan},
    refusal::Refusal,
    topic::{CHECKED_OUT_TOPIC, HALF_TOPIC, is_not_allowed_send_topic},
};

/// Tag of the records of the operation topic. Source: `TransactionalMessageUtil.REMOVETAG`.
const DECIDED_TAG: &[u8] = b"d";
/// Property of a decision: the queue offset of the message that is stored with it.
const STORED_OFFSET: &str = "STORED_OFFSET";

/// What a producer, or nobody for too long, has decided about a half message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Commit,
    Rollback,
    /// Checked too often, or too old: it goes to the topic for those.
    GiveUp,
}

/// What END_TRANSACTION asks for; `None`: the producer does not know yet.
///
/// # Errors
/// If it is nothing that Java knows.
pub fn asked(header: &EndTransactionRequestHeader) -> Result<Option<Decision>, Refusal> {
    match header.commit_or_rollback {
        sys_flag::TRANSACTION_NOT_TYPE => Ok(None),
        sys_flag::TRANSACTION_COMMIT_TYPE => Ok(Some(Decision::Commit)),
        sys_flag::TRANSACTION_ROLLBACK_TYPE => Ok(Some(Decision::Rollback)),
        _ => Err(Refusal::system_error("commitOrRollback field wrong")),
    }
}

/// A half message as it lies in its log.
#[derive(Clone, Copy, Debug)]
pub struct Half<'a> {
    pub record: &'a Record<'a>,
    pub real_topic: &'a str,
    pub real_queue: i32,
    /// Of its producer.
    pub group: &'a str,
}

impl<'a> Half<'a> {
    /// # Errors
    /// If the record is no half message.
    pub fn of(record: &'a Record<'a>) -> Result<Half<'a>, Refusal> {
        Half::in_topic(record, HALF_TOPIC)
    }

    /// What was given up, to be asked for anew: a new half message is made of it.
    ///
    /// # Errors
    /// If the record is something else.
    pub fn given_up(record: &'a Record<'a>) -> Result<Half<'a>, Refusal> {
        if record.topic == HALF_TOPIC {
            return Err(Refusal::system_error(format!(
                "half message {} is not given up: its producer is asked for it until it is \
                 decided; name a message of {CHECKED_OUT_TOPIC}",
                record.queue_offset
            )));
        }
        Half::in_topic(record, CHECKED_OUT_TOPIC)
    }

    fn in_topic(record: &'a Record<'a>, topic: &str) -> Result<Half<'a>, Refusal> {
        let text = |name| properties::text(record.properties, name);
        let real_queue = text(REAL_QUEUE_ID).and_then(|queue| queue.parse().ok());
        match (text(REAL_TOPIC).filter(|topic| !is_not_allowed_send_topic(topic)), real_queue) {
            (Some(real_topic), Some(real_queue)) if record.topic == topic => {
                let group = text(PRODUCER_GROUP).unwrap_or_default();
                Ok(Half { record, real_topic, real_queue, group })
            }
            _ => Err(no_half()),
        }
    }

    /// Compares it with what END_TRANSACTION says of it, as `checkPrepareMessage`.
    ///
    /// # Errors
    /// The answer to the producer.
    pub fn check(&self, header: &EndTransactionRequestHeader) -> Result<(), Refusal> {
        let wrong = |what| Err(Refusal::system_error(what));
        match header {
            header if header.producer_group != self.group => wrong("The producer group wrong"),
            header if header.tran_state_table_offset != self.record.queue_offset => {
                wrong("The transaction state table offset wrong")
            }
            header if header.commit_log_offset != self.record.physical_offset => {
                wrong("The commit log offset wrong")
            }
            _ => Ok(()),
        }
    }

    /// The client's id of the message, which is that of the transaction.
    pub fn unique_key(&self) -> Option<&'a str> {
        properties::text(self.record.properties, UNIQ_KEY)
    }

    /// What committing makes of the half's system flag.
    pub fn committed_flag(&self) -> i32 {
        let commit = sys_flag::TRANSACTION_COMMIT_TYPE;
        sys_flag::with_transaction_value(self.record.sys_flag, commit)
    }

    pub fn tags_code(&self) -> i64 {
        Scan::of(self.record.properties).tags_code()
    }

    /// The properties of what is stored in a topic when the half ends there.
    pub fn ended_properties(&self, topic: &str, rules: &TransactionRules) -> Cow<'a, [u8]> {
        match topic {
            CHECKED_OUT_TOPIC => check_properties(self.record.properties, rules.checks_max).into(),
            _ => self.record.properties.into(),
        }
    }
}

/// The answer to an end of what is no half message, or is there no more.
#[cold]
pub fn no_half() -> Refusal {
    Refusal::system_error("Find prepared transaction message failed")
}

/// The answer to a second end.
#[cold]
pub fn is_decided(offset: i64) -> Refusal {
    Refusal::system_error(format!(
        "the transaction of half message {offset} is decided already; a decision is for ever"
    ))
}

/// The answer to a commit whose topic was made anew on another log.
#[cold]
pub fn moved(topic: &str) -> Refusal {
    Refusal::system_error(format!(
        "topic[{topic}] was deleted and made again since the half message was stored: the message \
         is not stored in the new one; it is given up when it has been checked often enough"
    ))
}

/// Where the message is stored that goes with a decision, in the same log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredWith<'a> {
    pub topic: &'a str,
    pub queue_id: i32,
    pub offset: i64,
}

impl<'a> StoredWith<'a> {
    /// Reads it from the properties of a decision; `None`: nothing is stored with it.
    pub fn of(decision: &'a [u8]) -> Option<StoredWith<'a>> {
        let number = |name| properties::text(decision, name)?.parse::<i64>().ok();
        Some(StoredWith {
            topic: properties::text(decision, REAL_TOPIC)?,
            queue_id: i32::try_from(number(REAL_QUEUE_ID)?).ok()?,
            offset: number(STORED_OFFSET)?,
        })
    }
}

/// The properties of a decision.
///
/// # Errors
/// If the topic's name would break out of its property.
pub fn decision_properties(stored: Option<StoredWith<'_>>) -> Result<Vec<u8>, Refusal> {
    let mut out = Vec::with_capacity(128);
    let mut writer = PropertiesWriter::new(&mut out);
    writer.put(TAGS, DECIDED_TAG)?;
    if let Some(stored) = stored {
        writer.put_real(["", stored.topic], stored.queue_id)?;
        writer.put(STORED_OFFSET, itoa::Buffer::new().format(stored.offset).as_bytes())?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
