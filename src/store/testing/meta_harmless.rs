//! Failures of the metadata log that put nothing in doubt.

use ringmq_io::{
    Shares, Spawn as _,
    sim::{Fault, FaultRule, OperationKind, Sim},
};

use super::{meta::one_by_one, *};
use crate::MetaLog;

const DIRECTORY: &str = "store/meta";

async fn open_meta(runtime: &SimRuntime) -> (MetaLog<SimRuntime>, Vec<Vec<u8>>) {
    MetaLog::open(runtime.clone(), Path::new(DIRECTORY)).await.expect("opens")
}

#[test]
fn a_rewrite_that_fails_leaves_the_old_generation_serving_and_is_repeated() {
    let faults = [Fault::NoDescriptor, Fault::NotAllowed, Fault::InputOutput, Fault::NoSpace];
    let kinds = [
        OperationKind::Create,
        OperationKind::Allocate,
        OperationKind::Rename,
        OperationKind::Open,
        OperationKind::Remove,
        OperationKind::Close,
        OperationKind::SyncDirectory,
    ];
    for (seed, (fault, kind)) in
        (0..).zip(faults.iter().flat_map(|fault| kinds.map(|kind| (*fault, kind))))
    {
        let sim = Sim::new(seed);
        let mut expected: Vec<Vec<u8>> = Vec::new();
        let mut failures = 0;
        sim.run(async |runtime| {
            let (log, _) = open_meta(&runtime).await;
            for round in 0..6_u8 {
                log.append(&[&[round; 50]]).await.expect("appends");
                expected.push(vec![round; 50]);
                sim.disk().add_fault(FaultRule::every(Some(kind), fault));
                let new: Vec<Vec<u8>> = vec![vec![round; 7], vec![round; 9]];
                match log.rewrite(one_by_one(new.clone())).await {
                    Ok(()) => expected = new,
                    Err(LogError::Failed { .. } | LogError::Full { .. }) => failures += 1,
                    Err(error) => panic!("{fault:?} of {kind:?}: {error}"),
                }
                // Those that need no new file or space go on under the fault.
                if kind != OperationKind::Allocate {
                    log.append(&[&[round; 3]]).await.expect("the old generation serves");
                    expected.push(vec![round; 3]);
                }
                sim.disk().clear_faults();
            }
            // Without an end: as if the process was killed.
        });
        let after_files = matches!(
            kind,
            OperationKind::Remove | OperationKind::Close | OperationKind::SyncDirectory
        );
        assert!(failures == 6 || after_files, "{fault:?} of {kind:?}: {failures} failures");
        for image in [sim.disk().kill(seed), sim.disk().power_cut(seed)] {
            Sim::with_disk(seed, &image).run(async |runtime| {
                let (log, records) = open_meta(&runtime).await;
                assert_eq!(records, expected, "{fault:?} of {kind:?}");
                log.rewrite(one_by_one(vec![b"x".to_vec()])).await.expect("rewrites");
                log.close().await.expect("closes");
                let (_, records) = open_meta(&runtime).await;
                assert_eq!(records, [b"x".to_vec()]);
            });
        }
    }
}

#[test]
fn a_file_that_cannot_grow_refuses_appends_until_it_can() {
    for fault in [Fault::InputOutput, Fault::NotAllowed, Fault::NoSpace] {
        let sim = Sim::new(3);
        sim.run(async |runtime| {
            let (log, _) = open_meta(&runtime).await;
            sim.disk().add_fault(FaultRule::every(Some(OperationKind::Allocate), fault));
            let record = vec![7; 100_000];
            let mut written = 0;
            let error = loop {
                match log.append(&[&record]).await {
                    Ok(()) => written += 1,
                    Err(error) => break error,
                }
            };
            let refused = matches!(error, LogError::Failed { .. } | LogError::Full { .. });
            assert!(refused, "{fault:?}: {error}");
            sim.disk().clear_faults();
            log.append(&[&record]).await.expect("it grows again");
            log.close().await.expect("closes");
            let (_, records) = open_meta(&runtime).await;
            assert_eq!(records.len(), written + 1);
        });
    }
}

#[test]
fn a_record_that_is_too_large_is_refused_with_its_number_and_hurts_nobody_else() {
    let sim = Sim::new(4);
    sim.run(async |runtime| {
        let (log, _) = open_meta(&runtime).await;
        let done = Rc::new(std::cell::Cell::new(0));
        for number in 0..5_u8 {
            let (log, done) = (log.clone(), done.clone());
            runtime.spawn(Shares::Admin, "append", async move {
                log.append(&[&[number]]).await.expect("others are not hurt");
                done.set(done.get() + 1);
            });
        }
        let large = vec![0; MetaLog::<SimRuntime>::RECORD_BYTES_MAX + 1];
        let error = log.append(&[b"a", &large, b"b"]).await.expect_err("too large");
        assert!(matches!(error, LogError::TooLarge { record: 1, .. }), "{error}");
        let error = log
            .rewrite(one_by_one(vec![b"a".to_vec(), large.clone()]))
            .await
            .expect_err("too large");
        assert!(matches!(error, LogError::TooLarge { record: 1, .. }), "{error}");
        log.append(&[&large[1..]]).await.expect("the largest");
        while done.get() < 5 {
            runtime.sleep(Duration::from_millis(1)).await;
        }
        log.close().await.expect("closes");
        let (_, records) = open_meta(&runtime).await;
        assert_eq!(records.len(), 6);
    });
}
