//! `exportConfigs`.

use std::collections::BTreeMap;

use ringmq_remoting::codes::request;
use serde_json::{Map, json};

use crate::output::Page;
use crate::questions::exports::{directory, write};
use crate::questions::settings::parse;
use crate::questions::{MASTER, brokers_of, clusters};
use crate::session::{Run, Session};
use crate::target::Export;

#[derive(clap::Args, Debug)]
pub struct Options {
    #[command(flatten)]
    export: Export,
}

/// What is exported of a broker's configuration, as by RocketMQ.
const KEYS: [&str; 16] = [
    "brokerClusterName",
    "brokerId",
    "brokerName",
    "brokerRole",
    "fileReservedTime",
    "filterServerNums",
    "flushDiskType",
    "maxMessageSize",
    "messageDelayLevel",
    "msgTraceTopicName",
    "slaveReadEnable",
    "traceOn",
    "traceTopicEnable",
    "useTLS",
    "autoCreateTopicEnable",
    "autoCreateSubscriptionGroup",
];

impl Run for Options {
    const EXAMPLES: &'static [&'static str] =
        &["-n 127.0.0.1:9876 -c DefaultCluster -f /tmp/export"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let info = clusters(client)?;
        let (mut masters, mut slaves) = (0, 0);
        let mut configs = Map::new();
        for name in brokers_of(&info, &self.export.cluster)? {
            let Some(data) = info.broker_addr_table.get(name) else { continue };
            let Some(address) = data.broker_addrs.get(&MASTER) else { continue };
            masters += 1;
            slaves += data.broker_addrs.len() - 1;
            let answer = client.ask(address, request::GET_BROKER_CONFIG, &[], &[])?;
            let mut all: BTreeMap<String, String> = parse(&answer.body).into_iter().collect();
            all.retain(|key, _| KEYS.contains(&key.as_str()));
            configs.insert(name.clone(), serde_json::to_value(all)?);
        }
        let value = json!({
            "brokerConfigs": configs,
            "clusterScale": {
                "namesrvSize": client.name_servers().len(),
                "masterBrokerSize": masters,
                "slaveBrokerSize": slaves,
            },
        });
        write(&directory(self.export.directory.as_ref()), "configs.json", &value)
    }
}
