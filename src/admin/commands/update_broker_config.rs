//! `updateBrokerConfig`.

use ringmq_remoting::codes::request;

use crate::output::Page;
use crate::session::{Run, Session};
use crate::target::Target;

#[derive(clap::Args, Debug)]
pub struct Options {
    #[command(flatten)]
    target: Target,
    /// The key.
    #[arg(short = 'k', long = "key")]
    key: String,
    /// Its value.
    #[arg(short = 'v', long = "value", allow_hyphen_values = true)]
    value: String,
    /// On the slaves of the cluster, too.
    #[arg(short = 'a', long = "updateAllBroker", num_args = 0..=1, value_name = "true",
        default_missing_value = "true")]
    slaves: Option<bool>,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &[
        "-b 127.0.0.1:10911 -k fileReservedTime -v 48",
        "-n 127.0.0.1:9876 -c DefaultCluster -k fileReservedTime -v 48",
    ];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let addresses = match self.slaves {
            Some(true) => self.target.all(client)?,
            _ => self.target.masters(client)?,
        };
        let body = format!("{}={}\n", self.key, self.value);
        let mut page = Page::default();
        for address in addresses {
            let code = request::UPDATE_BROKER_CONFIG;
            let asked = client.ask(&address, code, &[], body.as_bytes());
            page.add(asked.map(|_| {
                let mut page = Page::default();
                let text = format!("update broker config success, {address}");
                page.done(
                    text,
                    [
                        ("broker", address.into()),
                        ("key", self.key.as_str().into()),
                        ("value", self.value.as_str().into()),
                    ],
                );
                page
            }));
        }
        Ok(page)
    }
}
