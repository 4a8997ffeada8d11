//! What the broker asks consumers on behalf of administrators: GET_CONSUMER_RUNNING_INFO (307),
//! CONSUME_MESSAGE_DIRECTLY (309), INVOKE_BROKER_TO_GET_CONSUMER_STATUS (223, which asks with 221).
//! Handled by the control shard.

use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;
use ringmq_io::Runtime;
use ringmq_remoting::{
    body::{GetConsumerStatusBody, QueueOffsets},
    codes::{request as code, response},
    fastjson,
    headers::client::{
        ConsumeMessageDirectlyResultRequestHeader, GetConsumerRunningInfoRequestHeader,
        GetConsumerStatusRequestHeader,
    },
    message_id::MessageId,
};
use ringmq_rules::{
    ConnectionId,
    limits::{BODY_MEMORY_FREE, BODY_MEMORY_PER_BYTE},
    refusal::Refusal,
};

use super::body::long_body;
use crate::{
    control::Control,
    requests::{Handled, Request, Response},
    shard::client_calls::{CALL_TIME, CallError, ClientAnswer, ClientCall},
};

/// Clients of this version and later know 307 and 309. Source: `MQVersion.V3_1_8_SNAPSHOT`.
const VERSION_WITH_CALLS: i32 = 62;
/// The same of 221. Source: `MQVersion.V3_0_7_SNAPSHOT`.
const VERSION_WITH_STATUS: i32 = 28;

/// How long a client may take to say how far it is. Source: `Broker2Client.getConsumeStatus`.
const STATUS_TIME: Duration = Duration::from_secs(5);
/// How long all clients of a group may take: the administrator does not wait for longer.
const STATUS_TIME_OF_ALL: Duration = Duration::from_secs(20);
/// Clients that are asked at the same time.
const STATUS_ASKED: usize = 8;
/// Longest answer that counts, in bytes: some 5,000 queues.
const STATUS_BYTES_MAX: usize = 512 * 1024;

/// Longest answer of a client that is passed on, in bytes: what its threads do is some 100 KB.
const ANSWER_BYTES_MAX: usize = 2 * 1024 * 1024;
pub async fn running_info<R: Runtime>(control: &Rc<Control<R>>, request: &Request<'_>) -> Handled {
    let header = GetConsumerRunningInfoRequestHeader::decode(&request.header.fields)?;
    let code = code::GET_CONSUMER_RUNNING_INFO;
    let (fields, body) = (passed_on(request), request.body.into());
    ask(control, (&header.consumer_group, &header.client_id), (code, fields, body)).await
}

/// Has a consumer consume a message at once, whatever its group has consumed.
pub async fn consume_directly<R: Runtime>(
    control: &Rc<Control<R>>,
    request: &Request<'_>,
) -> Handled {
    let shard = &control.shard;
    let header = ConsumeMessageDirectlyResultRequestHeader::decode(&request.header.fields)?;
    let id = header.msg_id.as_deref().unwrap_or_default();
    let offset = MessageId::parse(id).map(|(_, offset)| offset);
    let record = match offset {
        Some(offset) => shard.record_at(offset).await?,
        None => None,
    };
    let record = record.ok_or_else(|| no_message(id))?;
    let mut fields = passed_on(request);
    let mut put = |name: &'static str, value: String| {
        fields.retain(|(other, _)| *other != name);
        fields.push((name.into(), value));
    };
    put("brokerName", shard.settings.config.broker_name.clone());
    // Of RocketMQ 5.
    if let Some(topic) = header.topic.as_deref().and_then(|topic| shard.topic(topic)) {
        put("topicSysFlag", topic.topic.sys_flag.to_string());
    }
    if let Some(group) = control.tables.borrow().groups.get(&header.consumer_group) {
        put("groupSysFlag", group.group_sys_flag.to_string());
    }
    let client_id = header.client_id.as_deref().unwrap_or("null");
    let (code, body) = (code::CONSUME_MESSAGE_DIRECTLY, record.into());
    ask(control, (&header.consumer_group, client_id), (code, fields, body)).await
}

