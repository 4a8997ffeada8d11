//! Half messages that the broker has before anything odd is asked: END_TRANSACTION names them.

use std::net::SocketAddr;

use ringmq_remoting::{
    codes::{request, response},
    encode::Value,
    message_id::MessageId,
};
use ringmq_test_client::{Send, topic_fields};

use super::accounts;
use crate::hostile::wire::Link;

/// Their producers.
pub const GROUP: &str = "fuzz_group0";
/// Their topic, which nobody deletes.
const TOPIC: &str = "fuzz_halves";
const QUEUES: i32 = 4;
const COUNT: usize = 2_000;

/// Where a half message is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Half {
    pub queue_offset: i64,
    /// The physical offset.
    pub position: i64,
}

/// Stores them, as an administrator if accounts are checked.
///
/// # Panics
/// If the broker does not take them.
pub fn store(broker: SocketAddr, checked: bool) -> Vec<Half> {
    let mut link = Link::open(broker).expect("the broker listens");
    let mut call = |code, fields: &[(&'static str, Value<'_>)], body: &[u8]| {
        let mut fields: Vec<_> = fields.iter().map(|(name, value)| (*name, text(value))).collect();
        if checked {
            accounts::sign_as_admin(&mut fields, body);
        }
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| (*name, Value::Str(value.as_str()))).collect();
        let answer = link.call(code, &fields, body).expect("an answer");
        answer.expect(response::SUCCESS)
    };
    call(request::UPDATE_AND_CREATE_TOPIC, &topic_fields(TOPIC, QUEUES), b"");
    let properties = format!("TRAN_MSG\u{1}true\u{2}PGROUP\u{1}{GROUP}\u{2}");
    let halves = (0..QUEUES).cycle().take(COUNT).map(|queue| {
        let properties = properties.as_str();
        let send = Send { topic: TOPIC, queue, queues: QUEUES, properties, batch: false };
        let answer = call(request::SEND_MESSAGE_V2, &send.fields(), b"half");
        let id = answer.fields.get("msgId").and_then(|id| MessageId::parse(id));
        let (_, position) = id.expect("an answer names the message");
        Half { queue_offset: answer.number("queueOffset"), position }
    });
    halves.collect()
}

fn text(value: &Value<'_>) -> String {
    match value {
        Value::Str(text) => (*text).to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
    }
}
