//! Groups with very many members, and connections that are in very many groups: others have their
//! turn meanwhile.

use std::{collections::BTreeSet, time::Duration};

use futures_lite::future::poll_once;
use ringmq_io::{
    Clock as _,
    sim::{Sim, SimRuntime},
};
use ringmq_remoting::{
    body::{
        ConsumerData, GetConsumerListByGroupResponseBody, HeartbeatData, ProducerData,
        SubscriptionData,
    },
    codes::{request, response},
    encode, fastjson,
    frame::Serialization,
};

use super::{
    Answer, Client,
    cluster::{Broker, clients, on_all},
};

const SOON: Duration = Duration::from_millis(500);
const JSON: Serialization = Serialization::Json;

fn consumer(id: &str, group: &str) -> Vec<u8> {
    let consumer = ConsumerData { group_name: group.to_owned(), ..ConsumerData::default() };
    let consumer_data_set = vec![consumer];
    let client_id = id.to_owned();
    fastjson::to_vec(&HeartbeatData { client_id, consumer_data_set, ..HeartbeatData::default() })
}

/// A producer of so many groups, `p0` to the last.
fn producer(id: &str, groups: usize) -> Vec<u8> {
    let group = |number| ProducerData { group_name: format!("p{number}") };
    let producer_data_set = (0..groups).map(group).collect();
    let client_id = id.to_owned();
    fastjson::to_vec(&HeartbeatData { client_id, producer_data_set, ..HeartbeatData::default() })
}

/// A consumer of so many topics, whose subscriptions have this version.
fn subscriber(id: &str, group: &str, topics: usize, version: i64) -> Vec<u8> {
    let subscription = |number| SubscriptionData {
        topic: format!("topic-{number}"),
        sub_string: "*".to_owned(),
        sub_version: version,
        ..SubscriptionData::default()
    };
    let consumer = ConsumerData {
        group_name: group.to_owned(),
        subscription_data_set: (0..topics).map(subscription).collect(),
        ..ConsumerData::default()
    };
    let (client_id, consumer_data_set) = (id.to_owned(), vec![consumer]);
    fastjson::to_vec(&HeartbeatData { client_id, consumer_data_set, ..HeartbeatData::default() })
}

/// The versions of subscriptions of a group that all shards know, each once.
fn versions(broker: &Broker, group: &str) -> BTreeSet<Option<i64>> {
    let shards = broker.shards.borrow();
    let versions = shards.iter().flat_map(|shard| {
        let subscriptions = shard.view.borrow().subscriptions.get(group).cloned();
        let versions = subscriptions.iter().flat_map(|known| known.topics.values());
        let versions: Vec<_> = versions.map(|one| Some(one.version)).collect();
        if versions.is_empty() { vec![None] } else { versions }
    });
    versions.collect()
}

impl Client {
    /// The answer to a request, behind whatever the broker tells of changes of groups.
    async fn ask(&mut self, code: i32, fields: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut out = Vec::new();
        encode::request(&mut out, JSON, code, 1, false, fields, body).expect("fits");
        self.write(&out).await;
        loop {
            let answer = self.receive().await;
            if answer.is_response {
                return answer;
            }
            assert_eq!(answer.code, request::NOTIFY_CONSUMER_IDS_CHANGED);
        }
    }

    async fn beat(&mut self, body: &[u8]) {
        let answer = self.ask(request::HEART_BEAT, &[], body).await;
        assert_eq!(answer.code, response::SUCCESS, "{}", answer.remark);
    }

    async fn has_producers(&mut self, group: &str) -> bool {
        let fields = [("producerGroup", group)];
        let answer = self.ask(request::GET_PRODUCER_CONNECTION_LIST, &fields, b"").await;
        answer.code == response::SUCCESS
    }
}

/// How often tasks let others have their turn while `act` goes on, and shortly after.
async fn pauses(runtime: &SimRuntime, act: impl AsyncFnOnce()) -> usize {
    let before = runtime.pauses();
    act().await;
    runtime.sleep(SOON).await;
    usize::try_from(runtime.pauses() - before).expect("few")
}

