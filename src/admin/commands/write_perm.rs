//! `wipeWritePerm` and `addWritePerm`: whether producers are told of a broker.

use ringmq_remoting::codes::request;

use crate::output::Page;
use crate::session::{Run, Session};

/// A command that wipes the permission, or adds it.
#[derive(clap::Args, Debug)]
pub struct Change<const WIPES: bool> {
    /// The broker's name.
    #[arg(short = 'b', long = "brokerName", value_name = "NAME")]
    broker: String,
}

pub type Wipe = Change<true>;
pub type Add = Change<false>;

impl<const WIPES: bool> Run for Change<WIPES> {
    const EXAMPLES: &'static [&'static str] = &["-n 127.0.0.1:9876 -b broker-a"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let (verb, code, field) = match WIPES {
            true => ("wipe", request::WIPE_WRITE_PERM_OF_BROKER, "wipeTopicCount"),
            false => ("add", request::ADD_WRITE_PERM_OF_BROKER, "addTopicCount"),
        };
        let (client, broker) = (&mut session.client, self.broker.as_str());
        let mut all = Page::default();
        for server in client.name_servers_or_fail()? {
            let answer = client.ask(&server, code, &[("brokerName", broker)], &[]);
            all.add(answer.map(|answer| {
                let count = answer.number(field).unwrap_or(0);
                let mut page = Page::default();
                let text = format!(
                    "{verb} write perm of broker[{broker}] in name server[{server}] OK, {count}"
                );
                page.done(
                    text,
                    [
                        ("broker", broker.into()),
                        ("nameServer", server.into()),
                        ("topics", count.into()),
                    ],
                );
                page
            }));
        }
        Ok(all)
    }
}
