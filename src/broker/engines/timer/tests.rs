//! Messages with a time of their own, under a whole broker: in order, once, never early, through
//! kills and jumps of the clock.

use std::time::Duration;

use ringmq_base::record::Record;
use ringmq_io::{
    Clock as _,
    sim::{Fault, Sim, SimRuntime},
};
use ringmq_remoting::{
    batch::{self, BatchMessage},
    codes::{request, response},
};
use ringmq_test_client::Pull;

use crate::settings::BrokerSettings;
use crate::testing::{
    Client,
    cluster::{Broker, QUEUES, TOPIC, after_a_kill, clients, on_all},
    damage,
    metadata::fill_metadata,
};

/// A message of the tests: which one, and when it was to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Sent {
    due_ms: i64,
    number: u32,
}

/// Sends a message to a queue that is due at that time, and gives its handle.
async fn send(client: &mut Client, queue: i32, sent: Sent, more: &str) -> Option<String> {
    let Sent { due_ms, number } = sent;
    let properties = format!("TIMER_DELIVER_MS\u{1}{due_ms}\u{2}UNIQ_KEY\u{1}{number}\u{2}{more}");
    let body = format!("{number} {due_ms}");
    let answer = client.send_to(TOPIC, queue, false, &properties, body.as_bytes()).await;
    assert_eq!(answer.code, response::SUCCESS, "{}", answer.remark);
    answer.fields.get("recallHandle").cloned()
}

/// What a queue has, in its order; none of it came early.
async fn delivered(client: &mut Client, queue: i32) -> Vec<Sent> {
    let mut all = Vec::new();
    loop {
        let offset = all.len() as i64;
        let (group, wait) = ("readers", Duration::ZERO);
        let pull = Pull { group, topic: TOPIC, queue, offset, messages_max: 64, wait };
        let answer = client.call_values(request::PULL_MESSAGE, &pull.fields(), b"").await;
        let mut rest = answer.body.as_slice();
        if rest.is_empty() {
            return all;
        }
        while !rest.is_empty() {
            let record = Record::decode(rest).expect("a record");
            let text = std::str::from_utf8(record.body).expect("text");
            let (number, due_ms) = text.split_once(' ').expect("both");
            let number = number.parse().expect("a number");
            let due_ms = due_ms.parse().expect("a time");
            assert!(record.store_timestamp >= due_ms, "{number} is early: {due_ms}");
            all.push(Sent { due_ms, number });
            rest = &rest[record.size..];
        }
    }
}

async fn broker(runtime: &SimRuntime, shards: usize, keys: &[(&str, &str)]) -> (Broker, Client) {
    let broker = Broker::start(runtime, shards, keys);
    let mut client = clients(runtime, shards).await.remove(0);
    client.make_topic(TOPIC).await;
    (broker, client)
}

#[test]
fn messages_come_once_in_the_order_of_their_times_through_a_kill() {
    const MESSAGES: u32 = 500;
    on_all(4, |shards, seed| {
        let sim = Sim::new(seed);
        let mut sent = vec![Vec::new(); QUEUES as usize];
        let (done, first) = sim.run(async |runtime| {
            let (broker, mut client) = broker(&runtime, shards, &[]).await;
            let start = runtime.now_ms();
            for number in 0..MESSAGES {
                let spread = i64::from(number * 7919 % 400) * i64::from(seed as u32 % 3);
                let message = Sent { due_ms: start + 3000 + spread, number };
                let queue = (number % 4) as i32;
                send(&mut client, queue, message, "").await;
                sent[queue as usize].push(message);
            }
            if seed % 2 == 1 {
                // How far deliveries are does not become durable.
                fill_metadata(&sim, &broker, Fault::NoSpace).await;
            }
            while client.stored(TOPIC).await < Some(80 + 70 * seed as i64) {
                runtime.sleep(Duration::from_micros(500)).await;
            }
            (client.stored(TOPIC).await, start)
        });
        println!("killed after {done:?} deliveries since {first}");
        after_a_kill(&sim, async |runtime| {
            let (_broker, mut client) = broker(&runtime, shards, &[]).await;
            runtime.sleep(Duration::from_secs(6)).await;
            for (queue, mut sent) in (0..).zip(sent) {
                // Equal times in the order in which they were sent.
                sent.sort_by_key(|message| message.due_ms);
                assert_eq!(delivered(&mut client, queue).await, sent);
            }
            let passed_over = client.runtime_value("scheduleMessagePassedOver").await;
            assert_eq!(passed_over.as_deref(), Some("0"));
        });
    });
}

