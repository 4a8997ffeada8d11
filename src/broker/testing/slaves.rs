//! What a slave does without its master's streams: it serves what it has and changes nothing.

use std::{sync::Arc, time::Duration};

use ringmq_io::{
    Clock as _,
    sim::{Sim, SimRuntime},
};
use ringmq_remoting::{
    body::HaRuntimeInfo,
    codes::{property::DELAY_TIME_LEVEL, pull_flag, request, response},
    encode::Value,
    fastjson,
};
use ringmq_test_client::Pull;

use super::{
    Answer, Client,
    cluster::{Broker, QUEUES, TOPIC, after_a_kill, clients, on_all},
};
use crate::{messages::Change, shard::role::Role};

const GROUP: &str = "readers";
/// Of each queue.
const MESSAGES: i64 = 3;

/// A store with messages, one of them delayed, and an offset of a group.
fn store(seed: u64, shards: usize) -> Sim {
    let sim = Sim::new(seed);
    sim.run(async |runtime| {
        Broker::start(&runtime, shards, &[]);
        let mut client = Client::connect(&runtime).await;
        client.make_topic(TOPIC).await;
        for queue in 0..QUEUES {
            for number in 0..MESSAGES {
                let body = format!("{queue}-{number}");
                let sent = client.send_to(TOPIC, queue, false, "", body.as_bytes()).await;
                assert_eq!(sent.code, response::SUCCESS, "{}", sent.remark);
            }
        }
        let level = format!("{DELAY_TIME_LEVEL}\u{1}3");
        let sent = client.send_to(TOPIC, 0, false, &level, b"late").await;
        assert_eq!(sent.code, response::SUCCESS, "{}", sent.remark);
        // The pull makes the group.
        assert_eq!(client.bodies(TOPIC, 0, 0).await.0, response::SUCCESS);
        assert_eq!(client.commit(TOPIC, GROUP, 0, 2).await.code, response::SUCCESS);
        runtime.sleep(Duration::from_secs(6)).await;
    });
    sim
}

fn slave(runtime: &SimRuntime, shards: usize, keys: &[(&str, &str)]) -> Broker {
    Broker::start_with(runtime, shards, keys, |settings| {
        settings.role = Role::Slave;
        settings.config.broker_id = 1;
    })
}

/// Has all shards know whether the master is heard.
fn hears(broker: &Broker, is_heard: bool) {
    for shard in &*broker.shards.borrow() {
        let now = shard.view.borrow().slave.clone().expect("a slave");
        let addresses = (None, Some("10.0.0.1:10911".into()));
        shard.apply(Change::Slave(Arc::new(now.with(addresses, is_heard))));
    }
}

async fn pull(client: &mut Client, offset: i64, flags: i32, wait: Duration) -> Answer {
    let pull = Pull { group: GROUP, topic: TOPIC, queue: 0, offset, messages_max: 32, wait };
    let fields = pull.fields().map(|(name, value)| match (name, value) {
        ("sysFlag", Value::Int(own)) => (name, Value::Int(own | i64::from(flags))),
        ("commitOffset", _) => (name, Value::Int(1)),
        other => other,
    });
    client.call_values(request::PULL_MESSAGE, &fields, b"").await
}

fn refused(answer: &Answer, code: i32, part: &str) {
    assert_eq!(answer.code, code, "{}", answer.remark);
    assert!(answer.remark.contains(part), "{part}: {}", answer.remark);
    assert!(answer.remark.contains("broker 1 of sim"), "{}", answer.remark);
}

