//! D4: lanes that do not block each other, and a log that is stuck and holds nobody else up.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use ringmq_io::{
    Clock as _, Shares, Spawn as _,
    sim::{Fault, FaultRule, OperationKind, Sim, SimRuntime},
};
use ringmq_remoting::{
    codes::{request, response},
    encode,
    frame::Serialization,
};

use super::{
    Client,
    cluster::{Broker, QUEUES, TOPIC, clients, on_all},
};
use crate::shard::CONTROL;

const STALL: Duration = Duration::from_secs(20);
/// A moment of a broker that nothing holds up.
const SOON: Duration = Duration::from_millis(500);

/// Sends, pulls, commits and makes topics, one after the other; true when each was answered.
async fn work(runtime: &SimRuntime, number: usize, rounds: usize) {
    let mut client = Client::connect(runtime).await;
    for round in 0..rounds {
        let queue = ((number + round) % QUEUES as usize) as i32;
        let body = format!("{number} {round}").repeat(40);
        let sent = client.send_to(TOPIC, queue, false, "", body.as_bytes()).await;
        assert!([response::SUCCESS, response::SYSTEM_BUSY].contains(&sent.code), "{}", sent.remark);
        let committed = client.commit(TOPIC, "group", queue, round as i64).await;
        let known = [response::SUCCESS, response::SYSTEM_BUSY];
        assert!(known.contains(&committed.code), "{}", committed.remark);
        client.bodies(TOPIC, queue, round as i64).await;
        if round % 10 == 0 {
            let made = client.make_topic(&format!("made-{number}-{round}")).await;
            assert!(known.contains(&made.code), "{}", made.remark);
        }
    }
}

/// Changes, requests and replies at once through lanes of one message. A lane that waits for the
/// other never ends.
#[test]
fn every_request_is_answered_through_lanes_of_one_message() {
    on_all(4, |shards, seed| {
        let sim = Sim::new(seed);
        sim.set_time_limit(Duration::from_secs(120));
        sim.run(async |runtime| {
            let broker = Broker::start_with(&runtime, shards, &[], |settings| {
                settings.sizes.lane_messages = 1;
                settings.sizes.backlog_messages_max = 3;
                settings.sizes.batch_bytes_max = 2000;
            });
            let mut clients = clients(&runtime, shards).await;
            assert_eq!(clients[0].make_topic(TOPIC).await.code, response::SUCCESS);
            let running = Rc::new(Cell::new(0));
            for number in 0..4 * shards {
                running.set(running.get() + 1);
                let (own, running) = (runtime.clone(), running.clone());
                runtime.spawn(Shares::Foreground, "worker", async move {
                    work(&own, number, 40).await;
                    running.set(running.get() - 1);
                });
            }
            while running.get() > 0 {
                runtime.sleep(Duration::from_millis(5)).await;
            }
            runtime.sleep(Duration::from_millis(100)).await;
            for shard in &*broker.shards.borrow() {
                assert!(!shard.router.is_stalled(), "shard {} has not caught up", shard.id.0);
            }
        });
    });
}

/// A broker of two shards with four logs, of which the log of one queue stands still, with more
/// sends on their way to it than it takes. Calls `test` with a connection on each shard, that
/// queue, and the one whose log lives on the same shard.
fn beside_a_log_that_stands_still(
    seed: u64,
    fast_failure: &str,
    test: impl AsyncFnOnce(&SimRuntime, &Broker, Vec<Client>, i32, i32),
) {
    let sim = Sim::new(seed);
    sim.run(async |runtime| {
        let keys = [("logs", "4"), ("brokerFastFailureEnable", fast_failure)];
        let broker = Broker::start_with(&runtime, 2, &keys, |settings| {
            settings.backlog_bytes_max = 128 << 10
        });
        let mut clients = clients(&runtime, 2).await;
        assert_eq!(clients[0].make_topic(TOPIC).await.code, response::SUCCESS);
        for queue in 0..QUEUES {
            let sent = clients[0].send_to(TOPIC, queue, false, "", b"before").await;
            assert_eq!(sent.code, response::SUCCESS, "{}", sent.remark);
        }
        runtime.sleep(Duration::from_secs(2)).await;
        let topic = broker.shard(0).topic(TOPIC).expect("made");
        let (stuck, healthy) = ((seed % 4) as i32, ((seed + 2) % 4) as i32);
        let log = topic.log(stuck, 4);
        let owner = broker.shard(0).queues.owner(&topic, stuck);
        assert_eq!(broker.shard(0).queues.owner(&topic, healthy), owner);
        let stall = FaultRule::every(Some(OperationKind::Write), Fault::Stall(STALL)).times(1);
        sim.disk().add_fault(stall.where_path_contains(&format!("log-{:03}", log.get())));
        test(&runtime, &broker, clients, stuck, healthy).await;
    });
}

