//! What a queue holds: GET_MAX_OFFSET (30), GET_MIN_OFFSET (31), SEARCH_OFFSET_BY_TIMESTAMP (29),
//! GET_EARLIEST_MSG_STORETIME (32). Handled by the owner of the queue; a queue that does not exist
//! is an empty one, as in Java.

use std::rc::Rc;

use ringmq_io::Runtime;
use ringmq_remoting::{
    codes::version::V5_0_0,
    headers::consume::{
        GetEarliestMsgStoretimeRequestHeader, GetEarliestMsgStoretimeResponseHeader,
        GetMaxOffsetRequestHeader, GetMinOffsetRequestHeader, OffsetResponseHeader,
        SearchOffsetRequestHeader,
    },
};
use ringmq_store::{Boundary, QueueHandle};

use crate::{
    requests::{Handled, Request, Response},
    shard::{BrokerLog, Shard, lookups::store_timestamp, offset_resets::offset_by_time},
};

/// Whether the first message of a queue is recent: new groups then start at the beginning.
/// Source: Java's `checkInDiskByConsumeOffset`, with 40 % of the memory as the measure.
pub fn is_young<R: Runtime>(shard: &Shard<R>, log: &BrokerLog<R>, queue: QueueHandle) -> bool {
    let Some(first) = log.first_position(queue) else {
        return true;
    };
    let (_, end) = log.position_range();
    let behind = end.position().0.saturating_sub(first.0);
    behind < shard.settings.young_bytes
}

fn offset(offset: i64) -> Handled {
    Ok(Response::with_fields(&OffsetResponseHeader { offset }.encode()))
}

pub async fn max_offset<R: Runtime>(shard: &Rc<Shard<R>>, request: &Request<'_>) -> Handled {
    let wanted = GetMaxOffsetRequestHeader::decode(&request.header.fields)?;
    let found = shard.existing_queue(&wanted.topic, wanted.queue_id);
    offset(found.map_or(0, |(log, queue)| log.bounds(queue).1))
}

pub async fn min_offset<R: Runtime>(shard: &Rc<Shard<R>>, request: &Request<'_>) -> Handled {
    let wanted = GetMinOffsetRequestHeader::decode(&request.header.fields)?;
    let found = shard.existing_queue(&wanted.topic, wanted.queue_id);
    offset(found.map_or(0, |(log, queue)| log.bounds(queue).0))
}

pub async fn search_by_time<R: Runtime>(shard: &Rc<Shard<R>>, request: &Request<'_>) -> Handled {
    let wanted = SearchOffsetRequestHeader::decode(&request.header.fields)?;
    let Some((log, queue)) = shard.existing_queue(&wanted.topic, wanted.queue_id) else {
        return offset(0);
    };
    let boundary = boundary(wanted.boundary_type.as_deref(), request.header.version);
    offset(offset_by_time(log, queue, wanted.timestamp, boundary).await?)
}

/// Which offset a time stands for, for a client of this version.
pub fn boundary(wanted: Option<&str>, version: i32) -> Boundary {
    match wanted {
        Some(name) if name.eq_ignore_ascii_case("UPPER") => Boundary::Upper,
        Some(_) => Boundary::Lower,
        None if version >= V5_0_0 => Boundary::Lower,
        None => Boundary::Nearest49,
    }
}

pub async fn earliest_store_time<R: Runtime>(
    shard: &Rc<Shard<R>>,
    request: &Request<'_>,
) -> Handled {
    let wanted = GetEarliestMsgStoretimeRequestHeader::decode(&request.header.fields)?;
    let mut timestamp = -1;
    if let Some((log, queue)) = shard.existing_queue(&wanted.topic, wanted.queue_id) {
        let (min, max) = log.bounds(queue);
        if min < max {
            timestamp = store_timestamp(log, queue, min).await?.unwrap_or(-1);
        }
    }
    Ok(Response::with_fields(&GetEarliestMsgStoretimeResponseHeader { timestamp }.encode()))
}
