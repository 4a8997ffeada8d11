//! S9: limits come before memory: what a client announces costs nothing until it comes, and what is
//! beyond the limit never does.

use std::io::{Read, Write};

use crate::name_server::NameServer;
use crate::process::{self, Process};
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(announced_bytes_cost_a_broker_nothing);

const CONNECTIONS: usize = 200;
const FRAME_BYTES_MAX: u32 = 16 << 20;
/// What they announce is 3.2 GiB.
const GROWTH_MAX: u64 = 48 << 20;

fn head(length: u32, header: u32) -> [u8; 8] {
    let mut head = [0; 8];
    head[..4].copy_from_slice(&length.to_be_bytes());
    head[4..].copy_from_slice(&header.to_be_bytes());
    head
}

fn announced_bytes_cost_nothing(process: &Process, connect: impl Fn() -> crate::client::Client) {
    let before = process.resident_bytes();
    let mut waiting = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = connect();
        let stream = client.stream();
        stream.write_all(&head(FRAME_BYTES_MAX - 8, 1 << 10)).expect("the server listens");
        stream.write_all(b"{\"code\":").expect("the server listens");
        waiting.push(client);
    }
    // Beyond the limits the connection is closed, whatever else would have come.
    for (length, header) in [
        (FRAME_BYTES_MAX + 1, 100),
        (u32::MAX, 100),
        (0x8000_0000, 100),
        (100, 101),
        (100, 0x00ff_ffff),
        (3, 0),
    ] {
        let mut client = connect();
        let _ = client.stream().write_all(&head(length, header));
        let mut rest = Vec::new();
        // closed or reset
        let _ = client.stream().read_to_end(&mut rest);
        assert!(rest.is_empty(), "an answer to a length of {length}: {rest:?}");
    }
    let grown = process.resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_MAX, "{grown} bytes more for {CONNECTIONS} connections");
}

fn announced_bytes_cost_a_broker_nothing(shards: u32) {
    let directory = process::directory("security-memory");
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    server.process.expects("connection closed: bad frame");
    announced_bytes_cost_nothing(&server.process, || server.client());
    server.client().create_topic("fine", 1).expect("it serves").expect(0);
}

// Single: a name server has no shards.
#[test]
fn announced_bytes_cost_a_name_server_nothing() {
    let directory = process::directory("security-memory-names");
    let server = NameServer::start(directory.path(), &[]);
    server.process.expects("connection closed: malformed request");
    announced_bytes_cost_nothing(&server.process, || server.client());
    let code = ringmq_remoting::codes::request::GET_BROKER_CLUSTER_INFO;
    server.client().call(code, &[], b"").expect("it serves").expect(0);
}
