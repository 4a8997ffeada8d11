//! Dead letters: what a group could not consume.

use anyhow::Context;
use ringmq_client::{CallError, Client};
use ringmq_remoting::body::QueryConsumeQueueResponseBody;
use ringmq_remoting::codes::topic::{RETRY_PREFIX, dlq_topic};
use ringmq_remoting::codes::{property, request, response};

use super::messages::{Message, Queue, by_offset_id};
use super::{ask, brokers_with, route};
use crate::session::Session;

/// Entries that are asked for at a time.
const PIECE: i64 = 32;

/// Which messages are meant; all that is given must be so.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Which messages")]
pub struct Filter {
    /// Of this topic, before they were dead.
    #[arg(short = 't', long = "topic")]
    pub topic: Option<String>,
    /// With this tag.
    #[arg(long)]
    pub tag: Option<String>,
    /// With this key among theirs.
    #[arg(short = 'k', long)]
    pub key: Option<String>,
    /// With this text in their body.
    #[arg(long, value_name = "TEXT")]
    pub contains: Option<String>,
    /// With one of these ids, separated by commas.
    #[arg(short = 'i', long = "msgId", value_name = "IDS")]
    pub ids: Option<String>,
    /// Dead since then or later: milliseconds since 1970 or yyyy-MM-dd#HH:mm:ss:SSS.
    #[arg(short = 'b', long = "beginTimestamp", value_name = "TIME")]
    pub begin: Option<String>,
    /// Dead since before.
    #[arg(short = 'e', long = "endTimestamp", value_name = "TIME")]
    pub end: Option<String>,
}

impl Filter {
    /// Whether a message is meant; times are looked at elsewhere.
    pub fn takes(&self, message: &Message) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        let keys = message.keys().unwrap_or_default();
        let ids = [Some(message.id()), origin_id(message).map(str::to_owned)];
        is(&self.topic, origin_topic(message))
            && is(&self.tag, message.tags())
            && self.key.as_ref().is_none_or(|key| keys.split(' ').any(|one| one == key))
            && self.contains.as_ref().is_none_or(|part| message.text().contains(part.as_str()))
            && self.ids.as_ref().is_none_or(|wanted| {
                wanted.split(',').any(|id| {
                    ids.iter().flatten().any(|own| own.as_str() == id.trim())
                        || message.offset_id() == id.trim()
                })
            })
    }
}

/// The topic that a message was sent to.
pub fn origin_topic(message: &Message) -> Option<&str> {
    let names = [property::DLQ_ORIGIN_TOPIC, property::RETRY_TOPIC];
    let mut found = names.iter().filter_map(|name| message.property(name));
    found.find(|topic| !topic.starts_with(RETRY_PREFIX))
}

/// The id of the message that it was at first.
pub fn origin_id(message: &Message) -> Option<&str> {
    let names = [property::ORIGIN_MESSAGE_ID, property::DLQ_ORIGIN_MESSAGE_ID];
    names.iter().find_map(|name| message.property(name))
}

/// The queues of a group's dead letters: one a broker, which consumers may not read.
pub fn queues(client: &mut Client, group: &str) -> anyhow::Result<Vec<Queue>> {
    let topic = dlq_topic(group);
    let route = route(client, &topic)?;
    let mut queues = Vec::new();
    for data in &route.queue_datas {
        let broker = &data.broker_name;
        let Some((_, address)) = brokers_with(&route).find(|(name, _)| name == broker) else {
            continue;
        };
        queues.extend((0..data.write_queue_nums.max(data.read_queue_nums)).map(|id| Queue {
            topic: topic.clone(),
            broker: broker.clone(),
            address: address.to_owned(),
            id,
        }));
    }
    queues.sort_by(|one, other| (&one.broker, one.id).cmp(&(&other.broker, other.id)));
    Ok(queues)
}

/// Reads the messages from `begin` to before `end`, in pieces, until `found` says to stop.
pub fn read(
    session: &mut Session,
    queue: &Queue,
    (begin, end): (i64, i64),
    mut found: impl FnMut(&mut Session, Message) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let mut offset = begin;
    while offset < end {
        let max = (end - offset).min(PIECE);
        let piece = piece(&mut session.client, queue, offset, max)?;
        let Some(last) = piece.last() else { return Ok(()) };
        offset = last.queue_offset + 1;
        for message in piece {
            if !found(session, message)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Pulls, or looks the messages up one by one where the topic may not be read.
fn piece(
    client: &mut Client,
    queue: &Queue,
    offset: i64,
    max: i64,
) -> anyhow::Result<Vec<Message>> {
    match queue.pull(client, offset, max, "*") {
        Ok(pulled) => Ok(pulled.messages),
        Err(error) => match error.downcast_ref() {
            Some(CallError::Refused { code: response::NO_PERMISSION, .. }) => {
                look_up(client, queue, offset, max)
            }
            _ => Err(error),
        },
    }
}

fn look_up(
    client: &mut Client,
    queue: &Queue,
    offset: i64,
    max: i64,
) -> anyhow::Result<Vec<Message>> {
    let (id, index, count) = (queue.id.to_string(), offset.to_string(), max.to_string());
    let fields = [
        ("topic", queue.topic.as_str()),
        ("queueId", id.as_str()),
        ("index", &index),
        ("count", &count),
    ];
    let code = request::QUERY_CONSUME_QUEUE;
    let found: QueryConsumeQueueResponseBody = ask(client, &queue.address, code, &fields)?;
    let host = ringmq_client::resolve(&queue.address).context("the broker's address")?;
    let mut messages = Vec::new();
    for entry in found.queue_data.unwrap_or_default() {
        let mut message = by_offset_id(client, host, entry.physic_offset)?;
        message.broker.clone_from(&queue.broker);
        messages.push(message);
    }
    Ok(messages)
}
