//! RECALL_MESSAGE (370): a producer calls back a message that waits for its time, by the handle
//! that the answer to its send brought.

use std::rc::Rc;

use ringmq_io::Runtime;
use ringmq_remoting::{
    codes::{
        property::{
            BORN_TIMESTAMP, PRODUCER_GROUP, TAGS, TIMER_DEL_UNIQKEY, TIMER_DELIVER_MS, UNIQ_KEY,
        },
        response,
    },
    headers::produce::{RecallMessageRequestHeader, RecallMessageResponseHeader},
};
use ringmq_rules::{
    message_properties::PropertiesWriter,
    refusal::Refusal,
    send_check::{self, SendDecision, SendRequest, Target},
    timer::recall::{self, RecallHandle},
};

use super::timer::{delete_everywhere, timer_queue, topic as timer_topic};
use crate::{
    messages::NewMessage,
    requests::{Handled, Request, Response},
    shard::Shard,
};

const BODY: &[u8] = b"0";
/// Source: `RECALL_MESSAGE_TAG`.
const RECALL_TAG: &[u8] = b"_RECALL_TAG_";

pub async fn recall<R: Runtime>(shard: &Rc<Shard<R>>, request: &Request<'_>) -> Handled {
    let header = RecallMessageRequestHeader::decode(&request.header.fields)?;
    let live = shard.live();
    if !live.config.recall_message_enable {
        let remark = "recall failed, operation is forbidden";
        return Err(Refusal::new(response::NO_PERMISSION, remark));
    }
    let now_ms = shard.runtime.now_ms();
    if now_ms < live.config.start_accept_send_request_time_stamp {
        let remark = "recall failed, broker service not available";
        return Err(Refusal::new(response::SERVICE_NOT_AVAILABLE, remark));
    }
    if shard.topic(&header.topic).is_none() {
        let remark = format!("recall failed, the topic[{}] not exist", header.topic);
        return Err(Refusal::new(response::TOPIC_NOT_EXIST, remark));
    }
    let handle = RecallHandle::decode(&header.recall_handle)?;
    let longest = live.timers.delay_ms_max;
    recall::check(&handle, &header.topic, &live.config.broker_name, now_ms, longest)?;
    let message = deletion(shard, request, &header, &handle)?;
    let stored = delete_everywhere(shard, message).await;
    if let Err(refusal) = stored {
        tracing::warn!(topic = header.topic, %refusal, "a message is not called back");
        return Err(Refusal::system_error("recall failed, execute error"));
    }
    let answer = RecallMessageResponseHeader { msg_id: handle.unique_key };
    Ok(Response::with_fields(&answer.encode()))
}

/// The message that cancels the one of a handle, checked as if it was sent.
fn deletion<R: Runtime>(
    shard: &Rc<Shard<R>>,
    request: &Request<'_>,
    header: &RecallMessageRequestHeader,
    handle: &RecallHandle,
) -> Result<NewMessage, Refusal> {
    let mut sent = Vec::new();
    let mut properties = PropertiesWriter::new(&mut sent);
    let key = [handle.topic.as_str(), "+", handle.unique_key.as_str()].concat();
    let now = shard.runtime.now_ms();
    properties.put(TAGS, RECALL_TAG)?;
    properties.put(TIMER_DEL_UNIQKEY, key.as_bytes())?;
    properties.put(UNIQ_KEY, handle.unique_key.as_bytes())?;
    properties.put_number(TIMER_DELIVER_MS, handle.deliver_ms)?;
    properties.put_number(BORN_TIMESTAMP, now)?;
    if let Some(group) = header.producer_group.as_deref().filter(|group| !group.is_empty()) {
        properties.put(PRODUCER_GROUP, group.as_bytes())?;
    }
    let topic = shard.topic(&header.topic);
    let topic = topic.ok_or_else(|| send_check::unknown_topic(&header.topic))?;
    shard.turn_ms.set(now);
    let view = shard.view.borrow();
    let context = shard.send_context(&view, request.header.version);
    let asked = SendRequest {
        topic: &header.topic,
        queue_id: 0,
        sys_flag: 0,
        properties: &sent,
        body_bytes: BODY.len(),
        reconsume_times: 0,
        max_reconsume_times: None,
        batch: false,
        version: request.header.version,
        producer: request.peer,
    };
    let plan = match send_check::check(&context, &asked, Some(&topic.topic), None)? {
        SendDecision::Store(plan) if plan.target == Target::Timer => plan,
        _ => return Err(Refusal::system_error("recall failed, execute error")),
    };
    let mut properties = Vec::with_capacity(plan.properties_bytes);
    plan.write_properties(&sent, context.own_properties, &mut properties)?;
    let timers = timer_topic(&view)?;
    Ok(NewMessage {
        topic: timers.clone(),
        queue_id: timer_queue(shard, timers, &topic, plan.queue_id),
        flag: 0,
        sys_flag: plan.sys_flag,
        born_timestamp: now,
        born_host: request.peer,
        reconsume_times: 0,
        tags_code: plan.tags_code,
        prepared_transaction_offset: 0,
        properties,
        body: BODY.to_vec(),
    })
}
