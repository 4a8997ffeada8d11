//! A fuzz over sockets: every request code of a real broker and a real name server, valid and
//! broken, in both serializations. Whatever is asked, it is answered or its connection is closed;
//! nothing panics, nothing grows, and the log has no error.
//!
//! A case is a batch of requests on a connection of its own; its number and the seed give all of
//! its bytes, but for the places of half messages, which the broker says in the beginning.
//!
//! There are two rounds with servers of their own: in the second one the broker checks accounts.

mod accounts;
mod halves;
mod requests;
mod shapes;

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::{self, ErrorKind},
    net::{Shutdown, SocketAddr},
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use ringmq_remoting::codes::{request, response};

use self::requests::{Batch, Known, batch};
use crate::{
    hostile::{
        log, raise_descriptors,
        servers::{Servers, Settings},
        wire::Link,
    },
    meter::Totals,
};

/// Longest wait for an answer: one that is lost never comes. All connections at once may ask for
/// lists of topics with 65,536 queues, each up to 0.1 s of work and 16 MB.
const PATIENCE: Duration = Duration::from_secs(60);
/// Batches under way for each thread that is asked for: most of their time they wait.
const CONNECTIONS_OF_A_THREAD: u64 = 4;
const LINE_EVERY: Duration = Duration::from_secs(5);
/// What the servers may grow by after the first fifth of a run, in bytes.
const GROWTH_MAX: u64 = 64 << 20;
const VIOLATIONS_MAX: u64 = 20;

#[derive(Clone, Debug)]
pub struct Options {
    pub seed: u64,
    /// Only this batch.
    pub only: Option<u64>,
    pub requests: u64,
    pub threads: u64,
    /// Where servers keep what they store.
    pub directory: PathBuf,
}

/// Which of the two servers is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Broker,
    Names,
}

#[derive(Default)]
struct Counters {
    next: AtomicU64,
    requests: AtomicU64,
    batches: AtomicU64,
    closed: AtomicU64,
    violations: AtomicU64,
    /// Of each request code: how often it was answered, and how often with SUCCESS.
    answers: Mutex<BTreeMap<i32, (u64, u64)>>,
}

/// A run against servers of its own.
struct Round {
    /// Requests of all rounds when it begins, and when it ends.
    from: u64,
    until: u64,
    /// What the servers know.
    known: Known,
    broker: SocketAddr,
    names: SocketAddr,
}

/// Asks until so many requests are made.
pub fn run(options: &Options) -> Totals {
    let began = Instant::now();
    raise_descriptors();
    let (mut totals, counters) = (Totals::default(), Counters::default());
    println!("sockets: seed {}, {} requests", options.seed, options.requests);
    fs::create_dir_all(&options.directory).expect("the directory can be written");
    for checked in [false, true] {
        if options.only.is_none_or(|only| is_checked(only) == checked) {
            let until = if checked { options.requests } else { options.requests / 2 };
            round(options, &counters, began, checked, until);
        }
    }
    println!("{}", line(&counters, began));
    println!("{}", unsuccessful(&counters));
    totals.campaign = "sockets".into();
    totals.first_seed = options.seed;
    totals.seeds = 1;
    totals.runs = counters.batches.into_inner();
    totals.operations = counters.requests.into_inner();
    totals.violations = counters.violations.into_inner();
    totals.seconds = began.elapsed().as_secs();
    totals
}

/// Whether the batch of a number is for a broker that checks accounts.
fn is_checked(number: u64) -> bool {
    number % 2 == 1
}

