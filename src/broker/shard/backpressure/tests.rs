//! Sends beside a disk that stalls, and more of them than a disk can take.

use std::{cell::RefCell, rc::Rc};

use ringmq_io::{
    Clock as _, Shares, Spawn as _,
    sim::{Fault, FaultRule, OperationKind, Sim, SimRuntime},
};

use super::*;
use crate::testing::{
    Client,
    cluster::{Broker, TOPIC, clients},
    config, start,
};
use ringmq_remoting::{codes::request, encode, frame::Serialization};
use ringmq_test_client::Send;

const SENDERS: usize = 12;
const STALL: Duration = Duration::from_secs(2);

/// Codes, remarks and times of sends of 3 MiB each, while a write takes [`STALL`].
fn sends_beside_a_stalled_disk(seed: u64, keys: &[(&str, &str)]) -> Vec<(i32, String, Duration)> {
    let large = [
        ("mappedFileSizeCommitLog", "134217728"),
        ("zeroAheadBytes", "67108864"),
        ("appendQueueBytesMax", "16777216"),
    ];
    let sim = Sim::new(seed);
    let answers = Rc::new(RefCell::new(Vec::new()));
    let told = answers.clone();
    sim.run(async |runtime| {
        start(&runtime, config(&[large.as_slice(), keys].concat()));
        let mut client = Client::connect(&runtime).await;
        assert_eq!(client.send(b"first").await.code, response::SUCCESS);
        runtime.sleep(Duration::from_secs(1)).await;
        let stall = FaultRule::every(Some(OperationKind::Write), Fault::Stall(STALL));
        sim.disk().add_fault(stall.where_path_contains(".seg").times(1));
        for _ in 0..SENDERS {
            let (runtime, own, told) = (runtime.clone(), runtime.clone(), told.clone());
            runtime.spawn(Shares::Foreground, "sender", async move {
                let mut client = Client::connect(&own).await;
                let began = own.monotonic();
                let answer = client.send(&vec![7; 3 << 20]).await;
                let took = own.monotonic() - began;
                told.borrow_mut().push((answer.code, answer.remark, took));
            });
        }
        runtime.sleep(STALL * 2).await;
        assert_eq!(told.borrow().len(), SENDERS, "all are answered");
        let stored = told.borrow().iter().filter(|answer| answer.0 == response::SUCCESS).count();
        assert_eq!(client.send(b"last").await.code, response::SUCCESS);
        assert_eq!(client.offset(request::GET_MAX_OFFSET).await, stored as i64 + 2);
    });
    answers.take()
}

#[test]
fn sends_that_wait_too_long_for_a_full_queue_are_refused_and_the_others_are_stored() {
    for seed in 0..4 {
        let answers = sends_beside_a_stalled_disk(seed, &[]);
        let (stored, refused): (Vec<_>, Vec<_>) =
            answers.iter().partition(|answer| answer.0 == response::SUCCESS);
        assert!(stored.len() >= 5 && refused.len() >= 3, "seed {seed}: {answers:?}");
        for (code, remark, took) in refused {
            assert_eq!(*code, response::SYSTEM_BUSY);
            assert!(remark.starts_with("[TIMEOUT_CLEAN_QUEUE]"), "{remark}");
            assert!(remark.contains("limit is 200ms (key waitTimeMillsInSendQueue)"), "{remark}");
            let limit = Duration::from_millis(200);
            assert!(*took >= limit && *took < limit * 2, "seed {seed}: {took:?}");
        }
    }
}

#[test]
fn without_fast_failure_all_sends_wait_and_are_stored() {
    let answers = sends_beside_a_stalled_disk(9, &[("brokerFastFailureEnable", "false")]);
    assert!(answers.iter().all(|answer| answer.0 == response::SUCCESS), "{answers:?}");
}

/// Sends that were stored, and those that were refused as they had waited too long. `after`: to be
/// done after each answer.
async fn answers(
    runtime: &SimRuntime,
    flood: &Rc<Client>,
    (count, sends): (usize, Vec<u8>),
    mut after: impl AsyncFnMut(usize),
) -> (usize, usize) {
    let writer = flood.clone();
    runtime.spawn(Shares::Foreground, "flood", async move {
        writer.write_open(&sends).await;
    });
    let (mut stored, mut refused) = (0, 0);
    for number in 0..count {
        let answer = flood.receive().await;
        match answer.code {
            response::SUCCESS => stored += 1,
            code => {
                assert_eq!(code, response::SYSTEM_BUSY, "{}", answer.remark);
                assert!(answer.remark.starts_with("[TIMEOUT_CLEAN_QUEUE]"));
                refused += 1;
            }
        }
        after(number).await;
    }
    (stored, refused)
}

