//! `updateKvConfig`.

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
    /// Its value.
    #[arg(short = 'v', long = "value", allow_hyphen_values = true)]
    value: String,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &["-n 127.0.0.1:9876 -s NAMESPACE -k KEY -v VALUE"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let (namespace, key, value) = (&self.namespace, &self.key, &self.value);
        let fields = [("namespace", namespace.as_str()), ("key", key), ("value", value)];
        for server in client.name_servers_or_fail()? {
            client.ask(&server, request::PUT_KV_CONFIG, &fields, &[])?;
        }
        let mut page = Page::default();
        page.done(
            "create or update kv config to namespace success.",
            [
                ("namespace", namespace.as_str().into()),
                ("key", key.as_str().into()),
                ("value", value.as_str().into()),
            ],
        );
        Ok(page)
    }
}
