//! Questions with long answers, and texts that would stand in the log.

use std::io;

use ringmq_remoting::{codes::request, encode::Value};
use ringmq_test_client::{Send, commit_fields, topic_fields};

use crate::hostile::{
    attacker::Target,
    wire::{self, Link, texts},
};

const TOPIC: &str = "asked";
const OFFSETS: usize = 500_000;
/// Offsets that are told in one piece.
const CHUNK: usize = 1000;
const ASKS: usize = 200;

/// Half a million consumer offsets of one topic, and then whoever has them is asked for.
pub fn many_offsets(target: &Target) -> io::Result<()> {
    let mut link = Link::open(target.broker)?;
    link.call(request::UPDATE_AND_CREATE_TOPIC, &topic_fields(TOPIC, 4), b"")?;
    let mut pace = target.pace(250.0);
    let mut ask = target.pace(40.0);
    for first in (0..OFFSETS).step_by(CHUNK) {
        let mut bytes = Vec::new();
        for number in first..first + CHUNK {
            let group = format!("asked_{number}");
            let fields = commit_fields(&group, TOPIC, 0, 0);
            bytes.extend(wire::oneway(request::UPDATE_CONSUMER_OFFSET, &fields, b""));
        }
        link.write(&bytes)?;
        target.count("1000 offsets");
        pace.wait();
    }
    for turn in 0..ASKS {
        let group = format!("asked_{turn}");
        let of_topic = texts(&[("topic", TOPIC)]);
        target.answered(&link.call(request::QUERY_TOPIC_CONSUME_BY_WHO, &of_topic, b""));
        let of_group = texts(&[("consumerGroup", &group), ("topic", "")]);
        target.answered(&link.call(request::GET_CONSUME_STATS, &of_group, b""));
        let of_group = texts(&[("group", &group)]);
        target.answered(&link.call(request::QUERY_TOPICS_BY_CONSUMER, &of_group, b""));
        // the smallest offset that there is: arithmetic must not end anything
        let fields = commit_fields(&group, TOPIC, 0, i64::MIN);
        target.answered(&link.call(request::UPDATE_CONSUMER_OFFSET, &fields, b""));
        ask.wait();
    }
    Ok(())
}

/// Texts with line breaks, escapes and colours wherever a text goes.
pub fn escapes(target: &Target) -> io::Result<()> {
    let text =
        "\u{1b}[31m\r\n2026-01-01 ERROR forged: the store is damaged\n\u{0}\u{8}\u{7f}\u{2028}";
    let mut link = Link::open(target.broker)?;
    let mut names = Link::open(target.names)?;
    let mut pace = target.pace(500.0);
    let send = Send { topic: text, queue: 0, queues: 4, properties: text, batch: false };
    target.answered(&link.call(request::SEND_MESSAGE_V2, &send.fields(), b"body"));
    target.answered(&link.call(request::UPDATE_AND_CREATE_TOPIC, &topic_fields(text, 1), b""));
    pace.wait();
    let fields = [("topic", text), ("consumerGroup", text), ("group", text), ("key", text)];
    for code in 0..400 {
        target.answered(&link.call(code, &texts(&fields), text.as_bytes()));
        pace.wait();
    }
    let fields = [
        ("brokerName", Value::Str(text)),
        ("brokerAddr", Value::Str(text)),
        ("clusterName", Value::Str(text)),
        ("brokerId", Value::Int(0)),
        ("topic", Value::Str(text)),
    ];
    for code in [103, 104, 105, 106, 217, 322, 904] {
        target.answered(&names.call(code, &fields, b""));
        pace.wait();
    }
    Ok(())
}
