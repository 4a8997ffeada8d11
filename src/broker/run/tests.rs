//! The end of a whole broker, and the pulls that wait in it.

use std::time::Duration;

use ringmq_base::LogId;
use ringmq_io::{
    Clock as _,
    sim::{Sim, SimRuntime},
};
use ringmq_remoting::{
    codes::{pull_flag, request, response},
    encode,
    frame::Serialization,
};
use ringmq_store::FlushMode;

use super::log_options;
use crate::{
    shard::settings::BrokerSettings,
    simulation::{self, Simulated},
    sizes::Sizes,
    testing::{self, Client, config},
};

const QUEUES: usize = 4;

async fn started(runtime: &SimRuntime, shards: usize, sizes: Sizes) -> Simulated<SimRuntime> {
    let mut settings =
        BrokerSettings::new(config(&[]), shards, runtime.now_ms()).expect("sound settings");
    settings.sizes = sizes;
    let broker = simulation::start(runtime, settings, shards);
    broker.ready(runtime).await.expect("it starts");
    broker
}

/// A pull of an empty queue that waits up to a minute.
async fn start_pull(client: &mut Client, queue: usize, opaque: i32) {
    let (queue, flag) = (queue.to_string(), pull_flag::SUBSCRIPTION | pull_flag::SUSPEND);
    let flag = flag.to_string();
    let fields = [
        ("consumerGroup", "readers"),
        ("topic", "TBW102"),
        ("queueId", queue.as_str()),
        ("queueOffset", "0"),
        ("maxMsgNums", "32"),
        ("sysFlag", flag.as_str()),
        ("commitOffset", "0"),
        ("suspendTimeoutMillis", "60000"),
        ("subscription", "*"),
        ("subVersion", "0"),
        ("expressionType", "TAG"),
    ];
    let (mut out, json) = (Vec::new(), Serialization::Json);
    encode::request(&mut out, json, request::PULL_MESSAGE, opaque, false, &fields, b"")
        .expect("fits");
    client.write(&out).await;
}

#[test]
fn logs_are_opened_as_the_configuration_says() {
    let keys = [
        ("flushDiskType", "SYNC_FLUSH"),
        ("mappedFileSizeCommitLog", "4194304"),
        ("zeroAheadBytes", "524288"),
        ("spareSegmentsMax", "7"),
        ("hotTailBytes", "8388608"),
        ("appendQueueBytesMax", "33554432"),
        ("messageIndexEnable", "false"),
    ];
    let settings = BrokerSettings::new(config(&keys), 1, 0).expect("sound settings");
    let id = LogId::new(3).expect("in range");
    let options = log_options(&settings, id, 77);
    assert_eq!((options.log, options.store_id), (id, 77));
    assert_eq!(options.directory, settings.store_path.join("log-003"));
    assert_eq!(options.flush, FlushMode::Sync);
    assert_eq!((options.segment_bytes, options.zero_ahead_bytes), (4 << 20, 512 << 10));
    assert_eq!((options.hot_tail_bytes, options.backlog_bytes_max), (8 << 20, 32 << 20));
    assert_eq!((options.spare_segments_max, options.message_index), (7, false));
    assert_eq!(options.snapshot_bytes, settings.sizes.log.snapshot_bytes);
}

#[test]
fn a_broker_that_stops_answers_waiting_pulls_and_closes_all_connections() {
    for shards in [1, 2, 4] {
        Sim::new(shards as u64).run(async |runtime| {
            let broker = started(&runtime, shards, Sizes::default()).await;
            let mut clients = Vec::new();
            for number in 0..2 * QUEUES {
                let mut client = Client::connect(&runtime).await;
                start_pull(&mut client, number % QUEUES, 7).await;
                clients.push(client);
            }
            runtime.sleep(Duration::from_secs(1)).await;
            for client in &mut clients {
                assert!(client.is_open().await, "nothing to say yet");
            }
            broker.shut_down();
            for client in &mut clients {
                assert_eq!(client.receive().await.code, response::PULL_NOT_FOUND);
            }
            broker.ended().await;
            runtime.sleep(Duration::from_millis(1)).await;
            for client in &mut clients {
                assert!(!client.is_open().await, "{shards} shards");
            }
        });
    }
}

#[test]
fn pulls_that_wait_go_with_their_connection() {
    const MOST: usize = 40;
    for shards in [1, 2, 4] {
        Sim::new(shards as u64).run(async |runtime| {
            let sizes = Sizes { waiting_pulls_max: MOST, ..Sizes::default() };
            let _broker = started(&runtime, shards, sizes).await;
            // More than may wait, were they of one connection or of living ones.
            for round in 0..3 {
                for number in 0..MOST {
                    let mut client = Client::connect(&runtime).await;
                    start_pull(&mut client, number % QUEUES, 7).await;
                    runtime.sleep(Duration::from_millis(1)).await;
                    assert!(client.is_open().await, "{shards} shards, {round}: {number} waits");
                }
                runtime.sleep(Duration::from_millis(10)).await;
            }
        });
    }
}

/// The first bytes of a request whose body has 8 MiB.
fn large_request() -> Vec<u8> {
    let body = vec![7; 8 << 20];
    let fields = [("producerGroup", "p"), ("topic", "TBW102"), ("queueId", "0")];
    let mut out = Vec::new();
    encode::request(&mut out, Serialization::Json, request::SEND_MESSAGE, 1, false, &fields, &body)
        .expect("fits");
    out
}

