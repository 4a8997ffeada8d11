//! "Stop and upgrade" of the page: one server after the other gets a new program, while clients
//! work.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use ringmq_remoting::codes::{request, response};
use ringmq_test_client::forget_environment;

use crate::client::{Client, records};
use crate::process::{self, Process, binary};
use crate::server::{Settings, configure, free_port};
use crate::shards::for_shards;

for_shards!(servers_are_replaced_one_after_the_other_and_nothing_is_lost);

const PATIENCE: Duration = Duration::from_secs(60);
/// As often as Java's clients try a send: once, and twice again elsewhere.
const TRIES: usize = 3;
/// Between two steps of the operator.
const SENDS: usize = 50;

/// A program that is replaced, and a server that is started by it.
struct Site {
    program: PathBuf,
    kind: &'static str,
    file: String,
    log: PathBuf,
    address: SocketAddr,
    /// Of a broker, where `ringmq health` asks.
    metrics: Option<u16>,
}

impl Site {
    fn start(&self) -> Process {
        let mut command = Command::new(&self.program);
        command.args([self.kind, "-c", &self.file]);
        let mut process = Process::spawn(command, self.log.clone());
        let parts =
            ["is dropped: its connection has ended", "cannot register", "registration lost"];
        for part in parts {
            process.allows(part);
        }
        process.await_line("boot success. serializeType=JSON");
        if let Some(port) = self.metrics {
            self.await_ready(port);
        }
        process
    }

    /// `ringmq health --ready`, until it says yes.
    fn await_ready(&self, port: u16) {
        let began = Instant::now();
        loop {
            let mut command = Command::new(&self.program);
            command.args(["health", "--ready", "--metrics", &format!("127.0.0.1:{port}")]);
            forget_environment(&mut command);
            let asked = command.output().expect("the program is there");
            if asked.status.success() {
                return;
            }
            let said = String::from_utf8_lossy(&asked.stderr);
            assert!(began.elapsed() < PATIENCE, "not ready: {said}");
        }
    }

    /// Stop, new program, start.
    fn upgrade(&self, process: &mut Process, version: u32) {
        process.signal(Signal::SIGTERM);
        assert_eq!(process.wait(PATIENCE).code(), Some(0), "{}", process.output());
        install(&self.program, version);
        *process = self.start();
    }
}

/// Puts another file in the place of the program, as packages do.
fn install(program: &Path, version: u32) {
    let new = program.with_extension(version.to_string());
    symlink(binary(), &new).expect("a link");
    fs::rename(new, program).expect("it replaces the old one");
}

fn site(directory: &Path, kind: &'static str, name: &str, text: &str, port: u16) -> Site {
    let own = directory.join(name);
    fs::create_dir(&own).expect("a new directory");
    let program = own.join("ringmq");
    install(&program, 0);
    let file = own.join("server.conf");
    fs::write(&file, text).expect("our own directory");
    let (file, log) = (file.to_str().expect("UTF-8").to_owned(), own.join("log"));
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Site { program, kind, file, log, address, metrics: None }
}

fn name_server(directory: &Path, name: &str) -> Site {
    let port = free_port();
    let kv = directory.join(name).join("kvConfig.json");
    let text = format!("listenPort={port}\nkvConfigPath={}\n", kv.display());
    site(directory, "namesrv", name, &text, port)
}

fn broker(directory: &Path, name: &'static str, names: &[Site; 2], shards: u32) -> Site {
    let (port, metrics) = (free_port(), free_port());
    let mut own = site(directory, "broker", name, "", port);
    let extra = vec![
        ("brokerName", name.to_owned()),
        ("namesrvAddr", format!("{};{}", names[0].address, names[1].address)),
        ("metricsExporterType", "PROM".to_owned()),
        ("metricsPromExporterPort", metrics.to_string()),
    ];
    let settings = Settings { shards, sync_flush: true, extra, ..Settings::default() };
    own.file = configure(&directory.join(name), port, &settings);
    own.metrics = Some(metrics);
    own
}

/// What clients have done so far.
#[derive(Default)]
struct Work {
    /// Nothing more is to be sent.
    ends: AtomicBool,
    /// Nothing more is sent.
    ended: AtomicBool,
    acknowledged: Mutex<BTreeSet<Vec<u8>>>,
    received: Mutex<BTreeSet<Vec<u8>>>,
    /// Of each broker, behind the last message that it has acknowledged.
    stored: [AtomicI64; 2],
}

impl Work {
    /// Sends to the brokers in turn, and what one does not take to the next.
    fn produce(&self, brokers: [SocketAddr; 2]) {
        let mut connections = [None, None];
        for number in 0.. {
            if self.ends.load(Ordering::Relaxed) {
                break;
            }
            let body = number.to_string().into_bytes();
            let mut tried = Vec::new();
            let sent = (0..TRIES).find_map(|trial| {
                let at = (number + trial) % 2;
                send(brokers[at], &mut connections[at], &body)
                    .map(|offset| (at, offset))
                    .map_err(|problem| tried.push(problem))
                    .ok()
            });
            let (at, offset) = sent.unwrap_or_else(|| panic!("send {number} failed: {tried:?}"));
            self.stored[at].fetch_max(offset + 1, Ordering::Relaxed);
            self.acknowledged.lock().expect("no panic").insert(body);
        }
        self.ended.store(true, Ordering::SeqCst);
    }