fn round(options: &Options, counters: &Counters, began: Instant, checked: bool, until: u64) {
    // little is kept in memory, so that growth is seen; transactions are asked for and given up
    let keys = [
        ("hotTailBytes", "1048576"),
        ("blockCacheBytes", "1048576"),
        ("transactionTimeOut", "500"),
        ("transactionCheckInterval", "1000"),
        ("transactionCheckMax", "3"),
        ("recallMessageEnable", "true"),
    ];
    let keys = keys.map(|(key, value)| (key, value.to_owned())).to_vec();
    let accounts = checked.then_some(accounts::FILE);
    let settings = Settings { keys, accounts, ..Settings::default() };
    let mut servers = Servers::start(&options.directory, &settings);
    let (broker, names) = (servers.broker.address, servers.names.address);
    let halves = halves::store(broker, checked);
    let known = Known { checked, halves };
    let from = counters.requests.load(Ordering::Relaxed);
    let round = Round { from, until, known, broker, names };
    let memory = thread::scope(|scope| {
        let workers: Vec<_> = (0..CONNECTIONS_OF_A_THREAD * options.threads.max(1))
            .map(|_| scope.spawn(|| work(options, &round, counters)))
            .collect();
        let over = || workers.iter().all(thread::ScopedJoinHandle::is_finished);
        let memory = watch(&round, counters, &servers, began, over);
        for worker in workers {
            worker.join().expect("a fuzzing thread does not panic");
        }
        memory
    });
    for problem in ends(&mut servers, &memory) {
        println!("violation: {problem}");
        println!("repeat with: scripts/campaign sockets --seed {}", options.seed);
        counters.violations.fetch_add(1, Ordering::Relaxed);
    }
}

fn work(options: &Options, round: &Round, counters: &Counters) {
    loop {
        let next = counters.next.fetch_add(1, Ordering::Relaxed);
        let number = match options.only {
            Some(_) if next > 0 => return,
            Some(only) => only,
            None => 2 * next + u64::from(round.known.checked),
        };
        let enough = counters.requests.load(Ordering::Relaxed) >= round.until;
        if enough || counters.violations.load(Ordering::Relaxed) >= VIOLATIONS_MAX {
            return;
        }
        let batch = batch(options.seed, number, &round.known);
        let address = if batch.side == Side::Broker { round.broker } else { round.names };
        counters.requests.fetch_add(batch.requests, Ordering::Relaxed);
        counters.batches.fetch_add(1, Ordering::Relaxed);
        match exchange(&batch, address, counters) {
            Ok(true) => {}
            Ok(false) => drop(counters.closed.fetch_add(1, Ordering::Relaxed)),
            Err(problem) => {
                counters.violations.fetch_add(1, Ordering::Relaxed);
                println!("violation: batch {number} to the {:?}: {problem}", batch.side);
                let seed = options.seed;
                println!("repeat with: scripts/campaign sockets --seed {seed} --only {number}");
            }
        }
    }
}

/// Sends a batch and hears what is answered. Whether the connection stayed as long as it had to.
fn exchange(batch: &Batch, address: SocketAddr, counters: &Counters) -> Result<bool, String> {
    let link = Link::open_for(address, PATIENCE);
    let mut link = link.map_err(|error| format!("no connection: {error}"))?;
    let mut waiting: HashMap<i32, i32> = batch.answered.iter().copied().collect();
    let sent = link.write(&batch.bytes);
    if batch.broken {
        let _ = link.stream().shutdown(Shutdown::Write);
    }
    let ended = match sent {
        Err(error) => Some(error),
        Ok(()) => hear(&mut link, &mut waiting, batch.broken, counters),
    };
    match ended {
        None => Ok(true),
        Some(error) if is_closed(&error) && batch.broken => Ok(true),
        Some(error) if is_closed(&error) => Ok(false),
        Some(error) => {
            let mut left: Vec<_> = waiting.into_keys().collect();
            left.sort_unstable();
            left.truncate(5);
            let what: Vec<_> =
                left.iter().filter_map(|opaque| batch.described.get(*opaque as usize)).collect();
            Err(format!("no answer ({error}) to {what:?}"))
        }
    }
}

