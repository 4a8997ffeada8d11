//! Topics: UPDATE_AND_CREATE_TOPIC (17), UPDATE_AND_CREATE_TOPIC_LIST (18), DELETE_TOPIC_IN_BROKER
//! (215), GET_ALL_TOPIC_CONFIG (21), GET_TOPIC_CONFIG (351), GET_TOPIC_STATS_INFO (202),
//! GET_SYSTEM_TOPIC_LIST_FROM_BROKER (305). Handled by the control shard.

use std::{ops::Bound, rc::Rc, sync::Arc};

use ringmq_io::Runtime;
use ringmq_remoting::{
    body::{CreateTopicListRequestBody, TopicConfig, TopicList, TopicOffset},
    fastjson,
    headers::admin::{CreateTopicRequestHeader, TopicRequestHeader},
};

use super::{
    body::{long_body, message_queue},
    queue_table::QueueTable,
    table_body::TableBody,
};
use crate::{
    control::{Control, metadata::Subject},
    requests::{Handled, Request, Response},
    shard::lookups::slices,
};
use ringmq_rules::{
    refusal::Refusal,
    send_check::unknown_topic,
    topics::{TopicFilterType, TopicUpdate},
};

pub async fn update<R: Runtime>(control: &Rc<Control<R>>, request: &Request<'_>) -> Handled {
    let header = CreateTopicRequestHeader::decode(&request.header.fields)?;
    let update = TopicUpdate {
        topic: &header.topic,
        read_queues: header.read_queue_nums,
        write_queues: header.write_queue_nums,
        perm: header.perm,
        filter_type: TopicFilterType::from_name(&header.topic_filter_type),
        sys_flag: header.topic_sys_flag.unwrap_or(0),
        order: header.order,
        attributes: header.attributes.as_deref().unwrap_or_default(),
    };
    change(control, update).await?;
    control.registrar.settled(&control.shard.runtime).await;
    Ok(Response::ok())
}

async fn change<R: Runtime>(
    control: &Rc<Control<R>>,
    update: TopicUpdate<'_>,
) -> Result<(), Refusal> {
    let now = control.shard.runtime.now_ms();
    let subject = Subject::Topic(Arc::from(update.topic));
    control.change(subject, |tables| tables.topics.plan_update(update, now).map(Some)).await?;
    Ok(())
}

/// Topics of a list, some of them that are there. If one is refused none is changed; what cannot be
/// written ends it in the middle, as in Java.
pub async fn update_list<R: Runtime>(control: &Rc<Control<R>>, request: &Request<'_>) -> Handled {
    let shard = &control.shard;
    let _room = shard.body_room.take(request.body.len()).await;
    let body: CreateTopicListRequestBody = request.json(shard).await?;
    let configs = body.topic_config_list.into_iter();
    let configs: Vec<_> = configs.map(|config| (attributes(&config), config)).collect();
    let now = shard.runtime.now_ms();
    for (attributes, config) in &configs {
        control.tables.borrow().topics.plan_update(update_of(config, attributes), now)?;
        shard.runtime.yield_if_needed().await;
    }
    for (attributes, config) in &configs {
        change(control, update_of(config, attributes)).await?;
    }
    control.registrar.settled(&shard.runtime).await;
    Ok(Response::ok())
}

/// As [`TopicUpdate`] has them: `+name=value,-name`.
fn attributes(config: &TopicConfig) -> String {
    let all = config.attributes.iter().flatten();
    let all = all.map(|(name, value)| match value.is_empty() {
        true => name.clone(),
        false => format!("{name}={value}"),
    });
    all.collect::<Vec<_>>().join(",")
}

fn update_of<'a>(config: &'a TopicConfig, attributes: &'a str) -> TopicUpdate<'a> {
    TopicUpdate {
        topic: &config.topic_name,
        read_queues: config.read_queue_nums,
        write_queues: config.write_queue_nums,
        perm: config.perm,
        filter_type: TopicFilterType::from_name(&config.topic_filter_type),
        sys_flag: config.topic_sys_flag,
        order: config.order,
        attributes,
    }
}

pub async fn delete<R: Runtime>(control: &Rc<Control<R>>, request: &Request<'_>) -> Handled {
    let header = TopicRequestHeader::decode(&request.header.fields)?;
    let deleted = control.delete_topic(&header.topic).await?;
    // Also if the topic is gone: it may be that only they could not be removed the last time.
    control.stats.borrow_mut().forget(Some(&header.topic), None);
    control.forget_offsets(Some(header.topic), None).await?;
    if deleted {
        control.registrar.settled(&control.shard.runtime).await;
    }
    Ok(Response::ok())
}

pub async fn all<R: Runtime>(control: &Rc<Control<R>>, _: &Request<'_>) -> Handled {
    let version = control.tables.borrow().topics.version();
    let write = |body: &mut TableBody, after: Bound<&str>| {
        let topics = &control.tables.borrow().topics;
        body.add(topics.iter_from(after).map(|topic| (&topic.name, topic.config())));
    };
    let pause = async || control.shard.runtime.yield_if_needed().await;
    let body = TableBody::write("topicConfigTable", version, write, pause).await;
    body.answer("delete unused topics, or ask for single ones (GET_TOPIC_CONFIG)")
}

pub async fn one<R: Runtime>(control: &Rc<Control<R>>, request: &Request<'_>) -> Handled {
    let shard = &control.shard;
    let header = TopicRequestHeader::decode(&request.header.fields)?;
    let topic = shard.topic(&header.topic).ok_or_else(|| unknown_topic(&header.topic))?;
    Ok(Response::with_body(fastjson::to_vec(&topic.topic.config())))
}

pub async fn stats<R: Runtime>(control: &Rc<Control<R>>, request: &Request<'_>) -> Handled {
    let shard = &control.shard;
    let header = TopicRequestHeader::decode(&request.header.fields)?;
    let topic = shard.topic(&header.topic).ok_or_else(|| unknown_topic(&header.topic))?;
    let mut table = QueueTable::new();
    let mut key = message_queue(&shard.settings.config, &header.topic, 0);
    for slice in slices(topic.topic.queues()) {
        for queue in shard.bounds(&topic, slice).await {
            key.queue_id = queue.queue_id;
            let offset = TopicOffset {
                min_offset: queue.min,
                max_offset: queue.max,
                last_update_timestamp: queue.last_timestamp,
            };
            table.add(&key, &offset);
            shard.runtime.yield_if_needed().await;
        }
        if !table.fits() {
            break;
        }
    }
    table.answer("", "ask for less")
}

pub async fn system_list<R: Runtime>(control: &Rc<Control<R>>, _: &Request<'_>) -> Handled {
    let tables = control.tables.borrow();
    let names = tables.topics.system_topics().into_iter().map(str::to_owned);
    let body = TopicList { topic_list: names.collect(), ..TopicList::default() };
    long_body(&body, "ask for less")
}
