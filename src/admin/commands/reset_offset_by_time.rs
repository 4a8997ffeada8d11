//! `resetOffsetByTime` and `resetOffsetByTimeOld`.

use ringmq_client::Client;
use ringmq_remoting::body::MessageQueue;
use ringmq_remoting::codes::request;

use crate::output::Page;
use crate::questions::resets::{Reset, When, Whose, offset_at, time};
use crate::session::{Run, Session};

/// `resetOffsetByTime`.
#[derive(clap::Args, Debug)]
pub struct Options {
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    when: When,
    /// One queue only: its broker, host:port.
    #[arg(short = 'b', long = "broker", value_name = "ADDRESS", requires = "queue")]
    broker: Option<String>,
    /// One queue only.
    #[arg(short = 'q', long = "queue", value_name = "QUEUE", requires = "broker")]
    queue: Option<i32>,
    /// Its offset, in place of that of the time.
    #[arg(short = 'o', long = "offset", requires = "queue")]
    offset: Option<i64>,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &[
        "-n 127.0.0.1:9876 -g GROUP -t TopicTest -s now",
        "-n 127.0.0.1:9876 -g GROUP -t TopicTest -s 2026-11-30#12:00:00:000",
        "-g GROUP -t TopicTest -s now -b 127.0.0.1:10911 -q 3 # one queue",
    ];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let (client, time) = (&mut session.client, time(&self.when.time)?);
        match (&self.broker, self.queue) {
            (Some(broker), Some(queue)) => self.one(client, broker, queue, time),
            _ => Reset { whose: &self.whose, time }.online_or_not(client, &self.when.time),
        }
    }
}

impl Options {
    /// Sets the offset of one queue on its broker.
    fn one(&self, client: &mut Client, broker: &str, id: i32, time: i64) -> anyhow::Result<Page> {
        let Whose { group, topic, .. } = &self.whose;
        let offset = match self.offset {
            Some(offset) => offset,
            None => offset_at(client, broker, &MessageQueue::new(topic, "", id), time)?,
        };
        let texts = [id.to_string(), offset.to_string(), time.to_string()];
        let fields = [
            ("topic", topic.as_str()),
            ("group", group),
            ("queueId", &texts[0]),
            ("offset", &texts[1]),
            ("timestamp", &texts[2]),
            ("isForce", "false"),
        ];
        client.ask(broker, request::INVOKE_BROKER_TO_RESET_OFFSET, &fields, &[])?;
        let said = &self.when.time;
        let text = format!(
            "start reset consumer offset by specified, group[{group}], topic[{topic}], \
             queueId[{id}], broker[{broker}], timestamp(string)[{said}], \
             timestamp(long)[{time}]\nreset consumer offset to {offset}"
        );
        let mut page = Page::default();
        page.done(
            text,
            [("broker", broker.into()), ("queue", id.into()), ("offset", offset.into())],
        );
        Ok(page)
    }
}

/// `resetOffsetByTimeOld`.
#[derive(clap::Args, Debug)]
pub struct Old {
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    when: When,
}

impl Run for Old {
    const EXAMPLES: &'static [&'static str] = &[
        "-n 127.0.0.1:9876 -g GROUP -t TopicTest -s now",
        "-n 127.0.0.1:9876 -g GROUP -t TopicTest -s 2026-11-30#12:00:00:000",
    ];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let reset = Reset { whose: &self.whose, time: time(&self.when.time)? };
        reset.offline(&mut session.client, &self.when.time)
    }
}
