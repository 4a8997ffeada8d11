//! Batches of messages in one request: every message becomes a record of its own, behind each
//! other in one queue, and the last one's durability acknowledges them all.

use std::{rc::Rc, sync::Arc};

use ringmq_base::PhysicalOffset;
use ringmq_io::Runtime;
use ringmq_remoting::{batch, codes::response};
use ringmq_store::{AppendError, Appended};

use super::{Sent, bytes_of, record_of, ticket};
use crate::{
    messages::{Part, SendItem},
    shard::{Shard, view::TopicView},
};
use ringmq_rules::{
    message_properties::{Scan, missing_end},
    refusal::Refusal,
};

/// Stores the messages of a batch; `common` are the properties of the batch as a whole, which
/// every message gets.
pub fn store<R: Runtime>(
    shard: &Rc<Shard<R>>,
    topic: &Arc<TopicView>,
    head: &SendItem,
    common: &[u8],
    body: &[u8],
) -> Result<Sent, Refusal> {
    // All of it is looked at first: a batch is stored as one, or refused as one.
    let mut count = 0_usize;
    for message in batch::messages(body) {
        let illegal = |error| format!("batch body: {error}");
        message.map_err(|error| Refusal::new(response::MESSAGE_ILLEGAL, illegal(error)))?;
        count += 1;
    }
    let Some(last) = count.checked_sub(1) else {
        return Err(Refusal::new(response::MESSAGE_ILLEGAL, "the batch has no message"));
    };
    // They stand behind the message's own, and the last counts.
    let common_tags = Scan::of(common);
    let common_tags = common_tags.tags.is_some().then(|| common_tags.tags_code());
    let owner = shard.queue_owner(&topic.topic, head.queue_id);
    if owner == shard.id {
        let (log, _) = shard.queue(topic, head.queue_id);
        if log.backlog_bytes() > shard.facts.backlog_bytes_max / 2 {
            return Ok(Sent::Full(log.sink().log, head.origin));
        }
    }
    let mut open = Open { places: Vec::with_capacity(count), ..Open::default() };
    for (index, message) in batch::messages(body).flatten().enumerate() {
        let tags_code = Scan::of(message.properties).tags_code();
        let mut item = SendItem {
            flag: message.flag,
            tags_code: common_tags.unwrap_or(tags_code),
            part: if index == last { Part::Last } else { Part::Member },
            ..head.clone()
        };
        let properties = [message.properties, missing_end(message.properties), common];
        if owner == shard.id {
            let appended = open.append(shard, topic, &item, properties, message.body);
            appended.map_err(|error| shard.refusal_of(&error))?;
        } else {
            item.properties_bytes = bytes_of(properties.iter().map(|part| part.len()).sum())?;
            item.body_bytes = bytes_of(message.body.len())?;
            shard.router.send(owner, topic, item, properties, message.body)?;
        }
    }
    Ok(Sent::Done)
}

/// A batch of which some messages are appended.
#[derive(Default)]
pub struct Open {
    first_offset: Option<i64>,
    places: Vec<PhysicalOffset>,
    failed: Option<AppendError>,
    /// When the batch came: the store time of its messages.
    now_ms: Option<i64>,
}

impl Open {
    /// Appends the next message. A batch's error comes once, with its last message; only that the
    /// log is busy comes at once, for the caller to try again.
    pub fn append<R: Runtime>(
        &mut self,
        shard: &Rc<Shard<R>>,
        topic: &TopicView,
        item: &SendItem,
        properties: [&[u8]; 3],
        body: &[u8],
    ) -> Result<(), AppendError> {
        let is_last = item.part == Part::Last;
        if self.failed.is_none() {
            let (log, queue) = shard.queue(topic, item.queue_id);
            let record = record_of(shard, topic, item, properties, body);
            let (first, places) = (&mut self.first_offset, &mut self.places);
            let now_ms = *self.now_ms.get_or_insert_with(|| shard.runtime.now_ms());
            let ticket_of = |appended: &Appended| match item.part {
                Part::Whole => ticket(item, appended, None),
                Part::Member => {
                    first.get_or_insert(appended.queue_offset);
                    places.push(appended.physical);
                    None
                }
                Part::Last => {
                    let first = *first.get_or_insert(appended.queue_offset);
                    let others = std::mem::take(places).into_boxed_slice();
                    ticket(item, appended, Some((first, others)))
                }
            };
            let appended = log.append_at(now_ms, queue, &record, item.tags_code, ticket_of);
            match appended {
                Err(AppendError::Busy { backlog, limit }) => {
                    return Err(AppendError::Busy { backlog, limit });
                }
                Err(error) if item.part == Part::Whole => return Err(error),
                appended => self.failed = appended.err(),
            }
        }
        if !is_last {
            return Ok(());
        }
        std::mem::take(self).failed.map_or(Ok(()), Err)
    }
}