/// Sends of 16 KiB to a queue from connections of all shards; their codes as they come.
fn flood(runtime: &SimRuntime, queue: i32, count: usize) -> Rc<RefCell<Vec<(i32, String)>>> {
    let answers = Rc::new(RefCell::new(Vec::new()));
    for _ in 0..count {
        let (own, told) = (runtime.clone(), answers.clone());
        runtime.spawn(Shares::Foreground, "flood", async move {
            let mut client = Client::connect(&own).await;
            let answer = client.send_to(TOPIC, queue, false, "", &[7; 16 << 10]).await;
            told.borrow_mut().push((answer.code, answer.remark));
        });
    }
    answers
}

/// Failed at 47eced1: the only reader of the request lane waited for the log's room.
#[test]
fn a_log_that_stands_still_does_not_hold_up_the_other_logs_of_its_shard() {
    for seed in 0..8 {
        beside_a_log_that_stands_still(
            seed,
            "false",
            async |runtime, _, clients, stuck, healthy| {
                let answers = flood(runtime, stuck, 24);
                runtime.sleep(SOON).await;
                let began = runtime.monotonic();
                let mut all = clients;
                all.push(Client::connect(runtime).await);
                all.push(Client::connect(runtime).await);
                for client in &mut all {
                    let sent = client.send_to(TOPIC, healthy, false, "", b"beside").await;
                    assert_eq!(sent.code, response::SUCCESS, "{}", sent.remark);
                    let (_, bodies) = client.bodies(TOPIC, healthy, 0).await;
                    assert_eq!(bodies[0], b"before");
                    let committed = client.commit(TOPIC, "group", stuck, 1).await;
                    assert_eq!(committed.code, response::SUCCESS);
                    assert_eq!(client.end_of(TOPIC, healthy).await, bodies.len() as i64);
                    assert!(client.runtime_value("putTps").await.is_some());
                }
                let took = runtime.monotonic() - began;
                assert!(took < SOON, "seed {seed}: {took:?}");
                assert!(answers.borrow().len() < 24, "the log does not stand still");
                runtime.sleep(STALL * 2).await;
                assert_eq!(answers.borrow().len(), 24, "all are answered");
                let stored = answers.borrow().iter().filter(|answer| answer.0 == 0).count();
                assert_eq!(all[0].end_of(TOPIC, stuck).await, 1 + stored as i64);
            },
        );
    }
}

/// What waits aside is bounded by `appendQueueBytesMax`; what is beyond it hears so at once.
#[test]
fn sends_beyond_what_may_wait_for_a_log_are_refused_at_once() {
    for seed in 0..4 {
        beside_a_log_that_stands_still(
            seed,
            "false",
            async |runtime, broker, mut clients, stuck, _| {
                let answers = flood(runtime, stuck, 80);
                runtime.sleep(SOON).await;
                let limit = 128 << 10;
                for shard in &*broker.shards.borrow() {
                    let bytes = shard.waiting_sends.bytes();
                    assert!(bytes <= limit, "seed {seed}: {bytes} bytes wait");
                }
                let refused = answers.borrow().clone();
                assert!(refused.len() > 10, "seed {seed}: {} of 80 are refused", refused.len());
                for (code, remark) in &refused {
                    assert_eq!(*code, response::SYSTEM_BUSY, "{remark}");
                    let says = remark.contains("the limit is 131072 (key appendQueueBytesMax)");
                    assert!(says, "{remark}");
                }
                runtime.sleep(STALL * 2).await;
                assert_eq!(answers.borrow().len(), 80, "all are answered");
                let stored = answers.borrow().iter().filter(|answer| answer.0 == 0).count();
                assert_eq!(clients[0].end_of(TOPIC, stuck).await, 1 + stored as i64);
                for shard in &*broker.shards.borrow() {
                    assert_eq!(shard.waiting_sends.bytes(), 0);
                }
            },
        );
    }
}

