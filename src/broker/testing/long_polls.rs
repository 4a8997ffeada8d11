//! Very many pulls that wait for one queue.

use std::{sync::Arc, time::Duration};

use futures_lite::future::zip;
use ringmq_io::{Clock as _, sim::Sim};
use ringmq_net::rounds::PIECE_BYTES;
use ringmq_remoting::{
    codes::{pull_flag, request, response},
    encode,
    frame::Serialization,
};
use ringmq_rules::{ConnectionId, groups::Group};

use super::{
    Client,
    cluster::{Broker, TOPIC, clients, on_all},
};
use crate::{
    messages::Change,
    shard::{settings::BrokerSettings, waiting_pulls::TAKE_MAX},
};

/// Starts a pull of queue 0 that waits up to a minute for a message with a tag.
async fn start_pull(client: &mut Client, tag: &str) {
    start_filtered(client, 0, ("TAG", tag)).await;
}

/// The same from an offset on, for a message that an expression of a kind lets through.
async fn start_filtered(client: &mut Client, offset: i64, (kind, expression): (&str, &str)) {
    let offset = offset.to_string();
    let flag = (pull_flag::SUBSCRIPTION | pull_flag::SUSPEND).to_string();
    let fields = [
        ("consumerGroup", "readers"),
        ("topic", TOPIC),
        ("queueId", "0"),
        ("queueOffset", offset.as_str()),
        ("maxMsgNums", "32"),
        ("sysFlag", flag.as_str()),
        ("commitOffset", "0"),
        ("suspendTimeoutMillis", "60000"),
        ("subscription", expression),
        ("subVersion", "0"),
        ("expressionType", kind),
    ];
    let (mut out, json) = (Vec::new(), Serialization::Json);
    encode::request(&mut out, json, request::PULL_MESSAGE, 7, false, &fields, b"").expect("fits");
    client.write(&out).await;
}

#[test]
fn of_very_many_pulls_those_that_want_a_message_get_it_once_and_the_others_wait_on() {
    const OF_EACH: usize = 300;
    on_all(2, |shards, seed| {
        Sim::new(seed).run(async |runtime| {
            Broker::start(&runtime, shards, &[]);
            let mut clients = clients(&runtime, shards).await;
            let topic = clients[0].make_topic(TOPIC).await;
            assert_eq!(topic.code, response::SUCCESS);
            let (mut wanting, mut others) = (Vec::new(), Vec::new());
            for number in 0..OF_EACH {
                if number % 100 == 0 {
                    wanting.push(Client::connect(&runtime).await);
                    others.push(Client::connect(&runtime).await);
                }
                // The many that nothing is for came first.
                start_pull(others.last_mut().expect("connected"), "never").await;
            }
            for number in 0..OF_EACH {
                start_pull(&mut wanting[number / 100], if number % 2 == 0 { "*" } else { "sold" })
                    .await;
            }
            runtime.sleep(Duration::from_secs(1)).await;
            let begun = runtime.monotonic();
            for _ in 0..3 {
                let sent = clients[0].send_to(TOPIC, 0, false, "TAGS\u{1}sold\u{2}", b"one").await;
                assert_eq!(sent.code, response::SUCCESS);
            }
            for client in &mut wanting {
                for _ in 0..100 {
                    assert_eq!(client.receive().await.code, response::SUCCESS);
                }
                assert!(client.is_open().await, "nothing is answered twice");
            }
            assert!(runtime.monotonic() - begun < Duration::from_secs(1));
            for client in &mut others {
                assert!(client.is_open().await, "nothing is there for them");
            }
            for client in &mut others {
                for _ in 0..100 {
                    assert_ne!(client.receive().await.code, response::SUCCESS);
                }
            }
            let waited = runtime.monotonic() - begun;
            assert!((58..62).contains(&waited.as_secs()), "for their time: {waited:?}");
        });
    });
}

/// Failed at 7bdfcd1: 200,000 pulls might wait on a shard with a filter of 16 KiB each.
#[test]
fn a_pull_that_waits_with_a_long_filter_of_its_own_takes_the_places_of_many() {
    Sim::new(1).run(async |runtime| {
        let keys = [("enablePropertyFilter", "true")];
        let many = |settings: &mut BrokerSettings| settings.sizes.waiting_pulls_max = 2000;
        let broker = Broker::start_with(&runtime, 1, &keys, many);
        let mut client = Client::connect(&runtime).await;
        assert_eq!(client.make_topic(TOPIC).await.code, response::SUCCESS);
        let long = "a=1 OR ".repeat(2000) + "a=1";
        for _ in 0..100 {
            start_filtered(&mut client, 0, ("SQL92", &long)).await;
        }
        runtime.sleep(Duration::from_secs(1)).await;
        let waiting = broker.shard(0).waiting_pulls.count();
        assert!((1..4).contains(&waiting), "{waiting} wait");
        for _ in waiting..100 {
            assert_eq!(client.receive().await.code, response::PULL_NOT_FOUND);
        }
        let mut modest = Client::connect(&runtime).await;
        for _ in 0..100 {
            start_pull(&mut modest, "*").await;
        }
        runtime.sleep(Duration::from_secs(1)).await;
        assert_eq!(broker.shard(0).waiting_pulls.count(), waiting + 100);
    });
}