/// Fields of a request to a client.
type Fields = Vec<(Cow<'static, str>, String)>;

/// What authenticates the administrator is none of the client's business.
const CREDENTIALS: [&str; 3] = ["AccessKey", "Signature", "SecurityToken"];

/// The fields of a request, for the client that it is about.
fn passed_on(request: &Request<'_>) -> Fields {
    let fields = request.header.fields.iter();
    let fields = fields.filter(|(name, _)| !CREDENTIALS.contains(name));
    fields.map(|(name, value)| (name.to_owned().into(), value.to_owned())).collect()
}

/// Asks a member of a group, and passes its answer on.
async fn ask<R: Runtime>(
    control: &Rc<Control<R>>,
    (group, client_id): (&str, &str),
    (code, fields, body): (i32, Fields, Arc<[u8]>),
) -> Handled {
    let (connection, address) = {
        let clients = &control.tables.borrow().clients;
        let member = clients.find_consumer(group, client_id);
        let member = member.ok_or_else(|| not_online(group, client_id))?;
        if member.version < VERSION_WITH_CALLS {
            return Err(too_old(client_id, member.version));
        }
        (member.connection, member.address)
    };
    let _question = control.questions.begin()?;
    let call = ClientCall { connection, code, fields, body, time: CALL_TIME };
    match control.shard.call_client(call).await {
        Ok(ClientAnswer { body, .. }) if body.len() > ANSWER_BYTES_MAX => {
            Err(Refusal::system_error(format!(
                "the answer of consumer <{group}> <{client_id}> has {} bytes, the limit is \
                 {ANSWER_BYTES_MAX}: ask for less, such as without its threads",
                body.len()
            )))
        }
        Ok(ClientAnswer { code, remark, body }) => {
            let remark = (!remark.is_empty()).then_some(remark);
            Ok(Response { code, remark, body, ..Response::default() })
        }
        Err(CallError::Timeout(time)) => {
            let remark = format!(
                "consumer <{group}> <{client_id}> Timeout: RemotingTimeoutException, wait \
                 response on the channel </{address}> timeout, {}(ms)",
                time.as_millis()
            );
            Err(Refusal::new(response::CONSUME_MSG_TIMEOUT, remark))
        }
        Err(error) => {
            let remark = format!("invoke consumer <{group}> <{client_id}> Exception: {error}");
            Err(Refusal::system_error(remark))
        }
    }
}

/// How far the members of a group are in a topic, as they say.
pub async fn status<R: Runtime>(control: &Rc<Control<R>>, request: &Request<'_>) -> Handled {
    let header = GetConsumerStatusRequestHeader::decode(&request.header.fields)?;
    let members = status_members(control, &header)?;
    let _question = control.questions.begin()?;
    let fields = [("topic", &header.topic), ("group", &header.group)];
    let fields = Fields::from(fields.map(|(name, value)| (name.into(), value.clone())));
    let mut body = GetConsumerStatusBody::default();
    let asked = async {
        let mut members = VecDeque::from(members);
        while !members.is_empty() {
            let some = members.drain(..members.len().min(STATUS_ASKED));
            let asked = some.map(|(connection, client_id)| {
                let fields = fields.clone();
                async move { (client_id, status_of(control, connection, fields).await) }
            });
            for (client_id, status) in join_all(asked).await {
                // As in Java those that do not answer are left out.
                if let Some(offsets) = status {
                    body.consumer_table.insert(client_id.to_string(), offsets);
                }
            }
        }
    };
    let limit = control.shard.runtime.sleep(STATUS_TIME_OF_ALL);
    futures_lite::future::or(asked, limit).await;
    long_body(&body, "ask for one client (clientAddr)")
}

type StatusMember = (ConnectionId, Arc<str>);

/// Whom to ask: all members, or the one that is named.
fn status_members<R: Runtime>(
    control: &Control<R>,
    header: &GetConsumerStatusRequestHeader,
) -> Result<Vec<StatusMember>, Refusal> {
    let group = &header.group;
    let wanted = header.client_addr.as_deref().filter(|wanted| !wanted.trim().is_empty());
    let clients = &control.tables.borrow().clients;
    let mut members = BTreeMap::new();
    let mut online = false;
    for member in clients.consumers(group) {
        online = true;
        if member.version < VERSION_WITH_STATUS {
            let remark =
                format!("the client does not support this feature. version={}", member.version);
            return Err(Refusal::system_error(remark));
        }
        if wanted.is_none_or(|wanted| *wanted == *member.client_id) {
            members.insert(member.client_id.clone(), member.connection);
        }
    }
    if !online {
        let remark = format!("No Any Consumer online in the consumer group: [{group}]");
        return Err(Refusal::system_error(remark));
    }
    Ok(members.into_iter().map(|(client_id, connection)| (connection, client_id)).collect())
}

async fn status_of<R: Runtime>(
    control: &Control<R>,
    connection: ConnectionId,
    fields: Fields,
) -> Option<QueueOffsets> {
    let code = code::GET_CONSUMER_STATUS_FROM_CLIENT;
    let body = Arc::from([]);
    let call = ClientCall { connection, code, fields, body, time: STATUS_TIME };
    let answer = control.shard.call_client(call).await.ok()?;
    if answer.code != response::SUCCESS || answer.body.len() > STATUS_BYTES_MAX {
        return None;
    }
    let memory = BODY_MEMORY_FREE + BODY_MEMORY_PER_BYTE * answer.body.len();
    let body: GetConsumerStatusBody = fastjson::from_slice_within(&answer.body, memory).ok()?;
    Some(body.message_queue_table)
}

#[cold]
fn not_online(group: &str, client_id: &str) -> Refusal {
    Refusal::system_error(format!("The Consumer <{group}> <{client_id}> not online"))
}

#[cold]
fn too_old(client_id: &str, version: i32) -> Refusal {
    Refusal::system_error(format!(
        "The Consumer <{client_id}> Version <{version}> too low to finish, please upgrade it to \
         V3_1_8_SNAPSHOT"
    ))
}

#[cold]
fn no_message(id: &str) -> Refusal {
    Refusal::system_error(format!("there is no message with the offsetMsgId [{id}] in this broker"))
}