/// Reads until all is answered, and further until the end if there must be one; `waiting`: the
/// codes of requests by their numbers. `None`: all is as it should be.
fn hear(
    link: &mut Link,
    waiting: &mut HashMap<i32, i32>,
    to_the_end: bool,
    counters: &Counters,
) -> Option<io::Error> {
    while !waiting.is_empty() || to_the_end {
        match link.answer() {
            Ok(answer) if answer.is_response => {
                if let Some(code) = waiting.remove(&answer.opaque) {
                    let mut answers = counters.answers.lock().expect("nobody panics with it");
                    let (all, good) = answers.entry(code).or_default();
                    *all += 1;
                    *good += u64::from(answer.code == response::SUCCESS);
                }
            }
            Ok(_) => {}
            Err(error) => return Some(error),
        }
    }
    None
}

/// Requests of which none was ever granted: what is asked for in vain tests little.
fn unsuccessful(counters: &Counters) -> String {
    let answers = counters.answers.lock().expect("nobody panics with it");
    let known = shapes::SHAPES.iter().map(|shape| shape.code);
    let name = |code| request::name(code).unwrap_or("a code without a name");
    let vain: Vec<_> = known
        .filter(|code| answers.get(code).is_none_or(|(_, good)| *good == 0))
        .map(name)
        .collect();
    let (ends, ended) = answers.get(&request::END_TRANSACTION).copied().unwrap_or_default();
    format!(
        "sockets: {ended} of {ends} ends of transactions were granted; never granted: {}",
        vain.join(", ")
    )
}

fn is_closed(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

/// Resident bytes of both servers: at a fifth of the run, and in the end.
#[derive(Default)]
struct Memory {
    early: Option<(u64, u64)>,
    late: (u64, u64),
}

fn watch(
    round: &Round,
    counters: &Counters,
    servers: &Servers,
    began: Instant,
    over: impl Fn() -> bool,
) -> Memory {
    let mut memory = Memory::default();
    let fifth = round.from + round.until.saturating_sub(round.from) / 5;
    let mut due = began.elapsed() + LINE_EVERY;
    while !over() {
        thread::sleep(Duration::from_millis(20));
        let done = counters.requests.load(Ordering::Relaxed);
        memory.late = (servers.broker.resident().0, servers.names.resident().0);
        if done >= fifth && memory.early.is_none() {
            memory.early = Some(memory.late);
        }
        if began.elapsed() >= due {
            println!("{}", line(counters, began));
            due += LINE_EVERY;
        }
    }
    memory
}

fn line(counters: &Counters, began: Instant) -> String {
    let seconds = began.elapsed().as_secs_f64();
    let requests = counters.requests.load(Ordering::Relaxed);
    format!(
        "sockets: {requests} requests ({:.0} a second) in {} batches, {} of them closed early, \
         {} violations, {seconds:.0} s",
        requests as f64 / seconds.max(0.001),
        counters.batches.load(Ordering::Relaxed),
        counters.closed.load(Ordering::Relaxed),
        counters.violations.load(Ordering::Relaxed),
    )
}

/// What is wrong with the servers in the end.
fn ends(servers: &mut Servers, memory: &Memory) -> Vec<String> {
    let mut problems = Vec::new();
    let early = memory.early.unwrap_or(memory.late);
    let both = [
        (&mut servers.broker, early.0, memory.late.0),
        (&mut servers.names, early.1, memory.late.1),
    ];
    for (server, early, late) in both {
        let (name, from, to) = (server.name, early >> 20, late >> 20);
        println!("sockets: the {name} had {from} MiB resident at a fifth, {to} MiB in the end");
        if late > early + GROWTH_MAX {
            problems.push(format!("the {name} grew from {from} to {to} MiB"));
        }
        match server.ended() {
            Some(status) => problems.push(format!("the {name} ended, {status}")),
            None => problems.extend(server.stop().err()),
        }
        problems.extend(log::problems(name, &server.output()));
    }
    problems
}
