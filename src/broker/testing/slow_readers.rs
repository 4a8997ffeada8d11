//! M2: clients that do not take their answers. What they cost is bounded, nobody else notices, and
//! whoever reads in the end gets everything.

use std::{cell::Cell, collections::BTreeSet, rc::Rc, time::Duration};

use ringmq_io::{
    Clock as _, Shares, Spawn as _,
    sim::{Sim, SimRuntime},
};
use ringmq_remoting::{
    codes::{request, response},
    encode::{self, Value},
    frame::Serialization,
};
use ringmq_test_client::Pull;

use super::{
    Client,
    cluster::{Broker, QUEUES, TOPIC, clients, on_all},
    complaints::Complaints,
};
use crate::shard::settings::BrokerSettings;

const MESSAGE: usize = 150 << 10;
/// Of one connection, and of a shard.
const CONNECTION: usize = 1 << 20;
const BUDGET: usize = 2 << 20;
const SOON: Duration = Duration::from_millis(100);

fn small(settings: &mut BrokerSettings) {
    settings.connection_output_bytes_max = CONNECTION;
    settings.output_bytes_max = BUDGET;
}

/// What shards held at most, sampled each millisecond.
#[derive(Default)]
struct Peak {
    answers: Cell<usize>,
    connection: Cell<usize>,
}

impl Peak {
    fn watch(runtime: &SimRuntime, broker: &Broker) -> Rc<Peak> {
        let peak = Rc::new(Peak::default());
        let (own, shards, seen) = (runtime.clone(), broker.shards.clone(), peak.clone());
        runtime.spawn(Shares::Foreground, "peak", async move {
            loop {
                own.sleep(Duration::from_millis(1)).await;
                let shards = shards.borrow();
                let answers = shards.iter().map(|shard| shard.answer_room.budget.bytes());
                seen.answers.set(seen.answers.get().max(answers.sum()));
                let connections = shards.iter().map(|shard| shard.connections.output_bytes_max());
                let most = connections.max().unwrap_or(0);
                seen.connection.set(seen.connection.get().max(most));
            }
        });
        peak
    }

    fn assert_bounded(&self, shards: usize) {
        // One answer may go over each limit, and answers without messages count when they are made.
        let answers = shards * (BUDGET + MESSAGE) + (64 << 10);
        assert!(self.answers.get() <= answers, "{} of {answers}", self.answers.get());
        let connection = CONNECTION + shards * (CONNECTION / shards).max(MESSAGE + 1000);
        assert!(self.connection.get() <= connection, "{} of {connection}", self.connection.get());
    }
}

/// A broker with a message in each queue of a topic, and a client of each of its shards.
async fn broker(
    runtime: &SimRuntime,
    shards: usize,
    keys: &[(&str, &str)],
) -> (Broker, Vec<Client>) {
    let broker = Broker::start_with(runtime, shards, keys, small);
    let mut clients = clients(runtime, shards).await;
    assert_eq!(clients[0].make_topic(TOPIC).await.code, response::SUCCESS);
    runtime.sleep(SOON).await;
    for queue in 0..QUEUES {
        let sent = clients[0].send_to(TOPIC, queue, false, "", &[7; MESSAGE]).await;
        assert_eq!(sent.code, response::SUCCESS, "{}", sent.remark);
    }
    (broker, clients)
}

/// Requests in one piece, numbered from 1000 on.
fn requests(
    count: usize,
    code: i32,
    fields: impl Fn(usize) -> Vec<(&'static str, String)>,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 0..count {
        let fields = fields(number);
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| (*name, Value::Str(value.as_str()))).collect();
        let opaque = 1000 + number as i32;
        encode::request_values(&mut bytes, Serialization::Json, code, opaque, false, &fields, b"")
            .expect("fits");
    }
    bytes
}

/// Pulls of all queues in turn.
fn pulls(count: usize, offset: i64, wait: Duration) -> Vec<u8> {
    requests(count, request::PULL_MESSAGE, |number| {
        let queue = number as i32 % QUEUES;
        let pull = Pull { group: "readers", topic: TOPIC, queue, offset, messages_max: 1, wait };
        let fields = pull.fields().into_iter();
        let text = |value| match value {
            Value::Int(value) => value.to_string(),
            Value::Str(text) => text.to_owned(),
            Value::Bool(value) => value.to_string(),
        };
        fields.map(|(name, value)| (name, text(value))).collect()
    })
}

