//! What a consumer gives back, under a whole broker.

use std::time::Duration;

use ringmq_io::{Clock as _, sim::Sim};
use ringmq_remoting::{
    codes::{request, response},
    message_id::MessageId,
};

use crate::testing::{Answer, Client, config, start};

const SCHEDULE: &str = "SCHEDULE_TOPIC_XXXX";

async fn make_group(client: &mut Client, name: &str) -> Answer {
    let body = serde_json::json!({ "groupName": name, "retryQueueNums": 1, "retryMaxTimes": 16 });
    let code = request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP;
    client.call(code, &[], body.to_string().as_bytes()).await
}

/// Gives a message back, which it sends before.
async fn give_back(client: &mut Client, group: &str, delay_level: &str) -> Answer {
    let sent = client.send(b"to be given back").await;
    assert_eq!(sent.code, response::SUCCESS, "{}", sent.remark);
    let (_, offset) = MessageId::parse(&sent.fields["msgId"]).expect("an id of the broker");
    let offset = offset.to_string();
    let fields = [("offset", &*offset), ("group", group), ("delayLevel", delay_level)];
    client.call(request::CONSUMER_SEND_MSG_BACK, &fields, b"").await
}

#[test]
fn no_name_makes_a_message_be_delivered_for_ever() {
    let sim = Sim::new(1);
    sim.run(async |runtime| {
        start(&runtime, config(&[]));
        let mut client = Client::connect(&runtime).await;
        let name = "e\u{2}REAL_TOPIC\u{1}SCHEDULE_TOPIC_XXXX\u{2}z";
        let made = make_group(&mut client, name).await;
        let given = give_back(&mut client, name, "1").await;
        runtime.sleep(Duration::from_secs(5)).await;
        assert_eq!(client.stored(SCHEDULE).await, Some(0), "nothing goes round");
        for answer in [made, given] {
            assert_eq!(answer.code, response::SYSTEM_ERROR);
            assert!(answer.remark.contains("control character U+0002"), "{}", answer.remark);
            assert!(!answer.remark.contains('\u{2}'), "{}", answer.remark);
        }
    });
}

#[test]
fn a_group_whose_retry_topic_is_too_long_for_a_record_gets_nothing_back() {
    let sim = Sim::new(2);
    sim.run(async |runtime| {
        start(&runtime, config(&[]));
        let mut client = Client::connect(&runtime).await;
        for (length, level, stored) in
            [(120, "1", true), (121, "1", false), (255, "-1", false), (121, "-1", true)]
        {
            let name = "g".repeat(length);
            assert_eq!(make_group(&mut client, &name).await.code, response::SUCCESS);
            let answer = give_back(&mut client, &name, level).await;
            runtime.sleep(Duration::from_secs(3)).await;
            if stored {
                assert_eq!(answer.code, response::SUCCESS, "{length}: {}", answer.remark);
                let topic = if level == "-1" { "%DLQ%" } else { "%RETRY%" };
                let topic = [topic, &name].concat();
                assert_eq!(client.stored(&topic).await, Some(1), "{length}");
            } else {
                assert_eq!(answer.code, response::SYSTEM_ERROR);
                assert!(answer.remark.starts_with("MESSAGE_ILLEGAL: "), "{}", answer.remark);
                assert!(answer.remark.contains("the limit is 127"), "{}", answer.remark);
                let retry = ["%RETRY%", &name].concat();
                assert_eq!(client.stored(&retry).await.unwrap_or(0), 0, "{length}");
            }
        }
        assert_eq!(client.stored(SCHEDULE).await, Some(1), "the one of 120 bytes");
    });
}
