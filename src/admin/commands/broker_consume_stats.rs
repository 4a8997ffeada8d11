//! `brokerConsumeStats`.

use std::collections::BTreeMap;

use ringmq_remoting::body::ConsumeStats;
use ringmq_remoting::codes::request;
use serde::Deserialize;

use crate::output::{Cell, Column, Page, Table};
use crate::questions::ask;
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// The broker, host:port.
    #[arg(short = 'b', long = "brokerAddr", value_name = "ADDRESS")]
    broker: String,
    /// Taken and ignored: --timeout says how long to wait.
    #[arg(short = 't', long = "timeoutMillis", value_name = "MS", hide = true)]
    _timeout: Option<u64>,
    /// Only queues with as many messages that are not consumed.
    #[arg(short = 'l', long = "level", value_name = "COUNT", default_value_t = 0)]
    level: i64,
    /// Only topics that are consumed in order.
    #[arg(short = 'o', long = "order", value_name = "true|false", default_value = "false",
        action = clap::ArgAction::Set)]
    order: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Stats {
    consume_stats_list: Vec<BTreeMap<String, Vec<ConsumeStats>>>,
    total_diff: i64,
}

const COLUMNS: &[Column] = &[
    Column::new("#Topic", "topic"),
    Column::new("#Group", "group"),
    Column::new("#Broker Name", "broker"),
    Column::new("#QID", "queue"),
    Column::new("#Broker Offset", "brokerOffset"),
    Column::new("#Consumer Offset", "consumerOffset"),
    Column::new("#Diff", "diff"),
    Column::new("#LastTime", "lastTime"),
];

impl Run for Options {
    const EXAMPLES: &'static [&'static str] =
        &["-b 127.0.0.1:10911", "-b 127.0.0.1:10911 -l 1000 # queues that are behind"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let order = self.order.to_string();
        let fields = [("isOrder", order.as_str())];
        let code = request::GET_BROKER_CONSUME_STATS;
        let stats: Stats = ask(&mut session.client, &self.broker, code, &fields)?;
        let mut table = Table::new("queues", COLUMNS);
        let groups = stats.consume_stats_list.iter().flatten();
        let all = groups.flat_map(|(group, stats)| {
            stats.iter().flat_map(move |one| one.offset_table.iter().map(move |row| (group, row)))
        });
        for (group, (queue, offsets)) in all {
            let diff = offsets.broker_offset.wrapping_sub(offsets.consumer_offset);
            // as in RocketMQ: queues of which nothing was consumed do not count
            if diff < self.level || offsets.last_timestamp <= 0 {
                continue;
            }
            table.row([
                queue.topic.as_str().into(),
                group.as_str().into(),
                queue.broker_name.as_str().into(),
                queue.queue_id.into(),
                offsets.broker_offset.into(),
                offsets.consumer_offset.into(),
                diff.into(),
                Cell::time(offsets.last_timestamp, "-"),
            ]);
        }
        let total = stats.total_diff;
        let page = Page::default().table(table).text("");
        Ok(page.fact("diffTotal", format!("Diff Total: {total}"), total))
    }
}
