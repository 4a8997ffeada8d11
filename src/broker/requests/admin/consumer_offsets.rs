//! What administrators do with consumer offsets besides resetting them: QUERY_CONSUME_TIME_SPAN
//! (303), QUERY_CORRECTION_OFFSET (308), CLONE_GROUP_OFFSET (314). Handled by the control shard.

use std::{
    collections::BTreeMap,
    ops::{Bound, Range},
    rc::Rc,
    sync::Arc,
};

use ringmq_io::Runtime;
use ringmq_remoting::{
    body::QueueTimeSpan,
    codes::response,
    fastjson,
    headers::admin::{
        CloneGroupOffsetRequestHeader, GroupTopicRequestHeader, QueryCorrectionOffsetRequestHeader,
    },
};
use ringmq_rules::{names::Name, offsets::OffsetTable, refusal::Refusal};

use super::{
    body::{PartedBody, message_queue},
    consume_stats::may_consume,
};
use crate::{
    control::Control,
    messages::TopicView,
    requests::{Handled, Request, Response},
    shard::{
        Shard,
        lookups::{slices, store_timestamp},
    },
};

/// Groups whose names are copied without a pause.
const SLICE_GROUPS: usize = 128;

/// Offsets that are copied or looked at without a pause.
const SLICE_OFFSETS: usize = 1024;

/// From when the messages of each queue are, and how long the group has let the next one wait.
pub async fn time_span<R: Runtime>(control: &Rc<Control<R>>, request: &Request<'_>) -> Handled {
    let shard = &control.shard;
    let header = GroupTopicRequestHeader::decode(&request.header.fields)?;
    let topic = shard.topic(&header.topic).ok_or_else(|| no_topic(&header.topic))?;
    let group: Arc<str> = Arc::from(&*header.group);
    let now = shard.runtime.now_ms();
    let mut key = message_queue(&shard.settings.config, &header.topic, 0);
    let mut body = PartedBody::new(b"{\"consumeTimeSpanSet\":[".to_vec());
    for slice in slices(topic.topic.write_queues) {
        for (queue_id, mut span) in spans(shard, (&topic, &group), slice, now).await {
            key.queue_id = queue_id;
            span.message_queue = key.clone();
            body.item(|part| fastjson::append(part, &span));
            shard.runtime.yield_if_needed().await;
        }
        if !body.fits() {
            break;
        }
    }
    body.text("]}");
    body.answer("ask for a topic with fewer queues")
}

/// Those of some queues, in their order.
async fn spans<R: Runtime>(
    shard: &Rc<Shard<R>>,
    (topic, group): (&Arc<TopicView>, &Arc<str>),
    queues: Range<i32>,
    now: i64,
) -> Vec<(i32, QueueTimeSpan)> {
    let (topic, group) = (topic.clone(), group.clone());
    let own = async move |shard: Rc<Shard<R>>| {
        // Queues without messages cost nothing.
        let read = async |queue_id: i32| {
            let offset = shard.offsets.borrow().query(&topic.topic.name, &group, queue_id);
            (queue_id, span(&shard, &topic, queue_id, offset, now).await)
        };
        shard.of_own_queues(&topic, queues, read).await
    };
    let mut all = shard.call_all(own).await.concat();
    all.sort_by_key(|(queue_id, _)| *queue_id);
    all
}

async fn span<R: Runtime>(
    shard: &Shard<R>,
    topic: &TopicView,
    queue_id: i32,
    offset: Option<i64>,
    now: i64,
) -> QueueTimeSpan {
    let (log, queue) = shard.queues.get(topic, queue_id);
    let (min, max) = log.bounds(queue);
    let stored_at = async |offset: i64| match (min..max).contains(&offset) {
        true => store_timestamp(log, queue, offset).await.ok().flatten().unwrap_or(-1),
        false => -1,
    };
    let next = offset.unwrap_or(min).max(min);
    let first = stored_at(min).await;
    let consumed = offset.filter(|offset| *offset > 0);
    let waits = if next == min { first } else { stored_at(next).await };
    QueueTimeSpan {
        min_time_stamp: first,
        max_time_stamp: stored_at(max - 1).await,
        consume_time_stamp: match consumed {
            Some(offset) => stored_at(offset - 1).await,
            None => first,
        },
        delay_time: if next < max && waits >= 0 { now - waits } else { 0 },
        ..QueueTimeSpan::default()
    }
}

