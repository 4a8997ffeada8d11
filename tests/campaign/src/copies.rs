//! Copies of a log that lead, follow, are cut and come back, and whose power fails at operations of
//! all of that. Nothing that is committed is lost, nothing of what was cut is served again, and no
//! torn tail of a follower is taken for damage.

mod copy;
mod story;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use crate::{
    meter::Meter,
    process_run::{last_panic, watch_panics},
};
pub use story::Counts;

/// Plays the story of a seed.
pub fn run_seed(meter: &Arc<Meter>, seed: u64) {
    watch_panics();
    let mut counts = Counts::default();
    let told = catch_unwind(AssertUnwindSafe(|| story::play(seed, &mut counts)));
    let told = told.unwrap_or_else(|_| Err(format!("panic: {}", last_panic())));
    (0..counts.images).for_each(|_| meter.image());
    (0..counts.runs).for_each(|_| meter.run(counts.operations / counts.runs));
    if let Err(wrong) = told {
        meter.violation(seed, 0, &wrong);
    }
    meter.seed_done();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_keep_what_is_committed_and_nothing_that_was_cut() {
        let mut counts = Counts::default();
        for seed in 1..=150 {
            story::play(seed, &mut counts).unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
        }
        let Counts { cuts, refused_cuts, torn, earlier_epochs, .. } = counts;
        let least = cuts.min(refused_cuts).min(torn).min(earlier_epochs);
        assert!(least > 20, "{counts:?}");
    }
}
