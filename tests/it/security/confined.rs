//! S11: a server needs no root, writes nowhere but where its configuration says, and has taken from
//! itself what would start a program.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::name_server::NameServer;
use crate::needs::needs;
use crate::process::{self, Process, binary};
use crate::server::{Server, Settings, configure, free_port};
use crate::shards::for_shards;

for_shards!(a_broker_is_confined);

/// A line of `/proc/PID/status`.
fn status(process: &Process, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{}/status", process.pid())).expect("it runs");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).trim().to_owned()
}

/// Files that a process has open for writing.
fn written(process: &Process) -> Vec<PathBuf> {
    let directory = format!("/proc/{}", process.pid());
    let entries = fs::read_dir(format!("{directory}/fd")).expect("it runs").flatten();
    let is_written = |name: &str| {
        let info = fs::read_to_string(format!("{directory}/fdinfo/{name}")).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
        flags.is_some_and(|flags| flags & 0o3 != 0)
    };
    entries
        .filter(|entry| is_written(entry.file_name().to_str().expect("a number")))
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter(|path| path.is_absolute() && !path.starts_with("/dev"))
        .collect()
}

fn starts_no_program(process: &Process) {
    assert_eq!(status(process, "NoNewPrivs"), "1");
    assert_eq!(status(process, "Seccomp"), "2", "a filter denies it to start programs");
    // Every thread has it.
    for task in fs::read_dir(format!("/proc/{}/task", process.pid())).expect("it runs").flatten() {
        let text = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        assert!(text.is_empty() || text.contains("\nSeccomp:\t2\n"), "{text}");
    }
}

fn a_broker_is_confined(shards: u32) {
    let directory = process::directory("security-confined");
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    let mut client = server.client();
    client.create_topic("t", 4).expect("an answer").expect(0);
    client.send("t", 0, b"x").expect("an answer").expect(0);
    starts_no_program(&server.process);
    let written = written(&server.process);
    let log = |path: &PathBuf| *path == server.process.log;
    assert!(written.iter().any(|path| path.starts_with(directory.path().join("store"))));
    for path in written.iter().filter(|path| !log(path)) {
        let own = path.starts_with(directory.path().join("store"));
        assert!(own, "{} is written to, which is not in the store", path.display());
    }
}

/// Of nobody.
const USER: u32 = 65_534;

/// Only root may become somebody else, who then has to reach the binary.
fn may_become_nobody() -> Result<(), String> {
    let mut command = Command::new(binary());
    command.arg("version").uid(USER).gid(USER).stdout(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("as nobody the binary ends with {status}")),
        Err(error) => Err(format!("the binary cannot be started as nobody: {error}")),
    }
}

// Single: what a user may do does not depend on the number of shards.
#[test]
fn a_broker_needs_no_root() {
    let Some(()) = needs("a_broker_needs_no_root", may_become_nobody()) else { return };
    let directory = process::directory("security-nobody");
    let port = free_port();
    let file = configure(directory.path(), port, &Settings::default());
    chown(directory.path(), Some(USER), Some(USER)).expect("root may");
    let mut command = Command::new(binary());
    command.args(["broker", "-c", &file]).uid(USER).gid(USER);
    let process = Process::spawn(command, directory.path().join("broker.log"));
    let mut server = Server { process, address: ([127, 0, 0, 1], port).into() };
    server.await_answer();
    let mut client = server.client();
    client.create_topic("t", 1).expect("an answer").expect(0);
    client.send("t", 0, b"x").expect("an answer").expect(0);
    let of_nobody = USER.to_string();
    assert!(status(&server.process, "Uid").split_whitespace().all(|user| user == of_nobody));
    assert_eq!(status(&server.process, "CapEff"), "0".repeat(16), "it has no capability");
    starts_no_program(&server.process);
}

// Single: a name server has no shards.
#[test]
fn a_name_server_is_confined() {
    let directory = process::directory("security-confined-names");
    let server = NameServer::start(directory.path(), &[]);
    starts_no_program(&server.process);
    for path in written(&server.process) {
        assert!(path.starts_with(directory.path()), "{} is written to", path.display());
    }
}
