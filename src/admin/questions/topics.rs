//! Settings of topics.

use ringmq_client::{CallError, Client};
use ringmq_remoting::body::TopicConfig;
use ringmq_remoting::codes::{perm, request, response};
use ringmq_remoting::fastjson;
use serde_json::Value;

/// Topic whose settings a new one has, if it does not say its own.
const DEFAULT_TOPIC: &str = "TBW102";
/// Where the name servers keep the order of topics.
pub const ORDER_NAMESPACE: &str = "ORDER_TOPIC_CONFIG";

/// Makes a topic on a broker, or changes it. `attributes` is `+key=value,-key`.
pub fn put(
    client: &mut Client,
    address: &str,
    topic: &TopicConfig,
    attributes: Option<&str>,
) -> anyhow::Result<()> {
    let text = |number: i32| number.to_string();
    let (reads, writes) = (text(topic.read_queue_nums), text(topic.write_queue_nums));
    let (perm, flag, order) =
        (text(topic.perm), text(topic.topic_sys_flag), topic.order.to_string());
    let mut fields = vec![
        ("topic", topic.topic_name.as_str()),
        ("defaultTopic", DEFAULT_TOPIC),
        ("readQueueNums", reads.as_str()),
        ("writeQueueNums", &writes),
        ("perm", &perm),
        ("topicFilterType", &topic.topic_filter_type),
        ("topicSysFlag", &flag),
        ("order", &order),
    ];
    if let Some(attributes) = attributes {
        fields.push(("attributes", attributes));
    }
    client.ask(address, request::UPDATE_AND_CREATE_TOPIC, &fields, &[])?;
    Ok(())
}

/// As RocketMQ prints the settings of a topic.
pub fn describe(topic: &TopicConfig) -> String {
    let permission = |bit: i32, letter: char| if topic.perm & bit == 0 { '-' } else { letter };
    format!(
        "TopicConfig [topicName={}, readQueueNums={}, writeQueueNums={}, perm={}{}{}, \
         topicFilterType={}, topicSysFlag={}, order={}]",
        topic.topic_name,
        topic.read_queue_nums,
        topic.write_queue_nums,
        permission(perm::READ, 'R'),
        permission(perm::WRITE, 'W'),
        permission(perm::INHERIT, 'X'),
        topic.topic_filter_type,
        topic.topic_sys_flag,
        topic.order,
    )
}

pub fn value(topic: &TopicConfig) -> Value {
    serde_json::from_slice(&fastjson::to_vec(topic)).unwrap_or_default()
}

/// The order of a topic's queues as the name servers have it.
pub fn order(client: &mut Client, topic: &str) -> anyhow::Result<Option<String>> {
    let fields = [("namespace", ORDER_NAMESPACE), ("key", topic)];
    let (server, answer) = client.call_name_server(request::GET_KV_CONFIG, &fields, &[])?;
    match answer.code {
        response::SUCCESS => Ok(answer.fields.get("value").cloned()),
        response::QUERY_NOT_FOUND => Ok(None),
        code => Err(CallError::Refused { address: server, code, remark: answer.remark }.into()),
    }
}

/// Puts or deletes (by `code`) the order of a topic on all name servers.
pub fn put_order(
    client: &mut Client,
    code: i32,
    topic: &str,
    order: Option<&str>,
) -> anyhow::Result<()> {
    let mut fields = vec![("namespace", ORDER_NAMESPACE), ("key", topic)];
    fields.extend(order.map(|order| ("value", order)));
    for server in client.name_servers().to_vec() {
        client.ask(&server, code, &fields, &[])?;
    }
    Ok(())
}