/// Those that wait aside have no more patience than those on the shard of their log.
#[test]
fn sends_that_wait_aside_for_too_long_are_refused() {
    beside_a_log_that_stands_still(1, "true", async |runtime, _, mut clients, stuck, _| {
        let answers = flood(runtime, stuck, 14);
        runtime.sleep(Duration::from_secs(2)).await;
        let refused = answers.borrow().clone();
        assert!(!refused.is_empty());
        for (code, remark) in &refused {
            assert_eq!(*code, response::SYSTEM_BUSY, "{remark}");
            assert!(remark.contains("TIMEOUT_CLEAN_QUEUE"), "{remark}");
        }
        runtime.sleep(STALL * 2).await;
        assert_eq!(answers.borrow().len(), 14, "all are answered");
        let stored = answers.borrow().iter().filter(|answer| answer.0 == 0).count();
        assert_eq!(clients[0].end_of(TOPIC, stuck).await, 1 + stored as i64);
    });
}

/// Requests of a connection that make groups, of 2 KiB each; the codes of their answers as they
/// come.
fn make_groups(runtime: &SimRuntime, number: usize, count: usize) -> Rc<RefCell<Vec<i32>>> {
    let answers = Rc::new(RefCell::new(Vec::new()));
    let (own, told) = (runtime.clone(), answers.clone());
    runtime.spawn(Shares::Foreground, "greedy", async move {
        let client = Client::connect(&own).await;
        let mut frames = Vec::new();
        for group in 0..count {
            let unknown = "x".repeat(2048);
            let body = format!(r#"{{"groupName":"g{number}-{group}","unknown":"{unknown}"}}"#);
            let (json, code) = (Serialization::Json, request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP);
            let id = group as i32 + 1;
            encode::request_values(&mut frames, json, code, id, false, &[], body.as_bytes())
                .expect("fits");
        }
        let receive = async {
            for _ in 0..count {
                let code = client.receive().await.code;
                told.borrow_mut().push(code);
            }
        };
        futures_lite::future::zip(client.write_open(&frames), receive).await;
    });
    answers
}

/// Without the share of a connection there is no room left for others.
#[test]
fn requests_that_wait_are_bounded_in_bytes_and_no_connection_has_all_of_them() {
    let limit = 256 << 10;
    on_all(4, |shards, seed| {
        let sim = Sim::new(seed);
        sim.run(async |runtime| {
            let broker = Broker::start_with(&runtime, shards, &[], |settings| {
                settings.sizes.lane_bytes_max = limit;
            });
            let mut clients = clients(&runtime, shards).await;
            assert_eq!(clients[0].make_topic(TOPIC).await.code, response::SUCCESS);
            runtime.sleep(Duration::from_secs(2)).await;
            let stall = FaultRule::every(Some(OperationKind::Write), Fault::Stall(STALL)).times(1);
            sim.disk().add_fault(stall.where_path_contains("meta"));
            let greedy: Vec<_> = (0..4).map(|own| make_groups(&runtime, own, 200)).collect();
            runtime.sleep(SOON).await;
            let room = broker.shard(0).router.room_of(CONTROL);
            assert!((limit / 2..limit * 3 / 4).contains(&room), "seed {seed}: room for {room}");
            let began = runtime.monotonic();
            for client in &mut clients {
                assert!(client.runtime_value("putTps").await.is_some());
                let committed = client.commit(TOPIC, "TOOLS_CONSUMER", 0, 1).await;
                assert_eq!(committed.code, response::SUCCESS, "{}", committed.remark);
            }
            let took = runtime.monotonic() - began;
            assert!(took < SOON, "seed {seed}: {took:?}");
            runtime.sleep(STALL * 3).await;
            for answers in greedy {
                assert_eq!(*answers.borrow(), [response::SUCCESS; 200], "seed {seed}");
            }
            assert_eq!(broker.shard(0).router.room_of(CONTROL), limit);
        });
    });
}