/// Before, all members were told in the turn of the heartbeat that changed the group.
#[test]
fn the_members_of_a_large_group_are_told_of_a_change_and_listed_some_at_a_time() {
    const MEMBERS: usize = 800;
    on_all(1, |shards, seed| {
        Sim::new(seed).run(async |runtime| {
            Broker::start(&runtime, shards, &[]);
            let mut newcomers = clients(&runtime, 2).await;
            let mut members = Vec::new();
            for number in 0..MEMBERS {
                let mut member = Client::connect(&runtime).await;
                // In another order than they connect.
                member.beat(&consumer(&format!("id-{:04}", MEMBERS - number), "large")).await;
                members.push(member);
            }
            // Whoever was told very often has more waiting than a socket holds.
            for _ in 0..4 {
                runtime.sleep(SOON).await;
                for member in &members {
                    assert!(!member.is_ended().await);
                }
            }
            let [first, second] = newcomers.first_chunk_mut().expect("two");
            let small = pauses(&runtime, async || first.beat(&consumer("new", "s")).await).await;
            let beat = consumer("id-9999", "large");
            let large = pauses(&runtime, async || second.beat(&beat).await).await;
            assert!(large >= small + MEMBERS / 64 - 1, "{large} turns, {small} for a small group");
            for member in &members {
                let told = poll_once(member.receive()).await.expect("told");
                assert_eq!(told.code, request::NOTIFY_CONSUMER_IDS_CHANGED);
                assert_eq!(told.fields["consumerGroup"], "large");
                assert!(!member.is_ended().await);
            }

            let list = [("consumerGroup", "large")];
            let mut answer = None;
            let turns = pauses(&runtime, async || {
                let code = request::GET_CONSUMER_LIST_BY_GROUP;
                answer = Some(first.ask(code, &list, b"").await);
            })
            .await;
            assert!(turns >= 2 * (MEMBERS / 256), "{turns}");
            let answer = answer.expect("asked");
            let ids: GetConsumerListByGroupResponseBody =
                fastjson::from_slice(&answer.body).expect("a list");
            let mut sorted: Vec<_> =
                (1..=MEMBERS).map(|number| format!("id-{number:04}")).collect();
            sorted.push("id-9999".to_owned());
            assert_eq!(ids.consumer_id_list, sorted);
            let none = [("consumerGroup", "none")];
            let answer = first.ask(request::GET_CONSUMER_LIST_BY_GROUP, &none, b"").await;
            let expected = (response::SYSTEM_ERROR, "no consumer for this group, none");
            assert_eq!((answer.code, &*answer.remark), expected);
        });
    });
}

/// How often work was done beside the shards while `act` went on, and shortly after.
async fn asides(runtime: &SimRuntime, act: impl AsyncFnOnce()) -> usize {
    let before = runtime.asides();
    act().await;
    runtime.sleep(SOON).await;
    usize::try_from(runtime.asides() - before).expect("few")
}

/// Before, the control shard did it in one go, and the shard that heard last of newer ones dropped
/// the others.
#[test]
fn thousands_of_subscriptions_are_compared_and_dropped_beside_the_shards() {
    const TOPICS: usize = 3000;
    on_all(2, |shards, seed| {
        Sim::new(seed).run(async |runtime| {
            let broker = Broker::start(&runtime, shards, &[]);
            let mut client = Client::connect(&runtime).await;
            for version in [1, 2] {
                let beat = subscriber("c", "few", 50, version);
                assert_eq!(asides(&runtime, async || client.beat(&beat).await).await, 0);
                assert_eq!(versions(&broker, "few"), [Some(version)].into());
            }
            // It is read and compared; what is left of both is dropped, and what is replaced.
            let cases = [(1, 1, 0), (1, 1, 0), (2, 2, shards), (1, 2, 0)];
            for (version, then, replaced) in cases {
                let beat = subscriber("c", "many", TOPICS, version);
                let aside = asides(&runtime, async || client.beat(&beat).await).await;
                assert_eq!(aside, 4 + replaced, "version {version}");
                assert_eq!(versions(&broker, "many"), [Some(then)].into());
            }
            // A few instead of many.
            let beat = subscriber("c", "many", 1, 1);
            let aside = asides(&runtime, async || client.beat(&beat).await).await;
            assert_eq!(aside, 2 + shards);
            client.beat(&subscriber("c", "many", TOPICS, 3)).await;
            runtime.sleep(SOON).await;
            assert_eq!(asides(&runtime, async || drop(client)).await, shards);
            assert_eq!(versions(&broker, "many"), [None].into());
        });
    });
}

/// Each is compared with what the group subscribed to when it came.
#[test]
fn the_newest_of_many_subscriptions_that_come_at_once_count() {
    const MEMBERS: i64 = 4;
    on_all(4, |shards, seed| {
        Sim::new(seed).run(async |runtime| {
            let broker = Broker::start(&runtime, shards, &[]);
            let mut members = clients(&runtime, MEMBERS as usize).await;
            for round in 0..3 {
                for (number, member) in (0..MEMBERS).zip(&mut members) {
                    // The newest is not the last.
                    let version = 10 * round + (number + round) % MEMBERS;
                    let body = subscriber(&number.to_string(), "g", 1000, version + 1);
                    let mut out = Vec::new();
                    let beat = request::HEART_BEAT;
                    encode::request(&mut out, JSON, beat, 1, false, &[], &body).expect("fits");
                    member.write(&out).await;
                }
                runtime.sleep(SOON).await;
                assert_eq!(versions(&broker, "g"), [Some(10 * round + MEMBERS)].into());
            }
            let mut watcher = Client::connect(&runtime).await;
            let list = [("consumerGroup", "g")];
            let answer = watcher.ask(request::GET_CONSUMER_LIST_BY_GROUP, &list, b"").await;
            let all: GetConsumerListByGroupResponseBody =
                fastjson::from_slice(&answer.body).expect("a list");
            assert_eq!(all.consumer_id_list, ["0", "1", "2", "3"]);
        });
    });
}

