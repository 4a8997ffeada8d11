//! `deleteKvConfig`.

use ringmq_remoting::codes::request;

use crate::output::Page;
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// The namespace.
    #[arg(short = 's', long = "namespace")]
    namespace: String,
    /// The key.
    #[arg(short = 'k', long = "key")]
    key: String,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &["-n 127.0.0.1:9876 -s NAMESPACE -k KEY"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let fields = [("namespace", self.namespace.as_str()), ("key", self.key.as_str())];
        for server in client.name_servers_or_fail()? {
            client.ask(&server, request::DELETE_KV_CONFIG, &fields, &[])?;
        }
        let mut page = Page::default();
        page.done(
            "delete kv config from namespace success.",
            [("namespace", self.namespace.as_str().into()), ("key", self.key.as_str().into())],
        );
        Ok(page)
    }
}
