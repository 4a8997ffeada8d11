//! TLS in the kernel, where it has any: `tests/ktls/run` runs these in one that has. Elsewhere all
//! is the same in user space.

use std::fs;

use ringmq_remoting::codes::response;
use rustls::SupportedCipherSuite;
use rustls::crypto::ring;
use rustls::version::TLS13;

use super::authority::{Authority, tls_client};
use super::{TOPIC, await_line, bodies, exchange, start};
use crate::client::Client;
use crate::process;
use crate::server::Server;
use crate::shards::for_shards;

for_shards!(
    every_suite_is_served_and_the_kernel_has_the_connections_where_it_can,
    keys_change_where_they_can_and_else_the_connection_ends_with_the_reason,
    with_the_kernel_off_all_stays_in_user_space,
);

/// Those of the certificates of these tests.
fn suites() -> Vec<SupportedCipherSuite> {
    let all = ring::default_provider().cipher_suites;
    let suites = all.into_iter().filter(|suite| !format!("{suite:?}").contains("_RSA_"));
    let suites: Vec<_> = suites.collect();
    assert_eq!(suites.len(), 6, "{suites:?}");
    suites
}

/// Connections that the kernel ever had, sending and receiving.
fn in_kernel() -> [u64; 2] {
    let text = fs::read_to_string("/proc/net/tls_stat").unwrap_or_default();
    ["TlsTxSw", "TlsRxSw"].map(|name| {
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(name));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        number.and_then(|number| number.parse().ok()).unwrap_or(0)
    })
}

/// What the server says of the kernel.
#[derive(PartialEq)]
enum Kernel {
    None,
    TakesKeysOnce,
    ChangesKeys,
}

fn kernel_of(server: &Server) -> Kernel {
    await_line(&server.process, "TLS in ", 1);
    let output = server.process.output();
    match output.contains("TLS in the kernel: 6 of 6 suites, ") {
        false => {
            assert!(output.contains("TLS in user space: this kernel"), "{output}");
            Kernel::None
        }
        true if output.contains("no changes of keys") => Kernel::TakesKeysOnce,
        true => Kernel::ChangesKeys,
    }
}

fn every_suite_is_served_and_the_kernel_has_the_connections_where_it_can(shards: u32) {
    let directory = process::directory("tls-kernel");
    let authority = Authority::new();
    let keys = authority.issue().write(directory.path());
    let server = start(directory.path(), shards, keys, Client::connect);
    server.client().create_topic(TOPIC, 4).expect("an answer").expect(response::SUCCESS);
    let before = in_kernel();
    let mut plain = server.client();
    for suite in suites() {
        let config = authority.trusting_with(vec![suite], None);
        let mut client = tls_client(server.address, &config).expect("a handshake");
        exchange(&mut plain, &mut client, TOPIC, &bodies());
        exchange(&mut client, &mut plain, TOPIC, &bodies());
        client.end().expect("the server says that it ends");
    }
    let after = in_kernel();
    let more = [after[0] - before[0], after[1] - before[1]];
    let expected = if kernel_of(&server) == Kernel::None { 0 } else { 6 };
    assert!(more.iter().all(|more| *more >= expected), "{more:?}");
}

fn keys_change_where_they_can_and_else_the_connection_ends_with_the_reason(shards: u32) {
    let directory = process::directory("tls-change");
    let authority = Authority::new();
    let keys = authority.issue().write(directory.path());
    let server = start(directory.path(), shards, keys, Client::connect);
    server.client().create_topic(TOPIC, 4).expect("an answer").expect(response::SUCCESS);
    let kernel = kernel_of(&server);
    if kernel == Kernel::TakesKeysOnce {
        server.process.expects("connection closed: TLS: its peer changes keys (KeyUpdate)");
    }
    let mut plain = server.client();
    for suite in suites().into_iter().filter(|suite| suite.version() == &TLS13) {
        let config = authority.trusting_with(vec![suite], None);
        let mut client = tls_client(server.address, &config).expect("a handshake");
        if kernel != Kernel::TakesKeysOnce {
            // Perhaps before the kernel has the connection.
            client.change_keys();
        }
        exchange(&mut client, &mut plain, TOPIC, &bodies());
        for _ in 0..3 {
            client.change_keys();
            if kernel == Kernel::TakesKeysOnce {
                client.max_offset(TOPIC, 0).expect_err("it is closed");
                client = tls_client(server.address, &config).expect("it connects again");
            }
            exchange(&mut client, &mut plain, TOPIC, &bodies());
            exchange(&mut plain, &mut client, TOPIC, &bodies());
        }
        client.end().expect("the server says that it ends");
    }
}

fn with_the_kernel_off_all_stays_in_user_space(shards: u32) {
    let directory = process::directory("tls-off");
    let authority = Authority::new();
    let mut keys = authority.issue().write(directory.path());
    keys.push(("tls.kernel", "off".to_owned()));
    let server = start(directory.path(), shards, keys, Client::connect);
    await_line(&server.process, "TLS in user space: tls.kernel = off", 1);
    assert!(!server.process.output().contains("TLS in the kernel"));
    server.client().create_topic(TOPIC, 4).expect("an answer").expect(response::SUCCESS);
    let mut client = tls_client(server.address, &authority.trusting(None)).expect("a handshake");
    exchange(&mut client, &mut server.client(), TOPIC, &bodies());
    client.change_keys();
    exchange(&mut client, &mut server.client(), TOPIC, &bodies());
    client.end().expect("the server says that it ends");
}
