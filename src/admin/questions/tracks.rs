//! Who has consumed a message.

use std::collections::BTreeSet;

use ringmq_client::{CallError, Client};
use ringmq_remoting::codes::response;

use super::messages::Message;
use super::{broker_at, consumers_of, groups};

/// What a group has made of a message.
#[derive(Clone, Debug)]
pub struct Track {
    pub group: String,
    /// In the words of RocketMQ.
    pub kind: &'static str,
    pub problem: Option<String>,
}

impl Track {
    /// As RocketMQ prints it.
    pub fn describe(&self) -> String {
        let problem = self.problem.as_deref().unwrap_or("null");
        format!(
            "MessageTrack [consumerGroup={}, trackType={}, exceptionDesc={problem}]",
            self.group, self.kind
        )
    }
}

/// All groups of the message's topic.
pub fn tracks(client: &mut Client, message: &Message) -> anyhow::Result<Vec<Track>> {
    let mut found = Vec::new();
    for group in consumers_of(client, &message.topic)? {
        found.push(match kind(client, message, &group) {
            Ok(kind) => Track { group, kind, problem: None },
            Err(error) => {
                let kind = match error.downcast_ref() {
                    Some(CallError::Refused { code: response::CONSUMER_NOT_ONLINE, .. }) => {
                        "NOT_ONLINE"
                    }
                    _ => "UNKNOWN",
                };
                let problem = match error.downcast_ref() {
                    Some(CallError::Refused { code, remark, .. }) => {
                        format!("CODE:{code} DESC:{remark}")
                    }
                    _ => format!("{error:#}"),
                };
                Track { group, kind, problem: Some(problem) }
            }
        });
    }
    Ok(found)
}

fn kind(client: &mut Client, message: &Message, group: &str) -> anyhow::Result<&'static str> {
    let members = groups::connection(client, group, None)?;
    if members.consume_type.as_deref() == Some("CONSUME_ACTIVELY") {
        return Ok("PULL");
    }
    let broker = match message.broker.is_empty() {
        true => broker_at(client, &message.store_host.to_string())?,
        false => message.broker.clone(),
    };
    let stats = groups::progress(client, group, None)?;
    let consumed = stats.offset_table.iter().any(|(queue, offsets)| {
        queue.topic == message.topic
            && queue.broker_name == broker
            && queue.queue_id == message.queue
            && offsets.consumer_offset > message.queue_offset
    });
    let subscription = members.subscription_table.get(&message.topic);
    let wanted = subscription.map_or_else(BTreeSet::new, |one| one.tags_set.clone());
    let is_wanted = wanted.is_empty()
        || wanted.contains("*")
        || wanted.contains(message.tags().unwrap_or_default());
    Ok(match (consumed, is_wanted) {
        (true, true) => "CONSUMED",
        (true, false) => "CONSUMED_BUT_FILTERED",
        (false, _) => "NOT_CONSUME_YET",
    })
}
