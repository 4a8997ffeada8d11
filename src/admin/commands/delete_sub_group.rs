//! `deleteSubGroup`.

use ringmq_remoting::codes::{request, topic};

use super::delete_topic::delete;
use crate::output::Page;
use crate::session::{Run, Session};
use crate::target::Target;

#[derive(clap::Args, Debug)]
pub struct Options {
    #[command(flatten)]
    target: Target,
    /// The consumer group.
    #[arg(short = 'g', long = "groupName", value_name = "GROUP")]
    group: String,
    /// Whether its offsets go, too.
    #[arg(short = 'r', long = "removeOffset", value_name = "true|false", default_value = "false",
        action = clap::ArgAction::Set)]
    offsets: bool,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] =
        &["-n 127.0.0.1:9876 -c DefaultCluster -g GROUP -r true"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let group = &self.group;
        let offsets = self.offsets.to_string();
        // 4.9.8 and 5.3.3 have names of their own for it
        let fields = [
            ("groupName", group.as_str()),
            ("removeOffset", offsets.as_str()),
            ("cleanOffset", &offsets),
        ];
        let mut page = Page::default();
        for address in self.target.masters(client)? {
            client.ask(&address, request::DELETE_SUBSCRIPTIONGROUP, &fields, &[])?;
            let mut text = format!("delete subscription group [{group}] from broker [{address}]");
            if let Some(cluster) = &self.target.cluster {
                text += &format!(" in cluster [{cluster}]");
            }
            page.done(
                text + " success.",
                [("broker", address.into()), ("group", group.as_str().into())],
            );
        }
        if let Some(cluster) = &self.target.cluster {
            for topic in [topic::retry_topic(group), topic::dlq_topic(group)] {
                page.add(delete(client, cluster, &topic));
            }
        }
        Ok(page)
    }
}
