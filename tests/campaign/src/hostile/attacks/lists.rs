//! Very long lists, asked for on many connections, whose answers are read.

use std::io;

use ringmq_remoting::codes::request;
use ringmq_test_client::{commit_fields, topic_fields};

use crate::hostile::{
    attacker::Target,
    wire::{self, Link, texts},
};

const TOPIC: &str = "huge";
const QUEUES: i32 = 65_536;
const GROUP: &str = "huge_group";
const CONNECTIONS: usize = 64;
/// Rounds of questions on all connections.
const ROUNDS: usize = 20;

/// Lists of a topic of 65,536 queues, on 64 connections at once.
pub fn long_lists(target: &Target) -> io::Result<()> {
    let mut link = Link::open(target.broker)?;
    link.call(request::UPDATE_AND_CREATE_TOPIC, &topic_fields(TOPIC, QUEUES), b"")?;
    link.call(request::UPDATE_CONSUMER_OFFSET, &commit_fields(GROUP, TOPIC, 1, 0), b"")?;
    let questions = [
        (request::GET_TOPIC_STATS_INFO, texts(&[("topic", TOPIC)])),
        (request::GET_CONSUME_STATS, texts(&[("consumerGroup", GROUP), ("topic", TOPIC)])),
        (request::QUERY_CONSUME_TIME_SPAN, texts(&[("topic", TOPIC), ("group", GROUP)])),
        (request::GET_BROKER_CONSUME_STATS, texts(&[("isOrder", "false")])),
    ];
    let frames = questions.map(|(code, fields)| wire::request(code, 1, &fields, b""));
    let mut links =
        (0..CONNECTIONS).map(|_| Link::open(target.broker)).collect::<io::Result<Vec<_>>>()?;
    let mut pace = target.pace(1.0);
    for round in 0..ROUNDS {
        for (number, link) in links.iter_mut().enumerate() {
            link.write(&frames[(round + number) % frames.len()])?;
        }
        for link in &mut links {
            target.answered(&link.answer());
        }
        pace.wait();
    }
    Ok(())
}
