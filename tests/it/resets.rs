//! Consumer offsets that an administrator resets: members are told, and the reset holds although
//! they commit what they were at before.

use std::io::Write;

use ringmq_remoting::body::{GetConsumerStatusBody, ResetOffsetBody, ResetOffsetBodyForC};
use ringmq_remoting::codes::{pull_flag, request, response};
use ringmq_remoting::encode;
use ringmq_remoting::fastjson;
use ringmq_remoting::frame::Serialization;
use serde_json::json;

use crate::client::{Answer, Client};
use crate::process;
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(
    a_reset_is_told_to_all_members_and_holds_against_their_old_commits,
    a_reset_goes_to_the_end_to_a_time_and_backward_only_unless_it_is_forced,
    a_group_that_is_not_online_is_refused_so_that_tools_commit_themselves,
    one_queue_is_reset_to_an_offset_whether_its_group_is_online_or_not,
    members_are_asked_how_far_they_are,
    with_the_key_of_rocketmq_5_a_group_need_not_be_online,
);

const TOPIC: &str = "reset";
const GROUP: &str = "resetters";
const QUEUES: i32 = 4;
const MESSAGES: i64 = 10;

fn settings(shards: u32) -> Settings {
    Settings { shards, ..Settings::default() }
}

/// A broker with a topic and so many messages in each queue.
fn server(shards: u32) -> (tempfile::TempDir, Server) {
    let directory = process::directory("resets");
    let server = Server::start(directory.path(), &settings(shards));
    let mut client = server.client();
    client.create_topic(TOPIC, 4).expect("the broker serves").expect(0);
    for queue in 0..QUEUES {
        for _ in 0..MESSAGES {
            client.send(TOPIC, queue, b"body").expect("an answer").expect(0);
        }
    }
    (directory, server)
}

fn heartbeat(id: &str) -> Vec<u8> {
    let beat = json!({
        "clientID": id,
        "consumerDataSet": [{
            "groupName": GROUP,
            "consumeType": "CONSUME_PASSIVELY",
            "messageModel": "CLUSTERING",
            "consumeFromWhere": "CONSUME_FROM_FIRST_OFFSET",
            "subscriptionDataSet": [{"topic": TOPIC, "subString": "*"}],
        }],
    });
    beat.to_string().into_bytes()
}

/// A client of the group, as Java has it.
fn member(server: &Server, id: &str) -> Client {
    let mut client = server.client();
    let reply = client.call(request::HEART_BEAT, &[], &heartbeat(id));
    reply.expect("an answer").expect(response::SUCCESS);
    client
}

/// The same in C++.
fn cpp_member(server: &Server, id: &str) -> Client {
    let (mut client, mut out, json) = (server.client(), Vec::new(), Serialization::Json);
    encode::request(&mut out, json, request::HEART_BEAT, 7, false, &[], &heartbeat(id))
        .expect("fits");
    let java = out.windows(6).position(|part| part == b"\"JAVA\"").expect("its language");
    out[java..java + 6].copy_from_slice(b"\"CPP\" ");
    client.stream().write_all(&out).expect("the broker reads");
    client.reply().expect("an answer").expect(response::SUCCESS);
    client
}

fn commit_fields<'a>(queue: &'a str, offset: &'a str) -> [(&'a str, &'a str); 4] {
    [("consumerGroup", GROUP), ("topic", TOPIC), ("queueId", queue), ("commitOffset", offset)]
}

fn commit(client: &mut Client, offset: i64) -> Vec<Answer> {
    let offset = offset.to_string();
    let commit = |queue: i32| {
        let queue = queue.to_string();
        let fields = commit_fields(&queue, &offset);
        let reply = client.call(request::UPDATE_CONSUMER_OFFSET, &fields, b"");
        reply.expect("an answer").expect(response::SUCCESS)
    };
    (0..QUEUES).map(commit).collect()
}

/// By queue; -1: none.
fn committed(client: &mut Client) -> Vec<i64> {
    let query = |queue: i32| {
        let queue = queue.to_string();
        let fields = [
            ("consumerGroup", GROUP),
            ("topic", TOPIC),
            ("queueId", queue.as_str()),
            ("setZeroIfNotFound", "false"),
        ];
        let reply = client.call(request::QUERY_CONSUMER_OFFSET, &fields, b"").expect("an answer");
        if reply.code == response::SUCCESS { reply.number("offset") } else { -1 }
    };
    (0..QUEUES).map(query).collect()
}

