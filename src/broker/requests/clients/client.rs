//! Clients: HEART_BEAT (34), UNREGISTER_CLIENT (35), CHECK_CLIENT_CONFIG (46),
//! GET_CONSUMER_LIST_BY_GROUP (38). Handled by the control shard, which knows all clients.

use std::{collections::BTreeMap, iter, rc::Rc, sync::Arc};

use ringmq_io::Runtime;
use ringmq_remoting::{
    body::{CheckClientRequestBody, ConsumerData, HeartbeatData, ProducerData, SubscriptionData},
    command::Language,
    headers::consume::{GetConsumerListByGroupRequestHeader, UnregisterClientRequestHeader},
};

use crate::{
    control::Control,
    requests::{Handled, Request, Response, admin::name_list::NameList, response::read_json},
    shard::{Shard, control_plane::ControlPlane},
};
use ringmq_rules::{
    clients::{
        Channel, ConsumeFromWhere, ConsumeType, ConsumerRegistration, MessageModel, Subscription,
    },
    filter::Filter,
    pull_check::check_subscription,
    refusal::Refusal,
};

/// Producer groups that are noted without a pause: some 100 us.
const SLICE_PRODUCERS: usize = 64;

/// Client ids of a group that are listed without a pause: some 100 us.
const SLICE_IDS: usize = 256;

pub async fn heartbeat<R: Runtime>(control: &Rc<Control<R>>, request: &Request<'_>) -> Handled {
    let shard = &control.shard;
    // Its connection may end while something is waited for: no member may be left then.
    let is_gone = || shard.ended.has(request.reply_to.connection);
    let _room = shard.body_room.take(request.body.len()).await;
    let mut beat = request.read(shard, read_beat).await?;
    let channel = Channel {
        connection: request.reply_to.connection,
        client_id: &beat.client_id,
        address: request.peer,
        language: request.header.language.unwrap_or(Language::Other),
        version: request.header.version,
    };
    for (consumer, subscriptions) in &mut beat.consumers {
        // A group that may not be made has its members all the same: only their pulls are refused,
        // until somebody makes the group.
        let known = control.clone().ensure_group(consumer.group_name.clone()).await?;
        if known {
            control.make_retry_topic(&consumer.group_name, consumer.unit_mode).await?;
        }
        if is_gone() {
            return Ok(Response::ok());
        }
        let notify = {
            let tables = control.tables.borrow();
            let group = tables.groups.get(&consumer.group_name);
            group.is_none_or(|group| group.notify_consumer_ids_changed_enable)
        };
        let notify = notify && shard.settings.config.notify_consumer_ids_changed_enable;
        let now = shard.runtime.now_ms();
        let subscriptions = versioned(std::mem::take(subscriptions), now);
        let registration = registration(consumer, subscriptions, notify);
        let events =
            control.tables.borrow_mut().clients.register_consumer(&channel, registration, now)?;
        control.client_events(events);
        shard.runtime.yield_if_needed().await;
    }
    for (count, producer) in beat.producers.iter().enumerate() {
        if count > 0 && count % SLICE_PRODUCERS == 0 {
            shard.runtime.yield_if_needed().await;
        }
        if is_gone() {
            return Ok(Response::ok());
        }
        let now = shard.runtime.now_ms();
        let clients = &mut control.tables.borrow_mut().clients;
        clients.register_producer(&channel, &producer.group_name, now)?;
    }
    Ok(Response::ok())
}

/// A heartbeat, with what the broker makes of its subscriptions.
struct Beat {
    client_id: String,
    /// Without their subscriptions, which stand beside them.
    consumers: Vec<(ConsumerData, Vec<Subscription>)>,
    producers: Vec<ProducerData>,
}

fn read_beat(body: &[u8], memory: usize) -> Result<Beat, Refusal> {
    let beat: HeartbeatData = read_json(body, memory)?;
    let consumers = beat.consumer_data_set.into_iter().map(|mut consumer| {
        let data = std::mem::take(&mut consumer.subscription_data_set);
        let mut subscriptions: Vec<_> = data.into_iter().map(subscription).collect();
        // They are sorted where they are noted: what is sorted already takes no time there.
        subscriptions.sort_by(|a, b| a.topic.cmp(&b.topic));
        (consumer, subscriptions)
    });
    Ok(Beat {
        client_id: beat.client_id,
        consumers: consumers.collect(),
        producers: beat.producer_data_set,
    })
}

