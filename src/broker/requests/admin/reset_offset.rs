//! INVOKE_BROKER_TO_RESET_OFFSET (222): a group goes on elsewhere in a topic. Its members are told
//! (220), and what they commit from before does not count any more. Handled by the control shard.

use std::{borrow::Cow, rc::Rc, sync::Arc};

use ringmq_io::Runtime;
use ringmq_remoting::{
    body::{MessageQueue, MessageQueueForC},
    codes::{request as code, response},
    fastjson,
    headers::client::ResetOffsetRequestHeader,
    language::Language,
};
use ringmq_rules::{ConnectionId, names::Name, refusal::Refusal};

use super::{
    body::{PartedBody, message_queue},
    queue_table::QueueTable,
};
use crate::{
    control::Control,
    messages::TopicView,
    requests::{Handled, Request, consume::queue::boundary},
    shard::{
        client_calls::{CALL_TIME, ClientCall},
        offset_resets::{Reset, ResetTo},
    },
};

/// Clients of this version and later know the request. Source: `MQVersion.V3_0_7_SNAPSHOT`.
const VERSION_WITH_RESET: i32 = 28;

/// What a client is told, in its own language.
type Bodies = [Arc<[u8]>; 2];

struct Member {
    connection: ConnectionId,
    language: Language,
    client_id: Arc<str>,
}

pub async fn reset<R: Runtime>(control: &Rc<Control<R>>, request: &Request<'_>) -> Handled {
    let shard = &control.shard;
    let header = ResetOffsetRequestHeader::decode(&request.header.fields)?;
    Name::Group.check(&header.group)?;
    let group: Arc<str> = Arc::from(&*header.group);
    // Of RocketMQ 5: one queue, to an offset or to a time, whether its group is online or not.
    let queue_id = header.queue_id.filter(|queue_id| *queue_id >= 0);
    let whatever = queue_id.is_some() || shard.live().config.use_server_side_reset_offset;
    let topic = shard.topic(&header.topic).ok_or_else(|| no_topic(&header.topic, whatever))?;
    if whatever {
        check_names(control, &topic, &group, queue_id)?;
    }
    let offset = header.offset.filter(|offset| queue_id.is_some() && *offset != -1);
    let to = match (offset, header.timestamp) {
        (Some(offset), _) => ResetTo::Offset(offset),
        (None, ..=-1) => ResetTo::End,
        (None, time) => ResetTo::Time(time, boundary(None, request.header.version)),
    };
    let force = header.is_force;
    let (of_topic, of_group) = (topic.clone(), group.clone());
    let reset = Reset { topic: of_topic, group: of_group, to, queue_id, whatever, force };
    let offsets = shard.plan_reset(reset).await?;
    let members = members(control, &group)?;
    if members.is_empty() && !whatever {
        // What an administrator commits now must count.
        shard.forget_resets(&header.topic, &group).await;
        return Err(not_online(&header));
    }
    shard.reset_offsets(&topic, &group, &offsets).await?;
    let [java, cpp] = bodies(control, &header.topic, &offsets).await;
    let (answer, cpp) = (java?, cpp?.body);
    if !members.is_empty() {
        let bodies = [answer.body.as_slice().into(), cpp.into()];
        tell(control, &header, members, &bodies).await;
    }
    Ok(answer)
}

/// A `ResetOffsetBody`, which is the answer as well, and a `ResetOffsetBodyForC`; written with
/// pauses, as topics may have very many queues.
async fn bodies<R: Runtime>(
    control: &Control<R>,
    topic: &str,
    offsets: &[(i32, i64)],
) -> [Handled; 2] {
    let shard = &control.shard;
    let mut java = QueueTable::new();
    let mut cpp = PartedBody::new(b"{\"offsetTable\":[".to_vec());
    for (queue_id, offset) in offsets {
        let key = message_queue(&shard.settings.config, topic, *queue_id);
        java.add(&key, offset);
        let MessageQueue { topic, broker_name, queue_id } = key;
        let queue = MessageQueueForC { topic, broker_name, queue_id, offset: *offset };
        cpp.item(|part| fastjson::append(part, &queue));
        shard.runtime.yield_if_needed().await;
    }
    cpp.text("]}");
    let remedy = "reset one queue after the other";
    [java.answer("", remedy), cpp.answer(remedy)]
}

/// The members of the group now.
///
/// # Errors
/// If one of them would not understand what it is told; nobody is told anything then.
fn members<R: Runtime>(control: &Control<R>, group: &str) -> Result<Vec<Member>, Refusal> {
    let clients = &control.tables.borrow().clients;
    let members = clients.consumers(group).map(|client| {
        if client.version < VERSION_WITH_RESET {
            let remark =
                format!("the client does not support this feature. version={}", client.version);
            return Err(Refusal::system_error(remark));
        }
        let (connection, language) = (client.connection, client.language);
        Ok(Member { connection, language, client_id: client.client_id.clone() })
    });
    members.collect()
}

/// Tells the members one after the other where to go on. Who is not told is sent there when it
/// pulls.
async fn tell<R: Runtime>(
    control: &Control<R>,
    header: &ResetOffsetRequestHeader,
    members: Vec<Member>,
    [java, cpp]: &Bodies,
) {
    let fields = [
        ("topic", header.topic.clone()),
        ("group", header.group.clone()),
        ("timestamp", header.timestamp.to_string()),
        ("isForce", header.is_force.to_string()),
    ];
    let fields = Vec::from(fields.map(|(name, value)| (Cow::Borrowed(name), value)));
    for Member { connection, language, client_id } in members {
        let body = if language == Language::Cpp { cpp } else { java };
        let call = ClientCall {
            connection,
            code: code::RESET_CONSUMER_CLIENT_OFFSET,
            fields: fields.clone(),
            body: body.clone(),
            time: CALL_TIME,
        };
        if let Err(error) = control.shard.tell_client(call).await {
            let (topic, group) = (&header.topic, &header.group);
            tracing::info!(%client_id, topic, group, %error, "not told of a reset");
        }
        control.shard.runtime.yield_if_needed().await;
    }
}

/// With the texts of RocketMQ 5.
fn check_names<R: Runtime>(
    control: &Control<R>,
    topic: &TopicView,
    group: &str,
    queue_id: Option<i32>,
) -> Result<(), Refusal> {
    if control.tables.borrow().groups.get(group).is_none() {
        let remark = format!("Group {group} does not exist");
        return Err(Refusal::new(response::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
    }
    let queues = topic.topic.queues();
    match queue_id.filter(|queue_id| *queue_id >= queues) {
        None => Ok(()),
        Some(queue_id) => Err(Refusal::system_error(format!(
            "queueId[{queue_id}] is illegal, topic[{}] has {queues}",
            topic.topic.name
        ))),
    }
}

#[cold]
fn no_topic(topic: &str, whatever: bool) -> Refusal {
    if whatever {
        let remark = format!("Topic {topic} does not exist");
        return Refusal::new(response::TOPIC_NOT_EXIST, remark);
    }
    Refusal::system_error(format!(
        "[reset-offset] reset offset failed, no topic in this broker. topic={topic}"
    ))
}

#[cold]
fn not_online(header: &ResetOffsetRequestHeader) -> Refusal {
    let remark = format!(
        "Consumer not online, so can not reset offset, Group: {} Topic: {} Timestamp: {}",
        header.group, header.topic, header.timestamp
    );
    Refusal::new(response::CONSUMER_NOT_ONLINE, remark)
}
