//! `consumerProgress`.

use std::collections::BTreeMap;

use ringmq_client::Client;
use ringmq_remoting::body::{ConsumeStats, MessageQueue};
use ringmq_remoting::codes::{topic::RETRY_PREFIX, version};

use crate::output::{Cell, Column, Format, Page, Table};
use crate::questions::{brokers_with, groups, route, topics};
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// The consumer group; without it all groups.
    #[arg(short = 'g', long = "groupName", value_name = "GROUP")]
    group: Option<String>,
    /// Only this topic.
    #[arg(short = 't', long = "topicName", value_name = "TOPIC", requires = "group")]
    topic: Option<String>,
    /// Which client reads each queue.
    #[arg(short = 's', long = "showClientIP", value_name = "true|false", default_value = "false",
        action = clap::ArgAction::Set)]
    clients: bool,
    /// Cluster or topic whose brokers are asked, if not those of the group.
    #[arg(short = 'c', long = "cluster", value_name = "NAME", requires = "topic")]
    cluster: Option<String>,
}

const TOPIC: Column = Column::new("#Topic", "topic");
const BROKER: Column = Column::new("#Broker Name", "broker");
const QUEUE: Column = Column::new("#QID", "queue");
const BROKER_OFFSET: Column = Column::new("#Broker Offset", "brokerOffset");
const CONSUMER_OFFSET: Column = Column::new("#Consumer Offset", "consumerOffset");
const CLIENT: Column = Column::new("#Client IP", "client");
const DIFF: Column = Column::new("#Diff", "diff");
const INFLIGHT: Column = Column::new("#Inflight", "inflight").wide();
const LAST: Column = Column::new("#LastTime", "lastTime");

const QUEUES: &[Column] =
    &[TOPIC, BROKER, QUEUE, BROKER_OFFSET, CONSUMER_OFFSET, DIFF, INFLIGHT, LAST];
const QUEUES_OF_CLIENTS: &[Column] =
    &[TOPIC, BROKER, QUEUE, BROKER_OFFSET, CONSUMER_OFFSET, CLIENT, DIFF, INFLIGHT, LAST];
const GROUPS: &[Column] = &[
    Column::new("#Group", "group"),
    Column::new("#Count", "count"),
    Column::new("#Version", "version"),
    Column::new("#Type", "type"),
    Column::new("#Model", "model"),
    Column::new("#TPS", "tps"),
    Column::new("#Diff Total", "diffTotal"),
];

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &[
        "-n 127.0.0.1:9876 # all groups",
        "-n 127.0.0.1:9876 -g GROUP -s true # with who reads each queue",
        "-n 127.0.0.1:9876 -g GROUP -t TopicTest -o json",
    ];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let Some(group) = &self.group else { return all(client) };
        let topic = self.topic.as_deref();
        let stats = match &self.cluster {
            None => groups::progress(client, group, topic)?,
            Some(name) => {
                let route = route(client, name)?;
                let addresses: Vec<_> =
                    brokers_with(&route).map(|(_, address)| address.to_owned()).collect();
                groups::progress_at(client, &addresses, group, topic)?
            }
        };
        let clients = self.clients.then(|| readers(client, group));
        let is_like_mqadmin = session.printer.format == Format::Table;
        Ok(of_group(&stats, clients.as_ref(), is_like_mqadmin))
    }
}

/// Which client reads each queue, as far as members tell.
fn readers(client: &mut Client, group: &str) -> BTreeMap<MessageQueue, String> {
    let mut readers = BTreeMap::new();
    let Ok(members) = groups::connection(client, group, None) else { return readers };
    for member in members.connection_set {
        let Ok(info) = groups::running(client, group, &member.client_id, false) else { continue };
        let address = member.client_id.split('@').next().unwrap_or_default();
        readers.extend(info.mq_table.into_keys().map(|queue| (queue, address.to_owned())));
    }
    readers
}

/// `is_like_mqadmin`: without what mqadmin 4.9.8 does not say.
fn of_group(
    stats: &ConsumeStats,
    clients: Option<&BTreeMap<MessageQueue, String>>,
    is_like_mqadmin: bool,
) -> Page {
    let columns = if clients.is_some() { QUEUES_OF_CLIENTS } else { QUEUES };
    let mut table = Table::new("queues", columns);
    let (mut total, mut inflight_total) = (0i64, 0i64);
    for (queue, offsets) in &stats.offset_table {
        let diff = offsets.broker_offset.wrapping_sub(offsets.consumer_offset);
        let inflight =
            offsets.pull_offset.map(|pulled| pulled.wrapping_sub(offsets.consumer_offset));
        total = total.wrapping_add(diff);
        inflight_total = inflight_total.wrapping_add(inflight.unwrap_or(0));
        let mut row: Vec<Cell> = vec![
            queue.topic.as_str().into(),
            queue.broker_name.as_str().into(),
            queue.queue_id.into(),
            offsets.broker_offset.into(),
            offsets.consumer_offset.into(),
        ];
        if let Some(clients) = clients {
            let client = clients.get(queue).map(String::as_str);
            row.push(client.map_or_else(|| Cell::missing("N/A"), Cell::from));
        }
        row.push(diff.into());
        row.push(inflight.map_or_else(|| Cell::missing("-"), Cell::from));
        row.push(Cell::time(offsets.last_timestamp, "N/A"));
        table.rows.push(row);
    }
    let page = Page::default()
        .table(table)
        .text("")
        .fact("consumeTps", format!("Consume TPS: {:.2}", stats.consume_tps), stats.consume_tps)
        .fact("diffTotal", format!("Diff Total: {total}"), total);
    if is_like_mqadmin {
        return page;
    }
    page.fact("inflightTotal", format!("Consume Inflight Total: {inflight_total}"), inflight_total)
}

fn all(client: &mut Client) -> anyhow::Result<Page> {
    let mut table = Table::new("groups", GROUPS);
    for topic in topics(client)? {
        let Some(group) = topic.strip_prefix(RETRY_PREFIX) else { continue };
        // a group that nothing is known of is listed, too
        let stats = groups::progress(client, group, None).unwrap_or_default();
        let members = groups::connection(client, group, None).unwrap_or_default();
        let count = members.connection_set.len();
        let oldest = members.connection_set.iter().map(|member| member.version).min();
        let pulls = members.consume_type.as_deref() == Some("CONSUME_ACTIVELY");
        let kind = match (count, pulls) {
            (0, _) => "",
            (_, true) => "PULL",
            (_, false) => "PUSH",
        };
        let model = members.message_model.as_deref().filter(|_| kind == "PUSH");
        let diffs = stats.offset_table.values();
        let diffs = diffs.map(|one| one.broker_offset.wrapping_sub(one.consumer_offset));
        let diff = diffs.fold(0, i64::wrapping_add);
        table.row([
            group.into(),
            count.into(),
            oldest.map_or_else(|| "OFFLINE".to_owned(), version::name).into(),
            kind.into(),
            model.unwrap_or_default().into(),
            Cell::new((stats.consume_tps as i64).to_string(), stats.consume_tps),
            diff.into(),
        ]);
    }
    Ok(Page::default().table(table))
}
