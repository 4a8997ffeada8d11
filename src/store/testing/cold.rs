//! Reads from disk: the block cache, read-ahead, and what becomes of them when the disk fails or is
//! damaged.

use std::{cell::Cell, future::Future as _, task::Poll};

use ringmq_base::{LogPosition, PhysicalOffset};
use ringmq_io::{
    Shares, Spawn as _,
    sim::{Fault, FaultRule, OperationKind, Sim, SimDisk},
};

use super::*;
use crate::{ReadError, cache::BlockKey};

const MESSAGES: i64 = 3000;

fn cold_options(cache: usize) -> LogOptions {
    LogOptions {
        segment_bytes: 256 << 10,
        block_cache_bytes: cache,
        index_cache_pages: 64,
        backlog_bytes_max: 1 << 20,
        ..options(FlushMode::Sync)
    }
}

/// About 1.5 MiB in one queue, closed in order.
pub fn filled(seed: u64) -> SimDisk {
    let sim = Sim::new(seed);
    sim.run(async |runtime| {
        let (log, _) =
            open(&runtime, cold_options(0), &SharedOracle::default()).await.expect("opens");
        let queue = log.queue(TOPICS[0], 0);
        for offset in 0..MESSAGES {
            let body = body_of(offset);
            while log.append(queue, &record(TOPICS[0], 0, &body), 7, |_| None).is_err() {
                log.room().await;
            }
        }
        log.close().await.expect("closes");
    });
    sim.disk().clone()
}

fn body_of(offset: i64) -> Vec<u8> {
    let length = 100 + offset as usize * 7919 % 600;
    (0..length).map(|at| (offset as usize + at) as u8).collect()
}

async fn read(log: &TestLog, from: i64, messages: usize) -> Result<i64, ReadError> {
    let queue = log.find_queue(TOPICS[0], 0).expect("is there");
    let limits = ReadLimits { messages, bytes: 1 << 20, scan: 800 };
    let plan = log.plan_cold_read(queue, from, &limits, |_| true).await?;
    let mut out = Vec::new();
    log.read_cold(&plan, &mut out).await?;
    let mut rest = out.as_slice();
    let mut offset = from;
    while !rest.is_empty() {
        let record = Record::decode(rest).expect("records are whole");
        assert_eq!((record.queue_offset, record.body), (offset, body_of(offset).as_slice()));
        rest = &rest[record.size..];
        offset += 1;
    }
    assert_eq!(offset, plan.next_offset);
    Ok(offset)
}

pub async fn sweep(log: &TestLog, from: i64) {
    let mut next = from;
    while next < MESSAGES {
        next = read(log, next, 32).await.expect("reads");
    }
}

/// Runs with the log open, and closes it.
pub fn with_log(sim: &Sim, cache: usize, story: impl AsyncFnOnce(SimRuntime, TestLog)) {
    sim.run(async |runtime| {
        let oracle = SharedOracle::default();
        let (log, _) = open(&runtime, cold_options(cache), &oracle).await.expect("opens");
        sim.disk().reset_operations();
        story(runtime, log.clone()).await;
        assert_eq!(log.counters().fenced, None);
        log.close().await.expect("closes");
    });
}

fn reads(disk: &SimDisk) -> Vec<u64> {
    let log = disk.log();
    log.iter().filter(|one| one.kind == OperationKind::Read).map(|one| one.bytes).collect()
}

#[test]
fn a_sweep_is_read_ahead_and_read_once() {
    let disk = filled(1);
    let sim = Sim::with_disk(2, &disk);
    with_log(&sim, 8 << 20, async |_, log| {
        sweep(&log, 0).await;
        let counters = log.counters();
        assert!(counters.cold_read_bytes < 2 << 20, "{counters:?}");
        assert!(counters.read_ahead_bytes * 10 > counters.cold_read_bytes * 8, "{counters:?}");
        assert!(reads(sim.disk()).len() < 30, "{:?}", reads(sim.disk()));
        assert!(counters.cache_misses < 20 && counters.cache_hits > 100, "{counters:?}");
        assert_eq!(counters.cache_evictions, 0);
        sweep(&log, 0).await;
        assert_eq!(log.counters().cold_reads, counters.cold_reads, "all in memory");
    });
}