fn reset(client: &mut Client, timestamp: i64, force: bool, more: &[(&str, &str)]) -> Answer {
    let (timestamp, force) = (timestamp.to_string(), force.to_string());
    let fields = [
        ("topic", TOPIC),
        ("group", GROUP),
        ("timestamp", timestamp.as_str()),
        ("isForce", force.as_str()),
    ];
    let fields = [&fields, more].concat();
    client.call(request::INVOKE_BROKER_TO_RESET_OFFSET, &fields, b"").expect("an answer")
}

/// The offsets of an answer or a request, by queue.
fn offsets(body: &[u8]) -> Vec<i64> {
    let body: ResetOffsetBody = fastjson::from_slice(body).expect("a table");
    for queue in body.offset_table.0.keys() {
        assert_eq!((&*queue.topic, &*queue.broker_name), (TOPIC, "broker-a"));
    }
    body.offset_table.0.into_values().collect()
}

/// A pull that commits, too, without waiting for messages.
fn pull(client: &mut Client, queue: i32, offset: i64, commit: i64) -> Answer {
    let queue = queue.to_string();
    let (offset, commit) = (offset.to_string(), commit.to_string());
    let flag = (pull_flag::SUBSCRIPTION | pull_flag::COMMIT_OFFSET).to_string();
    let fields = [
        ("consumerGroup", GROUP),
        ("topic", TOPIC),
        ("queueId", queue.as_str()),
        ("queueOffset", offset.as_str()),
        ("maxMsgNums", "1"),
        ("sysFlag", flag.as_str()),
        ("commitOffset", commit.as_str()),
        ("suspendTimeoutMillis", "0"),
        ("subscription", "*"),
        ("subVersion", "0"),
        ("expressionType", "TAG"),
    ];
    client.call(request::PULL_MESSAGE, &fields, b"").expect("an answer")
}

fn a_reset_is_told_to_all_members_and_holds_against_their_old_commits(shards: u32) {
    let (directory, mut server) = server(shards);
    let (mut one, mut other) = (member(&server, "one"), cpp_member(&server, "other"));
    let mut tool = server.client();
    commit(&mut one, 8);
    let answer = reset(&mut tool, 0, true, &[]).expect(response::SUCCESS);
    assert_eq!(offsets(&answer.body), [0; 4]);
    let told = one.asked(request::RESET_CONSUMER_CLIENT_OFFSET).expect("told");
    assert_eq!((&*told.fields["topic"], &*told.fields["group"]), (TOPIC, GROUP));
    assert_eq!((&*told.fields["timestamp"], &*told.fields["isForce"]), ("0", "true"));
    assert_eq!(offsets(&told.body), [0; 4]);
    let told = other.asked(request::RESET_CONSUMER_CLIENT_OFFSET).expect("told").body;
    let told: ResetOffsetBodyForC = fastjson::from_slice(&told).expect("a list");
    assert_eq!(told.offset_table.len(), 4);
    assert!(told.offset_table.iter().all(|queue| queue.offset == 0 && queue.topic == TOPIC));
    // what was consumed before and is committed now
    for answer in commit(&mut one, 9) {
        assert_eq!(answer.remark, "Offset has been previously reset");
    }
    for queue in ["0", "1", "2", "3"] {
        let fields = commit_fields(queue, "10");
        one.start(request::UPDATE_CONSUMER_OFFSET, true, &fields, b"").expect("sent");
    }
    for queue in 0..QUEUES {
        pull(&mut one, queue, 9, 9).expect(response::SUCCESS);
    }
    assert_eq!(committed(&mut one), [0; 4]);
    assert_eq!(committed(&mut tool), [0; 4]);
    // durable when it was answered
    server.process.kill9();
    drop(server);
    server = Server::start(directory.path(), &settings(shards));
    (one, tool) = (member(&server, "one"), server.client());
    assert_eq!(committed(&mut one), [0; 4]);
    // it goes on from there
    commit(&mut one, 5);
    reset(&mut tool, 0, true, &[]).expect(response::SUCCESS);
    for queue in 0..QUEUES {
        let pulled = pull(&mut one, queue, 0, 0).expect(response::SUCCESS);
        assert_eq!(pulled.number("nextBeginOffset"), 1);
    }
    commit(&mut one, 3);
    assert_eq!(committed(&mut tool), [3; 4]);
}

