//! What becomes of a checked send: a record of the log, and the ticket of its answer.

use ringmq_base::record::NewRecord;
use ringmq_io::Runtime;
use ringmq_store::Appended;

use crate::{
    messages::{SendItem, TopicView},
    shard::{
        Shard,
        acks::{ClientTicket, More, Ticket},
    },
};

pub fn record_of<'a, R: Runtime>(
    shard: &Shard<R>,
    topic: &'a TopicView,
    item: &SendItem,
    properties: [&'a [u8]; 3],
    body: &'a [u8],
) -> NewRecord<'a> {
    NewRecord {
        topic: &topic.topic.name,
        queue_id: item.queue_id,
        flag: item.flag,
        sys_flag: item.sys_flag,
        born_timestamp: item.born_timestamp,
        born_host: item.born_host,
        store_host: shard.settings.store_host,
        reconsume_times: item.reconsume_times,
        prepared_transaction_offset: 0,
        body,
        properties,
    }
}

/// `more`: what the answer tells besides; the queue offset is that of `first`, of a batch.
#[inline]
pub fn ticket(
    item: &SendItem,
    appended: &Appended,
    first: i64,
    more: Option<Box<More>>,
) -> Option<Ticket> {
    if item.reply_to.oneway {
        return None;
    }
    Some(Ticket::Client(ClientTicket {
        reply_to: item.reply_to,
        queue_id: item.reply_queue_id,
        queue_offset: first,
        physical: appended.physical,
        more,
    }))
}
