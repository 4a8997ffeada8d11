//! 1,000 messages to TopicTest, each after the answer to the one before.

use std::{
    collections::HashMap,
    io::Write as _,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use ringmq_remoting::{
    body::{HeartbeatData, ProducerData},
    codes::{property, request},
};

use super::{
    TOPIC,
    channel::Channel,
    client_id, name_servers, now_ms,
    print::{send_result, send_status},
    route::{Need, Queue, queues},
};
use crate::stamp::{Stamp, unique_prefix};

const MESSAGES: u32 = 1000;
const GROUP: &str = "please_rename_unique_group_name";
const TAG: &str = "TagA";
/// Attempts for a message, each at another queue.
const ATTEMPTS: usize = 3;
/// After a message that was not taken.
const PAUSE: Duration = Duration::from_secs(1);
/// A route is asked for anew after so long.
const ROUTE_AGE_MAX: Duration = Duration::from_secs(30);

/// Sends them and prints a line for each; the exit code is 1 if one was not taken.
///
/// # Errors
/// When standard output is closed.
pub fn run() -> anyhow::Result<ExitCode> {
    let mut producer = Producer::new();
    let mut failed = 0;
    for number in 0..MESSAGES {
        match producer.send(&format!("Hello RocketMQ {number}")) {
            Ok(line) => writeln!(std::io::stdout(), "{line}").context("standard output")?,
            Err(error) => {
                failed += 1;
                eprintln!("{error:#}");
                thread::sleep(PAUSE);
            }
        }
    }
    producer.leave();
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Producer {
    name_servers: String,
    client_id: String,
    queues: Vec<Queue>,
    routed: Option<Instant>,
    channels: HashMap<String, Channel>,
    turn: usize,
    prefix: String,
    stamp: Stamp,
}

impl Producer {
    fn new() -> Producer {
        let digits = unique_prefix(std::process::id(), 0, now_ms());
        Producer {
            name_servers: name_servers(),
            client_id: client_id(),
            queues: Vec::new(),
            routed: None,
            channels: HashMap::new(),
            turn: 0,
            prefix: String::from_utf8_lossy(&digits).into_owned(),
            stamp: Stamp::new(now_ms()),
        }
    }

    /// Sends a message; gives the line about it.
    fn send(&mut self, body: &str) -> anyhow::Result<String> {
        self.stamp.refresh(now_ms());
        let tail = self.stamp.next_unique_tail();
        let unique = format!("{}{}", self.prefix, String::from_utf8_lossy(&tail));
        let mut attempt = 1;
        loop {
            match self.try_send(body, &unique) {
                Ok(line) => return Ok(line),
                Err(error) if attempt == ATTEMPTS => return Err(error),
                Err(_) => attempt += 1,
            }
        }
    }

    fn try_send(&mut self, body: &str, unique: &str) -> anyhow::Result<String> {
        if self.routed.is_none_or(|at| at.elapsed() > ROUTE_AGE_MAX) {
            self.queues = queues(&self.name_servers, TOPIC, Need::Write)?;
            self.routed = (!self.queues.is_empty()).then(Instant::now);
        }
        let turn = self.turn % self.queues.len().max(1);
        self.turn = turn + 1;
        let Some(queue) = self.queues.get(turn).cloned() else {
            bail!(
                "No route info of this topic: {TOPIC}: is a broker registered with {}?",
                self.name_servers
            );
        };
        let sent = self.send_to(&queue, body, unique);
        if sent.is_err() {
            self.channels.remove(&queue.address);
            self.routed = None;
        }
        sent
    }

    fn send_to(&mut self, queue: &Queue, body: &str, unique: &str) -> anyhow::Result<String> {
        if !self.channels.contains_key(&queue.address) {
            let mut channel = Channel::connect(&queue.address)?;
            let beat = HeartbeatData {
                client_id: self.client_id.clone(),
                producer_data_set: vec![ProducerData { group_name: GROUP.to_owned() }],
                ..HeartbeatData::default()
            };
            channel.call(request::HEART_BEAT, &[], &serde_json::to_vec(&beat)?)?;
            self.channels.insert(queue.address.clone(), channel);
        }
        let channel = self.channels.get_mut(&queue.address).context("it was just made")?;
        let (id, born) = (queue.id.to_string(), now_ms().to_string());
        let (key, wait, tags) = (property::UNIQ_KEY, property::WAIT, property::TAGS);
        let properties = format!("{key}\u{1}{unique}\u{2}{wait}\u{1}true\u{2}{tags}\u{1}{TAG}");
        // Group, topic, default topic and its queues, queue, system flag, time, flag, properties,
        // times consumed, unit mode, batch, broker.
        let fields = [
            ("a", GROUP),
            ("b", TOPIC),
            ("c", "TBW102"),
            ("d", "4"),
            ("e", &*id),
            ("f", "0"),
            ("g", &*born),
            ("h", "0"),
            ("i", &*properties),
            ("j", "0"),
            ("k", "false"),
            ("m", "false"),
            ("n", &*queue.broker),
        ];
        let answer = channel.call(request::SEND_MESSAGE_V2, &fields, body.as_bytes())?;
        match send_status(answer.code) {
            Some(status) => Ok(send_result(status, unique, queue, &answer)),
            None => bail!("{}: CODE: {}  DESC: {}", queue.broker, answer.code, answer.remark),
        }
    }

    /// Tells the brokers that this client is gone.
    fn leave(&mut self) {
        for channel in self.channels.values_mut() {
            let fields = [("clientID", &*self.client_id), ("producerGroup", GROUP)];
            // They notice it by the connection as well.
            let _ = channel.call(request::UNREGISTER_CLIENT, &fields, &[]);
        }
    }
}
