//! `cleanExpiredCQ`, `cleanUnusedTopic` and `deleteExpiredCommitLog`: brokers clean up now.

use ringmq_client::Client;
use ringmq_remoting::codes::request;

use crate::output::Page;
use crate::questions::{clusters, members};
use crate::session::{Run, Session};

/// One broker, a cluster, or all that the name servers know.
#[derive(clap::Args, Clone, Debug)]
#[group(multiple = false)]
struct Where {
    /// One broker, host:port.
    #[arg(short = 'b', long = "brokerAddr", value_name = "ADDRESS")]
    broker: Option<String>,
    /// All brokers of a cluster; without -b and -c those of all clusters.
    #[arg(short = 'c', long = "cluster", value_name = "NAME")]
    cluster: Option<String>,
}

/// A command that asks for `CODE`.
#[derive(clap::Args, Debug)]
pub struct Clean<const CODE: i32> {
    #[command(flatten)]
    place: Where,
}

pub type ExpiredQueues = Clean<{ request::CLEAN_EXPIRED_CONSUMEQUEUE }>;
pub type UnusedTopics = Clean<{ request::CLEAN_UNUSED_TOPIC }>;
pub type ExpiredMessages = Clean<{ request::DELETE_EXPIRED_COMMITLOG }>;

impl<const CODE: i32> Run for Clean<CODE> {
    const EXAMPLES: &'static [&'static str] =
        &["-b 127.0.0.1:10911", "-n 127.0.0.1:9876 -c DefaultCluster"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let mut page = Page::default();
        let mut done = Vec::new();
        for address in self.place.addresses(client)? {
            match client.ask(&address, CODE, &[], &[]) {
                Ok(_) => done.push(address),
                Err(problem) => page.problems.push(problem),
            }
        }
        // people are told once, when all have done it
        Ok(match page.problems.is_empty() {
            true => page.fact("brokers", "success", done),
            false if done.is_empty() => page,
            false => page.fact("brokers", format!("success on {} only", done.join(", ")), done),
        })
    }
}

impl Where {
    fn addresses(&self, client: &mut Client) -> anyhow::Result<Vec<String>> {
        Ok(match (&self.broker, &self.cluster) {
            (Some(broker), _) => vec![broker.clone()],
            (None, Some(cluster)) => members(client, cluster, true)?,
            (None, None) => {
                let brokers = clusters(client)?.broker_addr_table;
                brokers.into_values().flat_map(|data| data.broker_addrs.into_values()).collect()
            }
        })
    }
}
