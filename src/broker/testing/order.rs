//! Locks of queues for ordered consumption, in time.

use std::time::Duration;

use ringmq_io::{
    Clock as _,
    sim::{Fault, FaultRule, OperationKind, Sim},
};
use ringmq_remoting::{
    body::{LockBatchRequestBody, LockBatchResponseBody, MessageQueue},
    codes::{request, response},
    fastjson,
};
use ringmq_rules::meta::MetaChange;

use super::{
    Answer, Client,
    cluster::{Broker, TOPIC, after_a_kill, clients, on_all},
};

async fn ask(client: &mut Client, code: i32, id: &str, queues: std::ops::Range<i32>) -> Answer {
    let queue = |queue_id| MessageQueue::new(TOPIC, "sim", queue_id);
    let body = LockBatchRequestBody {
        consumer_group: "ordered".to_owned(),
        client_id: id.to_owned(),
        only_this_broker: false,
        mq_set: queues.map(queue).collect(),
    };
    client.call(code, &[], &fastjson::to_vec(&body)).await
}

async fn unlock(client: &mut Client, id: &str, queues: std::ops::Range<i32>) {
    let answer = ask(client, request::UNLOCK_BATCH_MQ, id, queues).await;
    assert_eq!(answer.code, response::SUCCESS, "{}", answer.remark);
}

/// The queues of the topic that the client gets, or renews.
async fn lock(client: &mut Client, id: &str, queues: std::ops::Range<i32>) -> Vec<i32> {
    let answer = ask(client, request::LOCK_BATCH_MQ, id, queues).await;
    assert_eq!(answer.code, response::SUCCESS, "{}", answer.remark);
    let locked: LockBatchResponseBody = fastjson::from_slice(&answer.body).expect("queues");
    locked.lock_ok_mq_set.into_iter().map(|queue| queue.queue_id).collect()
}

/// Before, those that were written were noted in one go.
#[test]
fn thousands_of_queues_are_locked_some_at_a_time() {
    const QUEUES: i32 = 5000;
    on_all(2, |shards, seed| {
        Sim::new(seed).run(async |runtime| {
            Broker::start(&runtime, shards, &[]);
            let mut client = Client::connect(&runtime).await;
            client.make_topic(TOPIC).await;
            let before = runtime.pauses();
            assert_eq!(lock(&mut client, "one", 0..QUEUES).await.len(), QUEUES as usize);
            // Each is taken in one turn and noted in another.
            let slices = QUEUES as u64 / 128;
            let turns = runtime.pauses() - before;
            assert!(turns >= 2 * slices, "{turns}");
        });
    });
}

#[test]
fn the_locks_of_a_client_that_is_gone_are_free_a_minute_after_it_renewed_them() {
    on_all(1, |shards, seed| {
        Sim::new(seed).run(async |runtime| {
            Broker::start(&runtime, shards, &[]);
            let mut gone = Client::connect(&runtime).await;
            let mut other = Client::connect(&runtime).await;
            gone.make_topic(TOPIC).await;
            assert_eq!(lock(&mut gone, "gone", 0..4).await, [0, 1, 2, 3]);
            runtime.sleep(Duration::from_secs(20)).await;
            assert_eq!(lock(&mut gone, "gone", 0..2).await, [0, 1]);
            drop(gone);
            // What it did not renew is free first; queues that are added are at once.
            for (seconds, wanted) in [(39, &[4, 5][..]), (2, &[2, 3, 4, 5]), (18, &[2, 3, 4, 5])] {
                runtime.sleep(Duration::from_secs(seconds)).await;
                assert_eq!(lock(&mut other, "other", 0..6).await, wanted, "{seconds}");
            }
            runtime.sleep(Duration::from_secs(2)).await;
            assert_eq!(lock(&mut other, "other", 0..6).await, [0, 1, 2, 3, 4, 5]);
        });
    });
}

