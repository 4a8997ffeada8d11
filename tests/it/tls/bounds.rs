//! What peers do wrong with TLS costs their connections, and others nothing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringmq_remoting::codes::response;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::SockRef;

use super::authority::{Authority, tls_client};
use super::{TOPIC, bodies, exchange, start};
use crate::client::{Client, connect};
use crate::process;
use crate::random::{Random, seed};
use crate::server::Server;
use crate::shards::for_shards;

for_shards!(
    noise_for_handshakes_disturbs_nobody,
    a_handshake_that_is_not_finished_is_closed_and_holds_nobody_up,
    many_handshakes_hold_nobody_up,
    connections_that_are_killed_in_the_midst_disturb_nobody,
    a_client_that_does_not_read_is_closed_with_the_reason,
);

/// A healthy client must never wait so long, not even for a debug build on a busy machine.
const HEALTHY_MAX: Duration = Duration::from_secs(3);
/// The limit of a handshake, and how exact it has to be.
const HANDSHAKE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(16));

struct Setup {
    server: Server,
    trusting: Arc<ClientConfig>,
    /// It goes last.
    _directory: tempfile::TempDir,
}

fn setup(name: &str, shards: u32, keys: &[(&'static str, &str)]) -> Setup {
    let directory = process::directory(name);
    let authority = Authority::new();
    let mut all = authority.issue().write(directory.path());
    all.extend(keys.iter().map(|(key, value)| (*key, (*value).to_owned())));
    let server = start(directory.path(), shards, all, Client::connect);
    server.client().create_topic(TOPIC, 4).expect("an answer").expect(response::SUCCESS);
    Setup { server, trusting: authority.trusting(None), _directory: directory }
}

/// Does this while a client without TLS and one with it send and pull; how long each waited most.
fn beside(setup: &Setup, attack: impl FnOnce()) -> [Duration; 2] {
    let stop = AtomicBool::new(false);
    let address = setup.server.address;
    let work = |mut client: Client, queue| {
        let mut longest = Duration::ZERO;
        while !stop.load(Ordering::Relaxed) {
            let began = Instant::now();
            let sent = client.send(TOPIC, queue, b"healthy").expect("an answer").expect(0);
            let at = sent.number("queueOffset");
            let pulled = client.pull(TOPIC, queue, at, 1).expect("an answer");
            assert_eq!(pulled.messages[0].body, b"healthy");
            longest = longest.max(began.elapsed());
            thread::sleep(Duration::from_millis(1));
        }
        longest
    };
    let longest = thread::scope(|scope| {
        let plain = scope.spawn(|| work(Client::connect(address).expect("it listens"), 0));
        let tls = tls_client(address, &setup.trusting).expect("a handshake");
        let tls = scope.spawn(|| work(tls, 1));
        attack();
        stop.store(true, Ordering::Relaxed);
        [plain.join().expect("undisturbed"), tls.join().expect("undisturbed")]
    });
    println!("longest waits of a client without TLS and of one with it: {longest:?}");
    assert!(longest.iter().all(|longest| *longest < HEALTHY_MAX), "{longest:?}");
    longest
}

/// Reads until the server ends the connection; how long that took.
fn until_closed(stream: &mut TcpStream) -> Duration {
    let began = Instant::now();
    stream.set_read_timeout(Some(HANDSHAKE.1)).expect("above 0");
    let mut bytes = [0; 4096];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return began.elapsed(),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                return began.elapsed();
            }
            Err(error) => panic!("not closed after {:?}: {error}", began.elapsed()),
        }
    }
}

/// What a client says first.
fn hello(config: &Arc<ClientConfig>) -> Vec<u8> {
    let name = ServerName::try_from("localhost").expect("a name");
    let mut tls = rustls::ClientConnection::new(config.clone(), name).expect("sound");
    let mut bytes = Vec::new();
    tls.write_tls(&mut bytes).expect("memory takes all");
    bytes
}

fn noise_for_handshakes_disturbs_nobody(shards: u32) {
    let setup = setup("tls-noise", shards, &[]);
    setup.server.process.expects("connection closed: TLS: ");
    let mut random = Random::with_seed(seed("noise_for_handshakes"));
    let hello = hello(&setup.trusting);
    beside(&setup, || {
        for round in 0..60 {
            let mut bytes = match round % 3 {
                // noise behind the first byte, or behind the header of a record
                0 => vec![0x16],
                1 => vec![0x16, 3, 1, 0x02, 0x00],
                _ => hello.clone(),
            };
            if round % 3 == 2 {
                let place = random.usize(5..bytes.len());
                bytes[place] ^= 1 << random.usize(..8);
            } else {
                let mut noise = vec![0; 70_000];
                random.fill(&mut noise);
                bytes.extend(noise);
            }
            let mut stream = connect(setup.server.address).expect("it listens");
            // The server may close while this is being written.
            let _ = stream.write_all(&bytes);
            // Some bits of a hello do not matter.
            if round % 3 == 2 {
                let _ = stream.shutdown(std::net::Shutdown::Write);
            }
            until_closed(&mut stream);
        }
    });
}

