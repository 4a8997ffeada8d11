//! What a service manager hears (systemd, Type=notify).

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::process::{self, Process};
use crate::server::{Server, Settings, configure, free_port};
use crate::shards::for_shards;

for_shards!(
    a_service_manager_hears_that_a_broker_serves_lives_reloads_and_stops,
    a_stuck_shard_is_no_sign_of_life,
);

const PATIENCE: Duration = Duration::from_secs(60);
/// Between two signs of life there may be so much.
const WATCHDOG: Duration = Duration::from_millis(1_500);

struct Manager(UnixDatagram);

impl Manager {
    fn new(directory: &Path) -> Manager {
        let socket = UnixDatagram::bind(directory.join("notify")).expect("a free name");
        socket.set_read_timeout(Some(PATIENCE)).expect("above 0");
        Manager(socket)
    }

    /// Starts a server that is told of the socket.
    fn start(&self, directory: &Path, arguments: &[&str]) -> Process {
        let mut command = Command::new(process::binary());
        command.args(arguments);
        command.env("NOTIFY_SOCKET", directory.join("notify"));
        command.env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
        let process = Process::spawn(command, directory.join("service.log"));
        // On a loaded machine a shard that is well may take longer than a test wants to wait.
        process.allows("no sign of life for");
        process
    }

    fn hears(&self) -> String {
        let mut text = [0; 4096];
        let length = self.0.recv(&mut text).expect("a datagram");
        String::from_utf8_lossy(&text[..length]).into_owned()
    }

    /// Passes signs of life over.
    fn hears_next(&self) -> String {
        loop {
            let heard = self.hears();
            if heard != "WATCHDOG=1" {
                return heard;
            }
        }
    }
}

fn a_service_manager_hears_that_a_broker_serves_lives_reloads_and_stops(shards: u32) {
    let directory = process::directory("service");
    let manager = Manager::new(directory.path());
    let settings = Settings { shards, ..Settings::default() };
    let file = configure(directory.path(), free_port(), &settings);
    let mut process = manager.start(directory.path(), &["broker", "-c", &file]);
    assert_eq!(manager.hears(), "READY=1");
    for _ in 0..5 {
        assert_eq!(manager.hears(), "WATCHDOG=1");
    }
    process.signal(Signal::SIGHUP);
    assert!(manager.hears_next().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(manager.hears_next(), "READY=1");
    process.signal(Signal::SIGTERM);
    assert_eq!(manager.hears_next(), "STOPPING=1");
    assert_eq!(process.wait(PATIENCE).code(), Some(0), "{}", process.output());
}

/// The thread of this name of a process.
fn thread(process: &Process, name: &str) -> Pid {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", process.pid())).expect("it runs");
    for task in tasks {
        let task = task.expect("a thread").path();
        let found = std::fs::read_to_string(task.join("comm")).unwrap_or_default();
        if found.trim() == name {
            let id = task.file_name().and_then(|id| id.to_str()).expect("a number");
            return Pid::from_raw(id.parse().expect("a number"));
        }
    }
    panic!("no thread {name}: {}", process.output());
}

fn a_stuck_shard_is_no_sign_of_life(shards: u32) {
    let directory = process::directory("stuck");
    let manager = Manager::new(directory.path());
    let settings = Settings { shards, ..Settings::default() };
    let file = configure(directory.path(), free_port(), &settings);
    let mut process = manager.start(directory.path(), &["broker", "-c", &file]);
    assert_eq!(manager.hears(), "READY=1");
    assert_eq!(manager.hears(), "WATCHDOG=1");
    let last = shards - 1;
    let stuck = thread(&process, &format!("shard-{last}"));
    ptrace::seize(stuck, ptrace::Options::empty()).expect("our own child");
    ptrace::interrupt(stuck).expect("it is traced");
    waitpid(stuck, Some(WaitPidFlag::__WALL)).expect("it stops");
    process.expects(&format!("shard {last}: no sign of life for"));
    process.await_line(&format!("shard {last}: no sign of life for"));
    manager.0.set_nonblocking(true).expect("a socket");
    let mut text = [0; 64];
    while manager.0.recv(&mut text).is_ok() {}
    manager.0.set_nonblocking(false).expect("a socket");
    manager.0.set_read_timeout(Some(3 * WATCHDOG)).expect("above 0");
    assert!(manager.0.recv(&mut text).is_err(), "no sign of life any more");
    // Nobody else could take its end.
    ptrace::detach(stuck, None).expect("it is stopped");
    process.kill9();
}

// Single: one shard that is stuck is enough.
#[test]
fn a_shard_that_is_stuck_does_not_keep_the_process_from_ending() {
    let directory = process::directory("stuck-stop");
    let extra = vec![("shutdownWaitTimeSeconds", "0".to_owned())];
    let mut server = Server::start(directory.path(), &Settings { extra, ..Settings::default() });
    let stuck = thread(&server.process, "shard-0");
    ptrace::seize(stuck, ptrace::Options::empty()).expect("our own child");
    ptrace::interrupt(stuck).expect("it is traced");
    waitpid(stuck, Some(WaitPidFlag::__WALL)).expect("it stops");
    server.process.expects("not stopped within 30s: the process ends now");
    server.process.signal(Signal::SIGTERM);
    server.process.await_line("not stopped within 30s: the process ends now");
    // Its end; nobody else could take it.
    waitpid(stuck, Some(WaitPidFlag::__WALL)).expect("it was traced");
    assert_eq!(server.process.wait(PATIENCE).code(), Some(1), "{}", server.process.output());
}

// Single: a name server has no shards.
#[test]
fn a_service_manager_hears_of_a_name_server() {
    let directory = process::directory("service-names");
    let manager = Manager::new(directory.path());
    let file = directory.path().join("namesrv.conf");
    let kv = directory.path().join("kvConfig.json");
    let text = format!(
        "listenPort={}\nbindAddress=127.0.0.1\nkvConfigPath={}\n",
        free_port(),
        kv.display()
    );
    std::fs::write(&file, text).expect("the directory is ours");
    let arguments = ["namesrv", "-c", file.to_str().expect("UTF-8")];
    let mut process = manager.start(directory.path(), &arguments);
    assert_eq!(manager.hears(), "READY=1");
    assert_eq!(manager.hears(), "WATCHDOG=1");
    process.signal(Signal::SIGHUP);
    assert!(manager.hears_next().starts_with("RELOADING=1"));
    assert_eq!(manager.hears_next(), "READY=1");
    process.signal(Signal::SIGTERM);
    assert_eq!(manager.hears_next(), "STOPPING=1");
    assert_eq!(process.wait(PATIENCE).code(), Some(0), "{}", process.output());
}
