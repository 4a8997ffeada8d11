//! A name server beside brokers that are none and clients that do not behave: a client that asks
//! for routes notices nothing, and memory stays within what is stated.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringmq_remoting::codes::{request, response};
use ringmq_remoting::encode;
use ringmq_remoting::frame::Serialization;
use socket2::SockRef;

use crate::client::Client;
use crate::name_server::NameServer;
use crate::needs::needs;
use crate::process;
use crate::small_memory::{MemoryGroup, own_bytes, printed_bytes};

const MIB: u64 = 1024 * 1024;
const TOPIC: &str = "honest-topic";

/// A registration as brokers of RocketMQ 4 send it.
fn registration(broker: &str, topics: usize) -> Vec<u8> {
    let mut body = "{\"topicConfigSerializeWrapper\":{\"dataVersion\":{\"counter\":1,\
        \"timestamp\":1},\"topicConfigTable\":{"
        .to_owned();
    for number in 0..topics {
        let comma = if number == 0 { "" } else { "," };
        let name = if topics == 1 { TOPIC.to_owned() } else { format!("{broker}_{number:06}") };
        body += &format!(
            "{comma}\"{name}\":{{\"order\":false,\"perm\":6,\"readQueueNums\":4,\
             \"topicFilterType\":\"SINGLE_TAG\",\"topicName\":\"{name}\",\
             \"topicSysFlag\":0,\"writeQueueNums\":4}}"
        );
    }
    (body + "}},\"filterServerList\":[]}").into_bytes()
}

fn fields<'a>(broker: &'a str, address: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("brokerName", broker),
        ("brokerAddr", address),
        ("clusterName", "c"),
        ("haServerAddr", ""),
        ("brokerId", "0"),
    ]
}

fn register(client: &mut Client, broker: &str, body: &[u8]) {
    let address = format!("{broker}:10911");
    let answer = client.call(request::REGISTER_BROKER, &fields(broker, &address), body);
    answer.expect("an answer").expect(response::SUCCESS);
}

fn ask_route(client: &mut Client) {
    let answer = client.call(request::GET_ROUTEINFO_BY_TOPIC, &[("topic", TOPIC)], b"");
    let body = answer.expect("an answer").expect(response::SUCCESS).body;
    assert!(String::from_utf8_lossy(&body).contains("\"honest\""));
}

/// An honest broker that stays, and a client that asks for its route every few milliseconds while
/// `attack` runs; how long that took, sorted, and the most memory of the process.
fn beside(server: &NameServer, attack: impl FnOnce() + Send) -> (Vec<Duration>, u64) {
    let mut broker = server.client();
    register(&mut broker, "honest", &registration("honest", 1));
    let (mut times, mut most) = (Vec::new(), 0);
    thread::scope(|scope| {
        let attacker = scope.spawn(attack);
        let mut client = server.client();
        // One that panicked has finished, too.
        while !attacker.is_finished() {
            let began = Instant::now();
            ask_route(&mut client);
            times.push(began.elapsed());
            most = most.max(own_bytes(&server.process));
            thread::sleep(Duration::from_millis(2));
        }
    });
    times.sort_unstable();
    (times, most)
}

fn p99(sorted: &[Duration]) -> Duration {
    sorted[sorted.len() * 99 / 100]
}

fn allow_departures(server: &NameServer) {
    server.process.allows("is dropped: its connection has ended");
}

/// Registers and is gone.
fn register_and_close(address: SocketAddr, broker: &str, body: &[u8]) -> Duration {
    let stream = TcpStream::connect(address).expect("it listens");
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("an open socket");
    let began = Instant::now();
    register(&mut Client::over(stream), broker, body);
    began.elapsed()
}

// Single: a name server has one executor.
/// T2: a registration of 10,000 topics, and its end, hold nobody up for as long as they take.
#[test]
fn brokers_of_many_topics_that_come_and_go_hold_no_client_up() {
    const BROKERS: usize = 30;
    let directory = process::directory("false-brokers");
    let server = NameServer::start(directory.path(), &[]);
    allow_departures(&server);
    let (one, took) = (registration("false", 10_000), Mutex::new(Vec::new()));
    let (times, _) = beside(&server, || {
        for number in 0..BROKERS {
            let time = register_and_close(server.address, &format!("false-{number}"), &one);
            took.lock().expect("no panic while locked").push(time);
        }
    });
    let mut took = took.into_inner().expect("no panic while locked");
    took.sort_unstable();
    let (usual, slow) = (took[BROKERS / 2], p99(&times));
    println!(
        "{} routes: p99 {slow:?}, slowest {:?}; a registration {usual:?}",
        times.len(),
        times.last()
    );
    assert!(slow < usual / 4, "p99 of routes {slow:?}; a registration takes {usual:?}");
    assert!(times.last() < Some(&Duration::from_secs(2)));
    // All of it is gone again, with the honest broker, whose connection has ended last.
    let began = Instant::now();
    loop {
        let list = server.client().call(request::GET_ALL_TOPIC_LIST_FROM_NAMESERVER, &[], b"");
        let list = String::from_utf8(list.expect("an answer").body).expect("text");
        if list == "{\"topicList\":[]}" {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{} bytes of topics", list.len());
        thread::sleep(Duration::from_millis(10));
    }
}

/// Three quarters of a request of 3.5 MiB.
fn half_registration() -> Vec<u8> {
    let (mut out, body) = (Vec::new(), vec![b' '; 7 << 19]);
    let json = Serialization::Json;
    encode::request(&mut out, json, request::REGISTER_BROKER, 7, false, &[], &body).expect("fits");
    out.truncate(out.len() / 4 * 3);
    out
}

// Single: a name server has one executor.
#[test]
fn half_read_registrations_share_a_budget_and_the_slowest_is_closed() {
    const CONNECTIONS: usize = 40;
    let directory = process::directory("halves");
    let server = NameServer::start(directory.path(), &[("inputBytesMax", (8 * MIB).to_string())]);
    allow_departures(&server);
    server.process.expects("take all of inputBytesMax, and its request has been on its way");
    let before = own_bytes(&server.process);
    let half = half_registration();
    let (_, most) = beside(&server, || {
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut stream = TcpStream::connect(server.address).expect("it listens");
            // It may be closed on us meanwhile.
            let _ = stream.write_all(&half);
            held.push(stream);
        }
        thread::sleep(Duration::from_millis(200));
    });
    let grown = most.saturating_sub(before);
    println!("{grown} bytes more");
    // 110 MB without a budget; what is being closed is there besides, the longer the busier it is.
    assert!(grown < 32 * MIB, "{grown} bytes more");
    let refused = server.client().call(request::REGISTER_BROKER, &[], &vec![b' '; 5 << 20]);
    let refused = refused.expect("an answer").expect(response::SYSTEM_ERROR);
    assert!(refused.remark.contains("the limit is 4194304, half of inputBytesMax"), "{refused:?}");
}

