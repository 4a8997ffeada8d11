//! Ends of queues that no power cut takes back, for topics that are deleted.

use futures_lite::future::or;
use ringmq_io::sim::{Fault, FaultRule, OperationKind, Sim};

use super::*;
use crate::files::segment::HEADER_BYTES;

/// More than a new segment has allocated, less than a record may have.
const LARGE: usize = 45_000;

/// Appends small messages until a large one needs the next segment, which is there.
async fn fill_segment(runtime: &SimRuntime, log: &TestLog, oracle: &SharedOracle) {
    let is_filled = || {
        let state = log.shared.state.borrow();
        let end = state.spaces.front().expect("there is always a segment").end;
        state.spaces.len() > 1 && state.position + LARGE as u64 > end
    };
    while !is_filled() {
        append(log, oracle, 0, 0, vec![7; 1000]).expect("there is room");
        runtime.sleep(Duration::from_millis(2)).await;
    }
}

/// Failed before 260d9b2: the log stands at the start of a segment, where no write ever ends.
#[test]
fn a_log_that_has_left_a_segment_and_cannot_go_on_is_synced() {
    for flush in [FlushMode::Sync, FlushMode::Async] {
        let sim = Sim::new(1);
        sim.run(async |runtime| {
            let oracle = SharedOracle::default();
            let (log, _) = open(&runtime, options(flush), &oracle).await.expect("opens");
            fill_segment(&runtime, &log, &oracle).await;
            let full = FaultRule::every(Some(OperationKind::Allocate), Fault::NoSpace);
            sim.disk().add_fault(full);
            append(&log, &oracle, 0, 0, vec![8; LARGE]).expect_err("the segment is too small");
            let left = {
                let state = log.shared.state.borrow();
                let start = state.spaces.front().expect("there is always a segment").start;
                state.position == start + HEADER_BYTES
            };
            assert!(left, "something is behind the end");
            let synced = async { Some(log.synced().await) };
            let timeout = async {
                runtime.sleep(Duration::from_secs(5)).await;
                None
            };
            let synced = or(synced, timeout).await.expect("it resolves");
            synced.expect("the log is open");
            let mut state = log.shared.state.borrow_mut();
            assert_eq!(state.replay_position(), state.position);
        });
    }
}
