//! Consumer groups: settings, progress and members.

use std::collections::{BTreeMap, BTreeSet};

use ringmq_client::{CallError, Client};
use ringmq_remoting::body::{
    ConsumeStats, ConsumerConnection, MessageQueue, SubscriptionData, SubscriptionGroupConfig,
    SubscriptionGroupWrapper,
};
use ringmq_remoting::codes::{request, response, topic};
use ringmq_remoting::fastjson;
use serde::Deserialize;

use super::{any_member, ask, brokers_with, clusters, route};

/// What a client tells of its consumer: the answer to GET_CONSUMER_RUNNING_INFO.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunningInfo {
    pub properties: BTreeMap<String, String>,
    pub subscription_set: Vec<SubscriptionData>,
    pub mq_table: BTreeMap<MessageQueue, ProcessQueue>,
    pub status_table: BTreeMap<String, ConsumeStatus>,
    pub jstack: Option<String>,
}

/// A queue as its reader sees it. Times are milliseconds since 1970.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProcessQueue {
    pub commit_offset: i64,
    pub cached_msg_min_offset: i64,
    pub cached_msg_max_offset: i64,
    pub cached_msg_count: i64,
    #[serde(rename = "cachedMsgSizeInMiB")]
    pub cached_msg_size_mib: i64,
    pub transaction_msg_min_offset: i64,
    pub transaction_msg_max_offset: i64,
    pub transaction_msg_count: i64,
    pub locked: bool,
    pub try_unlock_times: i64,
    pub last_lock_timestamp: i64,
    pub droped: bool,
    pub last_pull_timestamp: i64,
    pub last_consume_timestamp: i64,
}

/// Rates of a topic at a client; times in milliseconds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeStatus {
    #[serde(rename = "pullRT")]
    pub pull_rt: f64,
    #[serde(rename = "pullTPS")]
    pub pull_tps: f64,
    #[serde(rename = "consumeRT")]
    pub consume_rt: f64,
    #[serde(rename = "consumeOKTPS")]
    pub consume_ok_tps: f64,
    #[serde(rename = "consumeFailedTPS")]
    pub consume_failed_tps: f64,
    pub consume_failed_msgs: i64,
}

/// Addresses of the brokers that know a group: those with its topic for retries. A group that no
/// client has joined yet has none; then all are asked.
fn brokers_of_group(client: &mut Client, group: &str) -> anyhow::Result<Vec<String>> {
    match route(client, &topic::retry_topic(group)) {
        Ok(route) => Ok(brokers_with(&route).map(|(_, address)| address.to_owned()).collect()),
        Err(error) => match error.downcast_ref() {
            Some(CallError::Refused { code: response::TOPIC_NOT_EXIST, .. }) => {
                let brokers = clusters(client)?.broker_addr_table;
                Ok(brokers.values().filter_map(any_member).map(str::to_owned).collect())
            }
            _ => Err(error),
        },
    }
}

/// How far a group is in all queues of all topics, or of one.
///
/// # Errors
/// If it has not consumed anything.
pub fn progress(
    client: &mut Client,
    group: &str,
    topic: Option<&str>,
) -> anyhow::Result<ConsumeStats> {
    let addresses = brokers_of_group(client, group)?;
    progress_at(client, &addresses, group, topic)
}

/// As [`progress`], of the brokers with these addresses.
pub fn progress_at(
    client: &mut Client,
    addresses: &[String],
    group: &str,
    topic: Option<&str>,
) -> anyhow::Result<ConsumeStats> {
    let mut all = ConsumeStats::default();
    for address in addresses {
        let stats = progress_on(client, address, group, topic)?;
        all.offset_table.extend(stats.offset_table);
        all.consume_tps += stats.consume_tps;
    }
    if all.offset_table.is_empty() {
        let text = format!(
            "CODE: 206  DESC: Not found the consumer group consume stats, because return offset \
             table is empty, maybe the consumer not consume any message: {group}"
        );
        return Err(CallError::NotFound(text).into());
    }
    Ok(all)
}

/// As [`progress`], of one broker; may be empty.
pub fn progress_on(
    client: &mut Client,
    address: &str,
    group: &str,
    topic: Option<&str>,
) -> anyhow::Result<ConsumeStats> {
    let mut fields = vec![("consumerGroup", group)];
    fields.extend(topic.map(|topic| ("topic", topic)));
    ask(client, address, request::GET_CONSUME_STATS, &fields)
}

/// The members of a group that are connected, to one broker or to any.
///
/// # Errors
/// If there is none.
pub fn connection(
    client: &mut Client,
    group: &str,
    address: Option<&str>,
) -> anyhow::Result<ConsumerConnection> {
    let addresses = match address {
        Some(address) => vec![address.to_owned()],
        None => brokers_of_group(client, group)?,
    };
    let mut all = ConsumerConnection::default();
    let mut known = BTreeSet::new();
    let mut failure = None;
    for address in addresses {
        let fields = [("consumerGroup", group)];
        let code = request::GET_CONSUMER_CONNECTION_LIST;
        match ask::<ConsumerConnection>(client, &address, code, &fields) {
            Ok(mut found) => {
                let mut connections = std::mem::take(&mut all.connection_set);
                let new = found.connection_set.drain(..);
                connections.extend(new.filter(|one| known.insert(one.client_id.clone())));
                all = ConsumerConnection { connection_set: connections, ..found };
            }
            Err(error) => failure = Some(error),
        }
    }
    if !all.connection_set.is_empty() {
        return Ok(all);
    }
    Err(failure.unwrap_or_else(|| {
        let text = format!("CODE: 206  DESC: Not found the consumer group connection: {group}");
        CallError::NotFound(text).into()
    }))
}

/// Asks a member about itself, through the first broker that it is connected to.
pub fn running(
    client: &mut Client,
    group: &str,
    client_id: &str,
    stacks: bool,
) -> anyhow::Result<RunningInfo> {
    let stacks = stacks.to_string();
    let fields =
        [("consumerGroup", group), ("clientId", client_id), ("jstackEnable", stacks.as_str())];
    let mut failure = None;
    for address in brokers_of_group(client, group)? {
        match ask(client, &address, request::GET_CONSUMER_RUNNING_INFO, &fields) {
            Ok(info) => return Ok(info),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| anyhow::anyhow!("no broker knows the group {group}")))
}

/// The settings of a group on a broker.
pub fn settings(
    client: &mut Client,
    address: &str,
    group: &str,
) -> anyhow::Result<Option<SubscriptionGroupConfig>> {
    let code = request::GET_ALL_SUBSCRIPTIONGROUP_CONFIG;
    let mut all: SubscriptionGroupWrapper = ask(client, address, code, &[])?;
    Ok(all.subscription_group_table.remove(group))
}

/// Makes a group on a broker, or changes it.
pub fn put(
    client: &mut Client,
    address: &str,
    group: &SubscriptionGroupConfig,
) -> anyhow::Result<()> {
    let body = fastjson::to_vec(group);
    client.ask(address, request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, &[], &body)?;
    Ok(())
}

/// Sets how far a group is in a queue.
pub fn commit(
    client: &mut Client,
    address: &str,
    group: &str,
    queue: &MessageQueue,
    offset: i64,
) -> anyhow::Result<()> {
    let (id, offset) = (queue.queue_id.to_string(), offset.to_string());
    let fields = [
        ("consumerGroup", group),
        ("topic", queue.topic.as_str()),
        ("queueId", id.as_str()),
        ("commitOffset", &offset),
    ];
    client.ask(address, request::UPDATE_CONSUMER_OFFSET, &fields, &[])?;
    Ok(())
}
