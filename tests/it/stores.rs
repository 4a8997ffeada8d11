//! Stores that may or may not be opened: made with other settings, in use, foreign, newer, damaged.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ringmq_base::checksum::crc32c;

use crate::process::{self, Process};
use crate::server::{Server, Settings, configure, free_port};
use crate::shards::for_shards;

for_shards!(
    a_store_opens_with_any_number_of_shards,
    damage_in_acknowledged_messages_is_refused_and_left_alone,
    the_doctor_finds_all_damage_of_a_stopped_store_and_changes_nothing,
    a_store_that_has_lost_a_log_or_its_topics_is_refused,
    a_store_in_use_is_refused,
    a_store_that_is_removed_or_moved_stops_its_broker_at_once,
);

const END_TIMEOUT: Duration = Duration::from_secs(30);
const MESSAGES: i32 = 64;
const QUEUES: i32 = 4;

/// Fills a store and stops its broker.
fn fill(directory: &Path, shards: u32) {
    let settings = Settings { shards, ..Settings::default() };
    let mut server = Server::start(directory, &settings);
    let mut client = server.client();
    client.create_topic("store", QUEUES.unsigned_abs()).expect("the broker serves").expect(0);
    for number in 0..MESSAGES {
        let body = number.to_string();
        client.send("store", number % QUEUES, body.as_bytes()).expect("an answer").expect(0);
    }
    server.process.signal(nix::sys::signal::Signal::SIGTERM);
    let status = server.process.wait(END_TIMEOUT);
    assert_eq!(status.code(), Some(0), "{}", server.process.output());
}

fn check(server: &Server) {
    let mut client = server.client();
    for queue in 0..QUEUES {
        let pulled = client.pull("store", queue, 0, 32).expect("an answer");
        assert_eq!(pulled.messages.len(), 16, "messages of queue {queue}");
        for (round, message) in (0..).zip(pulled.messages) {
            assert_eq!(message.body, (round * QUEUES + queue).to_string().into_bytes());
        }
    }
}

/// A broker on this store must end with one sentence, and leave the store as it is.
fn refused(directory: &Path, mentions: &str) {
    let before = listing(&directory.join("store"));
    let file = configure(directory, free_port(), &Settings::default());
    let mut process = Process::start(&["broker", "-c", &file], directory.join("refused.log"));
    process.expects("broker cannot start");
    let status = process.wait(END_TIMEOUT);
    let output = process.output();
    assert_eq!(status.code(), Some(1), "{output}");
    assert!(!output.contains("panicked"), "{output}");
    let sentences: Vec<_> = output.lines().filter(|line| line.starts_with("ringmq: ")).collect();
    assert_eq!(sentences.len(), 1, "one sentence in:\n{output}");
    assert!(sentences[0].contains(mentions), "{mentions:?} is not mentioned: {}", sentences[0]);
    assert_eq!(listing(&directory.join("store")), before, "the store was changed");
}

/// Files below a directory with their sizes and checksums; the lock file does not count.
pub fn listing(directory: &Path) -> Vec<(PathBuf, usize, u32)> {
    let mut found = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(next) = directories.pop() {
        for entry in fs::read_dir(next).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.file_name().is_some_and(|name| name != "lock") {
                let bytes = fs::read(&path).expect("a readable file");
                found.push((path, bytes.len(), crc32c(&bytes)));
            }
        }
    }
    found.sort();
    found
}

fn a_store_opens_with_any_number_of_shards(shards: u32) {
    let directory = process::directory("shards");
    fill(directory.path(), shards);
    for others in [1, 3, shards] {
        let settings = Settings { shards: others, ..Settings::default() };
        let server = Server::start(directory.path(), &settings);
        check(&server);
    }
}

fn a_store_in_use_is_refused(shards: u32) {
    let directory = process::directory("in-use");
    let settings = Settings { shards, ..Settings::default() };
    let server = Server::start(directory.path(), &settings);
    let file = configure(directory.path(), free_port(), &settings);
    let log = directory.path().join("second.log");
    let mut second = Process::start(&["broker", "-c", &file], log);
    assert_eq!(second.wait(END_TIMEOUT).code(), Some(1), "{}", second.output());
    assert!(second.output().contains("ringmq: "), "{}", second.output());
    server.client().create_topic("still", 1).expect("the first one serves").expect(0);
}

// Single: refused before a shard starts.
#[test]
fn a_foreign_directory_is_refused_and_left_alone() {
    let directory = process::directory("foreign");
    let store = directory.path().join("store");
    fs::create_dir_all(store.join("commitlog")).expect("the directory can be written");
    fs::write(store.join("commitlog/00000000000000000000"), b"of another broker").expect("write");
    fs::write(store.join("abort"), b"").expect("write");
    refused(directory.path(), "store");
}

