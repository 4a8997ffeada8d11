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
        Channel, ConsumeFromWhere, ConsumeType, ConsumerRegistration, GroupSubscriptions,
        MessageModel, Plan, Subscription,
    },
    filter::Filter,
    limits::{FEW_SUBSCRIPTIONS, PULLED_EXPRESSION_BYTES_MAX, SHORT_BODY_BYTES},
    pull_check::check_subscription,
    refusal::Refusal,
};

/// Producer groups that are noted without a pause: some 100 us.
const SLICE_PRODUCERS: usize = 64;

/// Client ids of a group that are listed without a pause: some 100 us.
const SLICE_IDS: usize = 256;

/// How often a plan is made again beside the shard since the group has changed meanwhile.
const PLANS_AGAIN_MAX: usize = 8;

pub async fn heartbeat<R: Runtime>(control: &Rc<Control<R>>, request: &Request<'_>) -> Handled {
    let shard = &control.shard;
    let _room = shard.body_room.take(request.body.len()).await;
    let mut beat = request.read(shard, read_beat).await?;
    let noted = note_beat(control, request, &mut beat).await;
    if request.body.len() > SHORT_BODY_BYTES {
        // Thousands of small values.
        shard.runtime.aside(move || drop(beat)).await;
    }
    noted.map(|()| Response::ok())
}

async fn note_beat<R: Runtime>(
    control: &Rc<Control<R>>,
    request: &Request<'_>,
    beat: &mut Beat,
) -> Result<(), Refusal> {
    let shard = &control.shard;
    let channel = Channel {
        connection: request.reply_to.connection,
        client_id: &beat.client_id,
        address: request.peer,
        language: request.header.language.unwrap_or(Language::Other),
        version: request.header.version,
    };
    for (consumer, subscriptions) in &mut beat.consumers {
        note_consumer(control, &channel, consumer, std::mem::take(subscriptions)).await?;
        shard.runtime.yield_if_needed().await;
    }
    for (count, producer) in beat.producers.iter().enumerate() {
        if count > 0 && count % SLICE_PRODUCERS == 0 {
            shard.runtime.yield_if_needed().await;
        }
        if shard.ended.has(channel.connection) {
            return Ok(());
        }
        let now = shard.runtime.now_ms();
        let clients = &mut control.tables.borrow_mut().clients;
        clients.register_producer(&channel, &producer.group_name, now)?;
    }
    Ok(())
}

/// Notes a consumer group of a heartbeat, unless its connection has ended: that may happen while
/// something is waited for, and no member may be left then.
async fn note_consumer<R: Runtime>(
    control: &Rc<Control<R>>,
    channel: &Channel<'_>,
    consumer: &ConsumerData,
    subscriptions: Vec<Subscription>,
) -> Result<(), Refusal> {
    let (shard, group) = (&control.shard, &consumer.group_name);
    // A group that may not be made has its members all the same: only their pulls are refused,
    // until somebody makes the group.
    let known = control.clone().ensure_group(group.clone()).await?;
    if known {
        control.make_retry_topic(group, consumer.unit_mode).await?;
    }
    if shard.ended.has(channel.connection) {
        return Ok(());
    }
    let notify = {
        let tables = control.tables.borrow();
        let group = tables.groups.get(group);
        group.is_none_or(|group| group.notify_consumer_ids_changed_enable)
    };
    let notify = notify && shard.settings.config.notify_consumer_ids_changed_enable;
    let now = shard.runtime.now_ms();
    let known = control.tables.borrow().clients.subscriptions(group);
    let count = known.as_ref().map_or(0, |known| known.topics.len()) + subscriptions.len();
    let many = count > FEW_SUBSCRIPTIONS;
    let mut plan = if many {
        plan_aside(control, known, (consumer, subscriptions), (notify, now)).await?
    } else {
        Plan::new(known, registration(consumer, subscriptions, (notify, now)))?
    };
    let noted = match shard.ended.has(channel.connection) {
        true => Ok(Vec::new()),
        false => {
            let clients = &mut control.tables.borrow_mut().clients;
            clients.register_planned(channel, group, &mut plan, shard.runtime.now_ms())
        }
    };
    let noted = noted.map(|events| control.client_events(events));
    if many {
        shard.runtime.aside(move || drop(plan)).await;
    }
    noted
}

/// Compares very many subscriptions with those of their group beside the shard.
async fn plan_aside<R: Runtime>(
    control: &Rc<Control<R>>,
    known: Option<Arc<GroupSubscriptions>>,
    (consumer, subscriptions): (&ConsumerData, Vec<Subscription>),
    (notify, now): (bool, i64),
) -> Result<Plan, Refusal> {
    let runtime = &control.shard.runtime;
    let group = &consumer.group_name;
    let consumer = consumer.clone();
    let plan = move || Plan::new(known, registration(&consumer, subscriptions, (notify, now)));
    let mut plan = runtime.aside(plan).await?;
    for _ in 0..PLANS_AGAIN_MAX {
        let known = control.tables.borrow().clients.subscriptions(group);
        if plan.fits(known.as_ref()) {
            break;
        }
        let again = move || {
            plan.again(known);
            plan
        };
        plan = runtime.aside(again).await;
    }
    Ok(plan)
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

/// `notify`: its members hear of changes.
fn registration(
    consumer: &ConsumerData,
    subscriptions: Vec<Subscription>,
    (notify, now): (bool, i64),
) -> ConsumerRegistration<'_> {
    ConsumerRegistration {
        group: &consumer.group_name,
        consume_type: ConsumeType::from_name(name(&consumer.consume_type))
            .unwrap_or(ConsumeType::Passively),
        message_model: MessageModel::from_name(name(&consumer.message_model))
            .unwrap_or(MessageModel::Clustering),
        consume_from_where: ConsumeFromWhere::from_name(name(&consumer.consume_from_where))
            .unwrap_or(ConsumeFromWhere::LastOffset),
        subscriptions: versioned(subscriptions, now),
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
        let enabled = shard.live().config.enable_property_filter;
        let check = move || {
            let kind = subscription.expression_type.as_deref().unwrap_or_default();
            check_subscription(&subscription.sub_string, kind, enabled)
        };
        // compiling takes longer than reading the same bytes
        match request.body.len() <= PULLED_EXPRESSION_BYTES_MAX {
            true => check()?,
            false => shard.runtime.aside(check).await?,
        }
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
