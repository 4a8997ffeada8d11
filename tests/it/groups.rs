//! What the settings of a consumer group do while its members consume, and what is counted of them.

use std::time::{Duration, Instant};

use ringmq_remoting::body::{
    BrokerStatsData, ConsumeStats, CustomizedRetryPolicy, GroupRetryPolicy,
    SubscriptionGroupConfig, SubscriptionGroupWrapper, TopicConfig,
};
use ringmq_remoting::codes::{pull_flag, request, response};
use ringmq_remoting::fastjson;
use serde_json::json;

use crate::client::Client;
use crate::process;
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(
    a_pull_that_waits_is_answered_at_once_when_its_group_may_not_consume_any_more,
    a_retry_topic_gets_the_queues_that_its_group_is_given,
    messages_of_a_batch_are_sent_back_one_by_one,
    what_topics_and_groups_do_is_counted,
);

const TOPIC: &str = "grouped";
const GROUP: &str = "grouped_readers";

fn server(shards: u32) -> (tempfile::TempDir, Server) {
    let directory = process::directory("groups");
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    server.client().create_topic(TOPIC, 4).expect("the broker serves").expect(0);
    (directory, server)
}

fn group() -> SubscriptionGroupConfig {
    SubscriptionGroupConfig { group_name: GROUP.to_owned(), ..SubscriptionGroupConfig::default() }
}

fn set_group(client: &mut Client, config: &SubscriptionGroupConfig) {
    let body = fastjson::to_vec(config);
    let code = request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP;
    client.call(code, &[], &body).expect("an answer").expect(response::SUCCESS);
}

fn set_topic(client: &mut Client, perm: &str) {
    let fields = [
        ("topic", TOPIC),
        ("defaultTopic", "TBW102"),
        ("readQueueNums", "4"),
        ("writeQueueNums", "4"),
        ("perm", perm),
        ("topicFilterType", "SINGLE_TAG"),
    ];
    let reply = client.call(request::UPDATE_AND_CREATE_TOPIC, &fields, b"");
    reply.expect("an answer").expect(response::SUCCESS);
}

/// Joins the group, as a client that broadcasts or not.
fn join(client: &mut Client, id: &str, model: &str) {
    let beat = json!({
        "clientID": id,
        "consumerDataSet": [{
            "groupName": GROUP,
            "consumeType": "CONSUME_PASSIVELY",
            "messageModel": model,
            "consumeFromWhere": "CONSUME_FROM_FIRST_OFFSET",
            "subscriptionDataSet": [{"topic": TOPIC, "subString": "*"}],
        }],
    });
    let reply = client.call(request::HEART_BEAT, &[], beat.to_string().as_bytes());
    reply.expect("an answer").expect(response::SUCCESS);
}

/// Starts a pull that waits for a message of a queue; `own`: with its subscription.
fn start_pull(client: &mut Client, (queue, offset): (i32, i64), own: bool) -> i32 {
    let (queue, offset) = (queue.to_string(), offset.to_string());
    let own = if own { pull_flag::SUBSCRIPTION } else { 0 };
    let flag = (pull_flag::SUSPEND | own).to_string();
    let fields = [
        ("consumerGroup", GROUP),
        ("topic", TOPIC),
        ("queueId", queue.as_str()),
        ("queueOffset", offset.as_str()),
        ("maxMsgNums", "32"),
        ("sysFlag", flag.as_str()),
        ("commitOffset", "0"),
        ("suspendTimeoutMillis", "60000"),
        ("subscription", "*"),
        ("subVersion", "0"),
        ("expressionType", "TAG"),
    ];
    client.start(request::PULL_MESSAGE, false, &fields, b"").expect("sent")
}

