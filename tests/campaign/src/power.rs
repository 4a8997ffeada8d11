//! Power cuts and kills at every moment of a workload: one run, watched, and at chosen moments
//! images of the disk as a crash right then could leave it. Every image is opened, checked and
//! written on, crashes again while that goes on, and is opened and checked once more.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
};

use ringmq_io::sim::{Moment, Operation, OperationKind, PowerCut, Random, SimDisk};

use crate::{
    history::{Crash, History, SharedHistory},
    machine::DiskLie,
    meter::Meter,
    plan::Plan,
    process_run::{End, ProcessRun, run_process},
};

/// Operations of the second process after which it crashes at the latest.
const SECOND_CRASH_WITHIN: u64 = 70;

/// What a seed's run is for.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    pub seed: u64,
    /// Images to take, about.
    pub images: u64,
    /// The only case to examine.
    pub only: Option<u64>,
    pub lie: DiskLie,
}

/// A moment after which something new is on stable storage.
fn is_sync_point(operation: &Operation, moment: Moment) -> bool {
    use OperationKind::{Rename, Sync, SyncDirectory, Write};
    matches!(operation.kind, Rename | Sync | SyncDirectory | Write)
        && moment == Moment::Completed { well: true }
}

/// The moments of the workload: whether each is a sync point.
fn rehearse(plan: &Plan, lie: DiskLie) -> Result<Vec<bool>, String> {
    let disk = SimDisk::new(plan.seed);
    let moments = Rc::new(RefCell::new(Vec::new()));
    let seen = moments.clone();
    disk.watch(move |operation, moment| {
        seen.borrow_mut().push(is_sync_point(operation, moment));
    });
    let result = run_processes(plan, &disk, &History::new(plan).shared(), lie, |_| {});
    disk.unwatch();
    result.map(|()| moments.take())
}

/// The processes of the workload, one after the other.
fn run_processes(
    plan: &Plan,
    disk: &SimDisk,
    history: &SharedHistory,
    lie: DiskLie,
    mut done: impl FnMut(u64),
) -> Result<(), String> {
    let mut random = Random::new(plan.seed ^ 0x6c69_7665);
    let mut before = 0;
    for number in 0..plan.processes {
        let strict = ProcessRun::strict(plan.seed.wrapping_mul(31) + number, plan.messages);
        run_process(
            disk,
            plan,
            history,
            &ProcessRun { close: random.chance(1, 2), lie, ..strict },
        )?;
        done(disk.operations() - before);
        before = disk.operations();
    }
    Ok(())
}

struct Examiner {
    plan: Plan,
    search: Search,
    meter: Arc<Meter>,
    history: SharedHistory,
    disk: SimDisk,
    /// How many images to take at each moment.
    orders: Vec<u64>,
    moment: Cell<usize>,
    number: Cell<u64>,
}

/// Runs the workload of the seed and examines images of it.
pub fn run_seed(meter: &Arc<Meter>, search: Search) {
    let plan = Plan::draw(search.seed);
    let disk = SimDisk::new(plan.seed);
    let history = History::new(&plan).shared();
    let orders = match rehearse(&plan, search.lie) {
        Ok(moments) => distribute(&moments, search),
        Err(wrong) => return meter.violation(search.seed, 0, &wrong),
    };
    let examiner = Examiner {
        plan: plan.clone(),
        search,
        meter: meter.clone(),
        history: history.clone(),
        disk: disk.clone(),
        orders,
        moment: Cell::new(0),
        number: Cell::new(0),
    };
    disk.watch(move |operation, moment| examiner.at(operation, moment));
    let result =
        run_processes(&plan, &disk, &history, search.lie, |operations| meter.run(operations));
    disk.unwatch();
    if let Err(wrong) = result {
        meter.violation(search.seed, 0, &wrong);
    }
    meter.seed_done();
}

