//! `addWritePerm`.

use ringmq_remoting::codes::request;

use crate::output::Page;
use crate::questions::write_perm::change;
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// The broker's name.
    #[arg(short = 'b', long = "brokerName", value_name = "NAME")]
    broker: String,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &["-n 127.0.0.1:9876 -b broker-a"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let how = ("add", request::ADD_WRITE_PERM_OF_BROKER, "addTopicCount");
        change(&mut session.client, &self.broker, how)
    }
}
