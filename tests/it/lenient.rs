//! What other clients write differently than the Java client, and what RocketMQ serves all the
//! same. `tests/differential` compares far more of it with a Java broker.

use std::io::Write;

use ringmq_remoting::batch::{self, BatchMessage};
use ringmq_remoting::codes::{request, response};

use crate::client::{Answer, Client, Stored};
use crate::process;
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(
    a_group_that_may_not_be_made_has_its_clients_and_consumes_when_it_is_made,
    a_message_given_back_makes_the_group,
    a_first_offset_makes_its_group_if_groups_may_be_made,
    queues_that_a_topic_had_before_tell_their_ends,
    fields_that_an_answer_does_not_need_may_be_missing,
    odd_properties_are_stored_as_java_stores_them,
    names_of_members_may_be_in_any_case,
);

fn start(name: &str, shards: u32, extra: &[(&'static str, &str)]) -> (tempfile::TempDir, Server) {
    let directory = process::directory(name);
    let extra = extra.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    let server =
        Server::start(directory.path(), &Settings { shards, extra, ..Settings::default() });
    (directory, server)
}

fn call(client: &mut Client, code: i32, fields: &[(&str, &str)], body: &str) -> Answer {
    client.call(code, fields, body.as_bytes()).expect("an answer")
}

fn beat(client: &mut Client, group: &str, topic: &str) {
    let consumer = format!(
        r#"{{"groupName":"{group}","consumeType":"CONSUME_PASSIVELY","messageModel":"CLUSTERING",
        "consumeFromWhere":"CONSUME_FROM_FIRST_OFFSET","subscriptionDataSet":
        [{{"topic":"{topic}","subString":"*","subVersion":1}}]}}"#
    );
    let body = format!(r#"{{"clientID":"c1","consumerDataSet":[{consumer}]}}"#);
    call(client, request::HEART_BEAT, &[], &body).expect(response::SUCCESS);
}

/// A pull by the subscription of the heartbeat, with only the fields that count then.
fn pull(client: &mut Client, group: &str, topic: &str) -> Answer {
    let fields = [
        ("consumerGroup", group),
        ("topic", topic),
        ("queueId", "0"),
        ("queueOffset", "0"),
        ("maxMsgNums", "32"),
        ("sysFlag", "0"),
        ("subVersion", "1"),
    ];
    call(client, request::PULL_MESSAGE, &fields, "")
}

fn a_group_that_may_not_be_made_has_its_clients_and_consumes_when_it_is_made(shards: u32) {
    let extra = [("autoCreateSubscriptionGroup", "false")];
    let (_directory, server) = start("strict-group", shards, &extra);
    let mut client = server.client();
    client.create_topic("t", 1).expect("the broker serves").expect(0);
    client.send("t", 0, b"x").expect("an answer").expect(0);
    beat(&mut client, "wanted", "t");
    let group = [("consumerGroup", "wanted")];
    let listed = call(&mut client, request::GET_CONSUMER_LIST_BY_GROUP, &group, "");
    assert_eq!(listed.expect(0).body, br#"{"consumerIdList":["c1"]}"#);
    let refused = response::SUBSCRIPTION_GROUP_NOT_EXIST;
    pull(&mut client, "wanted", "t").expect(refused);
    let fields = [("group", "wanted"), ("offset", "0"), ("delayLevel", "1")];
    call(&mut client, request::CONSUMER_SEND_MSG_BACK, &fields, "").expect(refused);
    let code = request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP;
    call(&mut client, code, &[], r#"{"groupName":"wanted"}"#).expect(0);
    // no further heartbeat
    pull(&mut client, "wanted", "t").expect(response::SUCCESS);
}

fn a_message_given_back_makes_the_group(shards: u32) {
    let (_directory, server) = start("given-back", shards, &[]);
    let mut client = server.client();
    client.create_topic("t", 1).expect("the broker serves").expect(0);
    let sent = client.send("t", 0, b"x").expect("an answer").expect(0);
    let id = sent.fields.get("msgId").expect("an id");
    let offset = i64::from_str_radix(&id[id.len() - 16..], 16).expect("an offset in the id");
    let offset = offset.to_string();
    let fields = [("group", "unseen"), ("offset", offset.as_str()), ("delayLevel", "-1")];
    call(&mut client, request::CONSUMER_SEND_MSG_BACK, &fields, "").expect(response::SUCCESS);
    let dead = client.pull("%DLQ%unseen", 0, 0, 32).expect("the topic is there").messages;
    assert_eq!(dead.iter().map(|one| one.body.as_slice()).collect::<Vec<_>>(), [b"x"]);
}

/// As a pull does. The retry topic of the group itself may come later.
fn a_first_offset_makes_its_group_if_groups_may_be_made(shards: u32) {
    for (auto, code) in [("true", 0), ("false", response::SUBSCRIPTION_GROUP_NOT_EXIST)] {
        let extra = [("autoCreateSubscriptionGroup", auto)];
        let (_directory, server) = start(&format!("first-offset-{auto}"), shards, &extra);
        let mut client = server.client();
        client.create_topic("t", 4).expect("the broker serves").expect(0);
        let commit = |client: &mut Client, group: &str, topic: &str, queue: &str| {
            let fields = [
                ("consumerGroup", group),
                ("topic", topic),
                ("queueId", queue),
                ("commitOffset", "5"),
            ];
            call(client, request::UPDATE_CONSUMER_OFFSET, &fields, "")
        };
        for queue in ["0", "1", "2", "3"] {
            commit(&mut client, &format!("new-{queue}"), "t", queue).expect(code);
        }
        commit(&mut client, "retries", "%RETRY%retries", "0").expect(code);
        let code = request::GET_ALL_SUBSCRIPTIONGROUP_CONFIG;
        let all = String::from_utf8(call(&mut client, code, &[], "").expect(0).body).expect("text");
        for group in ["new-0", "new-1", "new-2", "new-3", "retries"] {
            assert_eq!(all.contains(&format!("\"{group}\"")), auto == "true", "{group}: {all}");
        }
        // one that an administrator made, or that is the system's
        let code = request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP;
        call(&mut client, code, &[], r#"{"groupName":"made"}"#).expect(0);
        for topic in ["t", "%RETRY%made"] {
            commit(&mut client, "made", topic, "0").expect(0);
        }
        commit(&mut client, "CID_RMQ_SYS_x", "t", "3").expect(0);
        let missing = response::TOPIC_NOT_EXIST;
        commit(&mut client, "made", "%RETRY%another", "0").expect(missing);
        commit(&mut client, "made", "%RETRY%made", "-1").expect(response::SYSTEM_ERROR);
    }
}

fn queues_that_a_topic_had_before_tell_their_ends(shards: u32) {
    let (_directory, server) = start("shrunken", shards, &[]);
    let mut client = server.client();
    client.create_topic("shrinks", 8).expect("the broker serves").expect(0);
    for queue in 0..8 {
        client.send("shrinks", queue, b"x").expect("an answer").expect(0);
    }
    client.create_topic("shrinks", 2).expect("the broker serves").expect(0);
    for (queue, expected) in [(0, 1), (1, 1), (2, 1), (7, 1), (8, 0), (i32::MAX, 0), (-1, 0)] {
        assert_eq!(client.max_offset("shrinks", queue).expect("an answer"), expected, "{queue}");
    }
}

fn fields_that_an_answer_does_not_need_may_be_missing(shards: u32) {
    let (_directory, server) = start("missing-fields", shards, &[]);
    let mut client = server.client();
    client.create_topic("t", 1).expect("the broker serves").expect(0);
    let short = [("b", "t"), ("e", "0"), ("f", "0"), ("g", "1"), ("h", "0")];
    let long = [
        ("topic", "t"),
        ("queueId", "0"),
        ("sysFlag", "0"),
        ("bornTimestamp", "1"),
        ("flag", "0"),
        ("reconsumeTimes", "x"),
    ];
    call(&mut client, request::SEND_MESSAGE_V2, &short, "x").expect(response::SUCCESS);
    call(&mut client, request::SEND_MESSAGE, &long, "y").expect(response::SUCCESS);
    for (index, (name, _)) in short.iter().enumerate() {
        let rest = [&short[..index], &short[index + 1..]].concat();
        let refused = call(&mut client, request::SEND_MESSAGE_V2, &rest, "z");
        assert!(refused.expect(response::SYSTEM_ERROR).remark.contains(&format!("field {name}")));
    }
    beat(&mut client, "g", "t");
    assert_eq!(pull(&mut client, "g", "t").expect(response::SUCCESS).number("maxOffset"), 2);
    let offset = [("topic", "t"), ("queueId", "0"), ("commitOffset", "7")];
    call(&mut client, request::UPDATE_CONSUMER_OFFSET, &offset, "").expect(response::SUCCESS);
    let stored = call(&mut client, request::QUERY_CONSUMER_OFFSET, &offset[..2], "");
    assert_eq!(stored.expect(response::SUCCESS).number("offset"), 7);
    let times = [("maxNum", "1"), ("beginTimestamp", "0"), ("endTimestamp", "1")];
    let nothing = response::QUERY_NOT_FOUND;
    call(&mut client, request::QUERY_MESSAGE, &times, "").expect(nothing);
    call(&mut client, request::UNREGISTER_CLIENT, &[], "").expect(response::SUCCESS);
    // offsets are the same for every connection, and stored where there is a queue
    let elsewhere = [("topic", "t"), ("queueId", "0"), ("consumerGroup", "made on use")];
    let stored = [&elsewhere[..], &[("commitOffset", "5")]].concat();
    call(&mut client, request::UPDATE_CONSUMER_OFFSET, &stored, "").expect(response::SUCCESS);
    for _ in 0..shards {
        let reply = call(&mut server.client(), request::QUERY_CONSUMER_OFFSET, &elsewhere, "");
        assert_eq!(reply.expect(response::SUCCESS).number("offset"), 5);
    }
    let nowhere = [("topic", "nowhere"), ("queueId", "0"), ("commitOffset", "5")];
    let refused = call(&mut client, request::UPDATE_CONSUMER_OFFSET, &nowhere, "");
    refused.expect(response::TOPIC_NOT_EXIST);
    let no_queue = [("topic", "t"), ("queueId", "70000"), ("commitOffset", "5")];
    let refused = call(&mut client, request::UPDATE_CONSUMER_OFFSET, &no_queue, "");
    assert!(refused.expect(response::SYSTEM_ERROR).remark.contains("queueId[70000] is illegal"));
}

fn properties(message: &Stored) -> Vec<&str> {
    let mut all: Vec<_> = message.properties.split_terminator('\u{2}').collect();
    all.sort_unstable();
    all
}

fn odd_properties_are_stored_as_java_stores_them(shards: u32) {
    const CLUSTER: &str = "CLUSTER\u{1}DefaultCluster";
    let (_directory, server) = start("odd-properties", shards, &[]);
    let mut client = server.client();
    client.create_topic("t", 2).expect("the broker serves").expect(0);
    let header = |queue, properties| {
        [("b", "t"), ("e", queue), ("f", "0"), ("g", "1"), ("h", "0"), ("i", properties)]
    };
    let cases: [(&str, &[&str]); 7] = [
        ("a\u{1}b\u{2}a\u{1}c", &[CLUSTER, "a\u{1}c"]),
        ("a\u{1}b\u{2}\u{2}", &[CLUSTER, "a\u{1}b"]),
        ("a\u{1}\u{2}\u{1}b\u{2}c\u{1}d", &[CLUSTER, "c\u{1}d"]),
        ("novalue", &[CLUSTER]),
        ("a\u{1}b\u{2}novalue", &[CLUSTER, "a\u{1}b"]),
        ("WAIT\u{1}true\u{2}TAGS\u{1}t", &[CLUSTER, "TAGS\u{1}t"]),
        ("CLUSTER\u{1}mine\u{2}k\u{1}v", &[CLUSTER, "k\u{1}v"]),
    ];
    for (sent, _) in cases {
        call(&mut client, request::SEND_MESSAGE_V2, &header("0", sent), "x").expect(0);
    }
    let pulled = client.pull("t", 0, 0, 32).expect("an answer").messages;
    assert_eq!(pulled.len(), cases.len());
    for (message, (sent, expected)) in pulled.iter().zip(cases) {
        assert_eq!(properties(message), expected, "{sent:?}");
    }
    // what a batch says of all its messages stands behind what each says of itself, and counts
    let mut body = Vec::new();
    for properties in [&b"TAGS\x01own\x02k\x01v"[..], b""] {
        let message = BatchMessage { flag: 0, body: b"m", properties };
        batch::append(&mut body, &message).expect("short");
    }
    let fields = [&header("1", "TAGS\u{1}all\u{2}WAIT\u{1}false")[..], &[("m", "true")]].concat();
    client.call(request::SEND_BATCH_MESSAGE, &fields, &body).expect("an answer").expect(0);
    let pulled = client.pull("t", 1, 0, 32).expect("an answer").messages;
    let common = [CLUSTER, "TAGS\u{1}all", "WAIT\u{1}false"];
    let first = [&common[..2], &["TAGS\u{1}own"], &common[2..], &["k\u{1}v"]].concat();
    assert_eq!(pulled.iter().map(properties).collect::<Vec<_>>(), [first, common.to_vec()]);
    let tagged = [
        ("consumerGroup", "g"),
        ("topic", "t"),
        ("queueId", "1"),
        ("queueOffset", "0"),
        ("maxMsgNums", "32"),
        ("sysFlag", "4"),
        ("subscription", "all"),
    ];
    let found = call(&mut client, request::PULL_MESSAGE, &tagged, "").expect(0);
    assert_eq!(crate::client::records(&found.body).len(), 2);
}

/// Sends a frame with a header as it is.
fn raw(client: &mut Client, header: &str, body: &str) -> Answer {
    let length = |bytes: usize| u32::try_from(bytes).expect("short").to_be_bytes();
    let mut frame = Vec::new();
    frame.extend_from_slice(&length(4 + header.len() + body.len()));
    frame.extend_from_slice(&length(header.len()));
    frame.extend_from_slice(header.as_bytes());
    frame.extend_from_slice(body.as_bytes());
    client.stream().write_all(&frame).expect("the broker takes it");
    client.reply().expect("an answer")
}

fn names_of_members_may_be_in_any_case(shards: u32) {
    let (_directory, server) = start("other-cases", shards, &[]);
    let mut client = server.client();
    client.create_topic("t", 1).expect("the broker serves").expect(0);
    let send = r#"{"topic":"t","queueId":"0","sysFlag":"0","bornTimestamp":"1","flag":"0"}"#;
    for (opaque, header) in [
        (71, format!("{{\"CODE\":10,\"Opaque\":71,\"EXTFIELDS\":{send}}}")),
        (72, format!("{{\"code\":10,\"o_p-aque\":\"72\",\"ext_fields\":{send}}}")),
        (73, format!("\u{feff}{{\"code\":10,\"opaque\":73,\"extFields\":{send}}}")),
    ] {
        let reply = raw(&mut client, &header, "x").expect(response::SUCCESS);
        assert_eq!(reply.opaque, opaque, "{header}");
    }
    assert_eq!(client.max_offset("t", 0).expect("an answer"), 3);
    let consumer = r#"{"GROUPNAME":"g","subscriptiondataset":
        [{"Topic":"t","sub-string":"*","SUBVERSION":"1"}]}"#;
    let body = format!(
        "\u{feff}{{\"CLIENTID\":\"c\",\"Consumer_Data_Set\":[{consumer}],
        \"producerdataset\":[{{\"groupname\":7}}]}}"
    );
    call(&mut client, request::HEART_BEAT, &[], &body).expect(response::SUCCESS);
    pull(&mut client, "g", "t").expect(response::SUCCESS);
    let producers = [("producerGroup", "7")];
    call(&mut client, request::GET_PRODUCER_CONNECTION_LIST, &producers, "").expect(0);
    let group = r#"{"groupname":"made","RETRY_MAX_TIMES":"3","isConsumeEnable":false}"#;
    let code = request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP;
    call(&mut client, code, &[], group).expect(response::SUCCESS);
    pull(&mut client, "made", "t").expect(response::NO_PERMISSION);
    let lock = r#"{"ConsumerGroup":"g","CLIENTID":"c","MqSet":
        [{"Topic":"t","brokername":"broker-a","QUEUEID":"0"}]}"#;
    let locked = call(&mut client, request::LOCK_BATCH_MQ, &[], lock).expect(0).body;
    let expected = r#"{"lockOKMQSet":[{"topic":"t","brokerName":"broker-a","queueId":0}]}"#;
    assert_eq!(String::from_utf8(locked).expect("text"), expected);
}
