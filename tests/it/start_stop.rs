//! How the servers start, what they cost idle, how they stop, and what they say when they cannot.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use ringmq_remoting::codes::{request, response};

use crate::client::Client;
use crate::process::{self, Process};
use crate::server::{DISK_LEVELS, Server, Settings, await_route, configure, free_port};
use crate::shards::for_shards;

for_shards!(
    a_standalone_server_answers_at_once_costs_little_and_stops_on_sigterm,
    what_was_sent_before_sigterm_is_there_after_it,
    a_taken_port_is_told_in_one_sentence,
);

/// What the design asks of a release build on a quiet machine.
const FIRST_ANSWER_GOAL: Duration = Duration::from_millis(100);
/// What fails the test, also for a debug build on a busy one.
const FIRST_ANSWER_MAX: Duration = Duration::from_secs(1);
/// From the first answer of the broker to its route.
const ROUTE_MAX: Duration = Duration::from_secs(5);
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
const IDLE_CPU_PERCENT_MAX: f64 = 5.0;

struct Standalone {
    process: Process,
    namesrv: SocketAddr,
    broker: SocketAddr,
}

fn standalone(directory: &Path, shards: u32) -> Standalone {
    let (namesrv, broker) = (free_port(), free_port());
    let store = directory.join("store");
    let (names_port, broker_port) = (namesrv.to_string(), broker.to_string());
    let shards = format!("shards={shards}");
    let levels = DISK_LEVELS.map(|(key, value)| format!("{key}={value}"));
    let mut arguments = vec![
        "standalone",
        "--store",
        store.to_str().expect("UTF-8"),
        "--namesrv-port",
        &names_port,
        "--listen-port",
        &broker_port,
        "--advertise",
        "127.0.0.1",
    ];
    for key in levels.iter().chain([&shards]) {
        arguments.extend(["--set", key]);
    }
    let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Standalone {
        process: Process::start(&arguments, directory.join("standalone.log")),
        namesrv: address(namesrv),
        broker: address(broker),
    }
}