/// Every sync point gets an image, the rest of them goes to random moments.
fn distribute(moments: &[bool], search: Search) -> Vec<u64> {
    let mut random = Random::new(search.seed ^ 0x6f72_6465);
    // An examination is two images: the second crash makes one more.
    let all = search.images.div_ceil(2);
    let sync_points = moments.iter().filter(|sync| **sync).count().max(1) as u64;
    let others = (moments.len() as u64).saturating_sub(sync_points).max(1);
    let each = (all * 2 / 3 / sync_points).max(1);
    let rest = all.saturating_sub(each * sync_points).max(others / 8);
    let order = |sync: &bool| match sync {
        true => each,
        false => rest / others + u64::from(random.chance(rest % others, others)),
    };
    moments.iter().map(order).collect()
}

impl Examiner {
    fn at(&self, operation: &Operation, moment: Moment) {
        self.history.borrow_mut().note(operation, moment);
        let index = self.moment.get();
        self.moment.set(index + 1);
        let images = self.orders.get(index).copied().unwrap_or(0);
        for _ in 0..images {
            let number = self.number.get() + 1;
            self.number.set(number);
            let chosen = self.search.only.is_none_or(|only| only == number);
            if chosen && !self.meter.is_over() {
                self.examine(number);
            }
        }
    }

    fn examine(&self, number: u64) {
        let mut random = Random::new(self.search.seed.rotate_left(32) ^ number);
        let history = self.history.borrow().clone().shared();
        let image = self.crash(&self.disk, &history, &mut random);
        let crash_after = random.below(SECOND_CRASH_WITHIN);
        image.crash_after_operation(crash_after);
        let second = random.below(12);
        let end = self.open(&image, &history, &mut random, second);
        let end = end.and_then(|end| {
            let next = self.crash(&image, &history, &mut random);
            let last = self.open(&next, &history, &mut random, 1)?;
            let done = matches!(last, End::Done { .. });
            if done { Ok(end) } else { Err(format!("it ended with {last:?} the second time")) }
        });
        if let Err(wrong) = end {
            self.meter.violation(self.search.seed, number, &wrong);
        }
    }

    /// The disk as a crash leaves it now.
    fn crash(&self, disk: &SimDisk, history: &SharedHistory, random: &mut Random) -> SimDisk {
        let seed = random.word();
        let (crash, image) = match random.below(4) {
            0 => (Crash::Kill, disk.kill(seed)),
            1 => (Crash::PowerCut, disk.power_cut(seed)),
            _ => {
                let cut = PowerCut { torn_sectors: true };
                (Crash::PowerCut, disk.power_cut_with(seed, cut))
            }
        };
        history.borrow_mut().crashed(crash, self.plan.flush, &image);
        image
    }

    fn open(
        &self,
        image: &SimDisk,
        history: &SharedHistory,
        random: &mut Random,
        messages: u64,
    ) -> Result<End, String> {
        self.meter.image();
        let notes = history.clone();
        image.watch(move |operation, moment| notes.borrow_mut().note(operation, moment));
        let process =
            ProcessRun { lie: self.search.lie, ..ProcessRun::strict(random.word(), messages) };
        let end = run_process(image, &self.plan, history, &process);
        image.unwatch();
        self.meter.run(image.operations());
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_hundred_crashes_break_no_promise() {
        let meter = Arc::new(Meter::new("power-cuts", 1, None));
        let mut seed = 1;
        while meter.images() < 300 {
            run_seed(&meter, Search { seed, images: 1, only: None, lie: DiskLie::None });
            seed += 1;
        }
        assert_eq!(meter.first_violation(), None);
    }

    #[test]
    fn a_disk_whose_durable_writes_are_not_is_found_out() {
        let meter = Arc::new(Meter::quiet("power-cuts", 1, None));
        for seed in 1..20 {
            let lie = DiskLie::VolatileWrites;
            run_seed(&meter, Search { seed, images: 1, only: None, lie });
        }
        assert!(meter.first_violation().is_some(), "{}", meter.line());
    }
}