// Single: refused before a shard starts.
#[test]
fn a_newer_store_is_refused_and_left_alone() {
    let directory = process::directory("newer");
    fill(directory.path(), 1);
    let path = directory.path().join("store/MANIFEST");
    let mut block = fs::read(&path).expect("the manifest");
    // magic 8 bytes, version u32, CRC32C u32 over all other bytes, all little-endian
    block[8..12].copy_from_slice(&99_u32.to_le_bytes());
    let crc = crc32c(&[&block[..12], &block[16..]].concat());
    block[12..16].copy_from_slice(&crc.to_le_bytes());
    fs::write(&path, block).expect("write");
    refused(directory.path(), "99");
}

// Single: refused before a shard starts.
#[test]
fn a_damaged_manifest_is_refused_and_left_alone() {
    let directory = process::directory("damaged");
    fill(directory.path(), 1);
    let path = directory.path().join("store/MANIFEST");
    let mut block = fs::read(&path).expect("the manifest");
    block[20] ^= 0x40;
    fs::write(&path, block).expect("write");
    refused(directory.path(), "MANIFEST");
}

fn damage_in_acknowledged_messages_is_refused_and_left_alone(shards: u32) {
    let directory = process::directory("damage");
    fill(directory.path(), shards);
    let logs = listing(&directory.path().join("store"));
    let needle = b"\x05store";
    let mut damaged = 0;
    for (path, ..) in logs {
        let mut bytes = fs::read(&path).expect("a readable file");
        let places: Vec<usize> =
            memory_find(&bytes, needle).into_iter().filter(|place| *place > 4096).collect();
        // somewhere in the middle, so that intact records stand behind it
        if places.len() as u32 >= MESSAGES.cast_unsigned() / shards / 2 {
            bytes[places[places.len() / 2]] ^= 0x01;
            fs::write(&path, bytes).expect("write");
            damaged += 1;
        }
    }
    assert_eq!(damaged, shards, "the segments with the messages were found");
    serves_no_wrong_bytes(directory.path(), shards);
}

/// Runs `ringmq doctor` on the store: exit code and output.
fn doctor(directory: &Path, more: &[&str]) -> (Option<i32>, String) {
    let store = directory.join("store");
    let mut arguments = vec!["doctor", "--store", store.to_str().expect("UTF-8")];
    arguments.extend(more);
    let mut process = Process::start(&arguments, directory.join("doctor.log"));
    let status = process.wait(END_TIMEOUT);
    (status.code(), process.output())
}

fn the_doctor_finds_all_damage_of_a_stopped_store_and_changes_nothing(shards: u32) {
    let directory = process::directory("doctor");
    fill(directory.path(), shards);
    let before = listing(&directory.path().join("store"));
    let (code, output) = doctor(directory.path(), &[]);
    assert_eq!(code, Some(0), "{output}");
    let last = output.lines().last().expect("a summary");
    assert!(last.starts_with("sound: ") && last.contains("64 messages"), "{output}");
    assert_eq!(listing(&directory.path().join("store")), before, "the store was changed");

    let mut damaged = Vec::new();
    for (path, ..) in &before {
        let mut bytes = fs::read(path).expect("a readable file");
        let places: Vec<usize> =
            memory_find(&bytes, b"\x05store").into_iter().filter(|place| *place > 4096).collect();
        if places.len() >= 16 && path.extension().is_some_and(|end| end == "seg") {
            for place in [places[4], places[9]] {
                bytes[place] ^= 0x01;
                damaged.push((path.clone(), place as u64));
            }
            fs::write(path, bytes).expect("write");
        }
    }
    assert!(damaged.len() >= 2 * shards as usize, "the segments with the messages were found");
    let before = listing(&directory.path().join("store"));
    let (code, output) = doctor(directory.path(), &["--json"]);
    assert_eq!(code, Some(1), "{output}");
    let report: serde_json::Value = serde_json::from_str(&output).expect("one JSON object");
    assert_eq!(report["totals"]["damages"], damaged.len());
    assert_eq!(report["totals"]["messages"], MESSAGES as usize - damaged.len());
    for (path, place) in &damaged {
        let name = path.strip_prefix(directory.path().join("store")).expect("below the store");
        let files = report["files"].as_array().expect("files");
        let file = files.iter().find(|file| file["file"] == name.to_str().expect("UTF-8"));
        let damages = file.expect("it is listed")["damages"].as_array().expect("damages").clone();
        let holds = |damage: &serde_json::Value| {
            let bound = |key: &str| damage[key].as_u64().expect("a number");
            (bound("from")..bound("to")).contains(place)
        };
        assert!(damages.iter().any(holds), "byte {place} of {name:?}: {output}");
    }
    let (code, output) = doctor(directory.path(), &[]);
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("DAMAGED") && output.contains("restore the file"), "{output}");
    assert_eq!(listing(&directory.path().join("store")), before, "the store was changed");
}

