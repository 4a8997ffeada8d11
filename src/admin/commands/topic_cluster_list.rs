//! `topicClusterList`.

use crate::output::{Column, Page, Table};
use crate::questions::{clusters, route};
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// The topic.
    #[arg(short = 't', long = "topic")]
    topic: String,
}

const COLUMNS: &[Column] = &[Column::new("#Cluster Name", "cluster")];

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &["-n 127.0.0.1:9876 -t TopicTest"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let info = clusters(&mut session.client)?;
        let route = route(&mut session.client, &self.topic)?;
        let has =
            |broker: &String| route.broker_datas.iter().any(|data| data.broker_name == *broker);
        let mut table = Table::new("clusters", COLUMNS).without_heads();
        for (cluster, brokers) in &info.cluster_addr_table {
            if brokers.iter().any(has) {
                table.row([cluster.as_str().into()]);
            }
        }
        Ok(Page::default().table(table))
    }
}