#[test]
fn requests_that_arrive_in_part_share_a_budget_and_the_slowest_is_closed_first() {
    const BUDGET: usize = 8 << 20;
    const PART: usize = 3 << 20;
    Sim::new(1).run(async |runtime| {
        let mut settings = testing::settings(&runtime, config(&[]), 1);
        settings.input_bytes_max = BUDGET;
        let broker = simulation::start(&runtime, settings, 1);
        broker.ready(&runtime).await.expect("it starts");
        let request = large_request();
        let mut held = Vec::new();
        for _ in 0..6 {
            let mut client = Client::connect(&runtime).await;
            client.write(&request[..PART]).await;
            runtime.sleep(Duration::from_secs(1)).await;
            held.push(client);
            assert!(broker.held()[0].input_bytes <= BUDGET, "{:?}", broker.held());
        }
        let mut open = Vec::new();
        for client in &mut held {
            open.push(client.is_open().await);
        }
        assert_eq!(open, [false, false, false, false, true, true], "4 MiB each fit twice");
        // Whoever sends on is answered.
        let mut last = held.pop().expect("six");
        last.write(&request[PART..]).await;
        assert_ne!(last.receive().await.code, response::SUCCESS, "its body is too large");
        drop(held);
        runtime.sleep(Duration::from_secs(1)).await;
        drop(last);
        runtime.sleep(Duration::from_secs(1)).await;
        assert_eq!(broker.held()[0].input_bytes, 0);
    });
}

#[test]
fn a_length_that_is_announced_takes_no_memory() {
    Sim::new(1).run(async |runtime| {
        let broker = started(&runtime, 1, Sizes::default()).await;
        let mut clients = Vec::new();
        for _ in 0..200 {
            let mut client = Client::connect(&runtime).await;
            client.write(&large_request()[..9]).await;
            clients.push(client);
        }
        runtime.sleep(Duration::from_secs(1)).await;
        assert_eq!(broker.held()[0].input_bytes, 0, "nothing beyond an idle connection's");
    });
}

#[test]
fn a_connection_that_takes_all_room_for_waiting_leaves_half_of_it() {
    Sim::new(1).run(async |runtime| {
        let sizes = Sizes { waiting_pulls_max: 8, ..Sizes::default() };
        let _broker = started(&runtime, 1, sizes).await;
        let mut greedy = Client::connect(&runtime).await;
        for number in 0..20 {
            start_pull(&mut greedy, number % QUEUES, 7).await;
        }
        for _ in 4..20 {
            assert_eq!(greedy.receive().await.code, response::PULL_NOT_FOUND);
        }
        let mut modest = Client::connect(&runtime).await;
        for number in 0..2 {
            start_pull(&mut modest, number % QUEUES, 7).await;
        }
        runtime.sleep(Duration::from_secs(1)).await;
        assert!(modest.is_open().await && greedy.is_open().await, "all wait");
    });
}

#[test]
fn connections_that_take_all_room_for_waiting_together_give_up_a_place_for_who_has_none() {
    Sim::new(1).run(async |runtime| {
        let sizes = Sizes { waiting_pulls_max: 8, ..Sizes::default() };
        let _broker = started(&runtime, 1, sizes).await;
        let mut greedy = Vec::new();
        // Each has half of what is left, or one: 4, 2, 1 and 1.
        for waits in [4, 2, 1, 1] {
            let mut client = Client::connect(&runtime).await;
            for number in 0..waits {
                start_pull(&mut client, number % QUEUES, 7).await;
            }
            runtime.sleep(Duration::from_secs(1)).await;
            assert!(client.is_open().await, "all wait");
            greedy.push(client);
        }
        let mut modest = Client::connect(&runtime).await;
        start_pull(&mut modest, 0, 7).await;
        assert_eq!(greedy[0].receive().await.code, response::PULL_NOT_FOUND);
        runtime.sleep(Duration::from_secs(1)).await;
        assert!(modest.is_open().await, "it waits");
        // Who has two or three gives up none, and who has three meets the limit.
        start_pull(&mut greedy[0], 0, 7).await;
        assert_eq!(greedy[0].receive().await.code, response::PULL_NOT_FOUND);
        assert!(modest.is_open().await, "it waits on");
    });
}

#[test]
fn only_so_many_pulls_wait_and_the_others_are_answered_at_once() {
    Sim::new(1).run(async |runtime| {
        // of which one connection has half
        let sizes = Sizes { waiting_pulls_max: 6, ..Sizes::default() };
        let _broker = started(&runtime, 1, sizes).await;
        let mut client = Client::connect(&runtime).await;
        // deadlines are no lengths of time
        runtime.sleep(Duration::from_secs(90)).await;
        let begun = runtime.monotonic();
        for number in 0..5 {
            start_pull(&mut client, number % QUEUES, 7).await;
        }
        for _ in 0..2 {
            assert_eq!(client.receive().await.code, response::PULL_NOT_FOUND);
        }
        assert!(runtime.monotonic() - begun < Duration::from_secs(1), "at once");
        assert!(client.is_open().await, "three wait");
        for _ in 0..3 {
            assert_eq!(client.receive().await.code, response::PULL_NOT_FOUND);
        }
        let waited = runtime.monotonic() - begun;
        assert!((60..62).contains(&waited.as_secs()), "for their time: {waited:?}");
        // and as many may wait again
        for number in 0..3 {
            start_pull(&mut client, number % QUEUES, 7).await;
        }
        runtime.sleep(Duration::from_secs(1)).await;
        assert!(client.is_open().await);
    });
}
