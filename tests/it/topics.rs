//! Topics that are deleted and made again, and who consumes which.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use ringmq_remoting::codes::{request, response};

use crate::client::{Client, GROUP};
use crate::process::{self, Process};
use crate::server::{Server, Settings, await_route, free_port};
use crate::shards::for_shards;

for_shards!(
    an_offset_of_a_topic_made_again_never_names_an_old_message,
    groups_are_found_by_topic_and_topics_by_group_over_all_shards,
    a_topic_that_was_made_is_known_to_every_shard_when_it_is_answered,
    topics_changed_together_are_all_known_to_the_name_server_when_they_are_answered,
);

const QUEUES: i32 = 4;

fn bodies(client: &mut Client, queue: i32, from: i64) -> Vec<String> {
    let pulled = client.pull("again", queue, from, 32).expect("an answer");
    let text = |body: Vec<u8>| String::from_utf8(body).expect("text");
    pulled.messages.into_iter().map(|message| text(message.body)).collect()
}

fn delete(client: &mut Client) {
    let fields = [("topic", "again")];
    let reply = client.call(request::DELETE_TOPIC_IN_BROKER, &fields, b"");
    reply.expect("an answer").expect(response::SUCCESS);
}

/// Makes the topic and sends so many messages to each queue.
fn fill(client: &mut Client, life: &str, count: i64, begin: i64) {
    client.create_topic("again", 4).expect("the broker serves").expect(0);
    for number in 0..count {
        for queue in 0..QUEUES {
            let body = format!("{life} {number}");
            let reply = client.send("again", queue, body.as_bytes()).expect("an answer").expect(0);
            assert_eq!(reply.number("queueOffset"), begin + number, "queue {queue}, {life}");
        }
    }
}

/// Each queue holds the messages of the last life only, from `begin` on.
fn check(client: &mut Client, life: &str, count: i64, begin: i64) {
    for queue in 0..QUEUES {
        let pulled = client.pull("again", queue, 0, 32).expect("an answer");
        if begin > 0 {
            assert_eq!(pulled.code, response::PULL_OFFSET_MOVED, "queue {queue}, {life}");
            assert_eq!(pulled.next, begin);
        }
        let expected: Vec<_> = (0..count).map(|number| format!("{life} {number}")).collect();
        assert_eq!(bodies(client, queue, begin), expected, "queue {queue}");
        assert_eq!(client.max_offset("again", queue).expect("an answer"), begin + count);
        let queue = queue.to_string();
        let fields = [("consumerGroup", GROUP), ("topic", "again"), ("queueId", queue.as_str())];
        let reply = client.call(request::QUERY_CONSUMER_OFFSET, &fields, b"").expect("an answer");
        assert_eq!(reply.expect(0).number("offset"), begin, "a new group starts at the beginning");
    }
}

fn an_offset_of_a_topic_made_again_never_names_an_old_message(shards: u32) {
    let directory = process::directory("again");
    let settings = Settings { shards, ..Settings::default() };
    let mut server = Server::start(directory.path(), &settings);
    let mut client = server.client();
    client.create_topic("other", 1).expect("the broker serves").expect(0);
    fill(&mut client, "first", 3, 0);
    check(&mut client, "first", 3, 0);
    delete(&mut client);
    client.create_topic("further", 1).expect("the broker serves").expect(0);
    fill(&mut client, "second", 2, 3);
    check(&mut client, "second", 2, 3);
    // a crash, other numbers of shards, and once more
    for shards in [shards % 4 + 1, shards] {
        server.process.kill9();
        drop(server);
        server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
        client = server.client();
        check(&mut client, "second", 2, 3);
    }
    delete(&mut client);
    fill(&mut client, "third", 0, 5);
    check(&mut client, "third", 0, 5);
    fill(&mut client, "third", 1, 5);
    check(&mut client, "third", 1, 5);
}

fn list(client: &mut Client, code: i32, field: (&str, &str), name: &str) -> Vec<String> {
    let reply = client.call(code, &[field], b"").expect("an answer").expect(response::SUCCESS);
    let body: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");
    let names = body[name].as_array().expect("a list").iter();
    names.map(|name| name.as_str().expect("text").to_owned()).collect()
}