fn a_reset_goes_to_the_end_to_a_time_and_backward_only_unless_it_is_forced(shards: u32) {
    let (_directory, server) = server(shards);
    let mut tool = server.client();
    let unknown = reset(&mut tool, -1, true, &[]).expect(response::SYSTEM_ERROR);
    assert_eq!(unknown.remark, "THe consumer group <resetters> not exist");
    let mut one = member(&server, "one");
    commit(&mut one, 4);
    let answer = reset(&mut tool, -1, false, &[]).expect(response::SUCCESS);
    assert_eq!(offsets(&answer.body), [4; 4]);
    let answer = reset(&mut tool, -1, true, &[]).expect(response::SUCCESS);
    assert_eq!(offsets(&answer.body), [MESSAGES; 4]);
    assert_eq!(committed(&mut one), [MESSAGES; 4]);
    let times: Vec<i64> = (0..QUEUES)
        .map(|queue| one.pull(TOPIC, queue, 5, 1).expect("an answer").messages[0].store_timestamp)
        .collect();
    let search = |client: &mut Client, queue: i32| {
        let (queue, time) = (queue.to_string(), times[0].to_string());
        let fields = [("topic", TOPIC), ("queueId", queue.as_str()), ("timestamp", time.as_str())];
        let reply = client.call(request::SEARCH_OFFSET_BY_TIMESTAMP, &fields, b"");
        reply.expect("an answer").expect(response::SUCCESS).number("offset")
    };
    let wanted: Vec<i64> = (0..QUEUES).map(|queue| search(&mut tool, queue)).collect();
    let answer = reset(&mut tool, times[0], false, &[]).expect(response::SUCCESS);
    assert_eq!(offsets(&answer.body), wanted);
    let fields = [("topic", "nosuch"), ("group", GROUP), ("timestamp", "0"), ("isForce", "true")];
    let answer = tool.call(request::INVOKE_BROKER_TO_RESET_OFFSET, &fields, b"");
    let remark = answer.expect("an answer").expect(response::SYSTEM_ERROR).remark;
    assert_eq!(remark, "[reset-offset] reset offset failed, no topic in this broker. topic=nosuch");
}

fn a_group_that_is_not_online_is_refused_so_that_tools_commit_themselves(shards: u32) {
    let (_directory, server) = server(shards);
    let mut tool = server.client();
    let mut one = member(&server, "one");
    commit(&mut one, 8);
    reset(&mut tool, 0, true, &[]).expect(response::SUCCESS);
    let leave = [("clientID", "one"), ("consumerGroup", GROUP)];
    one.call(request::UNREGISTER_CLIENT, &leave, b"").expect("an answer").expect(0);
    let answer = reset(&mut tool, -1, true, &[]).expect(response::CONSUMER_NOT_ONLINE);
    let remark = "Consumer not online, so can not reset offset, Group: resetters Topic: reset \
                  Timestamp: -1";
    assert_eq!(answer.remark, remark);
    assert_eq!(committed(&mut tool), [0; 4]);
    commit(&mut tool, 7);
    assert_eq!(committed(&mut tool), [7; 4]);
}

