//! Queries by key and by unique id, over several shards and over a kill.

use ringmq_base::record::Record;
use ringmq_remoting::codes::{request, response};

use crate::client::{Answer, Client};
use crate::process;
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(
    messages_are_found_by_key_in_all_shards_and_after_a_kill,
    without_an_index_nothing_is_found_by_key,
);

const QUEUES: u32 = 4;

fn send(client: &mut Client, queue: i32, number: i32) {
    let queue = queue.to_string();
    let properties =
        format!("KEYS\u{1}all n{number}\u{2}UNIQ_KEY\u{1}U{number:04}\u{2}WAIT\u{1}true\u{2}");
    let fields = [
        ("a", "it_producer"),
        ("b", "query"),
        ("c", "TBW102"),
        ("d", "4"),
        ("e", queue.as_str()),
        ("f", "0"),
        ("g", "1700000000000"),
        ("h", "0"),
        ("i", properties.as_str()),
        ("j", "0"),
        ("k", "false"),
        ("l", "0"),
        ("m", "false"),
    ];
    let body = number.to_string();
    let reply = client.call(request::SEND_MESSAGE_V2, &fields, body.as_bytes());
    reply.expect("an answer").expect(response::SUCCESS);
}

fn query(client: &mut Client, key: &str, max: i32, times: (i64, i64), unique: bool) -> Answer {
    let (max, begin, end) = (max.to_string(), times.0.to_string(), times.1.to_string());
    let mut fields = vec![
        ("topic", "query"),
        ("key", key),
        ("maxNum", max.as_str()),
        ("beginTimestamp", begin.as_str()),
        ("endTimestamp", end.as_str()),
    ];
    if unique {
        fields.push(("_UNIQUE_KEY_QUERY", "true"));
    }
    client.call(request::QUERY_MESSAGE, &fields, b"").expect("an answer")
}

/// Bodies, store times and physical offsets of an answer.
fn found(reply: &Answer) -> Vec<(String, i64, i64)> {
    let mut rest = reply.body.as_slice();
    let mut all = Vec::new();
    while !rest.is_empty() {
        let record = Record::decode(rest).expect("records are whole");
        let body = std::str::from_utf8(record.body).expect("text").to_owned();
        all.push((body, record.store_timestamp, record.physical_offset));
        rest = &rest[record.size..];
    }
    all
}

fn check(client: &mut Client) {
    const ALWAYS: (i64, i64) = (0, i64::MAX);
    let all = query(client, "all", 100, ALWAYS, false).expect(response::SUCCESS);
    let messages = found(&all);
    assert_eq!(messages.len(), 64, "as many as a batch has");
    assert!(messages.windows(2).all(|pair| pair[0].1 <= pair[1].1), "in the order of storing");
    let newest = messages.last().expect("not empty");
    assert_eq!(all.number("indexLastUpdateTimestamp"), newest.1);
    assert!(all.number("indexLastUpdatePhyoffset") > 0);
    for number in [0, 1, 50, 99] {
        let key = format!("n{number}");
        let one = query(client, &key, 32, ALWAYS, false).expect(response::SUCCESS);
        let one = found(&one);
        assert_eq!((one.len(), one[0].0.as_str()), (1, number.to_string().as_str()));
        let (_, time, offset) = one[0];
        let unique = format!("U{number:04}");
        let reply = query(client, &unique, 0, (time, time), true).expect(response::SUCCESS);
        assert_eq!(found(&reply), one);
        let offset = offset.to_string();
        let view = [("offset", offset.as_str())];
        let view = client.call(request::VIEW_MESSAGE_BY_ID, &view, b"").expect("an answer");
        assert_eq!(found(&view.expect(response::SUCCESS)), one);
        let outside = query(client, &key, 32, (time + 1, i64::MAX), false);
        assert_eq!(outside.code, response::QUERY_NOT_FOUND);
    }
    let unknown = query(client, "nowhere", 32, ALWAYS, false).expect(response::QUERY_NOT_FOUND);
    assert_eq!(unknown.remark, "can not find message, maybe time range not correct");
}

fn messages_are_found_by_key_in_all_shards_and_after_a_kill(shards: u32) {
    let directory = process::directory("query");
    let settings = Settings { shards, ..Settings::default() };
    let mut server = Server::start(directory.path(), &settings);
    let mut client = server.client();
    client.create_topic("query", QUEUES).expect("the broker serves").expect(0);
    for number in 0..100 {
        send(&mut client, number % QUEUES.cast_signed(), number);
    }
    check(&mut client);
    server.process.kill9();
    drop(server);
    let server = Server::start(directory.path(), &settings);
    check(&mut server.client());
}

fn without_an_index_nothing_is_found_by_key(shards: u32) {
    let directory = process::directory("no-index");
    let extra = vec![("messageIndexEnable", "false".to_owned())];
    let server =
        Server::start(directory.path(), &Settings { shards, extra, ..Settings::default() });
    let mut client = server.client();
    client.create_topic("query", QUEUES).expect("the broker serves").expect(0);
    send(&mut client, 0, 7);
    let reply = query(&mut client, "n7", 32, (0, i64::MAX), false);
    assert_eq!(reply.code, response::QUERY_NOT_FOUND, "{}", reply.remark);
    assert!(reply.body.is_empty());
}
