//! A key index that the disk has changed: nothing wrong is found, and it is said that something may
//! be missing.

use std::time::Duration;

use ringmq_io::{
    Clock as _,
    sim::{Sim, SimDisk},
};
use ringmq_remoting::codes::{request, response};
use ringmq_store::KeySizes;

use super::{
    Client,
    cluster::{Broker, QUEUES, TOPIC, on_all_heard},
};

/// Of some pages in each log.
const MESSAGES: usize = 3000;

/// Inverts a bit in every page of every segment of the index, but for headers.
fn damage_runs(disk: &SimDisk) {
    let mut files = disk.files();
    files.retain(|path| path.extension().is_some_and(|end| end == "kdx"));
    assert!(!files.is_empty(), "nothing is on the disk yet");
    for path in files {
        let bytes = disk.read_file(&path).expect("it is listed").len() as u64;
        for page in 2..bytes / 4096 {
            disk.flip_bit(&path, page * 4096 * 8 + 4000);
        }
    }
}

async fn look_up(client: &mut Client, number: usize) -> (i32, String) {
    let key = format!("k{number}");
    let fields = [
        ("topic", TOPIC),
        ("key", key.as_str()),
        ("maxNum", "32"),
        ("beginTimestamp", "0"),
        ("endTimestamp", "9223372036854775807"),
    ];
    let answer = client.call(request::QUERY_MESSAGE, &fields, b"").await;
    (answer.code, answer.remark)
}

#[test]
fn damage_in_the_key_index_is_told_to_who_looks_for_a_key_and_in_the_log() {
    on_all_heard(1, |shards, seed, complaints| {
        let sim = Sim::new(seed);
        sim.run(async |runtime| {
            let _broker = Broker::start_with(&runtime, shards, &[], |settings| {
                settings.sizes.log.keys = KeySizes { run_pages: 1, slots: 3, sealed_max: 2 };
            });
            let mut client = Client::connect(&runtime).await;
            assert_eq!(client.make_topic(TOPIC).await.code, response::SUCCESS);
            for number in 0..MESSAGES {
                let keys = format!("KEYS\u{1}k{number}\u{2}");
                let queue = number as i32 % QUEUES;
                let sent = client.send_to(TOPIC, queue, false, &keys, b"x").await;
                assert_eq!(sent.code, response::SUCCESS, "{}", sent.remark);
            }
            runtime.sleep(Duration::from_secs(2)).await;
            assert_eq!(look_up(&mut client, 0).await.0, response::SUCCESS);
            assert_eq!(complaints.take(), [""; 0]);
            damage_runs(sim.disk());
            let (code, remark) = look_up(&mut client, 0).await;
            assert_eq!(code, response::SYSTEM_ERROR, "{remark}");
            for part in ["damaged key index in ", "; the run is not used any more, "] {
                assert!(remark.contains(part), "{remark}");
            }
            let said = complaints.take();
            let text = "damaged run of the key index: these messages are not found by key any more";
            assert!(said.iter().any(|line| line.contains(text)), "{said:?}");
            // What is in memory is found all the same.
            let (code, remark) = look_up(&mut client, MESSAGES - 1).await;
            assert_eq!(code, response::SUCCESS, "{remark}");
        });
    });
}
