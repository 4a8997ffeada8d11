//! D2: what was acknowledged of consumer offsets becomes durable, or the client is told.

use std::time::Duration;

use ringmq_io::{
    Clock as _,
    sim::{Fault, FaultRule, OperationKind, Sim},
};
use ringmq_remoting::codes::{request, response};
use ringmq_rules::meta::MetaChange;
use ringmq_store::MetaLog;

use super::{
    Client,
    cluster::{Broker, QUEUES, TOPIC, after_a_kill, clients, on_all},
    config, facts,
};

const KEYS: &[(&str, &str)] = &[("flushConsumerOffsetInterval", "1000")];
const INTERVAL: Duration = Duration::from_secs(1);

async fn commit_all(client: &mut Client, group: &str, offset: i64) {
    for queue in 0..QUEUES {
        let answer = client.commit(TOPIC, group, queue, offset).await;
        assert_eq!(answer.code, response::SUCCESS, "{}", answer.remark);
    }
}

async fn all_committed(client: &mut Client, group: &str) -> Vec<Option<i64>> {
    let mut found = Vec::new();
    for queue in 0..QUEUES {
        found.push(client.committed(TOPIC, group, queue).await);
    }
    found
}

/// The metadata log gets no space for its next 256 KiB.
fn no_space_for_metadata() -> FaultRule {
    let rule = FaultRule::every(Some(OperationKind::Allocate), Fault::NoSpace);
    rule.where_path_contains("meta")
}

/// Commits of groups with long names: more than one step of the metadata log on each shard.
async fn commit_much(clients: &mut [Client]) {
    let topic = "t".repeat(262);
    for number in 0..600 * clients.len() {
        let group = format!("{number:0>250}");
        let client = number % clients.len();
        let answer = clients[client].commit(&topic, &group, (number % 4) as i32, 1).await;
        assert_eq!(answer.code, response::SUCCESS, "{}", answer.remark);
    }
}

/// Failed at 47eced1: the dirty marks were gone, and after a restart the group was at 10.
#[test]
fn offsets_that_met_a_full_disk_are_written_when_there_is_space_and_survive_a_kill() {
    on_all(2, |shards, seed| {
        let sim = Sim::new(seed);
        sim.run(async |runtime| {
            Broker::start(&runtime, shards, KEYS);
            let mut clients = clients(&runtime, shards).await;
            clients[0].make_topic(TOPIC).await;
            commit_all(&mut clients[0], "honest", 10).await;
            runtime.sleep(INTERVAL * 2).await;
            sim.disk().add_fault(no_space_for_metadata());
            commit_much(&mut clients).await;
            commit_all(&mut clients[0], "honest", 99).await;
            runtime.sleep(INTERVAL * 2).await;
            sim.disk().clear_faults();
            runtime.sleep(INTERVAL * 2).await;
        });
        after_a_kill(&sim, async |runtime| {
            Broker::start(&runtime, shards, KEYS);
            for client in &mut clients(&runtime, shards).await {
                assert_eq!(all_committed(client, "honest").await, [Some(99); QUEUES as usize]);
            }
        });
    });
}

/// Failed at 47eced1: every commit was acknowledged, and nobody was told.
#[test]
fn a_failure_that_lasts_is_refused_to_clients_and_shown_until_it_is_over() {
    on_all(1, |shards, seed| {
        let sim = Sim::new(seed);
        sim.run(async |runtime| {
            Broker::start(&runtime, shards, KEYS);
            let mut clients = clients(&runtime, shards).await;
            clients[0].make_topic(TOPIC).await;
            commit_all(&mut clients[0], "honest", 10).await;
            let shown = "consumerOffsetsNotDurableMillis";
            assert_eq!(clients[0].runtime_value(shown).await.as_deref(), Some("0"));
            sim.disk().add_fault(no_space_for_metadata());
            commit_much(&mut clients).await;
            runtime.sleep(INTERVAL * 4).await;
            for client in &mut clients {
                for queue in 0..QUEUES {
                    let answer = client.commit(TOPIC, "honest", queue, 99).await;
                    assert_eq!(answer.code, response::SYSTEM_ERROR, "{}", answer.remark);
                    for part in ["cannot grow", "free some space", " ms", "taken again"] {
                        assert!(answer.remark.contains(part), "{}", answer.remark);
                    }
                }
                assert_eq!(all_committed(client, "honest").await, [Some(10); QUEUES as usize]);
                let ms = client.runtime_value(shown).await.expect("shown");
                assert!(ms.parse::<u64>().expect("a number") > 2000, "{ms}");
            }
            sim.disk().clear_faults();
            runtime.sleep(INTERVAL + INTERVAL / 2).await;
            commit_all(&mut clients[0], "honest", 99).await;
            assert_eq!(clients[0].runtime_value(shown).await.as_deref(), Some("0"));
        });
    });
}

