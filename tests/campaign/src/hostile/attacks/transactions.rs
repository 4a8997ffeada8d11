//! Transactions that nobody ends, and ends of what is no transaction.

use std::io;

use ringmq_remoting::{
    codes::{request, sys_flag},
    encode::Value,
    message_id::MessageId,
};
use ringmq_test_client::{Field, Send, topic_fields};

use crate::hostile::{
    attacker::Target,
    wire::{self, Link},
};

const GROUP: &str = "forgetful";
const HALF: &str = "TRAN_MSG\u{1}true\u{2}PGROUP\u{1}forgetful\u{2}UNIQ_KEY\u{1}half";
const QUEUES: i32 = 4;
/// Requests that go in one piece.
const PIECE: i32 = 100;

fn half_frame(topic: &str, number: i32) -> Vec<u8> {
    let queue = number % QUEUES;
    let send = Send { topic, queue, queues: QUEUES, properties: HALF, batch: false };
    wire::request(request::SEND_MESSAGE_V2, number, &send.fields(), b"half")
}

fn beat(link: &mut Link) -> io::Result<()> {
    let body =
        format!(r#"{{"clientID":"forgetful","producerDataSet":[{{"groupName":"{GROUP}"}}]}}"#);
    link.call(request::HEART_BEAT, &[], body.as_bytes()).map(drop)
}

/// Half messages of a producer that ends none of them, and of another one of its group that does
/// not read what it is asked.
pub fn half_floods(target: &Target) -> io::Result<()> {
    let mut link = Link::open(target.broker)?;
    link.call(request::UPDATE_AND_CREATE_TOPIC, &topic_fields("forgotten", QUEUES), b"")?;
    let mut deaf = Link::open(target.broker)?;
    beat(&mut deaf)?;
    beat(&mut link)?;
    let halves: Vec<u8> = (0..PIECE).flat_map(|number| half_frame("forgotten", number)).collect();
    let mut pace = target.pace(20.0);
    loop {
        link.write(&halves)?;
        let mut answered = 0;
        while answered < PIECE {
            let answer = link.answer();
            match &answer {
                Ok(question) if !question.is_response => target.count("questions"),
                _ => {
                    target.answered(&answer);
                    answered += 1;
                }
            }
            answer?;
        }
        pace.wait();
    }
}

fn end_fields(offset: i64, position: i64, asked: i32) -> [Field<'static>; 5] {
    [
        ("producerGroup", Value::Str(GROUP)),
        ("tranStateTableOffset", Value::Int(offset)),
        ("commitLogOffset", Value::Int(position)),
        ("commitOrRollback", Value::Int(asked.into())),
        ("msgId", Value::Str("id")),
    ]
}

/// Ends of a transaction that has ended, of one that is elsewhere, and of places all over the log.
pub fn false_ends(target: &Target) -> io::Result<()> {
    let mut link = Link::open(target.broker)?;
    link.call(request::UPDATE_AND_CREATE_TOPIC, &topic_fields("ended", QUEUES), b"")?;
    let half = link.exchange(&half_frame("ended", 1), 1)?;
    let position = half.fields.get("msgId").and_then(|id| MessageId::parse(id));
    let (_, position) = position.ok_or_else(|| io::Error::other(half.remark.clone()))?;
    let offset = half.find_number("queueOffset").unwrap_or_default();
    let commit = sys_flag::TRANSACTION_COMMIT_TYPE;
    let places = [
        (offset, position),
        (offset + 1, position),
        (offset, position + 1),
        (offset, 0),
        (i64::MAX, i64::MAX),
        (i64::MIN, i64::MIN),
        (-1, -1),
    ];
    let mut pace = target.pace(50.0);
    for round in 0.. {
        let mut piece = Vec::new();
        for (number, (offset, position)) in (0..PIECE).zip(places.iter().cycle()) {
            // other places of the log in each round
            let position = position.saturating_add(round * i64::from(number / 50) * 4096);
            let fields = end_fields(*offset, position, commit);
            piece.extend(wire::request(request::END_TRANSACTION, number, &fields, b""));
        }
        link.write(&piece)?;
        for _ in 0..PIECE {
            let answer = link.answer();
            target.answered(&answer);
            answer?;
        }
        pace.wait();
    }
    Ok(())
}