/// Before, all of it was copied in one go, and twice: more than a millisecond.
#[test]
fn a_long_record_is_copied_a_piece_at_a_time() {
    const BYTES: usize = 4 << 20;
    let options = || LogOptions {
        segment_bytes: 16 << 20,
        backlog_bytes_max: 16 << 20,
        ..cold_options(16 << 20)
    };
    let sim = Sim::new(5);
    sim.run(async |runtime| {
        let oracle = SharedOracle::default();
        let (log, _) = open(&runtime, options(), &oracle).await.expect("opens");
        let body = vec![7; BYTES];
        let long = record(TOPICS[0], 0, &body);
        while log.append(log.queue(TOPICS[0], 0), &long, 7, |_| None).is_err() {
            log.room().await;
        }
        log.close().await.expect("closes");
    });
    let sim = Sim::with_disk(6, sim.disk());
    sim.run(async |runtime| {
        let oracle = SharedOracle::default();
        let (log, _) = open(&runtime, options(), &oracle).await.expect("opens");
        let queue = log.find_queue(TOPICS[0], 0).expect("is there");
        let limits = ReadLimits { messages: 1, bytes: 1, scan: 1 };
        for from in ["the disk", "the cache"] {
            let plan = log.plan_cold_read(queue, 0, &limits, |_| true).await.expect("a plan");
            let (mut out, before) = (Vec::new(), runtime.pauses());
            log.read_cold(&plan, &mut out).await.expect("reads");
            let pauses = runtime.pauses() - before;
            let body = Record::decode(&out).expect("a record").body.to_vec();
            assert_eq!(body, vec![7; BYTES]);
            let least = if from == "the cache" { 2 * 14 } else { 14 };
            assert!(pauses >= least, "{pauses} pauses in a read from {from}");
        }
        log.close().await.expect("closes");
    });
}

#[test]
fn read_ahead_takes_the_wait_out_of_a_sweep() {
    let disk = filled(3);
    let took = |cache: usize| {
        let sim = Sim::with_disk(4, &disk.kill(1));
        let took = std::cell::Cell::new(Duration::ZERO);
        with_log(&sim, cache, async |runtime, log| {
            let began = runtime.monotonic();
            sweep(&log, 0).await;
            took.set(runtime.monotonic() - began);
            println!("cache {cache}: {:?}", took.get());
        });
        took.get()
    };
    assert!(took(8 << 20) * 2 < took(4096));
}

#[test]
fn many_readers_and_random_reads_under_a_tiny_budget_see_the_right_bytes() {
    for seed in 0..10 {
        let disk = filled(seed);
        let sim = Sim::with_disk(seed, &disk);
        println!("seed {seed}");
        let cache = [0, 5000, 40 << 10, 200 << 10, 4 << 20][seed as usize % 5];
        with_log(&sim, cache, async |runtime, log| {
            let running = Rc::new(Cell::new(0));
            for reader in 0..12_i64 {
                let (log, running) = (log.clone(), running.clone());
                let (mut random, clock) = (runtime.random(), runtime.clone());
                running.set(running.get() + 1);
                runtime.spawn(Shares::ColdRead, "reader", async move {
                    let mut next = reader * 100;
                    for _ in 0..60 {
                        let jump = reader % 3 == 0 || next >= MESSAGES;
                        next = if jump { random.below(MESSAGES as u64) as i64 } else { next };
                        let count = 1 + random.index(40);
                        next = read(&log, next, count).await.expect("reads");
                        if random.chance(1, 10) {
                            clock.sleep(Duration::from_micros(random.below(3000))).await;
                        }
                    }
                    running.set(running.get() - 1);
                });
            }
            while running.get() > 0 {
                runtime.sleep(Duration::from_millis(5)).await;
            }
            let held = log.shared.cache.weight();
            assert!(held <= cache as u64, "seed {seed}: {held} bytes of {cache}");
        });
    }
}

#[test]
fn readers_write_and_read_the_growing_end() {
    for seed in 0..10 {
        let sim = Sim::new(seed);
        let oracle = SharedOracle::default();
        sim.run(async |runtime| {
            let options = LogOptions { hot_tail_bytes: 0, ..options(FlushMode::Sync) };
            let options = LogOptions { block_cache_bytes: 100 << 10, ..options };
            let (log, _) = open(&runtime, options, &oracle).await.expect("opens");
            for _ in 0..6 {
                workload(&runtime, &log, &oracle, 100).await;
                check_all(&log, &oracle).await;
            }
            assert!(log.counters().cold_reads > 0);
            log.close().await.expect("closes");
        });
    }
}

