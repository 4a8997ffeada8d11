//! SQL92 subscriptions, from pulls that carry the expression.

use ringmq_remoting::codes::{pull_flag, request, response};

use crate::client::{Answer, Client, GROUP, records};
use crate::process;
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(
    a_sql_subscription_brings_the_messages_it_names,
    a_waiting_pull_is_answered_by_a_message_that_it_wants,
    a_wrong_expression_is_told_and_sql_can_be_off,
    an_expression_that_takes_too_long_is_refused_and_is_no_fault_of_the_broker,
);

fn send(client: &mut Client, topic: &str, body: &str, properties: &str) {
    let fields = [
        ("a", "it_producer"),
        ("b", topic),
        ("c", "TBW102"),
        ("d", "4"),
        ("e", "0"),
        ("f", "0"),
        ("g", "1700000000000"),
        ("h", "0"),
        ("i", properties),
        ("j", "0"),
        ("k", "false"),
        ("l", "0"),
        ("m", "false"),
    ];
    let reply = client.call(request::SEND_MESSAGE_V2, &fields, body.as_bytes());
    reply.expect("an answer").expect(response::SUCCESS);
}

fn start_pull(client: &mut Client, topic: &str, offset: i64, sql: &str, wait_ms: u32) -> i32 {
    let (offset, wait_ms) = (offset.to_string(), wait_ms.to_string());
    let flag = (pull_flag::SUBSCRIPTION | pull_flag::SUSPEND).to_string();
    let fields = [
        ("consumerGroup", GROUP),
        ("topic", topic),
        ("queueId", "0"),
        ("queueOffset", offset.as_str()),
        ("maxMsgNums", "8"),
        ("sysFlag", flag.as_str()),
        ("commitOffset", "0"),
        ("suspendTimeoutMillis", wait_ms.as_str()),
        ("subscription", sql),
        ("subVersion", "0"),
        ("expressionType", "SQL92"),
    ];
    client.start(request::PULL_MESSAGE, false, &fields, b"").expect("the broker reads")
}

fn pull(client: &mut Client, topic: &str, offset: i64, sql: &str) -> Answer {
    start_pull(client, topic, offset, sql, 0);
    client.reply().expect("an answer")
}

fn bodies(reply: &Answer) -> Vec<String> {
    let text = |body: Vec<u8>| String::from_utf8(body).expect("text");
    records(&reply.body).into_iter().map(|message| text(message.body)).collect()
}

fn server(directory: &std::path::Path, shards: u32, filter: bool) -> Server {
    let extra = vec![("enablePropertyFilter", filter.to_string())];
    Server::start(directory, &Settings { shards, extra, ..Settings::default() })
}

fn a_sql_subscription_brings_the_messages_it_names(shards: u32) {
    let directory = process::directory("sql");
    let mut server = server(directory.path(), shards, true);
    let mut client = server.client();
    for topic in ["one", "two"] {
        client.create_topic(topic, 1).expect("the broker serves").expect(0);
        for number in 0..40 {
            let color = if number % 2 == 0 { "red" } else { "blue" };
            let properties = format!("n\u{1}{number}\u{2}color\u{1}{color}\u{2}");
            send(&mut client, topic, &number.to_string(), &properties);
        }
    }
    for again in [false, true] {
        if again {
            // from disk now
            server.process.kill9();
            drop(server);
            server = self::server(directory.path(), shards, true);
            client = server.client();
        }
        for topic in ["one", "two"] {
            let sql = "color = 'red' and n between 10 and 19";
            let reply = pull(&mut client, topic, 0, sql).expect(response::SUCCESS);
            assert_eq!(bodies(&reply), ["10", "12", "14"]);
            assert_eq!(reply.number("nextBeginOffset"), 16);
            let reply = pull(&mut client, topic, 16, sql).expect(response::SUCCESS);
            assert_eq!(bodies(&reply), ["16", "18"]);
            let reply = pull(&mut client, topic, 24, sql);
            assert_eq!(reply.code, response::PULL_RETRY_IMMEDIATELY);
            assert_eq!(reply.number("nextBeginOffset"), 40);
            let reply = pull(&mut client, topic, 40, sql);
            assert_eq!(reply.code, response::PULL_NOT_FOUND);
        }
    }
}

fn a_waiting_pull_is_answered_by_a_message_that_it_wants(shards: u32) {
    let directory = process::directory("sql-wait");
    let server = server(directory.path(), shards, true);
    let (mut client, mut producer) = (server.client(), server.client());
    client.create_topic("wait", 1).expect("the broker serves").expect(0);
    pull(&mut client, "wait", 0, "n > 5");
    let waiting = start_pull(&mut client, "wait", 0, "n > 5", 15_000);
    // answered behind the pull, which waits by now
    assert_eq!(client.max_offset("wait", 0).expect("an answer"), 0);
    for number in [1, 2, 6] {
        send(&mut producer, "wait", &number.to_string(), &format!("n\u{1}{number}\u{2}"));
    }
    let reply = client.reply().expect("an answer").expect(response::SUCCESS);
    assert_eq!(reply.opaque, waiting);
    assert_eq!(bodies(&reply), ["6"]);
    assert_eq!(reply.number("nextBeginOffset"), 3);
}

fn a_wrong_expression_is_told_and_sql_can_be_off(shards: u32) {
    let directory = process::directory("sql-wrong");
    let on = server(directory.path(), shards, true);
    let mut client = on.client();
    client.create_topic("wrong", 1).expect("the broker serves").expect(0);
    let reply = pull(&mut client, "wrong", 0, "n LIKE 'x'");
    assert_eq!(reply.code, response::SUBSCRIPTION_PARSE_FAILED);
    assert!(reply.remark.contains("character 2: LIKE"), "{}", reply.remark);
    drop(on);
    let directory = process::directory("sql-off");
    let off = server(directory.path(), shards, false);
    let mut client = off.client();
    client.create_topic("wrong", 1).expect("the broker serves").expect(0);
    let reply = pull(&mut client, "wrong", 0, "n > 5");
    assert_eq!(reply.code, response::SYSTEM_ERROR);
    assert!(reply.remark.contains("enablePropertyFilter"), "{}", reply.remark);
}

/// The broker wrote a line of the level ERROR for each such pull.
fn an_expression_that_takes_too_long_is_refused_and_is_no_fault_of_the_broker(shards: u32) {
    let directory = process::directory("sql-long");
    let server = server(directory.path(), shards, true);
    let mut client = server.client();
    client.create_topic("long", 1).expect("the broker serves").expect(0);
    send(&mut client, "long", "one", &format!("v\u{1}{}\u{2}", "x".repeat(31_000)));
    let sql = vec!["v contains 'y'"; 900].join(" or ");
    let reply = pull(&mut client, "long", 0, &sql);
    assert_eq!(reply.code, response::SYSTEM_ERROR);
    assert!(reply.remark.contains("takes more than 100000 steps"), "{}", reply.remark);
    let reply = pull(&mut client, "long", 0, "v contains 'xx'").expect(response::SUCCESS);
    assert_eq!(bodies(&reply), ["one"]);
}
