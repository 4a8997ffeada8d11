//! Segments that are given up: crashes and faults at every operation, readers in the middle,
//! recycled files, segment sizes that change.

use std::collections::BTreeSet;

use ringmq_base::LogPosition;
use ringmq_io::{
    Disk as _, Runtime as _, Spawn as _,
    sim::{Fault, FaultRule, Sim, SimDisk, Stopped},
};

use super::*;
use crate::{Case, ReadError, SegmentInfo};

/// What retention has promised: where each queue begins at least.
type Mins = RefCell<BTreeMap<(usize, i32), i64>>;

fn with_spares(spares: usize) -> LogOptions {
    with_flush(FlushMode::Sync, spares)
}

fn with_flush(flush: FlushMode, spares: usize) -> LogOptions {
    LogOptions { spare_segments_max: spares, ..options(flush) }
}

fn queue_bounds(log: &TestLog) -> BTreeMap<(usize, i32), (i64, i64)> {
    let mut all = BTreeMap::new();
    for (topic, name) in TOPICS.iter().enumerate() {
        for queue_id in 0..QUEUES {
            if let Some(queue) = log.find_queue(name, queue_id) {
                all.insert((topic, queue_id), log.bounds(queue));
            }
        }
    }
    all
}

/// Gives up all but the last `keep` complete segments; what it promises is noted.
async fn retire(log: &TestLog, mins: &Mins, keep: usize, spares: usize) -> Option<crate::Retired> {
    let segments = log.segments().await;
    let complete: Vec<&SegmentInfo> = segments.iter().filter(|one| one.complete).collect();
    let last = complete.len().checked_sub(keep + 1)?;
    let before = complete[last].end;
    let retired = log.retire(before, spares).await.ok()?;
    let left = log.segments().await;
    assert_eq!(left.first().map(|one| one.start), Some(before));
    assert_eq!(log.position_range().0.position(), before);
    for (queue, (min, _)) in queue_bounds(log) {
        mins.borrow_mut().insert(queue, min);
    }
    Some(retired)
}

fn check_mins(log: &TestLog, mins: &Mins) {
    let bounds = queue_bounds(log);
    for (queue, min) in &*mins.borrow() {
        assert!(
            bounds.get(queue).is_some_and(|now| now.0 >= *min),
            "{queue:?} begins before {min}"
        );
    }
}

/// Works and retires until the end or the crash; true at the end.
fn live(seed: u64, disk: &SimDisk, oracle: &SharedOracle, mins: &Mins, rounds: usize) -> bool {
    live_with(seed, disk, with_spares(2), (oracle, mins), rounds)
}