#[test]
fn a_failed_read_ahead_is_the_error_of_the_reader_that_comes_there_and_of_nobody_else() {
    let disk = filled(5);
    for failing in 1..40 {
        let sim = Sim::with_disk(failing, &disk.kill(1));
        with_log(&sim, 8 << 20, async |runtime, log| {
            // Read-ahead is what no reader waits for: the same read is tried again by its reader.
            let rule = FaultRule::every(Some(OperationKind::Read), Fault::InputOutput);
            sim.disk().add_fault(rule.after(failing).times(1));
            let mut next = 0;
            let mut errors = 0;
            while next < MESSAGES {
                match read(&log, next, 32).await {
                    Ok(offset) => next = offset,
                    Err(ReadError::Disk(_)) => errors += 1,
                    Err(error) => panic!("{error}"),
                }
                runtime.yield_if_needed().await;
            }
            assert!(errors <= 1, "{errors} errors of one fault");
            let queue = log.find_queue(TOPICS[0], 0).expect("is there");
            log.append(queue, &record(TOPICS[0], 0, b"x"), 7, |_| None).expect("not fenced");
        });
    }
}

#[test]
fn a_bad_place_on_the_disk_fails_only_who_reads_it() {
    let disk = filled(6);
    let sim = Sim::with_disk(6, &disk);
    with_log(&sim, 8 << 20, async |_, log| {
        let bad = &segment_files(sim.disk())[2];
        let rule = FaultRule::every(Some(OperationKind::Read), Fault::InputOutput);
        sim.disk().add_fault(rule.on(bad.clone()));
        let (mut bad_reads, mut good) = (0, 0);
        for from in (0..MESSAGES).step_by(32) {
            match read(&log, from, 32).await {
                Ok(_) => good += 1,
                Err(ReadError::Disk(error)) => {
                    assert_eq!(&error.path, bad);
                    bad_reads += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert!(bad_reads > 5 && good > 50, "{bad_reads} {good}");
        sim.disk().clear_faults();
        sweep(&log, 0).await;
    });
}

#[test]
fn a_reader_that_goes_away_leaves_the_others_alone() {
    for seed in 0..30 {
        let disk = filled(7);
        let sim = Sim::with_disk(seed, &disk);
        with_log(&sim, 1 << 20, async |runtime, log| {
            let mut random = runtime.random();
            let done = Rc::new(Cell::new(0));
            for from in [0, 0, 40, 40, 1000] {
                let (log, done) = (log.clone(), done.clone());
                runtime.spawn(Shares::ColdRead, "stays", async move {
                    read(&log, from, 100).await.expect("reads");
                    done.set(done.get() + 1);
                });
            }
            for from in [0, 20, 1000, 40] {
                let patience = runtime.sleep(Duration::from_micros(random.below(120)));
                let mut reading = std::pin::pin!(read(&log, from, 100));
                let mut patience = std::pin::pin!(patience);
                std::future::poll_fn(|context| {
                    let read = reading.as_mut().poll(context).is_ready();
                    let over = patience.as_mut().poll(context).is_ready();
                    if read || over { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
            }
            runtime.sleep(Duration::from_millis(50)).await;
            assert_eq!(done.get(), 5, "seed {seed}");
        });
    }
}

#[test]
fn damage_in_the_cache_and_on_disk_is_refused_until_the_file_is_repaired() {
    let disk = filled(8);
    let sim = Sim::with_disk(8, &disk);
    with_log(&sim, 8 << 20, async |_, log| {
        let queue = log.find_queue(TOPICS[0], 0).expect("is there");
        let entry = log.entry(queue, 50).await.expect("reads").expect("is there");
        let physical: PhysicalOffset = entry.physical;
        let file = &segment_files(sim.disk())[0];
        let bit = 8 * (physical.position().0 + 60);
        sim.disk().flip_bit(file, bit);
        // Brings the damaged block into the cache.
        read(&log, 51, 1).await.expect("its neighbour is whole");
        let error = read(&log, 50, 1).await.expect_err("damaged");
        assert!(matches!(error, ReadError::Damaged { .. }), "{error}");
        assert!(matches!(log.read_record(physical).await, Err(ReadError::Damaged { .. })));
        read(&log, 51, 1).await.expect("again into the cache");
        sim.disk().flip_bit(file, bit);
        assert!(log.read_record(physical).await.expect("repaired").is_some());
        read(&log, 50, 1).await.expect("repaired");
        // Damage behind the back of the cache is not seen before it is read again.
        read(&log, 50, 1).await.expect("whole");
        sim.disk().flip_bit(file, bit);
        read(&log, 50, 1).await.expect("from memory, whole");
        log.shared.cache.remove_range(BlockKey::Log(0)..BlockKey::Log(u64::MAX));
        read(&log, 50, 1).await.expect_err("damaged");
    });
}

#[test]
fn a_segment_that_is_shorter_than_its_records_is_damage() {
    let disk = filled(9);
    let sim = Sim::with_disk(9, &disk);
    with_log(&sim, 8 << 20, async |_, log| {
        let file = &segment_files(sim.disk())[1];
        sim.disk().truncate(file, 100 << 10);
        let mut damaged = 0;
        for from in (0..MESSAGES).step_by(16) {
            match read(&log, from, 16).await {
                Ok(_) => {}
                Err(ReadError::Damaged { .. }) => damaged += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(damaged > 5, "{damaged}");
    });
}

fn scrubbing(interval: Duration) -> LogOptions {
    LogOptions {
        scrub_bytes_per_second: 1 << 20,
        scrub_interval: interval,
        ..cold_options(8 << 20)
    }
}

#[test]
fn scrubbing_finds_damage_of_old_segments_and_reads_of_it_are_refused_until_it_is_repaired() {
    let disk = filled(10);
    let sim = Sim::with_disk(10, &disk);
    sim.run(async |runtime| {
        let interval = Duration::from_secs(20);
        let oracle = SharedOracle::default();
        let (log, _) = open(&runtime, scrubbing(interval), &oracle).await.expect("opens");
        let queue = log.find_queue(TOPICS[0], 0).expect("is there");
        let mut bits = Vec::new();
        for offset in [50, 700] {
            let entry = log.entry(queue, offset).await.expect("reads").expect("is there");
            let position = entry.physical.position().0;
            let segment = log.shared.segment_at(position).expect("is there");
            bits.push((segment.path.clone(), 8 * (position - segment.start + 60)));
        }
        runtime.sleep(Duration::from_secs(1)).await;
        sim.disk().reset_operations();
        runtime.sleep(Duration::from_secs(18)).await;
        assert_eq!(log.counters().scrubbed_bytes, 0, "not yet due");
        assert!(reads(sim.disk()).is_empty());
        runtime.sleep(Duration::from_secs(11)).await;
        let scrubbed = log.counters().scrubbed_bytes;
        assert!(scrubbed > 1 << 20, "{scrubbed}");
        assert_eq!(log.counters().damaged_ranges, 0);
        for (path, bit) in &bits {
            sim.disk().flip_bit(path, *bit);
        }
        runtime.sleep(Duration::from_secs(20)).await;
        assert_eq!(log.counters().damaged_ranges, 2);
        assert!(log.counters().scrubbed_bytes < 3 * scrubbed, "slowly");
        for offset in [50, 700] {
            let error = read(&log, offset, 1).await.expect_err("damaged");
            assert!(matches!(error, ReadError::Damaged { .. }), "{error}");
            read(&log, offset + 1, 1).await.expect("its neighbour is whole");
        }
        let before = reads(sim.disk()).len();
        read(&log, 50, 1).await.expect_err("known");
        assert_eq!(reads(sim.disk()).len(), before, "refused without a try");
        for (path, bit) in &bits {
            sim.disk().flip_bit(path, *bit);
        }
        runtime.sleep(Duration::from_secs(11)).await;
        read(&log, 50, 1).await.expect("repaired");
        runtime.sleep(Duration::from_secs(20)).await;
        assert_eq!(log.counters().damaged_ranges, 0);
        log.close().await.expect("closes");
        // Nothing is left of the task.
        runtime.sleep(Duration::from_secs(1)).await;
        sim.disk().reset_operations();
        runtime.sleep(Duration::from_secs(100)).await;
        assert_eq!(sim.disk().operations(), 0);
    });
}

#[test]
fn scrubbing_goes_on_beside_writers_readers_retention_and_failing_reads() {
    for seed in 0..10 {
        println!("seed {seed}");
        let sim = Sim::new(seed);
        let oracle = SharedOracle::default();
        sim.run(async |runtime| {
            let options = LogOptions {
                scrub_bytes_per_second: 100 << 20,
                scrub_interval: Duration::from_millis(3),
                ..options(FlushMode::Sync)
            };
            let (log, _) = open(&runtime, options, &oracle).await.expect("opens");
            for round in 0..6 {
                workload(&runtime, &log, &oracle, 150).await;
                check_all(&log, &oracle).await;
                let end = log.position_range().1.position().0;
                let before = LogPosition(end.saturating_sub(100 << 10));
                log.retire(before, round % 3).await.expect("retires");
                if round == 3 {
                    let rule = FaultRule::every(Some(OperationKind::Read), Fault::InputOutput);
                    sim.disk().add_fault(rule.after(seed).times(3));
                }
            }
            runtime.sleep(Duration::from_millis(100)).await;
            let counters = log.counters();
            assert!(counters.scrubbed_bytes > 100 << 10, "{counters:?}");
            assert_eq!((counters.damaged_ranges, counters.fenced), (0, None));
            log.close().await.expect("closes");
        });
    }
}
