//! Process death and power cuts at every operation and at random moments.

use ringmq_io::sim::{Sim, SimDisk, Stopped};

use super::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Crash {
    Kill,
    PowerCut,
}

/// Runs the workload on the disk until it ends or the disk crashes.
fn live(seed: u64, disk: &SimDisk, flush: FlushMode, oracle: &SharedOracle, count: usize) -> bool {
    let sim = Sim::with_disk(seed, disk);
    let result = sim.try_run(async |runtime| {
        let (log, found) = open(&runtime, options(flush), oracle).await.expect("opens");
        assert_eq!(found.case.verdict(), crate::recovery::table::Verdict::Opens);
        check_promises(&log, oracle).await;
        workload(&runtime, &log, oracle, count).await;
        if seed.is_multiple_of(2) {
            log.close().await.expect("closes");
        }
    });
    match result {
        Ok(()) => true,
        Err(Stopped::DiskCrashed { .. }) => false,
        Err(other) => panic!("{other}"),
    }
}

fn image(disk: &SimDisk, crash: Crash, seed: u64) -> SimDisk {
    match crash {
        Crash::Kill => disk.kill(seed),
        Crash::PowerCut => disk.power_cut(seed),
    }
}

/// Under ASYNC_FLUSH a power cut may take what was acknowledged; what it leaves must be whole.
fn forget_if_allowed(flush: FlushMode, crash: Crash, oracle: &SharedOracle) {
    if flush == FlushMode::Async && crash == Crash::PowerCut {
        let mut oracle = oracle.borrow_mut();
        oracle.acknowledged.clear();
        oracle.seen.clear();
    }
}

fn crash_at(seed: u64, flush: FlushMode, crash: Crash, operation: u64, count: usize) -> bool {
    let disk = SimDisk::new(seed);
    let oracle = SharedOracle::default();
    disk.crash_after_operation(operation);
    let ended = live(seed, &disk, flush, &oracle, count);
    let mut next = image(&disk, crash, seed ^ operation);
    for life in 0..3 {
        forget_if_allowed(flush, crash, &oracle);
        let seed = seed.wrapping_mul(31) + life;
        if life < 2 {
            // Crashes again while it recovers or goes on.
            next.crash_after_operation(operation * 7 % 60 + life * 13);
        }
        live(seed, &next, flush, &oracle, 40);
        next = image(&next, crash, seed);
    }
    ended
}

fn every_operation(flush: FlushMode, crash: Crash) {
    let name = format!("{flush:?} {crash:?}");
    for operation in 1.. {
        println!("{name}: seed 11, crash after operation {operation}");
        if crash_at(11, flush, crash, operation, 250) {
            assert!(operation > 100, "the workload is too small");
            return;
        }
    }
}

#[test]
fn a_kill_at_every_operation_keeps_what_sync_flush_promised() {
    every_operation(FlushMode::Sync, Crash::Kill);
}

#[test]
fn a_power_cut_at_every_operation_keeps_what_sync_flush_promised() {
    every_operation(FlushMode::Sync, Crash::PowerCut);
}

#[test]
fn a_kill_at_every_operation_keeps_what_async_flush_promised() {
    every_operation(FlushMode::Async, Crash::Kill);
}

#[test]
fn a_power_cut_at_every_operation_leaves_async_flush_whole() {
    every_operation(FlushMode::Async, Crash::PowerCut);
}

#[test]
fn crashes_at_random_moments_break_no_promise() {
    let images: u64 = std::env::var("STORE_IMAGES").ok().map_or(150, |n| n.parse().expect("n"));
    for seed in 100..100 + images {
        let flush = if seed % 3 == 0 { FlushMode::Async } else { FlushMode::Sync };
        let crash = if seed % 2 == 0 { Crash::Kill } else { Crash::PowerCut };
        println!("{flush:?} {crash:?}: seed {seed}");
        crash_at(seed, flush, crash, seed * 7919 % 400 + 1, 200);
    }
}
