//! What a name server answers to tools, says in its log, and ends a start with.

use std::fs;
use std::io::Write;
use std::path::Path;

use ringmq_remoting::codes::request;
use tempfile::TempDir;

use super::answers::said;
use super::starts::ended;
use super::{Row, provoke_all, row};
use crate::name_server::NameServer;
use crate::process;

pub fn headings() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.heading)
}

const ROWS: &[Row<()>] = &[
    row("disable: this list is switched off by enableTopicList = false", |()| {
        let (_directory, server) = start(&[("enableTopicList", "false")]);
        let fields = [("cluster", "DefaultCluster")];
        said(server.client().call(request::GET_TOPICS_BY_CLUSTER, &fields, b""))
    }),
    row("name server not ready", |()| {
        let keys = [("needWaitForService", "true"), ("waitSecondsForService", "3600")];
        let (_directory, server) = start(&keys);
        let fields = [("topic", "any")];
        said(server.client().call(request::GET_ROUTEINFO_BY_TOPIC, &fields, b""))
    }),
    row("the ... has ... bytes; at most ... are allowed", |()| {
        let (_directory, server) = start(&[]);
        put(&server, &"k".repeat(300), "v")
    }),
    row("there are already ... entries; delete some, or raise kvEntriesMax", |()| {
        let (_directory, server) = start(&[("kvEntriesMax", "1")]);
        put(&server, "first", "v");
        put(&server, "second", "v")
    }),
    row("the entries take ... bytes of memory, ...; delete some, or raise kvBytesMax", |()| {
        let (_directory, server) = start(&[("kvBytesMax", "524288")]);
        let long = "v".repeat(30_000);
        let answers = (0..32).map(|number| put(&server, &number.to_string(), &long));
        answers.last().expect("some")
    }),
    row("connection closed: malformed request: ...", |()| {
        let (_directory, mut server) = start(&[]);
        server.process.expects("connection closed: malformed request");
        let sent = server.client().stream().write_all(b"GET / HTTP/1.1\r\n\r\n");
        sent.expect("the name server listens");
        server.process.await_line("malformed request");
        server.process.output()
    }),
    row("the KV configuration ... is not JSON as it should be: ...", |()| {
        let directory = process::directory("errors-names");
        fs::write(kv(directory.path()), "no JSON").expect("our own directory");
        let key = format!("kvConfigPath={}", kv(directory.path()).display());
        let arguments = ["namesrv", "--set", &key, "--set", "listenPort=0"];
        ended(directory.path(), &arguments, None)
    }),
    row("... is not used: ...; ... is used instead", |()| {
        let directory = process::directory("errors-names");
        fs::write(kv(directory.path()), "no JSON").expect("our own directory");
        fs::write(kv(directory.path()).with_extension("json.bak"), "{}").expect("our own");
        let mut server = NameServer::start(directory.path(), &[]);
        server.process.expects("is used instead");
        server.process.await_line("is used instead");
        server.process.output()
    }),
];

/// Where name servers of tests keep their table.
fn kv(directory: &Path) -> std::path::PathBuf {
    directory.join("kvConfig.json")
}

fn start(keys: &[(&str, &str)]) -> (TempDir, NameServer) {
    let directory = process::directory("errors-names");
    let keys: Vec<_> = keys.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    let server = NameServer::start(directory.path(), &keys);
    (directory, server)
}

fn put(server: &NameServer, key: &str, value: &str) -> String {
    let fields = [("namespace", "n"), ("key", key), ("value", value)];
    said(server.client().call(request::PUT_KV_CONFIG, &fields, b""))
}

// Single: a name server has one executor.
#[test]
fn every_refusal_of_a_name_server_is_provoked() {
    provoke_all(ROWS, &mut ());
}
