//! Operations of the disk that fail: each fault at the k-th operation of a workload for every k,
//! two faults at random, and a disk that is full for a while. The process must keep its promises,
//! and so must those that open what it left after a kill or a power cut.

use std::{sync::Arc, time::Duration};

use ringmq_io::sim::{Fault, FaultRule, Random, SimDisk};
use ringmq_store::FlushMode;

use crate::{
    history::{Crash, History, SharedHistory},
    machine::DiskLie,
    meter::Meter,
    plan::Plan,
    process_run::{End, ProcessRun, run_process},
    reading::Tolerance,
};

/// What goes wrong in a case.
#[derive(Clone, Debug)]
enum Trouble {
    Faults(Vec<(u64, Fault)>),
    /// The disk holds so many bytes until the time has passed.
    Full {
        bytes: u64,
        until: Duration,
    },
}

#[derive(Clone, Copy, Debug)]
pub struct Search {
    pub seed: u64,
    pub only: Option<u64>,
    pub lie: DiskLie,
    /// Every how many operations one fails; 1 for all.
    pub step: u64,
}

const STALL: Duration = Duration::from_secs(5);
const PAIRS: u64 = 60;
const FULL_DISKS: u64 = 12;

/// All cases of the seed, in both flush modes.
pub fn run_seed(meter: &Arc<Meter>, search: Search) {
    let mut number = 0;
    for flush in [FlushMode::Sync, FlushMode::Async] {
        let plan = Plan::small(search.seed, flush);
        let disk = SimDisk::new(plan.seed);
        let history = History::new(&plan).shared();
        let clean =
            run_process(&disk, &plan, &history, &ProcessRun::strict(plan.seed, plan.messages));
        if let Err(wrong) = clean {
            meter.violation(search.seed, number, &wrong);
        }
        for trouble in troubles(search, disk.operations()) {
            number += 1;
            if search.only.is_some_and(|only| only != number) {
                continue;
            }
            if meter.is_over() {
                return;
            }
            if let Err(wrong) = case(meter, &plan, &trouble, search.lie) {
                meter.violation(search.seed, number, &format!("{trouble:?}, {flush:?}: {wrong}"));
            }
        }
    }
    meter.seed_done();
}

fn troubles(search: Search, operations: u64) -> Vec<Trouble> {
    let mut random = Random::new(search.seed ^ 0x6572_726f);
    let draw = |random: &mut Random| match random.below(6) {
        0 => Fault::InputOutput,
        1 => Fault::NoSpace,
        2 => Fault::Short(random.index(16) * 512),
        3 => Fault::NoDescriptor,
        4 => Fault::NotAllowed,
        _ => Fault::Stall(STALL),
    };
    let mut all = Vec::new();
    let start = 1 + random.below(search.step);
    for operation in (start..=operations).step_by(usize::try_from(search.step).expect("small")) {
        let short = Fault::Short(random.index(16) * 512);
        let refused = if random.chance(1, 2) { Fault::NoDescriptor } else { Fault::NotAllowed };
        for fault in [Fault::InputOutput, Fault::NoSpace, short, refused, Fault::Stall(STALL)] {
            all.push(Trouble::Faults(vec![(operation, fault)]));
        }
    }
    for _ in 0..PAIRS / search.step {
        let first = (1 + random.below(operations), draw(&mut random));
        let second = (first.0 + 1 + random.below(20), draw(&mut random));
        all.push(Trouble::Faults(vec![first, second]));
    }
    for _ in 0..FULL_DISKS / search.step {
        let bytes = (64 + random.below(400)) << 10;
        let until = Duration::from_millis(random.below(3000));
        all.push(Trouble::Full { bytes, until });
    }
    all
}

fn case(meter: &Meter, plan: &Plan, trouble: &Trouble, lie: DiskLie) -> Result<(), String> {
    let disk = SimDisk::new(plan.seed);
    let history = History::new(plan).shared();
    let notes = history.clone();
    disk.watch(move |operation, moment| notes.borrow_mut().note(operation, moment));
    match trouble {
        Trouble::Faults(faults) => {
            for (operation, fault) in faults {
                disk.add_fault(FaultRule::at(*operation, *fault));
            }
        }
        Trouble::Full { bytes, .. } => disk.set_capacity(*bytes),
    }
    let process = ProcessRun {
        tolerance: Tolerance::DiskErrors,
        lie,
        close: plan.seed.is_multiple_of(2),
        frees_disk_after: match trouble {
            Trouble::Full { until, .. } => Some(*until),
            Trouble::Faults(_) => None,
        },
        ..ProcessRun::strict(plan.seed, plan.messages)
    };
    let end = run_process(&disk, plan, &history, &process);
    disk.unwatch();
    meter.run(disk.operations());
    judge(trouble, &end?)?;
    disk.clear_faults();
    disk.set_capacity(1 << 40);
    for crash in [Crash::Kill, Crash::PowerCut] {
        let image = match crash {
            Crash::Kill => disk.kill(plan.seed),
            Crash::PowerCut => disk.power_cut(plan.seed),
        };
        let history = history.borrow().clone().shared();
        after(meter, plan, &image, (crash, &history), lie)?;
    }
    Ok(())
}

/// A stall and a full disk stop nothing for good.
fn judge(trouble: &Trouble, end: &End) -> Result<(), String> {
    let stalls = |(_, fault): &(u64, Fault)| matches!(fault, Fault::Stall(_));
    let harmless = match trouble {
        Trouble::Faults(faults) => faults.iter().all(stalls),
        Trouble::Full { .. } => true,
    };
    match end {
        End::Done { fenced: true } if harmless => Err("the log is fenced".into()),
        End::NotOpened(error) if harmless && !matches!(trouble, Trouble::Full { .. }) => {
            Err(format!("the store does not open: {error}"))
        }
        _ => Ok(()),
    }
}

/// The next process finds everything that was promised, and works.
fn after(
    meter: &Meter,
    plan: &Plan,
    image: &SimDisk,
    (crash, history): (Crash, &SharedHistory),
    lie: DiskLie,
) -> Result<(), String> {
    history.borrow_mut().crashed(crash, plan.flush, image);
    meter.image();
    let process = ProcessRun { lie, ..ProcessRun::strict(plan.seed + 1, 4) };
    let end = run_process(image, plan, history, &process);
    meter.run(image.operations());
    end.map_err(|wrong| format!("after {crash:?}: {wrong}")).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failing_operations_break_no_promise() {
        let meter = Arc::new(Meter::new("errors", 1, None));
        run_seed(&meter, Search { seed: 5, only: None, lie: DiskLie::None, step: 40 });
        assert_eq!(meter.first_violation(), None);
        assert!(meter.runs() > 50, "{}", meter.line());
    }
}
