//! Writing what was asked into files.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use ringmq_client::Client;
use ringmq_remoting::body::{
    SubscriptionGroupConfig, SubscriptionGroupWrapper, TopicConfig, TopicConfigSerializeWrapper,
};
use ringmq_remoting::codes::group::is_users_group;
use ringmq_remoting::codes::request;
use ringmq_remoting::codes::topic::{DLQ_PREFIX, RETRY_PREFIX, is_system_topic};
use serde_json::Value;
use std::collections::BTreeMap;

use super::{ask, topics};
use crate::output::Page;

/// Where RocketMQ's tools write.
const DIRECTORY: &str = "rocketmq/export";

/// The directory that was asked for, or RocketMQ's.
pub fn directory(given: Option<&PathBuf>) -> PathBuf {
    given.cloned().unwrap_or_else(|| std::env::temp_dir().join(DIRECTORY))
}

/// Writes a value into a file of the directory and says so.
pub fn write(directory: &std::path::Path, name: &str, value: &Value) -> anyhow::Result<Page> {
    let path = directory.join(name);
    let place = || format!("cannot write {}", path.display());
    fs::create_dir_all(directory).with_context(place)?;
    let text = serde_json::to_string_pretty(value)? + "\n";
    fs::write(&path, text).with_context(place)?;
    let mut page = Page::default();
    let path = path.display().to_string();
    page.done(format!("export {path} success"), [("file", path.into())]);
    Ok(page)
}

/// Topics of users on a broker; with those of retries and dead letters if they are wanted.
pub fn topics_of(
    client: &mut Client,
    address: &str,
    special: bool,
) -> anyhow::Result<BTreeMap<String, TopicConfig>> {
    let code = request::GET_ALL_TOPIC_CONFIG;
    let all: TopicConfigSerializeWrapper = ask(client, address, code, &[])?;
    let fields: Value = system_topics(client, address);
    let own: Vec<&str> =
        fields["topicList"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut topics = all.topic_config_table;
    topics.retain(|name, _| {
        let is_special = name.starts_with(RETRY_PREFIX) || name.starts_with(DLQ_PREFIX);
        !is_system_topic(name) && !own.contains(&name.as_str()) && (special || !is_special)
    });
    Ok(topics)
}

/// What the broker itself calls its own; a broker that does not tell has only those of RocketMQ.
fn system_topics(client: &mut Client, address: &str) -> Value {
    let code = request::GET_SYSTEM_TOPIC_LIST_FROM_BROKER;
    let answer = client.ask(address, code, &[], &[]);
    answer.ok().and_then(|answer| serde_json::from_slice(&answer.body).ok()).unwrap_or_default()
}

/// Groups of users on a broker.
pub fn groups_of(
    client: &mut Client,
    address: &str,
) -> anyhow::Result<BTreeMap<String, SubscriptionGroupConfig>> {
    let code = request::GET_ALL_SUBSCRIPTIONGROUP_CONFIG;
    let all: SubscriptionGroupWrapper = ask(client, address, code, &[])?;
    let mut groups = all.subscription_group_table;
    groups.retain(|name, _| is_users_group(name));
    Ok(groups)
}

/// A table of topics as JSON.
pub fn topics_value(table: &BTreeMap<String, TopicConfig>) -> Value {
    let pairs = table.iter().map(|(name, topic)| (name.clone(), topics::value(topic)));
    Value::Object(pairs.collect())
}

/// A table of groups as JSON.
pub fn groups_value(table: &BTreeMap<String, SubscriptionGroupConfig>) -> Value {
    serde_json::to_value(table).unwrap_or_default()
}
