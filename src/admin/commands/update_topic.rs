//! `updateTopic`.

use ringmq_remoting::body::TopicConfig;
use ringmq_remoting::codes::request;

use crate::output::Page;
use crate::questions::{broker_at, brokers_of, clusters, topics};
use crate::session::{Run, Session};
use crate::target::Target;

#[derive(clap::Args, Debug)]
pub struct Options {
    #[command(flatten)]
    target: Target,
    /// The topic.
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// Queues that consumers see.
    #[arg(short = 'r', long = "readQueueNums", value_name = "COUNT", default_value_t = 8)]
    read_queues: i32,
    /// Queues that producers see.
    #[arg(short = 'w', long = "writeQueueNums", value_name = "COUNT", default_value_t = 8)]
    write_queues: i32,
    /// 2: write, 4: read, 6: both.
    #[arg(short = 'p', long = "perm", default_value_t = 6)]
    perm: i32,
    /// Whether name servers keep the order of its queues.
    #[arg(short = 'o', long = "order", value_name = "true|false", default_value = "false",
        action = clap::ArgAction::Set)]
    order: bool,
    /// Whether it is a topic of a unit.
    #[arg(short = 'u', long = "unit", value_name = "true|false", default_value = "false",
        action = clap::ArgAction::Set)]
    unit: bool,
    /// Whether groups of units subscribe to it.
    #[arg(short = 's', long = "hasUnitSub", value_name = "true|false", default_value = "false",
        action = clap::ArgAction::Set)]
    unit_sub: bool,
    /// Changes of attributes: +key=value,-key.
    #[arg(short = 'a', long = "attributes", value_name = "CHANGES", allow_hyphen_values = true)]
    attributes: Option<String>,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &[
        "-n 127.0.0.1:9876 -c DefaultCluster -t TopicTest -r 8 -w 8",
        "-b 127.0.0.1:10911 -t TopicTest -p 4 # read only, on one broker",
        "-n 127.0.0.1:9876 -c DefaultCluster -t Fifo -a +message.type=FIFO",
    ];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let topic = TopicConfig {
            topic_name: self.topic.clone(),
            read_queue_nums: self.read_queues,
            write_queue_nums: self.write_queues,
            perm: self.perm,
            topic_sys_flag: i32::from(self.unit) | i32::from(self.unit_sub) << 1,
            order: self.order,
            ..TopicConfig::default()
        };
        let addresses = self.target.masters(&mut session.client)?;
        let mut page = Page::default();
        for address in &addresses {
            let put = topics::put(&mut session.client, address, &topic, self.attributes.as_deref());
            page.add(put.map(|()| {
                let mut page = Page::default();
                let text = format!("create topic to {address} success.");
                page.done(
                    text,
                    [("broker", address.as_str().into()), ("topic", topics::value(&topic))],
                );
                page
            }));
        }
        if self.order && page.problems.is_empty() {
            page = page.text(self.set_order(session)?);
        }
        Ok(if page.is_empty() { page } else { page.text(topics::describe(&topic)) })
    }
}

impl Options {
    /// Tells the name servers which queues the topic has, for producers that depend on it.
    fn set_order(&self, session: &mut Session) -> anyhow::Result<String> {
        let client = &mut session.client;
        let part = |broker: &str| format!("{broker}:{}", self.write_queues);
        let (kind, order) = match (&self.target.broker, &self.target.cluster) {
            (Some(address), _) => {
                let broker = broker_at(client, address)?;
                let old = topics::order(client, &self.topic)?.unwrap_or_default();
                let others = old.split(';').filter(|old| {
                    !old.is_empty() && old.split(':').next() != Some(broker.as_str())
                });
                let mut parts: Vec<String> = others.map(str::to_owned).collect();
                parts.push(part(&broker));
                ("broker", parts.join(";"))
            }
            (None, cluster) => {
                let info = clusters(client)?;
                let brokers = brokers_of(&info, cluster.as_deref().unwrap_or_default())?;
                ("cluster", brokers.iter().map(|name| part(name)).collect::<Vec<_>>().join(";"))
            }
        };
        topics::put_order(client, request::PUT_KV_CONFIG, &self.topic, Some(&order))?;
        Ok(format!("set {kind} orderConf. isOrder=true, orderConf=[{order}]"))
    }
}
