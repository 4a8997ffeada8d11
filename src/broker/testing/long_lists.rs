//! Lists that no frame carries: they end where that is known. Those that one might carry are made
//! a few at a time.

use std::time::Duration;

use ringmq_io::{
    Clock as _,
    sim::{Fault, FaultRule, OperationKind, Sim, SimRuntime},
};
use ringmq_remoting::{
    codes::{request, response},
    encode,
    frame::Serialization,
};
use ringmq_test_client::{Pull, topic_fields};

use super::{
    Answer, Client,
    cluster::{Broker, TOPIC, on_all},
};
use crate::shard::settings::BrokerSettings;

const GROUP: &str = "readers";
/// As many queues as a topic may have.
const QUEUES: i32 = 65_536;
/// A list of the queues of one topic is too long.
const TOPICS: usize = 2;

const KEYS: &[(&str, &str)] =
    &[("brokerName", "a-broker-whose-name-is-as-long-as-sixty-four-characters-are-long")];

/// Long names make long lists.
fn topic(number: usize) -> String {
    format!("{number:t>127}")
}

/// Has a list refused; how often its making has let others go on.
async fn refused(
    runtime: &SimRuntime,
    client: &mut Client,
    code: i32,
    fields: &[(&str, &str)],
) -> u64 {
    let before = runtime.pauses();
    let Answer { code, remark, .. } = client.call(code, fields, b"").await;
    assert_eq!(code, response::SYSTEM_ERROR, "{remark}");
    assert!(remark.contains("but a frame carries"), "{remark}");
    runtime.pauses() - before
}

/// Before, all queues of all topics were looked at.
#[test]
fn consume_stats_end_with_the_topic_whose_list_is_too_long() {
    for shards in [1, 2] {
        Sim::new(1).run(async |runtime| {
            let _broker = Broker::start(&runtime, shards, KEYS);
            let mut client = Client::connect(&runtime).await;
            for name in (0..TOPICS).map(topic) {
                let fields = topic_fields(&name, QUEUES);
                let code = request::UPDATE_AND_CREATE_TOPIC;
                let made = client.call_values(code, &fields, b"").await;
                assert_eq!(made.code, response::SUCCESS, "{}", made.remark);
                let committed = client.commit(&name, GROUP, 0, 0).await;
                assert_eq!(committed.code, response::SUCCESS, "{}", committed.remark);
            }
            let first = topic(0);
            let of_one = [("consumerGroup", GROUP), ("topic", first.as_str())];
            let code = request::GET_CONSUME_STATS;
            let one = refused(&runtime, &mut client, code, &of_one).await;
            let of_all = [("consumerGroup", GROUP)];
            let all = refused(&runtime, &mut client, code, &of_all).await;
            let code = request::GET_BROKER_CONSUME_STATS;
            let of_groups = refused(&runtime, &mut client, code, &[("isOrder", "false")]).await;
            println!("{shards} shards: {one} pauses, {all} of all topics, {of_groups} of groups");
            for other in [all, of_groups] {
                assert!(other < one + one / 16, "{one} pauses, {other} with others behind");
            }
        });
    }
}

