//! What commands of `ringmq` refuse.

use std::process::Command;

use ringmq_test_client::forget_environment;

use super::{Row, provoke_all, row};
use crate::process::{self, binary};
use crate::server::{Server, Settings};

pub fn headings() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.heading)
}

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
    row("...: request ...: Connection refused", |()| {
        run(&["admin", "clusterList", "-n", "127.0.0.1:1"])
    }),
    row("there is no command ...", |()| run(&["admin", "noSuchCommand"])),
    row("cannot open ...; give the directory of a store", |()| {
        run(&["doctor", "--store", "/no/such/store"])
    }),
];

/// What a command says that fails.
fn run(arguments: &[&str]) -> String {
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
