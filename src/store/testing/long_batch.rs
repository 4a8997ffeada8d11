//! Long batches: appended some messages at a time, and like any other all of them or none.

use std::pin::pin;

use futures_lite::future::{poll_once, zip};
use ringmq_io::{
    Shares, Spawn as _,
    sim::{Fault, FaultRule, OperationKind, Sim},
};

use super::{batch::singles, *};

const BATCH_QUEUE: i32 = 1;

/// Appends a long batch and tells the oracle; where its first message went.
async fn append_long(
    log: &TestLog,
    oracle: &SharedOracle,
    bodies: &[Vec<u8>],
) -> Result<i64, AppendError> {
    let queue = log.queue(TOPICS[1], BATCH_QUEUE);
    let messages = bodies.iter().map(|body| (record(TOPICS[1], BATCH_QUEUE, body), 7));
    let (mut next, mut first) = (None, 0);
    let mut rest = bodies.iter();
    let note = |some: &[Appended], is_last: bool| {
        for one in some {
            if let Some(next) = next.replace(one.queue_offset + 1) {
                assert_eq!(one.queue_offset, next, "a hole in a batch");
            } else {
                first = one.queue_offset;
            }
            let place = (1, BATCH_QUEUE, one.queue_offset);
            let body = rest.next().expect("one for each").clone();
            oracle.borrow_mut().appended.entry(place).or_default().push(body);
        }
        assert_eq!(is_last, rest.as_slice().is_empty());
        let last = some.last().filter(|_| is_last)?;
        Some(((1, BATCH_QUEUE, last.queue_offset), bodies.last()?.clone()))
    };
    let count = log.append_long_batch(5, queue, messages, note).await?;
    assert_eq!(count, bodies.len());
    Ok(first)
}

fn bodies(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|at| vec![at as u8; at % 20]).collect()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Whole,
    Closed,
    Fenced,
    PowerCut,
}

/// A batch that is stopped in its midst; the offsets of its queue then. `None`: it had no pause.
async fn stop_in_the_midst(
    (sim, runtime): (&Sim, &SimRuntime),
    oracle: &SharedOracle,
    end: End,
) -> Option<(i64, i64)> {
    let (log, _) = open(runtime, options(FlushMode::Sync), oracle).await.expect("opens");
    let queue = log.queue(TOPICS[1], BATCH_QUEUE);
    append(&log, oracle, 1, BATCH_QUEUE, vec![1; 30]).expect("an empty log takes it");
    let before = log.shared.state.borrow().position;
    let bodies = bodies(300);
    let mut long = pin!(append_long(&log, oracle, &bodies));
    // From one pause to the next, until some of the messages are in the tail.
    while log.shared.state.borrow().position == before {
        poll_once(&mut long).await;
        let (is_held, is_untouched) = {
            let state = log.shared.state.borrow();
            (state.is_held(), state.position == before)
        };
        if is_held && is_untouched {
            // Nearly nothing waits for the disk.
            assert!(poll_once(log.room()).await.is_none(), "no append would get in");
        }
    }
    if !log.shared.state.borrow().is_held() {
        return None;
    }
    if end == End::Fenced {
        let broken = FaultRule::every(Some(OperationKind::Write), Fault::InputOutput);
        sim.disk().add_fault(broken.where_path_contains(".seg"));
    }
    assert!(poll_once(log.room()).await.is_none() && poll_once(log.settled()).await.is_none());
    let other = append(&log, oracle, 0, 0, vec![2]);
    assert!(matches!(other, Err(AppendError::Busy { .. })), "{other:?}");
    runtime.sleep(Duration::from_millis(30)).await;
    if end != End::Fenced {
        let (written, position) = {
            let state = log.shared.state.borrow();
            (state.written, state.position)
        };
        assert!(position > before && written == before, "what came before is written, no more");
        assert_eq!(log.bounds(queue), (0, 1));
    }
    match end {
        End::PowerCut => return Some((0, 1)),
        End::Fenced => {
            let fenced = long.await;
            assert!(matches!(fenced, Err(AppendError::Fenced { .. })), "{fenced:?}");
            return Some(log.bounds(queue));
        }
        End::Closed => {
            let (closed, first) = zip(log.clone().close(), long).await;
            closed.expect("closes");
            assert_eq!(first.expect("it had begun"), 1);
        }
        End::Whole => {
            assert_eq!(long.await.expect("there is room"), 1);
            log.room().await;
            append(&log, oracle, 1, BATCH_QUEUE, vec![3]).expect("there is room");
            log.synced().await.expect("nothing fails");
        }
    }
    Some(log.bounds(queue))
}

