//! Consumer and producer groups: UPDATE_AND_CREATE_SUBSCRIPTIONGROUP (200),
//! UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST (225), GET_SUBSCRIPTIONGROUP_CONFIG (352),
//! DELETE_SUBSCRIPTIONGROUP (207), GET_ALL_SUBSCRIPTIONGROUP_CONFIG (201),
//! QUERY_TOPIC_CONSUME_BY_WHO (300), QUERY_TOPICS_BY_CONSUMER (343).
//! Handled by the control shard.

use std::{collections::BTreeSet, ops::Bound, rc::Rc, sync::Arc};

use ringmq_io::Runtime;
use ringmq_remoting::{
    body::{SubscriptionGroupConfig, SubscriptionGroupList},
    codes::response,
    fastjson,
    headers::admin::{
        DeleteSubscriptionGroupRequestHeader, GroupRequestHeader, TopicRequestHeader,
    },
};

use super::{name_list::NameList, table_body::TableBody};
use crate::{
    control::{Control, Tables, metadata::Subject},
    requests::{Handled, Request, Response},
    shard::Shard,
};
use ringmq_rules::{groups::Group, refusal::Refusal, topic::retry_topic};

/// Groups that are looked at without a pause: some 100 us.
const SLICE_GROUPS: usize = 512;

pub async fn update<R: Runtime>(control: &Rc<Control<R>>, request: &Request<'_>) -> Handled {
    let _room = control.shard.body_room.take(request.body.len()).await;
    let config: SubscriptionGroupConfig = request.json(&control.shard).await?;
    if change(control, config).await? {
        control.registrar.settled(&control.shard.runtime).await;
    }
    Ok(Response::ok())
}

/// Groups of a list, some of them that are there. If one is refused none is changed; what cannot be
/// written ends it in the middle, as in Java.
pub async fn update_list<R: Runtime>(control: &Rc<Control<R>>, request: &Request<'_>) -> Handled {
    let shard = &control.shard;
    let _room = shard.body_room.take(request.body.len()).await;
    let list: SubscriptionGroupList = request.json(shard).await?;
    let now = shard.runtime.now_ms();
    for config in &list.group_config_list {
        control.tables.borrow().groups.plan_update(group_of(config.clone()), now)?;
        shard.runtime.yield_if_needed().await;
    }
    let mut topics_changed = false;
    for config in list.group_config_list {
        topics_changed |= change(control, config).await?;
    }
    if topics_changed {
        control.registrar.settled(&shard.runtime).await;
    }
    Ok(Response::ok())
}

fn group_of(config: SubscriptionGroupConfig) -> Group {
    let mut group = Group::new(&config.group_name);
    group.consume_enable = config.consume_enable;
    group.consume_from_min_enable = config.consume_from_min_enable;
    group.consume_broadcast_enable = config.consume_broadcast_enable;
    group.consume_message_orderly = config.consume_message_orderly;
    group.retry_queues = config.retry_queue_nums;
    group.retry_max_times = config.retry_max_times;
    group.broker_id = config.broker_id;
    group.which_broker_when_consume_slowly = config.which_broker_when_consume_slowly;
    group.notify_consumer_ids_changed_enable = config.notify_consumer_ids_changed_enable;
    group.group_sys_flag = config.group_sys_flag;
    group.consume_timeout_minutes = config.consume_timeout_minute;
    group.attributes = config.attributes.unwrap_or_default();
    group.retry_policy = config.group_retry_policy;
    group
}

/// True if its retry topic got more queues.
async fn change<R: Runtime>(
    control: &Rc<Control<R>>,
    config: SubscriptionGroupConfig,
) -> Result<bool, Refusal> {
    let group = group_of(config);
    let now = control.shard.runtime.now_ms();
    let subject = Subject::Group(group.name.clone());
    let retry = (retry_topic(&group.name), group.retry_queues);
    control.change(subject, |tables| tables.groups.plan_update(group, now).map(Some)).await?;
    let subject = Subject::Topic(Arc::from(&*retry.0));
    let more = |tables: &Tables| Ok(tables.topics.plan_more_queues(&retry.0, retry.1, now));
    control.change(subject, more).await
}

/// Of RocketMQ 5. Java's broker makes a group that it is asked for; here nothing is changed.
pub async fn one<R: Runtime>(control: &Rc<Control<R>>, request: &Request<'_>) -> Handled {
    let GroupRequestHeader { group } = GroupRequestHeader::decode(&request.header.fields)?;
    let tables = control.tables.borrow();
    let Some(found) = tables.groups.get(&group) else {
        return Err(Refusal::new(
            response::SUBSCRIPTION_GROUP_NOT_EXIST,
            "No group in this broker",
        ));
    };
    Ok(Response::with_body(fastjson::to_vec(&config(found))))
}

