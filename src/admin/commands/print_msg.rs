//! `printMsg`.

use crate::output::Page;
use crate::questions::messages::Queue;
use crate::questions::print::{Range, Selection, show};
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    #[command(flatten)]
    selection: Selection,
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
        for queue in Queue::readable(&mut session.client, &self.selection.topic)? {
            let range = self.selection.range(session, &queue)?;
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
