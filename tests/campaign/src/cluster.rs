//! A name server and one to three brokers of several shards each, every one of them on a machine of
//! its own: machines that die and stand still, links that are cut, clocks that differ. Clients find
//! their brokers by the name server; a model for each broker judges all of its answers and what is
//! there afterwards, and an observer what the name server says.
//!
//! Not judged here, since it takes the clock of one machine: messages that are kept back or given
//! back, transactions, resets of offsets; the campaign `broker` has them.

mod director;
mod member;
mod plan;
mod routes;
mod watch;

use std::sync::Arc;

use crate::{cluster::plan::ClusterPlan, meter::Meter, process_run};

/// One seed in so many is played twice.
const TWINS_ONE_IN: u64 = 20;

/// Plays the story of a seed.
pub fn run_seed(meter: &Arc<Meter>, seed: u64) {
    process_run::judge_seed(meter, seed, || {
        let tell = || director::run(meter, &ClusterPlan::draw(seed));
        let mut told = tell();
        if told.problems.is_empty()
            && seed.is_multiple_of(TWINS_ONE_IN)
            && tell().trace != told.trace
        {
            told.problems.push("a second run of the seed is another story".to_owned());
        }
        told.problems
    });
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn clusters_keep_what_they_promise() {
        let meter = Arc::new(Meter::new("cluster", 1, None));
        for seed in 1..12 {
            run_seed(&meter, seed);
        }
        assert_eq!(meter.first_violation(), None);
        assert!(meter.runs() > 30, "{}", meter.line());
    }

    #[test]
    fn a_seed_is_the_same_story_every_time() {
        let told = |seed| {
            let meter = Arc::new(Meter::new("cluster", 1, None));
            let told = director::run(&meter, &ClusterPlan::draw(seed));
            (told.trace, told.problems, meter.totals().operations)
        };
        let tell = |seed| {
            let first = told(seed);
            assert_eq!(first, told(seed), "seed {seed}");
            first.0
        };
        let traces: BTreeSet<_> = (20..23).map(tell).collect();
        assert_eq!(traces.len(), 3);
    }
}
