//! `topicRoute`.

use ringmq_remoting::body::TopicRouteData;
use serde_json::Value;

use crate::output::{Cell, Column, Page, Table};
use crate::questions::route;
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// The topic.
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// As a table instead of the name server's answer.
    #[arg(short = 'l', long = "list")]
    list: bool,
}

const COLUMNS: &[Column] = &[
    Column::new("#ClusterName", "cluster"),
    Column::new("#BrokerName", "broker"),
    Column::new("#BrokerAddrs", "addresses"),
    Column::new("#ReadQueue", "readQueues"),
    Column::new("#WriteQueue", "writeQueues"),
    Column::new("#Perm", "perm"),
];
/// As many as in RocketMQ's.
const RULE_COLUMNS: usize = 158;

impl Run for Options {
    const EXAMPLES: &'static [&'static str] =
        &["-n 127.0.0.1:9876 -t TopicTest -l", "-n 127.0.0.1:9876 -t TopicTest -o yaml"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let route = route(&mut session.client, &self.topic)?;
        if self.list {
            return Ok(list(&route));
        }
        let value = serde_json::to_value(&route)?;
        Ok(Page::document(serde_json::to_string_pretty(&value)?, value))
    }
}

fn list(route: &TopicRouteData) -> Page {
    let mut brokers: Vec<_> = route.broker_datas.iter().collect();
    brokers.sort_by(|one, other| one.broker_name.cmp(&other.broker_name));
    let mut table = Table::new("brokers", COLUMNS);
    let (mut reads, mut writes) = (0, 0);
    for broker in brokers {
        let mut queues = route.queue_datas.iter();
        let name = &broker.broker_name;
        let Some(queues) = queues.find(|queues| queues.broker_name == *name) else { continue };
        reads += queues.read_queue_nums;
        writes += queues.write_queue_nums;
        let addresses: Vec<_> =
            broker.broker_addrs.iter().map(|(id, address)| format!("{id}={address}")).collect();
        let value: serde_json::Map<String, Value> = broker
            .broker_addrs
            .iter()
            .map(|(id, address)| (id.to_string(), address.as_str().into()))
            .collect();
        table.row([
            broker.cluster.as_deref().unwrap_or_default().into(),
            name.as_str().into(),
            Cell::new(format!("{{{}}}", addresses.join(", ")), value),
            queues.read_queue_nums.into(),
            queues.write_queue_nums.into(),
            queues.perm.into(),
        ]);
    }
    let brokers = table.rows.len();
    Page::default()
        .table(table)
        .text("-".repeat(RULE_COLUMNS))
        .text(format!("Total: {brokers}  {reads}  {writes}"))
}
