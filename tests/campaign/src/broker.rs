//! A whole broker with 1 to 7 shards on the simulated machine, with tiny sizes: clients, a disk
//! that stalls, fills up and fails, connections that are slow and die, kills and power cuts with a
//! restart on another number of shards, and a model that judges every answer and, after each
//! process, everything that is there.

mod checker;
pub(crate) mod client;
pub(crate) mod model;
pub(crate) mod plan;
mod process;
pub(crate) mod readback;
mod requests;
mod resets;
mod sent_back;
mod timers;
mod transactions;
pub(crate) mod workload;

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use ringmq_io::sim::SimDisk;

pub use self::plan::Part;
use self::{
    model::Model,
    plan::{End, Plan, Process, Trouble},
};
use crate::{meter::Meter, process_run};

/// What may take so long although a log is slow that the request has nothing to do with.
const PATIENCE: Duration = Duration::from_secs(1);
/// When nothing is refused any more because of a full disk that has space again.
const SPACE_SEEN_AFTER: Duration = Duration::from_secs(1);
/// When everything works again after a fault of the disk is over.
const HEALED_AFTER: Duration = Duration::from_secs(2);

/// Runs the broker of a seed through its processes.
pub fn run_seed(meter: &Arc<Meter>, seed: u64, without: &[Part]) {
    process_run::judge_seed(meter, seed, || run(meter, seed, without));
}

/// The seed of a process: of chance on its machine.
fn process_seed(seed: u64, number: usize) -> u64 {
    seed.wrapping_mul(0x9E37_79B9) ^ number as u64
}

fn run(meter: &Arc<Meter>, seed: u64, without: &[Part]) -> Vec<String> {
    let plan = Rc::new(Plan::draw(seed, without));
    let model = Model::new(plan.auto_create, plan.legal_body());
    let model = Rc::new(RefCell::new(model));
    let mut disk = SimDisk::new(seed);
    let mut crashed = false;
    let last = Process { shards: plan.last_shards, trouble: Trouble::None, end: End::Clean };
    let processes = plan.processes.iter().copied().chain([last]).enumerate();
    let count = plan.processes.len() + 1;
    for (number, process) in processes {
        let before = disk.operations();
        let is_last = number + 1 == count;
        let run = process::ProcessRun { number, process, crashed, is_last };
        let outcome = process::run_process(&disk, &plan, &model, &run);
        meter.run(disk.operations() - before);
        let shown = format!(
            "process {number} ({} shards, {} logs, {:?}, before: {:?}): ",
            process.shards,
            plan.logs,
            process.trouble,
            &plan.processes[..number],
        );
        let mut problems = std::mem::take(&mut model.borrow_mut().problems);
        problems.extend(outcome.err());
        if !problems.is_empty() {
            return problems.into_iter().map(|text| format!("{shown}{text}")).collect();
        }
        crashed |= matches!(process.trouble, Trouble::Errors { .. });
        let image = match process.end {
            End::Clean => continue,
            End::Kill => disk.kill(process_seed(seed, number)),
            End::PowerCut => disk.power_cut(process_seed(seed, number)),
        };
        crashed = true;
        meter.image();
        disk = image;
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_of_all_sizes_keep_what_they_promise() {
        let meter = Arc::new(Meter::new("broker", 1, None));
        for seed in 1..40 {
            run_seed(&meter, seed, &[]);
        }
        assert_eq!(meter.first_violation(), None);
        assert!(meter.runs() > 80, "{}", meter.line());
    }

    #[test]
    fn a_seed_is_the_same_story_every_time() {
        let totals = |seed| {
            let meter = Arc::new(Meter::new("broker", 1, None));
            run_seed(&meter, seed, &[]);
            (meter.runs(), meter.images(), meter.totals().operations)
        };
        for seed in 1..10 {
            assert_eq!(totals(seed), totals(seed), "seed {seed}");
        }
    }
}