#[test]
fn cancelled_messages_never_come_also_over_a_kill() {
    on_all(2, |shards, seed| {
        let sim = Sim::new(seed);
        let keys = [("recallMessageEnable", "true")];
        sim.run(async |runtime| {
            let (_broker, mut client) = broker(&runtime, shards, &keys).await;
            let due_ms = runtime.now_ms() + 5300;
            for number in 0..40 {
                let message = Sent { due_ms, number };
                let handle = send(&mut client, (number % 4) as i32, message, "").await;
                let handle = handle.expect("a handle");
                match number % 4 {
                    0 => {
                        let fields = [("topic", TOPIC), ("recallHandle", handle.as_str())];
                        let answer = client.call(request::RECALL_MESSAGE, &fields, b"").await;
                        assert_eq!(answer.code, response::SUCCESS, "{}", answer.remark);
                        assert_eq!(answer.fields["msgId"], number.to_string());
                    }
                    1 => {
                        delete(&mut client, message).await;
                    }
                    _ => {}
                }
            }
            if seed == 1 {
                // Deletions were read, messages not delivered.
                runtime.sleep(Duration::from_millis(5100)).await;
            }
        });
        after_a_kill(&sim, async |runtime| {
            let (_broker, mut client) = broker(&runtime, shards, &keys).await;
            runtime.sleep(Duration::from_secs(12)).await;
            let mut numbers = Vec::new();
            for queue in 0..QUEUES {
                numbers.extend(delivered(&mut client, queue).await.iter().map(|sent| sent.number));
            }
            numbers.sort_unstable();
            let expected: Vec<_> = (0..40).filter(|number| number % 4 > 1).collect();
            assert_eq!(numbers, expected);
            assert_eq!(client.runtime_value("timerCongestNum").await.as_deref(), Some("0"));
        });
    });
}

/// A deletion of a message, to another queue.
async fn delete(client: &mut Client, Sent { due_ms, number }: Sent) {
    let deletion =
        format!("TIMER_DELIVER_MS\u{1}{due_ms}\u{2}TIMER_DEL_UNIQKEY\u{1}{TOPIC}+{number}\u{2}");
    let answer = client.send_to(TOPIC, 3, false, &deletion, b"x").await;
    assert_eq!(answer.code, response::SUCCESS, "{}", answer.remark);
}

#[test]
fn a_deletion_counts_that_comes_while_deliveries_stand_still() {
    // One more than are delivered at most before it is durable how far that is.
    const MESSAGES: u32 = 4097;
    let sim = Sim::new(1);
    sim.run(async |runtime| {
        let (broker, mut client) = broker(&runtime, 1, &[]).await;
        let due_ms = runtime.now_ms() + 20_000;
        for number in 0..MESSAGES {
            send(&mut client, 0, Sent { due_ms, number }, "").await;
        }
        let last = Sent { due_ms: due_ms + 4000, number: MESSAGES };
        send(&mut client, 0, last, "").await;
        fill_metadata(&sim, &broker, Fault::NoSpace).await;
        sleep_until(&runtime, due_ms + 3000).await;
        assert!(client.stored(TOPIC).await < Some(i64::from(MESSAGES)), "they stand still");
        delete(&mut client, last).await;
        sleep_until(&runtime, last.due_ms + 1000).await;
        sim.disk().clear_faults();
        runtime.sleep(Duration::from_secs(5)).await;
        let delivered = delivered(&mut client, 0).await;
        assert_eq!(delivered.last(), Some(&Sent { due_ms, number: MESSAGES - 1 }));
    });
}

