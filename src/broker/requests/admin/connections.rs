//! Who is in a group: GET_CONSUMER_CONNECTION_LIST (203), GET_PRODUCER_CONNECTION_LIST (204),
//! GET_ALL_PRODUCER_INFO (328), QUERY_SUBSCRIPTION_BY_CONSUMER (345). Handled by the control shard,
//! a few members at a time.

use std::{rc::Rc, sync::Arc};

use ringmq_io::Runtime;
use ringmq_remoting::{
    body::{Connection, ProducerInfo, QuerySubscriptionResponseBody, SubscriptionData},
    codes::response,
    fastjson,
    headers::admin::{
        GetConsumerConnectionListRequestHeader, GetProducerConnectionListRequestHeader,
        QuerySubscriptionByConsumerRequestHeader,
    },
};
use ringmq_rules::{
    ConnectionId,
    clients::{Client, ClientTable, Subscription},
    refusal::Refusal,
};

use super::body::PartedBody;
use crate::{
    control::Control,
    requests::{Handled, Request, Response},
};

/// Members or subscriptions that are written without a pause: some 200 us.
const SLICE_MEMBERS: usize = 128;

const BEGIN: &[u8] = b"{\"connectionSet\":[";

pub async fn consumers<R: Runtime>(control: &Rc<Control<R>>, request: &Request<'_>) -> Handled {
    let header = GetConsumerConnectionListRequestHeader::decode(&request.header.fields)?;
    let group = &header.consumer_group;
    let subscriptions = control.tables.borrow().clients.subscriptions(group);
    let Some(subscriptions) = subscriptions else {
        let remark = format!("the consumer group[{group}] not online");
        return Err(Refusal::new(response::CONSUMER_NOT_ONLINE, remark));
    };
    let mut body = PartedBody::new(BEGIN.to_vec());
    write_members(control, &mut body, |clients, after| {
        next(clients.consumers_behind(group, after))
    })
    .await;
    body.text("],\"subscriptionTable\":{");
    for (count, one) in subscriptions.topics.values().enumerate() {
        body.item(|part| {
            fastjson::append(part, &*one.topic);
            part.push(b':');
            fastjson::append(part, &subscription(one));
        });
        if count % SLICE_MEMBERS == 0 {
            control.shard.runtime.yield_if_needed().await;
        }
    }
    body.text(&format!(
        "}},\"consumeType\":\"{}\",\"messageModel\":\"{}\",\"consumeFromWhere\":\"{}\"}}",
        subscriptions.consume_type.name(),
        subscriptions.message_model.name(),
        subscriptions.consume_from_where.name()
    ));
    body.answer("ask for less, such as one topic or one group")
}

/// What the members of a group subscribe of a topic; nothing if they are not online, or do not.
pub async fn subscription_of<R: Runtime>(
    control: &Rc<Control<R>>,
    request: &Request<'_>,
) -> Handled {
    let header = QuerySubscriptionByConsumerRequestHeader::decode(&request.header.fields)?;
    let subscriptions = control.tables.borrow().clients.subscriptions(&header.group);
    let found = subscriptions.as_ref().and_then(|all| all.topics.get(&header.topic));
    let body = QuerySubscriptionResponseBody {
        subscription_data: found.map(subscription),
        group: header.group,
        topic: header.topic,
    };
    Ok(Response::with_body(fastjson::to_vec(&body)))
}

pub async fn producers<R: Runtime>(control: &Rc<Control<R>>, request: &Request<'_>) -> Handled {
    let header = GetProducerConnectionListRequestHeader::decode(&request.header.fields)?;
    let group = &header.producer_group;
    if control.tables.borrow().clients.producers_behind(group, None).next().is_none() {
        return Err(Refusal::system_error(format!("the producer group[{group}] not exist")));
    }
    let mut body = PartedBody::new(BEGIN.to_vec());
    write_members(control, &mut body, |clients, after| {
        next(clients.producers_behind(group, after))
    })
    .await;
    body.text("]}");
    body.answer("spread its producers over more groups")
}

/// All producers by group.
pub async fn all_producers<R: Runtime>(control: &Rc<Control<R>>, _: &Request<'_>) -> Handled {
    let mut body = PartedBody::new(b"{\"data\":{".to_vec());
    let mut last: Option<Arc<str>> = None;
    loop {
        let before = last.clone();
        let mut members = 0;
        for group in control.tables.borrow().clients.producer_groups_behind(before.as_ref()) {
            if members >= SLICE_MEMBERS {
                break;
            }
            let clients = &control.tables.borrow().clients;
            let producers: Vec<_> = clients.producers_behind(group, None).map(producer).collect();
            members += producers.len();
            body.item(|part| {
                fastjson::append(part, &**group);
                part.push(b':');
                fastjson::append(part, &producers);
            });
            last = Some(group.clone());
        }
        if last == before {
            break;
        }
        control.shard.runtime.yield_if_needed().await;
    }
    body.text("}}");
    body.answer("ask for one group")
}

fn producer(client: &Client) -> ProducerInfo {
    ProducerInfo {
        client_id: client.client_id.to_string(),
        remote_ip: format!("/{}", client.address),
        language: client.language.name().to_owned(),
        version: client.version,
        last_update_timestamp: client.last_update,
    }
}

type Members = Vec<(ConnectionId, Connection)>;

/// Writes the members of a group, of which `some` gives the next ones behind a connection.
async fn write_members<R: Runtime>(
    control: &Rc<Control<R>>,
    body: &mut PartedBody,
    some: impl Fn(&ClientTable, Option<ConnectionId>) -> Members,
) {
    let mut after = None;
    loop {
        let members = some(&control.tables.borrow().clients, after);
        let Some((last, _)) = members.last() else {
            return;
        };
        after = Some(*last);
        for (_, member) in &members {
            body.item(|part| fastjson::append(part, member));
        }
        control.shard.runtime.yield_if_needed().await;
    }
}

fn next<'a>(members: impl Iterator<Item = &'a Client>) -> Members {
    members.take(SLICE_MEMBERS).map(|client| (client.connection, connection(client))).collect()
}

fn connection(client: &Client) -> Connection {
    Connection {
        client_id: client.client_id.to_string(),
        client_addr: client.address.to_string(),
        language: client.language.name().to_owned(),
        version: client.version,
    }
}

pub fn subscription(one: &Subscription) -> SubscriptionData {
    SubscriptionData {
        class_filter_mode: one.class_filter_mode,
        topic: one.topic.to_string(),
        sub_string: one.text.clone(),
        tags_set: one.tags.iter().cloned().collect(),
        code_set: one.codes.iter().copied().collect(),
        sub_version: one.version,
        expression_type: Some(one.expression_type.clone()),
        filter_class_source: None,
    }
}
