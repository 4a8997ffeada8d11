//! `skipAccumulatedMessage`.

use crate::output::Page;
use crate::questions::resets::{Reset, Whose};
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    #[command(flatten)]
    whose: Whose,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &["-n 127.0.0.1:9876 -g GROUP -t TopicTest"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let reset = Reset { whose: &self.whose, time: -1 };
        reset.online_or_not(&mut session.client, "")
    }
}
