//! kill -9 under load, at random moments, over and over on the same store: what was acknowledged is
//! there, once, where the acknowledgement said; nothing that was served ever changes.
//!
//! `RINGMQ_KILL9_CYCLES` (default 4) sets how many kills for each number of shards; half of them
//! with synchronous flush.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ringmq_campaign::checker::{Bodies, Checker, Queue};

use crate::client::Client;
use crate::process;
use crate::random::{Random, seed};
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(nothing_acknowledged_is_lost_when_the_broker_is_killed,);

const TOPICS: [&str; 2] = ["kill_a", "kill_b"];
const QUEUES: u32 = 3;
const CONNECTIONS: u64 = 4;
/// Requests in flight on a connection.
const WINDOW: usize = 16;
const CYCLES_DEFAULT: u64 = 4;
/// A store is left for a new one after so many kills: draining it takes ever longer.
const KILLS_OF_A_STORE: u64 = 10;
const LOAD_MS_MIN: u64 = 20;
const LOAD_MS_MAX: u64 = 600;

/// The messages of one run: ids are `cycle | connection | number`, and bodies follow from ids.
#[derive(Default)]
struct Sent {
    /// Messages that were handed to the network, by cycle and connection.
    counts: Mutex<HashMap<u64, u64>>,
}

const NUMBER_BITS: u32 = 32;

fn message_id(sender: u64, number: u64) -> u64 {
    sender << NUMBER_BITS | number
}

fn body_of(id: u64) -> Vec<u8> {
    let mut random = Random::with_seed(id);
    let length = match random.u64(..100) {
        0 => 40_000 + random.u64(..20_000),
        1..=9 => 2_000 + random.u64(..6_000),
        _ => 16 + random.u64(..400),
    };
    let mut body = vec![0; usize::try_from(length).expect("small")];
    random.fill(&mut body);
    body[..8].copy_from_slice(&id.to_be_bytes());
    body
}

impl Bodies for Sent {
    fn id(&self, body: &[u8]) -> Option<u64> {
        body.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
    }

    fn is_intact(&self, id: u64, body: &[u8]) -> bool {
        body_of(id) == body
    }

    fn was_sent(&self, id: u64) -> bool {
        let counts = self.counts.lock().expect("no panic while locked");
        let count = counts.get(&(id >> NUMBER_BITS)).copied().unwrap_or(0);
        id & ((1 << NUMBER_BITS) - 1) < count
    }

    fn order(&self, id: u64) -> (u64, u64) {
        (id >> NUMBER_BITS, id & ((1 << NUMBER_BITS) - 1))
    }
}

/// What the threads of a load report together.
struct Load {
    sent: Arc<Sent>,
    checker: Arc<Mutex<Checker>>,
    acks: AtomicU64,
    refusals: AtomicU64,
    stop: AtomicBool,
}

fn queues() -> Vec<Queue> {
    let ids = || 0..i32::try_from(QUEUES).expect("small");
    TOPICS.iter().flat_map(|topic| ids().map(|id| (topic.to_string(), id))).collect()
}