#[test]
fn a_slave_stores_and_changes_nothing() {
    on_all(2, |shards, seed| {
        after_a_kill(&store(seed, shards), async |runtime| {
            let broker = slave(&runtime, shards, &[]);
            for client in &mut clients(&runtime, shards).await {
                let away = "messages are put to the slave";
                for (topic, batch) in [(TOPIC, false), (TOPIC, true), ("new", false)] {
                    let sent = client.send_to(topic, 0, batch, "", b"").await;
                    refused(&sent, response::SERVICE_NOT_AVAILABLE, away);
                }
                let back = [("offset", "0"), ("group", GROUP), ("delayLevel", "0")];
                let back = client.call(request::CONSUMER_SEND_MSG_BACK, &back, b"").await;
                refused(&back, response::SERVICE_NOT_AVAILABLE, away);
                let ended = client.call(request::END_TRANSACTION, &[], b"").await;
                refused(&ended, response::SLAVE_NOT_AVAILABLE, "END_TRANSACTION is done by its");
                let forbidden = "Can't modify topic or subscription group from slave broker";
                refused(&client.make_topic("new").await, response::SYSTEM_ERROR, forbidden);
                refused(&client.delete_topic(TOPIC).await, response::SYSTEM_ERROR, forbidden);
                for code in [request::LOCK_BATCH_MQ, request::INVOKE_BROKER_TO_RESET_OFFSET] {
                    let answer = client.call(code, &[], b"{}").await;
                    refused(&answer, response::SYSTEM_ERROR, forbidden);
                }
                let keys = client.call(request::UPDATE_BROKER_CONFIG, &[], b"traceOn=false").await;
                refused(&keys, response::SYSTEM_ERROR, "at SIGHUP");
                hears(&broker, true);
                let sent = client.send_to(TOPIC, 0, false, "", b"").await;
                refused(&sent, response::SERVICE_NOT_AVAILABLE, "its master 10.0.0.1:10911");
                hears(&broker, false);
            }
            let mut client = Client::connect(&runtime).await;
            let new = client.call(request::GET_TOPIC_CONFIG, &[("topic", "new")], b"").await;
            assert_ne!(new.code, response::SUCCESS, "nothing is made on its first use");
            // The delay of the third level is over by far.
            runtime.sleep(Duration::from_secs(60)).await;
            for queue in 0..QUEUES {
                assert_eq!(client.range_of(TOPIC, queue).await, (0, MESSAGES), "{queue}");
            }
        });
    });
}

#[test]
fn a_slave_serves_reads_and_takes_offsets_only_for_as_long_as_it_is_alone() {
    on_all(2, |shards, seed| {
        let sim = Sim::with_disk(seed, &store(seed, shards).disk().kill(seed));
        sim.run(async |runtime| {
            let broker = slave(&runtime, shards, &[]);
            let mut client = Client::connect(&runtime).await;
            for queue in 0..QUEUES {
                let (code, bodies) = client.bodies(TOPIC, queue, 0).await;
                assert_eq!((code, bodies.len()), (response::SUCCESS, 3), "{queue}");
            }
            let beat = br#"{"clientID":"c","consumerDataSet":[{"groupName":"strangers"}]}"#;
            let mut member = Client::connect(&runtime).await;
            let mut answer = member.call(request::HEART_BEAT, &[], beat).await;
            while !answer.is_response {
                // It hears of itself.
                answer = member.receive().await;
            }
            assert_eq!(answer.code, response::SUCCESS, "{}", answer.remark);
            // A pull never commits.
            let pulled = pull(&mut client, 0, pull_flag::COMMIT_OFFSET, Duration::ZERO).await;
            assert_eq!(pulled.code, response::SUCCESS, "{}", pulled.remark);
            assert_eq!(client.committed(TOPIC, GROUP, 0).await, Some(2));
            assert_eq!(client.commit(TOPIC, GROUP, 0, 3).await.code, response::SUCCESS);
            assert_eq!(client.committed(TOPIC, GROUP, 0).await, Some(3));
            hears(&broker, true);
            let answer = client.commit(TOPIC, GROUP, 0, 1).await;
            refused(&answer, response::SYSTEM_ERROR, "are taken by the master 10.0.0.1:10911");
            assert_eq!(client.committed(TOPIC, GROUP, 0).await, Some(3));
            runtime.sleep(Duration::from_secs(30)).await;
        });
        // Its store has what came from the master.
        after_a_kill(&sim, async |runtime| {
            slave(&runtime, shards, &[]);
            let mut client = Client::connect(&runtime).await;
            assert_eq!(client.committed(TOPIC, GROUP, 0).await, Some(2));
        });
    });
}

