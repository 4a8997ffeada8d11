//! What tools ask consumers through the broker, and what else they ask about groups: 307, 309, 303,
//! 308, 314, 317, 321, 328.

use ringmq_remoting::body::{
    ConsumeStats, QueryConsumeQueueResponseBody, QueryConsumeTimeSpanBody,
    QueryCorrectionOffsetBody,
};
use ringmq_remoting::codes::{request, response};
use ringmq_remoting::fastjson;
use serde_json::{Value, json};

use crate::client::{Client, records};
use crate::process;
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(
    the_running_information_of_a_consumer_is_passed_on,
    a_message_is_consumed_directly_by_the_client_that_is_named,
    offsets_are_cloned_compared_and_shown_with_their_times,
    all_groups_and_all_producers_are_listed,
    entries_of_a_queue_are_shown_as_they_are,
);

const TOPIC: &str = "asked";

fn server(shards: u32) -> (tempfile::TempDir, Server) {
    let directory = process::directory("calls");
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    server.client().create_topic(TOPIC, 4).expect("the broker serves").expect(0);
    (directory, server)
}

fn member(server: &Server, group: &str, id: &str) -> Client {
    let beat = json!({
        "clientID": id,
        "consumerDataSet": [{
            "groupName": group,
            "consumeType": "CONSUME_PASSIVELY",
            "messageModel": "CLUSTERING",
            "consumeFromWhere": "CONSUME_FROM_FIRST_OFFSET",
            "subscriptionDataSet": [{"topic": TOPIC, "subString": "*"}],
        }],
        "producerDataSet": [{"groupName": "makers"}],
    });
    let mut client = server.client();
    let reply = client.call(request::HEART_BEAT, &[], beat.to_string().as_bytes());
    reply.expect("an answer").expect(response::SUCCESS);
    client
}

fn ask(client: &mut Client, code: i32, fields: &[(&str, &str)]) -> Vec<u8> {
    client.call(code, fields, b"").expect("an answer").expect(response::SUCCESS).body
}

fn commit(client: &mut Client, group: &str, queue: i32, offset: i64) {
    let (queue, offset) = (queue.to_string(), offset.to_string());
    let fields = [
        ("consumerGroup", group),
        ("topic", TOPIC),
        ("queueId", queue.as_str()),
        ("commitOffset", offset.as_str()),
    ];
    ask(client, request::UPDATE_CONSUMER_OFFSET, &fields);
}

fn the_running_information_of_a_consumer_is_passed_on(shards: u32) {
    let (_directory, server) = server(shards);
    let mut tool = server.client();
    let code = request::GET_CONSUMER_RUNNING_INFO;
    let fields = [
        ("consumerGroup", "watched"),
        ("clientId", "one"),
        ("jstackEnable", "true"),
        ("AccessKey", "key"),
        ("Signature", "secret"),
    ];
    let answer = tool.call(code, &fields, b"").expect("an answer").expect(response::SYSTEM_ERROR);
    assert_eq!(answer.remark, "The Consumer <watched> <one> not online");
    let mut one = member(&server, "watched", "one");
    let _two = member(&server, "watched", "two");
    for (code, remark, body) in [(0, None, "{\"properties\":{}}"), (1, Some("no"), "")] {
        tool.start(request::GET_CONSUMER_RUNNING_INFO, false, &fields, b"").expect("sent");
        let asked = one.asked(request::GET_CONSUMER_RUNNING_INFO).expect("asked");
        let given: Vec<_> = asked.fields.keys().map(String::as_str).collect();
        assert_eq!(given, ["clientId", "consumerGroup", "jstackEnable"], "and no credentials");
        assert_eq!(asked.fields["jstackEnable"], "true");
        let answered = one.answer_with(asked.opaque, code, remark, body.as_bytes());
        answered.expect("the broker reads");
        let answer = tool.reply().expect("an answer").expect(code);
        assert_eq!((&*answer.body, &*answer.remark), (body.as_bytes(), remark.unwrap_or_default()));
    }
    // A client that is gone answers nothing, and nobody waits for it.
    tool.start(request::GET_CONSUMER_RUNNING_INFO, false, &fields, b"").expect("sent");
    one.asked(request::GET_CONSUMER_RUNNING_INFO).expect("asked");
    drop(one);
    let answer = tool.reply().expect("an answer").expect(response::SYSTEM_ERROR);
    assert!(answer.remark.contains("connection is closed"), "{}", answer.remark);
}

