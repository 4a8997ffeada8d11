//! `updateGlobalWhiteAddr`.

use ringmq_remoting::codes::request;

use crate::output::Page;
use crate::questions::changes::change;
use crate::session::{Run, Session};
use crate::target::Target;

#[derive(clap::Args, Debug)]
pub struct Options {
    #[command(flatten)]
    target: Target,
    /// Addresses from which nobody needs an account: 10.10.103.*,192.168.0.*.
    #[arg(short = 'g', long = "globalWhiteRemoteAddresses", value_name = "ADDRESSES")]
    addresses: String,
    /// The file on the brokers, if not the usual one.
    #[arg(short = 'p', long = "aclFileFullPath", value_name = "FILE")]
    file: Option<String>,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] =
        &["-n 127.0.0.1:9876 -c DefaultCluster -g 10.10.103.*,192.168.0.*"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let mut fields = vec![("globalWhiteAddrs", self.addresses.as_str())];
        fields.extend(self.file.as_deref().map(|file| ("aclFileFullPath", file)));
        let masters = self.target.masters(client)?;
        let request = (request::UPDATE_GLOBAL_WHITE_ADDRS_CONFIG, (&fields[..], &[][..]));
        Ok(change(client, masters, request, |page, address| {
            let text = format!("update global white remote addresses to {address} success.");
            page.done(text, [("broker", address.into())]);
        }))
    }
}
