//! S3: no path, address, credential, or what decides on access is settable from outside.

use std::net::IpAddr;
use std::path::PathBuf;

use ringmq_base::config::{AddressList, AdminAccess, BrokerConfig, NamesrvConfig, Secret, Table};
use ringmq_base::config::{TlsMode, Value};

/// Parts of names that stand for what must not be settable, in lower case.
const PARTS: &[&str] = &[
    "path",
    "file.",
    "dir",
    "home",
    "addr",
    "host",
    "port",
    "brokerip",
    "acl",
    "auth",
    "password",
    "secret",
    "key",
    "cert",
    "tls",
    "ssl",
    "admin",
    "class",
    "command",
    "script",
    "namesrv",
    "bind",
    "connections",
];
/// Live keys with such a part that are none of it.
const HARMLESS: &[&str] = &["autoCreateSubscriptionGroup", "supportActingMaster"];

fn kinds() -> [&'static str; 6] {
    [
        <PathBuf as Value>::KIND,
        <IpAddr as Value>::KIND,
        <AddressList as Value>::KIND,
        <Secret as Value>::KIND,
        <AdminAccess as Value>::KIND,
        <TlsMode as Value>::KIND,
    ]
}

fn problems<C: Table>() -> Vec<String> {
    let mut problems = Vec::new();
    for key in C::KEYS.iter().filter(|key| key.live) {
        if kinds().contains(&key.kind) {
            problems.push(format!("{} is {}", key.name, key.kind));
        }
        let name = key.name.to_ascii_lowercase();
        let part = PARTS.iter().find(|part| name.contains(**part));
        if let Some(part) = part.filter(|_| !HARMLESS.contains(&key.name)) {
            problems.push(format!("{} has {part} in its name", key.name));
        }
    }
    problems
}

// Single: no server is started.
#[test]
fn no_path_address_or_credential_is_live() {
    let found = [problems::<BrokerConfig>(), problems::<NamesrvConfig>()].concat();
    assert_eq!(found, Vec::<String>::new());
}

// Single: no server is started.
#[test]
fn the_test_would_see_them() {
    // The kinds and names are those of the real tables: each kind is one of a key that is there.
    let of_tables: Vec<_> = BrokerConfig::KEYS.iter().map(|key| key.kind).collect();
    assert!(kinds().iter().all(|kind| of_tables.contains(kind)), "{of_tables:?}");
    for part in ["path", "addr", "port", "brokerip", "acl", "password", "tls", "admin", "bind"] {
        let is_there = |name: &str| name.to_ascii_lowercase().contains(part);
        assert!(BrokerConfig::KEYS.iter().any(|key| is_there(key.name)), "{part}");
        assert!(PARTS.contains(&part));
    }
}
