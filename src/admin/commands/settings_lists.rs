//! `updateTopicList` and `updateSubGroupList`: many settings, from a file.

use ringmq_remoting::codes::request;

use crate::output::Page;
use crate::questions::changes::submit;
use crate::session::{Run, Session};
use crate::target::SettingsFor;

const EXAMPLES: &[&str] = &["-n 127.0.0.1:9876 -c DefaultCluster -f settings.json"];

#[derive(clap::Args, Debug)]
pub struct Topics {
    #[command(flatten)]
    wanted: SettingsFor,
}

impl Run for Topics {
    const EXAMPLES: &'static [&'static str] = EXAMPLES;

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let code = request::UPDATE_AND_CREATE_TOPIC_LIST;
        submitted(session, &self.wanted, (code, "topicConfigList", "topic config"))
    }
}

#[derive(clap::Args, Debug)]
pub struct Groups {
    #[command(flatten)]
    wanted: SettingsFor,
}

impl Run for Groups {
    const EXAMPLES: &'static [&'static str] = EXAMPLES;

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let code = request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST;
        submitted(session, &self.wanted, (code, "groupConfigList", "subscription group config"))
    }
}

fn submitted(
    session: &mut Session,
    SettingsFor { target, file }: &SettingsFor,
    what: (i32, &str, &str),
) -> anyhow::Result<Page> {
    let masters = target.masters(&mut session.client)?;
    submit(&mut session.client, masters, file, what)
}
