//! `updateTopicPerm`.

use anyhow::ensure;
use ringmq_client::CallError;
use ringmq_remoting::body::{QueueData, TopicConfig, TopicRouteData};

use crate::output::Page;
use crate::questions::{MASTER, members, route, topics};
use crate::session::{Run, Session};
use crate::target::Target;

#[derive(clap::Args, Debug)]
pub struct Options {
    #[command(flatten)]
    target: Target,
    /// The topic.
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// 2: write, 4: read, 6: both.
    #[arg(short = 'p', long = "perm")]
    perm: i32,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &[
        "-n 127.0.0.1:9876 -b 127.0.0.1:10911 -t TopicTest -p 4 # read only",
        "-n 127.0.0.1:9876 -c DefaultCluster -t TopicTest -p 6",
    ];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let route = route(client, &self.topic)?;
        let addresses = match (&self.target.broker, &self.target.cluster) {
            (Some(address), _) => vec![address.clone()],
            (None, cluster) => members(client, cluster.as_deref().unwrap_or_default(), false)?,
        };
        let mut page = Page::default();
        for address in &addresses {
            let queues = queues_at(&route, address);
            let Some(queues) = queues
                .or_else(|| route.queue_datas.first().filter(|_| self.target.cluster.is_some()))
            else {
                let text = format!(
                    "updateTopicPerm error broker not exit or broker is not master!: no master \
                     with topic {} has the address {address}",
                    self.topic
                );
                return Err(CallError::NotFound(text).into());
            };
            if queues.perm == self.perm && self.target.broker.is_some() {
                return Ok(page.text("new perm equals to the old one!"));
            }
            let topic = self.topic_with(queues);
            topics::put(client, address, &topic, None)?;
            let text = format!(
                "update topic perm from {} to {} in {address} success.",
                queues.perm, self.perm
            );
            page.done(
                text,
                [
                    ("broker", address.as_str().into()),
                    ("topic", topics::value(&topic)),
                    ("permBefore", queues.perm.into()),
                ],
            );
            if self.target.broker.is_some() {
                page = page.text(format!("{}.", topics::describe(&topic)));
            }
        }
        ensure!(!page.is_empty(), "the cluster has no master");
        Ok(page)
    }
}

impl Options {
    fn topic_with(&self, queues: &QueueData) -> TopicConfig {
        TopicConfig {
            topic_name: self.topic.clone(),
            read_queue_nums: queues.read_queue_nums,
            write_queue_nums: queues.write_queue_nums,
            topic_sys_flag: queues.topic_sys_flag,
            perm: self.perm,
            ..TopicConfig::default()
        }
    }
}

/// What a topic has on the master with an address.
fn queues_at<'a>(route: &'a TopicRouteData, address: &str) -> Option<&'a QueueData> {
    let mut brokers = route.broker_datas.iter();
    let is_master = |master: &String| master == address;
    let broker = brokers.find(|data| data.broker_addrs.get(&MASTER).is_some_and(is_master))?;
    route.queue_datas.iter().find(|queues| queues.broker_name == broker.broker_name)
}