/// Who was told already is told again.
#[test]
fn a_change_that_comes_while_members_are_told_is_told_to_all_as_well() {
    const MEMBERS: usize = 300;
    on_all(4, |shards, seed| {
        Sim::new(seed).run(async |runtime| {
            Broker::start(&runtime, shards, &[]);
            let mut members = clients(&runtime, MEMBERS).await;
            begin_beats(&mut members).await;
            runtime.sleep(SOON).await;
            for (number, member) in members.iter().enumerate() {
                assert!(times_told(member).await > 0, "{number}");
            }
            let mut newcomers = clients(&runtime, 2).await;
            begin_beats(&mut newcomers).await;
            runtime.sleep(SOON).await;
            for (number, member) in members.iter().enumerate() {
                assert_eq!(times_told(member).await, newcomers.len(), "{number}");
            }
            members.truncate(MEMBERS / 2);
            runtime.sleep(SOON).await;
            for (number, member) in members.iter().enumerate() {
                assert!(times_told(member).await > 0, "{number}");
            }
        });
    });
}

/// Heartbeats of members of a group, all at once.
async fn begin_beats(members: &mut [Client]) {
    for (number, member) in members.iter_mut().enumerate() {
        let (mut out, body) = (Vec::new(), consumer(&number.to_string(), "g"));
        let beat = request::HEART_BEAT;
        encode::request(&mut out, JSON, beat, 1, false, &[], &body).expect("fits");
        member.write(&out).await;
    }
}

/// How often a member was told since the last look that its group has changed.
async fn times_told(member: &Client) -> usize {
    let mut told = 0;
    while let Some(frame) = poll_once(member.receive()).await {
        told += usize::from(frame.code == request::NOTIFY_CONSUMER_IDS_CHANGED);
    }
    told
}

#[test]
fn a_connection_that_ends_leaves_its_groups_some_at_a_time() {
    const GROUPS: usize = 2000;
    on_all(2, |shards, seed| {
        Sim::new(seed).run(async |runtime| {
            Broker::start(&runtime, shards, &[]);
            let mut clients = clients(&runtime, 3).await;
            clients[0].beat(&producer("one", 1)).await;
            clients[1].beat(&producer("many", GROUPS)).await;
            let last = format!("p{}", GROUPS - 1);
            assert!(clients[2].has_producers(&last).await);
            let few = pauses(&runtime, async || drop(clients.remove(0))).await;
            let many = pauses(&runtime, async || drop(clients.remove(0))).await;
            assert!(many >= few + GROUPS / 64 - 1, "{many} turns, {few} for one group");
            for group in ["p0", "p1000", &last] {
                assert!(!clients[0].has_producers(group).await, "{group}");
            }
        });
    });
}

/// Its connection may end at any moment, also while the heartbeat is being noted.
#[test]
fn a_heartbeat_whose_connection_ends_leaves_no_member_behind() {
    const GROUPS: usize = 1000;
    on_all(8, |shards, seed| {
        Sim::new(seed).run(async |runtime| {
            Broker::start(&runtime, shards, &[]);
            let mut watcher = Client::connect(&runtime).await;
            let mut out = Vec::new();
            let body = producer("gone", GROUPS);
            encode::request(&mut out, JSON, request::HEART_BEAT, 1, false, &[], &body)
                .expect("fits");
            for pause in 0..4 {
                let mut client = Client::connect(&runtime).await;
                client.write(&out).await;
                runtime.sleep(Duration::from_micros(40 * pause)).await;
                drop(client);
            }
            runtime.sleep(SOON).await;
            for group in ["p0", "p500", "p999"] {
                assert!(!watcher.has_producers(group).await, "{group}");
            }
        });
    });
}

/// Its group and the retry topic of that are made meanwhile, which waits for the disk. Before, its
/// subscriptions were published behind their removal, and stayed for ever.
#[test]
fn a_heartbeat_whose_connection_ends_leaves_no_subscription_behind() {
    const BEATS: u64 = 20;
    on_all(4, |shards, seed| {
        Sim::new(seed).run(async |runtime| {
            let broker = Broker::start(&runtime, shards, &[]);
            for number in 0..BEATS {
                let mut client = Client::connect(&runtime).await;
                let (mut out, body) = (Vec::new(), consumer("gone", &format!("g{number}")));
                let beat = request::HEART_BEAT;
                encode::request(&mut out, JSON, beat, 1, false, &[], &body).expect("fits");
                client.write(&out).await;
                runtime.sleep(Duration::from_micros(50 * number)).await;
                drop(client);
            }
            runtime.sleep(SOON).await;
            for number in 0..shards {
                let shard = broker.shard(number as u16);
                let subscriptions = &shard.view.borrow().subscriptions;
                assert!(subscriptions.is_empty(), "{:?}", subscriptions.keys());
            }
        });
    });
}