/// Before, each queue of another shard was a call of its own.
#[test]
fn a_list_of_very_many_queues_takes_few_calls_of_other_shards() {
    const CALLS_MAX: u64 = 200;
    const HUGE: &str = "huge";
    Sim::new(1).run(async |runtime| {
        let broker = Broker::start(&runtime, 2, &[]);
        let mut client = Client::connect(&runtime).await;
        let fields = topic_fields(HUGE, QUEUES);
        let made = client.call_values(request::UPDATE_AND_CREATE_TOPIC, &fields, b"").await;
        assert_eq!(made.code, response::SUCCESS, "{}", made.remark);
        let committed = client.commit(HUGE, GROUP, 1, 1).await;
        assert_eq!(committed.code, response::SUCCESS, "{}", committed.remark);
        let calls =
            || -> u64 { broker.shards.borrow().iter().map(|shard| shard.calls.made()).sum() };
        let questions: [(i32, &[(&str, &str)]); 5] = [
            (request::GET_TOPIC_STATS_INFO, &[("topic", HUGE)]),
            (request::GET_CONSUME_STATS, &[("consumerGroup", GROUP), ("topic", HUGE)]),
            (request::GET_BROKER_CONSUME_STATS, &[("isOrder", "false")]),
            (request::QUERY_CONSUME_TIME_SPAN, &[("topic", HUGE), ("group", GROUP)]),
            (request::QUERY_CORRECTION_OFFSET, &[("topic", HUGE), ("compareGroup", GROUP)]),
        ];
        for (code, fields) in questions {
            let before = calls();
            let answer = client.call(code, fields, b"").await;
            assert_eq!(answer.code, response::SUCCESS, "{}", answer.remark);
            let made = calls() - before;
            assert!((1..=CALLS_MAX).contains(&made), "request {code}: {made} calls");
        }
    });
}

/// Before, what was asked behind waited for the room that the first answer had, which came free
/// when nobody waited on that connection: never, and nobody else had a long answer any more.
#[test]
fn who_goes_while_a_long_answer_is_made_and_another_waits_holds_nobody_up() {
    const SLOW: Duration = Duration::from_secs(2);
    on_all(2, |shards, seed| {
        let sim = Sim::new(seed);
        sim.run(async |runtime| {
            // Room for one, and for little beside it.
            let small = |settings: &mut BrokerSettings| settings.output_bytes_max = 1 << 20;
            let broker = Broker::start_with(&runtime, shards, &[], small);
            let mut tool = Client::connect(&runtime).await;
            assert_eq!(tool.make_topic(TOPIC).await.code, response::SUCCESS);
            let group = format!("{{\"groupName\":\"{GROUP}\"}}");
            let code = request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP;
            let made = tool.call(code, &[], group.as_bytes()).await;
            assert_eq!(made.code, response::SUCCESS, "{}", made.remark);
            let stall = FaultRule::every(Some(OperationKind::Write), Fault::Stall(SLOW));
            sim.disk().add_fault(stall.where_path_contains("meta"));
            let mut hasty = Client::connect(&runtime).await;
            // The broker notices that it has gone when it has something to write.
            let pull = poll(SLOW / 2);
            hasty.write(&[pull, resets(3)].concat()).await;
            runtime.sleep(SLOW / 4).await;
            let counted = || -> usize {
                let shards = broker.shards.borrow();
                shards.iter().map(|shard| shard.answer_room.budget.bytes()).sum()
            };
            assert!(counted() > 0, "one is being made");
            drop(hasty);
            runtime.sleep(SLOW * 8).await;
            assert_eq!(counted(), 0);
            let stats = tool.call(request::GET_TOPIC_STATS_INFO, &[("topic", TOPIC)], b"").await;
            assert_eq!(stats.code, response::SUCCESS, "{}", stats.remark);
        });
    });
}

/// A pull that waits so long and finds nothing.
fn poll(wait: Duration) -> Vec<u8> {
    let pull = Pull { group: GROUP, topic: TOPIC, queue: 1, offset: 0, messages_max: 1, wait };
    let (mut out, json, code) = (Vec::new(), Serialization::Json, request::PULL_MESSAGE);
    encode::request_values(&mut out, json, code, 7, false, &pull.fields(), b"").expect("fits");
    out
}

/// Resets of a queue, which are durable before they are answered.
fn resets(count: i32) -> Vec<u8> {
    let fields = [
        ("topic", TOPIC),
        ("group", GROUP),
        ("timestamp", "-1"),
        ("isForce", "true"),
        ("queueId", "0"),
        ("offset", "0"),
    ];
    let mut out = Vec::new();
    for opaque in 0..count {
        let (json, code) = (Serialization::Json, request::INVOKE_BROKER_TO_RESET_OFFSET);
        encode::request(&mut out, json, code, opaque, false, &fields, b"").expect("fits");
    }
    out
}
