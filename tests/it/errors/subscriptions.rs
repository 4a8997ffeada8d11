//! What a broker answers to subscriptions that it does not take, and to heartbeats with too many of
//! them.

use ringmq_remoting::codes::request;
use serde_json::{Value, json};

use super::answers::Site;
use super::{Row, provoke_all, row};

pub fn headings() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.heading)
}

/// More than a connection may be in.
const GROUPS: usize = 4097;
/// More than a group may subscribe to.
const TOPICS: usize = 17_000;
/// Longer than an expression may be, in bytes.
const LONG: usize = 65 * 1024;

const ROWS: &[Row<Site>] = &[
    row("character ...: ... where ... should be", |site| sql(site, "a = 1 b")),
    row("character ...: the text that begins here has no closing quote", |site| {
        sql(site, "a = 'red")
    }),
    row("character ...: ... begins no word, number or operator", |site| sql(site, "a = 1 ; b")),
    row("character ...: the number ... is out of range", |site| {
        sql(site, "a = 99999999999999999999")
    }),
    row("character ...: nested deeper than ... levels", |site| {
        sql(site, &format!("{}a = 1{}", "(".repeat(100), ")".repeat(100)))
    }),
    row("character ...: a condition should be here, not a value", |site| sql(site, "1")),
    row("character ...: only properties and numbers can be compared by ...", |site| {
        sql(site, "a > 'red'")
    }),
    row("character ...: compare with NULL by IS NULL", |site| sql(site, "a = NULL")),
    row("character ...: TRUE and FALSE can only be compared with ...", |site| {
        sql(site, "TRUE = 1")
    }),
    row("character ...: the first bound of BETWEEN is above the second", |site| {
        sql(site, "a BETWEEN 9 AND 1")
    }),
    row("character ...: IN is for properties only", |site| sql(site, "1 IN ('red')")),
    row("client ... is in ... groups, the most one connection may be in; ...", |site| {
        let groups: Vec<Value> =
            (0..GROUPS).map(|number| json!({"groupName": format!("p{number}")})).collect();
        beat(site, &json!({"clientID": "c", "producerDataSet": groups}))
    }),
    row(
        "the subscriptions of group[...] to ... topics take ... bytes, at most ... fit; ...",
        |site| {
            let topics =
                (0..TOPICS).map(|number| json!({"topic": format!("t{number}"), "subString": "*"}));
            subscribe(site, topics.collect())
        },
    ),
    row(
        "the subscription of group[...] to topic[...] has ... bytes, at most ... fit; ...",
        |site| {
            let long = "x".repeat(LONG);
            subscribe(site, vec![json!({"topic": "t", "subString": long})])
        },
    ),
];

/// What a pull by this expression is answered.
fn sql(site: &mut Site, expression: &str) -> String {
    site.with("enablePropertyFilter", ("true", "false"), |site| {
        site.pull("t", "0", &[("expressionType", "SQL92"), ("subscription", expression)])
    })
}

fn subscribe(site: &Site, subscriptions: Vec<Value>) -> String {
    let consumer = json!({
        "groupName": "wide",
        "consumeType": "CONSUME_PASSIVELY",
        "messageModel": "CLUSTERING",
        "consumeFromWhere": "CONSUME_FROM_FIRST_OFFSET",
        "subscriptionDataSet": subscriptions,
    });
    beat(site, &json!({"clientID": "c", "consumerDataSet": [consumer]}))
}

fn beat(site: &Site, body: &Value) -> String {
    site.ask(request::HEART_BEAT, &[], body.to_string().as_bytes())
}

// Single: texts do not depend on the number of shards.
#[test]
fn every_refusal_of_a_subscription_is_provoked() {
    provoke_all(ROWS, &mut Site::start());
}
