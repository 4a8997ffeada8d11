//! Topics: UPDATE_AND_CREATE_TOPIC (17), DELETE_TOPIC_IN_BROKER (215), GET_ALL_TOPIC_CONFIG (21),
//! GET_TOPIC_CONFIG (351), GET_TOPIC_STATS_INFO (202), GET_SYSTEM_TOPIC_LIST_FROM_BROKER (305).
//! Handled by the control shard.

use std::{rc::Rc, sync::Arc};

use ringmq_io::Runtime;
use ringmq_remoting::{
    body::{DataVersion, MessageQueue, TopicList, TopicOffset, TopicStatsTable},
    fastjson::{self, Entries},
    headers::admin::{CreateTopicRequestHeader, TopicRequestHeader},
};

use crate::{
    messages::ask::{Answer, Ask, QueueBounds},
    requests::{Handled, Request, Response},
    shard::{Shard, view::TopicView},
};
use ringmq_rules::{
    meta::{self, MetaChange},
    refusal::Refusal,
    send_check::unknown_topic,
    topics::{TopicFilterType, TopicUpdate},
};
use serde::Serialize;

pub async fn update<R: Runtime>(shard: &Rc<Shard<R>>, request: &Request<'_>) -> Handled {
    let header = CreateTopicRequestHeader::decode(&request.header.fields)?;
    let control = shard.control();
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
    let now = shard.runtime.now_ms();
    let change = control.tables.borrow().topics.plan_update(update, now)?;
    control.commit(change).await?;
    control.registrar.settled(&shard.runtime).await;
    Ok(Response::ok())
}

pub async fn delete<R: Runtime>(shard: &Rc<Shard<R>>, request: &Request<'_>) -> Handled {
    let header = TopicRequestHeader::decode(&request.header.fields)?;
    let control = shard.control();
    let now = shard.runtime.now_ms();
    let ends = match shard.topic(&header.topic) {
        Some(topic) => shard.all_ends(&topic).await?,
        None => Vec::new(),
    };
    let change = control.tables.borrow().topics.plan_delete(&header.topic, ends, now)?;
    if let Some(change) = change {
        control.commit(change).await?;
        shard.forget_offsets(Some(header.topic), None).await?;
        control.registrar.settled(&shard.runtime).await;
    }
    Ok(Response::ok())
}

pub async fn all<R: Runtime>(shard: &Rc<Shard<R>>, _: &Request<'_>) -> Handled {
    let control = shard.control();
    let topics = &control.tables.borrow().topics;
    let table = || topics.iter().map(|topic| (&*topic.name, topic.config()));
    let body =
        AllTopics { topic_config_table: Entries(table), data_version: version(topics.version()) };
    long_body(&body, "delete unused topics, or ask for single ones (GET_TOPIC_CONFIG)")
}

/// [`ringmq_remoting::body::TopicConfigSerializeWrapper`], written from the table.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AllTopics<T> {
    topic_config_table: T,
    data_version: DataVersion,
}

/// An answer that grows with the broker's tables.
pub fn long_body(body: &impl Serialize, remedy: &str) -> Handled {
    match fastjson::to_vec_for_frame(body) {
        Ok(body) => Ok(Response::with_body(body)),
        Err(error) => Err(Refusal::system_error(format!("{error}: {remedy}"))),
    }
}

pub async fn one<R: Runtime>(shard: &Rc<Shard<R>>, request: &Request<'_>) -> Handled {
    let header = TopicRequestHeader::decode(&request.header.fields)?;
    let topic = shard.topic(&header.topic).ok_or_else(|| unknown_topic(&header.topic))?;
    Ok(Response::with_body(fastjson::to_vec(&topic.topic.config())))
}

pub async fn stats<R: Runtime>(shard: &Rc<Shard<R>>, request: &Request<'_>) -> Handled {
    let header = TopicRequestHeader::decode(&request.header.fields)?;
    let topic = shard.topic(&header.topic).ok_or_else(|| unknown_topic(&header.topic))?;
    let mut body = TopicStatsTable::default();
    for queue in shard.bounds(&topic).await {
        let key = shard.message_queue(&header.topic, queue.queue_id);
        let offset = TopicOffset {
            min_offset: queue.min,
            max_offset: queue.max,
            last_update_timestamp: queue.last_timestamp,
        };
        body.offset_table.insert(key, offset);
    }
    long_body(&body, "ask for less")
}

pub async fn system_list<R: Runtime>(shard: &Rc<Shard<R>>, _: &Request<'_>) -> Handled {
    let control = shard.control();
    let tables = control.tables.borrow();
    let names = tables.topics.system_topics().into_iter().map(str::to_owned);
    let body = TopicList { topic_list: names.collect(), ..TopicList::default() };
    long_body(&body, "ask for less")
}

pub fn version(version: meta::DataVersion) -> DataVersion {
    DataVersion {
        state_version: version.state_version,
        timestamp: version.timestamp,
        counter: version.counter,
    }
}

impl<R: Runtime> Shard<R> {
    pub fn message_queue(&self, topic: &str, queue_id: i32) -> MessageQueue {
        MessageQueue {
            topic: topic.to_owned(),
            broker_name: self.facts.config.broker_name.clone(),
            queue_id,
        }
    }

    /// What all queues of a topic hold, in their order.
    pub async fn bounds(self: &Rc<Self>, topic: &Arc<TopicView>) -> Vec<QueueBounds> {
        let mut all = Vec::new();
        for shard in self.everybody() {
            if let Answer::Bounds(bounds) = self.ask(shard, Ask::Bounds(topic.clone())).await {
                all.extend(bounds);
            }
        }
        all.sort_unstable_by_key(|bounds| bounds.queue_id);
        all
    }

    /// Removes consumer offsets everywhere; durable when resolved.
    pub async fn forget_offsets(
        self: &Rc<Self>,
        topic: Option<String>,
        group: Option<String>,
    ) -> Result<(), Refusal> {
        for shard in self.everybody() {
            let ask = Ask::ForgetOffsets { topic: topic.clone(), group: group.clone() };
            self.ask(shard, ask).await;
        }
        self.control().commit(MetaChange::OffsetsDelete { topic, group }).await
    }
}
