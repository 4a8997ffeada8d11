//! Very many connections, readers that stop, and more load than a broker can take.
//!
//! Limits of open files bind both sides: 10,000 connections need as many descriptors here and in
//! the broker. What cannot be opened is said and counts as skipped.

mod overload;

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use nix::{
    libc,
    sys::socket::{setsockopt, sockopt},
};
use ringmq_remoting::codes::request;
use ringmq_test_client::{Pull, Send, queue_fields, topic_fields};

use crate::{
    hostile::{
        figures::{NORMAL_WITHIN, Seen, normal_after},
        honest::Honest,
        raise_descriptors,
        servers::{Servers, Settings},
        wire::{self, Link},
    },
    meter::Totals,
};

/// Resident bytes that an idle connection may cost.
const IDLE_BYTES_MAX: u64 = 16 << 10;
/// Descriptors that are left for everything else on this side.
const DESCRIPTORS_KEPT: u64 = 500;
const STUCK_BODY_BYTES: usize = 1 << 20;
const QUIET: Duration = Duration::from_secs(2);
const AFTERWARDS: Duration = Duration::from_secs(3);

#[derive(Clone, Debug)]
pub struct Options {
    /// One of the loads, instead of all.
    pub only: Option<String>,
    pub long: bool,
    /// Where servers keep what they store.
    pub directory: PathBuf,
}

type Load = fn(&Path, bool) -> Result<(), Vec<String>>;

const LOADS: [(&str, Load); 4] = [
    ("idle", idle),
    ("attempts", attempts),
    ("stuck-consumers", stuck_consumers),
    ("overload", overload::overload),
];

/// Runs the loads and prints what came of them.
pub fn run(options: &Options) -> Totals {
    let began = Instant::now();
    let mut totals = Totals { campaign: "load".into(), ..Totals::default() };
    println!("load: {} open files are allowed", raise_descriptors());
    fs::create_dir_all(&options.directory).expect("the directory can be written");
    for (name, load) in LOADS {
        if options.only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        totals.runs += 1;
        if let Err(broken) = load(&options.directory, options.long) {
            totals.violations += 1;
            for what in broken {
                println!("violation: {name}: {what}");
            }
            let long = if options.long { " --long" } else { "" };
            println!("repeat with: scripts/campaign load --only {name}{long}");
        }
    }
    if totals.runs == 0 {
        println!("violation: no load is called that; there are {:?}", LOADS.map(|(name, _)| name));
        totals.violations += 1;
    }
    totals.seeds = 1;
    totals.seconds = began.elapsed().as_secs();
    totals
}

fn servers(directory: &Path) -> Servers {
    let keys = vec![("connectionsMax", "15000".to_owned())];
    Servers::start(directory, &Settings { keys, ..Settings::default() })
}

fn verdict(broken: Vec<String>) -> Result<(), Vec<String>> {
    if broken.is_empty() { Ok(()) } else { Err(broken) }
}

/// What an honest client notices while `load` runs on.
fn beside(
    servers: &Servers,
    directory: &Path,
    name: &str,
    load: impl FnOnce() -> u64,
) -> Vec<String> {
    let honest = Honest::start(servers.broker.address, servers.names.address, directory);
    thread::sleep(QUIET);
    let from = Instant::now();
    thread::sleep(QUIET);
    let start = Instant::now();
    let done = load();
    let end = Instant::now();
    thread::sleep(AFTERWARDS);
    let usual = Seen::of(&honest.between(from, start), start - from);
    let loaded = Seen::of(&honest.between(start, end), end - start);
    let after = honest.between(end, Instant::now());
    let normal = normal_after(&after, &usual.broker, end);
    println!(
        "load: {name}: {done} in {:.1?}; honest p99 and max, sends, disk, names in ms {} (alone \
         {}), {} of {} failed, normal after {normal:.1?}, broker {} MiB",
        end - start,
        loaded.row(),
        usual.row(),
        loaded.failures(),
        loaded.requests(),
        servers.broker.resident().1 >> 20,
    );
    let mut broken = loaded.broken(&usual);
    if normal > NORMAL_WITHIN {
        broken.push(format!("honest requests were not normal for {normal:.1?} afterwards"));
    }
    broken
}

