//! SEND_REPLY_MESSAGE (324, 325): the answer of request-reply. It goes to the client that asked,
//! by a request of the broker (326), and into the cluster's reply topic as well.

use std::{borrow::Cow, rc::Rc, sync::Arc};

use ringmq_io::Runtime;
use ringmq_remoting::{
    codes::{
        property::{MESSAGE_REPLY_TO_CLIENT, MSG_REGION, PUSH_REPLY_TIME, TRACE_SWITCH},
        request,
    },
    frame::Serialization,
    message_id::message_id,
    send::SendHeader,
};

use crate::{
    control::Control,
    messages::{AutoCreate, NewMessage, TopicView},
    requests::{Field, Handled, Request, Response},
    shard::{
        Shard,
        client_calls::{CALL_TIME, ClientCall},
    },
};
use ringmq_base::limits::PROPERTIES_BYTES_MAX;
use ringmq_rules::{
    message_properties::{self, PropertiesWriter},
    names::Name,
    refusal::{Refusal, code},
    send_check::{self, SendDecision, SendRequest, Target},
};

#[cfg(test)]
mod tests;

pub async fn send_reply<R: Runtime>(control: &Rc<Control<R>>, request: &Request<'_>) -> Handled {
    let shard = &control.shard;
    let header = SendHeader::from_header(&request.header, Serialization::Json)?;
    check_reflected(&header)?;
    let (topic, message) = checked(shard, request, &header).await?;
    let pushed = push(control, request, &header).await;
    if let Err(refusal) = &pushed {
        tracing::warn!(error = %refusal.remark, topic = header.topic, "reply not delivered");
    }
    let queue_id = message.queue_id;
    // As in Java a reply that cannot be stored is delivered all the same.
    let mut place = (String::from("0"), 0);
    let live = shard.live();
    if live.config.store_reply_message_enable {
        match shard.put_message(message).await {
            Ok(put) => {
                let id = message_id(shard.settings.store_host, put.physical.get());
                place = (id.to_string(), put.queue_offset);
            }
            Err(refusal) => {
                tracing::warn!(error = %refusal.remark, %topic.topic.name, "reply not stored");
            }
        }
    }
    pushed?;
    Ok(Response {
        fields: vec![
            ("msgId", Field::Text(place.0)),
            ("queueId", Field::Int(queue_id.into())),
            ("queueOffset", Field::Int(place.1)),
            (MSG_REGION, Field::Text(shard.settings.region.clone())),
            (TRACE_SWITCH, Field::Bool(live.config.trace_on)),
        ],
        ..Response::default()
    })
}

/// What of the request goes on to another client as it is must be as short as it is elsewhere.
fn check_reflected(header: &SendHeader<'_>) -> Result<(), Refusal> {
    Name::Group.check(header.producer_group)?;
    Name::Topic.check(header.topic)?;
    Name::Topic.check(header.default_topic)?;
    let bytes = header.properties.len();
    if bytes > PROPERTIES_BYTES_MAX {
        let remark = format!(
            "the message is illegal: its properties have {bytes} bytes, the limit is \
             {PROPERTIES_BYTES_MAX}"
        );
        return Err(Refusal::new(code::MESSAGE_ILLEGAL, remark));
    }
    Ok(())
}

