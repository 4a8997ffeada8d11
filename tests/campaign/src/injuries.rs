//! Damage to what is on disk: single bits, zeroed ranges, cut files, blocks that were written
//! elsewhere or are of an earlier time. The store refuses, repairs, or serves exactly what was
//! acknowledged, and says so where it cannot. What is injured is found by listing the directory.
//!
//! One loss is allowed, the one that `docs/FORMAT.md` describes: acknowledged records behind the
//! last mark of which, and of everything appended after their write, nothing intact is left.

mod cases;
mod store;

use std::{cell::Cell, ops::Range, path::PathBuf, sync::Arc};

use ringmq_io::sim::{Operation, OperationKind, SimDisk};
use ringmq_store::OpenError;

use crate::{
    history::{Ack, SharedHistory, start_of},
    meter::Meter,
    process_run::{End, ProcessRun, run_process},
    reading::Tolerance,
};
pub use cases::Sizes;
use cases::{Bits, Injury, blocks, random_injury, tail};
use store::{Build, Specimen};

/// Bytes in front of a record that belong to it.
const ENVELOPE_BYTES: u64 = 32;
const META: &str = "store/meta";
/// One injured store in so many is also written on.
const WRITES_ON_ONE_IN: u64 = 32;

#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// Even seeds make stores that were closed, odd ones stores whose process was killed.
    pub seed: u64,
    pub only: Option<u64>,
    pub sizes: Sizes,
    /// This worker takes one case in so many, beginning with the first number.
    pub share: (u64, u64),
}

/// All injuries of the seed: the tail bit by bit in a small store, everything else in a larger one.
pub fn run_seed(meter: &Arc<Meter>, search: Search) {
    let small = Specimen::new(search.seed, Build::Small);
    let specimens = small.and_then(|small| Ok((small, Specimen::new(search.seed, Build::Large)?)));
    let (small, large) = match specimens {
        Ok(specimens) => specimens,
        Err(wrong) => return meter.violation(search.seed, 0, &wrong),
    };
    let number = Cell::new(0);
    let chosen = || {
        number.set(number.get() + 1);
        let own = number.get() % search.share.1 == search.share.0;
        own && search.only.is_none_or(|only| only == number.get()) && !meter.is_over()
    };
    let suffer = |specimen: &Specimen, injury: &Injury| {
        if let Err(wrong) = specimen.suffer(meter, injury, number.get()) {
            meter.violation(search.seed, number.get(), &format!("{injury:?}: {wrong}"));
        }
    };
    let pieces = [(&small, tail(&small, search.sizes)), (&large, blocks(&large, search.sizes))];
    for (specimen, bits) in pieces {
        for Bits { path, bits } in bits {
            for bit in bits {
                if chosen() {
                    suffer(specimen, &Injury::Bit { path: path.clone(), bit });
                }
            }
        }
    }
    for n in 0..search.sizes.random {
        if chosen() {
            suffer(&large, &random_injury(&large, search.seed, n));
        }
    }
    if search.share.0 == 0 {
        meter.seed_done();
    }
}

/// Bytes of a file that are not what they were.
#[derive(Clone, Debug)]
struct Changed {
    path: PathBuf,
    bytes: Range<u64>,
}

impl Specimen {
    fn suffer(&self, meter: &Meter, injury: &Injury, number: u64) -> Result<(), String> {
        let disk = self.disk.kill(number);
        let Some(changed) = injury.inflict(&disk, self) else {
            return Ok(());
        };
        let history = self.history.clone().shared();
        self.allow_losses(&history, &changed);
        let writes_on = number.is_multiple_of(WRITES_ON_ONE_IN);
        let process = ProcessRun {
            tolerance: Tolerance::Damage,
            close: writes_on,
            ..ProcessRun::strict(number, if writes_on { 3 } else { 0 })
        };
        let end = run_process(&disk, &self.plan, &history, &process);
        meter.image();
        meter.run(disk.operations());
        match end? {
            End::NotOpened(error) => refused_well(&error, &disk)?,
            End::Done { fenced: true } => return Err("the log is fenced".into()),
            End::Crashed => return Err("crashed".into()),
            End::Done { fenced: false } if writes_on => {
                // What was accepted once is accepted again.
                let again = ProcessRun { close: true, ..process };
                let end = run_process(&disk, &self.plan, &history, &again);
                meter.run(disk.operations());
                if !matches!(end?, End::Done { fenced: false }) {
                    return Err("it opened once and not again".into());
                }
            }
            End::Done { .. } => {}
        }
        Ok(())
    }

