//! QUERY_CONSUME_QUEUE (321): entries of a queue as they are. Handled by its owner.

use std::rc::Rc;

use ringmq_io::Runtime;
use ringmq_remoting::{
    body::{ConsumeQueueData, QueryConsumeQueueResponseBody},
    headers::admin::QueryConsumeQueueRequestHeader,
};
use ringmq_rules::refusal::Refusal;

use super::{body::long_body, connections::subscription};
use crate::{
    requests::{Handled, Request, Response},
    shard::Shard,
};

/// Entries of one answer, some 100 bytes each.
const ENTRIES_MAX: usize = 4096;

pub async fn entries<R: Runtime>(shard: &Rc<Shard<R>>, request: &Request<'_>) -> Handled {
    let header = QueryConsumeQueueRequestHeader::decode(&request.header.fields)?;
    let (topic, queue_id) = (&header.topic, header.queue_id);
    let found = shard.existing_queue(topic, queue_id);
    let (log, queue) =
        found.ok_or_else(|| Refusal::system_error(format!("{queue_id}@{topic} is not exist!")))?;
    let (min, max) = log.bounds(queue);
    let mut body = QueryConsumeQueueResponseBody {
        max_queue_index: max,
        min_queue_index: min,
        ..QueryConsumeQueueResponseBody::default()
    };
    if let Some(group) = &header.consumer_group {
        let view = shard.view.borrow();
        let online = view.subscriptions.get(&**group);
        match online.and_then(|online| online.topics.get(topic)) {
            Some(one) => {
                body.subscription_data = Some(subscription(one));
                // What Java compiled of an SQL92 expression, which the subscription has as well.
                body.filter_data = Some("null".to_owned());
            }
            None => body.filter_data = Some(format!("{group}@{topic} is not online!")),
        }
    }
    if !(min..max).contains(&header.index) {
        let index = header.index;
        let remark = format!("Index {index} of {queue_id}@{topic} is not exist!");
        return Ok(Response { remark: Some(remark), ..Response::default() });
    }
    let count = usize::try_from(header.count).unwrap_or(0).min(ENTRIES_MAX);
    let mut entries = Vec::new();
    for offset in (header.index..max).take(count) {
        let entry = log.entry(queue, offset).await;
        let entry = entry.map_err(|error| Refusal::system_error(error.to_string()))?;
        let Some(entry) = entry else { break };
        entries.push(ConsumeQueueData {
            physic_offset: entry.physical.get(),
            physic_size: i32::try_from(entry.size).unwrap_or(i32::MAX),
            tags_code: entry.tags_code,
            eval: false,
        });
        shard.runtime.yield_if_needed().await;
    }
    body.queue_data = Some(entries);
    long_body(&body, "ask for fewer entries")
}
