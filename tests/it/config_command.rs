//! `ringmq config`, variables of the environment, and what is said about the address of a broker.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use ringmq_test_client::forget_environment;

use crate::process::{self, Process, binary};
use crate::server::{DISK_LEVELS, free_port};

const PATIENCE: Duration = Duration::from_secs(60);

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(binary());
    command.args(arguments).envs(environment.iter().copied());
    forget_environment(&mut command);
    command.output().expect("the binary can be started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

// Single: no server is started.
#[test]
fn a_file_is_checked_line_by_line() {
    let directory = process::directory("config-check");
    let path = directory.path().join("broker.conf");
    let file = path.to_str().expect("UTF-8");
    let good = "brokerName=a\nbrokerIP1=10.9.8.7\nsendMessageThreadPoolNums=16\n";
    fs::write(&path, good).expect("written");
    let checked = run(&["config", "check", file], &[]);
    let said = text(&checked.stdout);
    assert!(checked.status.success(), "{said}");
    for part in [
        "as the file of a broker:",
        "line 1    brokerName = a\n            used\n",
        "ignored: sendMessageThreadPoolNums has no effect and needs none: ",
        "2 used, 1 ignored, 0 wrong\n",
        "clients will be told to connect to 10.9.8.7, port 10911",
    ] {
        assert!(said.contains(part), "{part:?} is missing in:\n{said}");
    }
    fs::write(&path, format!("{good}lisenPort=1\nbrokerRole=SLAVE\nbrokerId=1\n"))
        .expect("written");
    let checked = run(&["config", "check", file], &[]);
    let said = text(&checked.stdout);
    assert_eq!(checked.status.code(), Some(1), "{said}");
    assert!(said.contains("line 4    lisenPort = 1\n            WRONG: unknown key"), "{said}");
    assert!(said.contains("did you mean listenPort?"), "{said}");
    assert!(said.contains("the broker would not start: brokerRole = SLAVE"), "{said}");
    let names = directory.path().join("namesrv.conf");
    fs::write(&names, "kvConfigPath=/tmp/kv\n").expect("written");
    let checked = run(&["config", "check", names.to_str().expect("UTF-8")], &[]);
    assert!(text(&checked.stdout).contains("as the file of a name server:"));
    let missing = run(&["config", "check", "/no/such/file"], &[]);
    assert!(text(&missing.stderr).contains("cannot read the configuration file /no/such/file"));
}

// Single: no server is started.
#[test]
fn values_are_printed_with_where_they_come_from() {
    let directory = process::directory("config-print");
    let path = directory.path().join("own.conf");
    fs::write(&path, "brokerName=file\nfileReservedTime=48\n").expect("written");
    let file = path.to_str().expect("UTF-8");
    let set = [("RINGMQ_BROKER_NAME", "environment"), ("RINGMQ_LISTEN_PORT", "1111")];
    let line = ["config", "print", file, "--set", "listenPort=2222"];
    let printed = text(&run(&line, &set).stdout);
    for (from, value) in [
        ("environment variable RINGMQ_BROKER_NAME", "brokerName=environment"),
        ("command line", "listenPort=2222"),
        (&*format!("{file}, line 2"), "fileReservedTime=48"),
        ("default", "deleteWhen=04"),
    ] {
        assert!(printed.contains(&format!("; from: {from}\n{value}\n")), "{value}:\n{printed}");
    }
    let differs = text(&run(&["config", "diff-defaults", file], &set).stdout);
    assert_eq!(
        differs,
        format!(
            "brokerName = environment\n    instead of nothing; from: environment variable \
             RINGMQ_BROKER_NAME\nlistenPort = 1111\n    instead of 10911; from: environment \
             variable RINGMQ_LISTEN_PORT\nfileReservedTime = 48\n    instead of 72; from: {file}, \
             line 2\n"
        )
    );
}

// Single: what is said does not depend on the number of shards.
#[test]
fn a_broker_says_what_clients_are_told_and_tries_it() {
    let directory = process::directory("advertised");
    let port = free_port();
    let store = directory.path().join("store");
    let levels = DISK_LEVELS.map(|(key, value)| format!("{key}={value}\n")).concat();
    let file = directory.path().join("broker.conf");
    fs::write(&file, format!("{levels}shards=1\nzeroAheadBytes=4194304\nbrokerName=file\n"))
        .expect("written");
    let mut command = Command::new(binary());
    command.args(["broker", "-c", file.to_str().expect("UTF-8")]);
    command.env("RINGMQ_LISTEN_PORT", port.to_string()).env("RINGMQ_BIND_ADDRESS", "127.0.0.1");
    command.env("RINGMQ_STORE_PATH_ROOT_DIR", &store).env("RINGMQ_BROKER_IP1", "127.0.0.2");
    let mut broker = Process::spawn(command, directory.path().join("broker.log"));
    let said = format!("clients are told 127.0.0.2:{port}, to which this machine itself cannot");
    broker.expects(&said);
    broker.allows("vipPortEnable");
    let boot = format!("The broker[file, 127.0.0.2:{port}] boot success. serializeType=JSON\n");
    let told = format!("clients will be told to connect to 127.0.0.2, port {port}");
    let deadline = Instant::now() + PATIENCE;
    while ![&said, &boot, &told].iter().all(|part| broker.output().contains(part.as_str())) {
        assert!(broker.ended().is_none(), "{}", broker.output());
        assert!(Instant::now() < deadline, "{}", broker.output());
        std::thread::sleep(Duration::from_millis(2));
    }
}

// Single: nothing is served.
#[test]
fn a_slave_and_a_member_of_a_group_that_elects_do_not_start() {
    let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf");
    for template in ["2m-2s-async/broker-a-s.properties", "dledger/broker-n0.conf"] {
        let file = conf.join(template);
        let started = run(&["broker", "-c", file.to_str().expect("UTF-8")], &[]);
        assert_eq!(started.status.code(), Some(1), "{template}");
        let said = text(&started.stderr);
        assert!(said.contains("replication"), "{template}: {said}");
    }
}
