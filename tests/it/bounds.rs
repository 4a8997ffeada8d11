//! What clients make the broker remember, and what their requests become in memory, stays within
//! bounds, and a client that behaves notices nothing of those that do not.

use std::io::Write;
use std::time::{Duration, Instant};

use ringmq_remoting::codes::{request, response};
use ringmq_remoting::encode;
use ringmq_remoting::frame::Serialization;

use crate::client::{Client, GROUP};
use crate::process;
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(
    heartbeats_that_say_nothing_at_length_take_no_memory,
    a_body_that_is_too_long_is_refused_before_it_has_come,
    fields_that_are_too_long_are_refused_and_not_kept,
);

const MIB: u64 = 1024 * 1024;

/// A client that sends, consumes and says so; what it is refused or waits for long is a failure.
struct Honest {
    client: Client,
    sent: i64,
}

impl Honest {
    fn new(server: &Server) -> Honest {
        let mut client = server.client();
        client.create_topic("honest", 1).expect("the broker serves").expect(response::SUCCESS);
        Honest { client, sent: 0 }
    }

    fn works(&mut self) {
        let began = Instant::now();
        let beat = format!(
            "{{\"clientID\":\"honest\",\"consumerDataSet\":[{{\"groupName\":\"{GROUP}\",\
             \"subscriptionDataSet\":[{{\"topic\":\"honest\",\"subString\":\"*\"}}]}}]}}"
        );
        let reply = self.client.call(request::HEART_BEAT, &[], beat.as_bytes());
        reply.expect("an answer").expect(response::SUCCESS);
        self.client.send("honest", 0, b"one").expect("an answer").expect(response::SUCCESS);
        self.sent += 1;
        let offset = (self.sent - 1).to_string();
        let pulled = self.client.pull("honest", 0, self.sent - 1, 32).expect("an answer");
        assert_eq!(pulled.messages.len(), 1, "{pulled:?}");
        let fields = [
            ("consumerGroup", GROUP),
            ("topic", "honest"),
            ("queueId", "0"),
            ("commitOffset", offset.as_str()),
        ];
        let reply = self.client.call(request::UPDATE_CONSUMER_OFFSET, &fields, b"");
        reply.expect("an answer").expect(response::SUCCESS);
        // A debug build beside other tests: what is looked for takes many seconds.
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}

fn heartbeats_that_say_nothing_at_length_take_no_memory(shards: u32) {
    let directory = process::directory("heartbeats");
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    let mut honest = Honest::new(&server);
    honest.works();
    let before = server.process.resident_bytes();
    let mut others: Vec<_> = (0..4).map(|_| server.client()).collect();
    let most = |list: &str| {
        let mut body = list.to_owned().into_bytes();
        while body.len() < 1024 * 1024 - 8 {
            body.extend_from_slice(b"{},");
        }
        body.extend_from_slice(b"]}");
        body
    };
    let bodies = [most("{\"consumerDataSet\":["), most("{\"producerDataSet\":[")];
    for round in 0..4 {
        for other in &mut others {
            let body = &bodies[round % 2];
            other.start(request::HEART_BEAT, false, &[], body).expect("the broker reads");
        }
        honest.works();
        for other in &mut others {
            let refused = other.reply().expect("an answer").expect(response::SYSTEM_ERROR);
            let reason = ["bytes of memory", "the group name of a heartbeat is blank"][round % 2];
            assert!(refused.remark.contains(reason), "{}", refused.remark);
        }
    }
    let long = [b"[".as_slice(), &b"{},".repeat(5_000_000), b"]"].concat();
    let refused = others[0].call(request::HEART_BEAT, &[], &long).expect("an answer");
    let refused = refused.expect(response::SYSTEM_ERROR);
    assert!(refused.remark.contains("the limit is 1048576"), "{}", refused.remark);
    honest.works();
    let grown = server.process.resident_bytes().saturating_sub(before);
    assert!(grown < 160 * MIB, "{grown} bytes more");
}

/// A request of which the body is `announced` bytes long, as far as its header.
fn begun(code: i32, announced: usize) -> Vec<u8> {
    let (mut out, body) = (Vec::new(), vec![0; announced]);
    let json = Serialization::Json;
    encode::request(&mut out, json, code, 7, false, &[("topic", "honest")], &body).expect("fits");
    out.truncate(out.len() - announced);
    out
}

fn a_body_that_is_too_long_is_refused_before_it_has_come(shards: u32) {
    const BODY: usize = 8 * 1024 * 1024;
    let directory = process::directory("bodies");
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    let mut honest = Honest::new(&server);
    let before = server.process.resident_bytes();
    let mut others: Vec<_> = (0..20).map(|_| server.client()).collect();
    for (number, other) in others.iter_mut().enumerate() {
        let code = [request::HEART_BEAT, request::GET_MAX_OFFSET][number % 2];
        other.stream().write_all(&begun(code, BODY)).expect("the broker reads");
        other.stream().write_all(&[0; 1000]).expect("the broker reads");
        let refused = other.reply().expect("an answer, before the body");
        assert!(refused.remark.contains("has a body of 8388608 bytes"), "{}", refused.remark);
    }
    honest.works();
    for other in &mut others {
        other.stream().write_all(&vec![0; BODY - 1000]).expect("the broker reads");
        assert_eq!(other.max_offset("honest", 0).expect("what follows is a request"), 1);
    }
    honest.works();
    let grown = server.process.resident_bytes().saturating_sub(before);
    assert!(grown < 48 * MIB, "{grown} bytes more");
}

fn fields_that_are_too_long_are_refused_and_not_kept(shards: u32) {
    let directory = process::directory("fields");
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    let mut honest = Honest::new(&server);
    let before = server.process.resident_bytes();
    let mut other = server.client();
    for round in 0..30 {
        let name = format!("{round}-{}", "n".repeat(4_000_000));
        let fields = [
            ("consumerGroup", [GROUP, name.as_str()][round % 2]),
            ("topic", [name.as_str(), "honest"][round % 2]),
            ("queueId", "0"),
            ("commitOffset", "1"),
        ];
        let refused = other.call(request::UPDATE_CONSUMER_OFFSET, &fields, b"");
        let refused = refused.expect("an answer").expect(response::SYSTEM_ERROR);
        let field = ["topic", "consumerGroup"][round % 2];
        let said = format!("the header field {field} has {} bytes, the limit is 4096", name.len());
        assert!(refused.remark.contains(&said), "{}", refused.remark);
    }
    honest.works();
    // A header that no client sends ends its connection, before it is there in full.
    server.process.allows("the header of a request has");
    let (mut out, huge) = (Vec::new(), "n".repeat(5 << 20));
    let (json, fields) = (Serialization::Json, [("topic", huge.as_str())]);
    encode::request(&mut out, json, request::GET_MAX_OFFSET, 7, false, &fields, b"").expect("fits");
    other.stream().write_all(&out[..100]).expect("the broker reads");
    assert!(other.reply().is_err(), "the connection is closed");
    honest.works();
    let grown = server.process.resident_bytes().saturating_sub(before);
    assert!(grown < 48 * MIB, "{grown} bytes more");
}