fn one_queue_is_reset_to_an_offset_whether_its_group_is_online_or_not(shards: u32) {
    let (_directory, server) = server(shards);
    let mut tool = server.client();
    let queue = [("queueId", "2"), ("offset", "6")];
    let answer = reset(&mut tool, 0, false, &queue);
    let remark = answer.expect(response::SUBSCRIPTION_GROUP_NOT_EXIST).remark;
    assert_eq!(remark, "Group resetters does not exist");
    drop(member(&server, "one"));
    let answer = reset(&mut tool, 0, false, &queue).expect(response::SUCCESS);
    assert_eq!(offsets(&answer.body), [6]);
    assert_eq!(committed(&mut tool), [-1, -1, 6, -1]);
    let mut one = member(&server, "one");
    let answer = reset(&mut tool, 0, false, &[("queueId", "2"), ("offset", "3")]);
    assert_eq!(offsets(&answer.expect(response::SUCCESS).body), [3]);
    let told = one.asked(request::RESET_CONSUMER_CLIENT_OFFSET).expect("told");
    assert_eq!(offsets(&told.body), [3]);
    assert_eq!(committed(&mut one), [-1, -1, 3, -1]);
    let answer = reset(&mut tool, 0, false, &[("queueId", "2"), ("offset", "99")]);
    let remark = answer.expect(response::SYSTEM_ERROR).remark;
    assert_eq!(remark, "Target offset 99 not in consume queue range [0-10]");
    let answer = reset(&mut tool, -1, false, &[("queueId", "1")]).expect(response::SUCCESS);
    assert_eq!(offsets(&answer.body), [MESSAGES]);
    reset(&mut tool, -1, false, &[("queueId", "4")]).expect(response::SYSTEM_ERROR);
}

fn members_are_asked_how_far_they_are(shards: u32) {
    let (_directory, server) = server(shards);
    let mut tool = server.client();
    let ask = |tool: &mut Client, client: &str| {
        let fields = [("topic", TOPIC), ("group", GROUP), ("clientAddr", client)];
        tool.start(request::INVOKE_BROKER_TO_GET_CONSUMER_STATUS, false, &fields, b"")
    };
    ask(&mut tool, "").expect("sent");
    let remark = tool.reply().expect("an answer").expect(response::SYSTEM_ERROR).remark;
    assert_eq!(remark, "No Any Consumer online in the consumer group: [resetters]");
    let mut members = [member(&server, "one"), member(&server, "two")];
    for wanted in ["", "two"] {
        ask(&mut tool, wanted).expect("sent");
        for (member, offset) in members.iter_mut().zip([3, 4]).skip(usize::from(wanted == "two")) {
            let asked = member.asked(request::GET_CONSUMER_STATUS_FROM_CLIENT).expect("asked");
            let queue = r#"{"brokerName":"broker-a","queueId":1,"topic":"reset"}"#;
            let body = format!("{{\"messageQueueTable\":{{{queue}:{offset}}}}}");
            let answered = member.answer_with(asked.opaque, 0, None, body.as_bytes());
            answered.expect("the broker reads");
        }
        let body = tool.reply().expect("an answer").expect(response::SUCCESS).body;
        let body: GetConsumerStatusBody = fastjson::from_slice(&body).expect("a table");
        let found = body.consumer_table.iter().map(|(client, offsets)| {
            let offsets: Vec<i64> = offsets.0.values().copied().collect();
            (client.as_str(), offsets)
        });
        let wanted: Vec<_> = [("one", vec![3]), ("two", vec![4])]
            .into_iter()
            .skip(usize::from(wanted == "two"))
            .collect();
        assert_eq!(found.collect::<Vec<_>>(), wanted);
    }
}

fn with_the_key_of_rocketmq_5_a_group_need_not_be_online(shards: u32) {
    let directory = process::directory("resets");
    let extra = vec![("useServerSideResetOffset", "true".to_owned())];
    let server = Server::start(directory.path(), &Settings { extra, ..settings(shards) });
    let mut tool = server.client();
    let none = reset(&mut tool, -1, true, &[]).expect(response::TOPIC_NOT_EXIST);
    assert_eq!(none.remark, "Topic reset does not exist");
    tool.create_topic(TOPIC, 4).expect("the broker serves").expect(0);
    let none = reset(&mut tool, -1, true, &[]).expect(response::SUBSCRIPTION_GROUP_NOT_EXIST);
    assert_eq!(none.remark, "Group resetters does not exist");
    for queue in 0..QUEUES {
        tool.send(TOPIC, queue, b"body").expect("an answer").expect(0);
        assert_eq!(pull(&mut tool, queue, 0, 0).code, response::SUCCESS);
    }
    let answer = reset(&mut tool, -1, false, &[]).expect(response::SUCCESS);
    assert_eq!(offsets(&answer.body), [1; 4]);
    assert_eq!(committed(&mut tool), [1; 4]);
}
