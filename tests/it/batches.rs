//! Batches at a shard's edge: the answer does not depend on which shard the connection is on, and a
//! batch is stored whole or refused whole.

use std::collections::HashSet;

use ringmq_remoting::batch::{self, BatchMessage};
use ringmq_remoting::codes::{request, response};
use ringmq_remoting::message_id::MessageId;

use crate::client::{Answer, Client, records};
use crate::process;
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(a_large_batch_is_stored_whole_or_refused_whole_from_every_shard);

const TOPIC: &str = "batches";
const QUEUES: i32 = 4;

/// Messages of so many bytes, each with properties of its own of so many bytes.
fn body_of(messages: impl IntoIterator<Item = (usize, usize)>) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, (bytes, properties)) in (0..).zip(messages) {
        let body = vec![number; bytes];
        let properties = match properties {
            0 => String::new(),
            bytes => format!("K\u{1}{}", "v".repeat(bytes - 2)),
        };
        let message = BatchMessage { flag: 0, body: &body, properties: properties.as_bytes() };
        batch::append(&mut out, &message).expect("fits");
    }
    out
}

fn send(client: &mut Client, queue: i32, body: &[u8]) -> Answer {
    let queue = queue.to_string();
    let fields = [
        ("a", "it_producer"),
        ("b", TOPIC),
        ("c", "TBW102"),
        ("d", "4"),
        ("e", queue.as_str()),
        ("f", "0"),
        ("g", "1700000000001"),
        ("h", "0"),
        ("i", "all\u{1}common\u{2}"),
        ("j", "0"),
        ("k", "false"),
        ("l", "0"),
        ("m", "true"),
    ];
    client.call(request::SEND_BATCH_MESSAGE, &fields, body).expect("an answer")
}

/// Each id names the message of the batch that it should.
fn check_ids(client: &mut Client, reply: &Answer, first: i64, count: usize) {
    let ids: Vec<&str> = reply.fields["msgId"].split(',').collect();
    assert_eq!(ids.len(), count);
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), count, "{ids:?}");
    for (number, id) in ids.into_iter().enumerate() {
        let (_, position) = MessageId::parse(id).expect("an id");
        let position = position.to_string();
        let fields = [("offset", position.as_str())];
        let found = client.call(request::VIEW_MESSAGE_BY_ID, &fields, b"").expect("an answer");
        let found = records(&found.expect(response::SUCCESS).body);
        assert_eq!(found[0].queue_offset, first + number as i64);
        assert_eq!(found[0].body[0], number as u8);
    }
}

fn a_large_batch_is_stored_whole_or_refused_whole_from_every_shard(shards: u32) {
    let directory = process::directory("batches");
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    let mut clients: Vec<Client> = (0..shards).map(|_| server.client()).collect();
    clients[0].create_topic(TOPIC, 4).expect("the broker serves").expect(0);
    let large = body_of([(32 << 10, 0); 64]);
    let mut first_too_long = [(100, 0); 65];
    first_too_long[0].1 = 32_755;
    let mut third_too_long = [(100, 0); 4];
    third_too_long[2].1 = 32_760;
    for client in &mut clients {
        for queue in 0..QUEUES {
            let first = client.max_offset(TOPIC, queue).expect("the broker serves");
            for refused in [body_of(first_too_long), body_of(third_too_long)] {
                send(client, queue, &refused).expect(response::MESSAGE_ILLEGAL);
                let end = client.max_offset(TOPIC, queue).expect("the broker serves");
                assert_eq!(end, first, "a part of what was refused is stored");
            }
            let reply = send(client, queue, &large).expect(response::SUCCESS);
            assert_eq!(reply.number("queueOffset"), first);
            check_ids(client, &reply, first, 64);
            let end = client.max_offset(TOPIC, queue).expect("the broker serves");
            assert_eq!(end, first + 64);
        }
    }
}
