//! `topicList`.

use std::collections::BTreeSet;

use ringmq_remoting::body::ClusterInfo;
use ringmq_remoting::codes::topic::{DLQ_PREFIX, RETRY_PREFIX};

use crate::output::{Column, Page, Table};
use crate::questions::{clusters, consumers_of, route, topics};
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// With cluster and consumer groups; without topics of retries and dead letters.
    #[arg(short = 'c', long = "clusterModel")]
    by_cluster: bool,
}

const NAMES: &[Column] = &[Column::new("#Topic", "topic")];
const CONSUMERS: &[Column] = &[
    Column::new("#Cluster Name", "cluster"),
    Column::new("#Topic", "topic"),
    Column::new("#Consumer Group", "group"),
];

impl Run for Options {
    const EXAMPLES: &'static [&'static str] =
        &["-n 127.0.0.1:9876", "-n 127.0.0.1:9876 -c # with who consumes them"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let topics = topics(client)?;
        if !self.by_cluster {
            let mut table = Table::new("topics", NAMES).without_heads();
            topics.into_iter().for_each(|topic| table.row([topic.into()]));
            return Ok(Page::default().table(table));
        }
        let info = clusters(client)?;
        let mut table = Table::new("topics", CONSUMERS);
        let is_listed =
            |topic: &&String| !topic.starts_with(RETRY_PREFIX) && !topic.starts_with(DLQ_PREFIX);
        for topic in topics.iter().filter(is_listed) {
            // topics of clients that only a name server knows have neither
            let broker = route(client, topic).ok().and_then(|route| {
                route.broker_datas.into_iter().next().map(|data| data.broker_name)
            });
            let cluster = broker.and_then(|broker| cluster_of(&info, &broker)).unwrap_or("");
            let mut groups = consumers_of(client, topic).unwrap_or_default();
            if groups.is_empty() {
                groups = BTreeSet::from([String::new()]);
            }
            for group in groups {
                table.row([cluster.into(), topic.as_str().into(), group.into()]);
            }
        }
        Ok(Page::default().table(table))
    }
}

fn cluster_of<'a>(info: &'a ClusterInfo, broker: &str) -> Option<&'a str> {
    let mut clusters = info.cluster_addr_table.iter();
    clusters.find(|(_, brokers)| brokers.contains(broker)).map(|(name, _)| name.as_str())
}
