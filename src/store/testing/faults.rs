//! The k-th operation fails, for every k.

use ringmq_io::sim::{Fault, FaultRule, Sim, SimDisk};

use super::*;

/// True if the fault came after the end of the workload.
fn fail_at(seed: u64, flush: FlushMode, operation: u64, fault: Fault) -> bool {
    let disk = SimDisk::new(seed);
    let oracle = SharedOracle::default();
    disk.add_fault(FaultRule::at(operation, fault));
    let sim = Sim::with_disk(seed, &disk);
    sim.run(async |runtime| {
        let Ok((log, _)) = open(&runtime, options(flush), &oracle).await else {
            return;
        };
        workload(&runtime, &log, &oracle, 250).await;
        let fenced = log.counters().fenced.is_some();
        assert_eq!(fenced, oracle.borrow().fenced);
        if fenced {
            let acknowledged = oracle.borrow().acknowledged.len();
            let result = append(&log, &oracle, 0, 0, vec![1]);
            assert!(matches!(result, Err(AppendError::Fenced { .. })), "{result:?}");
            check_all(&log, &oracle).await;
            runtime.sleep(Duration::from_millis(100)).await;
            assert_eq!(oracle.borrow().acknowledged.len(), acknowledged);
            log.clone().close().await.expect_err("a fenced log does not close in order");
        } else {
            let _ = log.close().await;
        }
    });
    let ended = disk.operations() < operation;
    drop(sim);
    disk.clear_faults();
    for image in [disk.kill(seed), disk.power_cut(seed)] {
        let after = SharedOracle::default();
        {
            let (mut after, before) = (after.borrow_mut(), oracle.borrow());
            after.appended = before.appended.clone();
            if flush == FlushMode::Sync {
                after.acknowledged = before.acknowledged.clone();
                after.seen = before.seen.clone();
            }
        }
        Sim::with_disk(seed + 1, &image).run(async |runtime| {
            let (log, _) = open(&runtime, options(flush), &after).await.expect("reopens");
            check_promises(&log, &after).await;
            workload(&runtime, &log, &after, 20).await;
            log.close().await.expect("closes");
        });
    }
    ended
}

fn every_operation(flush: FlushMode, fault: Fault) {
    for operation in 1.. {
        println!("{flush:?} {fault:?}: seed 21, operation {operation}");
        if fail_at(21, flush, operation, fault) {
            assert!(operation > 100, "the workload is too small");
            return;
        }
    }
}

#[test]
fn an_input_output_error_at_every_operation_is_survived_under_sync_flush() {
    every_operation(FlushMode::Sync, Fault::InputOutput);
}

#[test]
fn an_input_output_error_at_every_operation_is_survived_under_async_flush() {
    every_operation(FlushMode::Async, Fault::InputOutput);
}

#[test]
fn a_full_disk_at_every_operation_is_survived() {
    every_operation(FlushMode::Sync, Fault::NoSpace);
}

#[test]
fn a_short_write_at_every_operation_is_survived() {
    every_operation(FlushMode::Sync, Fault::Short(1024));
}
