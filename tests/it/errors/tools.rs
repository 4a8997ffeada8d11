//! What a broker answers to tools that ask for something odd, and to clients that differ from
//! others of their group.

use ringmq_remoting::batch::{self, BatchMessage};
use ringmq_remoting::codes::{request, response};
use serde_json::{Value, json};

use super::answers::{Site, said};
use super::{Row, provoke_all, row};
use crate::client::{Client, GROUP};

pub fn headings() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.heading)
}

/// Of a batch, unless `batchMessagesMax` is set.
const BATCH_MESSAGES_MAX: usize = 16_384;

const ROWS: &[Row<Site>] = &[
    row("The specified topic is longer than topic max length.", |site| {
        said(site.client().create_topic(&"t".repeat(128), 1))
    }),
    row("...QueueNums[...] of topic[...] is illegal: the range is 0 to ...", |site| {
        said(site.client().create_topic("wide", 1_000_000))
    }),
    row("only add attribute is supported while creating topic. key: ...", |site| {
        site.attribute("-message.type")
    }),
    row("key duplication: ...", |site| site.attribute("+message.type=NORMAL,+message.type=FIFO")),
    row("value ... of attribute ... is not supported; supported: ...", |site| {
        site.attribute("+message.type=SOON")
    }),
    row("value ... of attribute ... is out of range: ...", |site| {
        site.attribute("+reserve.time=-2")
    }),
    row("attempt to delete a nonexistent key: ...", |site| {
        let made = said(site.client().create_topic("with-attribute", 1));
        assert_eq!(made, "it was not refused");
        site.attribute("-reserve.time")
    }),
    row("topic[...] has no queue to write to; give it some ...", |site| {
        let made = said(site.client().create_topic("no-queues", 0));
        assert_eq!(made, "it was not refused");
        site.send("no-queues", -1, "", b"x")
    }),
    row("the group name has ... bytes; the range is 1 to ...", |site| {
        site.group(&json!({"groupName": "g".repeat(256)}))
    }),
    row("the retry policy of group[...] is of a type that is not known: ...", |site| {
        site.group(&json!({"groupName": "g", "groupRetryPolicy": {"type": "NEVER"}}))
    }),
    row("the retry policy of group[...] has ... times, the limit is ...", |site| {
        let policy = json!({"type": "CUSTOMIZED", "customizedRetryPolicy": {"next": vec![1; 65]}});
        site.group(&json!({"groupName": "g", "groupRetryPolicy": policy}))
    }),
    row("a transactional message has the delay level ...; send it without, ...", |site| {
        site.send_flagged("t", "TRAN_MSG\u{1}true\u{2}PGROUP\u{1}g\u{2}DELAY\u{1}3\u{2}", "4")
    }),
    row("the batch of ... bytes has more than ... messages, the limit ...", |site| {
        let mut body = Vec::new();
        for _ in 0..=BATCH_MESSAGES_MAX {
            let message = BatchMessage { flag: 0, body: b"x", properties: b"" };
            batch::append(&mut body, &message).expect("fits");
        }
        site.send_batch("t", &body)
    }),
    row("messages of a batch cannot be kept back, and one has a property ...", |site| {
        let mut body = Vec::new();
        let message = BatchMessage { flag: 0, body: b"x", properties: b"DELAY\x013\x02" };
        batch::append(&mut body, &message).expect("fits");
        site.send_batch("t", &body)
    }),
    row("the consumer's subscription not exist", |site| {
        let mut member = site.member("odd-members", "CLUSTERING");
        pulled(&mut member, "odd-members", "ordered", "0")
    }),
    row("the consumer's subscription not latest", |site| {
        let mut member = site.member("late-members", "CLUSTERING");
        pulled(&mut member, "late-members", "t", "9999999999999")
    }),
    row("the consumer group[...] can not consume by broadcast way", |site| {
        let group = b"{\"groupName\":\"quiet\",\"consumeBroadcastEnable\":false}";
        let code = request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP;
        site.client().call(code, &[], group).expect("an answer").expect(response::SUCCESS);
        let mut member = site.member("quiet", "BROADCASTING");
        pulled(&mut member, "quiet", "t", "0")
    }),
    row("Topic ... not exist!", |site| site.commit(GROUP, "missing", "0")),
    row("Group ... not exist!", |site| {
        site.with("autoCreateSubscriptionGroup", ("false", "true"), |site| {
            site.commit("missing-group", "t", "0")
        })
    }),
    row("the offset of group[...] is not stored: queueId[...] is illegal, ...", |site| {
        site.commit(GROUP, "t", "99")
    }),
    row("Target offset ... not in consume queue range [...]", |site| {
        site.member("resetters", "CLUSTERING");
        let fields = [
            ("topic", "t"),
            ("group", "resetters"),
            ("timestamp", "0"),
            ("isForce", "false"),
            ("queueId", "0"),
            ("offset", "99"),
        ];
        site.ask(request::INVOKE_BROKER_TO_RESET_OFFSET, &fields, b"")
    }),
    row("[reset-offset] reset offset failed, no topic in this broker. topic=...", |site| {
        let fields =
            [("topic", "missing"), ("group", GROUP), ("timestamp", "0"), ("isForce", "true")];
        site.ask(request::INVOKE_BROKER_TO_RESET_OFFSET, &fields, b"")
    }),
    row("No Any Consumer online in the consumer group: [...]", |site| {
        let fields = [("topic", "t"), ("group", "nobody")];
        site.ask(request::INVOKE_BROKER_TO_GET_CONSUMER_STATUS, &fields, b"")
    }),
    row("no consumer for this group, ...", |site| {
        site.ask(request::GET_CONSUMER_LIST_BY_GROUP, &[("consumerGroup", "nobody")], b"")
    }),
    row("No group in this broker", |site| {
        site.ask(request::GET_SUBSCRIPTIONGROUP_CONFIG, &[("group", "nobody")], b"")
    }),
    row("The stats <...> <...> not exist", |site| {
        let fields = [("statsName", "TOPIC_PUT_NUMS"), ("statsKey", "missing")];
        site.ask(request::VIEW_BROKER_STATS_DATA, &fields, b"")
    }),
    row("...@... is not exist!", |site| {
        let fields = [("topic", "missing"), ("queueId", "0"), ("index", "0"), ("count", "1")];
        site.ask(request::QUERY_CONSUME_QUEUE, &fields, b"")
    }),
    row("there are no accounts: set aclEnable=true in the broker's configuration", |site| {
        site.ask(request::GET_BROKER_CLUSTER_ACL_INFO, &[], b"")
    }),
    row("maxMessageSize = ... is more than ..., which the memory was planned for ...", |site| {
        site.change("maxMessageSize=15000000")
    }),
    row("... is no level (...); write error, warn, info, debug or trace, ...", |site| {
        site.change("logLevel=loud")
    }),
    row("recall failed, operation is forbidden", |site| {
        site.ask(request::RECALL_MESSAGE, &[("topic", "t"), ("recallHandle", "x")], b"")
    }),
];