/// Writes as far as the broker reads, without end.
fn write(runtime: &SimRuntime, client: Client, bytes: Vec<u8>) -> Rc<Client> {
    let client = Rc::new(client);
    let writer = client.clone();
    runtime.spawn(Shares::Foreground, "writer", async move {
        writer.write_open(&bytes).await;
    });
    client
}

/// Reads answers with a message each until all are there.
async fn read_all(client: &Client, count: usize) {
    let mut seen = BTreeSet::new();
    for _ in 0..count {
        let answer = client.receive().await;
        assert_eq!(answer.code, response::SUCCESS, "{}", answer.remark);
        assert!(answer.body.len() > MESSAGE, "in full");
        assert!(seen.insert(answer.opaque), "answered once");
    }
}

/// Another client is served as if nothing were.
async fn serves(runtime: &SimRuntime, client: &mut Client, rounds: usize) {
    for round in 0..rounds {
        let began = runtime.monotonic();
        let queue = round as i32 % QUEUES;
        let sent = client.send_to("Other", queue, false, "", b"beside").await;
        assert_eq!(sent.code, response::SUCCESS, "{}", sent.remark);
        let (code, bodies) = client.bodies("Other", queue, 0).await;
        assert_eq!((code, bodies[0].as_slice()), (response::SUCCESS, &b"beside"[..]));
        let took = runtime.monotonic() - began;
        assert!(took < SOON, "round {round}: {took:?}");
        runtime.sleep(Duration::from_millis(5)).await;
    }
}

/// A story of a slow client on sockets of 64 KiB; in the end nothing may be counted for it.
fn beside_a_slow_client(
    shards: usize,
    seed: u64,
    test: impl AsyncFn(&SimRuntime, &Broker, Vec<Client>, &Peak),
) {
    let sim = Sim::new(seed);
    sim.set_socket_bytes(64 << 10);
    sim.run(async |runtime| {
        let (broker, clients) = broker(&runtime, shards, &[]).await;
        let peak = Peak::watch(&runtime, &broker);
        test(&runtime, &broker, clients, &peak).await;
        peak.assert_bounded(shards);
        runtime.sleep(SOON).await;
        assert_nothing_left(&broker);
    });
}

fn assert_nothing_left(broker: &Broker) {
    for shard in &*broker.shards.borrow() {
        assert_eq!(shard.answer_room.budget.bytes(), 0, "shard {}", shard.id.0);
        assert_eq!(shard.answer_room.waiting(), 0, "shard {}", shard.id.0);
    }
}

#[test]
fn pulls_of_a_client_that_does_not_read_wait_and_are_answered_in_full_when_it_does() {
    const PULLS: usize = 400;
    on_all(2, |shards, seed| {
        beside_a_slow_client(shards, seed, async |runtime, _, mut clients, peak| {
            assert_eq!(clients[0].make_topic("Other").await.code, response::SUCCESS);
            let slow = Client::connect(runtime).await;
            let slow = write(runtime, slow, pulls(PULLS, 0, Duration::ZERO));
            runtime.sleep(Duration::from_millis(500)).await;
            for client in &mut clients {
                serves(runtime, client, 20).await;
            }
            peak.assert_bounded(shards);
            assert!(peak.answers.get() > MESSAGE, "something waits");
            read_all(&slow, PULLS).await;
        });
    });
}

#[test]
fn long_polls_that_are_woken_without_room_wait_on_and_are_answered() {
    const PULLS: usize = 160;
    on_all(2, |shards, seed| {
        beside_a_slow_client(shards, seed, async |runtime, broker, mut clients, _| {
            let slow = Client::connect(runtime).await;
            let slow = write(runtime, slow, pulls(PULLS, 1, Duration::from_secs(60)));
            runtime.sleep(Duration::from_secs(1)).await;
            for queue in 0..QUEUES {
                let sent = clients[0].send_to(TOPIC, queue, false, "", &[8; MESSAGE]).await;
                assert_eq!(sent.code, response::SUCCESS, "{}", sent.remark);
            }
            runtime.sleep(Duration::from_secs(5)).await;
            let shards_now = broker.shards.borrow().clone();
            let waiting: usize = shards_now.iter().map(|shard| shard.answer_room.waiting()).sum();
            assert!(waiting > PULLS / 2, "{waiting} wait for room");
            read_all(&slow, PULLS).await;
        });
    });
}

