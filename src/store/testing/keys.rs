//! The key index alone, on the simulated disk: a log that is only a list of messages, an oracle
//! that looks through all of it, crashes at every operation, damage.

use ringmq_io::sim::{Sim, SimDisk, Stopped};

use super::*;
use crate::{
    ReadError,
    api::options::KeySizes,
    keys::{KeyBuffer, KeyFiles, KeyOptions, Noted, Search, Wanted, hash_of},
};

/// Where the log begins.
const FIRST: u64 = 4096;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    position: u64,
    topic: &'static str,
    properties: Vec<u8>,
    time: i64,
}

/// What a store keeps besides the key index. Outlives crashes.
#[derive(Default)]
struct World {
    messages: Vec<Message>,
    /// Ends of the log that is on stable storage, and of what retention took.
    stable: u64,
    first: u64,
    /// Position and key section of the last snapshot.
    snapshot: Option<(u64, Vec<u8>)>,
    time: i64,
}

fn key_options() -> KeyOptions {
    let log = LogId::new(0).expect("in range");
    let sizes = KeySizes { run_pages: 1, slots: 3, sealed_max: 8 };
    KeyOptions { directory: directory(), log, store_id: 77, sizes }
}

impl World {
    fn end(&self) -> u64 {
        self.messages.last().map_or(FIRST, |message| message.position + 200)
    }

    fn append(&mut self, random: &mut Random) -> Message {
        // A minute at most, and now and then longer than a block's times reach.
        self.time += match random.below(400) {
            0 => 70_000_000,
            1..40 => random.below(60_000) as i64,
            _ => random.below(3) as i64,
        };
        let words: Vec<String> = (0..random.below(4)).map(|_| word(random)).collect();
        let unique = format!("U{:04}", random.below(2000));
        let mut properties = format!("TAGS\x01t\x02KEYS\x01{}\x02", words.join(" "));
        if random.chance(4, 5) {
            properties.push_str(&format!("UNIQ_KEY\x01{unique}\x02"));
        }
        let position = self.end() + 8 * random.below(20) + 40;
        let topic = TOPICS[random.index(2)];
        let time = self.time;
        let message = Message { position, topic, properties: properties.into(), time };
        self.messages.push(message.clone());
        message
    }

    /// A crash: what was not stable may be gone.
    fn cut(&mut self, random: &mut Random) {
        while self.end() > self.stable && random.chance(5, 6) {
            self.messages.pop();
        }
        self.stable = self.end();
    }

    fn expected(&self, wanted: &Wanted, topic: &str, key: &str) -> Vec<u64> {
        let fits = |message: &&Message| {
            let words = crate::keys::Words::of(&message.properties);
            message.topic == topic
                && words.contains(key.as_bytes())
                && (wanted.begin_ms..=wanted.end_ms).contains(&message.time)
                && message.position >= self.first
                && message.position < wanted.before
        };
        self.messages.iter().rev().filter(fits).map(|message| message.position).collect()
    }
}

/// Few of them often, so that a key fills pages.
fn word(random: &mut Random) -> String {
    match random.below(6) {
        0 => "often".into(),
        _ => format!("k{}", random.below(500)),
    }
}

struct Index {
    buffer: KeyBuffer,
    files: KeyFiles<SimRuntime>,
}

fn noted(message: &Message) -> Noted<'_> {
    let Message { position, topic, properties, time } = message;
    let (position, store_timestamp) = (*position, *time);
    Noted { topic, sys_flag: 0, properties, position, end: position + 200, store_timestamp }
}

fn note(buffer: &mut KeyBuffer, message: &Message) {
    buffer.note(&noted(message));
}

