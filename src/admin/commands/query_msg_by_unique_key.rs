//! `queryMsgByUniqueKey`.

use crate::output::Page;
use crate::questions::details::{Shown, show};
use crate::questions::direct;
use crate::questions::messages::{Query, no_message};
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// The id that the producer gave.
    #[arg(short = 'i', long = "msgId", value_name = "ID")]
    id: String,
    /// The topic.
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// Has a member of this group consume it.
    #[arg(short = 'g', long = "consumerGroup", value_name = "GROUP", requires = "member")]
    group: Option<String>,
    /// The member.
    #[arg(short = 'd', long = "clientId", value_name = "ID", requires = "group")]
    member: Option<String>,
    /// All messages with the id, at most 32 of each broker; else the oldest.
    #[arg(short = 'a', long = "showAll")]
    all: bool,
    /// Cluster or topic whose brokers are asked, if not those of the topic.
    #[arg(short = 'c', long = "cluster", value_name = "NAME")]
    cluster: Option<String>,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &["-n 127.0.0.1:9876 -t TopicTest -i ID"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let (topic, key, route) = (self.topic.as_str(), self.id.trim(), self.cluster.as_deref());
        let query = Query { topic, key, max: 32, unique: true, route, ..Query::default() };
        let mut found = query.ask(client)?;
        if found.is_empty() {
            return Err(no_message(topic, key).into());
        }
        if !self.all {
            found.truncate(1);
        }
        match (&self.group, &self.member) {
            (Some(group), Some(member)) => direct::consume(client, &found, group, member),
            _ => show(client, &found, Shown { offset_id: false, body: false }),
        }
    }
}
