//! Connections that do not speak the protocol, while a healthy client works.

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringmq_remoting::codes::{request, response};

use crate::client::Client;
use crate::process;
use crate::random::{Random, seed};
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(
    garbage_closes_its_own_connection_and_disturbs_nobody,
    unknown_codes_are_answered_and_oneway_requests_are_not,
    requests_with_missing_or_wild_fields_are_refused_and_the_connection_stays,
);

const TOPIC: &str = "garbage";
/// How soon a connection must be closed after bytes that are no frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// The healthy client must never wait so long, not even for a debug build.
const HEALTHY_TIMEOUT: Duration = Duration::from_secs(3);

fn frame(length: u32, word: u32, rest: &[u8]) -> Vec<u8> {
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(&word.to_be_bytes());
    bytes.extend_from_slice(rest);
    bytes
}

fn whole(header: &[u8]) -> Vec<u8> {
    let length = u32::try_from(header.len()).expect("small");
    frame(4 + length, length, header)
}

/// Bytes after which nothing on the connection can make sense.
fn hopeless(random: &mut Random) -> Vec<(&'static str, Vec<u8>)> {
    let mut noise = vec![0; 4096];
    random.fill(&mut noise);
    noise[0] |= 0x80;
    let deep = [b"{\"extFields\":".as_slice(), &b"[".repeat(100_000)].concat();
    let mut remark = [0; 21];
    remark[13..17].copy_from_slice(&i32::MAX.to_be_bytes());
    vec![
        ("noise", noise),
        ("an HTTP request", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("a length of 2 GiB", frame(0x7FFF_FFFF, 2, b"{}")),
        ("a negative length", frame(0xFFFF_FFFF, 2, b"{}")),
        ("a length above 16 MiB", frame(16 << 20, 2, b"{}")),
        ("a length of 0", frame(0, 0, b"")),
        ("a length of 3", frame(3, 0, b"")),
        ("serialization 7", frame(6, 7 << 24 | 2, b"{}")),
        ("a header beyond the frame", frame(6, 100, b"{}")),
        ("a header that is no JSON", whole(b"{\"code\":")),
        ("a header of one letter", whole(b"x")),
        ("JSON without end", whole(&deep)),
        ("a header that is not UTF-8", whole(b"{\"remark\":\"\xFF\xFE\"")),
        ("a cut binary header", frame(4 + 5, 1 << 24 | 5, &[0, 34, 0, 1, 99])),
        ("a binary header with a remark of 2 GiB", frame(4 + 21, 1 << 24 | 21, &remark)),
    ]
}

/// Sends and pulls until told to stop; returns the longest wait.
fn work(address: std::net::SocketAddr, stop: &AtomicBool, rounds: &AtomicU64) -> Duration {
    let mut client = Client::connect(address).expect("the broker listens");
    let mut longest = Duration::ZERO;
    let mut offset = 0;
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let body = offset.to_string();
        let reply = client.send(TOPIC, 0, body.as_bytes()).expect("healthy").expect(0);
        assert_eq!(reply.number("queueOffset"), offset);
        let pulled = client.pull(TOPIC, 0, offset, 1).expect("healthy");
        assert_eq!(pulled.messages[0].body, body.as_bytes());
        longest = longest.max(began.elapsed());
        offset += 1;
        rounds.fetch_add(1, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(1));
    }
    longest
}

fn must_close(client: &mut Client, what: &str) {
    client.set_timeout(CLOSE_TIMEOUT);
    let mut bytes = [0; 4096];
    loop {
        match client.stream().read(&mut bytes) {
            Ok(0) => return,
            // an answer before the end is allowed
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
            Err(error) => panic!("after {what}: not closed within {CLOSE_TIMEOUT:?}: {error}"),
        }
    }
}