#[test]
fn a_deletion_counts_when_deliveries_are_far_behind() {
    // More than are delivered at a time, in one slot.
    const MESSAGES: u32 = 1500;
    let sim = Sim::new(2);
    sim.run(async |runtime| {
        let (_broker, mut client) = broker(&runtime, 1, &[]).await;
        let slot = (runtime.now_ms() + 60_000) / 1000 * 1000;
        for number in 0..MESSAGES {
            send(&mut client, 0, Sent { due_ms: slot + 500, number }, "").await;
        }
        let last = Sent { due_ms: slot + 900, number: MESSAGES };
        send(&mut client, 0, last, "").await;
        delete(&mut client, last).await;
        sim.jump_wall_clock(120_000);
        runtime.sleep(Duration::from_secs(3)).await;
        assert_eq!(client.stored(TOPIC).await, Some(i64::from(MESSAGES)));
    });
}

#[test]
fn a_deletion_is_remembered_over_a_kill_also_when_nothing_waits_any_more() {
    on_all(2, |shards, seed| {
        let sim = Sim::new(seed);
        sim.run(async |runtime| {
            let (_broker, mut client) = broker(&runtime, shards, &[]).await;
            let slot = (runtime.now_ms() + 5000) / 1000 * 1000;
            let cancelled = Sent { due_ms: slot + 1000, number: 1 };
            delete(&mut client, cancelled).await;
            // The deletion is settled, and that is durable.
            sleep_until(&runtime, slot + 950).await;
            send(&mut client, 0, cancelled, "").await;
        });
        after_a_kill(&sim, async |runtime| {
            let (_broker, mut client) = broker(&runtime, shards, &[]).await;
            runtime.sleep(Duration::from_secs(10)).await;
            assert_eq!(client.stored(TOPIC).await, Some(0), "a cancelled message came");
        });
    });
}

async fn sleep_until(runtime: &SimRuntime, until_ms: i64) {
    let wait = u64::try_from(until_ms - runtime.now_ms()).expect("it is to come");
    runtime.sleep(Duration::from_millis(wait)).await;
}

/// The rule: a message comes when the wall clock shows its time, within a second of a jump.
#[test]
fn jumps_of_the_clock_bring_messages_forward_and_hold_them_back() {
    on_all(1, |shards, seed| {
        let sim = Sim::new(seed);
        sim.run(async |runtime| {
            let (_broker, mut client) = broker(&runtime, shards, &[]).await;
            let due_ms = runtime.now_ms() + 3_600_000;
            send(&mut client, 0, Sent { due_ms, number: 0 }, "").await;
            runtime.sleep(Duration::from_secs(2)).await;
            assert_eq!(client.stored(TOPIC).await, Some(0));
            sim.jump_wall_clock(3_600_000);
            runtime.sleep(Duration::from_millis(1500)).await;
            assert_eq!(client.stored(TOPIC).await, Some(1), "the jump brings it");
            let due_ms = runtime.now_ms() + 3000;
            send(&mut client, 0, Sent { due_ms, number: 1 }, "").await;
            sim.jump_wall_clock(-10_000);
            runtime.sleep(Duration::from_secs(5)).await;
            assert_eq!(client.stored(TOPIC).await, Some(1), "the jump holds it back");
            runtime.sleep(Duration::from_secs(9)).await;
            assert_eq!(delivered(&mut client, 0).await.len(), 2);
        });
    });
}

/// A log that has to grow by more than it grows ahead takes several steps for a message.
#[test]
fn messages_that_a_log_has_no_space_for_yet_come_as_soon_as_it_has_grown() {
    const MESSAGES: u32 = 10;
    on_all(2, |shards, seed| {
        let sim = Sim::new(seed);
        sim.run(async |runtime| {
            let small = |settings: &mut BrokerSettings| settings.zero_ahead_bytes = 8 << 10;
            let _broker = Broker::start_with(&runtime, shards, &[], small);
            let mut client = clients(&runtime, shards).await.remove(0);
            client.make_topic(TOPIC).await;
            let due_ms = runtime.now_ms() + 2000;
            let large = format!("p\u{1}{}\u{2}", "x".repeat(30_000));
            for number in 0..MESSAGES {
                send(&mut client, 0, Sent { due_ms, number }, &large).await;
            }
            sleep_until(&runtime, due_ms + 500).await;
            assert_eq!(delivered(&mut client, 0).await.len(), MESSAGES as usize);
        });
    });
}

