//! SIGTERM: the broker leaves its name servers, refuses what is new with a code that clients take
//! to another broker, and answers what is under way; a second signal ends it at once.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use ringmq_remoting::codes::{request, response};
use tempfile::TempDir;

use crate::client::Client;
use crate::name_server::NameServer;
use crate::process;
use crate::server::{Server, Settings, await_route};
use crate::shards::for_shards;

for_shards!(
    what_is_acknowledged_while_it_drains_is_stored_and_nothing_else,
    a_draining_broker_answers_what_waits_and_sends_clients_elsewhere,
    a_second_signal_ends_a_draining_broker_at_once,
);

const PATIENCE: Duration = Duration::from_secs(60);
/// Of a signal that ends a process without any waiting, on a loaded machine.
const AT_ONCE: Duration = Duration::from_secs(10);
const QUEUES: i32 = 4;
/// Sends that are acknowledged before the signal.
const SENT_BEFORE: usize = 100;

pub struct Site {
    pub names: NameServer,
    pub server: Server,
    pub directory: TempDir,
    settings: Settings,
}

/// A broker that is registered, with a topic `T`.
pub fn site(name: &str, shards: u32, wait_seconds: u32) -> Site {
    let directory = process::directory(name);
    let names = NameServer::start(directory.path(), &[]);
    names.process.allows("is dropped: its connection has ended");
    let extra = vec![
        ("namesrvAddr", names.address.to_string()),
        // A name server that does not answer is waited for by the other key only.
        ("registerBrokerTimeoutMills", "600000".to_owned()),
        ("shutdownWaitTimeSeconds", wait_seconds.to_string()),
    ];
    let settings = Settings { shards, sync_flush: true, extra, ..Settings::default() };
    let server = Server::start(directory.path(), &settings);
    await_route(names.address, PATIENCE);
    server.client().create_topic("T", QUEUES as u32).expect("an answer").expect(0);
    Site { names, server, directory, settings }
}

/// Sends to a queue until the broker takes no more; the bodies that it acknowledged and the number
/// of those that it refused.
fn send_all(address: SocketAddr, client: i32, sent: &AtomicUsize) -> (Vec<Vec<u8>>, usize) {
    let mut connection = Client::connect(address).expect("the broker listens");
    connection.set_timeout(PATIENCE);
    let (mut taken, mut refused) = (Vec::new(), 0);
    for number in 0.. {
        let body = format!("{client} {number}").into_bytes();
        let Ok(answer) = connection.send("T", client % QUEUES, &body) else {
            break;
        };
        if answer.code == response::SUCCESS {
            assert_eq!(refused, 0, "nothing is taken any more");
            taken.push(body);
            sent.fetch_add(1, Ordering::Relaxed);
        } else {
            assert_eq!(answer.code, response::SERVICE_NOT_AVAILABLE, "{}", answer.remark);
            refused += 1;
        }
    }
    (taken, refused)
}

/// All bodies of the topic.
fn stored(directory: &Path, settings: &Settings) -> Vec<Vec<u8>> {
    let server = Server::start(directory, settings);
    let mut client = server.client();
    let mut bodies = Vec::new();
    for queue in 0..QUEUES {
        let end = client.max_offset("T", queue).expect("an answer");
        let mut offset = 0;
        while offset < end {
            let pulled = client.pull("T", queue, offset, 32).expect("an answer");
            assert!(!pulled.messages.is_empty(), "queue {queue} from {offset} to {end}");
            bodies.extend(pulled.messages.into_iter().map(|message| message.body));
            offset = pulled.next;
        }
    }
    bodies.sort_unstable();
    bodies
}

fn has_route(names: &NameServer) -> bool {
    let fields = [("topic", "T")];
    let route = names.client().call(request::GET_ROUTEINFO_BY_TOPIC, &fields, b"");
    route.expect("an answer").code == response::SUCCESS
}

fn what_is_acknowledged_while_it_drains_is_stored_and_nothing_else(shards: u32) {
    let Site { directory, settings, names, mut server } = site("drain-sends", shards, 60);
    let (address, sent) = (server.address, AtomicUsize::new(0));
    let (mut taken, status) = thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|client| {
                scope.spawn({
                    let sent = &sent;
                    move || send_all(address, client, sent)
                })
            })
            .collect();
        let began = Instant::now();
        while sent.load(Ordering::Relaxed) < SENT_BEFORE {
            assert!(began.elapsed() < PATIENCE, "{}", server.process.output());
            thread::sleep(Duration::from_millis(1));
        }
        assert!(has_route(&names));
        server.process.signal(Signal::SIGTERM);
        let status = server.process.wait(PATIENCE);
        let sent = clients.into_iter().map(|client| client.join().expect("no panic"));
        (sent.flat_map(|(taken, _)| taken).collect::<Vec<_>>(), status)
    });
    assert_eq!(status.code(), Some(0), "{}", server.process.output());
    assert!(!has_route(&names), "the name server was told");
    taken.sort_unstable();
    assert!(stored(directory.path(), &settings) == taken, "what is stored was acknowledged");
}

