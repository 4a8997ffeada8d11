//! What a broker that checks accounts answers, and what is taken from its own machine only.

use std::net::SocketAddr;

use ringmq_remoting::codes::{request, response};
use tempfile::TempDir;

use super::{Row, provoke_all, row};
use crate::access::{self, SECRET};
use crate::client::Client;
use crate::name_server::NameServer;
use crate::needs::needs;
use crate::process;
use crate::remote::own_address;
use crate::server::{Server, Settings};

pub fn headings() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.heading).chain([REMOTE])
}

struct Site {
    server: Server,
    _directory: TempDir,
}

const REMOTE: &str = "request ... refused: what changes configuration, permissions or access is \
                      taken from loopback addresses only";

const ROWS: &[Row<Site>] = &[
    row("AclException: No accessKey is configured", |site| send(site.server.client())),
    row("AclException: No acl config for ...", |site| {
        send(site.server.client().signing("nobody-1", SECRET))
    }),
    row("AclException: Check signature failed for accessKey=...", |site| {
        send(site.server.client().signing("limited", "wrong-secret"))
    }),
    row("AclException: No default permission for topic:...", |site| {
        send(access::limited(&site.server))
    }),
    row("AclException: Need admin permission for request code=...", |site| {
        let made = access::limited(&site.server).create_topic("made", 1);
        made.expect("an answer").remark
    }),
];

fn send(mut client: Client) -> String {
    client.send("none", 0, b"x").expect("an answer").remark
}

// Single: texts do not depend on the number of shards.
#[test]
fn every_refusal_of_accounts_is_provoked() {
    let (directory, server) = access::server("errors-accounts", 1);
    let mut site = Site { _directory: directory, server };
    access::admin(&site.server).create_topic("none", 1).expect("an answer").expect(0);
    provoke_all(ROWS, &mut site);
}

// Single: texts do not depend on the number of shards.
#[test]
fn what_strangers_may_not_do_is_told_them() {
    let name = "what_strangers_may_not_do_is_told_them";
    let Some(own) = needs(name, own_address()) else { return };
    let directory = process::directory("errors-remote");
    let server = Server::start(directory.path(), &Settings::default());
    let address = SocketAddr::new(own, server.address.port());
    let mut client = Client::connect(address).expect("it listens everywhere");
    let answer = client.call(request::UPDATE_BROKER_CONFIG, &[], b"traceOn=true\n");
    let answer = answer.expect("an answer").expect(response::NO_PERMISSION);
    assert!(super::is_said(REMOTE, &answer.remark), "{answer:?}");
    let names = NameServer::start(directory.path(), &[("bindAddress", "0.0.0.0".to_owned())]);
    names.process.expects("refused ");
    let address = SocketAddr::new(own, names.address.port());
    let mut client = Client::connect(address).expect("it listens everywhere");
    let answer = client.call(request::UPDATE_NAMESRV_CONFIG, &[], b"enableTopicList=true\n");
    let answer = answer.expect("an answer").expect(response::NO_PERMISSION);
    assert!(super::is_said(REMOTE, &answer.remark), "{answer:?}");
}
