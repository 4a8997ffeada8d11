//! What commands of `ringmq` refuse.

use std::process::Command;

use ringmq_test_client::forget_environment;

use super::{Row, provoke_all, row};
use crate::name_server::NameServer;
use crate::process::{self, binary};
use crate::server::{Server, Settings};

pub fn headings() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.heading)
}

/// Where nothing listens.
pub(super) const NOBODY: &str = "127.0.0.1:1";

const ROWS: &[Row<()>] = &[
    row("is in use by a broker, which changes it all the time", |()| {
        let directory = process::directory("errors-commands");
        let _server = Server::start(directory.path(), &Settings::default());
        let store = directory.path().join("store");
        run(&["doctor", "--store", store.to_str().expect("UTF-8")])
    }),
    row("no name server is known: give one with -n or in NAMESRV_ADDR", |()| {
        run(&["admin", "clusterList"])
    }),
    row("...: request ...: Connection refused", |()| run(&["admin", "clusterList", "-n", NOBODY])),
    row("there is no command ...", |()| run(&["admin", "noSuchCommand"])),
    row("...: request ...: address ...: invalid socket address", |()| {
        run(&["admin", "clusterList", "-n", "127.0.0.1"])
    }),
    row("there is no cluster ...: the name server knows ...", |()| {
        let directory = process::directory("errors-commands");
        let server = NameServer::start(directory.path(), &[]);
        let address = server.address.to_string();
        run(&["admin", "updateTopic", "-n", &address, "-c", "Missing", "-t", "T"])
    }),
    row("there is no option ...", |()| run(&["admin", "clusterList", "--nope"])),
    row("ringmq admin: ... is missing", |()| run(&["admin", "updateTopic", "-t", "T"])),
    row("--watch is for commands that only ask: ...", |()| {
        run(&["admin", "deleteTopic", "-c", "C", "-t", "T", "-n", NOBODY, "--watch", "1"])
    }),
    row("the time ... is neither now, nor milliseconds since 1970, nor like ...", |()| {
        run(&["admin", "resetOffsetByTime", "-g", "G", "-t", "T", "-s", "soon", "-n", NOBODY])
    }),
    row("... is no time: for an age write -30s, -15m, -2h, -1d", |()| {
        run(&["admin", "cat", "-t", "T", "-o", "@soon", "-n", NOBODY])
    }),
    row("... is no place: first, end, an offset, -N for the last N, or @TIME are", |()| {
        run(&["admin", "cat", "-t", "T", "-o", "soon", "-n", NOBODY])
    }),
    row("...: there is no %...: %s body, ...", |()| {
        run(&["admin", "cat", "-t", "T", "-f", "%z", "-n", NOBODY])
    }),
    row("is no id of 32 or 56 hexadecimal digits", |()| {
        run(&["admin", "DecodeMessageId", "-i", "7F00"])
    }),
    row("... does not say where the message is: give its topic with -t", |()| {
        run(&["admin", "queryMsgById", "-i", "7F00", "-n", NOBODY])
    }),
    row("http://... (metricsExporterType = PROM serves it): ...", |()| {
        run(&["health", "--metrics", NOBODY])
    }),
    row("the name server ... does not answer: ...", |()| run(&["health", "--namesrv", NOBODY])),
    row("cannot open ...; give the directory of a store", |()| {
        run(&["doctor", "--store", "/no/such/store"])
    }),
];

/// What a command says that fails.
pub(super) fn run(arguments: &[&str]) -> String {
    let mut command = Command::new(binary());
    command.args(arguments);
    forget_environment(&mut command);
    let output = command.output().expect("the binary can be started");
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

// Single: nothing is served.
#[test]
fn every_refusal_of_a_command_is_provoked() {
    provoke_all(ROWS, &mut ());
}