/// A client goes on with its queues when the broker is gone and comes back; the first member that
/// the new process hears of takes itself for the only one, and asks for all of them.
#[test]
fn a_start_leaves_queues_to_the_clients_that_had_them() {
    on_all(2, |shards, seed| {
        let sim = Sim::new(seed);
        sim.run(async |runtime| {
            let broker = Broker::start(&runtime, shards, &[]);
            let mut clients = clients(&runtime, 2).await;
            clients[0].make_topic(TOPIC).await;
            assert_eq!(lock(&mut clients[0], "on", 0..3).await, [0, 1, 2]);
            assert_eq!(lock(&mut clients[1], "other", 0..4).await, [3]);
            unlock(&mut clients[0], "on", 2..3).await;
            unlock(&mut clients[1], "other", 0..4).await;
            if seed % 2 == 1 {
                // They are in what the metadata log is rewritten with.
                let topic = Some("x".repeat(1 << 20));
                let removal = MetaChange::OffsetsDelete { topic, group: None };
                for _ in 0..12 {
                    assert!(broker.shard(0).persist(vec![removal.clone()]).await.is_ok());
                }
                runtime.sleep(Duration::from_secs(1)).await;
            }
        });
        after_a_kill(&sim, async |runtime| {
            Broker::start(&runtime, shards, &[]);
            let mut clients = clients(&runtime, 2).await;
            assert_eq!(lock(&mut clients[1], "other", 0..4).await, [2, 3]);
            runtime.sleep(Duration::from_secs(20)).await;
            assert_eq!(lock(&mut clients[0], "on", 0..1).await, [0]);
            assert_eq!(lock(&mut clients[1], "other", 0..4).await, [2, 3]);
            // What nobody asks for again is free when its client must have given it up.
            runtime.sleep(Duration::from_secs(16)).await;
            assert_eq!(lock(&mut clients[1], "other", 0..4).await, [1, 2, 3]);
            assert_eq!(lock(&mut clients[0], "on", 0..2).await, [0]);
        });
    });
}

#[test]
fn a_wall_clock_that_is_set_gives_no_queue_to_somebody_else_and_keeps_none() {
    on_all(1, |shards, seed| {
        let sim = Sim::new(seed);
        sim.run(async |runtime| {
            Broker::start(&runtime, shards, &[]);
            let mut clients = clients(&runtime, 2).await;
            clients[0].make_topic(TOPIC).await;
            assert_eq!(lock(&mut clients[0], "on", 0..2).await, [0, 1]);
            sim.jump_wall_clock(3_600_000);
            assert_eq!(lock(&mut clients[1], "other", 0..3).await, [2]);
            sim.jump_wall_clock(-7_200_000);
            runtime.sleep(Duration::from_secs(61)).await;
            assert_eq!(lock(&mut clients[1], "other", 0..3).await, [0, 1, 2]);
        });
    });
}

/// What cannot be written is refused, and free; what a client has it keeps.
#[test]
fn a_lock_that_a_start_would_not_know_of_is_refused() {
    on_all(1, |shards, seed| {
        let sim = Sim::new(seed);
        sim.run(async |runtime| {
            Broker::start(&runtime, shards, &[]);
            let mut clients = clients(&runtime, 2).await;
            clients[0].make_topic(TOPIC).await;
            assert_eq!(lock(&mut clients[0], "on", 0..2).await, [0, 1]);
            for kind in [OperationKind::Create, OperationKind::Open, OperationKind::Write] {
                let broken = FaultRule::every(Some(kind), Fault::InputOutput);
                sim.disk().add_fault(broken.where_path_contains("meta/"));
            }
            let refused = ask(&mut clients[1], request::LOCK_BATCH_MQ, "other", 2..4).await;
            assert_eq!(refused.code, response::SERVICE_NOT_AVAILABLE, "{}", refused.remark);
            let refused = ask(&mut clients[0], request::LOCK_BATCH_MQ, "on", 0..4).await;
            assert_eq!(refused.code, response::SERVICE_NOT_AVAILABLE, "{}", refused.remark);
            assert_eq!(lock(&mut clients[0], "on", 0..2).await, [0, 1]);
            unlock(&mut clients[0], "on", 1..2).await;
            assert_eq!(lock(&mut clients[1], "other", 0..1).await, [0; 0]);
        });
    });
}