#[test]
fn messages_that_a_client_views_and_does_not_read_are_not_read_before_there_is_room() {
    const VIEWS: usize = 300;
    on_all(1, |shards, seed| {
        beside_a_slow_client(shards, seed, async |runtime, _, mut clients, _| {
            let sent = clients[0].send_to(TOPIC, 1, false, "", &[9; MESSAGE]).await;
            let id = ringmq_remoting::message_id::MessageId::parse(&sent.fields["msgId"]);
            let offset = id.expect("an id").1.to_string();
            let slow = Client::connect(runtime).await;
            let view = |_| vec![("offset", offset.clone())];
            let views = requests(VIEWS, request::VIEW_MESSAGE_BY_ID, view);
            let slow = write(runtime, slow, views);
            runtime.sleep(Duration::from_secs(5)).await;
            read_all(&slow, VIEWS).await;
        });
    });
}

/// Clients that neither read nor go, and what is said of those that are closed.
fn beside_clients_that_take_nothing(
    shards: usize,
    seed: u64,
    count: usize,
    test: impl AsyncFn(&SimRuntime, &Broker, Vec<Client>, &Complaints),
) {
    let (complaints, _guard) = Complaints::listen();
    let sim = Sim::new(seed);
    sim.set_socket_bytes(64 << 10);
    sim.run(async |runtime| {
        let (broker, clients) = broker(&runtime, shards, &[("outputStallTimeMs", "4000")]).await;
        let mut slow = Vec::new();
        for _ in 0..count {
            let client = Client::connect(&runtime).await;
            slow.push(write(&runtime, client, pulls(100, 0, Duration::ZERO)));
        }
        test(&runtime, &broker, clients, &complaints).await;
        runtime.sleep(Duration::from_secs(6)).await;
        assert_nothing_left(&broker);
        let said = complaints.take();
        let closed = said.iter().filter(|line| line.contains("outputStallTimeMs")).count();
        let earlier = said.iter().filter(|line| line.contains("outputBytesMax")).count();
        assert_eq!(closed + earlier, said.len().min(count), "{said:?}");
        for client in slow {
            assert!(client.is_ended().await, "{shards} shards: all are closed");
        }
    });
}

#[test]
fn a_client_that_takes_nothing_is_closed_after_a_time_and_not_before() {
    on_all(1, |shards, seed| {
        beside_clients_that_take_nothing(shards, seed, 1, async |runtime, _, _, complaints| {
            runtime.sleep(Duration::from_millis(3900)).await;
            assert!(complaints.take().is_empty(), "not yet");
            runtime.sleep(Duration::from_secs(1)).await;
            let said = complaints.take();
            assert_eq!(said.len(), 1, "{said:?}");
            for part in ["peer=", "held=", "time=4", "outputStallTimeMs"] {
                assert!(said[0].contains(part), "{part}: {said:?}");
            }
        });
    });
}

#[test]
fn when_room_is_scarce_whoever_has_taken_nothing_for_longest_is_closed_first() {
    on_all(2, |shards, seed| {
        let many = 4 * shards;
        let test = async |runtime: &SimRuntime, broker: &Broker, clients: Vec<Client>, _: &_| {
            let peak = Peak::watch(runtime, broker);
            runtime.sleep(Duration::from_millis(2500)).await;
            // What is left is enough for others long before the time is over.
            for mut client in clients {
                let (code, bodies) = client.bodies(TOPIC, 0, 0).await;
                assert_eq!((code, bodies.len()), (response::SUCCESS, 1));
            }
            assert!(runtime.monotonic() < Duration::from_secs(4));
            peak.assert_bounded(shards);
        };
        beside_clients_that_take_nothing(shards, seed, many, test);
    });
}

/// Clients that ask for more than there is room for, and take some bytes every 10 ms.
async fn trickles(runtime: &SimRuntime, count: usize, bytes: usize) -> Rc<Cell<usize>> {
    let open = Rc::new(Cell::new(count));
    for _ in 0..count {
        let client = Client::connect(runtime).await;
        let slow = write(runtime, client, pulls(100, 0, Duration::ZERO));
        let (own, open) = (runtime.clone(), open.clone());
        runtime.spawn(Shares::Foreground, "trickle", async move {
            while slow.take(bytes).await {
                own.sleep(Duration::from_millis(10)).await;
            }
            open.set(open.get() - 1);
        });
    }
    open
}

