//! Queries by key of a whole log: what was appended is found by its keys, whatever happened to the
//! log and to the key index.

use ringmq_base::PhysicalOffset;
use ringmq_io::sim::{Fault, FaultRule, OperationKind, Sim, SimDisk, Stopped};

use super::*;
use crate::{KeyAnswer, KeyQuery, KeySizes, keys::Words};

const KEYS: u64 = 200;

fn small(flush: FlushMode) -> LogOptions {
    LogOptions {
        hot_tail_bytes: 16 << 10,
        snapshot_bytes: 48 << 10,
        keys: KeySizes { run_pages: 1, slots: 2, sealed_max: 3 },
        ..options(flush)
    }
}

/// What was appended, in the order of the log: acknowledged ones first in every life.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sent {
    physical: PhysicalOffset,
    topic: usize,
    properties: Vec<u8>,
    time: i64,
}

fn properties(random: &mut Random) -> Vec<u8> {
    let key = |random: &mut Random| format!("k{}", random.below(KEYS));
    let (one, two) = (key(random), key(random));
    format!("KEYS\x01{one} {two}\x02UNIQ_KEY\x01u{}\x02", random.below(100_000)).into()
}

/// Appends small messages; they are visible when the log is quiet.
async fn fill(runtime: &SimRuntime, log: &TestLog, sent: &RefCell<Vec<Sent>>, count: usize) {
    let mut random = runtime.random();
    let mut left = count;
    while left > 0 {
        let topic = random.index(2);
        let properties = properties(&mut random);
        let mut record = record(TOPICS[topic], 0, b"body");
        record.properties = [&properties, b"", b""];
        match log.append(log.queue(TOPICS[topic], 0), &record, 0, |_| None) {
            Ok(appended) => {
                let (physical, time) = (appended.physical, appended.store_timestamp);
                sent.borrow_mut().push(Sent { physical, topic, properties, time });
                left -= 1;
            }
            Err(AppendError::Busy { .. } | AppendError::Full { .. }) => log.room().await,
            Err(AppendError::Fenced { .. }) => return,
            Err(error) => panic!("{error}"),
        }
        if random.chance(1, 10) {
            runtime.sleep(Duration::from_micros(random.below(3000))).await;
        }
    }
}

async fn quiet(log: &TestLog) {
    let settled = || {
        let state = log.shared.state.borrow();
        let holes = log.shared.key_files.holes(state.first + 4096);
        state.backlog == 0 && !state.keys.is_lagging() && holes.is_empty()
    };
    while !settled() {
        log.shared.runtime.sleep(Duration::from_millis(1)).await;
    }
}

async fn find(log: &TestLog, topic: usize, key: &str, times: (i64, i64), max: usize) -> KeyAnswer {
    let (begin_ms, end_ms) = times;
    let topic = TOPICS[topic];
    let (messages_max, bytes_max) = (max, 1 << 20);
    let query = KeyQuery { topic, key, begin_ms, end_ms, messages_max, bytes_max };
    log.query(&query).await.expect("the disk reads")
}

/// Queries for random keys are answered with exactly the messages that have them.
async fn check(log: &TestLog, sent: &RefCell<Vec<Sent>>, queries: usize) {
    let mut random = log.shared.runtime.random();
    for _ in 0..queries {
        let key = format!("k{}", random.below(KEYS));
        let (topic, max) = (random.index(2), 1 + random.index(40));
        let mut times = (i64::MIN, i64::MAX);
        if random.chance(1, 2) && !sent.borrow().is_empty() {
            let sent = sent.borrow();
            let mut time = || sent[random.index(sent.len())].time;
            times = (time(), time());
        }
        let expected: Vec<_> = {
            let sent = sent.borrow();
            let fits = |one: &&Sent| {
                one.topic == topic
                    && (times.0..=times.1).contains(&one.time)
                    && Words::of(&one.properties).contains(key.as_bytes())
            };
            sent.iter().rev().filter(fits).take(max).map(|one| one.physical).collect()
        };
        let answer = find(log, topic, &key, times, max).await;
        let found: Vec<_> = answer.matches.iter().map(|one| one.physical).collect();
        assert_eq!(found, expected, "{topic} {key} {times:?} {max}");
        assert!(answer.damage.is_none() && !answer.cut);
    }
}

/// After a crash: what is in the log is what counts.
async fn reread(log: &TestLog, sent: &RefCell<Vec<Sent>>) {
    let all = sent.take();
    for one in all {
        let Ok(Some(bytes)) = log.read_record(one.physical).await else { continue };
        let record = Record::decode(&bytes).expect("decodes");
        if record.properties == one.properties && record.topic == TOPICS[one.topic] {
            sent.borrow_mut().push(one);
        }
    }
    sent.borrow_mut().sort_by_key(|one| one.physical);
    sent.borrow_mut().dedup();
}

