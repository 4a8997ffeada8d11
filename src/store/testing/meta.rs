use std::cell::Cell;

use ringmq_io::sim::{Fault, FaultRule, Random, Sim, SimDisk, Stopped};

use super::*;
use crate::{Case, MetaLog, OpenError};

const DIRECTORY: &str = "store/meta";

/// What a state machine over the log must come to: a list that grows, or is replaced.
#[derive(Clone, Default)]
struct State {
    /// Durable for sure.
    records: Vec<Vec<u8>>,
    /// What the last command, which was not answered, may have made of it.
    maybe: Option<Vec<Vec<u8>>>,
}

type SharedState = Rc<RefCell<State>>;

fn body(random: &mut Random) -> Vec<u8> {
    let most = if random.chance(1, 10) { 6000 } else { 200 };
    (0..random.below(most)).map(|_| random.word() as u8).collect()
}

async fn check(
    runtime: &SimRuntime,
    state: &SharedState,
) -> Result<MetaLog<SimRuntime>, OpenError> {
    let (log, records) = MetaLog::open(runtime.clone(), Path::new(DIRECTORY)).await?;
    let mut state = state.borrow_mut();
    let before = state.records.clone();
    let maybe = state.maybe.take();
    // An append that was not answered may be there in part: a group is not atomic.
    let part = maybe.as_ref().is_some_and(|maybe| {
        *maybe == records || (maybe.starts_with(&before) && maybe.starts_with(&records))
    });
    assert!(records == before || part, "{} records, {} expected", records.len(), before.len());
    assert!(records.len() >= before.len() || maybe.is_some_and(|maybe| maybe == records));
    state.records = records;
    Ok(log)
}

/// For a rewrite.
pub fn one_by_one(records: Vec<Vec<u8>>) -> impl FnMut() -> Vec<Vec<u8>> {
    let mut records = records.into_iter();
    move || records.next().into_iter().collect()
}

async fn work(runtime: &SimRuntime, log: &MetaLog<SimRuntime>, state: &SharedState, count: usize) {
    let mut random = runtime.random();
    for _ in 0..count {
        let new: Vec<Vec<u8>> = (0..1 + random.below(3)).map(|_| body(&mut random)).collect();
        let slices: Vec<&[u8]> = new.iter().map(Vec::as_slice).collect();
        let rewrites = random.chance(1, 8);
        let records = state.borrow().records.clone();
        let next = if rewrites { new.clone() } else { [records, new.clone()].concat() };
        state.borrow_mut().maybe = Some(next.clone());
        let result = match rewrites {
            true => log.rewrite(one_by_one(new.clone())).await,
            false => log.append(&slices).await,
        };
        match result {
            Ok(()) => *state.borrow_mut() = State { records: next, maybe: None },
            Err(LogError::Full { .. } | LogError::Failed { .. }) => state.borrow_mut().maybe = None,
            Err(_) => return,
        }
    }
}