/// Asks for all topics again and again and reads nothing.
fn ask_and_do_not_read(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let mut out = Vec::new();
    let (json, code) = (Serialization::Json, request::GET_ALL_TOPIC_LIST_FROM_NAMESERVER);
    for opaque in 0..20 {
        encode::request(&mut out, json, code, opaque, false, &[], b"").expect("fits");
    }
    let _ = stream.write_all(&out);
    stream
}

// Single: a name server has one executor.
#[test]
fn clients_that_do_not_take_their_answers_share_a_budget_and_the_slowest_is_closed() {
    const CONNECTIONS: usize = 40;
    let directory = process::directory("deaf");
    let server = NameServer::start(directory.path(), &[("outputBytesMax", (4 * MIB).to_string())]);
    allow_departures(&server);
    server.process.expects("need the room of outputBytesMax, and its answer has been on its way");
    let mut broker = server.client();
    // A list of some 1.1 MB.
    register(&mut broker, "many", &registration("many", 50_000));
    let before = own_bytes(&server.process);
    let listed = AtomicBool::new(false);
    let (_, most) = beside(&server, || {
        let held: Vec<_> = (0..CONNECTIONS).map(|_| ask_and_do_not_read(server.address)).collect();
        // Whoever reads gets a list all the same.
        let mut reader = server.client();
        reader.set_timeout(Duration::from_secs(60));
        let code = request::GET_ALL_TOPIC_LIST_FROM_NAMESERVER;
        let list = reader.call(code, &[], b"").expect("an answer").expect(response::SUCCESS);
        assert!(list.body.len() > 500_000);
        listed.store(true, Ordering::Relaxed);
        drop(held);
    });
    assert!(listed.load(Ordering::Relaxed));
    let grown = most.saturating_sub(before);
    println!("{grown} bytes more");
    assert!(grown < 16 * MIB, "{grown} bytes more");
}

// Single: a name server has one executor.
/// M4: whatever clients do, it stays under what it says at the start.
#[test]
fn a_name_server_lives_in_little_memory() {
    const MEMORY: u64 = 64 * MIB;
    let name = "a_name_server_lives_in_little_memory";
    let Some(group) = needs(name, MemoryGroup::new(MEMORY)) else {
        return;
    };
    let directory = process::directory("small-names");
    let server = NameServer::start_in(directory.path(), &[], Some(group.directory()));
    for line in [
        "is dropped: its connection has ended",
        "take all of inputBytesMax",
        "need the room of outputBytesMax",
        "topics left out",
        "registration refused",
        "connection closed",
    ] {
        server.process.allows(line);
    }
    let printed = printed_bytes(&server.process.output());
    assert!(printed < MEMORY, "{printed}");
    let half = half_registration();
    let one = registration("false", 10_000);
    let (_, most) = beside(&server, || {
        thread::scope(|scope| {
            for attacker in 0..4 {
                let (half, one, server) = (&half, &one, &server);
                scope.spawn(move || {
                    let mut held = Vec::new();
                    for number in 0..20 {
                        let broker = format!("false-{attacker}-{number}");
                        let mut client = server.client();
                        let address = format!("{broker}:1");
                        let all = fields(&broker, &address);
                        let _ = client.call(request::REGISTER_BROKER, &all, one);
                        held.push(ask_and_do_not_read(server.address));
                        let mut stream = server.client();
                        let _ = stream.stream().write_all(half);
                        held.push(stream.stream().try_clone().expect("a descriptor"));
                        held.push(client.stream().try_clone().expect("a descriptor"));
                    }
                });
            }
        });
    });
    println!("at most {most} bytes of {printed} printed");
    assert_eq!(group.killed(), 0, "the kernel ended it");
    assert!(most < printed, "{most} bytes of its own, {printed} printed");
    drop(server);
}