#[test]
fn what_cannot_be_kept_back_is_refused() {
    let sim = Sim::new(1);
    sim.run(async |runtime| {
        let sizes = [("timerMemoryBytesMax", "1048576"), ("brokerName", "sim")];
        let broker = Broker::start_with(&runtime, 1, &sizes, |settings| {
            settings.config.timer_memory_bytes_max = 3000;
        });
        let mut client = Client::connect(&runtime).await;
        client.make_topic(TOPIC).await;
        let mut taken = 0;
        let refused = loop {
            let later = "TIMER_DELAY_SEC\u{1}60\u{2}";
            let answer = client.send_to(TOPIC, 0, false, later, b"x").await;
            if answer.code != response::SUCCESS {
                break answer;
            }
            taken += 1;
            assert!(taken < 1000, "timers are not bounded");
        };
        assert!(taken > 20, "{taken}");
        assert_eq!(refused.code, response::SYSTEM_ERROR);
        assert!(refused.remark.contains("flow control"), "{}", refused.remark);
        let limit = " (key timerMemoryBytesMax, shared by the logs); send again ";
        assert!(refused.remark.contains(limit), "{}", refused.remark);
        let mut body = Vec::new();
        let properties = b"TIMER_DELAY_SEC\x015\x02";
        batch::append(&mut body, &BatchMessage { flag: 0, body: b"x", properties }).expect("fits");
        let batch = client.send_to(TOPIC, 0, true, "", &body).await;
        assert_eq!(batch.code, response::MESSAGE_ILLEGAL, "{}", batch.remark);
        let sent = client.send_to(TOPIC, 0, false, "KEYS\u{1}DELAY\u{2}", b"now").await;
        assert_eq!(sent.code, response::SUCCESS, "{}", sent.remark);
        assert_eq!(client.stored(TOPIC).await, Some(1), "only what asks for no delay");
        drop(broker);
    });
}

#[test]
fn a_message_waits_longer_than_its_log_is_kept() {
    on_all(1, |shards, seed| {
        let sim = Sim::new(seed);
        sim.run(async |runtime| {
            let keys = [("retentionBytes", "4194304")];
            let (_broker, mut client) = broker(&runtime, shards, &keys).await;
            let due_ms = runtime.now_ms() + 20_000;
            send(&mut client, 0, Sent { due_ms, number: 7 }, "").await;
            for _ in 0..200 {
                for queue in 0..QUEUES {
                    let sent = client.send_to("Other", queue, false, "", &[7; 20_000]).await;
                    assert_eq!(sent.code, response::SUCCESS, "{}", sent.remark);
                }
                runtime.sleep(Duration::from_millis(20)).await;
            }
            runtime.sleep(Duration::from_secs(20)).await;
            assert_eq!(delivered(&mut client, 0).await, [Sent { due_ms, number: 7 }]);
        });
    });
}

#[test]
fn a_damaged_message_is_passed_over_and_those_behind_it_come() {
    on_all(1, |shards, seed| {
        let sim = Sim::new(seed);
        sim.run(async |runtime| {
            let cold = [("hotTailBytes", "1048576"), ("blockCacheBytes", "1048576")];
            let (_broker, mut client) = broker(&runtime, shards, &cold).await;
            let due_ms = runtime.now_ms() + 8000;
            for number in 100..103 {
                send(&mut client, 0, Sent { due_ms, number }, "").await;
            }
            // Drives them out of the memory.
            for _ in 0..40 {
                for queue in 0..QUEUES {
                    let sent = client.send_to("Other", queue, false, "", &[7; 60_000]).await;
                    assert_eq!(sent.code, response::SUCCESS, "{}", sent.remark);
                }
            }
            damage(sim.disk(), format!("101 {due_ms}").as_bytes());
            runtime.sleep(Duration::from_secs(10)).await;
            let numbers: Vec<_> =
                delivered(&mut client, 0).await.iter().map(|sent| sent.number).collect();
            assert_eq!(numbers, [100, 102]);
            let passed_over = client.runtime_value("scheduleMessagePassedOver").await;
            assert_eq!(passed_over.as_deref(), Some("1"));
        });
    });
}