fn subscription(data: SubscriptionData) -> Subscription {
    let mut made = Subscription::new(
        &data.topic,
        &data.sub_string,
        data.tags_set.into_iter().collect(),
        data.code_set.into_iter().collect(),
        data.sub_version,
        data.expression_type.as_deref().unwrap_or_default(),
    );
    if data.class_filter_mode {
        // The client has a filter of its own.
        made.class_filter_mode = true;
        made.filter = Filter::ALL;
    }
    made
}

/// As in Java, a subscription without a version is as new as its heartbeat: `now`, in milliseconds
/// since 1970.
fn versioned(mut subscriptions: Vec<Subscription>, now: i64) -> Vec<Subscription> {
    for subscription in subscriptions.iter_mut().filter(|one| one.version == 0) {
        subscription.version = now;
    }
    subscriptions
}

fn registration(
    consumer: &ConsumerData,
    subscriptions: Vec<Subscription>,
    notify: bool,
) -> ConsumerRegistration<'_> {
    ConsumerRegistration {
        group: &consumer.group_name,
        consume_type: ConsumeType::from_name(name(&consumer.consume_type))
            .unwrap_or(ConsumeType::Passively),
        message_model: MessageModel::from_name(name(&consumer.message_model))
            .unwrap_or(MessageModel::Clustering),
        consume_from_where: ConsumeFromWhere::from_name(name(&consumer.consume_from_where))
            .unwrap_or(ConsumeFromWhere::LastOffset),
        subscriptions,
        notify,
    }
}

fn name(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or_default()
}

pub async fn unregister<R: Runtime>(control: &Rc<Control<R>>, request: &Request<'_>) -> Handled {
    let header = UnregisterClientRequestHeader::decode(&request.header.fields)?;
    let connection = request.reply_to.connection;
    if let Some(group) = header.producer_group.as_deref().filter(|group| !group.is_empty()) {
        control.tables.borrow_mut().clients.unregister_producer(connection, group);
    }
    if let Some(group) = header.consumer_group.as_deref().filter(|group| !group.is_empty()) {
        let events = control.tables.borrow_mut().clients.unregister_consumer(connection, group);
        control.client_events(events);
    }
    Ok(Response::ok())
}

/// Tells a consumer before its first pull whether the broker understands its filter.
pub async fn check_config<R: Runtime>(shard: &Rc<Shard<R>>, request: &Request<'_>) -> Handled {
    let _room = shard.body_room.take(request.body.len()).await;
    let body: CheckClientRequestBody = request.json(shard).await?;
    if let Some(subscription) = body.subscription_data {
        let kind = subscription.expression_type.as_deref().unwrap_or_default();
        let enabled = shard.live().config.enable_property_filter;
        check_subscription(&subscription.sub_string, kind, enabled)?;
    }
    Ok(Response::ok())
}

/// The client ids of a group, sorted, as all its members must see them: as in Java one for each
/// connection, so that members of brokers of both kinds share queues out alike.
pub async fn consumer_list<R: Runtime>(control: &Rc<Control<R>>, request: &Request<'_>) -> Handled {
    let header = GetConsumerListByGroupRequestHeader::decode(&request.header.fields)?;
    let group = &header.consumer_group;
    let (mut ids, mut last) = (BTreeMap::<Arc<str>, usize>::new(), None);
    loop {
        let mut some = 0;
        for member in control.tables.borrow().clients.consumers_behind(group, last).take(SLICE_IDS)
        {
            *ids.entry(member.client_id.clone()).or_default() += 1;
            (some, last) = (some + 1, Some(member.connection));
        }
        if some < SLICE_IDS {
            break;
        }
        control.shard.runtime.yield_if_needed().await;
    }
    if ids.is_empty() {
        let remark = format!("no consumer for this group, {group}");
        return Err(Refusal::system_error(remark));
    }
    let mut list = NameList::new("consumerIdList");
    let mut written = 0;
    while let Some((id, count)) = ids.pop_first() {
        list.add(iter::repeat_n(&id, count));
        written += count;
        if written >= SLICE_IDS {
            written = 0;
            control.shard.runtime.yield_if_needed().await;
        }
    }
    list.answer("use more groups")
}
