//! TLS on the ports for clients (`tls.server.*`), and to name servers (`tls.client.*`).

pub mod authority;
mod bounds;
mod kernel;
mod names;
mod reload;
mod tools;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringmq_remoting::batch::{self, BatchMessage};
use ringmq_remoting::codes::{request, response};
use rustls::ClientConfig;

use self::authority::{Authority, tls_client};
use crate::client::Client;
use crate::process::{self, Process};
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(
    one_port_serves_clients_with_and_without_tls,
    a_certificate_is_made_where_none_is_named,
    enforcing_refuses_clients_without_tls_and_disabled_those_with_it,
    clients_show_a_certificate_that_is_trusted_where_it_is_required,
    large_messages_and_batches_cross_shards_through_tls,
);

const TOPIC: &str = "tls";
const PATIENCE: Duration = Duration::from_secs(30);

/// A broker with these keys, for which `connect` makes clients that it serves.
fn start(
    directory: &Path,
    shards: u32,
    extra: Vec<(&'static str, String)>,
    connect: impl Fn(SocketAddr) -> std::io::Result<Client>,
) -> Server {
    let mut server = Server::spawn(directory, &Settings { shards, extra, ..Settings::default() });
    let began = Instant::now();
    while !connect(server.address).is_ok_and(serves) {
        let waits = server.process.ended().is_none() && began.elapsed() < PATIENCE;
        assert!(waits, "it does not serve:\n{}", server.process.output());
        std::thread::sleep(Duration::from_millis(2));
    }
    server
}

fn serves(mut client: Client) -> bool {
    let fields = [("topic", "TBW102"), ("queueId", "0")];
    let answer = client.call(request::GET_MAX_OFFSET, &fields, b"");
    answer.is_ok_and(|answer| answer.code == response::SUCCESS)
}

/// Waits until the process has said this so many times.
fn await_line(process: &Process, part: &str, times: usize) {
    let began = Instant::now();
    while process.output().matches(part).count() < times {
        assert!(began.elapsed() < PATIENCE, "never said: {part}\n{}", process.output());
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Sends through one client and reads with the other.
fn exchange(sender: &mut Client, reader: &mut Client, topic: &str, bodies: &[Vec<u8>]) {
    for (number, body) in bodies.iter().enumerate() {
        let queue = i32::try_from(number % 4).expect("small");
        let first = sender.max_offset(topic, queue).expect("an answer");
        let sent = sender.send(topic, queue, body).expect("an answer").expect(response::SUCCESS);
        assert_eq!(sent.number("queueOffset"), first);
        let pulled = reader.pull(topic, queue, first, 1).expect("an answer");
        assert!(pulled.messages[0].body == *body, "{} bytes", body.len());
    }
}

fn bodies() -> Vec<Vec<u8>> {
    let sizes = [1, 100, 5_000, 16_384, 100_000, 3];
    sizes.iter().map(|size| vec![*size as u8; *size]).collect()
}

fn one_port_serves_clients_with_and_without_tls(shards: u32) {
    let directory = process::directory("tls-both");
    let authority = Authority::new();
    let keys = authority.issue().write(directory.path());
    let server = start(directory.path(), shards, keys, Client::connect);
    server.client().create_topic(TOPIC, 4).expect("an answer").expect(response::SUCCESS);
    let trusting = authority.trusting(None);
    for _ in 0..2 * shards {
        let mut plain = server.client();
        let mut tls = tls_client(server.address, &trusting).expect("a handshake");
        exchange(&mut plain, &mut tls, TOPIC, &bodies());
        exchange(&mut tls, &mut plain, TOPIC, &bodies());
    }
}

/// As RocketMQ does, whose clients check nothing in this mode.
fn a_certificate_is_made_where_none_is_named(shards: u32) {
    let directory = process::directory("tls-made");
    let server = start(directory.path(), shards, Vec::new(), Client::connect);
    // Who checks it, refuses it.
    server.process.expects("connection closed: TLS: received fatal alert");
    let trusting = Authority::new().trusting(None);
    let error = tls_client(server.address, &trusting).err().expect("nobody vouches for it");
    assert!(error.to_string().contains("invalid peer certificate"), "{error}");
    assert!(serves(server.client()));
}

fn enforcing_refuses_clients_without_tls_and_disabled_those_with_it(shards: u32) {
    let directory = process::directory("tls-enforcing");
    let authority = Authority::new();
    let mut keys = authority.issue().write(directory.path());
    keys.push(("tls.server.mode", "enforcing".to_owned()));
    let trusting = authority.trusting(None);
    let with_tls = |address| tls_client(address, &trusting);
    {
        let server = start(directory.path(), shards, keys, with_tls);
        server.process.expects("connection closed: it lacks TLS, tls.server.mode = enforcing");
        for _ in 0..shards {
            assert!(!serves(server.client()), "without TLS");
            assert!(serves(with_tls(server.address).expect("a handshake")));
        }
    }
    let keys = vec![("tls.server.mode", "disabled".to_owned())];
    let server = start(directory.path(), shards, keys, Client::connect);
    server.process.expects("connection closed: it wants TLS, tls.server.mode = disabled");
    for _ in 0..shards {
        assert!(with_tls(server.address).is_err());
        assert!(serves(server.client()));
    }
}

fn clients_show_a_certificate_that_is_trusted_where_it_is_required(shards: u32) {
    let directory = process::directory("tls-mutual");
    let (authority, other) = (Authority::new(), Authority::new());
    let mut keys = authority.issue().write(directory.path());
    let trusted = authority.write(directory.path());
    keys.extend([
        ("tls.server.mode", "enforcing".to_owned()),
        ("tls.server.need.client.auth", "require".to_owned()),
        ("tls.server.authClient", "true".to_owned()),
        ("tls.server.trustCertPath", trusted.to_str().expect("UTF-8").to_owned()),
    ]);
    let own = authority.issue();
    let known = authority.trusting(Some(&own));
    let server = start(directory.path(), shards, keys, |address| tls_client(address, &known));
    server.process.expects("connection closed: TLS: peer sent no certificates");
    server.process.expects("connection closed: TLS: invalid peer certificate");
    let stranger = other.issue();
    let is_served = |config: &Arc<ClientConfig>| {
        // With TLS 1.3 a client hears with its first request that it is refused.
        tls_client(server.address, config).is_ok_and(serves)
    };
    for _ in 0..shards {
        assert!(!is_served(&authority.trusting(None)));
        assert!(!is_served(&authority.trusting(Some(&stranger))));
        assert!(is_served(&known));
    }
}

fn batch_of(messages: u8, bytes: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for number in 0..messages {
        let body = vec![number; bytes];
        let message = BatchMessage { flag: 0, body: &body, properties: b"" };
        batch::append(&mut out, &message).expect("fits");
    }
    out
}

fn large_messages_and_batches_cross_shards_through_tls(shards: u32) {
    let directory = process::directory("tls-large");
    let authority = Authority::new();
    let mut keys = authority.issue().write(directory.path());
    keys.push(("brokerFastFailureEnable", "false".to_owned()));
    let trusting = authority.trusting(None);
    let with_tls = |address| tls_client(address, &trusting).expect("a handshake");
    let server = start(directory.path(), shards, keys, Client::connect);
    server.client().create_topic(TOPIC, 4).expect("an answer").expect(response::SUCCESS);
    let senders = (0..2 * shards).map(|number| {
        let (mut client, mut reader) = (with_tls(server.address), with_tls(server.address));
        std::thread::spawn(move || {
            let topic = format!("tls-{number}");
            client.create_topic(&topic, 4).expect("an answer").expect(response::SUCCESS);
            let large: Vec<_> = [4 << 20, 70_000, 1 << 20, (4 << 20) - 1, 16_385]
                .map(|bytes| (0..bytes).map(|place: u32| (place / 7) as u8).collect())
                .into();
            exchange(&mut client, &mut reader, &topic, &large);
            for queue in 0..4 {
                let first = client.max_offset(&topic, queue).expect("an answer");
                let text = queue.to_string();
                let fields = [
                    ("a", "it_producer"),
                    ("b", topic.as_str()),
                    ("c", "TBW102"),
                    ("d", "4"),
                    ("e", text.as_str()),
                    ("f", "0"),
                    ("g", "1700000000001"),
                    ("h", "0"),
                    ("i", ""),
                    ("j", "0"),
                    ("k", "false"),
                    ("l", "0"),
                    ("m", "true"),
                ];
                let batch = batch_of(100, 30_000);
                let sent = client.call(request::SEND_BATCH_MESSAGE, &fields, &batch);
                sent.expect("an answer").expect(response::SUCCESS);
                let mut offset = first;
                while offset < first + 100 {
                    let pulled = reader.pull(&topic, queue, offset, 32).expect("an answer");
                    for message in &pulled.messages {
                        let number = (message.queue_offset - first) as u8;
                        assert!(message.body == vec![number; 30_000]);
                    }
                    assert!(!pulled.messages.is_empty());
                    offset = pulled.next;
                }
            }
        })
    });
    for sender in senders.collect::<Vec<_>>() {
        sender.join().expect("all is as it was sent");
    }
}
