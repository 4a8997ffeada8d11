//! Batches, replies of request-reply, and the earliest message: every field that clients read.

use ringmq_remoting::batch::{self, BatchMessage};
use ringmq_remoting::codes::{request, response};

use crate::client::{Answer, Client, GROUP, records};
use crate::process;
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(
    messages_of_a_batch_keep_their_own_tags_flags_and_properties,
    a_reply_brings_all_fields_to_the_asker_and_to_the_answerer,
    a_reply_that_nobody_takes_is_refused,
    the_earliest_message_of_a_queue_and_of_the_broker_is_told,
);

const TOPIC: &str = "produce";

/// The header of a send, of a batch and of a reply, with short names.
fn header<'a>(topic: &'a str, queue: &'a str, properties: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("a", "it_producer"),
        ("b", topic),
        ("c", "TBW102"),
        ("d", "7"),
        ("e", queue),
        ("f", "0"),
        ("g", "1700000000001"),
        ("h", "5"),
        ("i", properties),
        ("j", "0"),
        ("k", "false"),
        ("l", "0"),
    ]
}

/// What a pull with a subscription to tags brings.
fn pull_tagged(client: &mut Client, queue: &str, tags: &str) -> Answer {
    let fields = [
        ("consumerGroup", GROUP),
        ("topic", TOPIC),
        ("queueId", queue),
        ("queueOffset", "0"),
        ("maxMsgNums", "32"),
        ("sysFlag", "4"),
        ("commitOffset", "0"),
        ("suspendTimeoutMillis", "0"),
        ("subscription", tags),
        ("subVersion", "0"),
        ("expressionType", "TAG"),
    ];
    client.call(request::PULL_MESSAGE, &fields, b"").expect("an answer")
}

fn messages_of_a_batch_keep_their_own_tags_flags_and_properties(shards: u32) {
    let directory = process::directory("batch-tags");
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    let mut client = server.client();
    client.create_topic(TOPIC, 4).expect("the broker serves").expect(0);
    let mut body = Vec::new();
    let own = ["TAGS\u{1}red\u{2}n\u{1}0\u{2}", "TAGS\u{1}blue\u{2}n\u{1}1", "n\u{1}2\u{2}", ""];
    for (flag, properties) in (1..).zip(own) {
        let text = format!("body {flag}");
        let properties = properties.as_bytes();
        let message = BatchMessage { flag, body: text.as_bytes(), properties };
        batch::append(&mut body, &message).expect("fits");
    }
    // a queue of every shard, so of the connection's and of others
    for queue in ["0", "1", "2", "3"] {
        let mut fields = header(TOPIC, queue, "all\u{1}common\u{2}");
        fields.push(("m", "true"));
        let reply = client.call(request::SEND_BATCH_MESSAGE, &fields, &body).expect("an answer");
        let reply = reply.expect(response::SUCCESS);
        assert_eq!((reply.number("queueOffset"), &*reply.fields["queueId"]), (0, queue));
        assert_eq!(reply.fields["msgId"].split(',').count(), 4, "{}", reply.fields["msgId"]);
        let mut bodies = |tags: &str| -> Vec<String> {
            let found = records(&pull_tagged(&mut client, queue, tags).body);
            found.into_iter().map(|one| String::from_utf8(one.body).expect("text")).collect()
        };
        assert_eq!(bodies("red"), ["body 1"]);
        assert_eq!(bodies("blue"), ["body 2"]);
        assert_eq!(bodies("red || blue"), ["body 1", "body 2"]);
        assert_eq!(bodies("green"), [""; 0]);
        let all = records(&pull_tagged(&mut client, queue, "*").body);
        for ((flag, own), stored) in (1..).zip(own).zip(&all) {
            assert_eq!(stored.flag, flag);
            assert!(stored.properties.starts_with(own), "{own:?}: {:?}", stored.properties);
            assert!(
                stored.properties.contains("\u{2}all\u{1}common\u{2}") || own.is_empty(),
                "{:?}",
                stored.properties
            );
        }
        assert_eq!(all.len(), 4);
        assert!(all.windows(2).all(|pair| pair[0].store_timestamp == pair[1].store_timestamp));
    }
}

/// A client that can be asked.
fn asker(server: &Server) -> Client {
    let mut asker = server.client();
    let beat = br#"{"clientID":"asker","producerDataSet":[{"groupName":"askers"}]}"#;
    asker.call(request::HEART_BEAT, &[], beat).expect("an answer").expect(response::SUCCESS);
    asker
}

const REPLY_TOPIC: &str = "DefaultCluster_REPLY_TOPIC";

