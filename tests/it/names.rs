//! Names with characters that no name may have, and names that are too long, wherever they come in.

use std::time::{Duration, Instant};

use ringmq_remoting::codes::{request, response};
use ringmq_remoting::message_id::MessageId;
use serde_json::json;

use crate::client::{Answer, Client};
use crate::process;
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(
    control_characters_in_names_are_refused_at_every_entry,
    a_message_given_back_comes_again_if_its_topic_fits_a_record,
    a_reply_with_a_huge_field_costs_nobody_else_anything,
);

const TOPIC: &str = "names";
/// Ends a property and begins another.
const ODD: &str = "e\u{2}REAL_TOPIC\u{1}SCHEDULE_TOPIC_XXXX\u{2}z";

fn start(directory: &tempfile::TempDir, shards: u32) -> (Server, Client) {
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    let mut client = server.client();
    client.create_topic(TOPIC, 4).expect("the broker serves").expect(response::SUCCESS);
    (server, client)
}

fn make_group(client: &mut Client, group: &str) -> Answer {
    let body = json!({ "groupName": group, "retryQueueNums": 1, "retryMaxTimes": 16 });
    let code = request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP;
    client.call(code, &[], body.to_string().as_bytes()).expect("an answer")
}

/// Gives back a message that it sends before.
fn give_back(client: &mut Client, group: &str, queue: i32) -> Answer {
    let sent = client.send(TOPIC, queue, b"again").expect("an answer").expect(response::SUCCESS);
    let (_, offset) = MessageId::parse(&sent.fields["msgId"]).expect("an id of the broker");
    let offset = offset.to_string();
    let fields = [("offset", offset.as_str()), ("group", group), ("delayLevel", "1")];
    client.call(request::CONSUMER_SEND_MSG_BACK, &fields, b"").expect("an answer")
}

/// Requests with one odd name each.
fn odd_bodies() -> Vec<(i32, serde_json::Value)> {
    use request::{HEART_BEAT, LOCK_BATCH_MQ, UNLOCK_BATCH_MQ};
    let lock = |group: &str, id: &str, topic: &str| {
        let queue = json!({ "topic": topic, "brokerName": "broker-a", "queueId": 0 });
        json!({ "consumerGroup": group, "clientId": id, "mqSet": [queue] })
    };
    let beat = |id: &str, consumer: &str, topic: &str, producer: &str| {
        let set = json!([{ "topic": topic, "subString": "*" }]);
        let consumers = json!([{ "groupName": consumer, "subscriptionDataSet": set }]);
        let producers = json!([{ "groupName": producer }]);
        json!({ "clientID": id, "consumerDataSet": consumers, "producerDataSet": producers })
    };
    vec![
        (LOCK_BATCH_MQ, lock(ODD, "c", TOPIC)),
        (LOCK_BATCH_MQ, lock("g", ODD, TOPIC)),
        (LOCK_BATCH_MQ, lock("g", "c", ODD)),
        (UNLOCK_BATCH_MQ, lock(ODD, "c", TOPIC)),
        (HEART_BEAT, beat(ODD, "g", TOPIC, "p")),
        (HEART_BEAT, beat("c", ODD, TOPIC, "p")),
        (HEART_BEAT, beat("c", "g", ODD, "p")),
        (HEART_BEAT, beat("c", "g", TOPIC, ODD)),
    ]
}

fn control_characters_in_names_are_refused_at_every_entry(shards: u32) {
    let directory = process::directory("names");
    let (_server, mut client) = start(&directory, shards);
    for (code, body) in odd_bodies() {
        let text = body.to_string();
        let reply = client.call(code, &[], text.as_bytes()).expect("an answer");
        assert!(reply.remark.contains("U+0002"), "{code} {text}: {reply:?}");
        reply.expect(response::SYSTEM_ERROR);
    }
    make_group(&mut client, ODD).expect(response::SYSTEM_ERROR);
    give_back(&mut client, ODD, 0).expect(response::SYSTEM_ERROR);
    client.create_topic(ODD, 1).expect("an answer").expect(response::SYSTEM_ERROR);
    client.send(ODD, 0, b"x").expect("an answer").expect(response::SYSTEM_ERROR);
    let retry = ["%RETRY%", ODD].concat();
    client.send(&retry, 0, b"x").expect("an answer").expect(response::SYSTEM_ERROR);
    for (topic, group) in [(TOPIC, ODD), (ODD, "g")] {
        let fields =
            [("consumerGroup", group), ("topic", topic), ("queueId", "0"), ("commitOffset", "1")];
        let reply = client.call(request::UPDATE_CONSUMER_OFFSET, &fields, b"").expect("an answer");
        reply.expect(response::SYSTEM_ERROR);
    }
    for code in [request::GET_ALL_TOPIC_CONFIG, request::GET_ALL_SUBSCRIPTIONGROUP_CONFIG] {
        let all = client.call(code, &[], b"").expect("an answer").expect(response::SUCCESS);
        let text = String::from_utf8(all.body).expect("JSON");
        assert!(text.contains("TOOLS_CONSUMER") || text.contains(TOPIC), "{text}");
        assert!(!text.contains("u0002"), "{text}");
    }
}

fn a_message_given_back_comes_again_if_its_topic_fits_a_record(shards: u32) {
    let directory = process::directory("names-long");
    let (_server, mut client) = start(&directory, shards);
    for (length, fits) in [(120, true), (121, false), (255, false)] {
        let group = "g".repeat(length);
        make_group(&mut client, &group).expect(response::SUCCESS);
        let retry = ["%RETRY%", &group].concat();
        for queue in 0..4 {
            let reply = give_back(&mut client, &group, queue);
            if fits {
                reply.expect(response::SUCCESS);
            } else {
                assert!(reply.remark.starts_with("MESSAGE_ILLEGAL: the topic"), "{reply:?}");
                reply.expect(response::SYSTEM_ERROR);
            }
        }
        let (began, mut came) = (Instant::now(), 0);
        while fits && came < 4 && began.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(50));
            came = client.pull(&retry, 0, 0, 32).expect("an answer").messages.len();
        }
        assert_eq!(came, if fits { 4 } else { 0 });
    }
}

fn a_reply_with_a_huge_field_costs_nobody_else_anything(shards: u32) {
    let directory = process::directory("names-reply");
    let (server, mut client) = start(&directory, shards);
    let mut asker = server.client();
    let beat = br#"{"clientID":"asker","producerDataSet":[{"groupName":"askers"}]}"#;
    asker.call(request::HEART_BEAT, &[], beat).expect("an answer").expect(response::SUCCESS);
    // Six bytes each in JSON.
    let huge = "\u{1}".repeat(512 << 10);
    let fields = [
        ("a", "g"),
        ("b", TOPIC),
        ("c", huge.as_str()),
        ("d", "1"),
        ("e", "0"),
        ("f", "0"),
        ("g", "1"),
        ("h", "0"),
        ("i", "REPLY_TO_CLIENT\u{1}asker\u{2}"),
    ];
    let reply = client.call(request::SEND_REPLY_MESSAGE_V2, &fields, b"x").expect("an answer");
    assert!(reply.remark.contains("field c has 524288 bytes, the limit is 4096"), "{reply:?}");
    reply.expect(response::SYSTEM_ERROR);
    for queue in 0..4 {
        client.send(TOPIC, queue, b"x").expect("an answer").expect(response::SUCCESS);
        asker.send(TOPIC, queue, b"x").expect("an answer").expect(response::SUCCESS);
    }
}
