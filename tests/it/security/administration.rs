//! S4: what changes what a server is and may do is taken from its own machine, or from accounts.
//! `access::matrix` asks every code with accounts. A name server counts the addresses of its
//! machine as its own, so that another machine is needed: its handlers are asked as if from there
//! (`src/namesrv/handlers/handler_tests.rs`).

use std::net::SocketAddr;

use ringmq_remoting::codes::{request, response};

use crate::client::Client;
use crate::needs::needs;
use crate::process;
use crate::remote::own_address;
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(a_broker_is_not_administrated_from_other_machines);

/// What a stranger would want to ask of a broker.
const BROKER: &[i32] = &[
    request::UPDATE_BROKER_CONFIG,
    request::DELETE_EXPIRED_COMMITLOG,
    request::UPDATE_AND_CREATE_ACL_CONFIG,
    request::DELETE_ACL_CONFIG,
    request::UPDATE_GLOBAL_WHITE_ADDRS_CONFIG,
];
fn refused(address: SocketAddr, codes: &[i32]) {
    for code in codes {
        let mut client = Client::connect(address).expect("it listens everywhere");
        let fields = [("namespace", "own"), ("key", "a"), ("value", "b"), ("brokerName", "x")];
        let answer = client.call(*code, &fields, b"fileReservedTime=1\n").expect("an answer");
        assert_eq!(answer.code, response::NO_PERMISSION, "{code}: {answer:?}");
        assert!(answer.remark.contains("adminAccess=any"), "it says what to do: {answer:?}");
    }
}

fn a_broker_is_not_administrated_from_other_machines(shards: u32) {
    let name = "a_broker_is_not_administrated_from_other_machines";
    let Some(own) = needs(name, own_address()) else { return };
    let directory = process::directory("security-admin");
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    refused(SocketAddr::new(own, server.address.port()), BROKER);
}
