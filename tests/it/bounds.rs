//! What clients make the broker remember, and what their requests become in memory, stays within
//! bounds, and a client that behaves notices nothing of those that do not.

use std::time::{Duration, Instant};

use ringmq_remoting::codes::{request, response};

use crate::client::{Client, GROUP};
use crate::process;
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(heartbeats_that_say_nothing_at_length_take_no_memory);

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
