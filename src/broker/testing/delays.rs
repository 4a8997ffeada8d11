//! Delayed messages through kills: each comes once, in the order in which it was sent.

use std::time::Duration;

use ringmq_io::{
    Clock as _,
    sim::{Fault, Sim},
};
use ringmq_remoting::codes::response;

use crate::testing::{
    Client,
    cluster::{Broker, QUEUES, TOPIC, after_a_kill, clients, on_all, on_all_heard},
    metadata::fill_metadata,
};

const MESSAGES: u32 = 600;

/// Sends numbered messages of the first level to all queues in turn, in one write.
async fn send_delayed(client: &mut Client) {
    for number in 0..MESSAGES {
        let queue = (number % QUEUES as u32) as i32;
        let body = format!("{number}");
        let sent = client.send_to(TOPIC, queue, false, "DELAY\u{1}1\u{2}", body.as_bytes()).await;
        assert_eq!(sent.code, response::SUCCESS, "{}", sent.remark);
    }
}

/// The numbers that each queue has, in its order.
async fn numbers(client: &mut Client) -> Vec<Vec<u32>> {
    let mut queues = Vec::new();
    for queue in 0..QUEUES {
        let mut numbers = Vec::new();
        loop {
            let (code, bodies) = client.bodies(TOPIC, queue, numbers.len() as i64).await;
            if code != response::SUCCESS || bodies.is_empty() {
                break;
            }
            let parse = |body: &Vec<u8>| -> u32 {
                std::str::from_utf8(body).expect("text").parse().expect("a number")
            };
            numbers.extend(bodies.iter().map(parse));
        }
        queues.push(numbers);
    }
    queues
}

/// All that was sent, as each queue must have it.
fn expected() -> Vec<Vec<u32>> {
    (0..QUEUES as u32).map(|queue| (queue..MESSAGES).step_by(QUEUES as usize).collect()).collect()
}

#[test]
fn levels_are_delivered_once_and_in_order_through_a_kill_in_mid_delivery() {
    on_all(6, |shards, seed| {
        let sim = Sim::new(seed);
        let delivered = sim.run(async |runtime| {
            let broker = Broker::start(&runtime, shards, &[]);
            let client = &mut clients(&runtime, shards).await[0];
            client.make_topic(TOPIC).await;
            send_delayed(client).await;
            if seed % 2 == 1 {
                // How far deliveries are does not become durable.
                fill_metadata(&sim, &broker, Fault::NoSpace).await;
            }
            while client.stored(TOPIC).await < Some(100 + 60 * seed as i64) {
                runtime.sleep(Duration::from_micros(300)).await;
            }
            client.stored(TOPIC).await.unwrap_or(0)
        });
        println!("killed after {delivered} deliveries");
        after_a_kill(&sim, async |runtime| {
            Broker::start(&runtime, shards, &[]);
            let client = &mut clients(&runtime, shards).await[0];
            runtime.sleep(Duration::from_secs(4)).await;
            assert_eq!(numbers(client).await, expected());
        });
    });
}

/// What is in the queues 0 to 2, which have a message of the level after their number each.
async fn levels_that_came(client: &mut Client) -> Vec<i32> {
    let mut came = Vec::new();
    for queue in 0..3 {
        let (_, bodies) = client.bodies(TOPIC, queue, 0).await;
        assert!(bodies.len() <= 1, "twice");
        came.extend(bodies.iter().map(|_| queue + 1));
    }
    came
}

#[test]
fn messages_keep_their_time_when_levels_change_unless_the_new_delay_is_shorter() {
    on_all(1, |shards, seed| {
        let sim = Sim::new(seed);
        sim.run(async |runtime| {
            Broker::start(&runtime, shards, &[("messageDelayLevel", "4s 20s 20s")]);
            let client = &mut clients(&runtime, shards).await[0];
            client.make_topic(TOPIC).await;
            for level in 1..=3 {
                let delay = format!("DELAY\u{1}{level}\u{2}");
                let sent = client.send_to(TOPIC, level - 1, false, &delay, b"later").await;
                assert_eq!(sent.code, response::SUCCESS, "{}", sent.remark);
            }
        });
        let changed = Sim::with_disk(seed + 100, &sim.disk().kill(seed));
        changed.run(async |runtime| {
            Broker::start(&runtime, shards, &[("messageDelayLevel", "30s 2s")]);
            let client = &mut clients(&runtime, shards).await[0];
            runtime.sleep(Duration::from_secs(1)).await;
            assert_eq!(levels_that_came(client).await, [2], "its time is further away");
            runtime.sleep(Duration::from_secs(5)).await;
            assert_eq!(levels_that_came(client).await, [1, 2], "its time is kept");
            runtime.sleep(Duration::from_secs(30)).await;
            assert_eq!(levels_that_came(client).await, [1, 2], "the third level is gone");
        });
        after_a_kill(&changed, async |runtime| {
            Broker::start(&runtime, shards, &[("messageDelayLevel", "30s 2s 1s")]);
            let client = &mut clients(&runtime, shards).await[0];
            runtime.sleep(Duration::from_secs(1)).await;
            assert_eq!(levels_that_came(client).await, [1, 2, 3], "it is there again");
        });
    });
}

/// Clients bring that about. Before, each of them was an ERROR.
#[test]
fn messages_that_wait_for_their_time_when_their_topic_is_deleted_are_dropped_and_no_error() {
    const OF_EACH: i32 = 20;
    on_all_heard(2, |shards, seed, complaints| {
        Sim::new(seed).run(async |runtime| {
            Broker::start(&runtime, shards, &[]);
            let client = &mut clients(&runtime, shards).await[0];
            client.make_topic(TOPIC).await;
            for number in 0..OF_EACH {
                for time in ["DELAY\u{1}1\u{2}", "TIMER_DELAY_MS\u{1}1500\u{2}"] {
                    let sent = client.send_to(TOPIC, number % QUEUES, false, time, b"late").await;
                    assert_eq!(sent.code, response::SUCCESS, "{}", sent.remark);
                }
            }
            let deleted = client.delete_topic(TOPIC).await;
            assert_eq!(deleted.code, response::SUCCESS, "{}", deleted.remark);
            runtime.sleep(Duration::from_secs(4)).await;
            let dropped = client.runtime_value("scheduleMessagePassedOver").await;
            assert_eq!(dropped, Some((2 * OF_EACH).to_string()));
        });
        let said = complaints.take();
        assert!(said.is_empty(), "{said:?}");
    });
}
