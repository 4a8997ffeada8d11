//! `DecodeMessageId`.

use anyhow::Context;
use ringmq_remoting::message_id::MessageId;

use crate::output::Page;
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// An id that says where a message is stored.
    #[arg(short = 'i', long = "messageId", value_name = "ID")]
    id: String,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &["-i 7F00000100002A9F0000000000000000"];

    fn run(&self, _: &mut Session) -> anyhow::Result<Page> {
        let (host, offset) = MessageId::parse(self.id.trim())
            .with_context(|| format!("{:?} is no id of 32 or 56 hexadecimal digits", self.id))?;
        Ok(Page::default()
            .fact("ip", format!("ip={}", host.ip()), host.ip().to_string())
            .fact("port", format!("port={}", host.port()), host.port())
            .fact("offset", format!("offset={offset}"), offset))
    }
}
