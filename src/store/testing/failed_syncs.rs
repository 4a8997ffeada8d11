//! What a process whose syncs fail leaves behind, and who takes it up.

use ringmq_io::sim::{Fault, FaultRule, OperationKind, PowerCut, Sim, SimDisk};

use super::*;
use crate::MetaLog;

/// A process one of whose syncs fails, ended in order or killed; the disk after it.
fn failing_process(seed: u64, flush: FlushMode, oracle: &SharedOracle) -> SimDisk {
    let sim = Sim::new(seed);
    sim.run(async |runtime| {
        let (log, _) = open(&runtime, options(flush), oracle).await.expect("opens");
        workload(&runtime, &log, oracle, 60).await;
        let rule = FaultRule::every(Some(OperationKind::Sync), Fault::InputOutput);
        sim.disk().add_fault(rule.times(1));
        workload(&runtime, &log, oracle, 60).await;
        // Without a failure there is nothing to see, with one nothing to close.
        let _ = log.close().await;
    });
    sim.disk().clear_faults();
    sim.crash();
    if seed.is_multiple_of(2) { sim.disk().kill(seed) } else { sim.disk().clone() }
}

/// The device has lost what a failed sync covered, still shows it, and says that later syncs are
/// well. What the next process shows to readers, and what it acknowledges behind it, survives a
/// power cut.
#[test]
fn what_a_failed_sync_covered_is_written_again_before_it_is_shown() {
    for (seed, flush) in
        (0..40).flat_map(|seed| [(seed, FlushMode::Sync), (seed, FlushMode::Async)])
    {
        let oracle = SharedOracle::default();
        let disk = failing_process(seed, flush, &oracle);
        let next = Sim::with_disk(seed + 1000, &disk);
        next.run(async |runtime| {
            let (log, _) = open(&runtime, options(flush), &oracle).await.expect("opens");
            check_promises(&log, &oracle).await;
            workload(&runtime, &log, &oracle, 20).await;
            log.synced().await.expect("nothing fails");
        });
        next.crash();
        for image in 0..8 {
            let cut = PowerCut::default();
            let disk = next.disk().power_cut_with(image, cut);
            let last = Sim::with_disk(image, &disk);
            println!("seed {seed}, {flush:?}, image {image}");
            last.run(async |runtime| {
                let (log, _) = open(&runtime, options(flush), &oracle).await.expect("opens");
                check_promises(&log, &oracle).await;
                log.close().await.expect("closes");
            });
        }
    }
}

#[test]
fn records_of_a_failed_write_are_written_again_before_they_are_shown() {
    let directory = Path::new("store/meta");
    for seed in 0..40_u8 {
        let sim = Sim::new(seed.into());
        sim.run(async |runtime| {
            let (log, _) = MetaLog::open(runtime, directory).await.expect("opens");
            log.append(&[&[seed; 3000]]).await.expect("room");
            let rule = FaultRule::every(Some(OperationKind::Write), Fault::InputOutput);
            sim.disk().add_fault(rule);
            log.append(&[&[seed + 1; 200]]).await.expect_err("the rule");
        });
        sim.disk().clear_faults();
        sim.crash();
        let next = Sim::with_disk(1, sim.disk());
        let shown = next.run(async |runtime| MetaLog::open(runtime, directory).await);
        let shown = shown.expect("opens").1;
        next.crash();
        for image in 0..8 {
            let last = Sim::with_disk(image, &next.disk().power_cut(image));
            let found = last.run(async |runtime| MetaLog::open(runtime, directory).await);
            assert_eq!(found.expect("opens").1, shown, "seed {seed}, image {image}");
        }
    }
}
