//! `consumeMessage`.

use anyhow::ensure;
use jiff::Timestamp;

use crate::output::Page;
use crate::questions::messages::Queue;
use crate::questions::print::{Range, show};
use crate::questions::resets::time;
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// The topic.
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// Only of this broker.
    #[arg(short = 'b', long = "brokerName", value_name = "NAME")]
    broker: Option<String>,
    /// Only this queue.
    #[arg(short = 'i', long = "queueId", value_name = "QUEUE", requires = "broker")]
    queue: Option<i32>,
    /// From this offset on.
    #[arg(short = 'o', long = "offset", requires = "queue")]
    offset: Option<i64>,
    /// Taken for RocketMQ's sake: no offset of the group changes.
    #[arg(short = 'g', long = "consumerGroup", value_name = "GROUP", hide = true)]
    _group: Option<String>,
    /// Stored then or later.
    #[arg(short = 's', long = "beginTimestamp", value_name = "TIME")]
    begin: Option<String>,
    /// Stored before.
    #[arg(short = 'e', long = "endTimestamp", value_name = "TIME")]
    end: Option<String>,
    /// At most so many messages.
    #[arg(short = 'c', long = "MessageNumber", value_name = "COUNT", default_value_t = 128,
        value_parser = clap::value_parser!(i64).range(1..))]
    count: i64,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &[
        "-n 127.0.0.1:9876 -t TopicTest -c 10",
        "-n 127.0.0.1:9876 -t TopicTest -b broker-a -i 0 -o 100",
    ];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let begin = self.begin.as_deref().map(time).transpose()?;
        let end = self.end.as_deref().map(time).transpose()?;
        let now = Timestamp::now().as_millisecond();
        ensure!(begin.is_none_or(|begin| begin <= now), "the time of -s is still to come");
        ensure!(end.is_none_or(|end| end <= now), "the time of -e is still to come");
        let queues = match (&self.broker, self.queue) {
            (Some(broker), Some(id)) => {
                vec![Queue::of(&mut session.client, &self.topic, broker, id)?]
            }
            (broker, _) => {
                let mut all = Queue::readable(&mut session.client, &self.topic)?;
                all.retain(|queue| broker.as_ref().is_none_or(|broker| queue.broker == *broker));
                all
            }
        };
        let mut left = self.count;
        for queue in queues {
            if left == 0 {
                break;
            }
            let mut range = Range::of(session, &queue, (begin, end), "*")?;
            range.begin = range.begin.max(self.offset.unwrap_or(0));
            range.end = range.end.min(range.begin.saturating_add(left));
            let name = queue.describe();
            let ended = range.read(session, &queue, |session, messages| {
                left -= i64::try_from(messages.len())?;
                session.say("Consume ok")?;
                show(session, messages, true)
            })?;
            let (status, offset) =
                ended.unwrap_or_else(|| ("NO_NEW_MSG", range.end.max(range.begin)));
            session.say(&format!("{name} print msg finished. status={status}, offset={offset}"))?;
        }
        Ok(Page::default())
    }
}
