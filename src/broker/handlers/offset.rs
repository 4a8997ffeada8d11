//! Consumer offsets: QUERY_CONSUMER_OFFSET (14), UPDATE_CONSUMER_OFFSET (15). Handled by the owner
//! of the queue.

use std::rc::Rc;

use ringmq_io::Runtime;
use ringmq_remoting::headers::{
    QueryConsumerOffsetRequest, QueryConsumerOffsetResponse, UpdateConsumerOffsetRequest,
};

use crate::{
    features::offsets::answer_query,
    requests::{Handled, Request, Response},
    shard::Shard,
};

pub async fn query<R: Runtime>(shard: &Rc<Shard<R>>, request: &Request<'_>) -> Handled {
    let wanted = QueryConsumerOffsetRequest::decode(&request.header.fields)?;
    let stored =
        shard.offsets.borrow().query(&wanted.topic, &wanted.consumer_group, wanted.queue_id);
    let found = shard.existing_queue(&wanted.topic, wanted.queue_id);
    let (min, young) = found.map_or((0, true), |(log, queue)| {
        let (min, _) = log.bounds(queue);
        (min, log.is_resident(queue, 0))
    });
    let offset = answer_query(stored, min, young, wanted.set_zero_if_not_found)?;
    Ok(Response::with_fields(QueryConsumerOffsetResponse { offset }.encode()))
}

pub async fn update<R: Runtime>(shard: &Rc<Shard<R>>, request: &Request<'_>) -> Handled {
    let wanted = UpdateConsumerOffsetRequest::decode(&request.header.fields)?;
    let (topic, group) = (&wanted.topic, &wanted.consumer_group);
    shard.commit_offset(topic, group, wanted.queue_id, wanted.commit_offset)?;
    Ok(Response::ok())
}
