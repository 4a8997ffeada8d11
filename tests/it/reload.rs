//! SIGHUP: the configuration, certificates and accounts are read again while the server runs.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use ringmq_remoting::codes::{request, response};

use crate::access;
use crate::client::Client;
use crate::name_server::NameServer;
use crate::process::{self, Process};
use crate::server::{Server, Settings, configure};
use crate::shards::for_shards;
use crate::tls::authority::Authority;

for_shards!(
    live_keys_of_the_file_count_on_every_shard_and_others_are_named,
    what_was_said_last_counts_be_it_by_the_file_or_by_an_administrator,
    a_file_that_is_wrong_changes_nothing,
    certificates_and_accounts_are_read_again,
);

fn with(shards: u32, extra: &[(&'static str, &str)]) -> Settings {
    let extra = extra.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    Settings { shards, extra, ..Settings::default() }
}

/// Writes the file of a broker anew and has it read.
fn rewrite(server: &mut Server, directory: &Path, settings: &Settings) {
    configure(directory, server.address.port(), settings);
    server.process.signal(Signal::SIGHUP);
}

/// The value of a key as tools see it.
fn shown(client: &mut Client, code: i32, key: &str) -> String {
    let answer = client.call(code, &[], b"").expect("an answer");
    let text = String::from_utf8(answer.body).expect("text");
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{key}=")));
    line.unwrap_or_else(|| panic!("no {key} in {text}")).to_owned()
}

fn broker_key(server: &Server, key: &str) -> String {
    shown(&mut server.client(), request::GET_BROKER_CONFIG, key)
}

fn change(server: &Server, text: &str) {
    let changed = server.client().call(request::UPDATE_BROKER_CONFIG, &[], text.as_bytes());
    changed.expect("an answer").expect(response::SUCCESS);
}

fn live_keys_of_the_file_count_on_every_shard_and_others_are_named(shards: u32) {
    let directory = process::directory("reload-keys");
    let before = with(shards, &[("fileReservedTime", "48"), ("maxMessageSize", "1000")]);
    let mut server = Server::start(directory.path(), &before);
    // Connections of all shards, most likely.
    let mut clients: Vec<Client> = (0..8).map(|_| server.client()).collect();
    clients[0].create_topic("T", 4).expect("an answer").expect(response::SUCCESS);
    let after = [
        ("maxMessageSize", "100"),
        ("brokerIP2", "127.0.0.9"),
        ("registerNameServerPeriod", "20000"),
    ];
    server.process.expects("SIGHUP: takes effect with the next start: ");
    rewrite(&mut server, directory.path(), &with(shards, &after));
    server.process.await_line("SIGHUP: takes effect");
    let output = server.process.output();
    for part in [
        "SIGHUP: changed: ",
        "maxMessageSize = 100 (was 1000; ",
        "fileReservedTime = 72 (was 48; default)",
        "brokerIP2 = 127.0.0.9 (was ",
        "registerNameServerPeriod = 20000 (was 30000; ",
        "conf, line ",
    ] {
        assert!(output.contains(part), "{part:?} in {output}");
    }
    for client in &mut clients {
        let code = |bytes: usize, client: &mut Client| {
            client.send("T", 0, &vec![b'x'; bytes]).expect("an answer").code
        };
        assert_eq!(code(100, client), response::SUCCESS);
        assert_eq!(code(101, client), response::MESSAGE_ILLEGAL);
    }
    // What takes a restart is said each time, until it has been.
    server.process.signal(Signal::SIGHUP);
    server.process.await_line("SIGHUP: no key that may change while the server runs was changed");
    assert_eq!(server.process.output().matches("SIGHUP: changed").count(), 1);
}

fn what_was_said_last_counts_be_it_by_the_file_or_by_an_administrator(shards: u32) {
    let directory = process::directory("reload-last");
    let mut server = Server::start(directory.path(), &with(shards, &[("fileReservedTime", "48")]));
    change(&server, "fileReservedTime=24\nlongPollingEnable=false");
    let now = with(shards, &[("fileReservedTime", "36")]);
    rewrite(&mut server, directory.path(), &now);
    server.process.await_line("fileReservedTime = 36 (was 48");
    assert_eq!(broker_key(&server, "fileReservedTime"), "36");
    assert_eq!(broker_key(&server, "longPollingEnable"), "false", "the file says nothing of it");
    change(&server, "fileReservedTime=12");
    server.process.kill9();
    let mut server = Server::start(directory.path(), &now);
    assert_eq!(broker_key(&server, "fileReservedTime"), "12", "the file is older");
    rewrite(&mut server, directory.path(), &with(shards, &[("fileReservedTime", "35")]));
    server.process.await_line("fileReservedTime = 35 (was 36");
    server.process.kill9();
    let server = Server::start(directory.path(), &now);
    assert_eq!(broker_key(&server, "fileReservedTime"), "36", "nothing is remembered");
}

fn a_file_that_is_wrong_changes_nothing(shards: u32) {
    let directory = process::directory("reload-wrong");
    let mut server = Server::start(directory.path(), &with(shards, &[("fileReservedTime", "48")]));
    let cases = [
        (vec![("fileReservedTime", "soon")], "the configuration of before stays in force"),
        (
            vec![("fileReservedTime", "12"), ("maxMessageSize", "15000000")],
            "maxMessageSize = 15000000 is more than 4194304",
        ),
        (
            vec![("fileReservedTime", "12"), ("logLevel", "loud=quiet=x")],
            "logLevel = loud=quiet=x (was ",
        ),
    ];
    for (keys, sentence) in cases {
        server.process.expects(sentence);
        rewrite(&mut server, directory.path(), &with(shards, &keys));
        server.process.await_line(sentence);
        assert_eq!(broker_key(&server, "fileReservedTime"), "48", "{sentence}");
    }
    rewrite(&mut server, directory.path(), &with(shards, &[("fileReservedTime", "12")]));
    server.process.await_line("SIGHUP: changed: fileReservedTime = 12 (was 48");
    assert_eq!(broker_key(&server, "fileReservedTime"), "12");
}

fn certificates_and_accounts_are_read_again(shards: u32) {
    let (_directory, mut server) = access::server("reload-accounts", shards);
    server.process.signal(Signal::SIGHUP);
    server.process.await_line("the files with accounts are read again");
    assert!(server.process.ended().is_none());
    let directory = process::directory("reload-certificates");
    let extra = Authority::new().issue().write(directory.path());
    let settings = Settings { shards, extra, ..Settings::default() };
    let mut server = Server::start(directory.path(), &settings);
    server.process.signal(Signal::SIGHUP);
    server.process.await_line("certificates are read again");
}

// Single: a name server has no shards.
#[test]
fn a_name_server_reads_its_file_and_certificates_again() {
    let directory = process::directory("reload-names");
    let keys = Authority::new().issue().write(directory.path());
    let mut names = NameServer::start(directory.path(), &keys);
    let file = directory.path().join(format!("namesrv-{}.conf", names.address.port()));
    let before = fs::read_to_string(&file).expect("it was written");
    fs::write(&file, format!("{before}orderMessageEnable=true\nkvBytesMax=1048576\n"))
        .expect("our own file");
    let process: &mut Process = &mut names.process;
    process.expects("SIGHUP: takes effect with the next start: kvBytesMax = 1048576 (was ");
    process.signal(Signal::SIGHUP);
    process.await_line("SIGHUP: changed: orderMessageEnable = true (was false; ");
    process.await_line("certificates are read again");
    process.await_line("kvBytesMax = 1048576");
    let key = |names: &NameServer| {
        shown(&mut names.client(), request::GET_NAMESRV_CONFIG, "orderMessageEnable")
    };
    assert_eq!(key(&names), "true");
    let changed =
        names.client().call(request::UPDATE_NAMESRV_CONFIG, &[], b"orderMessageEnable=false");
    changed.expect("an answer").expect(response::SUCCESS);
    fs::write(&file, before).expect("our own file");
    names.process.signal(Signal::SIGHUP);
    names.process.await_line("SIGHUP: changed: orderMessageEnable = false (was true; default)");
    assert_eq!(key(&names), "false");
}
