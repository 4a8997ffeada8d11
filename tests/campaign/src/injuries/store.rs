//! The stores that are injured.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use ringmq_io::sim::{Moment, OperationKind, SimDisk};
use ringmq_store::FlushMode;

use crate::{
    history::History,
    plan::Plan,
    process_run::{ProcessRun, run_process},
};

/// A copy of the disk is kept after so many writes, for blocks of an earlier time.
const KEPT_EVERY: u64 = 25;

/// How large a specimen is: messages of each producer in each of two processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// One segment and little else, for many injuries of the log's tail.
    Small = 20,
    /// With pages of the index and several segments.
    Large = 90,
}

/// A store with its history.
pub struct Specimen {
    pub plan: Plan,
    pub disk: SimDisk,
    pub history: History,
    /// The disk at earlier times.
    pub earlier: Vec<SimDisk>,
    pub closed: bool,
    /// The durable mark of the log.
    pub mark: u64,
}

impl Specimen {
    /// Two processes have written it; it was closed if the seed is even.
    pub fn new(seed: u64, build: Build) -> Result<Specimen, String> {
        let messages = build as u64;
        let closed = seed.is_multiple_of(2);
        let small = Plan::small(seed, FlushMode::Sync);
        // Marks of the second process only when it begins and ends: its log is decided by records.
        let checkpoint_interval = std::time::Duration::from_secs(1000);
        let segment_bytes = if build == Build::Small { 256 << 10 } else { small.segment_bytes };
        let retires = false;
        let plan = Plan { checkpoint_interval, retires, segment_bytes, commit_one_in: 3, ..small };
        let disk = SimDisk::new(seed);
        let history = History::new(&plan).shared();
        let earlier = Rc::new(RefCell::new(Vec::new()));
        let (source, kept, writes) = (disk.clone(), earlier.clone(), Cell::new(0));
        disk.watch(move |operation, moment| {
            let completed = moment == Moment::Completed { well: true };
            if operation.kind == OperationKind::Write && completed {
                writes.set(writes.get() + 1);
                if writes.get() % KEPT_EVERY == 0 {
                    kept.borrow_mut().push(source.kill(writes.get()));
                }
            }
        });
        let first = ProcessRun { close: seed % 4 < 2, ..ProcessRun::strict(seed, messages) };
        run_process(&disk, &plan, &history, &first)?;
        let second = ProcessRun { close: closed, ..ProcessRun::strict(seed + 1, messages) };
        run_process(&disk, &plan, &history, &second)?;
        disk.unwatch();
        let disk = disk.kill(seed);
        let mark = mark_of(&disk);
        let history = history.borrow().clone();
        Ok(Specimen { plan, disk, history, earlier: earlier.take(), closed, mark })
    }
}

/// The greater position of the two blocks of the log's mark; see `docs/FORMAT.md`.
fn mark_of(disk: &SimDisk) -> u64 {
    let bytes = disk.read_file("store/log-000/mark").expect("a log has a mark");
    let position = |block: &[u8]| {
        let field = block.get(24..32).and_then(|field| field.try_into().ok());
        field.map_or(0, u64::from_le_bytes)
    };
    bytes.chunks(4096).map(position).max().unwrap_or(0)
}
