//! `scripts/campaign`: runs fault campaigns and prints what they found.

#![forbid(unsafe_code)]

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::{Parser, ValueEnum};
use ringmq_campaign::{
    broker::{self, Part},
    cluster, copies, errors,
    hostile::{
        self,
        attacker::{Target, attack},
    },
    injuries,
    injuries::Sizes,
    kill9, load,
    machine::DiskLie,
    meter::{Meter, Totals},
    power,
    process_run::WORKER,
    report, sockets,
};

/// Fault campaigns against the store. Ends with 1 if a promise was broken, and says how to repeat
/// it.
#[derive(Parser, Debug)]
#[command(name = "campaign")]
struct Arguments {
    /// What to run.
    name: Name,
    /// First seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only this case of the seed, or this attack, as a violation names it; or the planted bugs
    /// with this in their names.
    #[arg(long)]
    only: Option<String>,
    /// The long sizes, of `docs/RELIABILITY.md`; else those of every change.
    #[arg(long)]
    long: bool,
    /// So many seeds, whatever the sizes say; for `broker` and `cluster`.
    #[arg(long)]
    seeds: Option<u64>,
    /// Goes on with further seeds until so many minutes are over, whatever the sizes say.
    #[arg(long)]
    minutes: Option<u64>,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    threads: u64,
    /// Kills of `kill9`; 50, or 1,000 with --long.
    #[arg(long)]
    cycles: Option<u64>,
    /// Goes on until there are so many violations.
    #[arg(long, default_value_t = 10)]
    violations: usize,
    /// What `broker` leaves out, to look past what is known.
    #[arg(long, value_enum, value_delimiter = ',')]
    without: Vec<Part>,
    /// Requests of `sockets`; 200,000, or 20,000,000 with --long.
    #[arg(long)]
    requests: Option<u64>,
    /// Also each attack of `hostile` alone; --long does so anyway.
    #[arg(long)]
    each: bool,
    #[arg(long, hide = true)]
    broker: Option<SocketAddr>,
    #[arg(long, hide = true)]
    namesrv: Option<SocketAddr>,
    #[arg(long, hide = true, default_value_t = 1)]
    together: u32,
    /// Where totals are written and read.
    #[arg(long, default_value = "target/campaign")]
    directory: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    /// Power cuts and kills at every sync point and at random moments.
    PowerCuts,
    /// Power cuts and kills of copies of a log, which lead, follow and are cut.
    Copies,
    /// Errors, short writes, stalls and full disks at every operation.
    Errors,
    /// Damaged bytes, blocks and files.
    Injuries,
    /// A whole broker with 1 to 7 shards, in simulation.
    Broker,
    /// A name server and several brokers on machines that die, with links that are cut.
    Cluster,
    /// kill -9 of the broker itself.
    Kill9,
    /// Hostile clients beside honest ones, against a real broker and name server.
    Hostile,
    /// Every request code, valid and broken, over sockets.
    Sockets,
    /// Very many connections, readers that stop, and more sends than can be taken.
    Load,
    /// One attack, started by `hostile`.
    #[value(hide = true)]
    Attacker,
    /// Bugs on purpose, which the others must find.
    Planted,
    /// Power cuts, copies, errors, injuries, brokers, clusters, requests over sockets and planted
    /// bugs.
    All,
    /// The table of all totals in the directory.
    Report,
}

/// How much is done without --minutes.
struct Quota {
    images: u64,
    images_of_a_seed: u64,
    error_seeds: u64,
    error_step: u64,
    broker_seeds: u64,
    cluster_seeds: u64,
    injury_seeds: u64,
    injuries: Sizes,
}

impl Quota {
    /// Of campaigns of whole brokers.
    fn with_seeds(self, seeds: Option<u64>) -> Quota {
        let Some(seeds) = seeds else {
            return self;
        };
        Quota { broker_seeds: seeds, cluster_seeds: seeds, ..self }
    }
}

