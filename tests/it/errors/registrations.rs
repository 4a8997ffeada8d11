//! Why a name server does not take what a broker registers. The broker has the text in its log,
//! behind `cannot register`; what concerns single topics stands in the log of the name server.

use std::time::{Duration, Instant};

use ringmq_remoting::codes::request;

use super::{Row, provoke_all, row};
use crate::client::Client;
use crate::name_server::NameServer;
use crate::process;

pub fn headings() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.heading)
}

const PATIENCE: Duration = Duration::from_secs(60);
/// Most members of a broker name.
const MEMBERS_MAX: usize = 128;
/// Of a broker, with long names, more than fit into a MiB.
const MANY: usize = 10_000;

const ROWS: &[Row<()>] = &[
    row("the ... has ... bytes; 1 to ... are allowed", |()| {
        refused(&[], &[Broker { name: &"n".repeat(128), ..Broker::default() }])
    }),
    row("the ... contains a control character", |()| {
        refused(&[], &[Broker { cluster: "Default\nCluster", ..Broker::default() }])
    }),
    row("the broker id is ...; 0 is a master, slaves are above 0", |()| {
        refused(&[], &[Broker { id: "-1", ..Broker::default() }])
    }),
    row("the header field brokerId is ...; it must be a whole number", |()| {
        refused(&[], &[Broker { id: "first", ..Broker::default() }])
    }),
    row("the header field ... is missing", |()| {
        refused(&[], &[Broker { address: "", ..Broker::default() }])
    }),
    row("broker name ... belongs to cluster ..., where it has other members", |()| {
        let other = Broker { cluster: "Other", address: "10.0.0.2:10911", ..Broker::default() };
        refused(&[], &[Broker::default(), other])
    }),
    row("broker name ... has ... members, the limit is ...", |()| {
        let numbers: Vec<_> = (0..=MEMBERS_MAX).map(|number| number.to_string()).collect();
        let addresses: Vec<_> = numbers.iter().map(|number| format!("a{number}:1")).collect();
        let members = numbers.iter().zip(&addresses);
        let members = members.map(|(id, address)| Broker { id, address, ..Broker::default() });
        refused(&[], &members.collect::<Vec<_>>())
    }),
    row("this name server already knows ... broker addresses; raise brokersMax ...", |()| {
        refused(&["brokersMax=1"], &[Broker::default(), Broker::second()])
    }),
    row("this connection has brought ... broker addresses, the limit is ...", |()| {
        refused(&["brokersPerConnectionMax=1"], &[Broker::default(), Broker::second()])
    }),
    row("Failed to decode RegisterBrokerBody: ...", |()| {
        refused(&[], &[Broker { body: b"{\"topicConfig", ..Broker::default() }])
    }),
    row("crc32 not match", |()| refused(&[], &[Broker { crc: "7", ..Broker::default() }])),
    row("is ignored: another address holds that id with a later state", |()| {
        let (_directory, server) = name_server(&[]);
        server.process.expects("another address holds that id");
        // One topic alone may be a change of one, whose version does not count.
        let later = registration("t", 2, 7);
        let (mut first, mut second) = (server.client(), server.client());
        Broker { body: &later, ..Broker::default() }.register(&mut first);
        Broker { address: "10.0.0.2:10911", ..Broker::default() }.register(&mut second);
        said(&server, "another address holds that id")
    }),
    row("the table is full at ... entries; raise topicsMax", |()| {
        left_out(&["topicsMax=1"], 1, 2, "topicsMax")
    }),
    row("what this connection has brought takes ... bytes of memory, the limit is ...", |()| {
        left_out(&["routeBytesMax=2097152"], 1, MANY, "routeBytesPerConnectionMax")
    }),
    row("the table takes ... bytes of memory, the limit is ...; raise routeBytesMax", |()| {
        left_out(&["routeBytesMax=2097152"], 3, MANY, "raise routeBytesMax")
    }),
];

/// What a broker says of itself.
struct Broker<'a> {
    name: &'a str,
    cluster: &'a str,
    address: &'a str,
    id: &'a str,
    crc: &'a str,
    body: &'a [u8],
}

