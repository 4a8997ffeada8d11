//! TLS of the name server, and of brokers to it.

use std::time::Duration;

use ringmq_remoting::codes::{request, response};

use super::authority::{Authority, Identity, tls_client};
use super::{await_line, serves, start};
use crate::client::Client;
use crate::name_server::NameServer;
use crate::process::{self, Process};
use crate::server::free_port;
use crate::shards::for_shards;

for_shards!(a_broker_registers_by_tls_and_checks_the_name_server_if_it_is_told_to);

const ROUTE_MAX: Duration = Duration::from_secs(30);

pub fn text(path: &std::path::Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

fn asks(mut client: Client) -> bool {
    let answer = client.call(request::GET_BROKER_CLUSTER_INFO, &[], b"");
    answer.is_ok_and(|answer| answer.code == response::SUCCESS)
}

// Single: a name server has one executor.
#[test]
fn a_name_server_serves_clients_with_and_without_tls() {
    let directory = process::directory("tls-names");
    let authority = Authority::new();
    let keys = authority.issue().write(directory.path());
    let names = NameServer::start(directory.path(), &keys);
    let trusting = authority.trusting(None);
    for _ in 0..3 {
        assert!(asks(names.client()));
        assert!(asks(tls_client(names.address, &trusting).expect("a handshake")));
    }
    // Noise behind the first byte costs its connection.
    names.process.expects("connection closed: TLS: ");
    let mut noise = names.client();
    std::io::Write::write_all(noise.stream(), &[0x16; 70_000]).expect("it listens");
    assert!(!asks(noise));
    assert!(asks(tls_client(names.address, &trusting).expect("a handshake")));
}

/// An enforcing name server that wants certificates, with its keys as a broker's.
fn enforcing(directory: &std::path::Path, authority: &Authority) -> (Identity, NameServer) {
    let mut keys = authority.issue().write(directory);
    keys.extend([
        ("tls.server.mode", "enforcing".to_owned()),
        ("tls.server.need.client.auth", "require".to_owned()),
        ("tls.server.authClient", "true".to_owned()),
        ("tls.server.trustCertPath", text(&authority.write(directory))),
    ]);
    let own = authority.issue();
    let trusting = authority.trusting(Some(&own));
    let names = NameServer::start_with(directory, &keys, |address| tls_client(address, &trusting));
    (own, names)
}

fn a_broker_registers_by_tls_and_checks_the_name_server_if_it_is_told_to(shards: u32) {
    let directory = process::directory("tls-registration");
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (own, names) = enforcing(directory.path(), &authority);
    let (certificate, key) = (directory.path().join("own.pem"), directory.path().join("own.key"));
    std::fs::write(&certificate, &own.certificate).expect("the directory is ours");
    std::fs::write(&key, &own.key).expect("the directory is ours");
    let keys = |trusted: String| {
        vec![
            ("namesrvAddr", format!("localhost:{}", names.address.port())),
            ("tls.enable", "true".to_owned()),
            ("tls.client.authServer", "true".to_owned()),
            ("tls.client.trustCertPath", trusted),
            ("tls.client.certPath", text(&certificate)),
            ("tls.client.keyPath", text(&key)),
        ]
    };
    {
        let other = process::directory("tls-stranger");
        let trusted = text(&stranger.write(other.path()));
        let broker = start(other.path(), shards, keys(trusted), Client::connect);
        await_line(&broker.process, "cannot register", 1);
        broker.process.expects("error=invalid peer certificate");
        names.process.expects("connection closed: TLS: received fatal alert");
        assert!(serves(broker.client()));
    }
    let trusted = text(&directory.path().join("authority.pem"));
    let broker = start(directory.path(), shards, keys(trusted), Client::connect);
    await_line(&broker.process, "registered", 1);
    let trusting = authority.trusting(Some(&own));
    let mut client = tls_client(names.address, &trusting).expect("a handshake");
    let began = std::time::Instant::now();
    loop {
        let answer = client.call(request::GET_ROUTEINFO_BY_TOPIC, &[("topic", "TBW102")], b"");
        if answer.expect("an answer").code == response::SUCCESS {
            break;
        }
        assert!(began.elapsed() < ROUTE_MAX);
        std::thread::sleep(Duration::from_millis(2));
    }
    // What is long enough to take several records.
    let mut admin = broker.client();
    for number in 0..300 {
        let topic = format!("a-topic-with-a-name-that-is-not-very-short-{number}");
        admin.create_topic(&topic, 4).expect("an answer").expect(response::SUCCESS);
    }
    let last = [("topic", "a-topic-with-a-name-that-is-not-very-short-299")];
    let answer = client.call(request::GET_ROUTEINFO_BY_TOPIC, &last, b"").expect("an answer");
    answer.expect(response::SUCCESS);
    names.process.allows("is dropped: its connection has ended");
}

/// A name server and a broker in one process, with two shards and these keys.
pub struct Standalone {
    pub process: Process,
    /// Their ports.
    pub names: String,
    pub broker: String,
}

impl Standalone {
    pub fn start(directory: &std::path::Path, keys: &[(&str, String)]) -> Standalone {
        let store = directory.join("store");
        let (names, broker) = (free_port().to_string(), free_port().to_string());
        let set: Vec<String> = keys
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .chain(["shards=2".to_owned()])
            .chain(crate::server::DISK_LEVELS.map(|(key, value)| format!("{key}={value}")))
            .collect();
        let mut arguments = vec!["standalone", "--store", store.to_str().expect("UTF-8")];
        arguments.extend(["--namesrv-port", &names, "--listen-port", &broker]);
        arguments.extend(["--advertise", "127.0.0.1"]);
        for key in &set {
            arguments.extend(["--set", key]);
        }
        let process = Process::start(&arguments, directory.join("standalone.log"));
        Standalone { process, names, broker }
    }
}

// Single: it is the number of shards of a standalone server by default.
#[test]
fn a_standalone_server_that_enforces_tls_registers_with_itself() {
    let directory = process::directory("tls-standalone");
    let authority = Authority::new();
    let mut keys = authority.issue().write(directory.path());
    keys.push(("tls.server.mode", "enforcing".to_owned()));
    let Standalone { process, names, broker } = Standalone::start(directory.path(), &keys);
    await_line(&process, "registered", 1);
    let trusting = authority.trusting(None);
    for port in [names, broker] {
        let address = format!("127.0.0.1:{port}").parse().expect("an address");
        assert!(tls_client(address, &trusting).is_ok());
        let mut plain = Client::connect(address).expect("it listens");
        assert!(plain.call(request::GET_BROKER_CLUSTER_INFO, &[], b"").is_err());
    }
    process.expects("connection closed: it lacks TLS, tls.server.mode = enforcing");
}
