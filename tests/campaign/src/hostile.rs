//! Hostile clients beside honest ones: a real broker and a real name server, each with 1 GiB of
//! memory where the machine lets us say so, one attack or all of them, and what honest clients
//! notice of it. What is promised is in `docs/RELIABILITY.md`.
//!
//! All share a few processors, which they would not do on a network: honest clients go before all
//! others, and attackers come last. What is measured without an attack is measured
//! beside processes that take all they get of every processor, as attackers would.

pub mod attacker;
pub mod attacks;
pub mod cgroup;
pub mod disk;
pub mod figures;
pub mod honest;
pub mod log;
pub mod priority;
pub mod servers;
pub mod wire;

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use self::{
    attacker::{Attacker, Target},
    attacks::{ATTACKS, Attack},
    figures::{NORMAL_WITHIN, Seen, normal_after},
    honest::Honest,
    priority::Processors,
    servers::{Server, Servers, Settings},
};
use crate::meter::Totals;

/// Memory of each server, in bytes.
pub const MEMORY: u64 = 1 << 30;
/// Descriptors that are asked for; all attacks together take some thousands.
const DESCRIPTORS: u64 = 65_536;
/// All attacks at once.
const TOGETHER: &str = "together";
const WARM_UP: Duration = Duration::from_millis(700);
/// How long honest clients are watched after an attack.
const AFTERWARDS: Duration = Duration::from_secs(4);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// One attack, or `together`; else all together.
    pub only: Option<String>,
    /// Each attack alone, then all together.
    pub each: bool,
    pub long: bool,
    /// Where servers keep what they store.
    pub directory: PathBuf,
}

/// How long honest clients are measured without an attack, and with one.
#[derive(Clone, Copy, Debug)]
struct Lengths {
    usual: Duration,
    attack: Duration,
}

/// Raises the limit of open files as far as it goes and returns it.
pub fn raise_descriptors() -> u64 {
    let kind = Resource::RLIMIT_NOFILE;
    let Ok((soft, hard)) = getrlimit(kind) else {
        return 0;
    };
    let wanted = [(DESCRIPTORS.max(soft), DESCRIPTORS.max(hard)), (hard, hard)];
    let raised = wanted.into_iter().find(|&(soft, hard)| setrlimit(kind, soft, hard).is_ok());
    raised.map_or(soft, |(soft, _)| soft)
}

/// Runs attacks and prints a row for each.
pub fn run(options: &Options) -> Totals {
    let began = Instant::now();
    println!("hostile: {} open files are allowed", raise_descriptors());
    let mut totals = Totals { campaign: "hostile".into(), ..Totals::default() };
    let seconds = |usual, attack| Lengths {
        usual: Duration::from_secs(usual),
        attack: Duration::from_secs(attack),
    };
    let alone = if options.long { seconds(4, 10) } else { seconds(2, 4) };
    let together = if options.long { seconds(10, 120) } else { seconds(3, 12) };
    let mut rounds = Vec::new();
    match options.only.as_deref() {
        Some(TOGETHER) => rounds.push((TOGETHER, ATTACKS.iter().collect(), together)),
        Some(name) => match attacks::named(name) {
            Some(attack) => rounds.push((attack.name, vec![attack], alone)),
            None => {
                let names: Vec<_> = ATTACKS.iter().map(|attack| attack.name).collect();
                let names = names.join(", ");
                println!("violation: no attack is called {name}; there are {TOGETHER}, {names}");
                totals.violations += 1;
            }
        },
        None => {
            if options.each || options.long {
                rounds.extend(ATTACKS.iter().map(|attack| (attack.name, vec![attack], alone)));
            }
            rounds.push((TOGETHER, ATTACKS.iter().collect(), together));
        }
    }
    println!("{}", Row::TITLE);
    for (name, attacks, lengths) in rounds {
        let row = round(name, &attacks, lengths, &options.directory);
        row.print();
        totals.runs += 1;
        totals.operations += row.requests as u64;
        if !row.broken.is_empty() {
            totals.violations += 1;
            let only = format!(" --only {name}");
            let long = if options.long { " --long" } else { "" };
            println!("repeat with: scripts/campaign hostile{only}{long}");
        }
    }
    totals.seeds = 1;
    totals.seconds = began.elapsed().as_secs();
    totals
}

/// What came of one attack, or of all together.
struct Row {
    name: &'static str,
    usual: Seen,
    attacked: Seen,
    normal_after: Duration,
    /// Most resident bytes of the broker and of the name server.
    resident: (u64, u64),
    requests: usize,
    broken: Vec<String>,
    notes: Vec<String>,
}

impl Row {
    const TITLE: &str = "attack              | alone p99 | max | sends p99 | max | disk p99 | \
                         max | names p99 | max | attacked: the same | failed | normal after | \
                         broker MiB | names MiB | ";

    fn print(&self) {
        let verdict = if self.broken.is_empty() { "ok" } else { "BROKEN" };
        println!(
            "{:19} | {} | {} | {} of {} | {:.1} | {} | {} | {verdict}",
            self.name,
            self.usual.row(),
            self.attacked.row(),
            self.attacked.failures(),
            self.attacked.requests(),
            self.normal_after.as_secs_f64() * 1000.0,
            self.resident.0 >> 20,
            self.resident.1 >> 20,
        );
        for note in &self.notes {
            println!("    {note}");
        }
        for broken in &self.broken {
            println!("violation: {}: {broken}", self.name);
        }
    }
}

