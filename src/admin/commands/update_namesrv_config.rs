//! `updateNamesrvConfig`.

use ringmq_remoting::codes::request;

use crate::output::Page;
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// The key.
    #[arg(short = 'k', long = "key")]
    key: String,
    /// Its value.
    #[arg(short = 'v', long = "value", allow_hyphen_values = true)]
    value: String,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] =
        &["-n 127.0.0.1:9876 -k deleteTopicWithBrokerRegistration -v true"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let servers = client.name_servers_or_fail()?;
        let (key, value) = (&self.key, &self.value);
        let body = format!("{key}={value}\n");
        for server in &servers {
            client.ask(server, request::UPDATE_NAMESRV_CONFIG, &[], body.as_bytes())?;
        }
        let mut page = Page::default();
        let text =
            format!("update name server config success![{}]\n{key} : {value}", servers.join(", "));
        page.done(
            text,
            [
                ("nameServers", servers.into()),
                ("key", key.as_str().into()),
                ("value", value.as_str().into()),
            ],
        );
        Ok(page)
    }
}