impl Site {
    /// A consumer that subscribes to all messages of `t`.
    fn member(&self, group: &str, model: &str) -> Client {
        let beat = json!({
            "clientID": group,
            "consumerDataSet": [{
                "groupName": group,
                "consumeType": "CONSUME_PASSIVELY",
                "messageModel": model,
                "consumeFromWhere": "CONSUME_FROM_FIRST_OFFSET",
                "subscriptionDataSet": [{"topic": "t", "subString": "*", "subVersion": 1}],
            }],
        });
        let mut client = self.client();
        let answer = client.call(request::HEART_BEAT, &[], beat.to_string().as_bytes());
        answer.expect("an answer").expect(response::SUCCESS);
        client
    }

    /// Makes a group with these settings.
    fn group(&self, settings: &Value) -> String {
        let code = request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP;
        self.ask(code, &[], settings.to_string().as_bytes())
    }

    fn commit(&self, group: &str, topic: &str, queue: &str) -> String {
        let fields =
            [("consumerGroup", group), ("topic", topic), ("queueId", queue), ("commitOffset", "0")];
        self.ask(request::UPDATE_CONSUMER_OFFSET, &fields, b"")
    }
}

/// What a member hears that pulls by its subscription of so high a version.
fn pulled(member: &mut Client, group: &str, topic: &str, version: &str) -> String {
    let fields = [
        ("consumerGroup", group),
        ("topic", topic),
        ("queueId", "0"),
        ("queueOffset", "0"),
        ("maxMsgNums", "8"),
        ("sysFlag", "0"),
        ("commitOffset", "0"),
        ("suspendTimeoutMillis", "0"),
        ("subVersion", version),
    ];
    said(member.call(request::PULL_MESSAGE, &fields, b""))
}

// Single: texts do not depend on the number of shards.
#[test]
fn every_refusal_of_tools_and_odd_clients_is_provoked() {
    provoke_all(ROWS, &mut Site::start());
}
