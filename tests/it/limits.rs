//! Limits that protect the broker from one client, and what the client hears.

use std::net::TcpStream;
use std::time::Duration;

use nix::sys::signal::Signal;
use ringmq_remoting::codes::{pull_flag, request, response};

use crate::client::{Client, GROUP};
use crate::process;
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(
    lite_pulls_can_be_switched_off,
    silent_connections_are_closed_after_the_configured_time,
    a_connection_has_only_so_many_requests_under_way,
    connections_are_spread_over_the_shards_up_to_the_limit_of_each,
    idle_connections_do_not_take_the_descriptors_of_the_logs,
    queues_of_all_topics_are_bounded,
);

/// A pull that waits 20 s for a message.
fn start_waiting(client: &mut Client, topic: &str) -> i32 {
    let flag = (pull_flag::SUBSCRIPTION | pull_flag::SUSPEND).to_string();
    let fields = [
        ("consumerGroup", GROUP),
        ("topic", topic),
        ("queueId", "0"),
        ("queueOffset", "0"),
        ("maxMsgNums", "32"),
        ("sysFlag", flag.as_str()),
        ("commitOffset", "0"),
        ("suspendTimeoutMillis", "20000"),
        ("subscription", "*"),
        ("subVersion", "0"),
        ("expressionType", "TAG"),
    ];
    client.start(request::PULL_MESSAGE, false, &fields, b"").expect("the broker reads")
}

fn lite_pulls_can_be_switched_off(shards: u32) {
    let directory = process::directory("lite");
    let extra = vec![("litePullMessageEnable", "false".to_owned())];
    let server =
        Server::start(directory.path(), &Settings { shards, extra, ..Settings::default() });
    let reply = server.client().call(request::LITE_PULL_MESSAGE, &[("topic", "T")], b"");
    let reply = reply.expect("an answer").expect(response::NO_PERMISSION);
    assert!(reply.remark.contains("] for lite pull consumer is forbidden"), "{}", reply.remark);
}

/// Failed at 7bdfcd1: each queue that a topic had took memory, as long as the broker ran.
fn queues_of_all_topics_are_bounded(shards: u32) {
    let directory = process::directory("queues");
    let settings = |most: &str| {
        let extra = vec![("queuesMax", most.to_owned())];
        Settings { shards, extra, ..Settings::default() }
    };
    let mut server = Server::start(directory.path(), &settings("200"));
    let mut client = server.client();
    let make = |client: &mut Client, topic: &str, queues: u32| {
        let answer = client.create_topic(topic, queues).expect("an answer");
        (answer.code == response::SUCCESS, answer.remark)
    };
    assert!(make(&mut client, "a", 60).0);
    let (made, remark) = make(&mut client, "b", 150);
    assert!(
        !made && remark.contains("at most 200 fit") && remark.contains("queuesMax"),
        "{remark}"
    );
    // None of its queues was used: they are free at once.
    let delete = |client: &mut Client, topic: &str| {
        let deleted = client.call(request::DELETE_TOPIC_IN_BROKER, &[("topic", topic)], b"");
        deleted.expect("an answer").expect(response::SUCCESS);
    };
    delete(&mut client, "a");
    assert!(make(&mut client, "b", 100).0);
    for queue in 0..100 {
        client.send("b", queue, b"x").expect("an answer").expect(response::SUCCESS);
    }
    // Those count until the next start, under the name that may have them again.
    assert!(make(&mut client, "b", 1).0);
    assert!(!make(&mut client, "c", 101).0);
    delete(&mut client, "b");
    assert!(!make(&mut client, "c", 101).0);
    assert!(make(&mut client, "b", 100).0);
    server.process.signal(Signal::SIGTERM);
    server.process.wait(Duration::from_secs(30));
    let server = Server::start(directory.path(), &settings("10"));
    let mut client = server.client();
    // What is there stays, whatever the limit.
    for queue in 0..100 {
        client.send("b", queue, b"x").expect("an answer").expect(response::SUCCESS);
    }
    assert!(!make(&mut client, "c", 1).0);
}

