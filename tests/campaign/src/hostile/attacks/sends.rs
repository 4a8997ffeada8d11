//! Sends that cost more than they bring.

use std::io;

use ringmq_remoting::{
    batch::{self, BatchMessage},
    codes::request,
};
use ringmq_test_client::{Send, topic_fields};

use crate::hostile::{
    attacker::Target,
    wire::{self, Link},
};

const MESSAGES: usize = 100_000;

/// Batches of messages without a body.
pub fn empty_batches(target: &Target) -> io::Result<()> {
    let mut link = Link::open(target.broker)?;
    link.call(request::UPDATE_AND_CREATE_TOPIC, &topic_fields("empty", 1), b"")?;
    let mut body = Vec::new();
    for _ in 0..MESSAGES {
        let empty = BatchMessage { flag: 0, body: b"", properties: b"" };
        batch::append(&mut body, &empty).expect("lengths fit");
    }
    let send = |properties| Send { topic: "empty", queue: 0, queues: 1, properties, batch: true };
    let plain = wire::request(request::SEND_BATCH_MESSAGE, 1, &send("").fields(), &body);
    let delayed = send("DELAY\u{1}3").fields();
    let delayed = wire::request(request::SEND_BATCH_MESSAGE, 1, &delayed, &body);
    let mut pace = target.pace(10.0);
    loop {
        for frame in [&plain, &delayed] {
            let answer = link.exchange(frame, 1);
            target.answered(&answer);
            if answer.is_err() {
                link = Link::open(target.broker)?;
            }
            pace.wait();
        }
    }
}
