//! Consumers that are asked or told something and do not follow: how long they are waited for, and
//! what becomes of them.

use std::time::Duration;

use ringmq_io::{
    Clock as _,
    sim::{Sim, SimRuntime},
};
use ringmq_remoting::{
    codes::{pull_flag, request, response},
    encode,
    frame::Serialization,
};
use ringmq_test_client::Send;

use super::{
    Answer, Client,
    cluster::{Broker, QUEUES, TOPIC, clients, on_all},
};

const GROUP: &str = "silent";

/// A member of the group that answers nothing by itself.
async fn member(runtime: &SimRuntime) -> Client {
    let mut client = Client::connect(runtime).await;
    let topics = serde_json::json!([{ "topic": TOPIC, "subString": "*" }]);
    let group = serde_json::json!({ "groupName": GROUP, "subscriptionDataSet": topics });
    let beat = serde_json::json!({ "clientID": "c", "consumerDataSet": [group] }).to_string();
    let (mut out, json) = (Vec::new(), Serialization::Json);
    encode::request(&mut out, json, request::HEART_BEAT, 1, false, &[], beat.as_bytes())
        .expect("fits");
    client.write(&out).await;
    while !client.receive().await.is_response {}
    client
}

/// The next answer, behind whatever the broker asks.
async fn answer(client: &Client) -> Answer {
    loop {
        let answer = client.receive().await;
        if answer.is_response {
            return answer;
        }
    }
}

async fn write_request(client: &mut Client, code: i32, oneway: bool, fields: &[(&str, &str)]) {
    let (mut out, json) = (Vec::new(), Serialization::Json);
    encode::request(&mut out, json, code, 7, oneway, fields, b"").expect("fits");
    client.write(&out).await;
}

const RUNNING_INFO: [(&str, &str); 2] = [("consumerGroup", GROUP), ("clientId", "c")];

#[test]
fn a_consumer_that_does_not_answer_is_waited_for_ten_seconds_and_by_few() {
    on_all(2, |shards, seed| {
        Sim::new(seed).run(async |runtime| {
            Broker::start(&runtime, shards, &[]);
            let mut member = member(&runtime).await;
            let mut tools = Vec::new();
            let begun = runtime.monotonic();
            for _ in 0..16 {
                let mut tool = Client::connect(&runtime).await;
                let code = request::GET_CONSUMER_RUNNING_INFO;
                write_request(&mut tool, code, false, &RUNNING_INFO).await;
                tools.push(tool);
            }
            for _ in 0..16 {
                while member.receive().await.code != request::GET_CONSUMER_RUNNING_INFO {}
            }
            let mut late = Client::connect(&runtime).await;
            let busy = late.call(request::GET_CONSUMER_RUNNING_INFO, &RUNNING_INFO, b"").await;
            assert_eq!(busy.code, response::SYSTEM_BUSY, "{}", busy.remark);
            for tool in &tools {
                let refused = tool.receive().await;
                assert_eq!(refused.code, response::CONSUME_MSG_TIMEOUT, "{}", refused.remark);
                assert!(refused.remark.starts_with("consumer <silent> <c> Timeout"));
            }
            let waited = runtime.monotonic() - begun;
            assert!((10..11).contains(&waited.as_secs()), "{waited:?}");
            // Others may ask again; what comes late is nobody's answer.
            let code = request::GET_CONSUMER_RUNNING_INFO;
            write_request(&mut late, code, false, &RUNNING_INFO).await;
            let asked = loop {
                let asked = member.receive().await;
                if asked.code == code {
                    break asked;
                }
            };
            let json = Serialization::Json;
            for opaque in [asked.opaque - 1, asked.opaque] {
                let mut out = Vec::new();
                let body = opaque.to_string();
                encode::response(&mut out, json, opaque, 0, None, &[], body.as_bytes())
                    .expect("fits");
                member.write(&out).await;
            }
            let passed_on = late.receive().await;
            assert_eq!(passed_on.body, asked.opaque.to_string().as_bytes());
        });
    });
}

/// As a client with one thread does, which writes before it reads on. Failed before: it was asked
/// so much that what it wrote was not read.
#[test]
fn a_consumer_that_takes_nothing_is_asked_so_little_that_its_own_requests_are_read() {
    on_all(2, |shards, seed| {
        Sim::new(seed).run(async |runtime| {
            Broker::start_with(&runtime, shards, &[], |settings| {
                settings.connection_output_bytes_max = 1 << 20;
                settings.output_bytes_max = 2 << 20;
            });
            let mut clients = clients(&runtime, shards).await;
            clients[0].make_topic(TOPIC).await;
            let sent = clients[0].send_to(TOPIC, 0, false, "", &[7; 30 << 10]).await;
            let mut member = member(&runtime).await;
            let consume = [RUNNING_INFO.as_slice(), &[("msgId", &*sent.fields["msgId"])]].concat();
            let mut tools = Vec::new();
            for _ in 0..16 {
                let mut tool = Client::connect(&runtime).await;
                let code = request::CONSUME_MESSAGE_DIRECTLY;
                write_request(&mut tool, code, false, &consume).await;
                runtime.sleep(Duration::from_millis(1)).await;
                tools.push(tool);
            }
            let refused = tools.pop().expect("16").receive().await;
            assert!(refused.remark.contains("the client has not taken "), "{}", refused.remark);
            let send = Send { topic: TOPIC, queue: 1, queues: 4, properties: "", batch: false };
            let (mut out, json) = (Vec::new(), Serialization::Json);
            let code = request::SEND_MESSAGE_V2;
            encode::request_values(&mut out, json, code, 9, false, &send.fields(), b"x")
                .expect("fits");
            member.write(&out).await;
            runtime.sleep(Duration::from_millis(100)).await;
            assert_eq!(clients[0].end_of(TOPIC, 1).await, 1);
        });
    });
}

