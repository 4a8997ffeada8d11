//! `deleteTopic`.

use ringmq_client::Client;
use ringmq_remoting::codes::request;

use crate::output::Page;
use crate::questions::members;
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// The topic.
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// From all masters of this cluster.
    #[arg(short = 'c', long = "clusterName", value_name = "NAME")]
    cluster: String,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &["-n 127.0.0.1:9876 -c DefaultCluster -t TopicTest"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        delete(&mut session.client, &self.cluster, &self.topic)
    }
}

/// Deletes a topic from the brokers of a cluster and then from the name servers.
pub fn delete(client: &mut Client, cluster: &str, topic: &str) -> anyhow::Result<Page> {
    let mut page = Page::default();
    let fields = [("topic", topic)];
    for address in members(client, cluster, false)? {
        client.ask(&address, request::DELETE_TOPIC_IN_BROKER, &fields, &[])?;
    }
    let text = format!("delete topic [{topic}] from cluster [{cluster}] success.");
    page.done(text, [("topic", topic.into()), ("cluster", cluster.into())]);
    let fields = [("topic", topic), ("clusterName", cluster)];
    for server in client.name_servers().to_vec() {
        client.ask(&server, request::DELETE_TOPIC_IN_NAMESRV, &fields, &[])?;
    }
    let text = format!("delete topic [{topic}] from NameServer success.");
    page.done(text, [("topic", topic.into()), ("nameServers", client.name_servers().into())]);
    Ok(page)
}
