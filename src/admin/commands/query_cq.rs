//! `queryCq`.

use anyhow::Context;
use ringmq_remoting::body::QueryConsumeQueueResponseBody;
use ringmq_remoting::codes::request;
use serde_json::json;

use crate::output::Page;
use crate::questions::{ask, brokers_with, route};
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// The topic.
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// The queue.
    #[arg(short = 'q', long = "queue", value_name = "QUEUE")]
    queue: i32,
    /// The first entry: its offset in the queue.
    #[arg(short = 'i', long = "index", value_name = "OFFSET")]
    index: i64,
    /// How many entries.
    #[arg(short = 'c', long = "count", default_value_t = 10)]
    count: u32,
    /// The broker, host:port; else one that has the topic.
    #[arg(short = 'b', long = "broker", value_name = "ADDRESS")]
    broker: Option<String>,
    /// A group, to see what it subscribes to.
    #[arg(short = 'g', long = "consumer", value_name = "GROUP")]
    group: Option<String>,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] =
        &["-b 127.0.0.1:10911 -t TopicTest -q 0 -i 0 -c 5", "-n 127.0.0.1:9876 -t T -q 0 -i 0"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let address = match &self.broker {
            Some(broker) => broker.clone(),
            None => {
                let route = route(client, &self.topic)?;
                let broker = brokers_with(&route).next().context("the topic has no broker")?;
                broker.1.to_owned()
            }
        };
        let (queue, index, count) =
            (self.queue.to_string(), self.index.to_string(), self.count.to_string());
        let mut fields = vec![
            ("topic", self.topic.as_str()),
            ("queueId", queue.as_str()),
            ("index", &index),
            ("count", &count),
        ];
        fields.extend(self.group.as_deref().map(|group| ("consumerGroup", group)));
        let code = request::QUERY_CONSUME_QUEUE;
        let found: QueryConsumeQueueResponseBody = ask(client, &address, code, &fields)?;
        let rule = "======================================\n";
        let mut text = String::new();
        if let Some(subscription) = &found.subscription_data {
            let subscription = serde_json::to_string_pretty(subscription)?;
            let filter = found.filter_data.as_deref().unwrap_or("null");
            text += &format!("Subscription data: \n{subscription}\n{rule}");
            text += &format!("Filter data: \n{filter}\n{rule}");
        }
        let (min, max) = (found.min_queue_index, found.max_queue_index);
        text += &format!("Queue data: \nmax: {max}, min: {min}\n{rule}");
        let entries = found.queue_data.clone().unwrap_or_default();
        for (entry, offset) in entries.iter().zip(self.index..) {
            text += &format!(
                "idx: {offset}\nConsumeQueueData{{physicOffset={}, physicSize={}, tagsCode={}, \
                 extendDataJson='null', bitMap='null', eval={}, msg='null'}}\n{rule}",
                entry.physic_offset, entry.physic_size, entry.tags_code, entry.eval
            );
        }
        let value = json!({
            "minOffset": min,
            "maxOffset": max,
            "entries": entries,
            "subscription": found.subscription_data,
        });
        Ok(Page::document(text.trim_end(), value))
    }
}
