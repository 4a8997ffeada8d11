//! What RocketMQ's brokers write down when a consumer asks for an offset that is not there: the
//! messages of a topic.

use std::collections::BTreeMap;

use ringmq_client::{CallError, Client};
use ringmq_remoting::body::MessageQueue;
use ringmq_remoting::codes::{group::MONITOR_CONSUMER, request, response, topic};
use ringmq_remoting::fastjson;
use serde::Deserialize;

use super::groups;
use super::messages::{Message, Queue};

const TOPIC: &str = topic::OFFSET_MOVED_EVENT;
/// Messages of one pull.
const PULLED_MAX: i64 = 32;

/// A consumer that was sent to another offset than it asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MovedOffset {
    pub consumer_group: String,
    pub message_queue: MessageQueue,
    pub offset_request: i64,
    pub offset_new: i64,
    /// When it was, in milliseconds since 1970.
    #[serde(skip)]
    pub time: i64,
}

impl MovedOffset {
    fn of(message: &Message) -> Option<MovedOffset> {
        let moved: MovedOffset = fastjson::from_slice(&message.body).ok()?;
        Some(MovedOffset { time: message.stored, ..moved })
    }

    /// As RocketMQ prints it.
    pub fn describe(&self) -> String {
        let MovedOffset { consumer_group, message_queue, offset_request, offset_new, time } = self;
        let MessageQueue { topic, broker_name, queue_id } = message_queue;
        format!(
            "DeleteMsgsEvent [offsetMovedEvent=OffsetMovedEvent [consumerGroup={consumer_group}, \
             messageQueue=MessageQueue [topic={topic}, brokerName={broker_name}, \
             queueId={queue_id}], offsetRequest={offset_request}, offsetNew={offset_new}], \
             eventTimestamp={time}]"
        )
    }
}

/// Reads them as RocketMQ's group of monitors does: from where it was, or from now on.
#[derive(Debug, Default)]
pub struct MovedOffsets {
    /// Of queues that were read before, by broker and number.
    next: BTreeMap<(String, i32), i64>,
}

impl MovedOffsets {
    /// Gives all that have come since the last time, and notes at the brokers how far that is.
    pub fn read(
        &mut self,
        client: &mut Client,
        mut take: impl FnMut(&MovedOffset) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let queues = match Queue::readable(client, TOPIC) {
            Ok(queues) => queues,
            // no broker of RocketMQ is there
            Err(error) if is_not_found(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        for queue in queues {
            let place = (queue.broker.clone(), queue.id);
            let begin = match self.next.get(&place) {
                Some(next) => *next,
                None => first(client, &queue)?,
            };
            let mut next = begin;
            // Those that come meanwhile are for the next time.
            let end = queue.max(client)?;
            while next < end {
                let pulled = queue.pull(client, next, PULLED_MAX, "*")?;
                for moved in pulled.messages.iter().filter_map(MovedOffset::of) {
                    take(&moved)?;
                }
                if pulled.next <= next {
                    break;
                }
                next = pulled.next;
            }
            self.next.insert(place, next);
            let named = MessageQueue::new(TOPIC, &queue.broker, queue.id);
            groups::commit(client, &queue.address, MONITOR_CONSUMER, &named, next)?;
        }
        Ok(())
    }
}

fn is_not_found(error: &anyhow::Error) -> bool {
    error.downcast_ref::<CallError>().is_some_and(CallError::is_not_found)
}

/// Where the group goes on in a queue.
fn first(client: &mut Client, queue: &Queue) -> anyhow::Result<i64> {
    let id = queue.id.to_string();
    let fields = [("consumerGroup", MONITOR_CONSUMER), ("topic", TOPIC), ("queueId", &*id)];
    let answer = client.call(&queue.address, request::QUERY_CONSUMER_OFFSET, &fields, &[])?;
    match answer.number("offset") {
        Some(offset) if answer.code == response::SUCCESS => Ok(offset),
        _ => queue.max(client),
    }
}