fn groups_are_found_by_topic_and_topics_by_group_over_all_shards(shards: u32) {
    let directory = process::directory("whoconsumes");
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    let mut client = server.client();
    for topic in ["one", "two"] {
        client.create_topic(topic, 4).expect("the broker serves").expect(0);
    }
    for (group, topic, queue) in [("g1", "one", "0"), ("g1", "two", "3"), ("g2", "one", "1")] {
        let fields =
            [("consumerGroup", group), ("topic", topic), ("queueId", queue), ("commitOffset", "0")];
        let reply = client.call(request::UPDATE_CONSUMER_OFFSET, &fields, b"");
        reply.expect("an answer").expect(response::SUCCESS);
    }
    let mut groups = |topic| {
        let code = request::QUERY_TOPIC_CONSUME_BY_WHO;
        list(&mut client, code, ("topic", topic), "groupList")
    };
    assert_eq!(groups("one"), ["g1", "g2"]);
    assert_eq!(groups("two"), ["g1"]);
    assert!(groups("three").is_empty());
    let mut topics = |group| {
        let code = request::QUERY_TOPICS_BY_CONSUMER;
        list(&mut client, code, ("group", group), "topicList")
    };
    assert_eq!(topics("g1"), ["one", "two"]);
    assert!(topics("g3").is_empty());
}

/// Whoever hears that a topic was made uses it at once, over a connection of any shard.
fn a_topic_that_was_made_is_known_to_every_shard_when_it_is_answered(shards: u32) {
    let directory = process::directory("known");
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    let mut maker = server.client();
    let mut users: Vec<_> = (0..shards.max(2)).map(|_| server.client()).collect();
    for round in 0..300 {
        let topic = format!("known-{round}");
        maker.create_topic(&topic, 1).expect("the broker serves").expect(0);
        for user in &mut users {
            let pulled = user.pull(&topic, 0, 0, 1);
            pulled.unwrap_or_else(|error| panic!("round {round}: {error}"));
        }
        // Another shard is the first to be asked.
        users.rotate_left(1);
    }
}

/// Changes that are planned while others are not yet durable, and none after them: each must reach
/// the name server all the same.
fn topics_changed_together_are_all_known_to_the_name_server_when_they_are_answered(shards: u32) {
    const CLIENTS: u64 = 3;
    const ROUNDS: u64 = 60;
    let directory = process::directory("together");
    let port = free_port();
    let file = directory.path().join("namesrv.conf");
    std::fs::write(&file, format!("listenPort={port}\nbindAddress=127.0.0.1\n")).expect("written");
    let arguments = ["namesrv", "-c", file.to_str().expect("UTF-8")];
    let process = Process::start(&arguments, directory.path().join("namesrv.log"));
    // The broker is ended first.
    process.allows("is dropped: its connection has ended");
    let names = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let extra = vec![("namesrvAddr", names.to_string())];
    let settings = Settings { extra, sync_flush: true, shards, ..Settings::default() };
    let server = Server::start(directory.path(), &settings);
    await_route(names, Duration::from_secs(5));
    let mut names = Client::connect(names).expect("the name server listens");
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| server.client()).collect();
    for round in 1..=ROUNDS {
        thread::scope(|scope| {
            for (number, client) in (0..).zip(&mut clients) {
                scope.spawn(move || {
                    // A little apart, so that some are planned while others are written.
                    thread::sleep(Duration::from_micros(number * round * 20));
                    let topic = format!("together-{number}");
                    client.create_topic(&topic, round as u32).expect("an answer").expect(0);
                });
            }
        });
        for number in 0..CLIENTS {
            let topic = format!("together-{number}");
            let fields = [("topic", topic.as_str())];
            let route = names.call(request::GET_ROUTEINFO_BY_TOPIC, &fields, b"");
            let route = route.expect("an answer").expect(response::SUCCESS);
            let route = String::from_utf8(route.body).expect("a route is text");
            let expected = format!("\"readQueueNums\":{round},");
            assert!(route.contains(&expected), "{topic}, round {round}: {route}");
        }
    }
}