/// Failed at 47eced1: nothing of the write was durable, and nobody knew what was missing.
#[test]
fn a_record_that_no_log_takes_hurts_no_other() {
    on_all(1, |shards, seed| {
        let sim = Sim::new(seed);
        sim.run(async |runtime| {
            let broker = Broker::start(&runtime, shards, KEYS);
            let mut clients = clients(&runtime, shards).await;
            clients[0].make_topic(TOPIC).await;
            let offsets = |topic: &str, group: &str| {
                let offsets = vec![(0, 7)];
                MetaChange::Offsets { topic: topic.into(), group: group.into(), offsets }
            };
            let most = MetaLog::<ringmq_io::sim::SimRuntime>::RECORD_BYTES_MAX;
            let giant = offsets(&"t".repeat(most), "g");
            let changes = vec![offsets(TOPIC, "before"), giant.clone(), offsets(TOPIC, "behind")];
            let shard = broker.shard(shards as u16 - 1);
            let error = shard.persist(changes).await.expect_err("one is too large");
            assert!(error.changes == [giant] && error.records_only, "{}", error.refusal);
            assert!(error.refusal.remark.contains("the limit is"), "{}", error.refusal);
        });
        after_a_kill(&sim, async |runtime| {
            Broker::start(&runtime, shards, KEYS);
            let mut client = Client::connect(&runtime).await;
            for group in ["before", "behind"] {
                assert_eq!(client.committed(TOPIC, group, 0).await, Some(7), "{group}");
            }
        });
    });
}

/// The case of the issue. Failed at 47eced1: the answer was 0, and the honest group lost its 99.
#[test]
fn an_offset_under_a_name_of_three_mebibytes_is_refused_and_hurts_no_other() {
    on_all(1, |shards, seed| {
        let sim = Sim::new(seed);
        sim.run(async |runtime| {
            Broker::start(&runtime, shards, KEYS);
            let mut clients = clients(&runtime, shards).await;
            clients[0].make_topic(TOPIC).await;
            let long = "x".repeat(3 << 20);
            for (topic, group) in [(long.as_str(), "g"), (TOPIC, long.as_str())] {
                let answer = clients[0].commit(topic, group, 0, 1).await;
                assert_eq!(answer.code, response::SYSTEM_ERROR);
                assert!(answer.remark.contains("3145728 bytes"), "{}", answer.remark);
            }
            commit_all(&mut clients[0], "honest", 99).await;
            runtime.sleep(INTERVAL * 2).await;
        });
        after_a_kill(&sim, async |runtime| {
            Broker::start(&runtime, shards, KEYS);
            let mut client = Client::connect(&runtime).await;
            assert_eq!(all_committed(&mut client, "honest").await, [Some(99); QUEUES as usize]);
        });
    });
}

/// A write of offsets is under way while they are removed.
#[test]
fn offsets_that_were_removed_do_not_come_back_and_those_committed_behind_stay() {
    on_all(6, |shards, seed| {
        let sim = Sim::new(seed);
        sim.run(async |runtime| {
            Broker::start(&runtime, shards, KEYS);
            let mut clients = clients(&runtime, shards).await;
            clients[0].make_topic(TOPIC).await;
            commit_all(&mut clients[0], "gone", 10).await;
            commit_all(&mut clients[0], "again", 10).await;
            let stall = FaultRule::every(
                Some(OperationKind::Write),
                Fault::Stall(Duration::from_millis(30)),
            );
            sim.disk().add_fault(stall.where_path_contains("meta"));
            // Somewhere around the write, which comes once a second.
            let now = runtime.monotonic();
            let rest = INTERVAL - Duration::from_nanos((now.as_nanos() % 1_000_000_000) as u64);
            runtime.sleep(rest + Duration::from_millis(seed * 15)).await;
            for group in ["gone", "again"] {
                let fields = [("groupName", group), ("removeOffset", "true")];
                let answer = clients[0].call(request::DELETE_SUBSCRIPTIONGROUP, &fields, b"").await;
                assert_eq!(answer.code, response::SUCCESS, "{}", answer.remark);
            }
            let last = shards - 1;
            commit_all(&mut clients[last], "again", 20).await;
            runtime.sleep(INTERVAL * 3).await;
        });
        after_a_kill(&sim, async |runtime| {
            Broker::start(&runtime, shards, KEYS);
            let mut client = Client::connect(&runtime).await;
            assert_eq!(all_committed(&mut client, "gone").await, [None; QUEUES as usize]);
            assert_eq!(all_committed(&mut client, "again").await, [Some(20); QUEUES as usize]);
        });
    });
}

#[test]
fn what_was_committed_before_a_stop_is_there_after_it() {
    on_all(3, |shards, seed| {
        let sim = Sim::new(seed);
        let keys = [("flushConsumerOffsetInterval", "60000")];
        sim.run(async |runtime| {
            let facts = facts(&runtime, config(&keys), shards);
            let broker = crate::simulation::start(&runtime, facts, shards);
            let mut clients = clients(&runtime, shards).await;
            clients[0].make_topic(TOPIC).await;
            commit_all(&mut clients[0], "honest", 99).await;
            let began = runtime.monotonic();
            broker.shut_down();
            broker.ended().await;
            let took = runtime.monotonic() - began;
            assert!(took < Duration::from_secs(2), "{took:?}");
        });
        Sim::with_disk(seed, sim.disk()).run(async |runtime| {
            Broker::start(&runtime, shards, &keys);
            let mut client = Client::connect(&runtime).await;
            assert_eq!(all_committed(&mut client, "honest").await, [Some(99); QUEUES as usize]);
        });
    });
}