fn round(name: &'static str, attacks: &[&Attack], lengths: Lengths, directory: &Path) -> Row {
    fs::create_dir_all(directory).expect("the directory can be written");
    let mut servers = Servers::start(directory, &settings(attacks));
    let honest = Honest::start(servers.broker.address, servers.names.address, directory);
    let spinners = attacker::spinners(directory);
    thread::sleep(WARM_UP);
    let quiet = Instant::now();
    thread::sleep(lengths.usual);
    drop(spinners);
    let processors = processors(&servers);
    let together = u32::try_from(attacks.len()).expect("few attacks");
    let target = Target::new(servers.broker.address, servers.names.address, together);
    let start = Instant::now();
    let attackers: Vec<Attacker> =
        attacks.iter().map(|attack| Attacker::start(attack, &target, directory)).collect();
    let mut resident = (0, 0);
    watch(&servers, &mut resident, lengths.attack);
    let end = Instant::now();
    let mut notes = honest.notes();
    for (before, after) in processors.iter().zip(self::processors(&servers)) {
        let (name, since) = (before.0, after.1.since(&before.1));
        notes.push(format!(
            "{name}: ran for {:.1?} of {:.1?}, a thread waited {:.1?} for a processor",
            since.ran,
            end - start,
            since.waited
        ));
    }
    let attacked_by = attacks
        .iter()
        .zip(attackers)
        .map(|(attack, attacker)| format!("{}: {}", attack.name, attacker.end()));
    notes.extend(attacked_by);
    let quiet_again = Instant::now();
    watch(&servers, &mut resident, AFTERWARDS);
    let over = Instant::now();
    let before = honest.between(quiet, start);
    let during = honest.between(start, end);
    let after = honest.between(quiet_again, over);
    drop(honest);
    let (alone, beside) = (start - quiet, end - start);
    let (usual, attacked) = (Seen::of(&before, alone), Seen::of(&during, beside));
    let normal_after = normal_after(&after, &usual.broker, quiet_again);
    let mut broken = attacked.broken(&usual);
    notes.extend(limits(&servers));
    broken.extend(ends(&mut servers, resident, lengths.attack));
    if normal_after > NORMAL_WITHIN {
        broken.push(format!("honest requests were not normal for {normal_after:.1?} afterwards"));
    }
    let requests = before.len() + during.len() + after.len();
    Row { name, usual, attacked, normal_after, resident, requests, broken, notes }
}

/// Transactions are asked for within the time of an attack. Accounts are checked where an attack is
/// on them: all others come from an address that needs none.
fn settings(attacks: &[&Attack]) -> Settings {
    let keys = [("transactionTimeOut", "500"), ("transactionCheckInterval", "1000")];
    let on_accounts = attacks.iter().any(|attack| attack.name == "false-signatures");
    Settings {
        memory: Some(MEMORY),
        keys: keys.map(|(key, value)| (key, value.to_owned())).to_vec(),
        accounts: on_accounts.then_some(attacks::signatures::ACCOUNTS),
        ..Settings::default()
    }
}

/// Lets time pass, less if a server ends. Keeps the most resident bytes of both: who has ended does
/// not tell any more.
fn watch(servers: &Servers, most: &mut (u64, u64), time: Duration) {
    let until = Instant::now() + time;
    while Instant::now() < until {
        let (broker, names) = (servers.broker.resident().1, servers.names.resident().1);
        if broker == 0 || names == 0 {
            return;
        }
        *most = (most.0.max(broker), most.1.max(names));
        thread::sleep(LOOK_EVERY);
    }
}

fn processors(servers: &Servers) -> [(&'static str, Processors); 2] {
    [&servers.broker, &servers.names].map(|server| (server.name, server.processors()))
}

/// What the memory was limited by.
fn limits(servers: &Servers) -> Vec<String> {
    let of = |server: &Server| match &server.cgroup {
        Ok(cgroup) => {
            let peak = cgroup.peak().unwrap_or_default() >> 20;
            format!("{}: {} MiB of memory, {peak} MiB used with files", server.name, MEMORY >> 20)
        }
        Err(why) => format!("skipped: memory cgroup of the {}: {why}", server.name),
    };
    vec![of(&servers.broker), of(&servers.names)]
}

/// What is wrong with the servers themselves in the end: it stops both.
fn ends(servers: &mut Servers, resident: (u64, u64), attack: Duration) -> Vec<String> {
    let mut broken = Vec::new();
    let both = [(&mut servers.broker, resident.0), (&mut servers.names, resident.1)];
    for (server, resident) in both {
        if resident > MEMORY {
            broken.push(format!("the {} had {} MiB resident", server.name, resident >> 20));
        }
        match server.ended() {
            Some(status) => broken.push(format!("the {} ended, {status}", server.name)),
            None => broken.extend(server.stop().err()),
        }
        let output = server.output();
        broken.extend(log::problems(server.name, &output));
        broken.extend(log::flood(server.name, &output, attack));
    }
    broken
}
