//! Clients that do not take their answers, beside one that does.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ringmq_remoting::codes::{request, response};
use ringmq_remoting::command::Header;
use ringmq_remoting::encode;
use ringmq_remoting::frame::{Frame, Serialization};
use ringmq_test_client::Pull;

use crate::client::{Client, GROUP};
use crate::process;
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(
    a_client_that_does_not_read_takes_neither_memory_nor_time_from_others,
    a_client_that_takes_nothing_is_closed_with_the_reason,
);

const MIB: u64 = 1 << 20;
const MESSAGE: usize = 4 << 20;
const PULLS: u32 = 2500;
/// Of a client that reads in the end.
const PATIENT_PULLS: u32 = 60;
const TOPIC: &str = "slow";
const OTHER: &str = "beside";
/// How long the honest client works without and beside the attack.
const WORK: Duration = Duration::from_secs(3);

/// A connection that asks for the first message of a queue many times.
struct Attack {
    stream: TcpStream,
    pulls: u32,
    writer: JoinHandle<()>,
}

impl Attack {
    fn start(address: SocketAddr, pulls: u32) -> Attack {
        let stream = TcpStream::connect(address).expect("the broker listens");
        let mut own = stream.try_clone().expect("a second descriptor");
        let writer = thread::spawn(move || {
            let bytes: Vec<u8> = (0..pulls).flat_map(pull).collect();
            // It ends when the broker closes the connection, or reads on.
            let _ = own.write_all(&bytes);
        });
        Attack { stream, pulls, writer }
    }

    /// Reads until every pull is answered in full.
    fn read_all(mut self) {
        self.stream.set_read_timeout(Some(Duration::from_secs(60))).expect("above 0");
        let (mut seen, mut frame) = (BTreeSet::new(), Vec::new());
        for _ in 0..self.pulls {
            let mut length = [0; 4];
            self.stream.read_exact(&mut length).expect("an answer");
            frame.clear();
            frame.extend_from_slice(&length);
            frame.resize(4 + u32::from_be_bytes(length) as usize, 0);
            self.stream.read_exact(&mut frame[4..]).expect("the whole answer");
            let answer = Frame::parse(&frame).expect("a frame");
            let header = Header::decode(&answer).expect("a header");
            assert_eq!(header.code, response::SUCCESS, "{:?}", header.remark);
            assert!(answer.body.len() > MESSAGE, "the message in full");
            assert!(seen.insert(header.opaque), "one answer each");
        }
        self.writer.join().expect("all is written");
    }
}

fn pull(opaque: u32) -> Vec<u8> {
    let (group, topic, wait) = (GROUP, TOPIC, Duration::ZERO);
    let pull = Pull { group, topic, queue: 0, offset: 0, messages_max: 1, wait };
    let mut bytes = Vec::new();
    let (json, code, opaque) = (Serialization::Json, request::PULL_MESSAGE, opaque as i32);
    encode::request_values(&mut bytes, json, code, opaque, false, &pull.fields(), b"")
        .expect("fits");
    bytes
}

/// Sends and pulls for a time: how long the rounds took, the shortest first.
fn work(server: &Server) -> Vec<Duration> {
    let (mut client, began, mut took) = (server.client(), Instant::now(), Vec::new());
    while began.elapsed() < WORK {
        let round = Instant::now();
        let sent = client.send(OTHER, took.len() as i32 % 4, b"beside").expect("an answer");
        sent.expect(response::SUCCESS);
        assert_eq!(client.pull(OTHER, 0, 0, 1).expect("an answer").messages.len(), 1);
        took.push(round.elapsed());
    }
    took.sort_unstable();
    took
}

fn p99_and_most(took: &[Duration]) -> (Duration, Duration) {
    (took[took.len() * 99 / 100], took[took.len() - 1])
}

fn started(name: &str, shards: u32, extra: &[(&'static str, &str)]) -> (tempfile::TempDir, Server) {
    let directory = process::directory(name);
    let extra = extra.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    let server =
        Server::start(directory.path(), &Settings { shards, extra, ..Settings::default() });
    let mut client = server.client();
    for topic in [TOPIC, OTHER] {
        client.create_topic(topic, 4).expect("the broker serves").expect(0);
    }
    client.send(TOPIC, 0, &vec![7; MESSAGE]).expect("the broker serves").expect(0);
    (directory, server)
}

/// Failed before answers counted: with 2 shards the honest client got no answer, with 1 the memory
/// grew by 100 MiB.
fn a_client_that_does_not_read_takes_neither_memory_nor_time_from_others(shards: u32) {
    // Patient clients take nothing for as long as others work, and then one after the other: an
    // eighth of this time is longer, on a busy machine too.
    let patience = [("outputStallTimeMs", "240000")];
    let (_directory, server) = started("slow-reader", shards, &patience);
    let quiet = work(&server);
    let before = server.process.resident_bytes();
    // Connections are handed out in turn: one is on the shard of the queue, the others are not.
    let attacks: Vec<_> =
        (0..shards).map(|_| Attack::start(server.address, PULLS / shards)).collect();
    let patient: Vec<_> =
        (0..shards).map(|_| Attack::start(server.address, PATIENT_PULLS / shards)).collect();
    let over = AtomicBool::new(false);
    let (loud, most) = thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut most = 0;
            while !over.load(Ordering::Relaxed) {
                most = most.max(server.process.resident_bytes());
                thread::sleep(Duration::from_millis(5));
            }
            most
        });
        let loud = work(&server);
        over.store(true, Ordering::Relaxed);
        (loud, sampler.join().expect("it only looks"))
    });
    let grown = most.saturating_sub(before) / MIB;
    let (quiet, loud) = (p99_and_most(&quiet), p99_and_most(&loud));
    println!("{shards} shards: {grown} MiB more; p99 and longest {quiet:?}, beside it {loud:?}");
    // outputBytesMax, and answers that are copied.
    let bound = 256 + 16 * u64::from(shards);
    assert!(grown < bound, "{grown} MiB more, the limit is {bound}");
    let slack = Duration::from_millis(50);
    assert!(loud.0 < quiet.0 * 10 + slack, "p99 {:?}, without the attack {:?}", loud.0, quiet.0);
    assert!(loud.1 < quiet.1 * 10 + 10 * slack, "longest {:?}, before {:?}", loud.1, quiet.1);
    drop(attacks);
    patient.into_iter().for_each(Attack::read_all);
}

fn a_client_that_takes_nothing_is_closed_with_the_reason(shards: u32) {
    let (_directory, server) = started("stalled", shards, &[("outputStallTimeMs", "1000")]);
    server.process.expects("for longer than outputStallTimeMs");
    let began = Instant::now();
    let mut attack = Attack::start(server.address, 100);
    // The broker's end closes: then the writer, or a reader behind what is there, sees it.
    attack.stream.set_read_timeout(Some(Duration::from_secs(20))).expect("above 0");
    while !server.process.output().contains("outputStallTimeMs") {
        assert!(began.elapsed() < Duration::from_secs(20), "it is never closed");
        thread::sleep(Duration::from_millis(5));
    }
    assert!(began.elapsed() >= Duration::from_millis(900), "closed after {:?}", began.elapsed());
    let mut room = vec![0; 1 << 20];
    while attack.stream.read(&mut room).is_ok_and(|count| count > 0) {}
    let mut client: Client = server.client();
    client.send(OTHER, 0, b"others are served").expect("an answer").expect(0);
}
