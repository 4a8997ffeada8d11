//! `getConsumerConfig`.

use ringmq_client::CallError;
use ringmq_remoting::fastjson;
use serde_json::Value;

use crate::output::{Cell, Column, Page, Table};
use crate::questions::{any_member, clusters, groups};
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// The consumer group.
    #[arg(short = 'g', long = "groupName", value_name = "GROUP")]
    group: String,
}

const COLUMNS: &[Column] = &[
    Column::new("", "cluster").wide(),
    Column::new("", "broker").wide(),
    Column::new("", "key"),
    Column::new("", "value"),
];
/// In the order of RocketMQ.
const KEYS: [&str; 15] = [
    "groupName",
    "consumeEnable",
    "consumeFromMinEnable",
    "consumeBroadcastEnable",
    "consumeMessageOrderly",
    "retryQueueNums",
    "retryMaxTimes",
    "groupRetryPolicy",
    "brokerId",
    "whichBrokerWhenConsumeSlowly",
    "notifyConsumerIdsChangedEnable",
    "groupSysFlag",
    "consumeTimeoutMinute",
    "subscriptionDataSet",
    "attributes",
];

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &["-n 127.0.0.1:9876 -g GROUP"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let info = clusters(client)?;
        let mut page = Page::default();
        for (broker, data) in &info.broker_addr_table {
            let Some(address) = any_member(data) else { continue };
            let Some(group) = groups::settings(client, address, &self.group)? else { continue };
            let mut all = info.cluster_addr_table.iter();
            let cluster = all.find(|(_, brokers)| brokers.contains(broker));
            let cluster = cluster.map_or("null", |(name, _)| name.as_str());
            let rule = "=".repeat(29);
            let value: Value = serde_json::from_slice(&fastjson::to_vec(&group))?;
            let mut table = Table::new("settings", COLUMNS).without_heads();
            for key in KEYS {
                let member = value.get(key).cloned().unwrap_or_default();
                let text = match &member {
                    Value::Null => String::new(),
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                let name = Cell::new(format!("{key:<40}="), key);
                table.row([cluster.into(), broker.as_str().into(), name, Cell::new(text, member)]);
            }
            page = page.text(format!("{rule}{cluster}:{broker}{rule}")).table(table);
        }
        if page.is_empty() {
            let text = format!("no broker knows the group {}", self.group);
            return Err(CallError::NotFound(text).into());
        }
        Ok(page)
    }
}
