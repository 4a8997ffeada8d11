//! Bugs on purpose, which the campaigns must find: a checker that has never seen a bug proves
//! nothing.

use std::{sync::Arc, time::Duration};

use ringmq_base::injected_bugs::{Bug, plant};
use ringmq_broker::injected_bugs as in_broker;
use ringmq_namesrv::injected_bugs as in_name_server;
use ringmq_store::injected_bugs as in_store;

use crate::{
    broker, cluster, copies, errors, injuries,
    injuries::Sizes,
    machine::DiskLie,
    meter::{Meter, Totals},
    power,
};

/// A bug that takes longer to be found counts as missed.
const BUDGET: Duration = Duration::from_secs(60);
/// The same for whole brokers, some fifty a second of which can be run on one core.
const BROKER_BUDGET: Duration = Duration::from_secs(180);

/// Which campaign has to find it.
#[derive(Clone, Copy, Debug)]
enum Campaign {
    PowerCuts,
    Copies,
    Errors,
    Injuries,
    Broker,
    Cluster,
}

/// A bug, and who has to find it.
struct Case {
    name: &'static str,
    how: &'static str,
    planted: Option<Bug>,
    lie: DiskLie,
    campaign: Campaign,
    /// How many seeds are passed over: none of the first finds it within the budget.
    skipped: u64,
}

const fn lie(name: &'static str, how: &'static str, lie: DiskLie, campaign: Campaign) -> Case {
    Case { name, how, planted: None, lie, campaign, skipped: 0 }
}

const fn bug(bug: Bug, campaign: Campaign) -> Case {
    rare(bug, campaign, 0)
}

const fn rare(bug: Bug, campaign: Campaign, skipped: u64) -> Case {
    let lie = DiskLie::None;
    Case { name: bug.name, how: bug.file, planted: Some(bug), lie, campaign, skipped }
}

const CASES: [Case; 34] = [
    bug(in_broker::BATCH_CUT, Campaign::Broker),
    bug(in_broker::LANE_BLOCKS, Campaign::Broker),
    bug(in_broker::CHANGE_LATE, Campaign::Broker),
    bug(in_broker::ANSWER_DROPPED, Campaign::Broker),
    rare(in_broker::BACKLOG_UNBOUNDED, Campaign::Broker, 12_000),
    bug(in_broker::MEMBER_ERROR_FORGOTTEN, Campaign::Broker),
    bug(in_broker::COMMIT_TWICE, Campaign::Broker),
    bug(in_broker::DECISION_LOST, Campaign::Broker),
    bug(in_broker::DELIVERED_EARLY, Campaign::Broker),
    bug(in_broker::DELETION_ELSEWHERE, Campaign::Broker),
    bug(in_broker::TIMER_DROPPED, Campaign::Broker),
    bug(in_broker::DELAYED_DROPPED, Campaign::Broker),
    bug(in_broker::BACK_AT_ONCE, Campaign::Broker),
    bug(in_broker::DEAD_LETTER_LATE, Campaign::Broker),
    bug(in_broker::RESET_UNDONE, Campaign::Broker),
    bug(in_broker::RESET_LOST, Campaign::Broker),
    bug(in_broker::RESET_PAST_TIME, Campaign::Broker),
    bug(in_broker::REGISTERS_ONCE, Campaign::Cluster),
    bug(in_name_server::DEAD_STAYS, Campaign::Cluster),
    bug(in_name_server::SILENT_STAYS, Campaign::Cluster),
    bug(in_name_server::OLD_CONNECTION_COUNTS, Campaign::Cluster),
    bug(in_name_server::LATE_TAKES_OVER, Campaign::Cluster),
    bug(in_store::VISIBLE_TOO_EARLY, Campaign::Cluster),
    lie(
        "acknowledges before the sync",
        "a disk whose durable writes are not",
        DiskLie::VolatileWrites,
        Campaign::PowerCuts,
    ),
    lie(
        "swallows errors of writes and syncs",
        "a disk that reports failed writes and syncs as done",
        DiskLie::ErrorsSwallowed,
        Campaign::Errors,
    ),
    bug(in_store::CHECKSUM_SKIPPED, Campaign::Injuries),
    bug(in_store::TORN_TAIL_ACCEPTED, Campaign::PowerCuts),
    bug(in_store::VISIBLE_TOO_EARLY, Campaign::PowerCuts),
    bug(in_store::INDEX_AHEAD, Campaign::PowerCuts),
    bug(in_store::OFFSET_REUSED, Campaign::PowerCuts),
    bug(in_store::CUT_UNMARKED, Campaign::Copies),
    bug(in_store::CUT_COMMITTED, Campaign::Copies),
    bug(in_store::CLAIMS_KEPT, Campaign::Copies),
    bug(in_store::EPOCH_FROM_POSITION, Campaign::Copies),
];

/// Plants one bug after the other, of those whose names have `only` in them; a bug that is not
/// found is the violation.
pub fn run(seed: u64, only: &str) -> Totals {
    let mut totals = Totals { campaign: "planted".into(), first_seed: seed, ..Totals::default() };
    for bug in CASES.iter().filter(|bug| bug.name.contains(only)) {
        let budget = match bug.campaign {
            Campaign::Broker | Campaign::Cluster => BROKER_BUDGET,
            _ => BUDGET,
        };
        let meter = Arc::new(Meter::quiet("planted", seed, Some(budget)));
        plant(bug.planted);
        let first = seed + bug.skipped;
        let mut next = first;
        while !meter.is_over() {
            search(&meter, bug, next);
            next += 1;
        }
        plant(None);
        let one = meter.totals();
        let seconds = meter.seconds();
        match meter.first_violation() {
            Some(found) => {
                let found = found.lines().next().unwrap_or_default().to_owned();
                let found: String = found.chars().take(120).collect();
                println!(
                    "planted: found: {} ({}), by {:?} after {seconds:.1} s, {} seeds and {} \
                     images: {found}",
                    bug.name,
                    bug.how,
                    bug.campaign,
                    next - first,
                    one.images
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

fn search(meter: &Arc<Meter>, bug: &Case, seed: u64) {
    let lie = bug.lie;
    match bug.campaign {
        Campaign::PowerCuts => {
            power::run_seed(meter, power::Search { seed, images: 200, only: None, lie });
        }
        Campaign::Copies => copies::run_seed(meter, seed),
        Campaign::Broker => broker::run_seed(meter, seed, &[]),
        Campaign::Cluster => cluster::run_seed(meter, seed),
        Campaign::Errors => {
            errors::run_seed(meter, errors::Search { seed, only: None, lie, step: 5 });
        }
        Campaign::Injuries => {
            let sizes = Sizes { tail_bytes: 512, head_bytes: 0, bit_step: 5003, random: 200 };
            let share = (0, 1);
            injuries::run_seed(meter, injuries::Search { seed, only: None, sizes, share });
        }
    }
}