    /// Takes back the promises that the damage makes undecidable.
    fn allow_losses(&self, history: &SharedHistory, changed: &Changed) {
        let mut history = history.borrow_mut();
        let name = changed.path.to_string_lossy();
        if name.contains("meta-") && !self.closed {
            history.checker.forget_committed();
        }
        let Some(start) = start_of(&changed.path) else {
            return;
        };
        let damaged = |ack: &Ack| {
            let (from, to) = (ack.position - ENVELOPE_BYTES, ack.end());
            from < start + changed.bytes.end && start + changed.bytes.start < to
        };
        // Where the log may seem to end: at a damaged record behind the mark, unless something
        // intact was appended when that was on stable storage. What a snapshot covers is not
        // looked at, so it need not be the first one that is damaged.
        let intact: Vec<Ack> = history.acks.iter().copied().filter(|ack| !damaged(ack)).collect();
        let undecided = |ack: &&Ack| {
            let proves = |other: &Ack| other.appended_after >= ack.write;
            damaged(ack) && ack.position >= self.mark && !intact.iter().any(proves)
        };
        let Some(first) = history.acks.iter().find(undecided).copied() else {
            return;
        };
        let lost: Vec<Ack> =
            history.acks.iter().filter(|ack| ack.position >= first.position).copied().collect();
        let queues = history.queues.clone();
        history.checker.keep_only(|queue, offset| {
            let same = |ack: &Ack| queues[ack.queue] == *queue && ack.offset <= offset;
            !lost.iter().any(same)
        });
        history.offsets_may_lead = true;
    }
}

/// A refusal says why and changes nothing; a piece that was opened before it may have gone on.
fn refused_well(error: &OpenError, disk: &SimDisk) -> Result<(), String> {
    if let OpenError::Disk(error) = error {
        return Err(format!("damage is no error of the disk: {error}"));
    }
    let of_meta = error.to_string().contains(META);
    let concerned = |operation: &Operation| {
        let in_meta = operation.path.starts_with(META);
        operation.kind.changes_disk()
            && operation.kind != OperationKind::CreateDirectory
            && (in_meta || !of_meta)
    };
    match disk.log().iter().find(|operation| concerned(operation)) {
        None => Ok(()),
        Some(change) => Err(format!("the refusal changed the disk, {change:?}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_injuries_of_every_kind_are_survived() {
        let meter = Arc::new(Meter::new("injuries", 1, None));
        for seed in 1..=2 {
            let sizes = Sizes { tail_bytes: 8, head_bytes: 1, bit_step: 4999, random: 40 };
            run_seed(&meter, Search { seed, only: None, sizes, share: (0, 1) });
        }
        assert_eq!(meter.first_violation(), None);
        assert!(meter.images() > 150, "{}", meter.line());
    }
    #[test]
    fn files_that_were_cut_anywhere_are_told_from_whole_ones() {
        let meter = Meter::new("injuries", 1, None);
        let specimen = Specimen::new(4, Build::Large).expect("builds");
        for path in specimen.disk.files() {
            let end = specimen.disk.read_file(&path).map_or(0, |bytes| bytes.len() as u64);
            for length in [1, 4095, 4097, 4587, 8192, 9001].into_iter().filter(|one| *one < end) {
                let injury = Injury::Cut { path: path.clone(), length };
                let result = specimen.suffer(&meter, &injury, length);
                assert_eq!(result, Ok(()), "{injury:?}");
            }
        }
    }
}
