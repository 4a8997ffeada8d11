//! A broker that serves nobody for a while: because it ends, or because its disk is full.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::statvfs::statvfs;
use ringmq_remoting::codes::response;

use super::is_said;
use crate::drain::{Site, site};
use crate::needs::needs;
use crate::process;
use crate::server::{Server, Settings};

const PATIENCE: Duration = Duration::from_secs(60);
const OVERLOAD: &str = "[OVERLOAD]system busy, start flow control for a while: ...";
const STOPPING: &str = "service not available now. the broker is stopping";
const FULL: &str = "service not available now. It may be caused by one of the following reasons: \
                    the broker's disk is full ...";
/// The lowest level that can be set, in percent, and what makes sure that a disk is above it.
const LEVEL: &str = "10";
const USED_MIN: u64 = 12;

/// What is said of a disk that is fuller than each of [`LEVELS`], but for the last one.
const FILLS: [&str; 2] = [
    "disk fills up: expired segments go at any hour (diskMaxUsedSpaceRatio)",
    "disk nearly full: the oldest segments go (diskSpaceCleanForciblyRatio)",
];
const LEVELS: [&str; 3] =
    ["diskMaxUsedSpaceRatio", "diskSpaceCleanForciblyRatio", "diskSpaceWarningLevelRatio"];

pub fn headings() -> impl Iterator<Item = &'static str> {
    [OVERLOAD, STOPPING, FULL].into_iter().chain(FILLS)
}

// Single: texts do not depend on the number of shards.
#[test]
fn a_broker_that_ends_says_so() {
    let Site { directory: _directory, names, mut server, .. } = site("errors-stopping", 1, 600);
    let mut client = server.client();
    client.send("T", 0, b"x").expect("an answer").expect(response::SUCCESS);
    // It says nothing, so that the broker goes on draining.
    names.process.halt();
    server.process.signal(Signal::SIGTERM);
    server.process.await_line("requests under way are answered");
    // The line comes first, and then the shards hear of it: what comes in between is taken.
    let began = Instant::now();
    let refused = loop {
        let answer = client.send("T", 0, b"x").expect("an answer");
        if answer.code != response::SUCCESS || began.elapsed() > PATIENCE {
            break answer;
        }
    };
    assert!(is_said(STOPPING, &refused.remark), "{refused:?}");
    names.process.signal(Signal::SIGCONT);
    assert_eq!(server.process.wait(PATIENCE).code(), Some(0), "{}", server.process.output());
}

// Single: texts do not depend on the number of shards.
#[test]
fn a_connection_with_too_much_under_way_is_told() {
    let directory = process::directory("errors-overload");
    let extra = vec![("perConnectionRequestsMax", "1".to_owned())];
    let server = Server::start(directory.path(), &Settings { extra, ..Settings::default() });
    let mut client = server.client();
    client.create_topic("T", 1).expect("an answer").expect(response::SUCCESS);
    client.start_long_pull("T", 0, 0, 2 * PATIENCE).expect("a connection");
    client.start_long_pull("T", 0, 0, 2 * PATIENCE).expect("a connection");
    let answer = client.reply().expect("an answer");
    assert!(is_said(OVERLOAD, &answer.remark), "{answer:?}");
}

fn used_percent() -> u64 {
    let found = statvfs(env!("CARGO_TARGET_TMPDIR")).expect("the directory of the tests is there");
    100 - found.blocks_available() * 100 / found.blocks().max(1)
}

/// How full the disk is, if it is fuller than [`LEVEL`].
fn is_above_level() -> Result<u64, String> {
    match used_percent() {
        used if used >= USED_MIN => Ok(used),
        used => Err(format!("the disk of the tests is only {used} % full")),
    }
}

// Single: texts do not depend on the number of shards.
#[test]
fn a_broker_whose_disk_fills_up_says_so() {
    let name = "a_broker_whose_disk_fills_up_says_so";
    let Some(_) = needs(name, is_above_level()) else { return };
    for (above, text) in (1..).zip(FILLS) {
        let directory = process::directory("errors-fills");
        let level = |(number, key)| (key, if number < above { LEVEL } else { "99" }.to_owned());
        let extra = (0..).zip(LEVELS).map(level).collect();
        let mut server =
            Server::start(directory.path(), &Settings { extra, ..Settings::default() });
        server.process.expects(text);
        server.process.await_line(text);
    }
}

// Single: texts do not depend on the number of shards.
#[test]
fn a_broker_without_space_says_so() {
    let name = "a_broker_without_space_says_so";
    let Some(_) = needs(name, is_above_level()) else { return };
    let directory = process::directory("errors-full");
    let extra = LEVELS.map(|key| (key, LEVEL.to_owned())).into();
    let server = Server::start(directory.path(), &Settings { extra, ..Settings::default() });
    server.process.expects("disk too full: sends are refused");
    let mut client = server.client();
    let began = Instant::now();
    loop {
        let answer = client.send("T", 0, b"x").expect("an answer");
        if answer.code == response::SERVICE_NOT_AVAILABLE {
            assert!(is_said(FULL, &answer.remark), "{answer:?}");
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{answer:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