    /// Reads on, whatever becomes of the connection, until all that is acknowledged has come.
    fn consume(&self, at: usize, broker: SocketAddr) {
        let (mut next, mut connection) = (0, None);
        let mut ended = None;
        loop {
            let is_all = self.ended.load(Ordering::SeqCst);
            let all = self.stored[at].load(Ordering::Relaxed);
            if is_all || self.ends.load(Ordering::Relaxed) {
                let since = ended.get_or_insert_with(Instant::now);
                assert!(since.elapsed() < PATIENCE, "broker {at}: {next} of {all} have come");
                if is_all && next >= all {
                    return;
                }
            }
            let Ok(answer) = pull(broker, &mut connection, next) else {
                connection = None;
                // There is no event for a server that listens again.
                thread::sleep(Duration::from_millis(5));
                continue;
            };
            if answer.code == response::SUCCESS {
                let bodies = records(&answer.body).into_iter().map(|message| message.body);
                self.received.lock().expect("no panic").extend(bodies);
                next = answer.number("nextBeginOffset");
            }
        }
    }

    fn await_sends(&self, more: usize) {
        let count = || self.acknowledged.lock().expect("no panic").len();
        let (before, began) = (count(), Instant::now());
        while count() < before + more {
            assert!(began.elapsed() < PATIENCE, "producers do not go on");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// The offset of the message; why it was not taken.
fn send(broker: SocketAddr, connection: &mut Option<Client>, body: &[u8]) -> Result<i64, String> {
    let mut client = match connection.take() {
        Some(client) => client,
        None => Client::connect(broker).map_err(|error| error.to_string())?,
    };
    client.set_timeout(PATIENCE);
    let answer = client.send("T", 0, body).map_err(|error| error.to_string())?;
    *connection = Some(client);
    match answer.code {
        response::SUCCESS => Ok(answer.number("queueOffset")),
        response::SERVICE_NOT_AVAILABLE => Err(answer.remark),
        code => panic!("{code}: {}", answer.remark),
    }
}

fn pull(
    broker: SocketAddr,
    connection: &mut Option<Client>,
    offset: i64,
) -> std::io::Result<crate::client::Answer> {
    if connection.is_none() {
        let mut client = Client::connect(broker)?;
        client.set_timeout(PATIENCE);
        *connection = Some(client);
    }
    let client = connection.as_mut().expect("just connected");
    client.start_long_pull("T", 0, offset, Duration::from_secs(1))?;
    client.reply()
}

/// A name server tells clients of the topic at both brokers.
fn await_both(names: &Site) {
    let began = Instant::now();
    loop {
        let asked = Client::connect(names.address).and_then(|mut client| {
            client.call(request::GET_ROUTEINFO_BY_TOPIC, &[("topic", "T")], b"")
        });
        let route = asked.map(|answer| String::from_utf8_lossy(&answer.body).into_owned());
        let route = route.unwrap_or_default();
        if route.contains("broker-a") && route.contains("broker-b") {
            println!("both are there after {:?}", began.elapsed());
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{route}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn servers_are_replaced_one_after_the_other_and_nothing_is_lost(shards: u32) {
    let directory = process::directory("upgrade");
    let names = ["names-a", "names-b"].map(|name| name_server(directory.path(), name));
    let mut serving = names.each_ref().map(Site::start);
    let brokers =
        ["broker-a", "broker-b"].map(|name| broker(directory.path(), name, &names, shards));
    let mut running = brokers.each_ref().map(Site::start);
    let addresses = brokers.each_ref().map(|broker| broker.address);
    for address in addresses {
        let mut client = Client::connect(address).expect("it listens");
        client.create_topic("T", 1).expect("an answer").expect(response::SUCCESS);
    }
    let work = Work::default();
    thread::scope(|scope| {
        scope.spawn(|| work.produce(addresses));
        for (at, address) in addresses.into_iter().enumerate() {
            let work = &work;
            scope.spawn(move || work.consume(at, address));
        }
        // Whatever fails in here has to end the clients, too.
        let steps = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            work.await_sends(SENDS);
            for (broker, process) in brokers.iter().zip(&mut running) {
                broker.upgrade(process, 1);
                work.await_sends(SENDS);
            }
            for (names, process) in names.iter().zip(&mut serving) {
                names.upgrade(process, 1);
                await_both(names);
                work.await_sends(SENDS);
            }
        }));
        work.ends.store(true, Ordering::Relaxed);
        if let Err(failure) = steps {
            std::panic::resume_unwind(failure);
        }
    });
    let acknowledged = work.acknowledged.lock().expect("no panic");
    let received = work.received.lock().expect("no panic");
    let lost: Vec<_> = acknowledged.difference(&received).collect();
    assert!(lost.is_empty(), "{} of {} are lost", lost.len(), acknowledged.len());
}
