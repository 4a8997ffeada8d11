//! `updateOrderConf`.

use anyhow::Context;
use ringmq_client::CallError;
use ringmq_remoting::codes::request;

use crate::output::Page;
use crate::questions::topics::{order, put_order};
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// The topic.
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// The order: brokerName1:queues;brokerName2:queues.
    #[arg(short = 'v', long = "orderConf", value_name = "ORDER", required_if_eq("method", "put"))]
    order: Option<String>,
    /// What to do.
    #[arg(short = 'm', long = "method")]
    method: Method,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Put,
    Get,
    Delete,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &[
        "-n 127.0.0.1:9876 -t TopicTest -m get",
        "-n 127.0.0.1:9876 -t TopicTest -m put -v broker-a:4;broker-b:4",
    ];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let topic = &self.topic;
        let mut page = Page::default();
        match self.method {
            Method::Get => {
                let Some(order) = order(client, topic)? else {
                    let text = format!(
                        "CODE: 22  DESC: No config item, Namespace: ORDER_TOPIC_CONFIG Key: {topic}"
                    );
                    return Err(CallError::NotFound(text).into());
                };
                let text = format!("get orderConf success. topic=[{topic}], orderConf=[{order}]");
                page = page.fact("orderConf", text, order);
            }
            Method::Put => {
                let order = self.order.as_deref().context("-v is there")?;
                put_order(client, request::PUT_KV_CONFIG, topic, Some(order))?;
                let text =
                    format!("update orderConf success. topic=[{topic}], orderConf=[{order}]");
                page.done(text, [("topic", topic.as_str().into()), ("orderConf", order.into())]);
            }
            Method::Delete => {
                put_order(client, request::DELETE_KV_CONFIG, topic, None)?;
                let text = format!("delete orderConf success. topic=[{topic}]");
                page.done(text, [("topic", topic.as_str().into())]);
            }
        }
        Ok(page)
    }
}