fn live(seed: u64, disk: &SimDisk, state: &SharedState, count: usize) -> bool {
    let result = Sim::with_disk(seed, disk).try_run(async |runtime| {
        let log = check(&runtime, state).await.expect("opens");
        work(&runtime, &log, state, count).await;
        log.close().await.expect("closes");
    });
    match result {
        Ok(()) => true,
        Err(Stopped::DiskCrashed { .. }) => false,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn crashes_at_every_operation_keep_what_was_answered() {
    for operation in 1.. {
        println!("seed 31, crash after operation {operation}");
        let state = SharedState::default();
        let disk = SimDisk::new(31);
        disk.crash_after_operation(operation);
        let ended = live(31, &disk, &state, 40);
        for (image, seed) in [(disk.kill(operation), 32), (disk.power_cut(operation), 33)] {
            let state = Rc::new(RefCell::new(state.borrow().clone()));
            image.crash_after_operation(operation % 23);
            live(seed, &image, &state, 10);
            live(seed, &image.power_cut(seed), &state, 10);
        }
        if ended {
            assert!(operation > 60);
            return;
        }
    }
}

/// A rewrite of several writes is there as a whole or not at all.
#[test]
fn a_large_rewrite_that_is_cut_off_anywhere_leaves_the_records_from_before() {
    let large: Vec<Vec<u8>> = (0..30_u8).map(|number| vec![number; 40_000]).collect();
    let before = [b"before".to_vec()];
    let mut rewritten = 0;
    for operation in 1.. {
        println!("seed 71, crash after operation {operation}");
        let (disk, answered) = (SimDisk::new(71), Cell::new(false));
        let ended = Sim::with_disk(71, &disk).try_run(async |runtime| {
            let (log, _) = MetaLog::open(runtime, Path::new(DIRECTORY)).await.expect("opens");
            log.append(&[&before[0]]).await.expect("appends");
            disk.crash_after_operation(disk.operations() + operation);
            log.rewrite(one_by_one(large.clone())).await.expect("rewrites");
            answered.set(true);
            log.append(&[b"behind"]).await.expect("appends");
        });
        for image in [disk.kill(operation), disk.power_cut(operation)] {
            Sim::with_disk(72, &image).run(async |runtime| {
                let opened = MetaLog::open(runtime, Path::new(DIRECTORY)).await;
                let (log, mut records) = opened.expect("opens");
                if records.last().is_some_and(|last| last == b"behind") {
                    records.pop();
                }
                assert!(records == large || (records == before && !answered.get()));
                rewritten += usize::from(records == large);
                log.close().await.expect("closes");
            });
        }
        if ended.is_ok() {
            assert!(operation > 10 && rewritten > 2, "{operation}, {rewritten}");
            return;
        }
    }
}

#[test]
fn failures_at_every_operation_fence_and_are_survived() {
    for fault in [Fault::InputOutput, Fault::NoSpace, Fault::Short(512)] {
        let ended = Cell::new(false);
        for operation in 1.. {
            println!("{fault:?}: seed 41, operation {operation}");
            let state = SharedState::default();
            let disk = SimDisk::new(41);
            disk.add_fault(FaultRule::at(operation, fault));
            let sim = Sim::with_disk(41, &disk);
            sim.run(async |runtime| {
                let Ok(log) = check(&runtime, &state).await else {
                    return;
                };
                work(&runtime, &log, &state, 40).await;
                ended.set(disk.operations() < operation);
                let _ = log.close().await;
            });
            drop(sim);
            disk.clear_faults();
            for image in [disk.kill(1), disk.power_cut(1)] {
                let state = Rc::new(RefCell::new(state.borrow().clone()));
                assert!(live(42, &image, &state, 5));
            }
            if ended.get() {
                break;
            }
        }
    }
}

#[test]
fn damage_before_the_end_is_refused() {
    let state = SharedState::default();
    let disk = SimDisk::new(51);
    assert!(live(51, &disk, &state, 30));
    let file = disk.files().into_iter().find(|path| path.to_string_lossy().contains("meta-"));
    let file = file.expect("there is a generation");
    let refused = |disk: &SimDisk| {
        let copy = disk.kill(1);
        Sim::with_disk(1, &copy).run(async |runtime| {
            match MetaLog::open(runtime, Path::new(DIRECTORY)).await {
                Err(OpenError::Refused { case, .. }) => case,
                Err(error) => panic!("{error}"),
                Ok(_) => Case::Clean,
            }
        })
    };
    assert_eq!(refused(&disk), Case::Clean);
    let damaged = disk.kill(1);
    damaged.flip_bit(&file, 8 * 4200);
    assert_eq!(refused(&damaged), Case::DamageBeforeMark);
    let damaged = disk.kill(1);
    damaged.flip_bit(&file, 8 * 100);
    assert_eq!(refused(&damaged), Case::DamagedHeader);
    let damaged = disk.kill(1);
    damaged.remove_file(&file);
    assert_eq!(refused(&damaged), Case::MissingSegment);
    disk.remove_file("store/meta/mark");
    assert_eq!(refused(&disk), Case::MissingMark);
}

#[test]
fn calls_at_the_same_time_share_a_write() {
    let sim = Sim::new(61);
    sim.run(async |runtime| {
        let (log, records) =
            MetaLog::open(runtime.clone(), Path::new(DIRECTORY)).await.expect("opens");
        assert_eq!(records.len(), 0);
        let before = sim.disk().operations();
        let done = Rc::new(Cell::new(0));
        for number in 0..50_u8 {
            let (log, done) = (log.clone(), done.clone());
            let task = async move {
                log.append(&[&[number]]).await.expect("appends");
                done.set(done.get() + 1);
            };
            ringmq_io::Spawn::spawn(&runtime, ringmq_io::Shares::Admin, "append", task);
        }
        while done.get() < 50 {
            runtime.sleep(Duration::from_micros(100)).await;
        }
        assert!(sim.disk().operations() - before < 20);
        log.close().await.expect("closes");
    });
}