async fn pull(client: &mut Client, queue: i32, offset: i64) -> Answer {
    let (queue, offset) = (queue.to_string(), offset.to_string());
    let flag = pull_flag::SUBSCRIPTION.to_string();
    let fields = [
        ("consumerGroup", GROUP),
        ("topic", TOPIC),
        ("queueId", queue.as_str()),
        ("queueOffset", offset.as_str()),
        ("maxMsgNums", "1"),
        ("sysFlag", flag.as_str()),
        ("commitOffset", "0"),
        ("suspendTimeoutMillis", "0"),
        ("subscription", "*"),
        ("subVersion", "0"),
    ];
    write_request(client, request::PULL_MESSAGE, false, &fields).await;
    answer(client).await
}

async fn commit(client: &mut Client, offset: i64) {
    let offset = offset.to_string();
    for queue in 0..QUEUES {
        let queue = queue.to_string();
        let fields = [
            ("consumerGroup", GROUP),
            ("topic", TOPIC),
            ("queueId", queue.as_str()),
            ("commitOffset", offset.as_str()),
        ];
        write_request(client, request::UPDATE_CONSUMER_OFFSET, true, &fields).await;
    }
}

type Committed = [Option<i64>; QUEUES as usize];

async fn committed(client: &mut Client) -> Committed {
    let mut all = [None; QUEUES as usize];
    for (queue, offset) in (0..).zip(&mut all) {
        *offset = client.committed(TOPIC, GROUP, queue).await;
    }
    all
}

/// One-way commits are on their way.
async fn until(runtime: &SimRuntime, client: &mut Client, wanted: Committed) {
    for _ in 0..1000 {
        if committed(client).await == wanted {
            return;
        }
        runtime.sleep(Duration::from_millis(1)).await;
    }
    panic!("never {wanted:?}, but {:?}", committed(client).await);
}

#[test]
fn who_does_not_follow_a_reset_is_sent_there_when_it_pulls_or_goes_on_after_a_minute() {
    on_all(2, |shards, seed| {
        Sim::new(seed).run(async |runtime| {
            Broker::start(&runtime, shards, &[]);
            let mut tools = clients(&runtime, shards).await;
            let tool = &mut tools[0];
            tool.make_topic(TOPIC).await;
            for queue in 0..QUEUES {
                for _ in 0..9 {
                    let sent = tool.send_to(TOPIC, queue, false, "", b"one").await;
                    assert_eq!(sent.code, response::SUCCESS, "{}", sent.remark);
                }
            }
            let mut member = member(&runtime).await;
            commit(&mut member, 8).await;
            assert_eq!(pull(&mut member, 0, 8).await.code, response::SUCCESS);
            until(&runtime, tool, [Some(8); 4]).await;
            let fields =
                [("topic", TOPIC), ("group", GROUP), ("timestamp", "0"), ("isForce", "true")];
            let reset = request::INVOKE_BROKER_TO_RESET_OFFSET;
            assert_eq!(tool.call(reset, &fields, b"").await.code, response::SUCCESS);
            for _ in 0..14 {
                commit(&mut member, 9).await;
                assert_eq!(pull(&mut member, 0, 8).await.code, response::SUCCESS);
                assert_eq!(committed(tool).await, [Some(0); 4]);
                runtime.sleep(Duration::from_secs(1)).await;
            }
            runtime.sleep(Duration::from_secs(1)).await;
            let moved = pull(&mut member, 0, 8).await;
            assert_eq!((moved.code, &*moved.remark), (response::PULL_OFFSET_MOVED, "OFFSET_RESET"));
            for (field, value) in [("nextBeginOffset", 0), ("minOffset", 0), ("maxOffset", 9)] {
                assert_eq!(moved.number(field), value, "{field}");
            }
            // In queue 0 it follows at last, in the others it never does.
            assert_eq!(pull(&mut member, 0, 0).await.code, response::SUCCESS);
            commit(&mut member, 2).await;
            pull(&mut member, 0, 0).await;
            until(&runtime, tool, [Some(2), Some(0), Some(0), Some(0)]).await;
            runtime.sleep(Duration::from_secs(45)).await;
            commit(&mut member, 9).await;
            pull(&mut member, 0, 0).await;
            until(&runtime, tool, [Some(9); 4]).await;
        });
    });
}
