//! Pulls that wait: many at once, for what never comes, or for clients that are gone.

use std::{io, time::Duration};

use ringmq_remoting::{
    codes::{pull_flag, request},
    encode::Value,
};
use ringmq_test_client::{Pull, Send, topic_fields};

use super::frames::{hold, reset_on_close};
use crate::hostile::{
    attacker::Target,
    wire::{self, Link},
};

const CONNECTIONS: usize = 100;
const PULLS: i32 = 1000;
const EXPIRE_MS: i64 = 1500;
const SENDS_A_SECOND: f64 = 100.0;

/// So many pulls in one piece of bytes.
fn pulls(topic: &str, tag: &str, wait_ms: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 0..PULLS {
        let wait = Duration::ZERO;
        let pull = Pull { group: "waiting", topic, queue: 0, offset: 0, messages_max: 1, wait };
        let mut fields = pull.fields();
        for (name, value) in &mut fields {
            match *name {
                "sysFlag" => {
                    *value = Value::Int((pull_flag::SUSPEND | pull_flag::SUBSCRIPTION).into())
                }
                "suspendTimeoutMillis" => *value = Value::Int(wait_ms),
                "subscription" => *value = Value::Str(tag),
                _ => {}
            }
        }
        bytes.extend(wire::request(request::PULL_MESSAGE, number, &fields, b""));
    }
    bytes
}

fn make_topic(target: &Target, topic: &str) -> io::Result<Link> {
    let mut link = Link::open(target.broker)?;
    link.call(request::UPDATE_AND_CREATE_TOPIC, &topic_fields(topic, 1), b"")?;
    Ok(link)
}

fn open(target: &Target, bytes: &[u8], held: &mut Vec<Link>) -> io::Result<()> {
    let mut link = Link::open(target.broker)?;
    reset_on_close(link.stream())?;
    link.write(bytes)?;
    target.count(format!("{PULLS} pulls"));
    held.push(link);
    Ok(())
}

/// 100,000 pulls of one queue that come back at the same time.
pub fn expire_together(target: &Target) -> io::Result<()> {
    make_topic(target, "expiring")?;
    let bytes = pulls("expiring", "*", EXPIRE_MS);
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS {
        open(target, &bytes, &mut held)?;
    }
    for link in &mut held {
        let patience = Duration::from_millis(100);
        let _ = link.drain(patience);
    }
    Ok(())
}

/// 100,000 pulls whose tag no message has, while messages come.
pub fn never_match(target: &Target) -> io::Result<()> {
    let mut link = make_topic(target, "unmatched")?;
    let bytes = pulls("unmatched", "never", 20_000);
    let mut held = Vec::new();
    let send = Send {
        topic: "unmatched",
        queue: 0,
        queues: 1,
        properties: "TAGS\u{1}other",
        batch: false,
    };
    let mut pace = target.pace(SENDS_A_SECOND);
    loop {
        if held.len() < CONNECTIONS {
            open(target, &bytes, &mut held)?;
        }
        target.answered(&link.call(request::SEND_MESSAGE_V2, &send.fields(), b"body"));
        pace.wait();
    }
}

/// Connections that are gone as soon as their pulls wait.
pub fn dead(target: &Target) -> io::Result<()> {
    make_topic(target, "dead")?;
    let bytes = pulls("dead", "*", 20_000);
    let mut pace = target.pace(20.0);
    let mut held = Vec::new();
    loop {
        open(target, &bytes, &mut held)?;
        if held.len() == 10 {
            hold(0.05);
            held.clear();
        }
        pace.wait();
    }
}