/// The longest that clients who take what they ask for waited for one of so many answers each.
async fn longest_pull(runtime: &SimRuntime, clients: &mut [Client], rounds: i32) -> Duration {
    let mut longest = Duration::ZERO;
    for round in 0..rounds {
        for client in &mut *clients {
            let began = runtime.monotonic();
            let (code, bodies) = client.bodies(TOPIC, round % QUEUES, 0).await;
            assert_eq!((code, bodies.len()), (response::SUCCESS, 1));
            longest = longest.max(runtime.monotonic() - began);
        }
        runtime.sleep(Duration::from_millis(50)).await;
    }
    longest
}

/// A story of clients that take a trickle, on sockets of 64 KiB, and what was said of them.
fn beside_trickles(
    (shards, seed): (usize, u64),
    keys: &[(&str, &str)],
    test: impl AsyncFn(&SimRuntime, Vec<Client>),
) -> Vec<String> {
    let (complaints, _guard) = Complaints::listen();
    let sim = Sim::new(seed);
    sim.set_socket_bytes(64 << 10);
    sim.run(async |runtime| {
        let (_broker, clients) = broker(&runtime, shards, keys).await;
        test(&runtime, clients).await;
    });
    complaints.take()
}

/// Those of brokers with seven shards as well.
fn on_many(seeds: u64, test: impl Fn(usize, u64)) {
    on_all(seeds, &test);
    (0..seeds).for_each(|seed| test(7, seed));
}

/// Bytes every 10 ms.
const TRICKLE: usize = 300;
/// They ask for more than there is on each shard.
const TRICKLES: usize = 20;
const STEADY: usize = 2;

/// Before the pace of clients was looked at, others waited until the last of these had taken what
/// it had asked for: nobody is silent for a second, so nobody was closed.
#[test]
fn clients_that_take_a_trickle_do_not_hold_the_room_of_others() {
    on_many(2, |shards, seed| {
        let keys = [("outputStallTimeMs", "4000")];
        let said = beside_trickles((shards, seed), &keys, async |runtime, mut clients| {
            // They show that they take what they are sent.
            longest_pull(runtime, &mut clients, 1).await;
            trickles(runtime, TRICKLES, TRICKLE).await;
            runtime.sleep(Duration::from_millis(100)).await;
            let longest = longest_pull(runtime, &mut clients, 40).await;
            // An eighth of the key, and a look until they are watched and another that sees it.
            assert!(longest < Duration::from_millis(1000), "{longest:?}");
        });
        assert!(!said.is_empty());
        assert!(said.iter().all(|line| line.contains("would need longest")), "{said:?}");
    });
}

/// It takes its answers forty times as fast as the others, and never all of them.
#[test]
fn who_takes_more_slowly_than_others_is_not_closed_while_there_are_slower_ones() {
    on_many(2, |shards, seed| {
        let keys = [("outputStallTimeMs", "4000")];
        let said = beside_trickles((shards, seed), &keys, async |runtime, mut clients| {
            let steady = trickles(runtime, STEADY, 40 * TRICKLE).await;
            runtime.sleep(Duration::from_millis(700)).await;
            trickles(runtime, TRICKLES, TRICKLE).await;
            longest_pull(runtime, &mut clients, 40).await;
            assert_eq!(steady.get(), STEADY);
        });
        assert!(!said.is_empty());
        assert!(said.iter().all(|line| line.contains("would need longest")), "{said:?}");
    });
}

#[test]
fn nobody_is_closed_while_there_is_room_for_those_who_take_their_answers() {
    on_many(2, |shards, seed| {
        let (keys, count) = ([("outputStallTimeMs", "2000")], (3 * shards).min(10));
        let said = beside_trickles((shards, seed), &keys, async |runtime, mut clients| {
            let trickles = trickles(runtime, count, TRICKLE).await;
            let longest = longest_pull(runtime, &mut clients, 60).await;
            assert!(longest < SOON, "{longest:?}");
            assert_eq!(trickles.get(), count);
        });
        assert!(said.is_empty(), "{said:?}");
    });
}
