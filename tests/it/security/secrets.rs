//! S10: secrets are in no answer, no log line and no listing; protection is a line to turn on.

use std::process::Command;

use ringmq_remoting::codes::{request, response};
use ringmq_test_client::forget_environment;

use super::{broker_config, namesrv_config};
use crate::access::{self, SECRET};
use crate::name_server::NameServer;
use crate::process::{self, binary};
use crate::server::{Server, Settings, configure};
use crate::shards::for_shards;

for_shards!(a_broker_shows_no_secret);

const PASSWORD: &str = "do-not-show-7391";

fn keys() -> Vec<(&'static str, String)> {
    ["tls.server.keyPassword", "tls.client.keyPassword"].map(|key| (key, PASSWORD.into())).into()
}

fn a_broker_shows_no_secret(shards: u32) {
    let directory = process::directory("security-secrets");
    let settings = Settings { shards, extra: keys(), ..Settings::default() };
    let server = Server::start(directory.path(), &settings);
    server.process.allows("keyPassword");
    let shown = broker_config(&mut server.client());
    assert!(shown.contains("tls.server.keyPassword=(not shown)"), "it is there: {shown}");
    for text in [shown, server.process.output()] {
        assert!(!text.contains(PASSWORD), "{text}");
    }
    // Whoever has the file may read it, but commands whose output is handed on do not show it.
    let file = configure(directory.path(), server.address.port(), &settings);
    for arguments in [
        &["broker", "-p", "-c", &file][..],
        &["config", "print", &file],
        &["config", "check", &file],
        &["config", "diff-defaults", &file],
        &["doctor", "-c", &file],
    ] {
        let mut command = Command::new(binary());
        command.args(arguments);
        forget_environment(&mut command);
        let output = command.output().expect("the binary can be started");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(text.len() > 40 && !text.contains(PASSWORD), "{arguments:?}: {text}");
    }
    accounts_are_shown_without_their_secrets(shards);
}

/// One line (`aclEnable=true`) turns accounts on, and no answer has a secret key in it.
fn accounts_are_shown_without_their_secrets(shards: u32) {
    let (_directory, server) = access::server("security-accounts", shards);
    let mut admin = access::admin(&server);
    for code in [request::GET_BROKER_CLUSTER_ACL_INFO, request::GET_BROKER_CONFIG] {
        let answer = admin.call(code, &[], b"").expect("an answer");
        answer.clone().expect(response::SUCCESS);
        let text = format!("{:?} {}", answer.fields, String::from_utf8_lossy(&answer.body));
        assert!(!text.contains(SECRET), "{code}: {text}");
    }
    let wrong = [("accessKey", "some-one"), ("secretKey", "short")];
    let answer = admin.call(request::UPDATE_AND_CREATE_ACL_CONFIG, &wrong, b"").expect("an answer");
    assert!(answer.code != response::SUCCESS && !answer.remark.contains("short"), "{answer:?}");
    assert!(!server.process.output().contains(SECRET));
}

// Single: a name server has no shards.
#[test]
fn a_name_server_shows_no_secret() {
    let directory = process::directory("security-secrets-names");
    let server = NameServer::start(directory.path(), &keys()[..1]);
    server.process.allows("keyPassword");
    let shown = namesrv_config(&mut server.client());
    assert!(shown.contains("tls.server.keyPassword=(not shown)"), "it is there: {shown}");
    assert!(!shown.contains(PASSWORD) && !server.process.output().contains(PASSWORD));
}
