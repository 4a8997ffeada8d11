//! Having brokers clean up now.

use ringmq_client::Client;

use super::{clusters, members};
use crate::output::Page;

/// One broker, a cluster, or all that the name servers know.
#[derive(clap::Args, Clone, Debug)]
#[group(multiple = false)]
pub struct Where {
    /// One broker, host:port.
    #[arg(short = 'b', long = "brokerAddr", value_name = "ADDRESS")]
    broker: Option<String>,
    /// All brokers of a cluster; without -b and -c those of all clusters.
    #[arg(short = 'c', long = "cluster", value_name = "NAME")]
    cluster: Option<String>,
}

/// Asks them; people are told once, when all have done it.
pub fn clean(client: &mut Client, place: &Where, code: i32) -> anyhow::Result<Page> {
    let addresses = match (&place.broker, &place.cluster) {
        (Some(broker), _) => vec![broker.clone()],
        (None, Some(cluster)) => members(client, cluster, true)?,
        (None, None) => {
            let brokers = clusters(client)?.broker_addr_table;
            brokers.into_values().flat_map(|data| data.broker_addrs.into_values()).collect()
        }
    };
    let mut page = Page::default();
    let mut done = Vec::new();
    for address in addresses {
        match client.ask(&address, code, &[], &[]) {
            Ok(_) => done.push(address),
            Err(problem) => page.problems.push(problem),
        }
    }
    Ok(match page.problems.is_empty() {
        true => page.fact("brokers", "success", done),
        false if done.is_empty() => page,
        false => page.fact("brokers", format!("success on {} only", done.join(", ")), done),
    })
}
