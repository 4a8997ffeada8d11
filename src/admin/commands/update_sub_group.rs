//! `updateSubGroup`.

use std::collections::BTreeMap;

use anyhow::Context;
use ringmq_remoting::body::SubscriptionGroupConfig;
use ringmq_remoting::fastjson;
use serde_json::Value;

use crate::output::Page;
use crate::questions::groups;
use crate::session::{Run, Session};
use crate::target::Target;

#[derive(clap::Args, Debug)]
pub struct Options {
    #[command(flatten)]
    target: Target,
    /// The consumer group.
    #[arg(short = 'g', long = "groupName", value_name = "GROUP")]
    group: String,
    /// Whether it may consume.
    #[arg(short = 's', long = "consumeEnable", value_name = "true|false")]
    consume: Option<bool>,
    /// Whether a new group begins at the oldest message.
    #[arg(short = 'm', long = "consumeFromMinEnable", value_name = "true|false")]
    from_min: Option<bool>,
    /// Whether its members may consume all messages each.
    #[arg(short = 'd', long = "consumeBroadcastEnable", value_name = "true|false")]
    broadcast: Option<bool>,
    /// Whether its messages are consumed in order.
    #[arg(short = 'o', long = "consumeMessageOrderly", value_name = "true|false")]
    orderly: Option<bool>,
    /// Queues of its topic for retries.
    #[arg(short = 'q', long = "retryQueueNums", value_name = "COUNT")]
    retry_queues: Option<i32>,
    /// After how many deliveries a message goes to the dead letters.
    #[arg(short = 'r', long = "retryMaxTimes", value_name = "COUNT")]
    retries: Option<i32>,
    /// How long to wait between deliveries, as JSON.
    #[arg(short = 'p', long = "groupRetryPolicy", value_name = "JSON")]
    retry_policy: Option<String>,
    /// The broker that it reads from.
    #[arg(short = 'i', long = "brokerId", value_name = "ID")]
    broker_id: Option<i64>,
    /// The broker that it reads from when it is far behind.
    #[arg(short = 'w', long = "whichBrokerWhenConsumeSlowly", value_name = "ID")]
    slow_broker_id: Option<i64>,
    /// Whether members hear of each other.
    #[arg(short = 'a', long = "notifyConsumerIdsChanged", value_name = "true|false")]
    notify: Option<bool>,
    /// Changes of attributes: +key=value,-key.
    #[arg(long = "attributes", value_name = "CHANGES", allow_hyphen_values = true)]
    attributes: Option<String>,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &[
        "-n 127.0.0.1:9876 -c DefaultCluster -g GROUP",
        "-b 127.0.0.1:10911 -g GROUP -r 5 -s false # at most 5 retries; paused",
    ];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let group = self.group()?;
        let client = &mut session.client;
        let mut page = Page::default();
        for address in self.target.masters(client)? {
            let put = groups::put(client, &address, &group);
            page.add(put.map(|()| {
                let mut page = Page::default();
                let text = format!("create subscription group to {address} success.");
                page.done(text, [("broker", address.into()), ("group", value(&group))]);
                page
            }));
        }
        Ok(if page.is_empty() { page } else { page.text(describe(&group)) })
    }
}

impl Options {
    /// Those that are not given are as in RocketMQ, whose command does not leave them as they are.
    fn group(&self) -> anyhow::Result<SubscriptionGroupConfig> {
        let default = SubscriptionGroupConfig::default();
        let policy = self.retry_policy.as_deref().map(|text| fastjson::from_slice(text.as_bytes()));
        Ok(SubscriptionGroupConfig {
            group_name: self.group.clone(),
            consume_enable: self.consume.unwrap_or(true),
            consume_from_min_enable: self.from_min.unwrap_or(false),
            consume_broadcast_enable: self.broadcast.unwrap_or(false),
            consume_message_orderly: self.orderly.unwrap_or(false),
            retry_queue_nums: self.retry_queues.unwrap_or(default.retry_queue_nums),
            retry_max_times: self.retries.unwrap_or(default.retry_max_times),
            group_retry_policy: policy.transpose().context("--groupRetryPolicy")?,
            broker_id: self.broker_id.unwrap_or(default.broker_id),
            which_broker_when_consume_slowly: self
                .slow_broker_id
                .unwrap_or(default.which_broker_when_consume_slowly),
            notify_consumer_ids_changed_enable: self.notify.unwrap_or(true),
            attributes: self.attributes.as_deref().map(attributes),
            ..default
        })
    }
}

/// `+a=b,-c` as brokers take it: the signs stay with the names.
fn attributes(changes: &str) -> BTreeMap<String, String> {
    let pair = |change: &str| {
        let (name, value) = change.split_once('=').unwrap_or((change, ""));
        (name.trim().to_owned(), value.trim().to_owned())
    };
    changes.split(',').filter(|change| !change.trim().is_empty()).map(pair).collect()
}

fn value(group: &SubscriptionGroupConfig) -> Value {
    serde_json::from_slice(&fastjson::to_vec(group)).unwrap_or_default()
}

/// As RocketMQ prints the settings of a group.
fn describe(group: &SubscriptionGroupConfig) -> String {
    format!(
        "SubscriptionGroupConfig [groupName={}, consumeEnable={}, consumeFromMinEnable={}, \
         consumeBroadcastEnable={}, retryQueueNums={}, retryMaxTimes={}, brokerId={}, \
         whichBrokerWhenConsumeSlowly={}, notifyConsumerIdsChangedEnable={}]",
        group.group_name,
        group.consume_enable,
        group.consume_from_min_enable,
        group.consume_broadcast_enable,
        group.retry_queue_nums,
        group.retry_max_times,
        group.broker_id,
        group.which_broker_when_consume_slowly,
        group.notify_consumer_ids_changed_enable,
    )
}