#[test]
fn a_long_batch_that_is_stopped_in_its_midst_is_there_whole_or_not_at_all() {
    let mut begun = 0;
    for seed in 0..80 {
        let end = [End::Whole, End::Closed, End::Fenced, End::PowerCut][seed as usize % 4];
        let sim = Sim::new(seed);
        let oracle = SharedOracle::default();
        let found =
            sim.run(async |runtime| stop_in_the_midst((&sim, &runtime), &oracle, end).await);
        let Some(found) = found else {
            continue;
        };
        begun += 1;
        let wanted = match end {
            End::Whole => (0, 302),
            End::Closed => (0, 301),
            End::PowerCut => (0, 1),
            End::Fenced => (0, 0),
        };
        assert_eq!(found, wanted, "seed {seed}, {end:?}");
        assert_eq!(oracle.borrow().failed, usize::from(end == End::Fenced), "its one ticket");
        sim.disk().clear_faults();
        let sim = Sim::with_disk(seed, &sim.disk().power_cut(seed));
        sim.run(async |runtime| {
            let (log, _) = open(&runtime, options(FlushMode::Sync), &oracle).await.expect("opens");
            check_promises(&log, &oracle).await;
            let end_now = log.find_queue(TOPICS[1], BATCH_QUEUE).map(|queue| log.bounds(queue).1);
            // The write that failed may have reached the disk.
            let most = if end == End::Fenced { 1 } else { wanted.1 };
            assert!((wanted.1..=most).contains(&end_now.unwrap_or(0)), "seed {seed}, {end:?}");
            log.close().await.expect("closes");
        });
    }
    assert!(begun > 10, "{begun} batches had a pause in their midst");
}

#[test]
fn long_batches_beside_single_messages_are_stored_whole_and_in_time() {
    for seed in 0..20 {
        let sim = Sim::new(seed);
        let oracle = SharedOracle::default();
        let mut end = 0;
        sim.run(async |runtime| {
            let (log, _) = open(&runtime, options(FlushMode::Sync), &oracle).await.expect("opens");
            let other = singles(runtime.clone(), log.clone(), oracle.clone());
            runtime.spawn(Shares::Foreground, "singles", other);
            let mut random = runtime.random();
            for _ in 0..20 {
                let batch = bodies(1 + random.index(310));
                let began = runtime.monotonic();
                let first = loop {
                    match append_long(&log, &oracle, &batch).await {
                        Ok(first) => break first,
                        Err(AppendError::Busy { .. }) => log.room().await,
                        Err(error) => panic!("seed {seed}: {error}"),
                    }
                    let waited = runtime.monotonic() - began;
                    assert!(waited < Duration::from_secs(2), "seed {seed}: starved: {waited:?}");
                };
                assert_eq!(first, end, "seed {seed}");
                end += batch.len() as i64;
            }
            let none = append_long(&log, &oracle, &[]).await;
            assert!(matches!(none, Ok(0)));
            let error = append_long(&log, &oracle, &bodies(2000)).await.expect_err("too large");
            assert!(error.to_string().starts_with("the batch of 2000 messages"), "{error}");
            log.close().await.expect("closes");
        });
        let sim = Sim::with_disk(seed, &sim.disk().power_cut(seed));
        sim.run(async |runtime| {
            let (log, _) = open(&runtime, options(FlushMode::Sync), &oracle).await.expect("opens");
            check_promises(&log, &oracle).await;
            let queue = log.find_queue(TOPICS[1], BATCH_QUEUE).expect("there are batches");
            assert_eq!(log.bounds(queue), (0, end));
        });
    }
}
