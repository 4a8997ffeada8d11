//! How far groups are: GET_CONSUME_STATS (208), GET_BROKER_CONSUME_STATS (317). Handled by the
//! control shard.

use std::{
    ops::{Bound, Range},
    rc::Rc,
    sync::Arc,
};

use ringmq_io::Runtime;
use ringmq_remoting::{
    body::{MessageQueue, OffsetWrapper},
    fastjson,
    headers::admin::{GetConsumeStatsInBrokerHeader, GetConsumeStatsRequestHeader},
};

use super::{
    body::{PartedBody, message_queue},
    consumer_offsets::topics_of,
    queue_table::{QueueTable, add_queue},
};
use crate::{
    control::Control,
    messages::TopicView,
    requests::{Handled, Request},
    shard::{
        Shard,
        lookups::{slices, store_timestamp},
    },
};

/// How far a group is in its topics, or in one of them.
pub async fn of_group<R: Runtime>(control: &Rc<Control<R>>, request: &Request<'_>) -> Handled {
    let shard = &control.shard;
    let header = GetConsumeStatsRequestHeader::decode(&request.header.fields)?;
    let group: Arc<str> = Arc::from(&*header.consumer_group);
    control.update_stats().await;
    let wanted = match header.topic.as_deref().filter(|topic| !topic.trim().is_empty()) {
        Some(topic) => vec![Arc::from(topic)],
        None => topics_of(shard, &group).await,
    };
    let (mut table, mut tps) = (QueueTable::new(), 0.0);
    for name in wanted {
        let topic = shard.topic(&name).filter(|_| may_consume(control, &group, &name));
        let Some(topic) = topic else { continue };
        let queues = topic.topic.read_queues;
        let add = |queue: &MessageQueue, offsets: &OffsetWrapper| {
            table.add(queue, offsets);
            table.fits()
        };
        of_topic(shard, (&topic, &group), queues, add).await;
        if !table.fits() {
            break;
        }
        tps += consume_tps(control, &name, &group);
    }
    let remedy = "ask for less, such as one topic or one group";
    table.answer(&format!(",\"consumeTps\":{tps:?}"), remedy)
}

/// How far all groups are: `{"consumeStatsList":[{group:[one for each topic]}]}`.
pub async fn of_all<R: Runtime>(control: &Rc<Control<R>>, request: &Request<'_>) -> Handled {
    let shard = &control.shard;
    let header = GetConsumeStatsInBrokerHeader::decode(&request.header.fields)?;
    control.update_stats().await;
    let mut body = PartedBody::new(b"{\"consumeStatsList\":[".to_vec());
    let (mut last, mut total): (Option<Arc<str>>, i64) = (None, 0);
    loop {
        let group = {
            let groups = &control.tables.borrow().groups;
            let behind = last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            groups.iter_from(behind).next().map(|group| group.name.clone())
        };
        let Some(group) = group else { break };
        let mut begin = if last.is_some() { b",{".to_vec() } else { b"{".to_vec() };
        fastjson::append(&mut begin, &*group);
        begin.extend_from_slice(b":[");
        body.add(&begin);
        let mut begin = "";
        for name in topics_of(shard, &group).await {
            let topic = shard.topic(&name).filter(|_| may_consume(control, &group, &name));
            let Some(topic) = topic.filter(|topic| !header.is_order || topic.topic.order) else {
                continue;
            };
            body.text(&format!("{begin}{{\"offsetTable\":{{"));
            let queues = topic.topic.write_queues;
            let add = |queue: &MessageQueue, offsets: &OffsetWrapper| {
                // An offset may be any number; Java's sum overflows in silence as well.
                let behind = offsets.broker_offset.wrapping_sub(offsets.consumer_offset);
                total = total.wrapping_add(behind);
                body.item(|part| add_queue(part, queue, offsets));
                body.fits()
            };
            of_topic(shard, (&topic, &group), queues, add).await;
            if !body.fits() {
                break;
            }
            let tps = consume_tps(control, &name, &group);
            body.text(&format!("}},\"consumeTps\":{tps:?}}}"));
            begin = ",";
        }
        body.text("]}");
        if !body.fits() {
            break;
        }
        last = Some(group);
        shard.runtime.yield_if_needed().await;
    }
    let mut end = b"],\"brokerAddr\":".to_vec();
    fastjson::append(&mut end, &shard.settings.advertised);
    end.extend_from_slice(format!(",\"totalDiff\":{total}}}").as_bytes());
    body.add(&end);
    body.answer("ask for one group after the other (GET_CONSUME_STATS)")
}

/// As far as its members say: what they do not subscribe to any more is left out.
pub fn may_consume<R: Runtime>(control: &Control<R>, group: &str, topic: &str) -> bool {
    let online = control.tables.borrow().clients.subscriptions(group);
    online.is_none_or(|all| all.topics.is_empty() || all.topics.get(topic).is_some())
}

fn consume_tps<R: Runtime>(control: &Control<R>, topic: &str, group: &str) -> f64 {
    control.stats.borrow().consume_tps(topic, group, control.shard.runtime.now_ms())
}

/// How far a group is in the first queues of a topic, told queue by queue in their order until one
/// is not wanted: answers may be too long, and topics have very many queues.
async fn of_topic<R: Runtime>(
    shard: &Rc<Shard<R>>,
    (topic, group): (&Arc<TopicView>, &Arc<str>),
    queues: i32,
    mut add: impl FnMut(&MessageQueue, &OffsetWrapper) -> bool,
) {
    let mut key = message_queue(&shard.settings.config, &topic.topic.name, 0);
    for slice in slices(queues) {
        for (queue_id, offsets) in offsets(shard, (topic, group), slice).await {
            key.queue_id = queue_id;
            if !add(&key, &offsets) {
                return;
            }
            shard.runtime.yield_if_needed().await;
        }
    }
}

/// The same of some queues, as their shards say it.
async fn offsets<R: Runtime>(
    shard: &Rc<Shard<R>>,
    (topic, group): (&Arc<TopicView>, &Arc<str>),
    queues: Range<i32>,
) -> Vec<(i32, OffsetWrapper)> {
    let (topic, group) = (topic.clone(), group.clone());
    let own = async move |shard: Rc<Shard<R>>| {
        let read =
            async |queue_id: i32| (queue_id, own_offsets(&shard, (&topic, &group), queue_id).await);
        shard.of_own_queues(&topic, queues, read).await
    };
    let mut all = shard.call_all(own).await.concat();
    all.sort_by_key(|(queue_id, _)| *queue_id);
    all
}

/// The same of a queue of this shard.
async fn own_offsets<R: Runtime>(
    shard: &Shard<R>,
    (topic, group): (&TopicView, &Arc<str>),
    queue_id: i32,
) -> OffsetWrapper {
    let (log, queue) = shard.queues.get(topic, queue_id);
    let consumer_offset = {
        let offsets = shard.offsets.borrow();
        let queues = offsets.queues(&topic.topic.name, group);
        queues.and_then(|queues| queues.get(&queue_id).copied()).unwrap_or(0)
    };
    let consumed = match consumer_offset.saturating_sub(1) {
        ..0 => None,
        last => store_timestamp(log, queue, last).await.ok().flatten(),
    };
    let next = shard.usage.next_pull(topic, group, queue_id);
    OffsetWrapper {
        broker_offset: log.bounds(queue).1,
        consumer_offset,
        last_timestamp: consumed.unwrap_or(0),
        pull_offset: Some(next.map_or(consumer_offset, |next| consumer_offset.max(next))),
    }
}