impl Default for Broker<'_> {
    fn default() -> Self {
        let (name, cluster, address) = ("broker-a", "DefaultCluster", "10.0.0.1:10911");
        Broker { name, cluster, address, id: "0", crc: "0", body: b"" }
    }
}

impl Broker<'_> {
    fn second() -> Self {
        Broker { name: "broker-b", address: "10.0.0.2:10911", ..Broker::default() }
    }

    /// The remark of the answer; empty if it is taken.
    fn register(&self, client: &mut Client) -> String {
        let mut fields = vec![
            ("brokerName", self.name),
            ("clusterName", self.cluster),
            ("brokerAddr", self.address),
            ("brokerId", self.id),
            ("bodyCrc32", self.crc),
        ];
        fields.retain(|(_, value)| !value.is_empty());
        let body = if self.body.is_empty() { &registration("t", 1, 1) } else { self.body };
        client.call(request::REGISTER_BROKER, &fields, body).expect("an answer").remark
    }
}

/// `state`: its version; the later one counts.
fn registration(names: &str, topics: usize, state: u64) -> Vec<u8> {
    let topic = |number| {
        let name = format!("{names}{number:06}");
        format!(
            "\"{name}\":{{\"perm\":6,\"readQueueNums\":4,\"topicName\":\"{name}\",\
             \"topicSysFlag\":0,\"writeQueueNums\":4}}"
        )
    };
    let topics: Vec<String> = (0..topics).map(topic).collect();
    let topics = topics.join(",");
    format!(
        "{{\"topicConfigSerializeWrapper\":{{\"dataVersion\":{{\"counter\":1,\
         \"stateVersion\":{state},\"timestamp\":1}},\
         \"topicConfigTable\":{{{topics}}}}},\"filterServerList\":[]}}"
    )
    .into_bytes()
}

fn name_server(keys: &[&str]) -> (tempfile::TempDir, NameServer) {
    let directory = process::directory("errors-registrations");
    let keys: Vec<_> = keys.iter().filter_map(|key| key.split_once('=')).collect();
    let keys: Vec<_> = keys.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    let server = NameServer::start(directory.path(), &keys);
    for part in ["is dropped: its connection has ended", "registration refused", "left out"] {
        server.process.allows(part);
    }
    (directory, server)
}

/// The remark to the last of these, which come by one connection; the others are taken.
fn refused(keys: &[&str], brokers: &[Broker<'_>]) -> String {
    let (_directory, server) = name_server(keys);
    let mut client = server.client();
    let mut remarks: Vec<_> = brokers.iter().map(|broker| broker.register(&mut client)).collect();
    let last = remarks.pop().expect("a broker");
    assert_eq!(remarks.concat(), "", "those before the last are taken");
    last
}

/// What the name server's log says of topics that do not fit, when it says this part; each broker
/// comes by a connection of its own.
fn left_out(keys: &[&str], brokers: usize, topics: usize, part: &str) -> String {
    let (_directory, server) = name_server(keys);
    let mut connections = Vec::new();
    for number in 0..brokers {
        let name = format!("broker-{number}");
        let address = format!("{name}:10911");
        let body = registration(&format!("topic-of-{name}-{}", "x".repeat(64)), topics, 1);
        let mut client = server.client();
        let broker = Broker { name: &name, address: &address, body: &body, ..Broker::default() };
        let remark = broker.register(&mut client);
        if number + 1 == brokers && !remark.is_empty() {
            // Not even the broker itself fits.
            return remark;
        }
        assert_eq!(remark, "", "the others are taken");
        connections.push(client);
    }
    said(&server, part)
}

/// The log of a name server when this part is in it.
fn said(server: &NameServer, part: &str) -> String {
    let began = Instant::now();
    while !server.process.output().contains(part) {
        assert!(began.elapsed() < PATIENCE, "{part}: {}", server.process.output());
        std::thread::sleep(Duration::from_millis(2));
    }
    server.process.output()
}

// Single: a name server has one executor.
#[test]
fn every_refusal_of_a_registration_is_provoked() {
    provoke_all(ROWS, &mut ());
}
