//! Lines of the log that nobody reads, and lines that clients cause.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use ringmq_remoting::codes::request;
use serde_json::Value;

use crate::process::{self, Process};
use crate::server::{Server, Settings, configure, free_port};
use crate::shards::for_shards;

for_shards!(
    a_reader_of_standard_error_that_stops_does_not_stop_the_broker,
    a_client_that_sends_garbage_does_not_fill_the_log,
    administration_is_logged_with_who_asked_and_what_came_of_it,
);

const TOPIC: &str = "log-lines";
/// What the pipe to the reader holds.
const PIPE_BYTES: i32 = 4096;
/// A send beside a log that nobody reads.
const SEND_MAX: Duration = Duration::from_secs(2);

/// A pipe with a name whose reading end is open and not read.
fn unread_pipe(path: &Path) -> File {
    nix::unistd::mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).expect("a new name");
    let pipe = OpenOptions::new().read(true).write(true).open(path).expect("just made");
    fcntl(pipe.as_fd(), FcntlArg::F_SETPIPE_SZ(PIPE_BYTES)).expect("small enough");
    pipe
}

/// Leaves no room in the pipe.
fn fill(mut pipe: &File) {
    fcntl(pipe.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("a pipe");
    while pipe.write(b"\n").is_ok() {}
}

/// All that is in the pipe now.
fn drain(mut pipe: &File, text: &mut Vec<u8>) {
    let mut part = [0; 4096];
    while let Ok(count @ 1..) = pipe.read(&mut part) {
        text.extend_from_slice(&part[..count]);
    }
}

/// Sends what is no frame and waits for the end of the connection.
fn send_garbage(server: &Server) {
    let mut client = server.client();
    let _ = client.stream().write_all(&[0xff; 64]);
    let ended = client.stream().read(&mut [0; 64]);
    assert!(matches!(ended, Ok(0) | Err(_)), "garbage is answered");
}

fn a_reader_of_standard_error_that_stops_does_not_stop_the_broker(shards: u32) {
    let directory = process::directory("log-unread");
    let errors = directory.path().join("errors");
    let pipe = unread_pipe(&errors);
    let settings = Settings { shards, errors_to: Some(errors), ..Settings::default() };
    let mut server = Server::start(directory.path(), &settings);
    let mut client = server.client();
    client.create_topic(TOPIC, 1).expect("the broker serves").expect(0);
    fill(&pipe);
    for _ in 0..100 {
        for _ in 0..10 {
            send_garbage(&server);
        }
        let began = Instant::now();
        client.send(TOPIC, 0, b"x").expect("the broker serves").expect(0);
        assert!(began.elapsed() < SEND_MAX, "a send took {:?}", began.elapsed());
    }
    server.process.signal(Signal::SIGTERM);
    let (mut text, deadline) = (Vec::new(), Instant::now() + Duration::from_secs(20));
    while server.process.ended().is_none() {
        assert!(Instant::now() < deadline, "it does not end");
        drain(&pipe, &mut text);
        std::thread::sleep(Duration::from_millis(1));
    }
    drain(&pipe, &mut text);
    let text = String::from_utf8(text).expect("text");
    assert!(text.contains("connection closed: bad frame"), "{text}");
}

fn a_client_that_sends_garbage_does_not_fill_the_log(shards: u32) {
    let directory = process::directory("log-flood");
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    server.process.expects("connection closed: bad frame");
    server.process.expects("were left out, at most");
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(1500) {
        send_garbage(&server);
    }
    let seconds = began.elapsed().as_secs() + 2;
    // After the second, the first line tells of those that were left out.
    std::thread::sleep(Duration::from_secs(1));
    send_garbage(&server);
    let said = server.process.output();
    let lines = said.lines().filter(|line| line.contains("bad frame")).count() as u64;
    assert!((1..=5 * seconds).contains(&lines), "{lines} lines in {seconds} s");
}

fn administration_is_logged_with_who_asked_and_what_came_of_it(shards: u32) {
    let directory = process::directory("log-administration");
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    let mut client = server.client();
    let peer = client.stream().local_addr().expect("connected");
    client.create_topic(TOPIC, 1).expect("the broker serves").expect(0);
    assert_ne!(client.create_topic("bad\x1b[31m\nname", 1).expect("an answer").code, 0);
    client.call(request::DELETE_TOPIC_IN_BROKER, &[("topic", TOPIC)], b"").expect("an answer");
    let what = |done: &str, request: &str, subject: &str| {
        let line = format!("administration {done} peer={peer} request={request:?}");
        server.process.expects(&format!("{line} subject={subject}"));
    };
    what("done", "UPDATE_AND_CREATE_TOPIC", TOPIC);
    what("done", "DELETE_TOPIC_IN_BROKER", TOPIC);
    what("refused", "UPDATE_AND_CREATE_TOPIC", "bad\\u{1b}[31m\\nname");
}

// Single: lines are those of the process.
#[test]
fn lines_are_objects_if_that_is_wanted_and_the_level_changes_while_the_broker_runs() {
    let directory = process::directory("log-json");
    let settings = Settings::default();
    let port = free_port();
    let file = configure(directory.path(), port, &settings);
    let mut command = Command::new(process::binary());
    command.args(["broker", "-c", &file]).env("RINGMQ_LOG_FORMAT", "json");
    let process = Process::spawn(command, directory.path().join("log"));
    let mut server = Server { process, address: ([127, 0, 0, 1], port).into() };
    server.await_answer();
    let mut client = server.client();
    let refused = client.call(request::UPDATE_BROKER_CONFIG, &[], b"logLevel=loud");
    let refused = refused.expect("an answer");
    assert!(refused.code != 0 && refused.remark.contains("is no level"), "{}", refused.remark);
    for level in ["debug", "error"] {
        let text = format!("logLevel={level}");
        let changed = client.call(request::UPDATE_BROKER_CONFIG, &[], text.as_bytes());
        changed.expect("an answer").expect(0);
        client.create_topic(level, 1).expect("an answer").expect(0);
    }
    let lines = || {
        let output = server.process.output();
        let lines = output.lines().filter(|line| line.starts_with('{'));
        lines.map(|line| serde_json::from_str(line).expect("an object")).collect::<Vec<Value>>()
    };
    // Lines are written by a thread of their own.
    let has = |part: &str| {
        lines().iter().any(|line| line["message"].as_str().is_some_and(|text| text.contains(part)))
    };
    let began = Instant::now();
    while !has("from this level on: \"debug\"") {
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", lines());
        std::thread::sleep(Duration::from_millis(5));
    }
    let all = lines();
    let text = |line: &Value| line["message"].as_str().unwrap_or_default().to_owned();
    let first = all.iter().find(|line| text(line).starts_with("RingMQ ")).expect("said");
    assert!(text(first).contains("(commit "), "{first}");
    assert_eq!(first["configuration"], Value::from(file));
    assert!(first["io"].as_str().is_some_and(|io| io.contains("O_DIRECT")), "{first}");
    assert!(first["store"].is_string() && first["cores"].is_string(), "{first}");
    let about_error = |line: &Value| line.to_string().contains("UPDATE_AND_CREATE_TOPIC");
    assert_eq!(all.iter().filter(|line| about_error(line)).count(), 1, "{all:?}");
}