/// The message as it is stored, and its topic; made if the rules allow it.
async fn checked<R: Runtime>(
    shard: &Rc<Shard<R>>,
    request: &Request<'_>,
    header: &SendHeader<'_>,
) -> Result<(Arc<TopicView>, NewMessage), Refusal> {
    let topic = match shard.topic(header.topic) {
        Some(topic) => topic,
        None => {
            let wanted = AutoCreate {
                topic: header.topic.to_owned(),
                default_topic: header.default_topic.to_owned(),
                queues: header.default_topic_queues,
                unit_mode: header.unit_mode,
            };
            shard.ensure_topic(wanted).await?
        }
    };
    shard.turn_ms.set(shard.runtime.now_ms());
    let view = shard.view.borrow();
    let context = shard.send_context(&view, header.version);
    let asked = SendRequest {
        topic: header.topic,
        queue_id: header.queue_id,
        sys_flag: header.sys_flag,
        properties: header.properties,
        body_bytes: request.body.len(),
        reconsume_times: header.reconsume_times,
        max_reconsume_times: header.max_reconsume_times,
        batch: false,
        version: header.version,
        producer: request.peer,
    };
    let plan = match send_check::check(&context, &asked, Some(&topic.topic), None)? {
        SendDecision::Store(plan) if plan.target == Target::Requested => plan,
        _ => {
            let remark = format!("topic[{}] is not for replies without delay", header.topic);
            return Err(Refusal::system_error(remark));
        }
    };
    let mut properties = Vec::with_capacity(plan.properties_bytes);
    plan.write_properties(header.properties, context.own_properties, &mut properties)?;
    let message = NewMessage {
        topic: topic.clone(),
        queue_id: plan.queue_id,
        flag: header.flag,
        sys_flag: plan.sys_flag,
        born_timestamp: header.born_timestamp,
        born_host: request.peer,
        reconsume_times: header.reconsume_times,
        tags_code: plan.tags_code,
        prepared_transaction_offset: 0,
        properties,
        body: request.body.to_vec(),
    };
    Ok((topic, message))
}

/// Brings the reply to the client that its properties name.
async fn push<R: Runtime>(
    control: &Rc<Control<R>>,
    request: &Request<'_>,
    header: &SendHeader<'_>,
) -> Result<(), Refusal> {
    let Some(client) = message_properties::text(header.properties, MESSAGE_REPLY_TO_CLIENT) else {
        let remark = format!("reply message properties[{MESSAGE_REPLY_TO_CLIENT}] is null");
        return Err(Refusal::system_error(remark));
    };
    let shard = &control.shard;
    let found = control.tables.borrow().clients.find_producer(client);
    let connection = found.ok_or_else(|| {
        let remark = format!("push reply message fail, channel of <{client}> not found.");
        Refusal::system_error(remark)
    })?;
    let call = ClientCall {
        connection,
        code: request::PUSH_REPLY_MESSAGE_TO_CLIENT,
        fields: fields(shard, request, header)?,
        body: request.body.into(),
        time: CALL_TIME,
    };
    let failed = |why: &dyn std::fmt::Display| {
        Refusal::system_error(format!("push reply message to {client}fail. {why}"))
    };
    match shard.call_client(call).await {
        Ok(answer) if answer.code == 0 => Ok(()),
        Ok(answer) => Err(failed(&answer.remark)),
        Err(error) => Err(failed(&error)),
    }
}

fn fields<R: Runtime>(
    shard: &Shard<R>,
    request: &Request<'_>,
    header: &SendHeader<'_>,
) -> Result<Vec<(Cow<'static, str>, String)>, Refusal> {
    let now = shard.runtime.now_ms().to_string();
    let mut properties = header.properties.to_vec();
    PropertiesWriter::new(&mut properties).put(PUSH_REPLY_TIME, now.as_bytes())?;
    let fields = [
        ("producerGroup", header.producer_group.to_owned()),
        ("topic", header.topic.to_owned()),
        ("defaultTopic", header.default_topic.to_owned()),
        ("defaultTopicQueueNums", header.default_topic_queues.to_string()),
        ("queueId", header.queue_id.to_string()),
        ("sysFlag", header.sys_flag.to_string()),
        ("bornTimestamp", header.born_timestamp.to_string()),
        ("flag", header.flag.to_string()),
        ("properties", String::from_utf8_lossy(&properties).into_owned()),
        ("reconsumeTimes", header.reconsume_times.to_string()),
        ("unitMode", header.unit_mode.to_string()),
        ("bornHost", request.peer.to_string()),
        ("storeHost", shard.settings.store_host.to_string()),
        ("storeTimestamp", now),
    ];
    Ok(fields.map(|(name, value)| (name.into(), value)).into())
}
