//! `sendMessage`.

use std::time::Instant;

use anyhow::Context;
use ringmq_client::CallError;
use ringmq_remoting::codes::property;

use crate::output::{Column, Page, Table};
use crate::questions::sends::{New, send, writable};
use crate::questions::traces;
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// The topic.
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// The message's body.
    #[arg(short = 'p', long = "body", allow_hyphen_values = true)]
    body: String,
    /// Its keys, separated by blanks.
    #[arg(short = 'k', long = "key", value_name = "KEYS")]
    keys: Option<String>,
    /// Its tag.
    #[arg(short = 'c', long = "tags", value_name = "TAG")]
    tags: Option<String>,
    /// The name of the broker that it is sent to.
    #[arg(short = 'b', long = "broker", value_name = "NAME")]
    broker: Option<String>,
    /// The queue that it is sent to.
    #[arg(short = 'i', long = "qid", value_name = "QUEUE", requires = "broker")]
    queue: Option<i32>,
    /// Writes down when it was sent, for queryMsgTraceById.
    #[arg(short = 'm', long = "msgTraceEnable", value_name = "true|false",
        default_value = "false", action = clap::ArgAction::Set)]
    trace: bool,
}

const COLUMNS: &[Column] = &[
    Column::new("#Broker Name", "broker"),
    Column::new("#QID", "queue"),
    Column::new("#Send Result", "status"),
    Column::new("#MsgId", "id"),
    Column::new("#Offset", "offset").wide(),
    Column::new("#Offset ID", "offsetId").wide(),
];

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &[
        "-n 127.0.0.1:9876 -t TopicTest -p hello",
        "-n 127.0.0.1:9876 -t TopicTest -p hello -k order-17 -c TagA -b broker-a -i 0",
    ];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let mut queues = writable(client, &self.topic)?;
        queues.retain(|queue| {
            self.broker.as_ref().is_none_or(|broker| queue.broker == *broker)
                && self.queue.is_none_or(|id| queue.id == id)
        });
        if queues.is_empty() {
            let text = format!("topic {} has no such queue: see topicRoute", self.topic);
            return Err(CallError::NotFound(text).into());
        }
        let queue = queues.get(fastrand::usize(..queues.len())).context("there is a queue")?;
        let mut properties = Vec::new();
        let named = [(property::KEYS, &self.keys), (property::TAGS, &self.tags)];
        for (name, value) in named {
            properties.extend(value.clone().map(|value| (name.to_owned(), value)));
        }
        properties.push((property::WAIT.to_owned(), "true".to_owned()));
        let new = New { topic: &self.topic, body: self.body.as_bytes(), properties };
        let began = Instant::now();
        let sent = send(client, queue, &new)?;
        if self.trace {
            traces::record(client, &new, &sent, began.elapsed())
                .context("the message is sent, its trace is not")?;
        }
        let mut table = Table::new("messages", COLUMNS);
        table.row([
            sent.queue.broker.into(),
            sent.queue.id.into(),
            sent.status.into(),
            sent.id.into(),
            sent.offset.into(),
            sent.offset_id.into(),
        ]);
        Ok(Page::default().table(table))
    }
}