/// Asks over and over, as a client does that waits for its server.
fn await_send(address: SocketAddr, process: &mut Process) {
    let fields = [("topic", "TBW102"), ("queueId", "0")];
    loop {
        if let Ok(mut client) = Client::connect(address)
            && let Ok(reply) = client.call(request::GET_MAX_OFFSET, &fields, b"")
            && reply.code == response::SUCCESS
        {
            return;
        }
        assert!(process.ended().is_none(), "ended:\n{}", process.output());
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn a_standalone_server_answers_at_once_costs_little_and_stops_on_sigterm(shards: u32) {
    let directory = process::directory("standalone");
    let began = Instant::now();
    let mut server = standalone(directory.path(), shards);
    await_send(server.broker, &mut server.process);
    let first = began.elapsed();
    println!("first answer after {first:?}; the goal for a release build is {FIRST_ANSWER_GOAL:?}");
    assert!(first < FIRST_ANSWER_MAX, "first answer after {first:?}");

    let route = await_route(server.namesrv, ROUTE_MAX);
    assert!(route.contains(&server.broker.to_string()), "route: {route}");

    idle_costs_little(&server.process);
    let began = Instant::now();
    server.process.signal(Signal::SIGTERM);
    let status = server.process.wait(STOP_TIMEOUT);
    println!("stopped after {:?}", began.elapsed());
    assert_eq!(status.code(), Some(0), "output:\n{}", server.process.output());
}

fn idle_costs_little(process: &Process) {
    let window = Duration::from_secs(2);
    let before = process.cpu_ticks();
    std::thread::sleep(window);
    let ticks = process.cpu_ticks() - before;
    let milliseconds = u32::try_from(ticks * 10).expect("small");
    let percent = f64::from(milliseconds) / 10.0 / window.as_secs_f64();
    let resident = process.resident_bytes() / (1 << 20);
    println!("idle: {percent:.1} % of a core (10 ms ticks), {resident} MiB resident");
    assert!(percent <= IDLE_CPU_PERCENT_MAX, "idle: {percent:.1} % of a core");
    assert!(resident < 400, "{resident} MiB resident");
}

fn what_was_sent_before_sigterm_is_there_after_it(shards: u32) {
    let directory = process::directory("sigterm");
    let settings = Settings { shards, ..Settings::default() };
    let mut server = Server::start(directory.path(), &settings);
    let mut client = server.client();
    client.create_topic("stop", 4).expect("the broker serves").expect(0);
    for number in 0..40 {
        let body = format!("message {number}");
        client.send("stop", number % 4, body.as_bytes()).expect("an answer").expect(0);
    }
    server.process.signal(Signal::SIGTERM);
    assert_eq!(server.process.wait(STOP_TIMEOUT).code(), Some(0), "{}", server.process.output());

    let server = Server::start(directory.path(), &settings);
    let mut client = server.client();
    for queue in 0..4 {
        let pulled = client.pull("stop", queue, 0, 32).expect("an answer");
        let bodies: Vec<_> = pulled.messages.iter().map(|message| message.body.clone()).collect();
        let expected: Vec<_> =
            (0..10).map(|round| format!("message {}", round * 4 + queue).into_bytes()).collect();
        assert_eq!(bodies, expected, "queue {queue}");
        let reply = client.send("stop", queue, b"next").expect("an answer").expect(0);
        assert_eq!(reply.number("queueOffset"), 10, "the next offset of queue {queue}");
    }
}

/// Runs a command that must fail with one sentence; returns its output.
fn refused(directory: &Path, arguments: &[&str], codes: &[i32]) -> String {
    let mut process = Process::start(arguments, directory.join("refused.log"));
    process.allows("broker cannot start");
    // a standalone server's name server on its broker's end
    process.allows("is dropped: its connection has ended");
    let status = process.wait(STOP_TIMEOUT);
    let output = process.output();
    let code = status.code();
    assert!(code.is_some_and(|code| codes.contains(&code)), "{arguments:?}: {status}\n{output}");
    assert!(!output.contains("panicked"), "{arguments:?}:\n{output}");
    assert!(!output.contains("RUST_BACKTRACE"), "{arguments:?}:\n{output}");
    output
}

/// Log lines aside, what is said is one line that begins with the program's name.
fn one_sentence(output: &str, mentions: &[&str]) {
    let lines: Vec<_> = output.lines().filter(|line| line.starts_with("ringmq: ")).collect();
    assert_eq!(lines.len(), 1, "one line that begins with `ringmq: ` in:\n{output}");
    for word in mentions {
        assert!(lines[0].contains(word), "{word:?} is not mentioned: {}", lines[0]);
    }
}

/// A port that is in use while the listener lives.
fn taken_port() -> (TcpListener, u16) {
    let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = holder.local_addr().expect("it is bound").port();
    (holder, port)
}

fn a_taken_port_is_told_in_one_sentence(shards: u32) {
    let directory = process::directory("port");
    let (_holder, port) = taken_port();
    let extra = vec![("bindAddress", "127.0.0.1".to_owned())];
    let settings = Settings { shards, extra, ..Settings::default() };
    let file = configure(directory.path(), port, &settings);
    let output = refused(directory.path(), &["broker", "-c", &file], &[1]);
    one_sentence(&output, &[&port.to_string()]);
    let names = directory.path().join("namesrv.conf");
    let text = format!("listenPort={port}\nbindAddress=127.0.0.1\n");
    fs::write(&names, text).expect("the directory can be written");
    let arguments = ["namesrv", "-c", names.to_str().expect("UTF-8")];
    one_sentence(&refused(directory.path(), &arguments, &[1]), &[&port.to_string()]);
}

// Single: about the flags; the broker's part runs by shards above.
#[test]
fn a_taken_port_of_a_standalone_server_names_its_flag() {
    let directory = process::directory("standalone-port");
    let (_holder, taken) = taken_port();
    let free = free_port();
    let store = directory.path().join("store");
    let store = store.to_str().expect("UTF-8");
    let levels = DISK_LEVELS.map(|(key, value)| format!("{key}={value}"));
    for (namesrv, broker, flag) in [(taken, free, "--namesrv-port"), (free, taken, "--listen-port")]
    {
        let (namesrv, broker) = (namesrv.to_string(), broker.to_string());
        let mut arguments = vec![
            "standalone",
            "--store",
            store,
            "--namesrv-port",
            &namesrv,
            "--listen-port",
            &broker,
            "--set",
            "bindAddress=127.0.0.1",
        ];
        for level in &levels {
            arguments.extend(["--set", level]);
        }
        let output = refused(directory.path(), &arguments, &[1]);
        one_sentence(&output, &[flag, &taken.to_string()]);
    }
}

// Single: refused before a shard starts.
#[test]
fn a_store_that_cannot_be_made_is_told_in_one_sentence() {
    let directory = process::directory("unwritable");
    // a file where the directory should be: refused to the superuser as well
    fs::write(directory.path().join("store"), b"a file").expect("the directory can be written");
    let file = configure(directory.path(), free_port(), &Settings::default());
    let output = refused(directory.path(), &["broker", "-c", &file], &[1]);
    one_sentence(&output, &["store"]);
}

// Single: refused before a shard starts.
#[test]
fn bad_settings_are_told_in_one_sentence() {
    let directory = process::directory("settings");
    let cases = [
        ("listenPort", "seventy", vec!["listenPort", "seventy"]),
        ("listenPort", "70000", vec!["listenPort", "70000"]),
        ("flushDiskType", "SOMETIMES", vec!["flushDiskType", "SOMETIMES"]),
        ("shards", "-1", vec!["shards", "-1"]),
    ];
    for (key, value, mentions) in cases {
        let settings = Settings { extra: vec![(key, value.to_owned())], ..Settings::default() };
        let file = configure(directory.path(), free_port(), &settings);
        one_sentence(&refused(directory.path(), &["broker", "-c", &file], &[1]), &mentions);
    }
    let missing = directory.path().join("missing.conf");
    let arguments = ["broker", "-c", missing.to_str().expect("UTF-8")];
    one_sentence(&refused(directory.path(), &arguments, &[1]), &["missing.conf"]);
}

// Single: refused before a shard starts.
#[test]
fn wrong_flags_are_refused_with_the_usage() {
    let directory = process::directory("flags");
    for arguments in [
        ["broker", "--no-such-flag"].as_slice(),
        &["no-such-command"],
        &["standalone", "--listen-port", "seventy"],
    ] {
        let output = refused(directory.path(), arguments, &[1, 2]);
        assert!(output.contains("Usage") || output.contains("--help"), "{arguments:?}:\n{output}");
    }
}

// Single: about the tool, which knows queues only.
#[test]
fn the_load_tool_sends_and_receives_a_number_of_messages_of_a_new_topic() {
    let directory = process::directory("standalone-bench");
    let mut server = standalone(directory.path(), 1);
    await_route(server.namesrv, ROUTE_MAX);
    let name_server = server.namesrv.to_string();
    // The queues of a thread hold as many messages as came, not the thread's share of all.
    for (topic, threads, messages) in [("new", "1", "400"), ("shared", "3", "401")] {
        let arguments = ["bench", "both", "-n", &name_server, "-t", topic, "-q", messages];
        let arguments = [arguments.as_slice(), &["-c", threads, "--threads", threads]].concat();
        let mut tool = Process::start(&arguments, directory.path().join("tool.log"));
        let status = tool.wait(Duration::from_secs(60));
        let output = tool.output();
        assert_eq!(status.code(), Some(0), "{output}\n{}", server.process.output());
        let count = format!("({messages} messages");
        let all = output.lines().filter(|line| line.contains(&count));
        assert_eq!(all.count(), 2, "both kinds count every message:\n{output}");
        assert!(output.contains(" in flight a broker, 4 queues"), "{output}");
    }
    server.process.signal(Signal::SIGTERM);
    server.process.wait(STOP_TIMEOUT);
}

// Single: its number of shards is one more than there are CPUs.
#[test]
fn more_shards_than_cpus_are_started_with_a_warning_and_not_pinned() {
    let cpus = std::thread::available_parallelism().expect("Linux tells").get();
    let directory = process::directory("many-shards");
    let shards = u32::try_from(cpus + 1).expect("a small machine");
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    server.process.expects(&format!("not pinned shards={shards} cpus={cpus}"));
    for thread in fs::read_dir(format!("/proc/{}/task", server.process.pid())).expect("it runs") {
        let status = thread.expect("a thread").path().join("status");
        let status = fs::read_to_string(status).expect("it runs");
        let line =
            |name| status.lines().find(|line: &&str| line.starts_with(name)).expect("a line");
        let (name, allowed) = (line("Name:"), line("Cpus_allowed_list:"));
        let own = fs::read_to_string("/proc/self/status").expect("own status");
        assert!(!name.contains("shard-") || own.contains(allowed), "{name} is pinned: {allowed}");
    }
}
