//! Replies to requests of clients, under a whole broker.

use ringmq_io::sim::Sim;
use ringmq_remoting::{
    codes::{request, response},
    encode,
    frame::Serialization,
};

use crate::testing::{Client, config, start};

/// A client that waits for replies.
async fn asker(runtime: &ringmq_io::sim::SimRuntime) -> Client {
    let mut client = Client::connect(runtime).await;
    let producers = serde_json::json!([{ "groupName": "askers" }]);
    let beat = serde_json::json!({ "clientID": "asker", "producerDataSet": producers });
    let answer = client.call(request::HEART_BEAT, &[], beat.to_string().as_bytes()).await;
    assert_eq!(answer.code, response::SUCCESS, "{}", answer.remark);
    client
}

/// SEND_REPLY_MESSAGE_V2 with some of its fields, in binary.
fn reply(group: &str, default_topic: &str, properties: &str) -> Vec<u8> {
    reply_in("Topic", group, default_topic, properties)
}

fn reply_in(topic: &str, group: &str, default_topic: &str, properties: &str) -> Vec<u8> {
    let fields = [
        ("a", group),
        ("b", topic),
        ("c", default_topic),
        ("d", "1"),
        ("e", "0"),
        ("f", "0"),
        ("g", "1"),
        ("h", "0"),
        ("i", properties),
    ];
    let (mut out, code) = (Vec::new(), request::SEND_REPLY_MESSAGE_V2);
    encode::request(&mut out, Serialization::RocketMq, code, 7, false, &fields, b"x")
        .expect("fits");
    out
}

#[test]
fn a_reply_that_could_not_be_sent_on_is_refused_and_the_broker_goes_on() {
    let sim = Sim::new(1);
    sim.run(async |runtime| {
        start(&runtime, config(&[]));
        let _asker = asker(&runtime).await;
        let mut client = Client::connect(&runtime).await;
        assert_eq!(client.send(b"makes the topic").await.code, response::SUCCESS);
        // As long as a header field may be at all.
        let (long, properties) = ("\u{1}".repeat(4000), "\u{1}".repeat(120_000));
        let to_asker = "REPLY_TO_CLIENT\u{1}asker\u{2}";
        // WAIT is not stored, so it does not count when the message is checked.
        let waits = [to_asker, "WAIT\u{1}", &properties, "\u{2}"].concat();
        for (frame, what) in [
            (reply("g", &long, to_asker), "topic name"),
            (reply(&long, "TBW102", to_asker), "group name"),
            (reply("g", "TBW102", &waits), "properties"),
        ] {
            client.write(&frame).await;
            let answer = client.receive().await;
            assert_ne!(answer.code, response::SUCCESS);
            assert!(answer.remark.contains(what), "{}", answer.remark);
            assert!(answer.remark.contains("the limit is"), "{}", answer.remark);
        }
        assert_eq!(client.send(b"still there").await.code, response::SUCCESS);
    });
}

#[test]
fn a_reply_makes_no_topic_whose_name_is_not_allowed() {
    let sim = Sim::new(2);
    sim.run(async |runtime| {
        start(&runtime, config(&[]));
        let mut client = Client::connect(&runtime).await;
        for name in ["a b", "%DLQ%a\u{2}b"] {
            client.write(&reply_in(name, "g", "TBW102", "")).await;
            assert_eq!(client.receive().await.code, response::SYSTEM_ERROR);
            assert_eq!(client.stored(name).await, None, "{name}");
        }
    });
}
