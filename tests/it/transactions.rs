//! Transactions over sockets: half messages that nobody sees, commits and rollbacks that hold
//! through kill -9, and questions of the broker.

mod open;

use std::time::{Duration, Instant};

use ringmq_remoting::codes::{request, response};
use ringmq_remoting::message_id::MessageId;

use crate::client::{Answer, Client};
use crate::process;
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(
    what_is_decided_stays_so_when_the_broker_is_killed,
    a_producer_is_asked_and_its_answer_counts,
    what_is_asked_for_too_often_is_given_up,
    answers_to_one_way_ends_are_not_sent,
);

const TOPIC: &str = "transactions";
const GROUP: &str = "it_transactions";
const COMMIT: &str = "8";
const ROLLBACK: &str = "12";
const PATIENCE: Duration = Duration::from_secs(30);

/// Queue offset and physical offset of a half message.
type Place = (i64, i64);

fn start_half(client: &mut Client, queue: i32, body: &str) {
    let queue = queue.to_string();
    let properties =
        format!("TRAN_MSG\u{1}true\u{2}PGROUP\u{1}{GROUP}\u{2}UNIQ_KEY\u{1}{body}\u{2}");
    let fields = [
        ("a", GROUP),
        ("b", TOPIC),
        ("c", "TBW102"),
        ("d", "4"),
        ("e", queue.as_str()),
        ("f", "4"),
        ("g", "1700000000000"),
        ("h", "0"),
        ("i", properties.as_str()),
        ("j", "0"),
        ("k", "false"),
        ("l", "0"),
        ("m", "false"),
    ];
    let sent = client.start(request::SEND_MESSAGE_V2, false, &fields, body.as_bytes());
    sent.expect("it is sent");
}

fn half(client: &mut Client, queue: i32, body: &str) -> Place {
    start_half(client, queue, body);
    let reply = client.reply().expect("an answer").expect(response::SUCCESS);
    let (_, position) = MessageId::parse(&reply.fields["msgId"]).expect("an id");
    (reply.number("queueOffset"), position)
}

fn end_fields<'a>(offset: &'a str, position: &'a str, asked: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("producerGroup", GROUP),
        ("tranStateTableOffset", offset),
        ("commitLogOffset", position),
        ("commitOrRollback", asked),
        ("msgId", "id"),
    ]
}

fn end(client: &mut Client, (offset, position): Place, asked: &str) -> Answer {
    let (offset, position) = (offset.to_string(), position.to_string());
    let fields = end_fields(&offset, &position, asked);
    client.call(request::END_TRANSACTION, &fields, b"").expect("an answer")
}

fn bodies(client: &mut Client, topic: &str, queue: i32) -> Vec<String> {
    let pulled = client.pull(topic, queue, 0, 32).expect("an answer");
    pulled.messages.iter().map(|m| String::from_utf8_lossy(&m.body).into_owned()).collect()
}