impl Index {
    async fn open(runtime: &SimRuntime, world: &RefCell<World>) -> Index {
        let files = KeyFiles::open(runtime.clone(), key_options()).await.expect("opens");
        // What a log finds when it is opened is stable.
        let end = world.borrow().end();
        world.borrow_mut().stable = end;
        let mut index = {
            let world = world.borrow();
            let (from, section) = match &world.snapshot {
                Some((position, section)) => (*position, Some(section.as_slice())),
                None => (FIRST, None),
            };
            let covered = files.covered().max(FIRST);
            assert!(covered <= end, "runs up to {covered} of a log up to {end}");
            let mut buffer = KeyBuffer::restore(key_options().limits(), section, covered, from);
            let replayed = world.messages.iter().filter(|message| message.position >= from);
            replayed.for_each(|message| note(&mut buffer, message));
            Index { buffer, files }
        };
        index.catch_up(world).await;
        index
    }

    /// Writes the oldest block if the log is stable behind it.
    async fn write(&mut self, stable: u64) -> bool {
        let Some(block) = self.buffer.oldest().filter(|block| block.to <= stable) else {
            return false;
        };
        self.files.write(&block).await.expect("writes");
        self.buffer.retire(block);
        true
    }

    async fn make_room(&mut self, world: &RefCell<World>) {
        while !self.buffer.has_room() {
            let end = world.borrow().end();
            world.borrow_mut().stable = end;
            assert!(self.write(end).await);
        }
    }

    /// Notes what the buffer had no room for when the log was replayed.
    async fn catch_up(&mut self, world: &RefCell<World>) {
        while self.buffer.is_lagging() {
            self.make_room(world).await;
            let world = world.borrow();
            let at = self.buffer.frontier();
            let mut rest = world.messages.iter().filter(|message| message.position >= at);
            for message in rest.by_ref() {
                self.buffer.note_late(&noted(message));
                if !self.buffer.has_room() {
                    break;
                }
            }
            if rest.next().is_none() && self.buffer.has_room() {
                self.buffer.resume();
            }
        }
    }

    async fn find(
        &self,
        wanted: Wanted,
        limit: usize,
    ) -> Result<(Vec<u64>, Option<ReadError>), ReadError> {
        let mut search = Search::new(wanted, &self.buffer, self.files.runs(), 100_000, 10_000);
        let mut all = Vec::new();
        loop {
            let found = search.next(limit).await?;
            if found.is_empty() {
                assert!(!search.is_cut());
                return Ok((all, search.damage));
            }
            all.extend(found);
        }
    }
}

/// Searches for a key and compares with the oracle.
async fn check(index: &Index, world: &RefCell<World>, random: &mut Random) {
    let key = match random.below(4) {
        0 => "often".into(),
        1 => format!("U{:04}", random.below(2000)),
        _ => word(random),
    };
    let topic = TOPICS[random.index(2)];
    let hash = hash_of(topic, key.as_bytes());
    let mut wanted = Wanted { hash, before: u64::MAX, begin_ms: i64::MIN, end_ms: i64::MAX };
    let expected = {
        let world = world.borrow();
        if random.chance(1, 2) && !world.messages.is_empty() {
            let mut time = || world.messages[random.index(world.messages.len())].time;
            (wanted.begin_ms, wanted.end_ms) = (time() - 1, time() + 1);
        }
        world.expected(&wanted, topic, &key)
    };
    let limit = if random.chance(1, 20) { 1 } else { 20 + random.index(100) };
    let (mut found, damage) = index.find(wanted, limit).await.expect("reads");
    assert!(damage.is_none());
    assert!(found.windows(2).all(|pair| pair[0] > pair[1]), "newest first: {found:?}");
    // A search may bring what is a few seconds outside the times, or trimmed with others.
    let world = world.borrow();
    found.retain(|position| {
        let at = world.messages.partition_point(|message| message.position < *position);
        let message = &world.messages[at];
        assert_eq!((message.position, message.topic), (*position, topic));
        (wanted.begin_ms..=wanted.end_ms).contains(&message.time) && *position >= world.first
    });
    let at = found.iter().zip(&expected).position(|(found, expected)| found != expected);
    let (left, right) = (found.len(), expected.len());
    assert!(found == expected, "{topic} {key} {wanted:?}: {left} of {right}, differs at {at:?}");
}

async fn check_many(index: &Index, world: &RefCell<World>, random: &mut Random, count: usize) {
    for _ in 0..count {
        check(index, world, random).await;
    }
}

