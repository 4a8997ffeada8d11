//! The producer and the consumer that RocketMQ's tutorials run, under their well-known groups and
//! topic, with the lines that people wait for.

mod channel;
mod consumer;
mod print;
mod producer;
mod route;

pub use consumer::run as run_consumer;
pub use producer::run as run_producer;

use std::time::{SystemTime, UNIX_EPOCH};

/// What both use.
const TOPIC: &str = "TopicTest";
/// Where name servers are looked for when nothing names them.
const NAME_SERVERS_DEFAULT: &str = "127.0.0.1:9876";

/// The name servers of the environment, separated by `;`.
fn name_servers() -> String {
    let named = std::env::var("NAMESRV_ADDR").unwrap_or_default();
    if named.trim().is_empty() { NAME_SERVERS_DEFAULT.to_owned() } else { named }
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// Id of a client with one connection to each broker, as Java makes them: address@process#start.
fn client_id() -> String {
    format!("127.0.0.1@{}#{}", std::process::id(), now_ms())
}