/// The name server says nothing, so that the broker goes on draining.
fn a_draining_broker_answers_what_waits_and_sends_clients_elsewhere(shards: u32) {
    let Site { directory: _directory, names, mut server, .. } = site("drain-waits", shards, 600);
    let mut waiting: Vec<Client> = (0..8).map(|_| server.client()).collect();
    for (queue, client) in (0..).zip(&mut waiting) {
        client.set_timeout(PATIENCE);
        client.start_long_pull("T", queue % QUEUES, 0, 2 * PATIENCE).expect("a connection");
    }
    // Each connection is served in order, so its pull waits behind this answer.
    for client in &mut waiting {
        let opaque =
            client.start(request::GET_MAX_OFFSET, false, &[("topic", "T"), ("queueId", "0")], b"");
        assert_eq!(client.reply().expect("an answer").opaque, opaque.expect("a connection"));
    }
    names.process.halt();
    server.process.signal(Signal::SIGTERM);
    for client in &mut waiting {
        assert_eq!(client.reply().expect("an answer").code, response::PULL_NOT_FOUND);
    }
    for client in waiting.iter_mut().chain([&mut server.client()]) {
        let refused = client.send("T", 0, b"late").expect("an answer");
        assert_eq!(refused.code, response::SERVICE_NOT_AVAILABLE);
        assert!(refused.remark.contains("the broker is stopping"), "{}", refused.remark);
        let opaque = client.start_long_pull("T", 0, 0, PATIENCE).expect("a connection");
        let refused = client.reply().expect("an answer");
        assert_eq!((refused.opaque, refused.code), (opaque, response::SERVICE_NOT_AVAILABLE));
        // What else clients say is heard to the end.
        assert_eq!(client.max_offset("T", 0).expect("an answer"), 0);
    }
    assert!(server.process.ended().is_none(), "it waits for the name server");
    names.process.signal(Signal::SIGCONT);
    assert_eq!(server.process.wait(PATIENCE).code(), Some(0), "{}", server.process.output());
    assert!(!has_route(&names));
}

fn a_second_signal_ends_a_draining_broker_at_once(shards: u32) {
    let Site { directory, settings, names, mut server } = site("drain-twice", shards, 600);
    let mut client = server.client();
    let mut sent = Vec::new();
    for number in 0..40 {
        let body = number.to_string().into_bytes();
        client.send("T", number % QUEUES, &body).expect("an answer").expect(0);
        sent.push(body);
    }
    names.process.halt();
    server.process.signal(Signal::SIGINT);
    server.process.await_line("requests under way are answered");
    server.process.expects("told to stop twice");
    server.process.signal(Signal::SIGTERM);
    assert_eq!(server.process.wait(AT_ONCE).code(), Some(130), "{}", server.process.output());
    names.process.signal(Signal::SIGCONT);
    sent.sort_unstable();
    assert!(stored(directory.path(), &settings) == sent, "what was acknowledged is stored");
}

// Single: about the time, which is the control shard's.
#[test]
fn a_drain_ends_when_its_time_is_over() {
    let Site { directory: _directory, names, mut server, .. } = site("drain-limit", 2, 1);
    names.process.halt();
    server.process.expects("not every name server was told within shutdownWaitTimeSeconds = 1");
    server.process.signal(Signal::SIGTERM);
    assert_eq!(server.process.wait(PATIENCE).code(), Some(0), "{}", server.process.output());
    names.process.signal(Signal::SIGCONT);
}

// Single: a name server has no shards.
#[test]
fn a_name_server_ends_on_a_signal_with_connections_open() {
    let directory = process::directory("drain-names");
    let mut names = NameServer::start(directory.path(), &[]);
    let mut clients: Vec<Client> = (0..8).map(|_| names.client()).collect();
    for client in &mut clients {
        client.call(request::GET_BROKER_CLUSTER_INFO, &[], b"").expect("an answer").expect(0);
    }
    names.process.signal(Signal::SIGTERM);
    assert_eq!(names.process.wait(PATIENCE).code(), Some(0), "{}", names.process.output());
}