fn a_message_is_consumed_directly_by_the_client_that_is_named(shards: u32) {
    let (_directory, server) = server(shards);
    let mut tool = server.client();
    let mut one = member(&server, "direct", "one");
    for queue in 0..4 {
        let sent = tool.send(TOPIC, queue, b"directly").expect("an answer").expect(0);
        let id = sent.fields["msgId"].clone();
        let fields = [("consumerGroup", "direct"), ("clientId", "one"), ("msgId", id.as_str())];
        tool.start(request::CONSUME_MESSAGE_DIRECTLY, false, &fields, b"").expect("sent");
        let asked = one.asked(request::CONSUME_MESSAGE_DIRECTLY).expect("asked");
        assert_eq!((&*asked.fields["brokerName"], &*asked.fields["msgId"]), ("broker-a", &*id));
        let message = records(&asked.body).pop().expect("the message");
        assert_eq!((&*message.body, message.queue_id), (&b"directly"[..], queue));
        one.answer_with(asked.opaque, 0, None, b"{\"consumeResult\":\"CR_SUCCESS\"}")
            .expect("the broker reads");
        let answer = tool.reply().expect("an answer").expect(response::SUCCESS);
        assert_eq!(answer.body, b"{\"consumeResult\":\"CR_SUCCESS\"}");
    }
    let none = "7F00000100002A9F0000000000FFFF00";
    for id in [none, "", "x"] {
        let fields = [("consumerGroup", "direct"), ("clientId", "one"), ("msgId", id)];
        let answer = tool.call(request::CONSUME_MESSAGE_DIRECTLY, &fields, b"");
        let answer = answer.expect("an answer").expect(response::SYSTEM_ERROR);
        assert!(answer.remark.contains("no message"), "{}", answer.remark);
    }
}

fn offsets_are_cloned_compared_and_shown_with_their_times(shards: u32) {
    let (_directory, server) = server(shards);
    let mut tool = server.client();
    for queue in 0..4 {
        for _ in 0..5 {
            tool.send(TOPIC, queue, b"body").expect("an answer").expect(0);
        }
        commit(&mut tool, "fast", queue, 4);
        commit(&mut tool, "slow", queue, 2);
        commit(&mut tool, "other", queue, 9);
    }
    let offsets = |tool: &mut Client, group: &str| -> Vec<i64> {
        let body = ask(tool, request::GET_CONSUME_STATS, &[("consumerGroup", group)]);
        let stats: ConsumeStats = fastjson::from_slice(&body).expect("a table");
        stats.offset_table.values().map(|queue| queue.consumer_offset).collect()
    };
    for topic in [TOPIC, ""] {
        let fields = [("srcGroup", "fast"), ("destGroup", "other"), ("topic", topic)];
        ask(&mut tool, request::CLONE_GROUP_OFFSET, &fields);
        assert_eq!(offsets(&mut tool, "other"), [4; 4], "topic {topic:?}");
        commit(&mut tool, "other", 3, 1);
    }
    let fields = [("srcGroup", "slow"), ("destGroup", "slow"), ("topic", TOPIC)];
    ask(&mut tool, request::CLONE_GROUP_OFFSET, &fields);
    assert_eq!(offsets(&mut tool, "slow"), [2; 4]);
    for (left_out, compared, wanted) in [
        ("", "fast", [2, 2, 2, 1]),
        ("other", "fast", [2; 4]),
        ("other,slow", "nobody", [4; 4]),
        ("other,slow", "slow", [i64::MAX; 4]),
    ] {
        let fields = [("filterGroups", left_out), ("compareGroup", compared), ("topic", TOPIC)];
        let body = ask(&mut tool, request::QUERY_CORRECTION_OFFSET, &fields);
        let body: QueryCorrectionOffsetBody = fastjson::from_slice(&body).expect("a table");
        let found: Vec<i64> = body.correction_offsets.into_values().collect();
        assert_eq!(found, wanted, "{left_out} {compared}");
    }
    let fields = [("topic", TOPIC), ("group", "slow")];
    let body = ask(&mut tool, request::QUERY_CONSUME_TIME_SPAN, &fields);
    let body: QueryConsumeTimeSpanBody = fastjson::from_slice(&body).expect("spans");
    assert_eq!(body.consume_time_span_set.len(), 4);
    for span in body.consume_time_span_set {
        let queue = span.message_queue.queue_id;
        let stored = tool.pull(TOPIC, queue, 0, 32).expect("an answer").messages;
        assert_eq!(span.min_time_stamp, stored[0].store_timestamp);
        assert_eq!(span.consume_time_stamp, stored[1].store_timestamp);
        assert_eq!(span.max_time_stamp, stored[4].store_timestamp);
        assert!((0..60_000).contains(&span.delay_time), "{span:?}");
    }
    let fields = [("topic", "nosuch"), ("group", "slow")];
    let answer = tool.call(request::QUERY_CONSUME_TIME_SPAN, &fields, b"").expect("an answer");
    assert_eq!(answer.expect(response::TOPIC_NOT_EXIST).remark, "topic[nosuch] not exist");
}

