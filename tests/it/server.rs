//! A broker without a name server, on a port of its own.

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ringmq_remoting::codes::{request, response};

use crate::client::Client;
pub use crate::ports::free_port;
use crate::process::Process;

/// Longest wait for the first answer; a debug build on a busy machine recovers slowly.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How full the machine's disk is must not matter.
pub const DISK_LEVELS: [(&str, &str); 3] = [
    ("diskMaxUsedSpaceRatio", "95"),
    ("diskSpaceCleanForciblyRatio", "99"),
    ("diskSpaceWarningLevelRatio", "99"),
];

/// Much less to write at a start and to search after a kill than by default.
const ZERO_AHEAD: (&str, &str) = ("zeroAheadBytes", "4194304");

const NAME: (&str, &str) = ("brokerName", "broker-a");

#[derive(Clone, Debug)]
pub struct Settings {
    pub shards: u32,
    pub sync_flush: bool,
    /// Further keys.
    pub extra: Vec<(&'static str, String)>,
    /// Limit of open files of the process.
    pub open_files: Option<u32>,
    /// Directory of the cgroup that the process starts in.
    pub cgroup: Option<PathBuf>,
    /// Where standard error goes, if not to the log.
    pub errors_to: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            shards: 1,
            sync_flush: false,
            extra: Vec::new(),
            open_files: None,
            cgroup: None,
            errors_to: None,
        }
    }
}

pub struct Server {
    pub process: Process,
    pub address: SocketAddr,
}

/// Writes a configuration file into `directory` and returns its path.
pub fn configure(directory: &Path, port: u16, settings: &Settings) -> String {
    let flush = if settings.sync_flush { "SYNC_FLUSH" } else { "ASYNC_FLUSH" };
    let mut text = format!(
        "brokerClusterName=DefaultCluster\nbrokerIP1=127.0.0.1\nlistenPort={port}\n\
         flushDiskType={flush}\nshards={}\n",
        settings.shards,
    );
    let is_own = |key| settings.extra.iter().any(|(own, _)| *own == key);
    let store = directory.join("store").display().to_string();
    let own_place = [("brokerId", "0"), ("storePathRootDir", store.as_str())];
    let defaults = DISK_LEVELS.iter().chain([&ZERO_AHEAD, &NAME]).chain(&own_place);
    for (key, value) in defaults.filter(|(key, _)| !is_own(*key)) {
        writeln!(text, "{key}={value}").expect("a string takes all");
    }
    for (key, value) in &settings.extra {
        writeln!(text, "{key}={value}").expect("a string takes all");
    }
    let path = directory.join(format!("broker-{port}.conf"));
    std::fs::write(&path, text).expect("the directory can be written");
    path.to_str().expect("the path is UTF-8").to_owned()
}

impl Server {
    /// Starts a broker on the store below `directory` and waits until it answers.
    pub fn start(directory: &Path, settings: &Settings) -> Server {
        let mut server = Server::spawn(directory, settings);
        server.await_answer();
        server
    }

    /// Starts it and returns at once.
    pub fn spawn(directory: &Path, settings: &Settings) -> Server {
        let port = free_port();
        let file = configure(directory, port, settings);
        let log = directory.join(format!("broker-{port}.log"));
        let arguments = ["broker", "-c", &file];
        let process = match (settings.open_files, &settings.errors_to) {
            _ if settings.cgroup.is_some() => {
                let group = settings.cgroup.as_deref().expect("just looked");
                Process::start_in_cgroup(&arguments, log, group)
            }
            (Some(limit), _) => Process::start_with_open_files(&arguments, log, limit),
            (None, Some(errors)) => Process::start_with_errors_to(&arguments, log, errors),
            (None, None) => Process::start(&arguments, log),
        };
        Server { process, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) }
    }

    /// Asks until it answers; returns how long that took.
    pub fn await_answer(&mut self) -> Duration {
        let began = Instant::now();
        while !answers(self.address) {
            if let Some(status) = self.process.ended() {
                panic!("the broker ended, {status}; its output:\n{}", self.process.output());
            }
            assert!(
                began.elapsed() < START_TIMEOUT,
                "no answer within {START_TIMEOUT:?}; output:\n{}",
                self.process.output()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        began.elapsed()
    }

    pub fn client(&self) -> Client {
        Client::connect(self.address).expect("the broker listens")
    }
}

/// Whether a broker answers there: every one has this topic.
fn answers(address: SocketAddr) -> bool {
    let Ok(mut client) = Client::connect(address) else {
        return false;
    };
    let fields = [("topic", "TBW102"), ("queueId", "0")];
    match client.call(request::GET_MAX_OFFSET, &fields, b"") {
        // One that checks accounts answers strangers in its own way.
        Ok(reply) => reply.code == response::SUCCESS || reply.remark.contains("AclException"),
        Err(_) => false,
    }
}

/// Asks a name server until it serves and has a route of every broker's topic; returns the route.
pub fn await_route(names: SocketAddr, patience: Duration) -> String {
    let began = Instant::now();
    loop {
        let fields = [("topic", "TBW102")];
        let reply = Client::connect(names)
            .and_then(|mut names| names.call(request::GET_ROUTEINFO_BY_TOPIC, &fields, b""));
        match reply {
            Ok(reply) if reply.code == response::SUCCESS => {
                return String::from_utf8(reply.body).expect("a route is text");
            }
            other => assert!(began.elapsed() < patience, "no route: {other:?}"),
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
