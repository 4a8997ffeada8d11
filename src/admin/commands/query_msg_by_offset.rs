//! `queryMsgByOffset`.

use ringmq_client::CallError;

use crate::output::Page;
use crate::questions::details::{Shown, show, utf8};
use crate::questions::messages::Queue;
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// The topic.
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// The broker's name.
    #[arg(short = 'b', long = "brokerName", value_name = "NAME")]
    broker: String,
    /// The queue.
    #[arg(short = 'i', long = "queueId", value_name = "QUEUE")]
    queue: i32,
    /// The offset in the queue.
    #[arg(short = 'o', long = "offset")]
    offset: i64,
    /// Shows the body as text, too.
    #[arg(short = 'f', long = "bodyFormat", value_name = "CHARSET", value_parser = utf8)]
    text: Option<String>,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] =
        &["-n 127.0.0.1:9876 -t TopicTest -b broker-a -i 0 -o 12"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let queue = Queue::of(client, &self.topic, &self.broker, self.queue)?;
        let pulled = queue.pull(client, self.offset, 1, "*")?;
        if pulled.messages.is_empty() {
            let (min, max) = (queue.min(client)?, queue.max(client)?);
            let text = format!(
                "there is no message at offset {}: the queue has those from {min} to before {max}",
                self.offset
            );
            return Err(CallError::NotFound(text).into());
        }
        let shown = Shown { offset_id: true, body: self.text.is_some() };
        show(client, &pulled.messages, shown)
    }
}
