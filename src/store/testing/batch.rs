//! Batches: all of their messages are stored, behind each other in one queue, or none.

use ringmq_io::{
    Shares, Spawn as _,
    sim::{Fault, FaultRule, OperationKind, Sim},
};

use super::*;

const BATCH_QUEUE: i32 = 1;

/// What must be the same after a batch was refused.
fn state_of(log: &TestLog) -> (i64, u64, usize, u64, usize) {
    let queue = log.queue(TOPICS[1], BATCH_QUEUE);
    let state = log.shared.state.borrow();
    let tickets = state.tickets.len();
    let (position, backlog, appends) = (state.position, state.backlog, state.counters.appends);
    drop(state);
    (log.next_offset(queue), position, backlog, appends, tickets)
}

/// Appends a batch and tells the oracle; checks that a refusal left nothing of it.
fn append_batch(
    log: &TestLog,
    oracle: &SharedOracle,
    bodies: &[Vec<u8>],
) -> Result<Vec<Appended>, AppendError> {
    let queue = log.queue(TOPICS[1], BATCH_QUEUE);
    let before = state_of(log);
    let messages = bodies.iter().map(|body| (record(TOPICS[1], BATCH_QUEUE, body), 7));
    let mut places = Vec::new();
    let result = log.append_batch(5, queue, messages, |all| {
        places = all.to_vec();
        // The ticket of the whole batch is that of its last message.
        let last = all.last().expect("tickets are for batches with messages");
        Some(((1, BATCH_QUEUE, last.queue_offset), bodies.last()?.clone()))
    });
    match result {
        Err(error) => {
            assert_eq!(state_of(log), before, "a part of a batch was appended: {error}");
            Err(error)
        }
        Ok(count) => {
            assert_eq!((count, places.len()), (bodies.len(), bodies.len()));
            for ((offset, one), body) in (before.0..).zip(&places).zip(bodies) {
                assert_eq!(one.queue_offset, offset, "a hole in a batch");
                let place = (1, BATCH_QUEUE, offset);
                oracle.borrow_mut().appended.entry(place).or_default().push(body.clone());
            }
            assert!(places.windows(2).all(|pair| pair[0].physical < pair[1].physical));
            Ok(places)
        }
    }
}

fn bodies(random: &mut Random, count: usize, most: u64) -> Vec<Vec<u8>> {
    let mut body = || {
        let length = random.below(most) as usize;
        (0..length).map(|at| at as u8 ^ length as u8).collect()
    };
    (0..count).map(|_| body()).collect()
}

/// Sends single messages to other queues for as long as the log lives.
pub async fn singles(runtime: SimRuntime, log: TestLog, oracle: SharedOracle) {
    let mut random = runtime.random();
    loop {
        match append(&log, &oracle, 0, random.below(2) as i32, random_body(&mut random)) {
            Ok(_) => {}
            Err(AppendError::Busy { .. } | AppendError::Full { .. }) => log.room().await,
            Err(_) => return,
        }
        if random.chance(1, 3) {
            runtime.sleep(Duration::from_micros(random.below(300))).await;
        }
    }
}

#[test]
fn batches_beside_single_messages_are_stored_whole_across_segments_and_in_time() {
    for seed in 0..30 {
        let sim = Sim::new(seed);
        let oracle = SharedOracle::default();
        let mut batches = Vec::new();
        sim.run(async |runtime| {
            let (log, _) = open(&runtime, options(FlushMode::Sync), &oracle).await.expect("opens");
            let other = singles(runtime.clone(), log.clone(), oracle.clone());
            runtime.spawn(Shares::Foreground, "singles", other);
            let mut random = runtime.random();
            for _ in 0..40 {
                let count = 1 + random.index(40);
                let most = if random.chance(1, 4) { 1000 } else { 100 };
                let batch = bodies(&mut random, count, most);
                let began = runtime.monotonic();
                let places = loop {
                    match append_batch(&log, &oracle, &batch) {
                        Ok(places) => break places,
                        Err(AppendError::Busy { .. }) => log.room().await,
                        Err(error) => panic!("seed {seed}: {error}"),
                    }
                    let waited = runtime.monotonic() - began;
                    assert!(waited < Duration::from_secs(2), "seed {seed}: starved: {waited:?}");
                };
                let last = places.last().expect("it had messages").queue_offset;
                batches.push((last + 1 - count as i64, last));
            }
            log.close().await.expect("closes");
        });
        let sim = Sim::with_disk(seed, &sim.disk().power_cut(seed));
        sim.run(async |runtime| {
            let (log, _) = open(&runtime, options(FlushMode::Sync), &oracle).await.expect("opens");
            check_promises(&log, &oracle).await;
            let queue = log.find_queue(TOPICS[1], BATCH_QUEUE).expect("there are batches");
            assert_eq!(log.bounds(queue), (0, batches.last().expect("some").1 + 1));
            for (first, last) in &batches {
                assert!(oracle.borrow().acknowledged.contains_key(&(1, BATCH_QUEUE, *last)));
                assert!(oracle.borrow().seen.contains_key(&(1, BATCH_QUEUE, *first)));
            }
        });
    }
}