fn silent_connections_are_closed_after_the_configured_time(shards: u32) {
    let directory = process::directory("idle");
    let extra = vec![("serverChannelMaxIdleTimeSeconds", "1".to_owned())];
    let server =
        Server::start(directory.path(), &Settings { shards, extra, ..Settings::default() });
    let (mut quiet, began) = (server.client(), std::time::Instant::now());
    let error = quiet.reply().expect_err("closed");
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    assert!(began.elapsed().as_millis() >= 900, "closed after {:?}", began.elapsed());
}

fn a_connection_has_only_so_many_requests_under_way(shards: u32) {
    let directory = process::directory("requests");
    let extra = vec![("perConnectionRequestsMax", "3".to_owned())];
    let settings = Settings { shards, extra, ..Settings::default() };
    let server = Server::start(directory.path(), &settings);
    let (mut client, mut other) = (server.client(), server.client());
    for round in 0..3 {
        let topic = format!("topic-{round}");
        other.create_topic(&topic, 1).expect("the broker serves").expect(0);
        let waiting: Vec<_> = (0..3).map(|_| start_waiting(&mut client, &topic)).collect();
        let refused = client.call(request::GET_MAX_OFFSET, &[("topic", &topic)], b"");
        let refused = refused.expect("an answer").expect(response::SYSTEM_BUSY);
        assert!(refused.remark.contains("perConnectionRequestsMax"), "{}", refused.remark);
        // one-way requests are not answered, so they do not count
        client.start(request::GET_MAX_OFFSET, true, &[], b"").expect("the broker reads");
        let refused = client.call(request::GET_MAX_OFFSET, &[("topic", &topic)], b"");
        refused.expect("an answer").expect(response::SYSTEM_BUSY);
        other.send(&topic, 0, b"one").expect("another connection is served").expect(0);
        let mut answered: Vec<_> =
            (0..3).map(|_| client.reply().expect("a pull's answer").expect(0).opaque).collect();
        answered.sort_unstable();
        assert_eq!(answered, waiting, "round {round}");
        assert_eq!(client.max_offset(&topic, 0).expect("there is room again"), 1);
    }
}

/// The limit is shared out among the shards, so that it can only be reached if they get as many.
fn connections_are_spread_over_the_shards_up_to_the_limit_of_each(shards: u32) {
    let directory = process::directory("connections");
    let extra = vec![("connectionsMax", "8".to_owned())];
    let server =
        Server::start(directory.path(), &Settings { shards, extra, ..Settings::default() });
    server.process.expects("8 are open, and connectionsMax allows 8");
    let serves = |client: &mut Client| client.max_offset("TBW102", 0).is_ok();
    // connections that waited for the start may still be on their way out
    let began = std::time::Instant::now();
    let _all = loop {
        let mut all: Vec<_> = (0..8).map(|_| server.client()).collect();
        if all.iter_mut().all(serves) {
            break all;
        }
        assert!(began.elapsed().as_secs() < 20, "not even 8 connections are served");
    };
    assert!(!serves(&mut server.client()), "more than 8 connections are served");
}

fn idle_connections_do_not_take_the_descriptors_of_the_logs(shards: u32) {
    const CONNECTIONS: usize = 1200;
    let directory = process::directory("descriptors");
    let extra = [
        ("mappedFileSizeCommitLog", "1048576"),
        ("diskMaxUsedSpaceRatio", "95"),
        ("diskSpaceCleanForciblyRatio", "99"),
        ("diskSpaceWarningLevelRatio", "99"),
    ];
    let extra = extra.map(|(key, value)| (key, value.to_owned())).to_vec();
    let open_files = Some(1100);
    let settings = Settings { shards, extra, open_files, ..Settings::default() };
    let server = Server::start(directory.path(), &settings);
    server.process.expects("connectionsMax = 10000 does not fit: of 1100 open files");
    server.process.expects("are open, and connectionsMax allows");
    // Connections over the limit may meet a moment without descriptors.
    server.process.allows("cannot accept a connection");
    let mut sender = server.client();
    sender.create_topic("descriptors", 4).expect("the broker serves").expect(0);
    let idle: Vec<_> =
        (0..CONNECTIONS).map_while(|_| TcpStream::connect(server.address).ok()).collect();
    assert!(idle.len() > 500, "{} connections", idle.len());
    // Every log needs several further segments.
    for round in 0..60_i32 {
        let reply = sender.send("descriptors", round % 4, &[7; 200_000]).expect("an answer");
        reply.expect(response::SUCCESS);
    }
}