fn all_groups_and_all_producers_are_listed(shards: u32) {
    let (_directory, server) = server(shards);
    let mut tool = server.client();
    let _members = [member(&server, "first", "one"), member(&server, "second", "two")];
    for queue in 0..4 {
        tool.send(TOPIC, queue, b"body").expect("an answer").expect(0);
        commit(&mut tool, "first", queue, 1);
        commit(&mut tool, "second", queue, 0);
    }
    for (order, groups) in [("false", 1), ("true", 0)] {
        let body = ask(&mut tool, request::GET_BROKER_CONSUME_STATS, &[("isOrder", order)]);
        let text = String::from_utf8(body).expect("text");
        for group in ["first", "second"] {
            let (_, behind) = text.split_once(&format!("{{\"{group}\":[")).expect("listed");
            let (of_group, _) = behind.split_once("]}").expect("a list");
            assert_eq!(of_group.matches("\"offsetTable\"").count(), groups, "{text}");
        }
        let diff = if order == "false" { 4 } else { 0 };
        assert!(text.contains(&format!("\"totalDiff\":{diff}}}")), "{text}");
        assert!(text.contains("\"brokerAddr\":\"127.0.0.1:"), "{text}");
    }
    let body = ask(&mut tool, request::GET_ALL_PRODUCER_INFO, &[]);
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    let makers = body["data"]["makers"].as_array().expect("a list");
    let mut ids: Vec<_> = makers.iter().map(|one| one["clientId"].as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, [Some("one"), Some("two")]);
    for maker in makers {
        assert!(maker["remoteIP"].as_str().expect("text").starts_with("/127.0.0.1:"), "{maker}");
        assert_eq!((&maker["language"], &maker["version"]), (&json!("JAVA"), &json!(409)));
    }
}

fn entries_of_a_queue_are_shown_as_they_are(shards: u32) {
    let (_directory, server) = server(shards);
    let mut tool = server.client();
    for queue in 0..4 {
        let sent: Vec<_> = (0..3)
            .map(|_| tool.send(TOPIC, queue, b"body").expect("an answer").expect(0))
            .collect();
        let queue = queue.to_string();
        let fields = |index, count| {
            [("topic", TOPIC), ("queueId", queue.as_str()), ("index", index), ("count", count)]
        };
        let body = ask(&mut tool, request::QUERY_CONSUME_QUEUE, &fields("1", "10"));
        let body: QueryConsumeQueueResponseBody = fastjson::from_slice(&body).expect("entries");
        assert_eq!((body.min_queue_index, body.max_queue_index), (0, 3));
        let entries = body.queue_data.expect("entries");
        assert_eq!(entries.len(), 2);
        for (entry, sent) in entries.iter().zip(&sent[1..]) {
            let id = &sent.fields["msgId"];
            assert!(id.ends_with(&format!("{:016X}", entry.physic_offset)), "{id} {entry:?}");
            assert_eq!(entry.tags_code, 0);
        }
        let code = request::QUERY_CONSUME_QUEUE;
        let beyond = tool.call(code, &fields("3", "10"), b"").expect("an answer").expect(0);
        assert_eq!(beyond.remark, format!("Index 3 of {queue}@{TOPIC} is not exist!"));
    }
    let fields = [("topic", "nosuch"), ("queueId", "0"), ("index", "0"), ("count", "1")];
    let answer = tool.call(request::QUERY_CONSUME_QUEUE, &fields, b"").expect("an answer");
    assert_eq!(answer.expect(response::SYSTEM_ERROR).remark, "0@nosuch is not exist!");
}
