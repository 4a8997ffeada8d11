//! Lines in the log of a server that runs: what is not as somebody may think.

use std::fs;
use std::io::Write;
use std::num::NonZero;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::{Row, provoke_all, row};
use crate::process;
use crate::server::{Server, Settings};

pub fn headings() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.heading)
}

const PATIENCE: Duration = Duration::from_secs(60);

const ROWS: &[Row<()>] = &[
    row("no name server: clients find this broker by its address only", |()| {
        line(&[], "no name server", |_| {})
    }),
    row("cannot register namesrv=...", |()| {
        line(&[("namesrvAddr", "127.0.0.1:1")], "cannot register", |_| {})
    }),
    row("the address server ... tells no name servers", |()| {
        let keys = [
            ("fetchNamesrvAddrByAddressServer", "true"),
            ("rmqAddressServerDomain", "127.0.0.1:1"),
        ];
        line(&keys, "tells no name servers", |_| {})
    }),
    row("clients are told ..., to which this machine itself cannot connect", |()| {
        let keys = [("brokerIP1", "127.0.0.2"), ("bindAddress", "127.0.0.1")];
        line(&keys, "itself cannot connect", |_| {})
    }),
    row("unknown key ...", |()| line(&[("lisenPort", "1")], "unknown key", |_| {})),
    row("has no effect", |()| line(&[("haTransferBatchSize", "4096")], "has no effect", |_| {})),
    row("belongs to what RingMQ does not have (...), so it has NO EFFECT", |()| {
        line(&[("enableLmq", "true")], "NO EFFECT", |_| {})
    }),
    row("... was already set on line ...; this line wins", |()| {
        let keys = [("fileReservedTime", "48"), ("fileReservedTime", "24")];
        line(&keys, "this line wins", |_| {})
    }),
    row("the value of ... includes ...: properties files know comments only ...", |()| {
        line(&[("brokerClusterName", "C # ours")], "includes", |_| {})
    }),
    row("there are ... name servers; the broker registers with the first ...", |()| {
        let names: Vec<_> = (1..=40).map(|number| format!("127.0.0.{number}:1")).collect();
        line(&[("namesrvAddr", &names.join(";"))], "name servers; the broker", |_| {})
    }),
    row("nobody can connect to ...: set brokerIP1 to what clients reach", |()| {
        line(&[("brokerIP1", "0.0.0.0")], "nobody can connect to", |_| {})
    }),
    row("connectionsMax = ... does not fit: of ... open files", |()| {
        let settings = Settings { open_files: Some(1_500), ..Settings::default() };
        line_of(&settings, "connectionsMax = ", |_| {})
    }),
    row("aclEnable = true and there is no account: every request is refused", |()| {
        let directory = process::directory("errors-logs");
        let file = directory.path().join("empty.yml");
        fs::write(&file, "accounts: []\n").expect("our own directory");
        let file = file.to_str().expect("UTF-8");
        line(&[("aclEnable", "true"), ("aclFile", file)], "there is no account", |_| {})
    }),
    row("more shards than CPUs: they share them, not pinned", |()| {
        let cpus = thread::available_parallelism().map_or(1, NonZero::get);
        let shards = u32::try_from(cpus + 1).expect("few");
        line_of(&Settings { shards, ..Settings::default() }, "more shards than CPUs", |_| {})
    }),
    row("a key segment or a part of it is not used; it was left as it is. ...", |()| {
        let directory = process::directory("errors-logs");
        drop(Server::start(directory.path(), &Settings::default()));
        let file = directory.path().join("store/log-000/keys-00000000000000000009.kdx");
        fs::write(file, "something else").expect("our own store");
        said(directory.path(), &Settings::default(), "a key segment", |_| {})
    }),
    row("connection closed: bad frame", |()| {
        line(&[], "connection closed: bad frame", |server| {
            let sent = server.client().stream().write_all(b"GET / HTTP/1.1\r\n\r\n");
            sent.expect("the broker listens");
        })
    }),
];

/// The output of a broker with these keys when it has said this part.
fn line(keys: &[(&'static str, &str)], part: &str, act: impl Fn(&Server)) -> String {
    let extra = keys.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    line_of(&Settings { extra, ..Settings::default() }, part, act)
}

fn line_of(settings: &Settings, part: &str, act: impl Fn(&Server)) -> String {
    said(process::directory("errors-logs").path(), settings, part, act)
}

fn said(directory: &Path, settings: &Settings, part: &str, act: impl Fn(&Server)) -> String {
    let server = Server::start(directory, settings);
    server.process.allows("");
    act(&server);
    let began = Instant::now();
    while !server.process.output().contains(part) {
        assert!(began.elapsed() < PATIENCE, "{part}: {}", server.process.output());
        thread::sleep(Duration::from_millis(2));
    }
    server.process.output()
}

// Single: texts do not depend on the number of shards.
#[test]
fn every_line_is_provoked() {
    provoke_all(ROWS, &mut ());
}
