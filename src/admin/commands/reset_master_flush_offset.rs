//! `resetMasterFlushOffset`.

use ringmq_remoting::codes::request;

use crate::output::Page;
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// The broker, host:port.
    #[arg(short = 'b', long = "brokerAddr", value_name = "ADDRESS")]
    broker: String,
    /// The offset in its master's log.
    #[arg(short = 'o', long = "offset", allow_negative_numbers = true)]
    offset: i64,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &["-b 127.0.0.1:10911 -o 0"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let offset = self.offset.to_string();
        let fields = [("masterFlushOffset", offset.as_str())];
        session.client.ask(&self.broker, request::RESET_MASTER_FLUSH_OFFSET, &fields, &[])?;
        let mut page = Page::default();
        let text = format!("reset master flush offset to {offset} success");
        page.done(text, [("broker", self.broker.as_str().into()), ("offset", self.offset.into())]);
        Ok(page)
    }
}
