//! What is wrong with the members of a group, by what they tell of themselves.

use std::collections::BTreeMap;

use ringmq_remoting::body::MessageQueue;

use super::groups::{ProcessQueue, RunningInfo};

/// A member that has been there for so long should have the subscriptions of all.
const SETTLED_MS: i64 = 120_000;
/// A queue with messages that were not touched for so long is stuck.
const STUCK_MS: i64 = 60_000;

/// A queue that a member does not get on with.
#[derive(Debug)]
pub struct Trouble<'a> {
    pub client_id: &'a str,
    pub queue: String,
    pub what: String,
}

impl Trouble<'_> {
    /// As RocketMQ prints it.
    pub fn describe(&self) -> String {
        format!("{} {} {}", self.client_id, self.queue, self.what)
    }
}

/// Whether members that have been there for a while subscribe to the same; `now` is in
/// milliseconds since 1970.
pub fn are_alike(infos: &BTreeMap<String, RunningInfo>, now: i64) -> bool {
    let mut all = infos.values();
    let Some(first) = all.next() else { return true };
    let subscription = |info: &RunningInfo| -> Vec<(String, String)> {
        let mut all: Vec<_> = info
            .subscription_set
            .iter()
            .map(|one| (one.topic.clone(), one.sub_string.clone()))
            .collect();
        all.sort();
        all
    };
    let property = |name: &str| first.properties.get(name).map_or("", String::as_str);
    let started = property("PROP_CONSUMER_START_TIMESTAMP").parse::<i64>().unwrap_or(now);
    let counts = property("PROP_CONSUME_TYPE") == "CONSUME_PASSIVELY" && now - started > SETTLED_MS;
    !counts || all.all(|info| subscription(info) == subscription(first))
}

/// The queues that members do not get on with.
pub fn troubles(infos: &BTreeMap<String, RunningInfo>, now: i64) -> Vec<Trouble<'_>> {
    let mut all = Vec::new();
    for (client_id, info) in infos {
        let orderly = info.properties.get("PROP_CONSUMEORDERLY").is_some_and(|is| is == "true");
        for (queue, state) in &info.mq_table {
            if let Some(what) = trouble(orderly, state, now) {
                all.push(Trouble { client_id, queue: queue_text(queue), what });
            }
        }
    }
    all
}

fn trouble(orderly: bool, state: &ProcessQueue, now: i64) -> Option<String> {
    let idle = now - state.last_consume_timestamp;
    match orderly {
        true if !state.locked => {
            Some(format!("can't lock for a while, {}ms", now - state.last_lock_timestamp))
        }
        true if state.droped && state.try_unlock_times > 0 => {
            Some(format!("unlock {} times, still failed", state.try_unlock_times))
        }
        false if idle > STUCK_MS && state.cached_msg_count > 0 => {
            Some(format!("can't consume for a while, maybe blocked, {idle}ms"))
        }
        _ => None,
    }
}

fn queue_text(queue: &MessageQueue) -> String {
    let MessageQueue { topic, broker_name, queue_id } = queue;
    format!("MessageQueue [topic={topic}, brokerName={broker_name}, queueId={queue_id}]")
}
