//! What a large backlog costs: fills one log with small messages at full speed, then says what its
//! index takes of memory and disk, how long opening takes, and how long it takes to find an offset
//! and a time. Prints what a billion messages would take by the same measure.
//!
//! ```text
//! cargo run --release -p ringmq-store --example index_scale -- DIRECTORY [MESSAGES] [QUEUES]
//! ```
//!
//! The directory must not exist yet, is on a real disk (not tmpfs) and is removed at the end. 50
//! million messages (the default) take 8 GB.

#![forbid(unsafe_code)]

use std::{env, fs, path::PathBuf, time::Instant};

use ringmq_base::LogId;
use ringmq_io::launch::launch;
use ringmq_io::ring::RingRuntime;
use ringmq_store::{
    AppendError, Boundary, FlushMode, Log, LogError, LogOptions, NewRecord, QueueHandle, Sink,
};

const BILLION: f64 = 1e9;
const LOOKUPS: i64 = 2000;

struct Nobody;

impl Sink for Nobody {
    type Ticket = ();

    fn durable(&self, tickets: &mut Vec<()>) {
        tickets.clear();
    }

    fn failed(&self, error: &LogError, _: &mut Vec<()>) {
        panic!("{error}");
    }

    fn arrived(&self, _: &[QueueHandle]) {}
}

fn main() {
    let mut words = env::args().skip(1);
    let directory =
        PathBuf::from(words.next().expect("usage: index_scale DIRECTORY [MESSAGES] [QUEUES]"));
    let mut number = |default: i64| words.next().map_or(default, |n| n.parse().expect("a number"));
    let (messages, queues) = (number(50_000_000), number(8) as i32);
    assert!(!directory.exists(), "{} exists", directory.display());
    let root = directory.clone();
    let work = move |_, runtime| measure(runtime, root.clone(), messages, queues);
    launch(&[0], false, work).expect("an executor").join();
    fs::remove_dir_all(&directory).expect("removes what it has made");
}

async fn open(runtime: &RingRuntime, directory: PathBuf) -> Log<RingRuntime, Nobody> {
    let options = LogOptions {
        flush: FlushMode::Async,
        ..LogOptions::new(directory, LogId::new(0).expect("in range"), 1)
    };
    let began = Instant::now();
    let (log, found) = Log::open(runtime.clone(), options, Nobody).await.expect("opens");
    println!(
        "open: {:.3} s, {} messages of the log read again ({})",
        began.elapsed().as_secs_f64(),
        found.records,
        found.case.label()
    );
    log
}

async fn measure(runtime: RingRuntime, directory: PathBuf, messages: i64, queues: i32) {
    let log = open(&runtime, directory.join("log-000")).await;
    let began = Instant::now();
    fill(&log, messages, queues).await;
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "fill: {messages} messages in {queues} queues, {:.0} a second",
        messages as f64 / seconds
    );
    let counters = log.counters();
    println!("index: {} pages written, {} snapshots", counters.index_pages, counters.snapshots);
    let began = Instant::now();
    log.close().await.expect("closes");
    println!("close: {:.3} s", began.elapsed().as_secs_f64());

    let log = open(&runtime, directory.join("log-000")).await;
    let memory = log.index_memory();
    let per_message = memory.directory as f64 / messages as f64;
    println!(
        "memory: directory {} bytes ({per_message:.4} a message; a billion: {:.0} MiB), entries \
         that are in no page {} bytes",
        memory.directory,
        per_message * BILLION / f64::from(1 << 20),
        memory.entries
    );
    let index_bytes: u64 = fs::read_dir(directory.join("log-000"))
        .expect("is there")
        .filter_map(Result::ok)
        .filter(|file| file.file_name().to_string_lossy().ends_with(".idx"))
        .filter_map(|file| file.metadata().ok())
        .map(|metadata| metadata.len())
        .sum();
    println!("disk: {:.2} bytes of index a message", index_bytes as f64 / messages as f64);
    find(&log, messages / i64::from(queues), queues).await;
    log.close().await.expect("closes");
}

async fn fill(log: &Log<RingRuntime, Nobody>, messages: i64, queues: i32) {
    let handles: Vec<QueueHandle> = (0..queues).map(|id| log.queue("Scale", id)).collect();
    let host = "127.0.0.1:10911".parse().expect("an address");
    for number in 0..messages {
        let queue_id = (number % i64::from(queues)) as i32;
        let record = NewRecord {
            topic: "Scale",
            queue_id,
            flag: 0,
            sys_flag: 0,
            born_timestamp: number,
            born_host: host,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: b"0123456789abcdef",
            properties: [b"", b"", b""],
        };
        let handle = handles[queue_id as usize];
        loop {
            match log.append(handle, &record, number, |_| None) {
                Ok(_) => break,
                Err(AppendError::Busy { .. }) => log.room().await,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Looks up offsets and times all over the backlog; nothing is in memory at first.
async fn find(log: &Log<RingRuntime, Nobody>, per_queue: i64, queues: i32) {
    let began = Instant::now();
    for lookup in 0..LOOKUPS {
        let queue = log.find_queue("Scale", lookup as i32 % queues).expect("is there");
        let offset = (lookup * 7_919_777) % per_queue;
        let entry = log.entry(queue, offset).await.expect("reads").expect("is there");
        assert_eq!(entry.tags_code, offset * i64::from(queues) + lookup % i64::from(queues));
    }
    println!("find an offset: {:.0} us", began.elapsed().as_secs_f64() / LOOKUPS as f64 * 1e6);
    let queue = log.find_queue("Scale", 0).expect("is there");
    let (min, max) = log.bounds(queue);
    let began = Instant::now();
    let lookups = 50;
    for lookup in 0..lookups {
        let entry = log.entry(queue, min + (max - min) * lookup / lookups).await;
        let physical = entry.expect("reads").expect("is there").physical;
        let bytes = log.read_record(physical).await.expect("reads").expect("is there");
        let record = ringmq_base::record::Record::decode(&bytes).expect("whole");
        let time = record.store_timestamp;
        let found = log.offset_by_time(queue, time, Boundary::Lower).await.expect("finds");
        assert!(found <= record.queue_offset);
    }
    println!("find a time: {:.0} us", began.elapsed().as_secs_f64() / lookups as f64 * 1e6);
}