/// The offsets of a group in a topic, of all shards, by queue.
async fn offsets_in<R: Runtime>(shard: &Rc<Shard<R>>, topic: &str, group: &str) -> Vec<(i32, i64)> {
    let (topic, group): (Arc<str>, Arc<str>) = (Arc::from(topic), Arc::from(group));
    let own = async move |shard: Rc<Shard<R>>| {
        let mut all: Vec<(i32, i64)> = Vec::new();
        loop {
            let behind = all.last().map_or(Bound::Unbounded, |(last, _)| Bound::Excluded(*last));
            let before = all.len();
            {
                let offsets = shard.offsets.borrow();
                let queues = offsets.queues(&topic, &group).into_iter();
                let rest = queues.flat_map(|queues| queues.range((behind, Bound::Unbounded)));
                all.extend(rest.take(SLICE_OFFSETS).map(|(queue, offset)| (*queue, *offset)));
            }
            if all.len() == before {
                return all;
            }
            shard.runtime.yield_if_needed().await;
        }
    };
    let mut all = shard.call_all(own).await.concat();
    all.sort_by_key(|(queue_id, _)| *queue_id);
    all
}

/// For each queue the least offset of all groups of a topic, or of those that are not left out;
/// the largest number there is where the group to compare with is behind it.
pub async fn correction<R: Runtime>(control: &Rc<Control<R>>, request: &Request<'_>) -> Handled {
    let shard = &control.shard;
    let header = QueryCorrectionOffsetRequestHeader::decode(&request.header.fields)?;
    let compared = offsets_in(shard, &header.topic, &header.compare_group).await;
    let left_out = header.filter_groups.as_deref().unwrap_or_default().to_owned();
    let topic: Arc<str> = Arc::from(&*header.topic);
    let own = async move |shard: Rc<Shard<R>>| least_offsets(&shard, &topic, &left_out).await;
    let mut least = BTreeMap::new();
    for (queue_id, offset) in shard.call_all(own).await.into_iter().flatten() {
        least.insert(queue_id, offset);
        shard.runtime.yield_if_needed().await;
    }
    for (queue_id, offset) in compared {
        if let Some(least) = least.get_mut(&queue_id).filter(|least| **least > offset) {
            *least = i64::MAX;
        }
        shard.runtime.yield_if_needed().await;
    }
    let mut body = PartedBody::new(b"{\"correctionOffsets\":{".to_vec());
    for (queue_id, offset) in least {
        body.item(|part| {
            fastjson::append(part, &queue_id);
            part.push(b':');
            fastjson::append(part, &offset);
        });
        shard.runtime.yield_if_needed().await;
    }
    body.text("}}");
    body.answer("ask for a topic with fewer queues")
}

async fn least_offsets<R: Runtime>(
    shard: &Shard<R>,
    topic: &str,
    left_out: &str,
) -> BTreeMap<i32, i64> {
    let left_out: Vec<&str> = left_out.split(',').collect();
    let (mut least, mut after) = (BTreeMap::new(), Arc::from(""));
    loop {
        let groups: Vec<Arc<str>> = {
            let offsets = shard.offsets.borrow();
            offsets.groups_of_topic(topic, &after).take(SLICE_GROUPS).cloned().collect()
        };
        let Some(last) = groups.last() else { return least };
        after = last.clone();
        for group in groups.iter().filter(|group| !left_out.contains(&&***group)) {
            let mut behind = Bound::Unbounded;
            while let Some(last) = note_least(shard, (topic, group), behind, &mut least) {
                behind = Bound::Excluded(last);
                shard.runtime.yield_if_needed().await;
            }
        }
        shard.runtime.yield_if_needed().await;
    }
}

