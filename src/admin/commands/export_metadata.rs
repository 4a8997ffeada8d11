//! `exportMetadata`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use ringmq_remoting::body::{
    SubscriptionGroupConfig, SubscriptionGroupWrapper, TopicConfig, TopicConfigSerializeWrapper,
};
use ringmq_remoting::codes::request;
use serde_json::{Map, Value};

use crate::output::Page;
use crate::questions::ask;
use crate::questions::exports::{
    directory, groups_of, groups_value, topics_of, topics_value, write,
};
use crate::session::{Run, Session};
use crate::target::Target;

#[derive(clap::Args, Debug)]
pub struct Options {
    #[command(flatten)]
    target: Target,
    /// The directory that the file is written into.
    #[arg(short = 'f', long = "filePath", value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
    /// Only topics.
    #[arg(short = 't', long = "topic", conflicts_with = "groups")]
    topics: bool,
    /// Only consumer groups.
    #[arg(short = 'g', long = "subscriptionGroup")]
    groups: bool,
    /// With topics of retries and dead letters.
    #[arg(short = 's', long = "specialTopic")]
    special: bool,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] =
        &["-n 127.0.0.1:9876 -c DefaultCluster -f /tmp/export", "-b 127.0.0.1:10911 -t"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let mut topics: BTreeMap<String, TopicConfig> = BTreeMap::new();
        let mut groups: BTreeMap<String, SubscriptionGroupConfig> = BTreeMap::new();
        for address in self.target.masters(client)? {
            for (name, mut topic) in topics_of(client, &address, self.special)? {
                if let Some(other) = topics.remove(&name) {
                    topic.read_queue_nums += other.read_queue_nums;
                    topic.write_queue_nums += other.write_queue_nums;
                }
                topics.insert(name, topic);
            }
            for (name, mut group) in groups_of(client, &address)? {
                if let Some(other) = groups.remove(&name) {
                    group.retry_queue_nums += other.retry_queue_nums;
                }
                groups.insert(name, group);
            }
        }
        let mut result = Map::new();
        let name = match (self.topics, self.groups) {
            (true, _) => "topic.json",
            (_, true) => "subscriptionGroup.json",
            _ => "metadata.json",
        };
        if !self.groups {
            result.insert("topicConfigTable".to_owned(), topics_value(&topics));
        }
        if !self.topics {
            result.insert("subscriptionGroupTable".to_owned(), groups_value(&groups));
        }
        // of one kind and one broker it is what the broker has in its file
        match (&self.target.broker, self.topics, self.groups) {
            (Some(broker), true, _) => {
                let code = request::GET_ALL_TOPIC_CONFIG;
                let all: TopicConfigSerializeWrapper = ask(client, broker, code, &[])?;
                result.insert("dataVersion".to_owned(), serde_json::to_value(all.data_version)?);
            }
            (Some(broker), _, true) => {
                let code = request::GET_ALL_SUBSCRIPTIONGROUP_CONFIG;
                let all: SubscriptionGroupWrapper = ask(client, broker, code, &[])?;
                result.insert("dataVersion".to_owned(), serde_json::to_value(all.data_version)?);
            }
            _ => {
                let now = Timestamp::now().as_millisecond();
                result.insert("exportTime".to_owned(), now.into());
            }
        }
        write(&directory(self.directory.as_ref()), name, &Value::Object(result))
    }
}