pub async fn delete<R: Runtime>(control: &Rc<Control<R>>, request: &Request<'_>) -> Handled {
    let header = DeleteSubscriptionGroupRequestHeader::decode(&request.header.fields)?;
    let now = control.shard.runtime.now_ms();
    let subject = Subject::Group(Arc::from(&*header.group_name));
    let plan = |tables: &Tables| Ok(tables.groups.plan_delete(&header.group_name, now));
    if !control.change(subject, plan).await? {
        // One whose creation was refused and taken back may be there after the next start.
        control.metadata.check_no_doubt()?;
    }
    control.stats.borrow_mut().forget(None, Some(&header.group_name));
    if header.remove_offset || header.clean_offset {
        control.forget_offsets(None, Some(header.group_name)).await?;
    } else {
        let group: Arc<str> = Arc::from(header.group_name);
        let forget = async move |shard: Rc<Shard<R>>| {
            shard.forget_next_pulls((None, Some(&group))).await;
        };
        control.shard.call_all(forget).await;
    }
    Ok(Response::ok())
}

pub async fn all<R: Runtime>(control: &Rc<Control<R>>, _: &Request<'_>) -> Handled {
    let version = control.tables.borrow().groups.version();
    let write = |body: &mut TableBody, after: Bound<&str>| {
        let groups = &control.tables.borrow().groups;
        body.add(groups.iter_from(after).map(|group| (&group.name, config(group))));
    };
    let pause = async || control.shard.runtime.yield_if_needed().await;
    let body = TableBody::write("subscriptionGroupTable", version, write, pause).await;
    body.answer("delete unused groups")
}

fn config(group: &Group) -> SubscriptionGroupConfig {
    SubscriptionGroupConfig {
        group_name: group.name.to_string(),
        consume_enable: group.consume_enable,
        consume_from_min_enable: group.consume_from_min_enable,
        consume_broadcast_enable: group.consume_broadcast_enable,
        consume_message_orderly: group.consume_message_orderly,
        retry_queue_nums: group.retry_queues,
        retry_max_times: group.retry_max_times,
        broker_id: group.broker_id,
        which_broker_when_consume_slowly: group.which_broker_when_consume_slowly,
        notify_consumer_ids_changed_enable: group.notify_consumer_ids_changed_enable,
        group_sys_flag: group.group_sys_flag,
        consume_timeout_minute: group.consume_timeout_minutes,
        group_retry_policy: group.retry_policy.clone(),
        attributes: (!group.attributes.is_empty()).then(|| group.attributes.clone()),
        ..SubscriptionGroupConfig::default()
    }
}

/// The groups that consume a topic now, or once did: they have offsets in it.
pub async fn consumers_of_topic<R: Runtime>(
    control: &Rc<Control<R>>,
    request: &Request<'_>,
) -> Handled {
    let shard = &control.shard;
    let TopicRequestHeader { topic: wanted } = TopicRequestHeader::decode(&request.header.fields)?;
    let mut list = NameList::new("groupList");
    let mut online = BTreeSet::new();
    let mut after: Arc<str> = Arc::from("");
    loop {
        let some: Vec<_> = {
            let clients = &control.tables.borrow().clients;
            let groups = clients.groups_and_topic(&wanted, &after).take(SLICE_GROUPS);
            groups.map(|(group, consumes)| (group.clone(), consumes)).collect()
        };
        let Some((last, _)) = some.last() else { break };
        after = last.clone();
        let consume = some.into_iter().filter(|(_, consumes)| *consumes);
        online.extend(consume.map(|(group, _)| group));
        shard.runtime.yield_if_needed().await;
    }
    after = Arc::from("");
    loop {
        let stored = shard.groups_with_offsets(&wanted, &after).await;
        let Some(last) = stored.last() else { break };
        after = last.clone();
        for group in &stored {
            online.remove(group);
        }
        list.add(&stored);
        shard.runtime.yield_if_needed().await;
    }
    while let Some(group) = online.pop_first() {
        list.add([&group]);
        shard.runtime.yield_if_needed().await;
    }
    list.answer("ask for less, such as one topic or one group")
}

/// The topics in which a group has offsets.
pub async fn topics_of_group<R: Runtime>(
    control: &Rc<Control<R>>,
    request: &Request<'_>,
) -> Handled {
    let shard = &control.shard;
    let GroupRequestHeader { group } = GroupRequestHeader::decode(&request.header.fields)?;
    let mut list = NameList::new("topicList");
    let mut after: Arc<str> = Arc::from("");
    loop {
        let stored = shard.topics_with_offsets(&group, &after).await;
        let Some(last) = stored.last() else { break };
        after = last.clone();
        list.add(&stored);
        shard.runtime.yield_if_needed().await;
    }
    list.answer("ask for less, such as one topic or one group")
}
