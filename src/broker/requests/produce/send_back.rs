//! CONSUMER_SEND_MSG_BACK (36): a consumer gives a message back for a later try.

use std::{rc::Rc, sync::Arc};

use ringmq_base::record::Record;
use ringmq_io::Runtime;
use ringmq_remoting::{
    codes::property::RETRY_TOPIC, headers::consume::ConsumerSendMsgBackRequestHeader,
    message_id::message_id,
};

use crate::{
    injected_bugs::{BACK_AT_ONCE, DEAD_LETTER_LATE, is_planted},
    messages::NewMessage,
    requests::{Handled, Request, Response},
    shard::Shard,
};
use ringmq_rules::{
    group::Group,
    message_properties,
    refusal::Refusal,
    send_back::{self, SendBackRequest, SendBackStep},
    topic::{SCHEDULE_TOPIC, SYS_FLAG_UNIT_SUB, retry_topic},
};

pub async fn send_back<R: Runtime>(shard: &Rc<Shard<R>>, request: &Request<'_>) -> Handled {
    let header = ConsumerSendMsgBackRequestHeader::decode(&request.header.fields)?;
    let asked = SendBackRequest {
        group: &header.group,
        offset: header.offset,
        delay_level: header.delay_level,
        max_reconsume_times: header
            .max_reconsume_times
            .map(|times| times.saturating_add(is_planted(DEAD_LETTER_LATE).into())),
        version: request.header.version,
    };
    let permission = shard.view.borrow().live.config.broker_permission;
    let group = ensured_group(shard, &header.group).await?;
    let ip = &shard.settings.config.broker_ip1;
    let retry_queues = match send_back::check(&asked, group.as_deref(), permission, ip)? {
        SendBackStep::Drop => return Ok(Response::ok()),
        SendBackStep::Load { retry_queues } => retry_queues,
    };
    let Some(group) = group else {
        return Err(Refusal::system_error("the group is gone"));
    };
    let sys_flag = if header.unit_mode { SYS_FLAG_UNIT_SUB } else { 0 };
    let retry =
        shard.ensure_internal_topic(&retry_topic(&header.group), retry_queues, sys_flag).await?;
    send_back::check_retry_topic(&retry.topic)?;
    let bytes = shard.record_at(header.offset).await?;
    let bytes = bytes.ok_or_else(|| send_back::message_not_found(header.offset))?;
    let record = Record::decode(&bytes);
    let record = record.map_err(|error| Refusal::system_error(error.to_string()))?;
    let (now, random) = (shard.runtime.now_ms(), shard.random());
    let levels = &shard.settings.delay_levels;
    let queues = (&*group, retry.topic.write_queues);
    let mut decision = send_back::decide(&asked, queues, &record, levels, now, random)?;
    if is_planted(BACK_AT_ONCE) {
        decision.level = None;
    }
    let mut target = retry;
    if decision.dead_letter {
        target = shard.ensure_internal_topic(&decision.real_topic(), 1, 0).await?;
    }
    if decision.level.is_some() {
        let schedule = shard.topic(SCHEDULE_TOPIC);
        target = schedule.ok_or_else(|| Refusal::system_error("no topic for delayed messages"))?;
    }
    let mut properties = Vec::with_capacity(record.properties.len() + 256);
    let id = || message_id(record.store_host, record.physical_offset).to_string();
    decision.write_properties(&record, id, &mut properties)?;
    let message = NewMessage {
        topic: target,
        queue_id: decision.queue_id(),
        flag: record.flag,
        sys_flag: record.sys_flag,
        born_timestamp: record.born_timestamp,
        born_host: record.born_host,
        reconsume_times: decision.reconsume_times,
        tags_code: decision.tags_code,
        prepared_transaction_offset: 0,
        properties,
        body: record.body.to_vec(),
    };
    shard.put_message(message).await.map_err(send_back::not_stored)?;
    let first_topic = message_properties::text(record.properties, RETRY_TOPIC);
    let first_topic = first_topic.unwrap_or(record.topic);
    shard.count_sent_back(first_topic, &group.name, decision.dead_letter);
    Ok(Response::ok())
}

#[cfg(test)]
mod tests;

/// A consumer group, made if the rules allow it; `None` if they do not.
async fn ensured_group<R: Runtime>(
    shard: &Rc<Shard<R>>,
    name: &str,
) -> Result<Option<Arc<Group>>, Refusal> {
    let find = || shard.view.borrow().groups.get(name).cloned();
    if let Some(group) = find() {
        return Ok(Some(group));
    }
    Ok(if shard.ensure_group(name.to_owned()).await? { find() } else { None })
}
