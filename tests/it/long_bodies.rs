//! Long bodies are read beside the shard, in whose way they would be for milliseconds, and mean the
//! same as short ones.

use std::collections::BTreeSet;
use std::fs;

use ringmq_remoting::body::{LockBatchRequestBody, LockBatchResponseBody, MessageQueue};
use ringmq_remoting::codes::{request, response};
use ringmq_remoting::fastjson;

use crate::client::Client;
use crate::process::{self, Process};
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(long_bodies_are_read_beside_the_shard, locks_of_thousands_of_queues_are_all_granted);

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
