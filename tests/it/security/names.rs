//! S6: names that clients give are no paths. Names of files come from numbers, never from them
//! (CVE-2019-17572: a topic named `../../../../topic2020` made files beside the store).

use ringmq_remoting::codes::{request, response};

use super::tree;
use crate::process;
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(names_of_clients_lead_to_no_file);

/// The first is that of the report.
const HOSTILE: &[&str] = &[
    "../../../../topic2020",
    "../outside",
    "/tmp/ringmq-absolute",
    "a/../../b",
    "..",
    ".",
    "a\u{0}b",
    "..\\windows",
    "~/home",
];

fn names_of_clients_lead_to_no_file(shards: u32) {
    let directory = process::directory("security-names");
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    server.process.allows("");
    let mut client = server.client();
    let outside = |directory| {
        let all = tree(directory);
        all.into_iter().filter(|path| !path.starts_with(directory.join("store"))).count()
    };
    let before = outside(directory.path());
    for name in HOSTILE {
        // made on demand by a send, as in the report, and by an administrator
        let sent = client.send(name, 0, b"x").expect("an answer");
        assert_ne!(sent.code, response::SUCCESS, "{name:?}: {sent:?}");
        let made = client.create_topic(name, 1).expect("an answer");
        assert_ne!(made.code, response::SUCCESS, "{name:?}: {made:?}");
        // Groups are freer: what they are called is kept as data.
        let group = format!("{{\"groupName\":{name:?}}}");
        let code = request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP;
        client.call(code, &[], group.as_bytes()).expect("an answer");
        let fields =
            [("consumerGroup", *name), ("topic", "good"), ("queueId", "0"), ("commitOffset", "0")];
        client.call(request::UPDATE_CONSUMER_OFFSET, &fields, b"").expect("an answer");
        let retry = client.send(&format!("%RETRY%{name}"), 0, b"x").expect("an answer");
        assert_ne!(retry.code, response::SUCCESS, "{name:?}: {retry:?}");
    }
    client.create_topic("well-known-name", 1).expect("an answer").expect(response::SUCCESS);
    client.send("well-known-name", 0, b"x").expect("an answer").expect(response::SUCCESS);
    let store = tree(&directory.path().join("store"));
    assert!(store.len() > 3, "{store:?}");
    for path in &store {
        let path = path.strip_prefix(directory.path()).expect("below").display().to_string();
        for part in ["topic2020", "outside", "windows", "well-known-name"] {
            assert!(!path.contains(part), "{path} has the name of a client in it");
        }
    }
    assert_eq!(outside(directory.path()), before, "files beside the store");
    assert!(!std::path::Path::new("/tmp/ringmq-absolute").exists());
}
