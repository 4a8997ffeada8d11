//! Consumer offsets: QUERY_CONSUMER_OFFSET (14), UPDATE_CONSUMER_OFFSET (15). Handled by the owner
//! of the queue.

use std::rc::Rc;

use ringmq_io::Runtime;
use ringmq_remoting::headers::consume::{
    OffsetResponseHeader, QueryConsumerOffsetRequestHeader, UpdateConsumerOffsetRequestHeader,
};

use super::queue::is_young;
use crate::{
    requests::{Handled, Request, Response},
    shard::Shard,
};
use ringmq_rules::offsets::answer_query;

pub async fn query<R: Runtime>(shard: &Rc<Shard<R>>, request: &Request<'_>) -> Handled {
    let wanted = QueryConsumerOffsetRequestHeader::decode(&request.header.fields)?;
    let stored =
        shard.offsets.borrow().query(&wanted.topic, &wanted.consumer_group, wanted.queue_id);
    let found = shard.existing_queue(&wanted.topic, wanted.queue_id);
    let (min, young) = found.map_or((0, true), |(log, queue)| {
        let (min, _) = log.bounds(queue);
        (min, is_young(shard, log, queue))
    });
    // Of a topic that was deleted and made again the queues begin behind the old messages.
    let begin = shard.queue_starts.of(&wanted.topic, wanted.queue_id);
    let unknown = stored.is_none();
    let offset = answer_query(stored, min - begin, young, wanted.set_zero_if_not_found)?;
    let offset = if unknown { offset + begin } else { offset };
    Ok(Response::with_fields(&OffsetResponseHeader { offset }.encode()))
}

pub async fn update<R: Runtime>(shard: &Rc<Shard<R>>, request: &Request<'_>) -> Handled {
    let wanted = UpdateConsumerOffsetRequestHeader::decode(&request.header.fields)?;
    let (topic, group) = (&wanted.topic, &wanted.consumer_group);
    // Whoever hears no answer is promised nothing.
    if !request.reply_to.oneway {
        shard.check_commit()?;
    }
    shard.commit_offset(topic, group, wanted.queue_id, wanted.commit_offset)?;
    Ok(Response::ok())
}
