//! Long bodies are read beside the shard, in whose way they would be for milliseconds, and mean the
//! same as short ones.

use std::collections::BTreeSet;
use std::fs;

use ringmq_remoting::body::{LockBatchRequestBody, LockBatchResponseBody, MessageQueue};
use ringmq_remoting::codes::{request, response};
use ringmq_remoting::fastjson;

use crate::access;
use crate::client::Client;
use crate::process::{self, Process};
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(
    long_bodies_are_read_beside_the_shard,
    locks_of_thousands_of_queues_are_all_granted,
    what_long_bodies_ask_for_is_found_out_beside_the_shard,
);

/// Nanoseconds that the threads of a process that are named so have run.
fn run_time(process: &Process, name: &str) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{}/task", process.pid())).expect("the process runs");
    let times = tasks.flatten().filter_map(|task| {
        let comm = fs::read_to_string(task.path().join("comm")).ok()?;
        let times = fs::read_to_string(task.path().join("schedstat")).ok()?;
        (comm.trim() == name).then(|| times.split(' ').next()?.parse::<u64>().ok())?
    });
    times.sum()
}

fn beat(client: &mut Client, topics: usize) {
    let topics: String = (0..topics)
        .map(|number| format!(r#"{{"topic":"topic-{number}","subString":"a || b"}},"#))
        .collect();
    let consumer = format!(r#"{{"groupName":"many","subscriptionDataSet":[{topics}]}}"#);
    let body = format!(r#"{{"clientID":"c","consumerDataSet":[{consumer}]}}"#);
    let reply = client.call(request::HEART_BEAT, &[], body.as_bytes()).expect("an answer");
    reply.expect(response::SUCCESS);
}

fn long_bodies_are_read_beside_the_shard(shards: u32) {
    let directory = process::directory("long-bodies");
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    let before = run_time(&server.process, "aside");
    beat(&mut server.client(), 100);
    assert_eq!(run_time(&server.process, "aside"), before, "short ones are read on the spot");
    for _ in 0..shards {
        let mut client = server.client();
        let before = run_time(&server.process, "aside");
        beat(&mut client, 10_000);
        let read = run_time(&server.process, "aside") - before;
        assert!(read > 100_000, "{read} ns");
        let group = [("consumerGroup", "many")];
        let reply = client.call(request::GET_CONSUMER_CONNECTION_LIST, &group, b"");
        let body = reply.expect("an answer").expect(response::SUCCESS).body;
        let text = String::from_utf8(body).expect("text");
        assert_eq!(text.matches("\"subString\":\"a || b\"").count(), 10_000);
        let wrong = format!("{{{}", " ".repeat(100_000));
        let reply = client.call(request::HEART_BEAT, &[], wrong.as_bytes()).expect("an answer");
        assert!(reply.expect(response::SYSTEM_ERROR).remark.contains("JSON ends"));
    }
}

fn locks_of_thousands_of_queues_are_all_granted(shards: u32) {
    let directory = process::directory("long-locks");
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    let (mut first, mut second) = (server.client(), server.client());
    let queues = |ids: std::ops::Range<i32>| -> BTreeSet<_> {
        ids.map(|id| MessageQueue::new("topic", "broker-a", id)).collect()
    };
    let call = |client: &mut Client, code: i32, id: &str, queues: BTreeSet<MessageQueue>| {
        let body = LockBatchRequestBody {
            consumer_group: "g".to_owned(),
            client_id: id.to_owned(),
            only_this_broker: true,
            mq_set: queues,
        };
        let reply = client.call(code, &[], &fastjson::to_vec(&body)).expect("an answer");
        reply.expect(response::SUCCESS).body
    };
    let lock = |client: &mut Client, id: &str, queues: BTreeSet<MessageQueue>| {
        let body = call(client, request::LOCK_BATCH_MQ, id, queues);
        let answer: LockBatchResponseBody = fastjson::from_slice(&body).expect("queues");
        assert_eq!(body, fastjson::to_vec(&answer), "as fastjson writes it");
        answer.lock_ok_mq_set
    };
    assert_eq!(lock(&mut first, "a", queues(0..3000)), queues(0..3000));
    assert_eq!(lock(&mut second, "b", queues(2000..5000)), queues(3000..5000));
    assert_eq!(lock(&mut second, "b", queues(0..2000)), queues(0..0));
    call(&mut first, request::UNLOCK_BATCH_MQ, "a", queues(500..5000));
    assert_eq!(lock(&mut second, "b", queues(0..5000)), queues(500..5000));
}

/// Before, the shard of the connection read them, and made signatures of megabytes.
fn what_long_bodies_ask_for_is_found_out_beside_the_shard(shards: u32) {
    let (_directory, server) = access::server("long-access", shards);
    access::admin(&server).create_topic("both", 1).expect("an answer").expect(response::SUCCESS);
    let beat = |group: &str, topics: usize| {
        let topics = r#"{"topic":"both","subString":"*"},"#.repeat(topics);
        let consumer = format!(r#"{{"groupName":"{group}","subscriptionDataSet":[{topics}]}}"#);
        format!(r#"{{"clientID":"c","consumerDataSet":[{consumer}]}}"#).into_bytes()
    };
    let locks = |group: &str, queues: i32| {
        let queues = (0..queues).map(|id| MessageQueue::new("both", "broker-a", id));
        fastjson::to_vec(&LockBatchRequestBody {
            consumer_group: group.to_owned(),
            client_id: "c".to_owned(),
            only_this_broker: true,
            mq_set: queues.collect(),
        })
    };
    // A signature needs all of a body; what is no JSON is not read for it.
    let message = vec![b'x'; 3 << 20];
    let send = [("a", "g"), ("b", "none"), ("e", "0"), ("f", "0"), ("g", "0"), ("h", "0")];
    let group = "No default permission for group:others";
    let topic = "No default permission for topic:none";
    let cases = [
        (request::HEART_BEAT, &[][..], beat("others", 10), beat("others", 20_000), group),
        (request::LOCK_BATCH_MQ, &[], locks("others", 10), locks("others", 10_000), group),
        (request::SEND_MESSAGE_V2, &send, b"x".to_vec(), message, topic),
    ];
    // Of a refused request nothing but this is done with its body.
    let aside = || run_time(&server.process, "aside");
    let mut client = access::limited(&server);
    let before = aside();
    for (code, fields, short, _, denied) in &cases {
        access::refused(&client.call(*code, fields, short).expect("an answer"), denied);
    }
    assert_eq!(aside(), before, "short ones are checked on the spot");
    // Connections of all shards.
    for _ in 0..shards {
        let mut client = access::limited(&server);
        for (code, fields, _, long, denied) in &cases {
            let before = aside();
            access::refused(&client.call(*code, fields, long).expect("an answer"), denied);
            let checked = aside() - before;
            assert!(checked > 100_000, "{code}: {checked} ns");
        }
        for (code, body) in
            [(request::HEART_BEAT, beat("it_group", 10_000)), (41, locks("it_group", 10_000))]
        {
            client.call(code, &[], &body).expect("an answer").expect(response::SUCCESS);
        }
        // Others stand behind it, and it is granted as a short one is.
        let message = vec![b'x'; 1 << 20];
        let before = client.max_offset("both", 0).expect("allowed");
        client.send("both", 0, &message).expect("an answer").expect(response::SUCCESS);
        client.send("both", 0, b"short").expect("an answer").expect(response::SUCCESS);
        assert_eq!(client.max_offset("both", 0).expect("allowed"), before + 2);
    }
}
