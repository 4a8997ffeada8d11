//! Tables that are full: whoever would have more in them is told what there is too much of.

use ringmq_io::sim::Sim;
use ringmq_remoting::codes::{request, response};
use ringmq_rules::limits::TableLimits;
use ringmq_test_client::topic_fields_with;

use super::{
    Answer, Client,
    cluster::{Broker, TOPIC, on_all, on_all_heard},
};
use crate::shard::settings::BrokerSettings;

/// Does something again and again, with a number, in a broker with small tables, until it is
/// refused by this text, which has `...` for what differs.
fn is_refused(
    limit: impl Fn(&mut TableLimits),
    act: impl AsyncFn(&mut Client, usize) -> Answer,
    text: &str,
) {
    on_all(1, |shards, seed| {
        Sim::new(seed).run(async |runtime| {
            let small = |settings: &mut BrokerSettings| limit(&mut settings.sizes.tables);
            let _broker = Broker::start_with(&runtime, shards, &[], small);
            let mut client = Client::connect(&runtime).await;
            let made = client.make_topic(TOPIC).await;
            assert_eq!(made.code, response::SUCCESS, "{}", made.remark);
            let mut number = 0;
            let refused = loop {
                let answer = act(&mut client, number).await;
                if answer.code != response::SUCCESS {
                    break answer;
                }
                number += 1;
                assert!(number < 1000, "there is endless room");
            };
            assert!(number > 0, "nothing has room: {}", refused.remark);
            assert_eq!(refused.code, response::SYSTEM_ERROR, "{}", refused.remark);
            let mut rest = refused.remark.as_str();
            for part in text.split("...").map(str::trim) {
                let found = rest.split_once(part).map(|(_, behind)| behind);
                rest = found.unwrap_or_else(|| panic!("no {part:?}: {}", refused.remark));
            }
        });
    });
}

#[test]
fn no_more_topics_are_made_than_there_may_be() {
    is_refused(
        |tables| tables.topics = 40,
        async |client, number| client.make_topic(&format!("t{number}")).await,
        "topic[...] is not created: the broker has ... topics, the most it may have",
    );
}

async fn make_group(client: &mut Client, number: usize) -> Answer {
    let body = format!(r#"{{"groupName":"g{number}"}}"#);
    client.call(request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, &[], body.as_bytes()).await
}

#[test]
fn no_more_groups_are_made_than_there_may_be() {
    is_refused(
        |tables| tables.groups = 30,
        make_group,
        "group[...] is not created: the broker has ... subscription groups, the most it may have",
    );
}

async fn send_and_delete(client: &mut Client, number: usize) -> Answer {
    let topic = format!("{number:t>100}");
    let made = client.make_topic(&topic).await;
    assert_eq!(made.code, response::SUCCESS, "{}", made.remark);
    let sent = client.send_to(&topic, 0, false, "", b"x").await;
    assert_eq!(sent.code, response::SUCCESS, "{}", sent.remark);
    client.delete_topic(&topic).await
}

#[test]
fn no_more_deleted_topics_are_remembered_than_fit() {
    is_refused(
        |tables| tables.topics_deleted_bytes = 8192,
        send_and_delete,
        "topic[...] is not deleted: what the broker remembers of ... deleted topics takes ...",
    );
}

#[test]
fn no_more_consumer_offsets_are_kept_than_fit() {
    is_refused(
        |tables| tables.offsets_bytes = 16 << 10,
        async |client, number| client.commit(TOPIC, &format!("g{number}"), 0, 1).await,
        "the offset of group[...] in topic[...] is not stored: the consumer offsets of this shard \
         take ... bytes, at most ... fit",
    );
}

async fn join(client: &mut Client, number: usize) -> Answer {
    let body = format!(r#"{{"clientID":"c","producerDataSet":[{{"groupName":"g{number}"}}]}}"#);
    client.call(request::HEART_BEAT, &[], body.as_bytes()).await
}

#[test]
fn a_connection_is_in_no_more_groups_than_fit() {
    is_refused(
        |tables| tables.clients_bytes = 32 << 10,
        join,
        "client ... cannot join group ..., or subscribe to more there: its groups take ...",
    );
}

async fn make_with_attribute(client: &mut Client, number: usize) -> Answer {
    let (topic, attributes) = (format!("t{number}"), format!("+reserve.time={:0>2000}", 1));
    let fields = topic_fields_with(&topic, &attributes);
    client.call_values(request::UPDATE_AND_CREATE_TOPIC, &fields, b"").await
}

#[test]
fn no_more_attributes_are_kept_than_fit() {
    is_refused(
        |tables| tables.topics = 60,
        make_with_attribute,
        "the attributes of ... are not stored: those of all of its kind take ... at most ... fit",
    );
}

/// Clients take a queue that is not theirs for one that another has, so nobody is refused.
#[test]
fn queues_that_are_not_locked_for_want_of_room_are_said() {
    on_all_heard(1, |shards, seed, complaints| {
        Sim::new(seed).run(async |runtime| {
            let small = |settings: &mut BrokerSettings| settings.sizes.tables.locks_bytes = 4096;
            let _broker = Broker::start_with(&runtime, shards, &[], small);
            let mut client = Client::connect(&runtime).await;
            let queue = format!(r#"{{"topic":"{TOPIC}","brokerName":"sim","queueId":0}}"#);
            let (mut granted, mut said) = (0, Vec::new());
            for number in 0..8 {
                let body =
                    format!(r#"{{"consumerGroup":"g{number}","clientId":"c","mqSet":[{queue}]}}"#);
                let code = request::LOCK_BATCH_MQ;
                let answer = client.call(code, &[], body.as_bytes()).await;
                assert_eq!(answer.code, response::SUCCESS, "{}", answer.remark);
                let is_granted = String::from_utf8_lossy(&answer.body).contains(TOPIC);
                granted += usize::from(is_granted);
                let lines = complaints.take();
                assert_eq!(lines.len(), usize::from(!is_granted), "{lines:?}");
                said.extend(lines);
            }
            assert!((1..8).contains(&granted), "{granted} of 8");
            let text = "queues are not locked, so nobody consumes them in order: all locks take ";
            assert!(said.iter().all(|line| line.contains(text)), "{said:?}");
        });
    });
}
