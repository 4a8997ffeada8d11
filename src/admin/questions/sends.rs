//! Sending messages.

use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::Context;
use jiff::{Timestamp, Zoned};
use ringmq_base::config::address::local_address;
use ringmq_client::{CallError, Client};
use ringmq_remoting::codes::{property, request, response};

use super::messages::Queue;
use super::{MASTER, route};

/// The producer group of what is sent.
pub const GROUP: &str = "ringmq_admin";
const DEFAULT_TOPIC: &str = "TBW102";
const PERM_WRITE: i32 = 2;

/// What is sent.
#[derive(Clone, Debug, Default)]
pub struct New<'a> {
    pub topic: &'a str,
    pub body: &'a [u8],
    pub properties: Vec<(String, String)>,
}

/// Where it was stored, and how safely.
#[derive(Clone, Debug)]
pub struct Sent {
    pub id: String,
    pub offset_id: String,
    /// In the words of RocketMQ: SEND_OK, FLUSH_DISK_TIMEOUT and so on.
    pub status: &'static str,
    pub queue: Queue,
    pub offset: i64,
}

impl Sent {
    /// As RocketMQ prints a result.
    pub fn describe(&self) -> String {
        format!(
            "SendResult [sendStatus={}, msgId={}, offsetMsgId={}, messageQueue={}, \
             queueOffset={}]",
            self.status,
            self.id,
            self.offset_id,
            self.queue.describe(),
            self.offset
        )
    }
}

/// All queues of a topic that can be written; those of a topic that brokers make when it is used,
/// if it does not exist.
pub fn writable(client: &mut Client, topic: &str) -> anyhow::Result<Vec<Queue>> {
    let route = match route(client, topic) {
        Ok(route) => route,
        Err(error) => match error.downcast_ref() {
            Some(CallError::Refused { code: response::TOPIC_NOT_EXIST, .. }) => {
                super::route(client, DEFAULT_TOPIC).map_err(|_| error)?
            }
            _ => return Err(error),
        },
    };
    let mut queues = Vec::new();
    for data in route.queue_datas.iter().filter(|data| data.perm & PERM_WRITE != 0) {
        let mut brokers = route.broker_datas.iter();
        let broker = brokers.find(|broker| broker.broker_name == data.broker_name);
        let master = broker.and_then(|broker| broker.broker_addrs.get(&MASTER));
        let Some(address) = master else { continue };
        queues.extend((0..data.write_queue_nums).map(|id| Queue {
            topic: topic.to_owned(),
            broker: data.broker_name.clone(),
            address: address.clone(),
            id,
        }));
    }
    queues.sort_by(|one, other| (&one.broker, one.id).cmp(&(&other.broker, other.id)));
    if queues.is_empty() {
        let text = format!("topic {topic} has no queue that can be written: see topicRoute");
        return Err(CallError::NotFound(text).into());
    }
    Ok(queues)
}

/// Sends a message into a queue.
pub fn send(client: &mut Client, queue: &Queue, message: &New<'_>) -> anyhow::Result<Sent> {
    let mut properties = message.properties.clone();
    if !properties.iter().any(|(key, _)| key == property::UNIQ_KEY) {
        properties.push((property::UNIQ_KEY.to_owned(), unique_id()));
    }
    let id = properties.iter().find(|(key, _)| key == property::UNIQ_KEY);
    let id = id.map(|(_, id)| id.clone()).unwrap_or_default();
    let text: String =
        properties.iter().map(|(key, value)| format!("{key}\u{1}{value}\u{2}")).collect();
    let (number, born) = (queue.id.to_string(), Timestamp::now().as_millisecond().to_string());
    // without the most deliveries that a client asks for (l): 0 would make dead letters of retries
    let fields = [
        ("a", GROUP),
        ("b", message.topic),
        ("c", DEFAULT_TOPIC),
        ("d", "4"),
        ("e", number.as_str()),
        ("f", "0"),
        ("g", &born),
        ("h", "0"),
        ("i", &text),
        ("j", "0"),
        ("k", "false"),
        ("m", "false"),
    ];
    let answer = client.call(&queue.address, request::SEND_MESSAGE_V2, &fields, message.body)?;
    let status = match answer.code {
        response::SUCCESS => "SEND_OK",
        response::FLUSH_DISK_TIMEOUT => "FLUSH_DISK_TIMEOUT",
        response::FLUSH_SLAVE_TIMEOUT => "FLUSH_SLAVE_TIMEOUT",
        response::SLAVE_NOT_AVAILABLE => "SLAVE_NOT_AVAILABLE",
        code => {
            let (address, remark) = (queue.address.clone(), answer.remark);
            return Err(CallError::Refused { address, code, remark }.into());
        }
    };
    let offset = answer.number("queueOffset").context("an answer without an offset")?;
    let stored = answer.number("queueId").and_then(|id| i32::try_from(id).ok());
    let queue = Queue { id: stored.unwrap_or(queue.id), ..queue.clone() };
    let offset_id = answer.fields.get("msgId").cloned().unwrap_or_default();
    Ok(Sent { id, offset_id, status, queue, offset })
}

/// An id as RocketMQ's clients make them: address, process, milliseconds of this month, a count.
pub fn unique_id() -> String {
    static COUNT: AtomicU16 = AtomicU16::new(0);
    let address = match local_address() {
        std::net::IpAddr::V4(address) => address.octets(),
        std::net::IpAddr::V6(_) => [127, 0, 0, 1],
    };
    let now = Zoned::now();
    let month = now.first_of_month().and_then(|first| first.start_of_day());
    let since = month
        .map_or(0, |month| now.timestamp().as_millisecond() - month.timestamp().as_millisecond());
    let process = std::process::id() & 0xFFFF;
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut id: String = address.iter().map(|byte| format!("{byte:02X}")).collect();
    // unlike that of a class loader it differs from one run to the next
    id += &format!("{process:04X}{:08X}{:08X}{count:04X}", seed(), since & 0xFFFF_FFFF);
    id
}

fn seed() -> u32 {
    static SEED: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    *SEED.get_or_init(|| fastrand::u32(..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_32_digits_and_differ() {
        let ids = [unique_id(), unique_id()];
        assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())));
        assert_ne!(ids[0], ids[1]);
    }
}
