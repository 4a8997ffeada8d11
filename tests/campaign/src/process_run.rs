//! One process: opens a store, checks all of it, works, and ends in some way.

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Once,
    time::Duration,
};

use ringmq_io::{
    Clock as _, Shares, Spawn as _,
    sim::{Sim, SimDisk, Stopped},
};
use ringmq_store::OpenError;

use crate::{
    history::SharedHistory,
    machine::{DiskLie, Machine},
    meter::Meter,
    plan::Plan,
    reading::{Tolerance, check},
    workload::{open, work},
};

/// Virtual time after which a process hangs.
const TIME_LIMIT: Duration = Duration::from_secs(3600);

#[derive(Clone, Copy, Debug)]
pub struct ProcessRun {
    pub seed: u64,
    /// Of each producer.
    pub messages: u64,
    /// Closes the store in the end; else the process is killed.
    pub close: bool,
    pub tolerance: Tolerance,
    pub lie: DiskLie,
    /// The capacity of the disk is lifted after this time.
    pub frees_disk_after: Option<Duration>,
}

impl ProcessRun {
    pub fn strict(seed: u64, messages: u64) -> ProcessRun {
        let (tolerance, lie) = (Tolerance::Nothing, DiskLie::None);
        ProcessRun { seed, messages, close: true, tolerance, lie, frees_disk_after: None }
    }
}

#[derive(Debug)]
pub enum End {
    Done { fenced: bool },
    Crashed,
    NotOpened(OpenError),
}

/// Runs a process on the disk to its end. The error says what was wrong.
pub fn run_process(
    disk: &SimDisk,
    plan: &Plan,
    history: &SharedHistory,
    process: &ProcessRun,
) -> Result<End, String> {
    watch_panics();
    let run = || {
        let sim = Sim::with_disk(process.seed, disk);
        sim.set_time_limit(TIME_LIMIT);
        sim.try_run(async |runtime| {
            let mut random = runtime.random();
            let machine = Machine::new(runtime, process.lie);
            if let Some(after) = process.frees_disk_after {
                let (clock, disk) = (machine.clone(), disk.clone());
                let free = async move {
                    clock.sleep(after).await;
                    disk.set_capacity(1 << 40);
                };
                machine.spawn(Shares::Background, "freeing", free);
            }
            let store = match open(&machine, plan, history).await {
                Ok(store) => store,
                Err(error) => return End::NotOpened(error),
            };
            check(&store, history, process.tolerance).await;
            history.borrow_mut().opened();
            let rest = (&mut random, process.messages, process.tolerance);
            work(&machine, &store, plan, history, rest).await;
            let fenced = history.borrow().fenced;
            if process.close {
                let closed = (store.log.close().await, store.meta.close().await);
                if let (Err(error), _) | (_, Err(error)) = closed
                    && process.tolerance == Tolerance::Nothing
                {
                    history
                        .borrow_mut()
                        .problems
                        .push(format!("the store does not close: {error}"));
                }
            }
            End::Done { fenced }
        })
    };
    let end = match catch_unwind(AssertUnwindSafe(run)) {
        Err(_) => return Err(format!("panic: {}", last_panic())),
        Ok(Err(Stopped::DiskCrashed { .. })) => End::Crashed,
        Ok(Err(stopped)) => return Err(stopped.to_string()),
        Ok(Ok(end)) => end,
    };
    if let Some(wrong) = history.borrow().wrong() {
        return Err(wrong);
    }
    match &end {
        End::NotOpened(error) if process.tolerance == Tolerance::Nothing => {
            Err(format!("I9: the store does not open: {error}"))
        }
        End::Done { fenced: true } if process.tolerance == Tolerance::Nothing => {
            Err("the log is fenced although nothing failed".into())
        }
        _ => Ok(end),
    }
}

thread_local! {
    static LAST_PANIC: RefCell<String> = RefCell::default();
}

/// Plays the story of a seed, which says what was wrong, and reports the first of that; a panic is
/// a violation like others.
pub(crate) fn judge_seed(meter: &Meter, seed: u64, run: impl FnOnce() -> Vec<String>) {
    watch_panics();
    let problems = catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|_| vec![format!("panic: {}", last_panic())]);
    if let Some(first) = problems.first() {
        let more = problems.len() - 1;
        let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
        meter.violation(seed, 1, &format!("{first}{more}"));
    }
    meter.seed_done();
}

/// Keeps the text of a panic instead of printing it: the report prints it with the seed.
pub(crate) fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if std::thread::current().name() == Some(WORKER) {
                LAST_PANIC.set(info.to_string());
            } else {
                usual(info);
            }
        }));
    });
}

/// The text of the last panic of this thread.
pub(crate) fn last_panic() -> String {
    LAST_PANIC.take()
}

/// Name of the threads whose panics are violations.
pub const WORKER: &str = "campaign";