fn garbage_closes_its_own_connection_and_disturbs_nobody(shards: u32) {
    let mut random = Random::with_seed(seed("garbage_closes"));
    let directory = process::directory("garbage");
    let mut server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    server.process.expects("connection closed: bad frame");
    server.client().create_topic(TOPIC, 1).expect("the broker serves").expect(0);
    let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let healthy = {
        let (address, stop, rounds) = (server.address, stop.clone(), rounds.clone());
        thread::spawn(move || work(address, &stop, &rounds))
    };
    for (what, bytes) in hopeless(&mut random) {
        let mut client = server.client();
        // the server may close while we still write
        let _ = client.stream().write_all(&bytes);
        must_close(&mut client, what);
        let before = rounds.load(Ordering::Relaxed);
        let deadline = Instant::now() + HEALTHY_TIMEOUT;
        while rounds.load(Ordering::Relaxed) == before {
            assert!(Instant::now() < deadline, "the healthy client stands still after {what}");
            assert!(!healthy.is_finished(), "the healthy client failed after {what}");
            thread::sleep(Duration::from_millis(1));
        }
    }
    truncated_frames(&server, &mut random);
    stop.store(true, Ordering::Relaxed);
    let longest = healthy.join().expect("the healthy client sees nothing of all this");
    println!("{} rounds, the longest took {longest:?}", rounds.load(Ordering::Relaxed));
    assert!(longest < HEALTHY_TIMEOUT, "the healthy client waited {longest:?}");
    assert!(server.process.ended().is_none(), "the broker is alive");
}

/// Good requests, cut anywhere and abandoned; and some that stay, half sent.
fn truncated_frames(server: &Server, random: &mut Random) {
    let good = whole(br#"{"code":30,"flag":0,"opaque":1,"extFields":{"topic":"x","queueId":"0"}}"#);
    let mut waiting = Vec::new();
    for round in 0..60 {
        let mut client = server.client();
        let cut = random.usize(..good.len());
        client.stream().write_all(&good[..cut]).expect("the broker listens");
        if round % 3 == 0 {
            waiting.push(client);
        }
    }
    // a frame that comes byte by byte is a frame
    let mut slow = server.client();
    for byte in &good {
        slow.stream().write_all(&[*byte]).expect("the broker listens");
    }
    assert_eq!(slow.reply().expect("an answer").opaque, 1);
    drop(waiting);
}

fn unknown_codes_are_answered_and_oneway_requests_are_not(shards: u32) {
    let directory = process::directory("unknown");
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    let mut client = server.client();
    for code in [0, 9_999, 77_777, 65_536, -1, i32::MAX, i32::MIN] {
        let reply = client.call(code, &[], b"body").expect("an answer");
        assert_eq!(reply.code, response::REQUEST_CODE_NOT_SUPPORTED, "request code {code}");
        assert!(reply.remark.contains("not supported"), "remark: {}", reply.remark);
        client.start(code, true, &[], b"").expect("the broker listens");
    }
    let one_way = [("topic", "TBW102"), ("queueId", "0")];
    client.start(request::GET_MAX_OFFSET, true, &one_way, b"").expect("the broker listens");
    // the next reply belongs to the next request: nothing answered the one-way ones
    let reply = client.call(request::GET_MAX_OFFSET, &one_way, b"").expect("an answer");
    assert_eq!(reply.code, response::SUCCESS);
}

fn requests_with_missing_or_wild_fields_are_refused_and_the_connection_stays(shards: u32) {
    let directory = process::directory("fields");
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    server.client().create_topic(TOPIC, 1).expect("the broker serves").expect(0);
    let mut client = server.client();
    let wild = ["", "-1", "x", "99999999999999999999", "9223372036854775807", "1.5", " 1"];
    let codes = [
        request::SEND_MESSAGE,
        request::SEND_MESSAGE_V2,
        request::PULL_MESSAGE,
        request::QUERY_CONSUMER_OFFSET,
        request::UPDATE_CONSUMER_OFFSET,
        request::VIEW_MESSAGE_BY_ID,
        request::GET_MIN_OFFSET,
        request::SEARCH_OFFSET_BY_TIMESTAMP,
        request::HEART_BEAT,
        request::LOCK_BATCH_MQ,
        request::CONSUMER_SEND_MSG_BACK,
    ];
    for code in codes {
        client.call(code, &[], b"").expect("an answer to a request without fields");
        for value in wild {
            let fields = [
                ("topic", TOPIC),
                ("b", TOPIC),
                ("consumerGroup", "it_group"),
                ("group", "it_group"),
                ("queueId", value),
                ("e", value),
                ("queueOffset", value),
                ("offset", value),
                ("commitOffset", value),
                ("maxMsgNums", value),
                ("sysFlag", value),
                ("timestamp", value),
                ("delayLevel", value),
            ];
            client.call(code, &fields, b"not JSON").expect("an answer to a wild request");
        }
    }
    client.send(TOPIC, 0, b"good").expect("an answer").expect(0);
}
