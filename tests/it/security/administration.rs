//! S4: what changes what a server is and may do is taken from its own machine, or from accounts.
//! `access::matrix` asks every code with accounts. Only loopback addresses count as the own
//! machine, so that its other addresses do for another machine here.

use std::net::SocketAddr;

use ringmq_remoting::codes::{request, response};

use crate::client::Client;
use crate::name_server::NameServer;
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

/// What a stranger would want to ask of a name server.
const NAME_SERVER: &[i32] = &[
    request::UPDATE_NAMESRV_CONFIG,
    request::PUT_KV_CONFIG,
    request::DELETE_KV_CONFIG,
    request::WIPE_WRITE_PERM_OF_BROKER,
    request::ADD_WRITE_PERM_OF_BROKER,
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

// Single: a name server has one executor.
#[test]
fn a_name_server_is_not_administrated_from_other_machines() {
    let name = "a_name_server_is_not_administrated_from_other_machines";
    let Some(own) = needs(name, own_address()) else { return };
    for may in [false, true] {
        let directory = process::directory("security-admin");
        let access = if may { "any" } else { "loopback" };
        let everywhere = ("bindAddress", "0.0.0.0".to_owned());
        let keys = [everywhere, ("adminAccess", access.to_owned())];
        let server = NameServer::start(directory.path(), &keys);
        let address = SocketAddr::new(own, server.address.port());
        let fields = [("brokerName", "none")];
        let wipe = |mut client: Client| {
            client.call(request::WIPE_WRITE_PERM_OF_BROKER, &fields, b"").expect("an answer")
        };
        wipe(server.client()).expect(response::SUCCESS);
        if may {
            let remote = Client::connect(address).expect("it listens everywhere");
            wipe(remote).expect(response::SUCCESS);
        } else {
            server.process.allows("refused ");
            refused(address, NAME_SERVER);
        }
    }
}
