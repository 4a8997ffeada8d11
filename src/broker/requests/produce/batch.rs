//! Batches of messages in one request: every message becomes a record of its own, behind each
//! other in one queue, and the last one's durability acknowledges them all.

use ringmq_base::record::NewRecord;
use ringmq_io::Runtime;
use ringmq_remoting::{
    batch::{self, BatchError, BatchMessage},
    codes::response,
};
use ringmq_rules::{
    message_properties::{DELAY, Scan, missing_end, text},
    refusal::Refusal,
    timer,
};
use ringmq_store::{AppendError, Appended, QueueHandle};

use super::{
    long_batch::{LONG_BYTES, LONG_MESSAGES},
    record::{record_of, ticket},
};
use crate::{
    injected_bugs::{BATCH_CUT, MEMBER_ERROR_FORGOTTEN, is_planted},
    messages::{SendItem, TopicView},
    shard::{BrokerLog, Shard, acks::More},
};

/// Whether a batch is handled at once, or some messages at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// It was checked.
    Short,
    /// It was not checked to its end.
    Long,
}

/// Looks at all messages of a batch first: it is stored as one, or refused as one. `most`: as many
/// messages as it may have (key batchMessagesMax); no more are looked at.
pub fn check(body: &[u8], most: u32) -> Result<Length, Refusal> {
    if body.len() > LONG_BYTES {
        return Ok(Length::Long);
    }
    // Rarely anything is found, and then all properties are looked at.
    let mut check = Check::new(body.len(), most, batch::may_ask_for_delay(body));
    for message in batch::messages(body) {
        if check.count == LONG_MESSAGES && check.count < most {
            return Ok(Length::Long);
        }
        check.next(message)?;
    }
    check.end().map(|()| Length::Short)
}

/// Looks at one message of a batch after the other.
pub struct Check {
    bytes: usize,
    most: u32,
    may_delay: bool,
    count: u32,
}

impl Check {
    /// For a batch of so many bytes. `may_delay`: the properties are to be looked at.
    pub fn new(bytes: usize, most: u32, may_delay: bool) -> Check {
        Check { bytes, most, may_delay, count: 0 }
    }

    #[inline]
    pub fn next(&mut self, message: Result<BatchMessage<'_>, BatchError>) -> Result<(), Refusal> {
        let message = message.map_err(|error| illegal(format!("batch body: {error}")))?;
        if self.may_delay && asks_for_delay(message.properties) {
            return Err(timer::in_batch());
        }
        if self.count == self.most {
            let Check { bytes, most, .. } = self;
            return Err(illegal(format!(
                "the batch of {bytes} bytes has more than {most} messages, the limit (key \
                 batchMessagesMax): send fewer in a batch"
            )));
        }
        self.count += 1;
        Ok(())
    }

    pub fn end(&self) -> Result<(), Refusal> {
        match self.count {
            0 => Err(illegal("the batch has no message".to_owned())),
            _ => Ok(()),
        }
    }
}

fn illegal(remark: String) -> Refusal {
    Refusal::new(response::MESSAGE_ILLEGAL, remark)
}

/// Whether a message would have to be kept back, which it cannot be in a batch.
#[cold]
fn asks_for_delay(properties: &[u8]) -> bool {
    let scan = Scan::of(properties);
    let level = || text(properties, DELAY).and_then(|level| level.parse().ok());
    scan.asks_for_time() || level().is_some_and(|level: i32| level > 0)
}