fn a_handshake_that_is_not_finished_is_closed_and_holds_nobody_up(shards: u32) {
    let setup = setup("tls-slow", shards, &[]);
    let said = "connection closed: TLS: its TLS handshake takes longer than 10s";
    setup.server.process.expects(said);
    let hello = hello(&setup.trusting);
    beside(&setup, || {
        let streams = (0..8 * shards).map(|number| {
            let mut stream = connect(setup.server.address).expect("it listens");
            let cut = [1, hello.len() / 2, hello.len() - 1, hello.len()][number as usize % 4];
            stream.write_all(&hello[..cut]).expect("it listens");
            stream
        });
        for mut stream in streams.collect::<Vec<_>>() {
            until_closed(&mut stream);
        }
    });
    let mut stream = connect(setup.server.address).expect("it listens");
    stream.write_all(&hello).expect("it listens");
    let took = until_closed(&mut stream);
    assert!(took >= HANDSHAKE.0 - Duration::from_millis(500) && took < HANDSHAKE.1, "{took:?}");
}

fn many_handshakes_hold_nobody_up(shards: u32) {
    let setup = setup("tls-many", shards, &[]);
    let address = setup.server.address;
    let before = setup.server.process.resident_bytes();
    let mut clients = Vec::new();
    beside(&setup, || {
        let shake = || -> Vec<Client> {
            (0..25).map(|_| tls_client(address, &setup.trusting).expect("a handshake")).collect()
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(shake)).collect();
            clients.extend(threads.into_iter().flat_map(|one| one.join().expect("they work")));
        });
    });
    let each = (setup.server.process.resident_bytes().saturating_sub(before)) / 200;
    println!("{each} bytes each of 200 idle connections with TLS");
    assert!(each <= 28 * 1024, "more than their part of the budgets: {each}");
    for client in &mut clients {
        client.send(TOPIC, 2, b"served").expect("an answer").expect(response::SUCCESS);
    }
}

/// A connection with TLS that sends a part of a record of data and is reset.
fn kill(address: SocketAddr, config: &Arc<ClientConfig>, bytes: usize) {
    let name = ServerName::try_from("localhost").expect("a name");
    let mut tls = rustls::ClientConnection::new(config.clone(), name).expect("sound");
    let mut stream = connect(address).expect("it listens");
    while tls.is_handshaking() {
        tls.complete_io(&mut stream).expect("a handshake");
    }
    tls.writer().write_all(&vec![0; 16_000]).expect("there is room");
    let mut record = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut record).expect("memory takes all");
    }
    let part = &record[..bytes.min(record.len())];
    stream.write_all(part).expect("it listens");
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("an open socket");
}

fn connections_that_are_killed_in_the_midst_disturb_nobody(shards: u32) {
    let setup = setup("tls-killed", shards, &[]);
    // The part that is a whole record is a frame that is none.
    setup.server.process.allows("connection closed: bad frame");
    beside(&setup, || {
        for round in 0..20 * shards as usize {
            kill(setup.server.address, &setup.trusting, [1, 5, 700, 15_999, 20_000][round % 5]);
        }
    });
    let mut plain = setup.server.client();
    let mut tls = tls_client(setup.server.address, &setup.trusting).expect("a handshake");
    exchange(&mut plain, &mut tls, TOPIC, &bodies());
}

fn a_client_that_does_not_read_is_closed_with_the_reason(shards: u32) {
    let keys = [("outputStallTimeMs", "1000"), ("perConnectionOutputBytesMax", "8388608")];
    let setup = setup("tls-unread", shards, &keys);
    setup.server.process.expects("connection closed");
    let mut writer = setup.server.client();
    for queue in 0..4 {
        for _ in 0..4 {
            let sent = writer.send(TOPIC, queue, &vec![5; 1 << 20]).expect("an answer");
            sent.expect(response::SUCCESS);
        }
    }
    let mut lazy = tls_client(setup.server.address, &setup.trusting).expect("a handshake");
    beside(&setup, || {
        let began = Instant::now();
        // Pulls whose answers it does not take, until the server ends the connection.
        while lazy.start_pull(TOPIC, 3, 0, 32).is_ok() {
            assert!(began.elapsed() < Duration::from_secs(60), "it is not closed");
            thread::sleep(Duration::from_millis(5));
        }
    });
}
