//! CONSUMER_SEND_MSG_BACK (36): a consumer gives a message back for a later try.

use std::{rc::Rc, sync::Arc};

use ringmq_base::record::Record;
use ringmq_io::Runtime;
use ringmq_remoting::{headers::consume::ConsumerSendMsgBackRequestHeader, message_id::message_id};

use crate::{
    messages::ask::{Answer, Ask, StoredMessage},
    requests::{Handled, Request, Response},
    shard::{CONTROL, Shard, view::TopicView},
};
use ringmq_rules::{
    group::Group,
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
        max_reconsume_times: header.max_reconsume_times,
        version: request.header.version,
    };
    let permission = shard.view.borrow().permission;
    let group = shard.ensured_group(&header.group).await?;
    let ip = &shard.facts.config.broker_ip1;
    let retry_queues = match send_back::check(&asked, group.as_deref(), permission, ip)? {
        SendBackStep::Drop => return Ok(Response::ok()),
        SendBackStep::Load { retry_queues } => retry_queues,
    };
    let Some(group) = group else {
        return Err(Refusal::system_error("the group is gone"));
    };
    let sys_flag = if header.unit_mode { SYS_FLAG_UNIT_SUB } else { 0 };
    let retry = shard.internal_topic(&retry_topic(&header.group), retry_queues, sys_flag).await?;
    send_back::check_retry_topic(&retry.topic)?;
    let bytes = shard.record_at(header.offset).await?;
    let bytes = bytes.ok_or_else(|| send_back::message_not_found(header.offset))?;
    let record = Record::decode(&bytes);
    let record = record.map_err(|error| Refusal::system_error(error.to_string()))?;
    let (now, random) = (shard.runtime.now_ms(), shard.random());
    let levels = &shard.facts.delay_levels;
    let decision = send_back::decide(&asked, &group, &record, levels, now, random)?;
    let mut target = retry;
    if decision.dead_letter {
        target = shard.internal_topic(&decision.real_topic(), 1, 0).await?;
    }
    if decision.level.is_some() {
        let schedule = shard.topic(SCHEDULE_TOPIC);
        target = schedule.ok_or_else(|| Refusal::system_error("no topic for delayed messages"))?;
    }
    let mut properties = Vec::with_capacity(record.properties.len() + 256);
    let id = || message_id(record.store_host, record.physical_offset).to_string();
    decision.write_properties(&record, id, &mut properties)?;
    let message = StoredMessage {
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
    Ok(Response::ok())
}

#[cfg(test)]
mod tests;

impl<R: Runtime> Shard<R> {
    /// A consumer group, made if the rules allow it; `None` if they do not.
    async fn ensured_group(self: &Rc<Self>, name: &str) -> Result<Option<Arc<Group>>, Refusal> {
        let find = || self.view.borrow().groups.get(name).cloned();
        if let Some(group) = find() {
            return Ok(Some(group));
        }
        match self.ask(CONTROL, Ask::EnsureGroup(name.to_owned())).await {
            Answer::Group(made) => Ok(if made? { find() } else { None }),
            other => unreachable!("a group was asked for, the answer is {other:?}"),
        }
    }

    /// A topic of the broker's own, made if it is not there.
    pub async fn internal_topic(
        self: &Rc<Self>,
        name: &str,
        queues: i32,
        sys_flag: i32,
    ) -> Result<std::sync::Arc<TopicView>, Refusal> {
        if let Some(topic) = self.topic(name) {
            return Ok(topic);
        }
        let ask = Ask::EnsureInternalTopic { topic: name.to_owned(), queues, sys_flag };
        match self.ask(CONTROL, ask).await {
            Answer::Topic(topic) => topic,
            other => unreachable!("a topic was asked for, the answer is {other:?}"),
        }
    }
}
