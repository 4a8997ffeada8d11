//! Heartbeats as large as a frame.

use std::io;

use ringmq_remoting::codes::request;

use crate::hostile::{
    attacker::Target,
    wire::{self, Link},
};

/// A little below what a frame holds.
const BYTES: usize = 15 << 20;
const A_SECOND: f64 = 12.0;

fn repeat(target: &Target, frames: &[Vec<u8>]) -> io::Result<()> {
    let mut links = [Link::open(target.broker)?, Link::open(target.broker)?];
    let mut pace = target.pace(A_SECOND);
    loop {
        for frame in frames {
            // both under way before either is answered
            for link in &mut links {
                link.write(frame)?;
            }
            for link in &mut links {
                target.answered(&link.answer());
            }
            pace.wait();
            pace.wait();
        }
    }
}

fn list(before: &str, item: impl Fn(usize) -> String, behind: &str) -> String {
    let mut text = before.to_owned();
    let mut number = 0;
    while text.len() < BYTES {
        if number > 0 {
            text.push(',');
        }
        text += &item(number);
        number += 1;
    }
    text + behind
}

fn frame(body: &str) -> Vec<u8> {
    wire::request(request::HEART_BEAT, 1, &[], body.as_bytes())
}

/// Heartbeats of 16 MiB from two connections: one group with very many subscriptions, and very many
/// groups.
pub fn large(target: &Target) -> io::Result<()> {
    let subscriptions = list(
        "{\"clientID\":\"large\",\"consumerDataSet\":[{\"groupName\":\"large\",\
            \"consumeType\":\"CONSUME_PASSIVELY\",\"messageModel\":\"CLUSTERING\",\
            \"consumeFromWhere\":\"CONSUME_FROM_FIRST_OFFSET\",\"subscriptionDataSet\":[",
        |number| {
            format!(
                "{{\"topic\":\"t{number}\",\"subString\":\"a||b\",\"tagsSet\":[\"a\",\"b\"],\
                    \"codeSet\":[97,98],\"subVersion\":{number}}}"
            )
        },
        "]}]}",
    );
    let groups = list(
        r#"{"clientID":"large","consumerDataSet":["#,
        |number| {
            format!(
                "{{\"groupName\":\"g{number}\",\"consumeType\":\"CONSUME_PASSIVELY\",\
                    \"messageModel\":\"CLUSTERING\",\
                    \"consumeFromWhere\":\"CONSUME_FROM_FIRST_OFFSET\",\
                    \"subscriptionDataSet\":[]}}"
            )
        },
        "]}",
    );
    repeat(target, &[frame(&subscriptions), frame(&groups)])
}

/// Arrays of objects with nothing in them: three bytes each on the wire, many more in memory.
pub fn empty_objects(target: &Target) -> io::Result<()> {
    let consumers = list(r#"{"clientID":"e","consumerDataSet":["#, |_| "{}".to_owned(), "]}");
    let producers = list(r#"{"clientID":"e","producerDataSet":["#, |_| "{}".to_owned(), "]}");
    let locks = list(r#"{"consumerGroup":"e","clientId":"e","mqSet":["#, |_| "{}".to_owned(), "]}");
    let locks = wire::request(request::LOCK_BATCH_MQ, 1, &[], locks.as_bytes());
    repeat(target, &[frame(&consumers), frame(&producers), locks])
}
