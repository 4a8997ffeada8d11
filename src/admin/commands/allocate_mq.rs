//! `allocateMQ`.

use serde_json::{Map, Value, json};

use crate::output::Page;
use crate::questions::messages::Queue;
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// The topic.
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// Addresses of consumers, separated by commas.
    #[arg(short = 'i', long = "ipList", value_name = "ADDRESSES")]
    addresses: String,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] =
        &["-n 127.0.0.1:9876 -t TopicTest -i 10.0.0.1,10.0.0.2"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let queues = Queue::readable(&mut session.client, &self.topic)?;
        let members: Vec<&str> = self.addresses.split(',').map(str::trim).collect();
        let mut result = Map::new();
        for (place, member) in members.iter().enumerate() {
            let own = share(queues.len(), members.len(), place);
            let own = queues.get(own).unwrap_or_default();
            let own: Vec<Value> = own.iter().map(|queue| {
                json!({"brokerName": queue.broker, "queueId": queue.id, "topic": queue.topic})
            }).collect();
            result.insert((*member).to_owned(), own.into());
        }
        let value = json!({ "result": result });
        Ok(Page::document(value.to_string(), value))
    }
}

/// The queues of a member, as RocketMQ's average allocation gives them.
fn share(queues: usize, members: usize, place: usize) -> std::ops::Range<usize> {
    let (each, rest) = (queues / members, queues % members);
    let begin = place * each + place.min(rest);
    begin..begin + each + usize::from(place < rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_shared_evenly_and_each_once() {
        let shares: Vec<_> = (0..3).map(|place| share(8, 3, place)).collect();
        assert_eq!(shares, [0..3, 3..6, 6..8]);
        assert_eq!((share(1, 2, 0), share(1, 2, 1)), (0..1, 1..1));
    }
}