/// Before, all that a connection had waiting went in one turn: up to perConnectionRequestsMax.
#[test]
fn what_a_connection_waited_for_goes_a_few_pulls_at_a_time() {
    const PULLS: usize = 2000;
    Sim::new(1).run(async |runtime| {
        let broker = Broker::start(&runtime, 1, &[]);
        let mut client = Client::connect(&runtime).await;
        let topic = client.make_topic(TOPIC).await;
        assert_eq!(topic.code, response::SUCCESS);
        for number in 0..PULLS {
            let tag = if number % 2 == 0 { "*" } else { "sold" };
            start_pull(&mut client, tag).await;
        }
        runtime.sleep(Duration::from_secs(1)).await;
        let shard = broker.shard(0);
        let waiting = &shard.waiting_pulls;
        assert_eq!(waiting.count(), PULLS);
        waiting.forget(ConnectionId { shard: 0, slot: 0, generation: 1 });
        let left = waiting.count();
        assert!(left < PULLS && left > PULLS - 100, "{left} are left after a turn");
        runtime.sleep(Duration::from_secs(1)).await;
        assert_eq!(waiting.count(), 0);
    });
}

/// Before, all pulls that waited were looked at, and answered, in one turn.
#[test]
fn pulls_of_a_group_that_may_not_consume_any_more_are_answered_a_few_at_a_time() {
    const PULLS: usize = 2000;
    for seed in 0..4 {
        Sim::new(seed).run(async |runtime| {
            let broker = Broker::start(&runtime, 1, &[]);
            let mut client = Client::connect(&runtime).await;
            let topic = client.make_topic(TOPIC).await;
            assert_eq!(topic.code, response::SUCCESS);
            for _ in 0..PULLS {
                start_pull(&mut client, "*").await;
            }
            runtime.sleep(Duration::from_secs(1)).await;
            let shard = broker.shard(0);
            let waiting = &shard.waiting_pulls;
            assert_eq!(waiting.count(), PULLS);
            let mut group = Group::new("readers");
            group.consume_enable = false;
            shard.apply(Change::Group(Arc::new(group)));
            // Its look comes behind the first.
            shard.apply(Change::GroupRemoved("others".into()));
            assert_eq!(waiting.count(), PULLS - TAKE_MAX, "after a turn");
            for _ in 0..PULLS {
                assert_eq!(client.receive().await.code, response::NO_PERMISSION);
            }
            assert_eq!(waiting.count(), 0);
            assert!(client.is_open().await, "nothing is answered twice");
        });
    }
}

/// Before, such a pull waited on for a client that was gone, until its time was over.
#[test]
fn a_pull_whose_connection_ends_while_messages_are_read_for_it_waits_no_more() {
    const PULLS: i64 = 40;
    on_all(4, |shards, seed| {
        Sim::new(seed).run(async |runtime| {
            let broker = Broker::start(&runtime, shards, &[("enablePropertyFilter", "true")]);
            let mut client = Client::connect(&runtime).await;
            assert_eq!(client.make_topic(TOPIC).await.code, response::SUCCESS);
            for offset in 0..PULLS {
                let mut reader = Client::connect(&runtime).await;
                start_filtered(&mut reader, offset, ("SQL92", "price > 7")).await;
                // The first has its group made.
                while waiting(&broker, shards) == 0 {
                    runtime.sleep(Duration::from_millis(1)).await;
                }
                let end = async {
                    runtime.sleep(Duration::from_micros(offset as u64 * 5)).await;
                    drop(reader);
                };
                let (sent, ()) = zip(client.send(b"at no price"), end).await;
                assert_eq!(sent.code, response::SUCCESS, "{}", sent.remark);
                runtime.sleep(Duration::from_millis(10)).await;
                assert_eq!(waiting(&broker, shards), 0, "{offset}");
            }
        });
    });
}

/// Pulls that wait on all shards.
fn waiting(broker: &Broker, shards: usize) -> usize {
    (0..shards).map(|shard| broker.shard(shard as u16).waiting_pulls.count()).sum()
}

/// Before, it was copied in one go, and once more on the shard of its connection.
#[test]
fn a_large_answer_is_copied_a_piece_at_a_time() {
    const BYTES: usize = 3 << 20;
    on_all(2, |shards, seed| {
        Sim::new(seed).run(async |runtime| {
            let keys = [("mappedFileSizeCommitLog", "16777216"), ("zeroAheadBytes", "1048576")];
            Broker::start(&runtime, shards, &keys);
            let mut clients = clients(&runtime, shards).await;
            assert_eq!(clients[0].make_topic(TOPIC).await.code, response::SUCCESS);
            let body: Vec<_> = (0..BYTES).map(|at| (at % 251) as u8).collect();
            for (queue, body) in [(0, &body[..9]), (1, &body)] {
                let sent = clients[0].send_to(TOPIC, queue, false, "", body).await;
                assert_eq!(sent.code, response::SUCCESS, "{}", sent.remark);
            }
            for client in &mut clients {
                let mut pauses = Vec::new();
                for (queue, body) in [(0, &body[..9]), (1, &body)] {
                    let before = runtime.pauses();
                    assert_eq!(client.bodies(TOPIC, queue, 0).await, (0, vec![body.to_vec()]));
                    pauses.push(runtime.pauses() - before);
                }
                let pieces = (BYTES / PIECE_BYTES) as u64;
                assert!(pauses[0] < pieces && pauses[1] >= pieces, "{pauses:?}");
            }
        });
    });
}
