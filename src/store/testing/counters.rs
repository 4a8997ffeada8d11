//! What a log tells of its writes and of what waits for them.

use ringmq_io::sim::{Fault, FaultRule, OperationKind, Sim};

use super::*;
use crate::Queued;

#[test]
fn a_slow_write_is_seen_in_the_histogram_and_in_the_queue_before_it() {
    let seconds = Duration::from_secs;
    for flush in [FlushMode::Sync, FlushMode::Async] {
        let sim = Sim::new(9);
        let oracle = SharedOracle::default();
        sim.run(async |runtime| {
            let (log, _) = open(&runtime, options(flush), &oracle).await.expect("opens");
            let put = |count| {
                for _ in 0..count {
                    append(&log, &oracle, 0, 0, vec![7; 100]).expect("room");
                }
            };
            put(1);
            // Until the space ahead is filled, so that the next write is one of the log.
            runtime.sleep(seconds(1)).await;
            let quick = log.counters();
            assert_eq!((quick.writes, quick.write_latency.writes()), (1, 1));
            assert!(quick.write_latency.longest() < seconds(1));
            assert_eq!((quick.queued, quick.queued_max.messages), (Queued::default(), 1));

            let stall = FaultRule::every(Some(OperationKind::Write), Fault::Stall(seconds(5)));
            sim.disk().add_fault(stall.where_path_contains(".seg").times(1));
            put(3);
            runtime.sleep(seconds(1)).await;
            put(2);
            runtime.sleep(seconds(1)).await;
            let waiting = log.counters().queued;
            assert_eq!(waiting.messages, 5, "three on their way, two behind them");
            assert!(waiting.bytes > 500);
            runtime.sleep(seconds(10)).await;

            let after = log.counters();
            assert_eq!((after.queued, after.queued_max), (Queued::default(), waiting));
            assert_eq!(after.batch_messages, [1, 2, 0, 0, 0, 0, 0, 0]);
            assert_eq!((after.writes, after.write_latency.writes()), (3, 3));
            assert_eq!(after.write_latency.between(seconds(4), seconds(6)), 1);
            assert_eq!(after.write_latency.since(&quick.write_latency).writes(), 2);
            log.close().await.expect("closes");
        });
    }
}
