//! `resetOffsetByTime`.

use crate::output::Page;
use crate::questions::resets::{Reset, time};
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// The consumer group.
    #[arg(short = 'g', long = "group")]
    group: String,
    /// The topic.
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// now, milliseconds since 1970, or a local time yyyy-MM-dd#HH:mm:ss:SSS.
    #[arg(short = 's', long = "timestamp", value_name = "TIME", allow_negative_numbers = true)]
    time: String,
    /// Forward, too.
    #[arg(short = 'f', long = "force", value_name = "true|false", default_value = "true",
        action = clap::ArgAction::Set)]
    force: bool,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &[
        "-n 127.0.0.1:9876 -g GROUP -t TopicTest -s now",
        "-n 127.0.0.1:9876 -g GROUP -t TopicTest -s 2026-11-30#12:00:00:000",
    ];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let time = time(&self.time)?;
        let reset = Reset { group: &self.group, topic: &self.topic, time, force: self.force };
        reset.online_or_not(&mut session.client, &self.time)
    }
}
