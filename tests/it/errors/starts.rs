//! What ends a start with a sentence.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ringmq_base::checksum::crc32c;

use super::{Row, provoke_all, row};
use crate::process::{self, Process, binary};
use crate::server::{Server, Settings, configure, free_port};

pub fn headings() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.heading)
}

const PATIENCE: Duration = Duration::from_secs(60);

const ROWS: &[Row<()>] = &[
    row("cannot read the configuration file ...", |()| {
        let directory = process::directory("errors-start");
        ended(directory.path(), &["broker", "-c", "/no/such/file"], None)
    }),
    row("the configuration file ..., line ...: the character ... stands in no text; ...", |()| {
        let directory = process::directory("errors-start");
        let file = directory.path().join("broker.conf");
        fs::write(&file, b"brokerName=a\n\x7fELF\x01\n").expect("our own directory");
        let file = file.to_str().expect("UTF-8");
        ended(directory.path(), &["broker", "-c", file], None)
    }),
    row("RINGMQ_LOG_FORMAT=... is neither text nor json: lines are text", |()| {
        let directory = process::directory("errors-start");
        let first = Some("export RINGMQ_LOG_FORMAT=xml");
        ended(directory.path(), &["broker", "-c", "/no/such/file"], first)
    }),
    row("--enable-proxy has no effect: ...", |()| {
        let directory = process::directory("errors-start");
        let settings = Settings {
            extra: vec![("storePathRootDir", "/proc/no/store".to_owned())],
            ..Settings::default()
        };
        let file = configure(directory.path(), free_port(), &settings);
        ended(directory.path(), &["broker", "--enable-proxy", "-c", &file], None)
    }),
    row("-n ... has no effect: a name server knows no others; ...", |()| {
        let directory = process::directory("errors-start");
        let arguments = ["namesrv", "-n", "127.0.0.1:9876", "-c", "/no/such/file"];
        ended(directory.path(), &arguments, None)
    }),
    row("... = ...: the value ...; expected ...", |()| with(&[("listenPort", "none")])),
    row("nobody fills in the placeholder ...", |()| with(&[("brokerIP1", "${POD_IP}")])),
    row("is neither an IP address nor a host name", |()| with(&[("brokerIP1", "10.0.0.1:10911")])),
    row("asks for protection that RingMQ does not give yet", |()| {
        with(&[("authenticationEnabled", "true")])
    }),
    row("asks for replication, which RingMQ does not have yet", |()| {
        with(&[("enableControllerMode", "true")])
    }),
    row("asks for several brokers in one process, which RingMQ does not have", |()| {
        with(&[("brokerConfigPaths", "/etc/a.conf:/etc/b.conf")])
    }),
    row("RingMQ has no replication yet, so there are no slaves", |()| {
        with(&[("brokerRole", "SLAVE"), ("brokerId", "1")])
    }),
    row("... does not go with ...", |()| with(&[("listenPort", "2")])),
    row("is in use by another process", |()| {
        let directory = process::directory("errors-start");
        let _first = Server::start(directory.path(), &Settings::default());
        broker(directory.path(), &[])
    }),
    row("the broker cannot listen on ...", |()| {
        let listener = TcpListener::bind("0.0.0.0:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        with(&[("listenPort", &port.to_string())])
    }),
    row("the name server cannot listen on ...", |()| {
        let directory = process::directory("errors-start");
        let listener = TcpListener::bind("0.0.0.0:0").expect("a port");
        let port = format!("listenPort={}", listener.local_addr().expect("bound").port());
        let kv = format!("kvConfigPath={}", directory.path().join("kv.json").display());
        let arguments = ["namesrv", "--set", &port, "--set", &kv];
        ended(directory.path(), &arguments, None)
    }),
    row("metrics cannot be served on ... and metricsPromExporterPort): ...", |()| {
        let listener = TcpListener::bind("0.0.0.0:0").expect("a port");
        let port = listener.local_addr().expect("bound").port().to_string();
        with(&[("metricsExporterType", "PROM"), ("metricsPromExporterPort", &port)])
    }),
    row("the limit of open files is ... and at least ... are needed", |()| {
        limited("ulimit -n 256")
    }),
    row("the limit of locked memory is ... bytes and ... are needed", |()| limited("ulimit -l 64")),
    row("cannot create or open the directory ...", |()| {
        with(&[("storePathRootDir", "/proc/no/store")])
    }),
    row("is on a ... file system, which loses what it holds", |()| {
        let store = format!("/dev/shm/ringmq-errors-{}", std::process::id());
        let said = with(&[("storePathRootDir", &store)]);
        let _ = fs::remove_dir_all(store);
        said
    }),
    row("storePathCommitLog = ...: ... cannot be used: ...", |()| {
        with(&[("storePathCommitLog", "/proc/no/logs")])
    }),
    row("is not empty and is not a RingMQ store", |()| {
        let directory = process::directory("errors-start");
        let store = directory.path().join("store");
        fs::create_dir(&store).expect("our own directory");
        fs::write(store.join("something"), "else").expect("our own directory");
        broker(directory.path(), &[])
    }),
    row("is damaged: ...; restore it from a copy, nothing was changed", |()| {
        let directory = process::directory("errors-start");
        drop(Server::start(directory.path(), &Settings::default()));
        let manifest = directory.path().join("store/MANIFEST");
        let mut bytes = fs::read(&manifest).expect("a store has one");
        bytes[20] ^= 1;
        fs::write(&manifest, bytes).expect("our own file");
        broker(directory.path(), &[])
    }),
    row("...; restore the file from a copy or a replica. Nothing was changed", |()| {
        let directory = process::directory("errors-start");
        drop(Server::start(directory.path(), &Settings::default()));
        fs::remove_dir_all(directory.path().join("store/meta")).expect("a store has it");
        broker(directory.path(), &[])
    }),
    row("foreign segment: ...; move the file to where it belongs. Nothing was changed", |()| {
        let directory = process::directory("errors-start");
        drop(Server::start(directory.path(), &Settings { shards: 2, ..Settings::default() }));
        let mark = |log: &str| directory.path().join("store").join(log).join("mark");
        fs::copy(mark("log-001"), mark("log-000")).expect("both are there");
        broker(directory.path(), &[])
    }),
    row("; start the version that wrote it, or a newer one", |()| {
        let directory = process::directory("errors-start");
        drop(Server::start(directory.path(), &Settings::default()));
        let manifest = directory.path().join("store/MANIFEST");
        let mut block = fs::read(&manifest).expect("a store has one");
        // The version, and the checksum of all the rest.
        block[8..12].copy_from_slice(&99_u32.to_le_bytes());
        let crc = crc32c(&[&block[..12], &block[16..]].concat());
        block[12..16].copy_from_slice(&crc.to_le_bytes());
        fs::write(&manifest, block).expect("our own file");
        broker(directory.path(), &[])
    }),
    row("the budgets of this broker need ... bytes of memory and ... gives it", |()| {
        with(&[("hotTailBytes", "1099511627776")])
    }),
    row("there is no file with accounts, neither ... nor ...", |()| with(&[("aclEnable", "true")])),
    row(", line ...: accounts has to be a list", |()| {
        let directory = process::directory("errors-start");
        fs::write(directory.path().join("plain_acl.yml"), "accounts: none\n").expect("ours");
        broker(directory.path(), &[("aclEnable", "true")])
    }),
    row(", line ...: it is no YAML: ...", |()| {
        let directory = process::directory("errors-start");
        fs::write(directory.path().join("plain_acl.yml"), "accounts: [\n").expect("ours");
        broker(directory.path(), &[("aclEnable", "true")])
    }),
    row("... is not set: name a PEM file, or set tls.server.mode=disabled ...", |()| {
        with(&[("tls.test.mode.enable", "false")])
    }),
    row("metricsLabel: ... is no label; write name:value, several with commas, ...", |()| {
        with(&[("metricsExporterType", "PROM"), ("metricsLabel", "zone a")])
    }),
    row("metricsPromExporterHost = ... stands for no address that is known here", |()| {
        with(&[("metricsExporterType", "PROM"), ("metricsPromExporterHost", "no.such.invalid")])
    }),
    row("/... cannot be read: ...", |()| {
        let path = "/no/such/cert.pem";
        with(&[("tls.server.certPath", path), ("tls.server.keyPath", path)])
    }),
];

/// Starts a broker in a directory of its own, with these keys.
fn with(keys: &[(&'static str, &str)]) -> String {
    broker(process::directory("errors-start").path(), keys)
}

fn broker(directory: &Path, keys: &[(&'static str, &str)]) -> String {
    let keys = keys.iter().filter(|(_, value)| !value.is_empty());
    let extra = keys.map(|(key, value)| (*key, (*value).to_owned())).collect();
    let settings = Settings { extra, ..Settings::default() };
    let file = configure(directory, free_port(), &settings);
    ended(directory, &["broker", "-c", &file], None)
}

/// Starts a broker after a command of the shell.
fn limited(command: &str) -> String {
    let directory = process::directory("errors-start");
    let file = configure(directory.path(), free_port(), &Settings::default());
    ended(directory.path(), &["broker", "-c", &file], Some(command))
}

/// What a process says that ends by itself, and not well.
pub(super) fn ended(directory: &Path, arguments: &[&str], first: Option<&str>) -> String {
    let mut command = Command::new("sh");
    let script = format!("{} && exec \"$0\" \"$@\"", first.unwrap_or("true"));
    command.args(["-c", &script]).arg(binary()).args(arguments);
    let mut process = Process::spawn(command, directory.join("ended.log"));
    process.allows("");
    let status = process.wait(PATIENCE);
    let output = process.output();
    assert_eq!(status.code(), Some(1), "{arguments:?}: {output}");
    output
}

// Single: nothing is served.
#[test]
fn every_refusal_of_a_start_is_provoked() {
    provoke_all(ROWS, &mut ());
}