/// Before, everything was appended that fits appendQueueBytesMax: a send waited as long as the disk
/// takes for that.
#[test]
fn a_connection_with_very_much_under_way_is_read_no_faster_than_the_disk_writes() {
    const SENDS: usize = 3000;
    const BODY: usize = 4 << 10;
    for seed in 0..3 {
        let sim = Sim::new(seed);
        sim.set_socket_bytes(64 << 10);
        sim.run(async |runtime| {
            let keys = [("mappedFileSizeCommitLog", "134217728"), ("zeroAheadBytes", "67108864")];
            let broker = start(&runtime, config(&keys));
            let (mut modest, flood) =
                (Client::connect(&runtime).await, Rc::new(Client::connect(&runtime).await));
            assert_eq!(modest.send(b"first").await.code, response::SUCCESS);
            let slow = FaultRule::every(Some(OperationKind::Write), Fault::Stall(PACE));
            sim.disk().add_fault(slow.where_path_contains(".seg"));
            let mut most = 0;
            let stored = answers(&runtime, &flood, (SENDS, sends(SENDS, BODY)), async |number| {
                most = most.max(broker.held()[0].log_bytes);
                if number % 500 == 0 {
                    let answer = modest.send(b"beside").await;
                    assert_eq!(answer.code, response::SUCCESS, "{}", answer.remark);
                }
            });
            let (stored, refused) = stored.await;
            assert!(most < BEHIND_BYTES + (1 << 20), "{most} bytes wait for the disk");
            assert!(stored > SENDS / 2, "{stored} stored, {refused} refused");
        });
    }
}

/// Before, this held for logs of the connection's own shard only.
#[test]
fn so_it_is_if_the_log_is_of_another_shard() {
    const SENDS: usize = 2000;
    const BODY: usize = 4 << 10;
    for (seed, shards) in [(0, 2), (1, 2), (2, 4)] {
        let sim = Sim::new(seed);
        sim.set_socket_bytes(64 << 10);
        sim.run(async |runtime| {
            let keys = [("mappedFileSizeCommitLog", "134217728"), ("zeroAheadBytes", "67108864")];
            let broker = Broker::start(&runtime, shards, &keys);
            let mut clients = clients(&runtime, shards).await;
            assert_eq!(clients[0].make_topic(TOPIC).await.code, response::SUCCESS);
            let slow = FaultRule::every(Some(OperationKind::Write), Fault::Stall(PACE));
            sim.disk().add_fault(slow.where_path_contains(".seg"));
            let flood = Rc::new(clients.remove(0));
            let mut modest = clients.remove(0);
            // Of these at most one is of the flood's own shard.
            for queue in 0..2 {
                let (bytes, mut most) = (sends_to(queue, SENDS, BODY), 0);
                let stored = answers(&runtime, &flood, (SENDS, bytes), async |number| {
                    for shard in broker.shards.borrow().iter() {
                        let logs = shard.queues.own_logs().map(|log| log.backlog_bytes());
                        most = most.max(logs.max().unwrap_or(0));
                    }
                    if number % 500 == 0 {
                        let answer = modest.send_to(TOPIC, queue, false, "", b"beside").await;
                        assert_eq!(answer.code, response::SUCCESS, "{}", answer.remark);
                    }
                });
                let (stored, refused) = stored.await;
                assert!(most < BEHIND_BYTES + (2 << 20), "{most} bytes wait for the disk");
                assert!(stored > SENDS / 2, "{stored} stored, {refused} refused");
            }
            // Nobody is taken to be behind for ever.
            runtime.sleep(STALL).await;
            for shard in broker.shards.borrow().iter() {
                assert!(!shard.logs_behind.any_other.get());
                assert!(shard.logs_behind.own.borrow().is_empty());
            }
        });
    }
}

/// Of each write of the disk that a flood meets.
const PACE: Duration = Duration::from_millis(20);

/// Sends in one piece.
fn sends(count: usize, body: usize) -> Vec<u8> {
    sends_to(0, count, body)
}

fn sends_to(queue: i32, count: usize, body: usize) -> Vec<u8> {
    let body = vec![7; body];
    let send = Send { topic: TOPIC, queue, queues: 1, properties: "", batch: false };
    let mut bytes = Vec::new();
    for number in 0..count {
        let (json, code) = (Serialization::Json, request::SEND_MESSAGE_V2);
        let opaque = 1000 + number as i32;
        encode::request_values(&mut bytes, json, code, opaque, false, &send.fields(), &body)
            .expect("fits");
    }
    bytes
}
