//! `topicStatus`.

use ringmq_client::CallError;
use ringmq_remoting::body::TopicStatsTable;
use ringmq_remoting::codes::request;

use crate::output::{Cell, Column, Page, Table};
use crate::questions::{ask, brokers_with, route};
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// The topic.
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// Cluster or topic whose brokers are asked, if not those of the topic.
    #[arg(short = 'c', long = "cluster", value_name = "NAME")]
    cluster: Option<String>,
}

const COLUMNS: &[Column] = &[
    Column::new("#Broker Name", "broker"),
    Column::new("#QID", "queue"),
    Column::new("#Min Offset", "minOffset"),
    Column::new("#Max Offset", "maxOffset"),
    Column::new("#Last Updated", "lastUpdated"),
    Column::new("#Messages", "messages").right().wide(),
];

impl Run for Options {
    const EXAMPLES: &'static [&'static str] =
        &["-n 127.0.0.1:9876 -t TopicTest", "-n 127.0.0.1:9876 -t TopicTest --watch 1"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let route = route(client, self.cluster.as_ref().unwrap_or(&self.topic))?;
        let mut all = TopicStatsTable::default();
        let mut put_tps = None;
        for (_, address) in brokers_with(&route) {
            let fields = [("topic", self.topic.as_str())];
            let stats: TopicStatsTable =
                ask(client, address, request::GET_TOPIC_STATS_INFO, &fields)?;
            all.offset_table.extend(stats.offset_table);
            if let Some(tps) = stats.topic_put_tps {
                put_tps = Some(put_tps.unwrap_or(0.0) + tps);
            }
        }
        if all.offset_table.is_empty() {
            let text = format!("Not found the topic stats info of {}", self.topic);
            return Err(CallError::NotFound(text).into());
        }
        let mut table = Table::new("queues", COLUMNS);
        for (queue, offsets) in &all.offset_table {
            table.row([
                queue.broker_name.as_str().into(),
                queue.queue_id.into(),
                offsets.min_offset.into(),
                offsets.max_offset.into(),
                Cell::time_ms(offsets.last_update_timestamp, ""),
                offsets.max_offset.wrapping_sub(offsets.min_offset).into(),
            ]);
        }
        let page = Page::default().table(table);
        Ok(match put_tps.filter(|_| session.printer.is_wide()) {
            Some(tps) => page.fact("putTps", format!("Topic Put TPS: {tps:.1}"), tps),
            None => page,
        })
    }
}
