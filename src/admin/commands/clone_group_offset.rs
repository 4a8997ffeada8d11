//! `cloneGroupOffset`.

use ringmq_client::CallError;

use crate::output::Page;
use crate::questions::{brokers_with, groups, route};
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// The group whose offsets are taken.
    #[arg(short = 's', long = "srcGroup", value_name = "GROUP")]
    source: String,
    /// The group that gets them.
    #[arg(short = 'd', long = "destGroup", value_name = "GROUP")]
    destination: String,
    /// The topic.
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// Taken and ignored, as by RocketMQ.
    #[arg(short = 'o', long = "offline", value_name = "true|false", hide = true)]
    _offline: Option<bool>,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &["-n 127.0.0.1:9876 -s FROM -d TO -t TopicTest"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let stats = groups::progress(client, &self.source, Some(&self.topic))?;
        let route = route(client, &self.topic)?;
        let mut cloned = 0;
        for (queue, offsets) in &stats.offset_table {
            let mut brokers = brokers_with(&route);
            let broker = brokers.find(|(name, _)| *name == queue.broker_name);
            let Some((_, address)) = broker.filter(|_| queue.topic == self.topic) else { continue };
            if offsets.consumer_offset >= 0 {
                let offset = offsets.consumer_offset;
                groups::commit(client, address, &self.destination, queue, offset)?;
                cloned += 1;
            }
        }
        let Options { source, destination, topic, .. } = self;
        if cloned == 0 {
            let text = format!("group {source} has consumed no queue of topic {topic}");
            return Err(CallError::NotFound(text).into());
        }
        let mut page = Page::default();
        let text = format!(
            "clone group offset success. srcGroup[{source}], destGroup=[{destination}], \
             topic[{topic}]"
        );
        page.done(
            text,
            [
                ("from", source.as_str().into()),
                ("to", destination.as_str().into()),
                ("topic", topic.as_str().into()),
                ("queues", cloned.into()),
            ],
        );
        Ok(page)
    }
}