#[test]
fn whoever_is_further_than_a_slave_is_sent_to_its_master_and_corrected_by_nobody() {
    on_all(2, |shards, seed| {
        let sim = Sim::with_disk(seed, &store(seed, shards).disk().kill(seed));
        let ask = async |runtime: &SimRuntime, client: &mut Client, flags, wait| {
            let before = runtime.monotonic();
            let answer = pull(client, MESSAGES + 5, flags, wait).await;
            (answer, runtime.monotonic() - before)
        };
        let next = |answer: &Answer| answer.fields["nextBeginOffset"].parse::<i64>();
        sim.run(async |runtime| {
            slave(&runtime, shards, &[]);
            let mut client = Client::connect(&runtime).await;
            let (answer, took) = ask(&runtime, &mut client, 0, Duration::ZERO).await;
            assert_eq!(answer.code, response::PULL_RETRY_IMMEDIATELY, "{}", answer.remark);
            assert_eq!(next(&answer), Ok(MESSAGES + 5));
            assert_eq!(answer.fields["suggestWhichBrokerId"], "0");
            assert!(took < Duration::from_millis(500), "{took:?}");
            let wait = Duration::from_secs(15);
            let (answer, took) = ask(&runtime, &mut client, 0, wait).await;
            assert_eq!(answer.code, response::PULL_RETRY_IMMEDIATELY, "{}", answer.remark);
            let about_a_second = Duration::from_millis(900)..Duration::from_millis(2_500);
            assert!(about_a_second.contains(&took), "or its client asks without end: {took:?}");
        });
        after_a_kill(&sim, async |runtime| {
            slave(&runtime, shards, &[("offsetCheckInSlave", "true")]);
            let mut client = Client::connect(&runtime).await;
            let (answer, _) = ask(&runtime, &mut client, 0, Duration::ZERO).await;
            assert_eq!(answer.code, response::PULL_OFFSET_MOVED, "{}", answer.remark);
            assert_eq!(next(&answer), Ok(MESSAGES));
        });
    });
}

#[test]
fn who_reads_what_is_long_past_is_sent_to_a_slave_where_slaves_serve_reads() {
    for (enabled, far) in [("true", "7"), ("false", "0")] {
        Sim::new(1).run(async |runtime| {
            let keys = [("slaveReadEnable", enabled), ("hotTailBytes", "1048576")];
            Broker::start(&runtime, 1, &keys);
            let mut client = Client::connect(&runtime).await;
            client.make_topic(TOPIC).await;
            let group = format!(
                r#"{{"groupName":"{GROUP}","consumeEnable":true,"retryQueueNums":1,
                "whichBrokerWhenConsumeSlowly":7}}"#
            );
            let code = request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP;
            let made = client.call(code, &[], group.as_bytes()).await;
            assert_eq!(made.code, response::SUCCESS, "{}", made.remark);
            for _ in 0..40 {
                let sent = client.send_to(TOPIC, 0, false, "", &[b'x'; 100_000]).await;
                assert_eq!(sent.code, response::SUCCESS, "{}", sent.remark);
            }
            for (offset, suggested) in [(0, far), (39, "0"), (40, "0")] {
                let answer = pull(&mut client, offset, 0, Duration::ZERO).await;
                assert_eq!(answer.fields["suggestWhichBrokerId"], suggested, "{offset}");
            }
        });
    }
}

#[test]
fn a_slave_tells_tools_what_it_is() {
    on_all(1, |shards, seed| {
        after_a_kill(&store(seed, shards), async |runtime| {
            slave(&runtime, shards, &[("haMasterAddress", "master:10912")]);
            let mut client = Client::connect(&runtime).await;
            let told = client.call(request::GET_BROKER_HA_STATUS, &[], b"").await;
            let told: HaRuntimeInfo = fastjson::from_slice(&told.body).expect("a status");
            assert!(!told.master && told.ha_client_runtime_info.max_offset > 0, "{told:?}");
            let master = told.ha_client_runtime_info.master_addr;
            assert_eq!(master.as_deref(), Some("master:10912"));
            let rows = [("brokerId", "1"), ("masterConnected", "false"), ("masterAheadBytes", "0")];
            for (row, value) in rows {
                assert_eq!(client.runtime_value(row).await.as_deref(), Some(value), "{row}");
            }
        });
    });
}
