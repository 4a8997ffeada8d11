//! Clients that ask and never read.

use std::io;

use nix::sys::socket::{setsockopt, sockopt};
use ringmq_remoting::codes::request;
use ringmq_test_client::{Pull, Send, topic_fields};

use super::frames::{hold, reset_on_close};
use crate::hostile::{
    attacker::Target,
    wire::{self, Link},
};

const TOPIC: &str = "deaf";
/// Enough queues that some belong to another shard than the connection.
const QUEUES: i32 = 4;
const BODY_BYTES: usize = 4 << 20;
const CONNECTIONS: usize = 25;
const PULLS: i32 = 100;
const RECEIVE_BYTES: usize = 4096;

/// 2,500 pulls of a message of 4 MiB, from queues of all shards, whose answers nobody reads.
pub fn deaf_readers(target: &Target) -> io::Result<()> {
    let mut link = Link::open(target.broker)?;
    link.call(request::UPDATE_AND_CREATE_TOPIC, &topic_fields(TOPIC, QUEUES), b"")?;
    let body = vec![b'x'; BODY_BYTES];
    for queue in 0..QUEUES {
        let send = Send { topic: TOPIC, queue, queues: QUEUES, properties: "", batch: false };
        target.answered(&link.call(request::SEND_MESSAGE_V2, &send.fields(), &body));
    }
    let mut pulls = Vec::new();
    for number in 0..PULLS {
        let pull = Pull {
            group: "deaf_group",
            topic: TOPIC,
            queue: number % QUEUES,
            offset: 0,
            messages_max: 1,
            wait: std::time::Duration::ZERO,
        };
        pulls.extend(wire::request(request::PULL_MESSAGE, number, &pull.fields(), b""));
    }
    let mut held = Vec::new();
    loop {
        for _ in 0..CONNECTIONS {
            let mut reader = Link::open(target.broker)?;
            setsockopt(reader.stream(), sockopt::RcvBuf, &RECEIVE_BYTES)?;
            reset_on_close(reader.stream())?;
            reader.write(&pulls)?;
            target.count("100 pulls");
            held.push(reader);
        }
        hold(2.0);
        // at most two rounds are open at once
        if held.len() > CONNECTIONS {
            held.drain(..CONNECTIONS);
        }
    }
}
