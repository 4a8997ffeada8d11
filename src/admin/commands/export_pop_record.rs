//! `exportPopRecord`.

use ringmq_remoting::codes::request;

use crate::output::Page;
use crate::questions::settings;
use crate::session::{Run, Session};
use crate::target::Target;

#[derive(clap::Args, Debug)]
pub struct Options {
    #[command(flatten)]
    target: Target,
    /// Only tells which brokers are meant.
    #[arg(short = 'd', long = "dryRun", value_name = "true|false", default_value = "false",
        action = clap::ArgAction::Set)]
    dry: bool,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] =
        &["-b 127.0.0.1:10911", "-n 127.0.0.1:9876 -c DefaultCluster -d true"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let mut all = Page::default();
        for address in self.target.all(client)? {
            let answer = client.ask(&address, request::GET_BROKER_CONFIG, &[], &[])?;
            let name = settings::parse(&answer.body).into_iter();
            let name = name.filter(|(key, _)| key == "brokerName").map(|(_, name)| name).next();
            let name = name.unwrap_or_default();
            let done = match self.dry {
                true => Ok(()),
                false => client.ask(&address, request::POP_ROLLBACK, &[], &[]).map(drop),
            };
            all.add(done.map(|()| {
                let mut page = Page::default();
                let dry = self.dry;
                let text = format!(
                    "Export broker records, brokerName={name}, brokerAddr={address}, dryRun={dry}"
                );
                let address = address.into();
                page.done(text, [("name", name.into()), ("broker", address), ("dry", dry.into())]);
                page
            }));
        }
        Ok(all)
    }
}