/// Sends until the connection breaks.
fn produce(load: &Load, address: SocketAddr, sender: u64, mut random: Random) {
    let Ok(mut client) = Client::connect(address) else {
        return;
    };
    let queues = queues();
    let mut flying: HashMap<i32, (Queue, u64)> = HashMap::new();
    let mut number = 0;
    while !load.stop.load(Ordering::Relaxed) {
        while flying.len() < WINDOW {
            let index = random.usize(..queues.len());
            let queue = queues[index].clone();
            let id = message_id(sender, number);
            number += 1;
            // before it is sent, so that nobody can see a message that seems not to be
            load.sent.counts.lock().expect("no panic while locked").insert(sender, number);
            match client.start_send(&queue.0, queue.1, &body_of(id)) {
                Ok(opaque) => flying.insert(opaque, (queue, id)),
                Err(_) => return,
            };
        }
        let Ok(reply) = client.reply() else { return };
        let (queue, id) = flying.remove(&reply.opaque).expect("a reply to a request of ours");
        if reply.code == 0 {
            assert_eq!(reply.number("queueId"), i64::from(queue.1), "queue of the acknowledgement");
            let mut checker = load.checker.lock().expect("no panic while locked");
            checker.acked(&queue, reply.number("queueOffset"), id);
            load.acks.fetch_add(1, Ordering::Relaxed);
        } else {
            load.refusals.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Follows the ends of all queues until the connection breaks.
fn follow(load: &Load, address: SocketAddr, mut next: HashMap<Queue, i64>) {
    let Ok(mut client) = Client::connect(address) else {
        return;
    };
    while !load.stop.load(Ordering::Relaxed) {
        for queue in queues() {
            let offset = next.entry(queue.clone()).or_insert(0);
            let pulled = match client.pull(&queue.0, queue.1, *offset, 32) {
                Ok(pulled) => pulled,
                Err(error) if error.kind() == std::io::ErrorKind::Other => panic!("{error}"),
                Err(_) => return,
            };
            *offset = pulled.next;
            for message in pulled.messages {
                let mut checker = load.checker.lock().expect("no panic while locked");
                checker.served(&*load.sent, &queue, message.queue_offset, &message.body);
            }
        }
    }
}

/// All messages of a queue, from its first to its last.
fn drain(client: &mut Client, queue: &Queue) -> Vec<(i64, Vec<u8>)> {
    let max = client.max_offset(&queue.0, queue.1).expect("the broker serves");
    let mut found = Vec::new();
    let mut offset = 0;
    while offset < max {
        let pulled = client.pull(&queue.0, queue.1, offset, 32).expect("the broker serves");
        assert_eq!(pulled.code, 0, "pull of {queue:?} at {offset} of {max}");
        assert_eq!(pulled.min, 0, "nothing was deleted from {queue:?}");
        assert!(pulled.next > offset, "pull of {queue:?} at {offset} makes no progress");
        offset = pulled.next;
        for message in pulled.messages {
            assert_eq!((&message.topic, message.queue_id), (&queue.0, queue.1), "queue");
            found.push((message.queue_offset, message.body));
        }
    }
    found
}

/// A store, its settings and its history.
struct Story {
    directory: tempfile::TempDir,
    settings: Settings,
    sent: Arc<Sent>,
    checker: Arc<Mutex<Checker>>,
    kills: u64,
}

impl Story {
    fn new(shards: u32, sync_flush: bool) -> Story {
        let directory = process::directory("kill9");
        let settings = Settings { shards, sync_flush, ..Settings::default() };
        let server = Server::start(directory.path(), &settings);
        let mut client = server.client();
        for topic in TOPICS {
            client.create_topic(topic, QUEUES).expect("the broker serves").expect(0);
        }
        let (sent, checker) = (Arc::default(), Arc::default());
        Story { directory, settings, sent, checker, kills: 0 }
    }

    /// Load, kill, perhaps another kill during recovery, drain, check.
    fn cycle(&mut self, cycle: u64, random: &mut Random) {
        let mut server = Server::start(self.directory.path(), &self.settings);
        let load = Arc::new(Load {
            sent: self.sent.clone(),
            checker: self.checker.clone(),
            acks: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let threads = start_load(&load, server.address, cycle, random);
        let load_ms = LOAD_MS_MIN + random.u64(..LOAD_MS_MAX - LOAD_MS_MIN);
        thread::sleep(Duration::from_millis(load_ms));
        server.process.kill9();
        load.stop.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().expect("no thread of the load panics");
        }
        if random.u64(..4) == 0 {
            let mut again = Server::spawn(self.directory.path(), &self.settings);
            thread::sleep(Duration::from_millis(random.u64(..120)));
            again.process.kill9();
        }
        let began = Instant::now();
        let server = Server::start(self.directory.path(), &self.settings);
        let recovered = began.elapsed();
        self.check(&server);
        self.kills += 1;
        println!(
            "cycle {cycle}: {} flush, killed after {load_ms} ms, {} acks, {} refusals, \
             {} acked in all, served again after {} ms",
            if self.settings.sync_flush { "sync" } else { "async" },
            load.acks.load(Ordering::Relaxed),
            load.refusals.load(Ordering::Relaxed),
            self.checker.lock().expect("no panic while locked").acked_count(),
            recovered.as_millis(),
        );
    }

    fn check(&mut self, server: &Server) {
        let mut client = server.client();
        let mut checker = self.checker.lock().expect("no panic while locked");
        for queue in queues() {
            let messages = drain(&mut client, &queue);
            checker.drained(&*self.sent, &queue, &messages);
        }
        let violations = std::mem::take(&mut checker.violations);
        drop(checker);
        if !violations.is_empty() {
            let path = keep(&mut self.directory);
            for violation in violations.iter().take(20) {
                println!("violation: {violation}");
            }
            panic!("{} violations; the store is kept in {}", violations.len(), path.display());
        }
    }
}

fn keep(directory: &mut tempfile::TempDir) -> std::path::PathBuf {
    directory.disable_cleanup(true);
    Path::to_owned(directory.path())
}

fn start_load(
    load: &Arc<Load>,
    address: SocketAddr,
    cycle: u64,
    random: &mut Random,
) -> Vec<JoinHandle<()>> {
    let mut threads = Vec::new();
    for connection in 0..CONNECTIONS {
        let (load, random) = (load.clone(), Random::with_seed(random.u64(..)));
        let sender = cycle * CONNECTIONS + connection;
        threads.push(thread::spawn(move || produce(&load, address, sender, random)));
    }
    let load = load.clone();
    threads.push(thread::spawn(move || follow(&load, address, HashMap::new())));
    threads
}

fn nothing_acknowledged_is_lost_when_the_broker_is_killed(shards: u32) {
    let cycles = match std::env::var("RINGMQ_KILL9_CYCLES") {
        Ok(text) => text.parse().expect("RINGMQ_KILL9_CYCLES is a number"),
        Err(_) => CYCLES_DEFAULT,
    };
    let mut random = Random::with_seed(seed("nothing_acknowledged_is_lost"));
    let mut stories = [None, None];
    for cycle in 0..cycles {
        let sync = cycle % 2 == 1;
        let story = &mut stories[usize::from(sync)];
        if story.as_ref().is_none_or(|story: &Story| story.kills >= KILLS_OF_A_STORE) {
            *story = Some(Story::new(shards, sync));
        }
        story.as_mut().expect("just made").cycle(cycle, &mut random);
    }
}