/// Looks at a slice of the offsets of a group; the last queue of it, `None` if none is left.
fn note_least<R: Runtime>(
    shard: &Shard<R>,
    (topic, group): (&str, &str),
    behind: Bound<i32>,
    least: &mut BTreeMap<i32, i64>,
) -> Option<i32> {
    let offsets: &OffsetTable = &shard.offsets.borrow();
    let rest = offsets.queues(topic, group)?.range((behind, Bound::Unbounded));
    let mut last = None;
    for (queue_id, offset) in rest.take(SLICE_OFFSETS) {
        last = Some(*queue_id);
        let queue = shard.existing_queue(topic, *queue_id);
        let min = queue.map_or(0, |(log, queue)| log.bounds(queue).0);
        if *offset >= min {
            let least = least.entry(*queue_id).or_insert(*offset);
            *least = (*least).min(*offset);
        }
    }
    last
}

/// Gives a group the offsets of another in one topic, or in all.
pub async fn clone_offsets<R: Runtime>(control: &Rc<Control<R>>, request: &Request<'_>) -> Handled {
    let shard = &control.shard;
    let header = CloneGroupOffsetRequestHeader::decode(&request.header.fields)?;
    Name::Group.check(&header.dest_group)?;
    if header.src_group == header.dest_group {
        return Ok(Response::ok());
    }
    let named = header.topic.as_deref().filter(|topic| !topic.trim().is_empty());
    let topics = match named {
        Some(topic) => vec![Arc::from(topic)],
        None => topics_of(shard, &header.src_group).await,
    };
    for topic in topics {
        let known = shard.topic(&topic).is_some();
        if known && (header.offline || may_consume(control, &header.src_group, &topic)) {
            clone_in(control, &topic, &header.src_group, &header.dest_group).await?;
        }
    }
    Ok(Response::ok())
}

async fn clone_in<R: Runtime>(
    control: &Rc<Control<R>>,
    topic: &Arc<str>,
    from: &str,
    to: &str,
) -> Result<(), Refusal> {
    let shard = &control.shard;
    let offsets: Arc<[(i32, i64)]> = offsets_in(shard, topic, from).await.into();
    if offsets.is_empty() {
        return Ok(());
    }
    // As in Java, it has no others there any more.
    control.forget_offsets(Some(topic.to_string()), Some(to.to_owned())).await?;
    let to: Arc<str> = Arc::from(to);
    let (own_topic, own_group, own) = (topic.clone(), to.clone(), offsets.clone());
    let store = async move |shard: Rc<Shard<R>>| {
        let Some(topic) = shard.topic(&own_topic) else { return Ok(()) };
        for (queue_id, offset) in own.iter().filter(|(id, _)| shard.queues.owns(&topic, *id)) {
            shard.store_offset(&own_topic, &own_group, *queue_id, *offset)?;
            shard.runtime.yield_if_needed().await;
        }
        Ok(())
    };
    shard.call_all(store).await.into_iter().collect::<Result<(), Refusal>>()?;
    shard.persist_now(topic, &to, &offsets).await
}

/// The topics in which a group has offsets.
pub async fn topics_of<R: Runtime>(shard: &Rc<Shard<R>>, group: &str) -> Vec<Arc<str>> {
    let (mut topics, mut after) = (Vec::new(), Arc::from(""));
    loop {
        let some: Vec<Arc<str>> = shard.topics_with_offsets(group, &after).await;
        let Some(last) = some.last() else { return topics };
        after = last.clone();
        topics.extend(some);
    }
}

#[cold]
fn no_topic(topic: &str) -> Refusal {
    Refusal::new(response::TOPIC_NOT_EXIST, format!("topic[{topic}] not exist"))
}