fn a_pull_that_waits_is_answered_at_once_when_its_group_may_not_consume_any_more(shards: u32) {
    let (_directory, server) = server(shards);
    let mut tool = server.client();
    let off = SubscriptionGroupConfig { consume_enable: false, ..group() };
    let quiet = SubscriptionGroupConfig { consume_broadcast_enable: false, ..group() };
    type Change<'a> = &'a dyn Fn(&mut Client);
    let forbidden = "subscription group no permission, grouped_readers";
    let broadcast = "the consumer group[grouped_readers] can not consume by broadcast way";
    let unreadable = "the topic[grouped] pulling message is forbidden";
    let cases: [(&str, bool, Change<'_>, &str); 3] = [
        ("CLUSTERING", true, &|tool| set_group(tool, &off), forbidden),
        ("BROADCASTING", false, &|tool| set_group(tool, &quiet), broadcast),
        ("CLUSTERING", true, &|tool| set_topic(tool, "2"), unreadable),
    ];
    for (sent, (model, own, forbid, remark)) in (0..).zip(cases) {
        set_group(&mut tool, &group());
        set_topic(&mut tool, "6");
        let mut readers: Vec<Client> = (0..4).map(|_| server.client()).collect();
        for (queue, reader) in (0..).zip(&mut readers) {
            join(reader, &format!("reader-{queue}"), model);
            start_pull(reader, (queue, sent), own);
        }
        // What is sent on the same connection behind a pull is handled behind it.
        for reader in &mut readers {
            let opaque = reader.start(
                request::GET_MIN_OFFSET,
                false,
                &[("topic", TOPIC), ("queueId", "0")],
                b"",
            );
            let reply = reader.reply().expect("an answer");
            assert_eq!(reply.opaque, opaque.expect("sent"), "the pull waits: {reply:?}");
        }
        let begun = Instant::now();
        forbid(&mut tool);
        for queue in 0..4 {
            let sent = tool.send(TOPIC, queue, b"must not be seen");
            assert_eq!(sent.expect("an answer").code, response::SUCCESS);
        }
        for reader in &mut readers {
            let refused = reader.reply().expect("an answer");
            assert_eq!((refused.code, &*refused.remark), (response::NO_PERMISSION, remark));
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "not when their time was over");
    }
    set_topic(&mut tool, "6");
    let mut reader = server.client();
    start_pull(&mut reader, (0, 3), true);
    reader.create_topic("behind", 1).expect("an answer").expect(0);
    let deleted = tool.call(request::DELETE_TOPIC_IN_BROKER, &[("topic", TOPIC)], b"");
    deleted.expect("an answer").expect(response::SUCCESS);
    let gone = reader.reply().expect("an answer").expect(response::TOPIC_NOT_EXIST);
    assert!(gone.remark.starts_with("topic[grouped] not exist"), "{}", gone.remark);
}

fn topic_config(client: &mut Client, topic: &str) -> TopicConfig {
    let reply = client.call(request::GET_TOPIC_CONFIG, &[("topic", topic)], b"");
    let body = reply.expect("an answer").expect(response::SUCCESS).body;
    fastjson::from_slice(&body).expect("a topic")
}

fn send_back(client: &mut Client, offset: i64, level: &str) {
    let offset = offset.to_string();
    let fields = [("offset", offset.as_str()), ("group", GROUP), ("delayLevel", level)];
    let reply = client.call(request::CONSUMER_SEND_MSG_BACK, &fields, b"");
    reply.expect("an answer").expect(response::SUCCESS);
}

fn max_offsets(client: &mut Client, topic: &str, queues: i32) -> Vec<i64> {
    (0..queues).map(|queue| client.max_offset(topic, queue).expect("an answer")).collect()
}

/// The physical offset in the id of a message.
fn physical(id: &str) -> i64 {
    i64::from_str_radix(&id[16..], 16).expect("an id")
}

fn a_retry_topic_gets_the_queues_that_its_group_is_given(shards: u32) {
    let (_directory, server) = server(shards);
    let mut client = server.client();
    let policy = GroupRetryPolicy {
        kind: Some("CUSTOMIZED".to_owned()),
        customized_retry_policy: Some(CustomizedRetryPolicy { next: vec![1000, 5000] }),
        ..GroupRetryPolicy::default()
    };
    let config = SubscriptionGroupConfig { group_retry_policy: Some(policy.clone()), ..group() };
    set_group(&mut client, &config);
    join(&mut client, "reader", "CLUSTERING");
    let retry = format!("%RETRY%{GROUP}");
    let queues = |config: TopicConfig| (config.read_queue_nums, config.write_queue_nums);
    assert_eq!(queues(topic_config(&mut client, &retry)), (1, 1));
    let more = SubscriptionGroupConfig { retry_queue_nums: 5, ..config.clone() };
    set_group(&mut client, &more);
    assert_eq!(queues(topic_config(&mut client, &retry)), (5, 5));
    let sent = client.send(TOPIC, 1, b"again").expect("an answer").expect(0);
    let offset = physical(&sent.fields["msgId"]);
    // Level 1 comes back after a second.
    for _ in 0..40 {
        send_back(&mut client, offset, "1");
    }
    let begun = Instant::now();
    let found = loop {
        let found = max_offsets(&mut client, &retry, 5);
        if found.iter().sum::<i64>() == 40 {
            break found;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{found:?}");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(found.iter().all(|count| *count > 0), "{found:?}");
    // With fewer none goes into those that are not used any more, which can be read on.
    set_group(&mut client, &SubscriptionGroupConfig { retry_queue_nums: 2, ..config });
    assert_eq!(queues(topic_config(&mut client, &retry)), (5, 5));
    for _ in 0..20 {
        send_back(&mut client, offset, "1");
    }
    let begun = Instant::now();
    while max_offsets(&mut client, &retry, 5).iter().sum::<i64>() < 60 {
        assert!(begun.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(max_offsets(&mut client, &retry, 5)[2..], found[2..]);
    let body = client.call(request::GET_ALL_SUBSCRIPTIONGROUP_CONFIG, &[], b"");
    let body = body.expect("an answer").expect(response::SUCCESS).body;
    let all: SubscriptionGroupWrapper = fastjson::from_slice(&body).expect("a table");
    assert_eq!(all.subscription_group_table[GROUP].group_retry_policy, Some(policy));
}

fn messages_of_a_batch_are_sent_back_one_by_one(shards: u32) {
    let (_directory, server) = server(shards);
    let mut client = server.client();
    join(&mut client, "reader", "CLUSTERING");
    let mut body = Vec::new();
    for text in ["first", "second", "third"] {
        let (body_of, properties) = (text.as_bytes(), &b"TAGS\x01a\x02"[..]);
        let message = ringmq_remoting::batch::BatchMessage { flag: 0, body: body_of, properties };
        ringmq_remoting::batch::append(&mut body, &message).expect("fits");
    }
    let fields = [
        ("a", "producer"),
        ("b", TOPIC),
        ("c", "TBW102"),
        ("d", "4"),
        ("e", "2"),
        ("f", "0"),
        ("g", "1"),
        ("h", "0"),
        ("i", ""),
        ("j", "0"),
        ("k", "false"),
        ("m", "true"),
    ];
    let sent = client.call(request::SEND_BATCH_MESSAGE, &fields, &body);
    let sent = sent.expect("an answer").expect(response::SUCCESS);
    let ids: Vec<&str> = sent.fields["msgId"].split(',').collect();
    assert_eq!(ids.len(), 3);
    // to the dead letter topic at once
    send_back(&mut client, physical(ids[1]), "-1");
    let dead = format!("%DLQ%{GROUP}");
    let config = topic_config(&mut client, &dead);
    assert_eq!((config.read_queue_nums, config.perm), (1, 6));
    let pulled = client.pull(&dead, 0, 0, 32).expect("an answer").messages;
    assert_eq!((pulled.len(), &*pulled[0].body), (1, &b"second"[..]));
    assert!(pulled[0].properties.contains("RETRY_TOPIC\u{1}grouped"), "{}", pulled[0].properties);
}

fn stats(client: &mut Client, name: &str, key: &str) -> Option<BrokerStatsData> {
    let fields = [("statsName", name), ("statsKey", key)];
    let reply = client.call(request::VIEW_BROKER_STATS_DATA, &fields, b"").expect("an answer");
    if reply.code == response::SUCCESS {
        return Some(fastjson::from_slice(&reply.body).expect("statistics"));
    }
    assert_eq!(reply.remark, format!("The stats <{name}> <{key}> not exist"));
    None
}

fn what_topics_and_groups_do_is_counted(shards: u32) {
    let (_directory, server) = server(shards);
    let mut client = server.client();
    let own = format!("{TOPIC}@{GROUP}");
    for (name, key) in
        [("TOPIC_PUT_NUMS", TOPIC), ("GROUP_GET_NUMS", &*own), ("GROUP_GET_FALL_TIME", "x")]
    {
        assert_eq!(stats(&mut client, name, key), None);
    }
    join(&mut client, "reader", "CLUSTERING");
    let mut bytes = 0;
    let mut last = 0;
    for queue in 0..4 {
        for _ in 0..5 {
            let sent = client.send(TOPIC, queue, b"body").expect("an answer").expect(0);
            last = physical(&sent.fields["msgId"]);
        }
        start_pull(&mut client, (queue, 0), true);
        bytes += client.reply().expect("an answer").expect(response::SUCCESS).body.len();
    }
    send_back(&mut client, last, "-1");
    // Asked for more often than once a second, statistics are as old as that.
    let begun = Instant::now();
    let back = loop {
        if let Some(back) = stats(&mut client, "SNDBCK_PUT_NUMS", &own) {
            break back;
        }
        assert!(begun.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!((back.stats_minute.sum, back.stats_day.sum), (1, 1));
    let bytes = i64::try_from(bytes).expect("few");
    for (name, key, sum, average) in [
        ("TOPIC_PUT_NUMS", TOPIC, 20, 1.0),
        ("TOPIC_PUT_SIZE", TOPIC, bytes, bytes as f64 / 20.0),
        ("GROUP_GET_NUMS", &own, 20, 5.0),
        ("GROUP_GET_SIZE", &own, bytes, bytes as f64 / 4.0),
        ("BROKER_GET_NUMS", "DefaultCluster", 20, 5.0),
    ] {
        let found = stats(&mut client, name, key).expect(name);
        for window in [found.stats_minute, found.stats_hour, found.stats_day] {
            assert_eq!((window.sum, window.avgpt), (sum, average), "{name} {found:?}");
            assert!(window.tps > 0.0, "{name} {found:?}");
        }
    }
    assert_eq!(
        stats(&mut client, "BROKER_PUT_NUMS", "DefaultCluster").expect("counted").stats_day.sum,
        21
    );
    stats(&mut client, "GROUP_GET_LATENCY", &format!("0@{own}")).expect("counted");
    let fields = [("consumerGroup", GROUP), ("topic", TOPIC)];
    let body = client.call(request::GET_CONSUME_STATS, &fields, b"");
    let body = body.expect("an answer").expect(response::SUCCESS).body;
    let of_group: ConsumeStats = fastjson::from_slice(&body).expect("a table");
    assert!(of_group.consume_tps > 0.0, "{of_group:?}");
    let deleted = client.call(request::DELETE_TOPIC_IN_BROKER, &[("topic", TOPIC)], b"");
    deleted.expect("an answer").expect(response::SUCCESS);
    assert_eq!(stats(&mut client, "TOPIC_PUT_NUMS", TOPIC), None);
}
