//! `ringmq doctor`: the table of the machine. The check of stores is in `stores`.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::process::{self, Process};
use crate::server::{Settings, configure, free_port};

const PATIENCE: Duration = Duration::from_secs(60);

/// Runs it with the configuration of a broker: exit code and output.
fn doctor(directory: &Path, port: u16, settings: &Settings, more: &[&str]) -> (i32, String) {
    let file = configure(directory, port, settings);
    let mut arguments = vec!["doctor", "-c", &file];
    arguments.extend(more);
    let log = directory.join("doctor.log");
    let mut process = match settings.open_files {
        Some(limit) => Process::start_with_open_files(&arguments, log, limit),
        None => Process::start(&arguments, log),
    };
    let code = process.wait(PATIENCE).code().expect("it ends by itself");
    (code, process.output())
}

fn rows(output: &str) -> Vec<Value> {
    let report: Value = serde_json::from_str(output).expect("one JSON object");
    report["conditions"].as_array().expect("conditions").clone()
}

fn row<'a>(rows: &'a [Value], name: &str) -> &'a Value {
    let is_it = |row: &&Value| row["condition"].as_str().expect("a name").starts_with(name);
    rows.iter().find(is_it).unwrap_or_else(|| panic!("no row {name} in {rows:?}"))
}

// Single: the doctor starts no shards.
#[test]
fn the_machine_is_described_and_nothing_is_changed() {
    let directory = process::directory("doctor-machine");
    let settings = Settings::default();
    let port = free_port();
    let (code, output) = doctor(directory.path(), port, &settings, &["--json"]);
    // What the machine is like is up to it, but the tests run on it.
    assert!([0, 1].contains(&code), "{code}: {output}");
    let rows = rows(&output);
    for name in [
        "kernel",
        "io_uring",
        "locked memory",
        "open files",
        "directory ",
        "memory",
        "cgroup: CPU",
        "cgroup: threads",
        "file system of the store",
        "space of the store",
        "advertised address",
        "port ",
        "TLS in the kernel",
    ] {
        let row = row(&rows, name);
        for key in ["required", "found"] {
            assert!(row[key].as_str().is_some_and(|text| !text.is_empty()), "{row}");
        }
        let fine = row["severity"] == "ok";
        assert_eq!(row["remedy"].as_str().expect("a text").is_empty(), fine, "{row}");
    }
    assert_eq!(row(&rows, "advertised address")["found"], "127.0.0.1");
    let (code, text) = doctor(directory.path(), port, &settings, &[]);
    assert!([0, 1].contains(&code), "{code}: {text}");
    assert!(text.starts_with("condition ") && text.contains(" conditions: "), "{text}");
    let left: Vec<_> = fs::read_dir(directory.path()).expect("it is there").flatten().collect();
    assert_eq!(left.len(), 2, "the file and the output, and no store: {left:?}");
}

// Single: the doctor starts no shards.
#[test]
fn what_a_start_refuses_is_found_before_it() {
    let directory = process::directory("doctor-refuses");
    let few = Settings { open_files: Some(256), ..Settings::default() };
    let (code, output) = doctor(directory.path(), free_port(), &few, &["--json"]);
    assert_eq!(code, 2, "{output}");
    let files = rows(&output);
    let files = row(&files, "open files");
    assert_eq!((&files["severity"], &files["found"]), (&"error".into(), &"256".into()), "{files}");
    // The sentence is that of a start.
    let file = configure(directory.path(), free_port(), &few);
    let log = directory.path().join("start.log");
    let mut broker = Process::start_with_open_files(&["broker", "-c", &file], log, 256);
    assert_eq!(broker.wait(PATIENCE).code(), Some(1));
    let remedy = files["remedy"].as_str().expect("a text");
    assert!(broker.output().contains(remedy), "{remedy}\n{}", broker.output());

    let wrong = Settings { extra: vec![("brokerIP1", "not a host".into())], ..Settings::default() };
    let (code, output) = doctor(directory.path(), free_port(), &wrong, &[]);
    assert_eq!(code, 2, "{output}");
    assert!(output.contains("brokerIP1 = \"not a host\" is neither"), "{output}");
    let (code, output) = doctor(directory.path(), free_port(), &wrong, &["--store", "/x"]);
    assert_eq!(code, 2, "one or the other: {output}");
}

// Single: the doctor starts no shards.
#[test]
fn a_port_that_is_taken_is_named_with_its_key_and_owner() {
    let directory = process::directory("doctor-port");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let (code, output) = doctor(directory.path(), port, &Settings::default(), &["--json"]);
    assert_eq!(code, 1, "{output}");
    let rows = rows(&output);
    let taken = row(&rows, &format!("port {port} (listenPort)"));
    assert_eq!(taken["severity"], "warning");
    let found = taken["found"].as_str().expect("a text");
    assert!(found.contains(&format!("(process {})", std::process::id())), "{found}");
    assert_eq!(row(&rows, &format!("port {} (vipPortEnable)", port - 2))["condition"], {
        format!("port {} (vipPortEnable)", port - 2)
    });
}

// Single: the doctor starts no shards.
#[test]
fn a_probe_measures_durable_writes_and_leaves_nothing_behind() {
    let directory = process::directory("doctor-probe");
    let (_, output) =
        doctor(directory.path(), free_port(), &Settings::default(), &["--json", "--probe"]);
    // What will be done is said first.
    let (said, report) = output.split_once('\n').expect("lines");
    assert!(said.contains("528.0 MiB in all; it is removed"), "{output}");
    let report: Value = serde_json::from_str(report).expect("one JSON object");
    let sizes = report["probe"].as_array().expect("a list");
    assert_eq!(sizes.len(), 2, "{output}");
    for size in sizes {
        let number = |key: &str| size[key].as_u64().expect("a number");
        let rows = size["histogram"].as_array().expect("rows").iter();
        let sum: u64 = rows.map(|row| row["writes"].as_u64().expect("a number")).sum();
        assert!(number("writes") > 0 && sum == number("writes"), "{size}");
        assert!(number("p50Us") <= number("p99Us") && number("p99Us") <= number("longestUs"));
        assert!(number("bytes") * number("writes") <= 256 << 20, "{size}");
    }
    row(&rows(&report.to_string()), "durable write of 4.0 KiB");
    let left: Vec<_> = fs::read_dir(directory.path()).expect("it is there").flatten().collect();
    assert_eq!(left.len(), 2, "the file and the output: {left:?}");
}
