//! Bugs on purpose, which the campaigns must find: a checker that has never seen a bug proves
//! nothing.

use std::{sync::Arc, time::Duration};

use ringmq_broker::injected_bugs::{Planted as InBroker, plant as plant_in_broker};
use ringmq_store::injected_bugs::{Planted, plant};

use crate::{
    broker, errors, injuries,
    injuries::Sizes,
    machine::Lie,
    meter::{Meter, Totals},
    power,
};

/// A bug that takes longer to be found counts as missed.
const BUDGET: Duration = Duration::from_secs(60);

/// Which campaign has to find it.
#[derive(Clone, Copy, Debug)]
enum Hunter {
    PowerCuts,
    Errors,
    Injuries,
    Broker,
}

struct Bug {
    name: &'static str,
    how: &'static str,
    planted: Option<Planted>,
    in_broker: Option<InBroker>,
    lie: Lie,
    hunter: Hunter,
}

const fn lie(name: &'static str, how: &'static str, lie: Lie, hunter: Hunter) -> Bug {
    Bug { name, how, planted: None, in_broker: None, lie, hunter }
}

const fn bug(name: &'static str, how: &'static str, planted: Planted, hunter: Hunter) -> Bug {
    Bug { name, how, planted: Some(planted), in_broker: None, lie: Lie::None, hunter }
}

const fn in_broker(name: &'static str, bug: InBroker) -> Bug {
    let how = "src/broker/injected_bugs.rs";
    Bug { name, how, planted: None, in_broker: Some(bug), lie: Lie::None, hunter: Hunter::Broker }
}

const BUGS: [Bug; 13] = [
    in_broker("cuts a batch in two", InBroker::BatchCut),
    in_broker("lets a lane block another", InBroker::LaneBlocks),
    in_broker("tells a change late", InBroker::ChangeLate),
    in_broker("drops an answer", InBroker::AnswerDropped),
    in_broker("has a backlog without a bound", InBroker::BacklogUnbounded),
    in_broker("forgets the error of a batch's message", InBroker::MemberErrorForgotten),
    lie(
        "acknowledges before the sync",
        "a disk whose durable writes are not",
        Lie::VolatileWrites,
        Hunter::PowerCuts,
    ),
    lie(
        "swallows errors of writes and syncs",
        "a disk that reports failed writes and syncs as done",
        Lie::ErrorsSwallowed,
        Hunter::Errors,
    ),
    bug(
        "skips the checksum",
        "src/store/api/injected_bugs.rs",
        Planted::ChecksumSkipped,
        Hunter::Injuries,
    ),
    bug(
        "accepts a torn tail",
        "src/store/api/injected_bugs.rs",
        Planted::TornTailAccepted,
        Hunter::PowerCuts,
    ),
    bug(
        "shows messages ahead of the durable end",
        "src/store/api/injected_bugs.rs",
        Planted::VisibleTooEarly,
        Hunter::PowerCuts,
    ),
    bug(
        "writes the index ahead of the durable log",
        "src/store/api/injected_bugs.rs",
        Planted::IndexAhead,
        Hunter::PowerCuts,
    ),
    bug(
        "uses an offset again after a restart",
        "src/store/api/injected_bugs.rs",
        Planted::OffsetReused,
        Hunter::PowerCuts,
    ),
];

/// Plants one bug after the other; a bug that is not found is the violation.
pub fn run(seed: u64) -> Totals {
    let mut totals = Totals { campaign: "planted".into(), first_seed: seed, ..Totals::default() };
    for bug in &BUGS {
        let meter = Arc::new(Meter::quiet("planted", seed, Some(BUDGET)));
        plant(bug.planted);
        plant_in_broker(bug.in_broker);
        let mut next = seed;
        while !meter.is_over() {
            hunt(&meter, bug, next);
            next += 1;
        }
        plant(None);
        plant_in_broker(None);
        let one = meter.totals();
        let seconds = meter.seconds();
        match meter.first_violation() {
            Some(found) => {
                let found = found.lines().next().unwrap_or_default().to_owned();
                let found: String = found.chars().take(120).collect();
                println!(
                    "planted: found: {} ({}), by {:?} after {seconds:.1} s and {} images: {found}",
                    bug.name, bug.how, bug.hunter, one.images
                );
            }
            None => {
                println!("violation: MISSED: {} ({}), {seconds:.0} s", bug.name, bug.how);
                totals.violations += 1;
            }
        }
        totals.seeds += 1;
        totals.images += one.images;
        totals.runs += one.runs;
        totals.operations += one.operations;
        totals.seconds += one.seconds;
    }
    totals
}

fn hunt(meter: &Arc<Meter>, bug: &Bug, seed: u64) {
    let lie = bug.lie;
    match bug.hunter {
        Hunter::PowerCuts => {
            power::run_seed(meter, power::Hunt { seed, images: 200, only: None, lie });
        }
        Hunter::Broker => broker::run_seed(meter, seed, &[]),
        Hunter::Errors => {
            errors::run_seed(meter, errors::Hunt { seed, only: None, lie, step: 5 });
        }
        Hunter::Injuries => {
            let sizes = Sizes { tail_bytes: 512, head_bytes: 0, bit_step: 5003, random: 200 };
            let share = (0, 1);
            injuries::run_seed(meter, injuries::Hunt { seed, only: None, sizes, share });
        }
    }
}
