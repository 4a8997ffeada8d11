//! `cleanExpiredCQ`.

use ringmq_remoting::codes::request;

use crate::output::Page;
use crate::questions::cleaning::{Where, clean};
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    #[command(flatten)]
    place: Where,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] =
        &["-b 127.0.0.1:10911", "-n 127.0.0.1:9876 -c DefaultCluster"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        clean(&mut session.client, &self.place, request::CLEAN_EXPIRED_CONSUMEQUEUE)
    }
}