// Single: the doctor starts no shards.
#[test]
fn the_doctor_leaves_a_store_in_use_and_what_is_no_store_alone() {
    let directory = process::directory("doctor-no");
    let (code, output) = doctor(directory.path(), &[]);
    assert_eq!(code, Some(2), "{output}");
    assert!(!directory.path().join("store").exists(), "nothing is created");
    fs::create_dir(directory.path().join("store")).expect("write");
    let (code, output) = doctor(directory.path(), &[]);
    assert_eq!(code, Some(2), "{output}");
    assert!(output.contains("not a RingMQ store"), "{output}");
    let server = Server::start(directory.path(), &Settings::default());
    let (code, output) = doctor(directory.path(), &[]);
    assert_eq!(code, Some(2), "{output}");
    assert!(output.contains("in use by a broker"), "{output}");
    server.client().create_topic("still", 1).expect("the broker serves").expect(0);
}

/// Either it refuses to open with one sentence, or it opens and answers no pull with wrong bytes.
fn serves_no_wrong_bytes(directory: &Path, shards: u32) {
    let mut server = Server::spawn(directory, &Settings { shards, ..Settings::default() });
    let file = directory.join("store");
    let deadline = std::time::Instant::now() + END_TIMEOUT;
    loop {
        if let Some(status) = server.process.ended() {
            let output = server.process.output();
            assert_eq!(status.code(), Some(1), "{output}");
            server.process.expects("broker cannot start");
            assert!(output.contains("ringmq: ") && !output.contains("panicked"), "{output}");
            return;
        }
        if std::net::TcpStream::connect(server.address).is_ok() {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "neither serves nor ends: {file:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    server.await_answer();
    server.process.expects("damaged message");
    server.process.expects("pull failed");
    let mut client = server.client();
    let mut served = 0;
    for queue in 0..QUEUES {
        for offset in 0..16 {
            let code = match client.pull("store", queue, offset, 1) {
                Ok(pulled) => {
                    for message in &pulled.messages {
                        let number = message.queue_offset * i64::from(QUEUES) + i64::from(queue);
                        assert_eq!(message.body, number.to_string().into_bytes());
                        assert_eq!(message.topic, "store");
                        served += 1;
                    }
                    pulled.code
                }
                Err(error) if error.kind() == std::io::ErrorKind::Other => {
                    println!("queue {queue} offset {offset}: {error}");
                    continue;
                }
                Err(error) => panic!("queue {queue} offset {offset}: {error}"),
            };
            println!("queue {queue} offset {offset}: code {code}");
        }
    }
    assert!(served < MESSAGES, "the damage was not noticed");
}

fn memory_find(bytes: &[u8], needle: &[u8]) -> Vec<usize> {
    let windows = bytes.windows(needle.len()).enumerate();
    windows.filter(|(_, window)| *window == needle).map(|(place, _)| place).collect()
}

fn a_store_that_has_lost_a_log_or_its_topics_is_refused(shards: u32) {
    for lost in [format!("log-{:03}", shards - 1), "meta".to_owned()] {
        let directory = process::directory("lost");
        fill(directory.path(), shards);
        fs::remove_dir_all(directory.path().join("store").join(lost)).expect("removes");
        refused(directory.path(), "missing mark");
    }
}

fn a_store_that_is_removed_or_moved_stops_its_broker_at_once(shards: u32) {
    let remove = |store: &Path| {
        // As long as the broker lives it may make a file behind the removal's back.
        while let Err(error) = fs::remove_dir_all(store) {
            assert_eq!(error.kind(), std::io::ErrorKind::DirectoryNotEmpty, "{error}");
        }
    };
    let rename = |store: &Path| {
        fs::rename(store, store.with_extension("elsewhere")).expect("it is there");
    };
    let only_a_log = |store: &Path| fs::remove_dir_all(store.join("log-000")).expect("a log");
    let ways: [&dyn Fn(&Path); 3] = [&remove, &rename, &only_a_log];
    for lose in ways {
        let directory = process::directory("store-lost");
        let settings = Settings { shards, ..Settings::default() };
        let mut server = Server::start(directory.path(), &settings);
        let mut client = server.client();
        client.create_topic("store", 4).expect("the broker serves").expect(0);
        server.process.expects("was removed or moved away while the broker ran");
        for allowed in ["WARN", "ERROR"] {
            // What it cannot write any more it says as well.
            server.process.allows(allowed);
        }
        lose(&directory.path().join("store"));
        let began = std::time::Instant::now();
        while client.send("store", 0, b"x").is_ok_and(|reply| reply.code == 0) {
            assert!(began.elapsed() < Duration::from_secs(1), "it goes on acknowledging");
        }
        let status = server.process.wait(END_TIMEOUT);
        assert_eq!(status.code(), Some(1), "{}", server.process.output());
    }
}
