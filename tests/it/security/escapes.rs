//! S5: a text of somebody else stays the value that it is, in whatever file it ends up: it adds no
//! line, no key, and no entry.

use nix::sys::signal::Signal;
use ringmq_remoting::codes::{request, response};

use super::{broker_config, change_broker, change_namesrv, namesrv_config};
use crate::name_server::NameServer;
use crate::process;
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(values_of_a_broker_add_no_line);

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// Ways to write a second line into the value of a first, in a file of properties.
const SMUGGLED: &[&str] = &[
    "\\nadminAccess=any",
    "\\u000aadminAccess=any",
    "\\r\\nadminAccess=any",
    "\\\\\\nadminAccess=any",
    "\\\n  adminAccess=any",
    "\u{85}adminAccess=any",
    "\u{2028}adminAccess=any",
];

/// All lines but those of keys whose values were tried, and of ports, which each start has others.
fn others(text: &str) -> Vec<&str> {
    let tried = ["deleteWhen=", "logLevel=", "listenPort=", "haListenPort="];
    let lines = text.lines().filter(|line| !tried.iter().any(|key| line.starts_with(key)));
    let lines: Vec<_> = lines.collect();
    assert!(lines.contains(&"adminAccess=loopback"), "{text}");
    lines
}

fn values_of_a_broker_add_no_line(shards: u32) {
    let directory = process::directory("security-escapes");
    let settings = Settings { shards, ..Settings::default() };
    let mut server = Server::start(directory.path(), &settings);
    server.process.allows("");
    let mut client = server.client();
    let before = broker_config(&mut client);
    for smuggled in SMUGGLED {
        // The keys of texts: these may be refused or taken, but as they are.
        for key in ["deleteWhen", "logLevel"] {
            change_broker(&mut client, &format!("{key}=04{smuggled}"));
        }
        let name = format!("g{}", smuggled.replace("\\n", "\n"));
        let group = format!("{{\"groupName\":{name:?}}}");
        let code = request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP;
        client.call(code, &[], group.as_bytes()).expect("an answer");
        let _ = client.create_topic(&format!("t{smuggled}"), 1).expect("an answer");
    }
    assert_eq!(others(&broker_config(&mut client)), others(&before));
    server.process.signal(Signal::SIGTERM);
    assert!(server.process.wait(PATIENCE).success());
    let again = Server::start(directory.path(), &settings);
    again.process.allows("");
    assert_eq!(others(&broker_config(&mut again.client())), others(&before), "after a restart");
}

// Single: a name server has no shards.
#[test]
fn values_of_a_name_server_add_no_entry() {
    let directory = process::directory("security-escapes-names");
    let mut server = NameServer::start(directory.path(), &[]);
    server.process.allows("");
    let mut client = server.client();
    let before = namesrv_config(&mut client);
    let hostile = "x\"},\"other\":{\"k\":\"v\"},\n\"adminAccess\":\"any\\u0000\u{1}";
    let fields = [("namespace", "own"), ("key", hostile), ("value", hostile)];
    let put = client.call(request::PUT_KV_CONFIG, &fields, b"").expect("an answer");
    for smuggled in SMUGGLED {
        let answer = change_namesrv(&mut client, &format!("waitSecondsForService=5{smuggled}"));
        assert_ne!(answer.code, response::SUCCESS, "{smuggled:?}");
    }
    assert_eq!(namesrv_config(&mut client), before);
    server.process.signal(Signal::SIGTERM);
    server.process.wait(PATIENCE);
    let again = NameServer::start(directory.path(), &[]);
    let mut client = again.client();
    let get = |client: &mut crate::client::Client, namespace, key| {
        let fields = [("namespace", namespace), ("key", key)];
        client.call(request::GET_KV_CONFIG, &fields, b"").expect("an answer")
    };
    if put.code == response::SUCCESS {
        assert_eq!(get(&mut client, "own", hostile).fields["value"], hostile);
    }
    assert_eq!(get(&mut client, "other", "k").code, response::QUERY_NOT_FOUND);
    assert_eq!(get(&mut client, "own", "adminAccess").code, response::QUERY_NOT_FOUND);
    assert!(namesrv_config(&mut client).contains("\nadminAccess=loopback\n"));
}