/// Appends the messages of a checked batch; `common` are the properties of the batch as a whole,
/// which every message gets.
///
/// # Errors
/// Those of the log; no message of the batch is stored then.
pub fn append<R: Runtime>(
    shard: &Shard<R>,
    topic: &TopicView,
    item: &SendItem,
    (log, queue): (&BrokerLog<R>, QueueHandle),
    common: &[u8],
    body: &[u8],
) -> Result<(), AppendError> {
    let messages = records(shard, topic, item, common, body);
    let tickets = |all: &[Appended]| {
        let bytes = all.iter().map(|appended| appended.size as u64).sum();
        shard.usage.count_send(topic, item.message_type, all.len() as u64, bytes);
        let (first, last) = (all.first()?, all.last()?);
        assert!(
            last.queue_offset == first.queue_offset + all.len() as i64 - 1,
            "the messages of a batch lie behind each other"
        );
        let others = all.iter().take(all.len() - 1).map(|appended| appended.physical);
        let others = More::Batch(others.collect());
        ticket(item, last, first.queue_offset, Some(Box::new(others)))
    };
    let now_ms = shard.turn_ms.get();
    if is_planted(BATCH_CUT) {
        log.append_batch(now_ms, queue, messages.clone().take(1), |_| None)?;
        return log.append_batch(now_ms, queue, messages.skip(1), tickets).map(drop);
    }
    match log.append_batch(now_ms, queue, messages.clone(), tickets) {
        Err(AppendError::TooLarge { .. }) if is_planted(MEMBER_ERROR_FORGOTTEN) => {
            log.append_batch(now_ms, queue, messages.take(1), tickets).map(drop)
        }
        appended => appended.map(drop),
    }
}

/// The messages of a checked batch as the log takes them, each with its tags code.
pub fn records<'a, R: Runtime>(
    shard: &'a Shard<R>,
    topic: &'a TopicView,
    item: &'a SendItem,
    common: &'a [u8],
    body: &'a [u8],
) -> impl Iterator<Item = (NewRecord<'a>, i64)> + Clone {
    // They stand behind the message's own, and the last counts.
    let common_tags = Scan::of(common);
    let common_tags = common_tags.tags.is_some().then(|| common_tags.tags_code());
    batch::messages(body).flatten().map(move |message| {
        let properties = [message.properties, missing_end(message.properties), common];
        let record = record_of(shard, topic, item, properties, message.body);
        let tags_code = common_tags.unwrap_or_else(|| Scan::of(message.properties).tags_code());
        (NewRecord { flag: message.flag, ..record }, tags_code)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_whole(body: &[u8], most: u32) -> Result<(), Refusal> {
        let mut check = Check::new(body.len(), most, false);
        batch::messages(body).try_for_each(|message| check.next(message))?;
        check.end()
    }

    #[test]
    fn a_batch_of_few_messages_and_bytes_is_short() {
        let mut body = Vec::new();
        let message = |body| batch::BatchMessage { flag: 0, body, properties: b"" };
        for _ in 0..LONG_MESSAGES {
            batch::append(&mut body, &message(b"")).expect("fits");
        }
        assert_eq!(check(&body, 1000), Ok(Length::Short));
        batch::append(&mut body, &message(b"")).expect("fits");
        assert_eq!(check(&body, 1000), Ok(Length::Long));
        assert!(check(&body, LONG_MESSAGES).is_err());
        let mut body = Vec::new();
        batch::append(&mut body, &message(&[0; LONG_BYTES])).expect("fits");
        assert_eq!(check(&body, 1000), Ok(Length::Long));
    }

    #[test]
    fn a_batch_of_too_many_messages_is_refused() {
        let mut body = Vec::new();
        let message = batch::BatchMessage { flag: 0, body: b"", properties: b"" };
        for _ in 0..1000 {
            batch::append(&mut body, &message).expect("fits");
        }
        assert_eq!(check(&body, 1000), Ok(Length::Long));
        assert_eq!(check_whole(&body, 1000), Ok(()));
        batch::append(&mut body, &message).expect("fits");
        let refusal = check_whole(&body, 1000).expect_err("too many");
        assert_eq!(refusal.code, response::MESSAGE_ILLEGAL);
        for part in ["22022 bytes", "more than 1000 messages", "batchMessagesMax"] {
            assert!(refusal.remark.contains(part), "{part}: {}", refusal.remark);
        }
        assert_eq!(check(b"", 1000).expect_err("empty").code, response::MESSAGE_ILLEGAL);
    }
}
