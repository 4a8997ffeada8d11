//! Lines of the log that nobody reads, and lines that clients cause.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use ringmq_remoting::codes::request;

use crate::process;
use crate::server::{Server, Settings};
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