/// One life of the index.
async fn life(runtime: &SimRuntime, world: &RefCell<World>, steps: usize) {
    let mut random = runtime.random();
    let mut index = Index::open(runtime, world).await;
    check_many(&index, world, &mut random, 6).await;
    for _ in 0..steps {
        for _ in 0..random.below(90) {
            let message = world.borrow_mut().append(&mut random);
            note(&mut index.buffer, &message);
        }
        index.catch_up(world).await;
        if random.chance(2, 3) {
            let mut world = world.borrow_mut();
            let back = random.index(world.messages.len() / 10 + 1);
            let at = world.messages.len().checked_sub(back + 1);
            let end = at.map_or(FIRST, |at| world.messages[at].position + 200);
            world.stable = world.stable.max(end);
        }
        index.make_room(world).await;
        let stable = world.borrow().stable;
        index.write(stable).await;
        if random.chance(1, 2) {
            index.files.merge(|| true).await.expect("merges");
        }
        if random.chance(1, 4) {
            let until = world.borrow().stable;
            let mut section = Vec::new();
            index.buffer.encode_section(until, &mut section);
            world.borrow_mut().snapshot = Some((until, section));
        }
        if random.chance(1, 15) {
            let first = {
                let mut world = world.borrow_mut();
                let oldest = world.messages.len() / 4;
                let first = world.messages.get(oldest).map_or(FIRST, |message| message.position);
                // Never what the last snapshot has to replay.
                let replay = world.snapshot.as_ref().map_or(FIRST, |(position, _)| *position);
                world.first = world.first.max(first.min(replay));
                world.first
            };
            index.files.trim(first).await.expect("trims");
        }
        check(&index, world, &mut random).await;
    }
    check_many(&index, world, &mut random, 8).await;
    index.files.close().await.expect("closes");
}

fn live(seed: u64, disk: &SimDisk, world: &RefCell<World>, steps: usize) -> bool {
    let sim = Sim::with_disk(seed, disk);
    let result = sim.try_run(async |runtime| life(&runtime, world, steps).await);
    match result {
        Ok(()) => true,
        Err(Stopped::DiskCrashed { .. }) => false,
        Err(other) => panic!("{other}"),
    }
}

fn new_world(disk: &SimDisk) -> RefCell<World> {
    Sim::with_disk(1, disk).run(async |runtime| {
        let disk = ringmq_io::Runtime::disk(&runtime);
        ringmq_io::Disk::create_directory(disk, &directory()).await.expect("creates");
    });
    RefCell::new(World { first: FIRST, stable: FIRST, time: 1_700_000_000_000, ..World::default() })
}

#[test]
fn every_message_is_found_by_its_keys_over_restarts_merges_and_retention() {
    for seed in 0..6 {
        println!("seed {seed}");
        let disk = SimDisk::new(seed);
        let world = new_world(&disk);
        for life in 0..3 {
            assert!(live(seed * 31 + life, &disk, &world, 50));
        }
    }
}

fn crash_at(operation: u64, power_cut: bool) -> bool {
    let seed = 7 + operation;
    println!("power cut: {power_cut}, crash after operation {operation}");
    let disk = SimDisk::new(seed);
    let world = new_world(&disk);
    disk.crash_after_operation(operation);
    let ended = live(seed, &disk, &world, 20);
    let mut random = Random::new(seed);
    let mut next = if power_cut { disk.power_cut(seed) } else { disk.kill(seed) };
    for again in 0..2 {
        world.borrow_mut().cut(&mut random);
        if again < 1 {
            next.crash_after_operation(operation * 7 % 40 + again * 11);
        }
        live(seed * 3 + again, &next, &world, 6);
        next = if power_cut { next.power_cut(seed) } else { next.kill(seed) };
    }
    ended
}

#[test]
fn a_crash_at_every_operation_loses_no_key() {
    for power_cut in [false, true] {
        for operation in 1.. {
            if crash_at(operation, power_cut) {
                assert!(operation > 60, "the workload is too small: {operation}");
                break;
            }
        }
    }
}