#[test]
fn a_batch_with_a_message_that_is_too_large_is_refused_whole_and_names_it() {
    let sim = Sim::new(3);
    let oracle = SharedOracle::default();
    sim.run(async |runtime| {
        let (log, _) = open(&runtime, options(FlushMode::Sync), &oracle).await.expect("opens");
        let small = vec![1; 10];
        let large = vec![1; 64 << 10];
        let batch = [small.clone(), small.clone(), large, small.clone()];
        let error = append_batch(&log, &oracle, &batch).expect_err("too large");
        let text = error.to_string();
        assert!(matches!(error, AppendError::TooLarge { .. }), "{text}");
        assert!(text.starts_with("the record of message 3 of the batch has 65"), "{text}");
        // Properties that no record can hold, in the last message.
        let properties = vec![b'x'; 40_000];
        let queue = log.queue(TOPICS[1], BATCH_QUEUE);
        let plain = record(TOPICS[1], BATCH_QUEUE, &small);
        let parts = [properties.as_slice(), b"", b""];
        let broken = NewRecord { properties: parts, ..plain.clone() };
        let before = state_of(&log);
        let messages = [(plain, 0), (broken, 0)];
        let error = log.append_batch(5, queue, messages.iter().cloned(), |_| None);
        let text = error.expect_err("too large").to_string();
        assert!(text.starts_with("the property string of message 2 of the batch"), "{text}");
        assert_eq!(state_of(&log), before);
        // More than may ever wait for the disk: never taken, so not called busy.
        let batch = vec![vec![1; 1000]; 60];
        let error = append_batch(&log, &oracle, &batch).expect_err("too large");
        assert!(matches!(error, AppendError::TooLarge { limit: 49_152, .. }), "{error}");
        assert!(error.to_string().starts_with("the batch of 60 messages"), "{error}");
        // As much as may wait, and more than a segment has left: taken in time.
        let batch = vec![vec![1; 1000]; 42];
        for _ in 0..5 {
            while let Err(error) = append_batch(&log, &oracle, &batch) {
                assert!(matches!(error, AppendError::Busy { .. }), "{error}");
                log.room().await;
            }
        }
        let none = log.append_batch(5, queue, std::iter::empty(), |_| panic!("no message"));
        assert!(matches!(none, Ok(0)));
        log.clone().close().await.expect("closes");
        let error = append_batch(&log, &oracle, &[small]).expect_err("closed");
        assert!(matches!(error, AppendError::ShuttingDown), "{error}");
    });
}

#[test]
fn a_large_record_gets_in_as_soon_as_the_log_says_that_there_is_room() {
    let sim = Sim::new(5);
    let oracle = SharedOracle::default();
    sim.run(async |runtime| {
        let (log, _) = open(&runtime, options(FlushMode::Sync), &oracle).await.expect("opens");
        let began = runtime.monotonic();
        append(&log, &oracle, 0, 0, vec![1; 20_000]).expect("an empty log takes it");
        // Less than half of the 49,152 bytes waits: whoever waits for room is told at once.
        log.room().await;
        assert_eq!(runtime.monotonic(), began, "nothing is written yet");
        append(&log, &oracle, 0, 0, vec![2; 40_000]).expect("there is room");
        let error = append(&log, &oracle, 0, 0, vec![3]).expect_err("more than the limit waits");
        assert!(matches!(error, AppendError::Busy { .. }), "{error}");
    });
}

#[test]
fn a_batch_that_meets_a_full_disk_is_refused_whole_and_taken_when_space_is_back() {
    for seed in 0..20 {
        let sim = Sim::new(seed);
        let oracle = SharedOracle::default();
        sim.run(async |runtime| {
            let (log, _) = open(&runtime, options(FlushMode::Sync), &oracle).await.expect("opens");
            sim.disk().add_fault(FaultRule::every(Some(OperationKind::Allocate), Fault::NoSpace));
            let mut random = runtime.random();
            let mut refused = 0;
            while refused < 10 {
                let batch = bodies(&mut random, 30, 500);
                match append_batch(&log, &oracle, &batch) {
                    Ok(_) | Err(AppendError::Busy { .. }) => log.room().await,
                    Err(AppendError::Full { .. }) => {
                        refused += 1;
                        runtime.sleep(Duration::from_millis(40)).await;
                    }
                    Err(error) => panic!("seed {seed}: {error}"),
                }
            }
            sim.disk().clear_faults();
            let lifted = runtime.monotonic();
            let batch = bodies(&mut random, 30, 500);
            while append_batch(&log, &oracle, &batch).is_err() {
                runtime.sleep(Duration::from_millis(10)).await;
            }
            let waited = runtime.monotonic() - lifted;
            assert!(waited < Duration::from_secs(1), "seed {seed}: {waited:?}");
            check_all(&log, &oracle).await;
            log.close().await.expect("closes");
            assert!(!oracle.borrow().fenced);
        });
    }
}
