//! `skipAccumulatedMessage`.

use crate::output::Page;
use crate::questions::resets::Reset;
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// The consumer group.
    #[arg(short = 'g', long = "group")]
    group: String,
    /// The topic.
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// Forward, too.
    #[arg(short = 'f', long = "force", value_name = "true|false", default_value = "true",
        action = clap::ArgAction::Set)]
    force: bool,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &["-n 127.0.0.1:9876 -g GROUP -t TopicTest"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let reset = Reset { group: &self.group, topic: &self.topic, time: -1, force: self.force };
        reset.online_or_not(&mut session.client, "")
    }
}
