//! `queryMsgByKey`.

use crate::output::{Cell, Column, Page, Table};
use crate::questions::messages::{Query, no_message};
use crate::questions::resets::time;
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// The topic.
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// One of the message's keys.
    #[arg(short = 'k', long = "msgKey", value_name = "KEY")]
    key: String,
    /// Stored then or later.
    #[arg(short = 'b', long = "beginTimestamp", value_name = "TIME")]
    begin: Option<String>,
    /// Stored then or before.
    #[arg(short = 'e', long = "endTimestamp", value_name = "TIME")]
    end: Option<String>,
    /// At most so many of each broker.
    #[arg(short = 'm', long = "maxNum", value_name = "COUNT", default_value_t = 64)]
    max: u32,
    /// Cluster or topic whose brokers are asked, if not those of the topic.
    #[arg(short = 'c', long = "cluster", value_name = "NAME")]
    cluster: Option<String>,
}

const COLUMNS: &[Column] = &[
    Column::new("#Message ID", "id"),
    Column::new("#QID", "queue").right(),
    Column::new("#Offset", "offset").right(),
    Column::new("#Broker Name", "broker").wide(),
    Column::new("#Stored", "stored").wide(),
    Column::new("#Tags", "tags").wide(),
    Column::new("#Offset ID", "offsetId").wide(),
];

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &[
        "-n 127.0.0.1:9876 -t TopicTest -k KEY -o wide",
        "-n 127.0.0.1:9876 -t TopicTest -k KEY -b 2026-11-30#12:00:00:000",
    ];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let begin = self.begin.as_deref().map(time).transpose()?.unwrap_or(0);
        let end = self.end.as_deref().map(time).transpose()?.filter(|end| *end >= 0);
        let (topic, key, route) = (self.topic.as_str(), self.key.as_str(), self.cluster.as_deref());
        let (max, end, unique) = (self.max, end.unwrap_or(i64::MAX), false);
        let query = Query { topic, key, max, begin, end, unique, route };
        let found = query.ask(&mut session.client)?;
        if found.is_empty() {
            return Err(no_message(topic, key).into());
        }
        let mut table = Table::new("messages", COLUMNS);
        for message in found {
            table.row([
                message.id().into(),
                message.queue.into(),
                message.queue_offset.into(),
                message.broker.as_str().into(),
                Cell::time_ms(message.stored, ""),
                message.tags().map_or_else(|| Cell::missing("-"), Cell::from),
                message.offset_id().into(),
            ]);
        }
        Ok(Page::default().table(table))
    }
}
