//! SQL92 expressions that grow or take long.

use std::{io, time::Duration};

use ringmq_remoting::{codes::request, encode::Value};
use ringmq_test_client::{Pull, Send, topic_fields};

use crate::hostile::{attacker::Target, wire::Link};

const TOPIC: &str = "sql_terms";
const DOUBLINGS: usize = 24;
const TERMS: usize = 4000;
const MESSAGES: usize = 64;
const PROPERTIES_BYTES: usize = 31_000;

fn heartbeat(group: &str, topic: &str, expression: &str) -> Vec<u8> {
    format!(
        "{{\"clientID\":\"sql\",\"consumerDataSet\":[{{\"groupName\":\"{group}\",\
            \"consumeType\":\"CONSUME_PASSIVELY\",\"messageModel\":\"CLUSTERING\",\
            \"consumeFromWhere\":\"CONSUME_FROM_FIRST_OFFSET\",\"subscriptionDataSet\":[\
            {{\"topic\":\"{topic}\",\"subString\":\"{expression}\",\"subVersion\":1,\
            \"expressionType\":\"SQL92\"}}]}}]}}"
    )
    .into_bytes()
}

/// Expressions whose BETWEEN has another one as its operand, and signs before it.
pub fn doubling(target: &Target) -> io::Result<()> {
    let chain = "a".to_owned() + &" between 1 and 2".repeat(DOUBLINGS);
    let signs = "-".repeat(60) + "a between 1 and 2";
    let nested = "(".repeat(60) + "a" + &" between 1 and 2)".repeat(60);
    let wide = signs.clone() + &format!(" or {signs}").repeat(80);
    let mut link = Link::open(target.broker)?;
    let mut pace = target.pace(50.0);
    for expression in [chain, signs, nested, wide] {
        let body = heartbeat("sql_doubling", "TBW102", &expression);
        let check = format!(
            "{{\"clientId\":\"sql\",\"group\":\"sql_doubling\",\"namespace\":\"\",\
                \"subscriptionData\":{{\"topic\":\"TBW102\",\"subString\":\"{expression}\",\
                \"expressionType\":\"SQL92\"}}}}"
        );
        target.answered(&link.call(request::HEART_BEAT, &[], &body));
        target.answered(&link.call(request::CHECK_CLIENT_CONFIG, &[], check.as_bytes()));
        pace.wait();
    }
    Ok(())
}

/// 4,000 terms against messages with properties of 31 KB.
pub fn many_terms(target: &Target) -> io::Result<()> {
    let mut link = Link::open(target.broker)?;
    link.call(request::UPDATE_AND_CREATE_TOPIC, &topic_fields(TOPIC, 1), b"")?;
    let properties = format!("v\u{1}{}", "x".repeat(PROPERTIES_BYTES));
    for _ in 0..MESSAGES {
        let send =
            Send { topic: TOPIC, queue: 0, queues: 1, properties: &properties, batch: false };
        target.answered(&link.call(request::SEND_MESSAGE_V2, &send.fields(), b"body"));
    }
    let contains = vec!["v contains 'y'"; TERMS].join(" or ");
    let missing = (0..TERMS).map(|term| format!("p{term} = {term}")).collect::<Vec<_>>();
    for (group, terms) in [("sql_contains", contains), ("sql_missing", missing.join(" or "))] {
        let body = heartbeat(group, TOPIC, &terms);
        target.answered(&link.call(request::HEART_BEAT, &[], &body));
    }
    let mut pace = target.pace(200.0);
    loop {
        for group in ["sql_contains", "sql_missing"] {
            let wait = Duration::ZERO;
            let pull = Pull { group, topic: TOPIC, queue: 0, offset: 0, messages_max: 32, wait };
            let mut fields = pull.fields().to_vec();
            fields
                .retain(|(name, _)| !["subscription", "expressionType", "sysFlag"].contains(name));
            fields.push(("sysFlag", Value::Int(0)));
            fields.push(("expressionType", Value::Str("SQL92")));
            target.answered(&link.call(request::PULL_MESSAGE, &fields, b""));
            pace.wait();
        }
    }
}