fn register(client: &mut Client) {
    let body =
        format!(r#"{{"clientID":"it_producer","producerDataSet":[{{"groupName":"{GROUP}"}}]}}"#);
    let reply = client.call(request::HEART_BEAT, &[], body.as_bytes());
    reply.expect("an answer").expect(response::SUCCESS);
}

fn settings(shards: u32, keys: &[(&'static str, &str)]) -> Settings {
    let extra = keys.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    Settings { shards, sync_flush: true, extra, ..Settings::default() }
}

fn what_is_decided_stays_so_when_the_broker_is_killed(shards: u32) {
    let directory = process::directory("transactions-kill");
    let settings = settings(shards, &[]);
    let mut server = Server::start(directory.path(), &settings);
    // On all shards.
    let mut clients: Vec<Client> = (0..4).map(|_| server.client()).collect();
    clients[0].create_topic(TOPIC, 4).expect("the broker serves").expect(0);
    let (mut committed, mut rolled_back, mut open) = (Vec::new(), Vec::new(), Vec::new());
    for queue in 0..4 {
        let other = 3 - queue as usize;
        committed.push((queue, half(&mut clients[0], queue, "committed")));
        rolled_back.push((queue, half(&mut clients[1], queue, "rolled back")));
        open.push((queue, half(&mut clients[2], queue, "open")));
        assert_eq!(bodies(&mut clients[3], TOPIC, queue), [""; 0]);
        end(&mut clients[other], committed[queue as usize].1, COMMIT).expect(response::SUCCESS);
        end(&mut clients[other], rolled_back[queue as usize].1, ROLLBACK).expect(response::SUCCESS);
    }
    server.process.signal(nix::sys::signal::Signal::SIGKILL);
    server.process.wait(PATIENCE);
    drop(server);
    let server = Server::start(directory.path(), &settings);
    let mut client = server.client();
    for queue in 0..4 {
        assert_eq!(bodies(&mut client, TOPIC, queue), ["committed"]);
    }
    for (_, place) in committed.iter().chain(&rolled_back) {
        for asked in [COMMIT, ROLLBACK] {
            let refused = end(&mut client, *place, asked).expect(response::SYSTEM_ERROR);
            assert!(refused.remark.contains("is decided already"), "{}", refused.remark);
        }
    }
    for (queue, place) in open {
        end(&mut client, place, COMMIT).expect(response::SUCCESS);
        assert_eq!(bodies(&mut client, TOPIC, queue), ["committed", "open"]);
    }
}

fn a_producer_is_asked_and_its_answer_counts(shards: u32) {
    let directory = process::directory("transactions-asked");
    let keys = [("transactionTimeOut", "300"), ("transactionCheckInterval", "200")];
    let server = Server::start(directory.path(), &settings(shards, &keys));
    let mut sender = server.client();
    sender.create_topic(TOPIC, 4).expect("the broker serves").expect(0);
    let sent = Instant::now();
    let place = half(&mut sender, 1, "unknown");
    let mut producer = server.client();
    register(&mut producer);
    for _ in 0..2 {
        let asked = producer.request().expect("a question");
        assert!(sent.elapsed() >= Duration::from_millis(300), "{:?}", sent.elapsed());
        assert_eq!(asked.code, request::CHECK_TRANSACTION_STATE);
        assert_eq!(asked.number("tranStateTableOffset"), place.0);
        assert_eq!(asked.number("commitLogOffset"), place.1);
        let stored = crate::client::records(&asked.body);
        assert_eq!((stored[0].topic.as_str(), stored[0].queue_id), (TOPIC, 1));
        let properties = &stored[0].properties;
        assert!(properties.contains("TRANSACTION_CHECK_TIMES"), "{properties:?}");
    }
    let (offset, position) = (place.0.to_string(), place.1.to_string());
    let mut fields = end_fields(&offset, &position, COMMIT).to_vec();
    fields.push(("fromTransactionCheck", "true"));
    producer.start(request::END_TRANSACTION, true, &fields, b"").expect("it is sent");
    let began = Instant::now();
    while bodies(&mut sender, TOPIC, 1).is_empty() {
        assert!(began.elapsed() < PATIENCE, "it is not committed");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(bodies(&mut sender, TOPIC, 1), ["unknown"]);
}

fn what_is_asked_for_too_often_is_given_up(shards: u32) {
    let directory = process::directory("transactions-given-up");
    let keys = [
        ("transactionTimeOut", "100"),
        ("transactionCheckInterval", "100"),
        ("transactionCheckMax", "2"),
    ];
    let server = Server::start(directory.path(), &settings(shards, &keys));
    let mut client = server.client();
    client.create_topic(TOPIC, 4).expect("the broker serves").expect(0);
    let places: Vec<_> = (0..4).map(|queue| half(&mut client, queue, "forgotten")).collect();
    let given_up = |client: &mut Client| {
        let logs = i32::try_from(shards).expect("small");
        let all = (0..logs).map(|queue| client.pull("TRANS_CHECK_MAX_TIME_TOPIC", queue, 0, 32));
        all.flatten().map(|pulled| pulled.messages.len()).sum::<usize>()
    };
    let began = Instant::now();
    while given_up(&mut client) < 4 {
        assert!(began.elapsed() < PATIENCE, "{} of 4 are given up", given_up(&mut client));
        std::thread::sleep(Duration::from_millis(10));
    }
    for place in places {
        let refused = end(&mut client, place, COMMIT).expect(response::SYSTEM_ERROR);
        assert!(refused.remark.contains("is decided already"), "{}", refused.remark);
    }
    for queue in 0..4 {
        assert_eq!(bodies(&mut client, TOPIC, queue), [""; 0]);
    }
    assert_eq!(given_up(&mut client), 4, "once each");
}

fn answers_to_one_way_ends_are_not_sent(shards: u32) {
    let directory = process::directory("transactions-one-way");
    let server = Server::start(directory.path(), &settings(shards, &[]));
    let mut client = server.client();
    client.create_topic(TOPIC, 4).expect("the broker serves").expect(0);
    let place = half(&mut client, 2, "one way");
    let (offset, position) = (place.0.to_string(), place.1.to_string());
    let fields = end_fields(&offset, &position, COMMIT);
    for _ in 0..2 {
        client.start(request::END_TRANSACTION, true, &fields, b"").expect("it is sent");
    }
    // `call` would find an answer to the ends in front of its own.
    let began = Instant::now();
    while bodies(&mut client, TOPIC, 2).is_empty() {
        assert!(began.elapsed() < PATIENCE, "it is not committed");
    }
    end(&mut client, place, ROLLBACK).expect(response::SYSTEM_ERROR);
    assert_eq!(bodies(&mut client, TOPIC, 2), ["one way"]);
}
