//! `updateSubGroupList`.

use std::path::PathBuf;

use ringmq_remoting::codes::request;

use crate::output::Page;
use crate::questions::changes::submit;
use crate::session::{Run, Session};
use crate::target::Target;

#[derive(clap::Args, Debug)]
pub struct Options {
    #[command(flatten)]
    target: Target,
    /// A file with a list of settings in JSON, as exportMetadata and RocketMQ have them.
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    file: PathBuf,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] =
        &["-n 127.0.0.1:9876 -c DefaultCluster -f settings.json"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let masters = self.target.masters(&mut session.client)?;
        let code = request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST;
        let what = (code, "groupConfigList", "subscription group config");
        submit(&mut session.client, masters, &self.file, what)
    }
}
