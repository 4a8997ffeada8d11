//! `queryMsgById`.

use anyhow::{Context, bail};
use ringmq_client::Client;

use crate::output::Page;
use crate::questions::details::{Shown, show, utf8};
use crate::questions::messages::{Message, by_any_id};
use crate::questions::{direct, sends};
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// Ids of either kind, several separated by commas.
    #[arg(short = 'i', long = "msgId", value_name = "IDS")]
    ids: String,
    /// The topic, which ids that producers give need.
    #[arg(short = 't', long = "topic")]
    topic: Option<String>,
    /// Has a member of this group consume it.
    #[arg(short = 'g', long = "consumerGroup", value_name = "GROUP", requires = "member")]
    group: Option<String>,
    /// The member.
    #[arg(short = 'd', long = "clientId", value_name = "ID", requires = "group")]
    member: Option<String>,
    /// Sends it again.
    #[arg(short = 's', long = "sendMessage", value_name = "true|false", default_value = "false",
        action = clap::ArgAction::Set)]
    resend: bool,
    /// Shows bodies as text, too.
    #[arg(short = 'f', long = "bodyFormat", value_name = "CHARSET", value_parser = utf8)]
    text: Option<String>,
    /// Cluster or topic whose brokers are asked, if not those of the topic.
    #[arg(short = 'c', long = "cluster", value_name = "NAME")]
    cluster: Option<String>,
    /// Taken for RocketMQ's sake; only its clients' names have units.
    #[arg(short = 'u', long = "unitName", value_name = "NAME", hide = true)]
    _unit: Option<String>,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &[
        "-n 127.0.0.1:9876 -i 7F00000100002A9F0000000000000000",
        "-n 127.0.0.1:9876 -t TopicTest -i ID -g GROUP -d CLIENT # consumed by this client now",
        "-n 127.0.0.1:9876 -t TopicTest -i ID -s true # sent again",
    ];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let mut found = Vec::new();
        for id in self.ids.split(',').map(str::trim).filter(|id| !id.is_empty()) {
            found.push(by_any_id(client, self.topic.as_deref(), self.cluster.as_deref(), id)?);
        }
        if found.is_empty() {
            bail!("-i names no message");
        }
        match (&self.group, &self.member) {
            (Some(group), Some(member)) => direct::consume(client, &found, group, member),
            _ if self.resend => resend(client, &found),
            _ => show(client, &found, Shown { offset_id: true, body: self.text.is_some() }),
        }
    }
}

fn resend(client: &mut Client, messages: &[Message]) -> anyhow::Result<Page> {
    let mut page = Page::default();
    for message in messages {
        let queues = sends::writable(client, &message.topic)?;
        let place = fastrand::usize(..queues.len());
        let queue = queues.get(place).context("there is a queue")?;
        // the broker adds its own again
        const OF_BROKER: [&str; 3] = ["CLUSTER", "MIN_OFFSET", "MAX_OFFSET"];
        let properties = message.properties.iter();
        let properties =
            properties.filter(|(key, _)| !OF_BROKER.contains(&key.as_str())).cloned().collect();
        let new = sends::New { topic: &message.topic, body: &message.body, properties };
        let sent = sends::send(client, queue, &new)?;
        let id = message.offset_id();
        let text = format!("prepare resend msg. originalMsgId={id}{}", sent.describe());
        page.done(
            text,
            [
                ("original", id.into()),
                ("status", sent.status.into()),
                ("id", sent.id.into()),
                ("offsetId", sent.offset_id.into()),
            ],
        );
    }
    Ok(page)
}
