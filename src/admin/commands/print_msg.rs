//! `printMsg`.

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
    /// Taken for RocketMQ's sake; bodies are shown as UTF-8.
    #[arg(short = 'c', long = "charsetName", value_name = "NAME", hide = true)]
    _charset: Option<String>,
    /// * or tags separated by ||.
    #[arg(short = 's', long = "subExpression", value_name = "EXPRESSION", default_value = "*")]
    expression: String,
    /// Stored then or later: milliseconds since 1970 or yyyy-MM-dd#HH:mm:ss:SSS.
    #[arg(short = 'b', long = "beginTimestamp", value_name = "TIME")]
    begin: Option<String>,
    /// Stored before.
    #[arg(short = 'e', long = "endTimestamp", value_name = "TIME")]
    end: Option<String>,
    /// With bodies.
    #[arg(short = 'd', long = "printBody", value_name = "true|false", default_value = "true",
        action = clap::ArgAction::Set)]
    body: bool,
    /// The topic whose route a queue of many (LMQ) has.
    #[arg(short = 'l', long = "lmqParentTopic", value_name = "TOPIC", hide = true)]
    _parent: Option<String>,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &[
        "-n 127.0.0.1:9876 -t TopicTest",
        "-n 127.0.0.1:9876 -t TopicTest -s TagA -b 2026-11-30#12:00:00:000 -o json",
    ];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let times = (
            self.begin.as_deref().map(time).transpose()?,
            self.end.as_deref().map(time).transpose()?,
        );
        for queue in Queue::readable(&mut session.client, &self.topic)? {
            let range = Range::of(session, &queue, times, &self.expression)?;
            let name = queue.describe();
            let Range { begin, end, .. } = range;
            session.say(&format!("minOffset={begin}, maxOffset={end}, {name}"))?;
            let ended = range
                .read(session, &queue, |session, messages| show(session, messages, self.body))?;
            if let Some((status, offset)) = ended {
                let text = format!("{name} print msg finished. status={status}, offset={offset}");
                session.say(&text)?;
            }
            session.say(&"-".repeat(56))?;
        }
        Ok(Page::default())
    }
}
