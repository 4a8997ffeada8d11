//! What several commands ask.

pub mod changes;
pub mod details;
pub mod diagnosis;
pub mod direct;
pub mod exports;
pub mod groups;
pub mod members;
pub mod messages;
pub mod moved_offsets;
pub mod print;
pub mod resets;
pub mod sends;
pub mod settings;
pub mod topics;
pub mod traces;
pub mod tracks;

use std::collections::BTreeSet;

use anyhow::Context;
use ringmq_client::{CallError, Client};
use ringmq_remoting::body::{BrokerData, ClusterInfo, KVTable, TopicList, TopicRouteData};
use ringmq_remoting::codes::request;
use ringmq_remoting::fastjson;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Broker id of a master.
pub const MASTER: i64 = 0;

/// Names of groups, for several answers.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct GroupList {
    group_list: BTreeSet<String>,
}

/// Asks a broker for a body.
pub fn ask<T: DeserializeOwned>(
    client: &mut Client,
    address: &str,
    code: i32,
    fields: &[(&str, &str)],
) -> anyhow::Result<T> {
    let answer = client.ask(address, code, fields, &[])?;
    fastjson::from_slice(&answer.body)
        .with_context(|| format!("the answer of {address} to request {code}"))
}

/// Asks the name servers for a body.
pub fn ask_names<T: DeserializeOwned>(
    client: &mut Client,
    code: i32,
    fields: &[(&str, &str)],
) -> anyhow::Result<T> {
    let answer = client.ask_name_server(code, fields, &[])?;
    fastjson::from_slice(&answer.body)
        .with_context(|| format!("the name server's answer to request {code}"))
}

pub fn clusters(client: &mut Client) -> anyhow::Result<ClusterInfo> {
    ask_names(client, request::GET_BROKER_CLUSTER_INFO, &[])
}

/// The addresses of a cluster's masters, or of all its members, sorted by the names of brokers.
///
/// # Errors
/// If there is no such cluster.
pub fn members(client: &mut Client, cluster: &str, slaves: bool) -> anyhow::Result<Vec<String>> {
    let info = clusters(client)?;
    let mut addresses = Vec::new();
    for name in brokers_of(&info, cluster)? {
        let Some(data) = info.broker_addr_table.get(name) else { continue };
        let members = data.broker_addrs.iter().filter(|(id, _)| slaves || **id == MASTER);
        addresses.extend(members.map(|(_, address)| address.clone()));
    }
    Ok(addresses)
}

/// The names of a cluster's brokers.
///
/// # Errors
/// If there is no such cluster.
pub fn brokers_of<'a>(
    info: &'a ClusterInfo,
    cluster: &str,
) -> anyhow::Result<&'a BTreeSet<String>> {
    info.cluster_addr_table.get(cluster).ok_or_else(|| {
        let known: Vec<&str> = info.cluster_addr_table.keys().map(String::as_str).collect();
        let known = known.join(", ");
        let text = format!("there is no cluster {cluster}: the name server knows {known}");
        CallError::NotFound(text).into()
    })
}

/// The name of the broker with an address.
///
/// # Errors
/// If no broker has it.
pub fn broker_at(client: &mut Client, address: &str) -> anyhow::Result<String> {
    let info = clusters(client)?;
    let found = info
        .broker_addr_table
        .iter()
        .find(|(_, data)| data.broker_addrs.values().any(|member| member == address));
    let found = found.map(|(name, _)| name.clone());
    Ok(found.ok_or_else(|| {
        CallError::NotFound(format!("no broker is registered with the address {address}"))
    })?)
}

pub fn route(client: &mut Client, topic: &str) -> anyhow::Result<TopicRouteData> {
    ask_names(client, request::GET_ROUTEINFO_BY_TOPIC, &[("topic", topic)])
}

pub fn topics(client: &mut Client) -> anyhow::Result<BTreeSet<String>> {
    let list: TopicList = ask_names(client, request::GET_ALL_TOPIC_LIST_FROM_NAMESERVER, &[])?;
    Ok(list.topic_list)
}

/// The master of a broker, or else one of its slaves.
pub fn any_member(data: &BrokerData) -> Option<&str> {
    data.broker_addrs.values().next().map(String::as_str)
}

/// Addresses of a topic's brokers with their names: each its master, or else a slave.
pub fn brokers_with(route: &TopicRouteData) -> impl Iterator<Item = (&str, &str)> {
    let datas = route.broker_datas.iter();
    datas.filter_map(|data| Some((data.broker_name.as_str(), any_member(data)?)))
}

pub fn runtime(client: &mut Client, address: &str) -> anyhow::Result<KVTable> {
    ask(client, address, request::GET_BROKER_RUNTIME_INFO, &[])
}

/// Groups that consume a topic, as its first broker knows them.
pub fn consumers_of(client: &mut Client, topic: &str) -> anyhow::Result<BTreeSet<String>> {
    let route = route(client, topic)?;
    let Some((_, address)) = brokers_with(&route).next() else { return Ok(BTreeSet::new()) };
    let fields = [("topic", topic)];
    let list: GroupList = ask(client, address, request::QUERY_TOPIC_CONSUME_BY_WHO, &fields)?;
    Ok(list.group_list)
}