fn reset_on_close(stream: &TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let _ = setsockopt(stream, sockopt::Linger, &linger);
}

/// 10,000 connections that were served once and say no more; 2,000 without `--long`.
fn idle(directory: &Path, long: bool) -> Result<(), Vec<String>> {
    let wanted: u64 = if long { 10_000 } else { 2_000 };
    let servers = servers(directory);
    let possible = raise_descriptors().saturating_sub(DESCRIPTORS_KEPT).min(wanted);
    if possible < wanted {
        println!("skipped: {wanted} idle connections: only {possible} can be opened here");
    }
    // what the first connections make is not counted
    let first: Vec<_> = (0..64).map(|_| ask_once(&servers)).collect();
    drop(first);
    thread::sleep(Duration::from_millis(500));
    let before = servers.broker.resident().0;
    let mut open = Vec::new();
    for _ in 0..possible {
        match ask_once(&servers) {
            Ok(link) => open.push(link),
            Err(error) => return Err(vec![format!("connection {}: {error}", open.len())]),
        }
    }
    thread::sleep(Duration::from_millis(500));
    let grown = servers.broker.resident().0.saturating_sub(before);
    let each = grown / possible.max(1);
    println!("load: idle: {possible} connections, {grown} bytes of memory, {each} each");
    if each > IDLE_BYTES_MAX {
        return Err(vec![format!("{each} bytes for an idle connection, allowed {IDLE_BYTES_MAX}")]);
    }
    Ok(())
}

fn ask_once(servers: &Servers) -> std::io::Result<Link> {
    let mut link = Link::open(servers.broker.address)?;
    reset_on_close(link.stream());
    link.call(request::GET_MAX_OFFSET, &queue_fields("TBW102", 0), b"")?;
    Ok(link)
}

/// 50,000 connections one after the other, each asks one question; 5,000 without `--long`.
fn attempts(directory: &Path, long: bool) -> Result<(), Vec<String>> {
    let wanted: u64 = if long { 50_000 } else { 5_000 };
    let servers = servers(directory);
    let mut failed = 0_u64;
    let mut broken = beside(&servers, directory, "connection attempts", || {
        for _ in 0..wanted {
            failed += u64::from(ask_once(&servers).is_err());
        }
        wanted
    });
    if failed > 0 {
        broken.push(format!("{failed} of {wanted} connection attempts failed"));
    }
    verdict(broken)
}

/// 500 consumers that ask for all of a queue and stop reading; 100 without `--long`.
fn stuck_consumers(directory: &Path, long: bool) -> Result<(), Vec<String>> {
    let wanted: u64 = if long { 500 } else { 100 };
    let servers = servers(directory);
    let problem = |error: std::io::Error| vec![error.to_string()];
    let mut link = Link::open(servers.broker.address).map_err(problem)?;
    let fields = topic_fields("stuck", 4);
    link.call(request::UPDATE_AND_CREATE_TOPIC, &fields, b"").map_err(problem)?;
    let body = vec![b'x'; STUCK_BODY_BYTES];
    for queue in 0..4 {
        let send = Send { topic: "stuck", queue, queues: 4, properties: "", batch: false };
        link.call(request::SEND_MESSAGE_V2, &send.fields(), &body).map_err(problem)?;
    }
    let mut pulls = Vec::new();
    for number in 0..40 {
        let pull = Pull {
            group: "stuck_group",
            topic: "stuck",
            queue: number % 4,
            offset: 0,
            messages_max: 32,
            wait: Duration::ZERO,
        };
        pulls.extend(wire::request(request::PULL_MESSAGE, number, &pull.fields(), b""));
    }
    let mut open = Vec::new();
    verdict(beside(&servers, directory, "stuck consumers", || {
        for _ in 0..wanted {
            if let Ok(mut stuck) = Link::open(servers.broker.address) {
                reset_on_close(stuck.stream());
                let _ = stuck.write(&pulls);
                open.push(stuck);
            }
        }
        thread::sleep(Duration::from_secs(if long { 20 } else { 3 }));
        open.len() as u64
    }))
}