fn a_reply_brings_all_fields_to_the_asker_and_to_the_answerer(shards: u32) {
    let directory = process::directory("reply");
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    let (mut asker, mut answerer) = (asker(&server), server.client());
    let own = answerer.stream().local_addr().expect("connected").to_string();
    for offset in 0..3 {
        let sent = "REPLY_TO_CLIENT\u{1}asker\u{2}CORRELATION_ID\u{1}c1\u{2}";
        let mut fields = header(REPLY_TOPIC, "0", sent);
        fields.push(("m", "false"));
        let code = request::SEND_REPLY_MESSAGE_V2;
        let opaque = answerer.start(code, false, &fields, b"forty-two").expect("it reads");
        let pushed = asker.request().expect("the reply").expect(326);
        asker.answer(pushed.opaque, response::SUCCESS, None).expect("the broker reads");
        assert_eq!(pushed.body, b"forty-two");
        let address = server.address.to_string();
        for (name, expected) in [
            ("producerGroup", "it_producer"),
            ("topic", REPLY_TOPIC),
            ("defaultTopic", "TBW102"),
            ("defaultTopicQueueNums", "7"),
            ("queueId", "0"),
            ("sysFlag", "0"),
            ("bornTimestamp", "1700000000001"),
            ("flag", "5"),
            ("reconsumeTimes", "0"),
            ("unitMode", "false"),
            ("bornHost", own.as_str()),
            ("storeHost", address.as_str()),
        ] {
            let found = pushed.fields.get(name).map(String::as_str);
            assert_eq!(found, Some(expected), "{name} of {pushed:?}");
        }
        let pushed_at = pushed.number("storeTimestamp");
        let properties = format!("{sent}PUSH_REPLY_TIME\u{1}{pushed_at}\u{2}");
        assert_eq!(pushed.fields["properties"], properties);
        let reply = answerer.reply().expect("an answer").expect(response::SUCCESS);
        assert_eq!((reply.opaque, reply.number("queueOffset")), (opaque, offset), "{reply:?}");
        assert_eq!((reply.number("queueId"), reply.fields["msgId"].len()), (0, 32));
        assert_eq!(reply.fields["MSG_REGION"], "DefaultRegion");
        assert_eq!(reply.fields["TRACE_ON"], "true");
    }
    let stored = answerer.pull(REPLY_TOPIC, 0, 0, 32).expect("an answer").messages;
    assert_eq!(stored.len(), 3, "replies are stored as well");
    assert!(stored.iter().all(|message| message.body == b"forty-two" && message.flag == 5));
}

fn a_reply_that_nobody_takes_is_refused(shards: u32) {
    let directory = process::directory("reply-lost");
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    server.process.expects("reply not delivered");
    let (mut asker, mut answerer) = (asker(&server), server.client());
    let code = request::SEND_REPLY_MESSAGE_V2;
    for (properties, remark) in [
        ("REPLY_TO_CLIENT\u{1}asker\u{2}", "push reply message to askerfail. no"),
        ("REPLY_TO_CLIENT\u{1}stranger\u{2}", "channel of <stranger> not found"),
        ("WAIT\u{1}true\u{2}", "properties[REPLY_TO_CLIENT] is null"),
        ("REPLY_TO_CLIENT\u{1}stranger\u{2}DELAY\u{1}3\u{2}", "is not for replies without delay"),
    ] {
        let fields = header(REPLY_TOPIC, "0", properties);
        answerer.start(code, false, &fields, b"42").expect("the broker reads");
        if properties.contains("asker") {
            let pushed = asker.request().expect("the reply");
            asker.answer(pushed.opaque, response::SYSTEM_ERROR, Some("no")).expect("it reads");
        }
        let refused = answerer.reply().expect("an answer").expect(response::SYSTEM_ERROR);
        assert!(refused.remark.contains(remark), "{}", refused.remark);
    }
    let fields = header(REPLY_TOPIC, "0", "");
    let long = "g".repeat(256);
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (*name, if *name == "a" { &long } else { *value }))
        .collect();
    let refused = answerer.call(code, &fields, b"42");
    assert_ne!(refused.expect("an answer").code, response::SUCCESS);
}

fn the_earliest_message_of_a_queue_and_of_the_broker_is_told(shards: u32) {
    let directory = process::directory("earliest");
    let extra = vec![("cleanResourceInterval", "100".to_owned())];
    let server =
        Server::start(directory.path(), &Settings { shards, extra, ..Settings::default() });
    let mut client = server.client();
    client.create_topic(TOPIC, 4).expect("the broker serves").expect(0);
    let earliest = |client: &mut Client, queue: &str| {
        let fields = [("topic", TOPIC), ("queueId", queue)];
        let reply = client.call(request::GET_EARLIEST_MSG_STORETIME, &fields, b"");
        reply.expect("an answer").expect(response::SUCCESS).number("timestamp")
    };
    let mut times = Vec::new();
    for queue in 0..4 {
        let name = queue.to_string();
        assert_eq!(earliest(&mut client, &name), -1, "an empty queue");
        for _ in 0..2 {
            client.send(TOPIC, queue, b"body").expect("an answer").expect(0);
        }
        let stored = client.pull(TOPIC, queue, 0, 32).expect("an answer").messages;
        assert_eq!(stored.len(), 2);
        times.push(stored[0].store_timestamp);
        assert_eq!(earliest(&mut client, &name), stored[0].store_timestamp);
    }
    let first = *times.iter().min().expect("four queues");
    crate::runtime_info::await_value(&mut client, "earliestMessageTimeStamp", &first.to_string());
}
