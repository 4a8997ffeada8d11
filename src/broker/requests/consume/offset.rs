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
use ringmq_rules::{
    limits::TOPIC_QUEUES_MAX,
    names::Name,
    offsets::answer_query,
    refusal::{Refusal, code},
    topic::RETRY_PREFIX,
};

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
    let known = shard.offsets.borrow().has(topic, group, wanted.queue_id);
    if !known {
        check_new(shard, topic, group, wanted.queue_id).await?;
    }
    let taken = shard.commit_offset(topic, group, wanted.queue_id, wanted.commit_offset)?;
    // As RocketMQ 5 says it.
    let remark = (!taken).then(|| "Offset has been previously reset".to_owned());
    Ok(Response { remark, ..Response::ok() })
}

/// The first offset of a group in a queue is taken if both are there; as a pull does, it makes the
/// group where groups may be made on use.
///
/// # Errors
/// Those of RocketMQ 5 if one is not there.
async fn check_new<R: Runtime>(
    shard: &Rc<Shard<R>>,
    topic: &str,
    group: &str,
    queue_id: i32,
) -> Result<(), Refusal> {
    Name::Topic.check(topic)?;
    Name::Group.check(group)?;
    // What its client was told of before is known here as well.
    shard.view_version.caught_up().await;
    let found = shard.topic(topic);
    // A retry topic is made by the first heartbeat of its group, which may come later.
    let own_retry = topic.strip_prefix(RETRY_PREFIX) == Some(group);
    if found.is_none() && !own_retry {
        let remark = format!("Topic {topic} not exist!");
        return Err(Refusal::new(code::TOPIC_NOT_EXIST, remark));
    }
    let queues = found.map_or(TOPIC_QUEUES_MAX, |found| found.topic.queues());
    if !(0..queues).contains(&queue_id) && shard.existing_queue(topic, queue_id).is_none() {
        return Err(Refusal::system_error(format!(
            "the offset of group[{group}] is not stored: queueId[{queue_id}] is illegal, \
             topic[{topic}] has {queues} queues"
        )));
    }
    let known = shard.view.borrow().groups.contains_key(group);
    if !known && !shard.ensure_group(group.to_owned()).await? {
        let remark = format!("Group {group} not exist!");
        return Err(Refusal::new(code::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
    }
    Ok(())
}