fn quota(long: bool) -> Quota {
    match long {
        false => Quota {
            images: 20_000,
            images_of_a_seed: 200,
            error_seeds: 2,
            error_step: 2,
            broker_seeds: 10_000,
            cluster_seeds: 200,
            injury_seeds: 2,
            injuries: Sizes { tail_bytes: 4 << 10, head_bytes: 64, bit_step: 331, random: 2_000 },
        },
        true => Quota {
            images: 200_000,
            images_of_a_seed: 1_000,
            error_seeds: 3,
            error_step: 1,
            broker_seeds: 200_000,
            cluster_seeds: 20_000,
            injury_seeds: 2,
            injuries: Sizes { tail_bytes: 64 << 10, head_bytes: 4096, bit_step: 1, random: 5_000 },
        },
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.name == Name::Report {
        return match report::table(&arguments.directory) {
            Ok(table) => {
                print!("{table}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("cannot read {}: {error}", arguments.directory.display());
                ExitCode::from(2)
            }
        };
    }
    if arguments.name == Name::Attacker {
        attacker(&arguments);
    }
    let names = match arguments.name {
        Name::All => {
            use Name::{Broker, Cluster, Copies, Errors, Injuries, Planted, PowerCuts, Sockets};
            vec![PowerCuts, Copies, Errors, Injuries, Broker, Cluster, Sockets, Planted]
        }
        one => vec![one],
    };
    let (mut passed, mut failed) = (0, 0);
    for name in names {
        let totals = run(name, &arguments);
        if arguments.only.is_none() {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            if let Err(error) = report::write(&arguments.directory, &totals, since.as_secs()) {
                eprintln!("cannot write to {}: {error}", arguments.directory.display());
            }
        }
        match totals.violations {
            0 => passed += 1,
            _ => failed += 1,
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(name: Name, arguments: &Arguments) -> Totals {
    match name {
        Name::Kill9 => {
            let usual = if arguments.long { 1_000 } else { 50 };
            kill9::run(arguments.seed, arguments.cycles.unwrap_or(usual))
        }
        Name::Planted => planted(arguments.seed, arguments.only.clone().unwrap_or_default()),
        Name::Sockets => {
            let usual = if arguments.long { 20_000_000 } else { 200_000 };
            sockets::run(&sockets::Options {
                seed: arguments.seed,
                only: arguments.only.as_ref().map(|text| number(text)),
                requests: arguments.requests.unwrap_or(usual),
                threads: arguments.threads,
                directory: arguments.directory.clone(),
            })
        }
        Name::Load => load::run(&load::Options {
            only: arguments.only.clone(),
            long: arguments.long,
            directory: arguments.directory.clone(),
        }),
        Name::Hostile => hostile::run(&hostile::Options {
            only: arguments.only.clone(),
            each: arguments.each,
            long: arguments.long,
            directory: arguments.directory.clone(),
        }),
        _ => simulated(name, arguments),
    }
}

/// The case that `--only` names.
fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("--only {text}: cases of this campaign are numbers"))
}

/// Attacks until it is killed.
fn attacker(arguments: &Arguments) {
    let (Some(broker), Some(names), Some(name)) =
        (arguments.broker, arguments.namesrv, &arguments.only)
    else {
        eprintln!("attacker: it is started by hostile");
        return;
    };
    attack(name, &Target::new(broker, names, arguments.together));
}

#[cfg(feature = "planted")]
fn planted(seed: u64, only: String) -> Totals {
    let worker = thread::Builder::new().name(WORKER.into());
    let worker =
        worker.spawn(move || ringmq_campaign::planted::run(seed, &only)).expect("a thread");
    worker.join().expect("it catches panics")
}

#[cfg(not(feature = "planted"))]
fn planted(_: u64, _: String) -> Totals {
    eprintln!("planted: build with --features planted, as scripts/campaign does");
    Totals { campaign: "planted".into(), violations: 1, ..Totals::default() }
}

/// Runs a campaign on the simulated disk, seed after seed, on some threads.
fn simulated(name: Name, arguments: &Arguments) -> Totals {
    let label = match name {
        Name::PowerCuts => "power-cuts",
        Name::Copies => "copies",
        Name::Errors => "errors",
        Name::Broker => "broker",
        Name::Cluster => "cluster",
        _ => "injuries",
    };
    let time = arguments.minutes.map(|minutes| Duration::from_secs(minutes * 60));
    let mut flags = if arguments.long { " --long" } else { "" }.to_owned();
    for part in &arguments.without {
        let part = part.to_possible_value().expect("no part is hidden");
        flags.push_str(&format!(" --without {}", part.get_name()));
    }
    let meter = Meter::new(label, arguments.seed, time).with_flags(&flags);
    let meter = Arc::new(meter.with_violations_max(arguments.violations));
    let only = arguments.only.as_ref().map(|text| number(text));
    let threads = if only.is_some() { 1 } else { arguments.threads.max(1) };
    let next = Arc::new(AtomicU64::new(0));
    let workers: Vec<_> = (0..threads)
        .map(|_| {
            let (meter, next) = (meter.clone(), next.clone());
            let job = Job {
                name,
                seed: arguments.seed,
                only,
                endless: time.is_some(),
                quota: quota(arguments.long).with_seeds(arguments.seeds),
                without: arguments.without.clone(),
                shares: if name == Name::Injuries { threads } else { 1 },
            };
            let worker = thread::Builder::new().name(WORKER.into());
            worker.spawn(move || job.work(&meter, &next)).expect("a thread")
        })
        .collect();
    for worker in workers {
        worker.join().expect("panics of the store are caught");
    }
    println!("{}", meter.line());
    meter.totals()
}

struct Job {
    name: Name,
    seed: u64,
    only: Option<u64>,
    endless: bool,
    quota: Quota,
    without: Vec<Part>,
    /// Pieces that a seed is worked on in.
    shares: u64,
}

impl Job {
    fn work(&self, meter: &Arc<Meter>, next: &AtomicU64) {
        loop {
            let piece = next.fetch_add(1, Ordering::Relaxed);
            let number = piece / self.shares;
            if meter.is_over() || self.is_done(meter, number) {
                return;
            }
            self.piece(meter, self.seed + number, piece % self.shares);
        }
    }

    fn is_done(&self, meter: &Meter, number: u64) -> bool {
        if self.only.is_some() {
            return number > 0;
        }
        let enough = match self.name {
            Name::PowerCuts | Name::Copies => meter.images() >= self.quota.images,
            Name::Errors => number >= self.quota.error_seeds,
            Name::Broker => number >= self.quota.broker_seeds,
            Name::Cluster => number >= self.quota.cluster_seeds,
            _ => number >= self.quota.injury_seeds,
        };
        enough && !self.endless
    }

    fn piece(&self, meter: &Arc<Meter>, seed: u64, share: u64) {
        let (only, quota) = (self.only, &self.quota);
        match self.name {
            Name::PowerCuts => {
                let images = quota.images_of_a_seed;
                power::run_seed(meter, power::Search { seed, images, only, lie: DiskLie::None });
            }
            Name::Copies => copies::run_seed(meter, seed),
            Name::Broker => broker::run_seed(meter, seed, &self.without),
            Name::Cluster => cluster::run_seed(meter, seed),
            Name::Errors => {
                let step = quota.error_step;
                errors::run_seed(meter, errors::Search { seed, only, lie: DiskLie::None, step });
            }
            _ => {
                let (sizes, share) = (quota.injuries, (share, self.shares));
                injuries::run_seed(meter, injuries::Search { seed, only, sizes, share });
            }
        }
    }
}