fn live(seed: u64, disk: &SimDisk, flush: FlushMode, sent: &RefCell<Vec<Sent>>, n: usize) -> bool {
    let result = Sim::with_disk(seed, disk).try_run(async |runtime| {
        let oracle = SharedOracle::default();
        let (log, _) = open(&runtime, small(flush), &oracle).await.expect("opens");
        quiet(&log).await;
        reread(&log, sent).await;
        check(&log, sent, 20).await;
        for _ in 0..3 {
            fill(&runtime, &log, sent, n / 3).await;
            quiet(&log).await;
            check(&log, sent, 10).await;
        }
        log.close().await.expect("closes");
    });
    match result {
        Ok(()) => true,
        Err(Stopped::DiskCrashed { .. }) => false,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn messages_are_found_by_key_from_memory_runs_and_after_restarts() {
    for seed in 0..6 {
        println!("seed {seed}");
        let disk = SimDisk::new(seed);
        let sent = RefCell::default();
        let flush = if seed % 2 == 0 { FlushMode::Sync } else { FlushMode::Async };
        for life in 0..3 {
            assert!(live(seed * 31 + life, &disk, flush, &sent, 600));
        }
        let files = disk.files();
        assert!(files.iter().any(|path| path.to_string_lossy().contains("keys-")));
    }
}

#[test]
fn crashes_at_random_moments_lose_no_key() {
    for seed in 0..25 {
        println!("seed {seed}");
        let mut disk = SimDisk::new(seed);
        let sent = RefCell::default();
        let flush = if seed % 2 == 0 { FlushMode::Sync } else { FlushMode::Async };
        for life in 0..3 {
            disk.crash_after_operation(20 + seed * 7919 % 300 + life * 40);
            live(seed * 31 + life, &disk, flush, &sent, 300);
            disk = if seed % 3 == 0 { disk.kill(seed) } else { disk.power_cut(seed) };
        }
        assert!(live(seed * 37, &disk, flush, &sent, 30));
    }
}

fn key_files(disk: &SimDisk) -> Vec<PathBuf> {
    let mut files = disk.files();
    files.retain(|path| path.extension().is_some_and(|end| end == "kdx"));
    files
}

#[test]
fn lost_key_segments_are_made_anew_from_the_log() {
    for seed in 0..6 {
        let disk = SimDisk::new(seed);
        let sent = RefCell::default();
        assert!(live(seed, &disk, FlushMode::Sync, &sent, 900));
        let files = key_files(&disk);
        assert!(files.len() > 1, "{files:?}");
        match seed {
            0 => files.iter().for_each(|path| disk.remove_file(path)),
            1 => disk.remove_file(&files[files.len() - 1]),
            2 => disk.remove_file(&files[0]),
            3 => files.iter().for_each(|path| disk.truncate(path, 4096)),
            4 => files.iter().for_each(|path| disk.write_file(path, b"something else")),
            _ => disk.write_file("store/log-000/keys-99999999999999999999.kdx", b"x"),
        }
        assert!(live(seed + 50, &disk, FlushMode::Sync, &sent, 60), "seed {seed}");
    }
}

#[test]
fn damage_in_a_run_is_told_and_never_answered() {
    let disk = SimDisk::new(1);
    let sent = RefCell::default();
    assert!(live(1, &disk, FlushMode::Sync, &sent, 900));
    let path = key_files(&disk).remove(0);
    let bytes = disk.read_file(&path).expect("there").len() as u64;
    for page in 2..bytes / 4096 {
        disk.flip_bit(&path, page * 4096 * 8 + 4000);
    }
    Sim::with_disk(3, &disk).run(async |runtime| {
        let oracle = SharedOracle::default();
        let (log, _) = open(&runtime, small(FlushMode::Sync), &oracle).await.expect("opens");
        quiet(&log).await;
        let mut damaged = 0;
        for key in 0..KEYS {
            let answer = find(&log, 0, &format!("k{key}"), (0, i64::MAX), 64).await;
            let all = sent.borrow();
            for one in &answer.matches {
                assert!(all.iter().any(|sent| sent.physical == one.physical));
            }
            if let Some(damage) = answer.damage {
                assert!(damage.to_string().contains("keys-"), "{damage}");
                damaged += 1;
            }
        }
        assert_eq!(damaged, KEYS);
        log.close().await.expect("closes");
    });
}

#[test]
fn keys_of_segments_that_were_given_up_are_gone() {
    let disk = SimDisk::new(1);
    let sent = RefCell::default();
    assert!(live(1, &disk, FlushMode::Sync, &sent, 1500));
    let before = key_files(&disk);
    Sim::with_disk(3, &disk).run(async |runtime| {
        let oracle = SharedOracle::default();
        let (log, _) = open(&runtime, small(FlushMode::Sync), &oracle).await.expect("opens");
        quiet(&log).await;
        let (_, end) = log.position_range();
        let retired = log.retire(end.position(), 0).await.expect("gives up");
        assert!(retired.segments > 1);
        let (first, _) = log.position_range();
        sent.borrow_mut().retain(|one| one.physical >= first);
        check(&log, &sent, 60).await;
        fill(&runtime, &log, &sent, 300).await;
        quiet(&log).await;
        check(&log, &sent, 60).await;
        log.close().await.expect("closes");
    });
    let after = key_files(&disk);
    assert!(before.iter().all(|path| !after.contains(path) || Some(path) == before.last()));
    assert!(live(9, &disk, FlushMode::Sync, &sent, 30));
}

#[test]
fn errors_of_the_disk_cost_the_index_nothing() {
    for seed in 0..12 {
        println!("seed {seed}");
        let disk = SimDisk::new(seed);
        let kinds = [
            OperationKind::Write,
            OperationKind::Sync,
            OperationKind::Allocate,
            OperationKind::Create,
            OperationKind::Rename,
            OperationKind::SetLength,
        ];
        let fault = if seed % 2 == 0 { Fault::InputOutput } else { Fault::NoSpace };
        let rule = FaultRule::every(Some(kinds[seed as usize % kinds.len()]), fault);
        disk.add_fault(rule.where_path_contains("keys-").after(seed / 4).times(2));
        let sent = RefCell::default();
        for life in 0..2 {
            assert!(live(seed * 31 + life, &disk, FlushMode::Sync, &sent, 450));
        }
    }
}
