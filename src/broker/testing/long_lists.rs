//! Lists that no frame carries: they end where that is known.

use ringmq_io::sim::{Sim, SimRuntime};
use ringmq_remoting::codes::{request, response};
use ringmq_test_client::topic_fields;

use super::{Answer, Client, cluster::Broker};

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