fn live_with(
    seed: u64,
    disk: &SimDisk,
    options: LogOptions,
    (oracle, mins): (&SharedOracle, &Mins),
    rounds: usize,
) -> bool {
    let result = Sim::with_disk(seed, disk).try_run(async |runtime| {
        let (log, found) = open(&runtime, options, oracle).await.expect("opens");
        assert_eq!(found.case.verdict(), crate::api::cases::Verdict::Opens);
        check_promises(&log, oracle).await;
        check_mins(&log, mins);
        for _ in 0..rounds {
            if workload(&runtime, &log, oracle, 120).await < 120 {
                return;
            }
            // Everything is durable and seen before it may go.
            while log.backlog_bytes() > 0 {
                runtime.sleep(Duration::from_millis(1)).await;
            }
            check_all(&log, oracle).await;
            retire(&log, mins, 1, 2).await;
            check_promises(&log, oracle).await;
        }
        let _ = log.close().await;
    });
    match result {
        Ok(()) => true,
        Err(Stopped::DiskCrashed { .. }) => false,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_crash_at_every_operation_of_retiring_loses_nothing_that_stays() {
    let mut ended = false;
    for operation in 1.. {
        if ended {
            assert!(operation > 150, "the workload is too small");
            return;
        }
        let disk = SimDisk::new(31);
        let (oracle, mins) = (SharedOracle::default(), Mins::default());
        println!("seed 31, crash after operation {operation}");
        disk.crash_after_operation(operation);
        ended = live(31, &disk, &oracle, &mins, 3);
        assert!(!ended || !mins.borrow().is_empty(), "nothing was given up");
        let image =
            if operation % 2 == 0 { disk.kill(operation) } else { disk.power_cut(operation) };
        live(32, &image, &oracle, &mins, 1);
    }
}

#[test]
fn lives_that_end_at_random_moments_lose_nothing_that_stays() {
    let images: u64 = std::env::var("STORE_IMAGES").ok().map_or(30, |n| n.parse().expect("n"));
    for seed in 200..200 + images {
        let flush = if seed % 3 == 0 { FlushMode::Async } else { FlushMode::Sync };
        println!("seed {seed}, {flush:?}");
        let (oracle, mins) = (SharedOracle::default(), Mins::default());
        let mut disk = SimDisk::new(seed);
        for life in 0..5 {
            disk.crash_after_operation(seed * 7919 % 97 + life * 61);
            let options = with_flush(flush, 2);
            live_with(seed + life, &disk, options, (&oracle, &mins), 4);
            let kill = (seed + life).is_multiple_of(2);
            disk = if kill { disk.kill(life) } else { disk.power_cut(life) };
            if flush == FlushMode::Async && !kill {
                // What was not yet synced may be gone; what was given up stays given up.
                let mut oracle = oracle.borrow_mut();
                oracle.acknowledged.clear();
                oracle.seen.clear();
            }
        }
    }
}

#[test]
fn a_fault_at_every_operation_of_retiring_is_survived() {
    for operation in (1..).step_by(3) {
        println!("seed 41, fault at operation {operation}");
        let disk = SimDisk::new(41);
        let (oracle, mins) = (SharedOracle::default(), Mins::default());
        disk.add_fault(FaultRule::at(operation, Fault::InputOutput));
        Sim::with_disk(41, &disk).run(async |runtime| {
            let Ok((log, _)) = open(&runtime, with_spares(2), &oracle).await else {
                return;
            };
            for _ in 0..3 {
                if workload(&runtime, &log, &oracle, 120).await < 120 {
                    break;
                }
                check_all(&log, &oracle).await;
                retire(&log, &mins, 1, 2).await;
            }
            let _ = log.close().await;
        });
        let ended = disk.operations() < operation;
        disk.clear_faults();
        let after = SharedOracle::default();
        after.borrow_mut().appended = oracle.borrow().appended.clone();
        Sim::with_disk(42, &disk.kill(operation)).run(async |runtime| {
            let (log, _) = open(&runtime, with_spares(2), &after).await.expect("opens");
            check_mins(&log, &mins);
            check_all(&log, &after).await;
            log.close().await.expect("closes");
        });
        if ended {
            assert!(operation > 150, "the workload is too small");
            return;
        }
    }
}

#[test]
fn the_active_segment_and_what_is_not_stable_stay() {
    let sim = Sim::new(51);
    let oracle = SharedOracle::default();
    sim.run(async |runtime| {
        let (log, _) = open(&runtime, with_spares(0), &oracle).await.expect("opens");
        let everything = LogPosition(u64::MAX >> 16);
        let retired = log.retire(everything, 0).await.expect("retires");
        assert_eq!(retired, crate::Retired::default(), "the only segment stays");
        workload(&runtime, &log, &oracle, 400).await;
        check_all(&log, &oracle).await;
        let retired = log.retire(everything, 0).await.expect("retires");
        let left = log.segments().await;
        assert!(retired.segments > 1 && !left.is_empty() && !left[0].complete, "{left:?}");
        assert_eq!(retired.bytes, retired.segments as u64 * (64 << 10));
        check_all(&log, &oracle).await;
        append(&log, &oracle, 0, 0, vec![1]).expect("room");
        log.clone().close().await.expect("closes");
        let result = log.retire(everything, 0).await;
        assert!(matches!(result, Err(LogError::ShuttingDown)), "{result:?}");
    });
    let names: BTreeSet<_> = segment_files(sim.disk()).into_iter().collect();
    assert!(names.len() <= 2, "files of retired segments are gone: {names:?}");
}

#[test]
fn times_of_segments_are_those_of_their_messages() {
    let sim = Sim::new(52);
    let oracle = SharedOracle::default();
    sim.run(async |runtime| {
        for life in 0..2 {
            let (log, _) = open(&runtime, with_spares(0), &oracle).await.expect("opens");
            if life == 0 {
                workload(&runtime, &log, &oracle, 500).await;
            }
            let segments = log.segments().await;
            assert!(segments.len() > 2);
            let now = runtime.now_ms();
            for pair in segments.windows(2) {
                assert_eq!(pair[0].end, pair[1].start);
                let first = pair[0].first_stored_ms.expect("it has a message");
                assert!(first <= pair[0].last_stored_ms && pair[0].last_stored_ms <= now);
                assert!(pair[1].first_stored_ms.is_none_or(|ms| ms >= pair[0].last_stored_ms));
            }
            log.close().await.expect("closes");
        }
    });
}

#[test]
fn readers_of_a_segment_that_goes_end_well_or_hear_that_it_is_gone() {
    for seed in 60..90 {
        let sim = Sim::new(seed);
        let oracle = SharedOracle::default();
        sim.run(async |runtime| {
            let (log, _) = open(&runtime, with_spares(2), &oracle).await.expect("opens");
            workload(&runtime, &log, &oracle, 400).await;
            let outcomes = Rc::new(RefCell::new((0, 0)));
            let queue = log.find_queue(TOPICS[0], 0).expect("has messages");
            let (min, max) = log.bounds(queue);
            for from in min..max {
                let (log, outcomes) = (log.clone(), outcomes.clone());
                let task = async move {
                    let limits = ReadLimits { messages: 4, bytes: 20_000, scan: 4 };
                    let plan = match log.plan_cold_read(queue, from, &limits, |_| true).await {
                        Ok(plan) => plan,
                        Err(error) => panic!("{error}"),
                    };
                    let mut bytes = Vec::new();
                    match log.read_cold(&plan, &mut bytes).await {
                        Ok(()) => outcomes.borrow_mut().0 += 1,
                        Err(ReadError::Removed { .. }) => outcomes.borrow_mut().1 += 1,
                        Err(error) => panic!("{error}"),
                    }
                };
                runtime.spawn(ringmq_io::Shares::ColdRead, "reader", task);
            }
            runtime.sleep(Duration::from_micros(seed * 7 % 300)).await;
            let retired = retire(&log, &Mins::default(), 0, 2).await.expect("retires");
            assert!(retired.segments > 0);
            // What was given up is written over meanwhile.
            workload(&runtime, &log, &oracle, 300).await;
            let ended = outcomes.borrow().0 + outcomes.borrow().1;
            assert_eq!(ended, max - min, "all readers have ended");
            log.close().await.expect("closes");
        });
    }
}

#[test]
fn nothing_is_allocated_ahead_out_of_the_last_bytes_of_a_disk() {
    let disk = SimDisk::new(61);
    let sim = Sim::with_disk(61, &disk);
    let oracle = SharedOracle::default();
    sim.run(async |runtime| {
        let options = LogOptions {
            segment_bytes: 64 << 20,
            zero_ahead_bytes: 16 << 20,
            ..options(FlushMode::Sync)
        };
        disk.set_capacity(8 << 20);
        let (log, _) = open(&runtime, options, &oracle).await.expect("opens");
        runtime.sleep(Duration::from_secs(5)).await;
        let space = async || runtime.disk().space(Path::new("store")).await.expect("tells");
        let (free, total) = space().await;
        assert!(free >= total / 64, "{free} of {total} bytes are left");
        // Appends get them all the same.
        let mut random = runtime.random();
        let mut full = false;
        while !full {
            match append(&log, &oracle, 0, 0, random_body(&mut random)) {
                Ok(_) => runtime.yield_if_needed().await,
                Err(AppendError::Busy { .. }) => log.room().await,
                Err(AppendError::Full { .. }) => full = true,
                Err(error) => panic!("{error}"),
            }
        }
        let (free, _) = space().await;
        assert!(free < 1 << 20, "{free} bytes are left although appends are refused");
        log.close().await.expect("closes");
    });
}

#[test]
fn files_of_retired_segments_become_new_ones() {
    let disk = SimDisk::new(71);
    let (oracle, mins) = (SharedOracle::default(), Mins::default());
    let mut recycled = 0;
    for life in 0..6 {
        Sim::with_disk(71 + life, &disk).run(async |runtime| {
            let (log, _) = open(&runtime, with_spares(2), &oracle).await.expect("opens");
            check_promises(&log, &oracle).await;
            for _ in 0..4 {
                workload(&runtime, &log, &oracle, 150).await;
                check_all(&log, &oracle).await;
                let retired = retire(&log, &mins, 1, 2).await.unwrap_or_default();
                assert!(log.spare_segments() <= 2 && retired.recycled <= 2);
            }
            recycled += log.counters().recycled_segments;
            if life % 2 == 0 {
                log.close().await.expect("closes");
            }
        });
    }
    assert!(recycled > 10, "{recycled} segments were recycled");
    // A smaller limit removes what is too much.
    Sim::with_disk(78, &disk).run(async |runtime| {
        let (log, _) = open(&runtime, with_spares(0), &oracle).await.expect("opens");
        runtime.sleep(Duration::from_millis(100)).await;
        assert_eq!(log.spare_segments(), 0);
        log.close().await.expect("closes");
    });
    let spares =
        disk.files().into_iter().filter(|path| path.extension().is_some_and(|x| x == "spare"));
    assert_eq!(spares.count(), 0);
}

#[test]
fn the_size_of_segments_may_change_at_every_start() {
    let disk = SimDisk::new(81);
    let (oracle, mins) = (SharedOracle::default(), Mins::default());
    for (life, kib) in (0..).zip([64, 128, 64, 256, 96, 64]) {
        Sim::with_disk(81 + life, &disk).run(async |runtime| {
            let options = LogOptions { segment_bytes: kib << 10, ..with_spares(2) };
            let (log, found) = open(&runtime, options, &oracle).await.expect("opens");
            assert!(life == 0 || found.case == Case::Clean);
            check_promises(&log, &oracle).await;
            workload(&runtime, &log, &oracle, 700).await;
            check_all(&log, &oracle).await;
            let sizes: BTreeSet<u64> =
                log.segments().await.iter().map(|one| one.end.0 - one.start.0).collect();
            assert!(sizes.contains(&(kib << 10)), "{sizes:?}");
            retire(&log, &mins, 2, 2).await.expect("retires");
            check_promises(&log, &oracle).await;
            log.close().await.expect("closes");
        });
    }
}

#[test]
fn the_offline_check_takes_what_a_crash_of_retiring_left_for_no_damage() {
    let root = Path::new("store");
    for step in 0..60 {
        let sim = Sim::new(91);
        let oracle = SharedOracle::default();
        let result = sim.try_run(async |runtime| {
            let manifest = crate::open_manifest(&runtime, root, 1).await.expect("creates");
            let options = LogOptions { store_id: manifest.store_id, ..with_spares(1) };
            let (log, _) = open(&runtime, options, &oracle).await.expect("opens");
            workload(&runtime, &log, &oracle, 400).await;
            retire(&log, &Mins::default(), 2, 1).await.expect("retires");
            workload(&runtime, &log, &oracle, 200).await;
            sim.disk().crash_after_operation(sim.disk().operations() + step);
            retire(&log, &Mins::default(), 1, 1).await;
            runtime.sleep(Duration::from_millis(50)).await;
            sim.disk().crash_after_operation(sim.disk().operations());
            let _ = log.close().await;
        });
        assert!(result.is_err(), "it crashes");
        for image in [sim.disk().kill(step), sim.disk().power_cut(step)] {
            let mut files = Vec::new();
            let report = Sim::with_disk(1, &image).run(async |runtime| {
                crate::verify_store(&runtime, root, |file| files.push(file.clone())).await
            });
            let report = report.expect("is a store");
            assert!(report.is_sound(), "crash after {step} operations: {files:?}");
            assert_eq!(report.missing_messages, 0);
        }
    }
}
