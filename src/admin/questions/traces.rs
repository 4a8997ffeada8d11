//! Traces of messages, as RocketMQ's clients write them down.

use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use ringmq_client::Client;
use ringmq_remoting::codes::{property, topic};

use super::sends::{GROUP, New, Sent, send, writable};

/// Between the fields of a record, and behind it.
pub const FIELD_END: char = '\u{1}';
pub const RECORD_END: char = '\u{2}';
/// The region of brokers that have none.
const REGION: &str = "DefaultRegion";

/// Writes down that a message was sent, and how long that took.
pub fn record(
    client: &mut Client,
    message: &New<'_>,
    sent: &Sent,
    took: Duration,
) -> anyhow::Result<()> {
    let of = |name: &str| {
        let found = message.properties.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value.as_str())
    };
    let took_ms = i64::try_from(took.as_millis())?;
    let began = Timestamp::now().as_millisecond() - took_ms;
    let fields = [
        "Pub",
        &began.to_string(),
        REGION,
        GROUP,
        message.topic,
        &sent.id,
        of(property::TAGS),
        of(property::KEYS),
        &sent.queue.address,
        &message.body.len().to_string(),
        &took_ms.to_string(),
        // an ordinary message
        "0",
        &sent.offset_id,
        if sent.status == "SEND_OK" { "true" } else { "false" },
    ];
    let text = fields.join(&FIELD_END.to_string()) + &RECORD_END.to_string();
    let queues = writable(client, topic::TRACE)?;
    let queue = queues.get(fastrand::usize(..queues.len())).context("there is a queue")?;
    let keys = [sent.id.as_str(), of(property::KEYS)].join(" ");
    let properties = vec![
        (property::KEYS.to_owned(), keys.trim_end().to_owned()),
        (property::WAIT.to_owned(), "true".to_owned()),
    ];
    let trace = New { topic: topic::TRACE, body: text.as_bytes(), properties };
    send(client, queue, &trace).map(drop)
}
