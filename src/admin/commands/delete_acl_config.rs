//! `deleteAclConfig`.

use ringmq_remoting::codes::request;

use crate::output::Page;
use crate::questions::changes::change;
use crate::session::{Run, Session};
use crate::target::Target;

#[derive(clap::Args, Debug)]
pub struct Options {
    #[command(flatten)]
    target: Target,
    /// The account.
    #[arg(short = 'a', long = "accessKey", value_name = "KEY", id = "acl_access_key")]
    access_key: String,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &["-n 127.0.0.1:9876 -c DefaultCluster -a NAME"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let fields = [("accessKey", self.access_key.as_str())];
        let masters = self.target.masters(client)?;
        let request = (request::DELETE_ACL_CONFIG, (&fields[..], &[][..]));
        let page = change(client, masters, request, |page, address| {
            let text = format!("delete plain access config account from {address} success.");
            page.done(
                text,
                [("broker", address.into()), ("accessKey", self.access_key.as_str().into())],
            );
        });
        let text = format!("account's accesskey is:{}", self.access_key);
        Ok(if page.is_empty() { page } else { page.text(text) })
    }
}
