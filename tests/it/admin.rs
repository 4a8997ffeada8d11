//! What tools ask a broker: its topics, groups, clients and how far groups are.

use ringmq_remoting::body::{
    ConsumeStats, ConsumerConnection, SubscriptionGroupConfig, SubscriptionGroupWrapper,
    TopicConfigSerializeWrapper,
};
use ringmq_remoting::codes::{request, response};
use ringmq_remoting::fastjson;
use serde_json::{Value, json};

use crate::client::Client;
use crate::process;
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(
    topics_are_listed_as_they_were_made_also_after_a_restart,
    groups_are_listed_as_they_were_made_also_after_a_restart,
    lists_of_topics_and_groups_are_made_whole_or_not_at_all,
    consumers_are_listed_until_they_leave,
    a_group_is_told_how_far_it_is_in_every_queue,
);

fn server(name: &str, shards: u32) -> (tempfile::TempDir, Server) {
    let directory = process::directory(name);
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    (directory, server)
}

fn restarted(directory: &tempfile::TempDir, mut server: Server, shards: u32) -> Server {
    server.process.kill9();
    drop(server);
    Server::start(directory.path(), &Settings { shards, ..Settings::default() })
}

fn ask(client: &mut Client, code: i32, fields: &[(&str, &str)]) -> Vec<u8> {
    client.call(code, fields, b"").expect("an answer").expect(response::SUCCESS).body
}

fn topics_are_listed_as_they_were_made_also_after_a_restart(shards: u32) {
    let (directory, mut server) = server("topics", shards);
    let fields = [
        ("topic", "made"),
        ("defaultTopic", "TBW102"),
        ("readQueueNums", "5"),
        ("writeQueueNums", "3"),
        ("perm", "4"),
        ("topicFilterType", "SINGLE_TAG"),
        ("topicSysFlag", "0"),
        ("order", "true"),
    ];
    let made = server.client().call(request::UPDATE_AND_CREATE_TOPIC, &fields, b"");
    made.expect("an answer").expect(response::SUCCESS);
    let mut seen = None;
    for again in [false, true] {
        if again {
            server = restarted(&directory, server, shards);
        }
        let body = ask(&mut server.client(), request::GET_ALL_TOPIC_CONFIG, &[]);
        let all: TopicConfigSerializeWrapper = fastjson::from_slice(&body).expect("a table");
        let made = &all.topic_config_table["made"];
        assert_eq!((made.read_queue_nums, made.write_queue_nums, made.perm), (5, 3, 4));
        assert!(made.order && made.topic_name == "made");
        assert!(all.topic_config_table.contains_key("TBW102"), "{all:?}");
        let version = all.data_version;
        assert!(version.counter > 0 && version.timestamp > 1_700_000_000_000, "{version:?}");
        assert_eq!(*seen.get_or_insert(version.counter), version.counter);
        let one = ask(&mut server.client(), request::GET_TOPIC_CONFIG, &[("topic", "made")]);
        let one: Value = serde_json::from_slice(&one).expect("JSON");
        assert_eq!((&one["readQueueNums"], &one["topicName"]), (&json!(5), &json!("made")));
        let system = ask(&mut server.client(), request::GET_SYSTEM_TOPIC_LIST_FROM_BROKER, &[]);
        let system: Value = serde_json::from_slice(&system).expect("JSON");
        let system = system["topicList"].as_array().expect("a list");
        assert!(system.contains(&json!("TBW102")) && !system.contains(&json!("made")));
    }
}

fn groups_are_listed_as_they_were_made_also_after_a_restart(shards: u32) {
    let (directory, mut server) = server("groups", shards);
    let made = SubscriptionGroupConfig {
        group_name: "made".to_owned(),
        consume_enable: false,
        consume_from_min_enable: false,
        consume_broadcast_enable: false,
        consume_message_orderly: true,
        retry_queue_nums: 2,
        retry_max_times: 7,
        broker_id: 3,
        which_broker_when_consume_slowly: 4,
        notify_consumer_ids_changed_enable: false,
        group_sys_flag: 1,
        consume_timeout_minute: 9,
        ..SubscriptionGroupConfig::default()
    };
    let body = fastjson::to_vec(&made);
    let code = request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP;
    server.client().call(code, &[], &body).expect("an answer").expect(response::SUCCESS);
    for again in [false, true] {
        if again {
            server = restarted(&directory, server, shards);
        }
        let body = ask(&mut server.client(), request::GET_ALL_SUBSCRIPTIONGROUP_CONFIG, &[]);
        let all: SubscriptionGroupWrapper = fastjson::from_slice(&body).expect("a table");
        let found = serde_json::to_value(&all.subscription_group_table["made"]).expect("JSON");
        assert_eq!(found, serde_json::to_value(&made).expect("JSON"), "restarted: {again}");
        assert!(all.data_version.counter > 0, "{:?}", all.data_version);
    }
    let mut client = server.client();
    ask(&mut client, request::DELETE_SUBSCRIPTIONGROUP, &[("groupName", "made")]);
    let body = ask(&mut client, request::GET_ALL_SUBSCRIPTIONGROUP_CONFIG, &[]);
    let all: SubscriptionGroupWrapper = fastjson::from_slice(&body).expect("a table");
    assert!(!all.subscription_group_table.contains_key("made"));
}

fn beat(client: &mut Client, id: &str) {
    let beat = json!({
        "clientID": id,
        "consumerDataSet": [{
            "groupName": "watched",
            "consumeType": "CONSUME_PASSIVELY",
            "messageModel": "CLUSTERING",
            "consumeFromWhere": "CONSUME_FROM_FIRST_OFFSET",
            "subscriptionDataSet": [{"topic": "T", "subString": "a || b", "tagsSet": ["a", "b"]}],
        }],
        "producerDataSet": [{"groupName": "makers"}],
    });
    let reply = client.call(request::HEART_BEAT, &[], beat.to_string().as_bytes());
    reply.expect("an answer").expect(response::SUCCESS);
}

/// Requests of RocketMQ 5, and two for files that RingMQ does not have.
fn lists_of_topics_and_groups_are_made_whole_or_not_at_all(shards: u32) {
    let (_directory, server) = server("lists", shards);
    let mut client = server.client();
    let mut make = |code: i32, list: &str, name: &str, names: [&str; 2]| {
        let [one, two] = names.map(|value| json!({ name: value }));
        let body = json!({ list: [one, two] }).to_string();
        client.call(code, &[], body.as_bytes()).expect("an answer")
    };
    let (topics, groups) =
        (request::UPDATE_AND_CREATE_TOPIC_LIST, request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST);
    make(topics, "topicConfigList", "topicName", ["T1", "T2"]).expect(response::SUCCESS);
    make(groups, "groupConfigList", "groupName", ["G1", "G2"]).expect(response::SUCCESS);
    let refused = make(topics, "topicConfigList", "topicName", ["T3", "not legal!"]);
    assert_eq!(refused.code, response::SYSTEM_ERROR, "{}", refused.remark);
    let refused = make(groups, "groupConfigList", "groupName", ["G3", ""]);
    assert_eq!(refused.code, response::SYSTEM_ERROR, "{}", refused.remark);
    for (topic, code) in [("T1", 0), ("T2", 0), ("T3", response::TOPIC_NOT_EXIST)] {
        let found = client.call(request::GET_TOPIC_CONFIG, &[("topic", topic)], b"");
        assert_eq!(found.expect("an answer").code, code, "{topic}");
    }
    for (group, code) in [("G1", 0), ("G2", 0), ("G3", response::SUBSCRIPTION_GROUP_NOT_EXIST)] {
        let found = client.call(request::GET_SUBSCRIPTIONGROUP_CONFIG, &[("group", group)], b"");
        let found = found.expect("an answer");
        assert_eq!(found.code, code, "{group}");
        if code == response::SUCCESS {
            let config: SubscriptionGroupConfig = fastjson::from_slice(&found.body).expect("one");
            assert_eq!((&*config.group_name, config.retry_max_times), (group, 16));
        }
    }
    for code in [request::CLEAN_EXPIRED_CONSUMEQUEUE, request::CLEAN_UNUSED_TOPIC] {
        client.call(code, &[], b"").expect("an answer").expect(response::SUCCESS);
    }
}

fn consumers_are_listed_until_they_leave(shards: u32) {
    let (_directory, server) = server("consumers", shards);
    let (mut one, mut two, mut tool) = (server.client(), server.client(), server.client());
    let fields = [("consumerGroup", "watched")];
    let list = |tool: &mut Client| -> Vec<String> {
        let reply = tool.call(request::GET_CONSUMER_LIST_BY_GROUP, &fields, b"");
        let body = reply.expect("an answer").body;
        let list: Value = serde_json::from_slice(&body).unwrap_or_default();
        let ids = list["consumerIdList"].as_array().cloned().unwrap_or_default();
        let mut ids: Vec<_> = ids.iter().map(|id| id.as_str().expect("text").to_owned()).collect();
        ids.sort();
        ids
    };
    assert_eq!(list(&mut tool), [""; 0]);
    beat(&mut one, "client-1");
    beat(&mut two, "client-2");
    assert_eq!(list(&mut tool), ["client-1", "client-2"]);
    let body = ask(&mut tool, request::GET_CONSUMER_CONNECTION_LIST, &fields);
    let body: ConsumerConnection = fastjson::from_slice(&body).expect("connections");
    let own = one.stream().local_addr().expect("connected").to_string();
    let found = body.connection_set.iter().find(|found| found.client_id == "client-1");
    let found = found.expect("it is listed");
    assert_eq!((&*found.client_addr, &*found.language), (&*own, "JAVA"));
    assert_eq!(body.consume_type.as_deref(), Some("CONSUME_PASSIVELY"));
    assert_eq!(body.message_model.as_deref(), Some("CLUSTERING"));
    assert_eq!(body.consume_from_where.as_deref(), Some("CONSUME_FROM_FIRST_OFFSET"));
    assert_eq!(body.subscription_table["T"].sub_string, "a || b");
    for (topic, subscribed) in [("T", Some("a || b")), ("Other", None)] {
        let fields = [("group", "watched"), ("topic", topic)];
        let body = ask(&mut tool, request::QUERY_SUBSCRIPTION_BY_CONSUMER, &fields);
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(body["subscriptionData"]["subString"].as_str(), subscribed, "{body}");
    }
    let producers = [("producerGroup", "makers")];
    let body = ask(&mut tool, request::GET_PRODUCER_CONNECTION_LIST, &producers);
    assert!(String::from_utf8_lossy(&body).contains("client-2"));
    // one says that it leaves, the other is gone
    let leave =
        [("clientID", "client-1"), ("producerGroup", "makers"), ("consumerGroup", "watched")];
    ask(&mut one, request::UNREGISTER_CLIENT, &leave);
    assert_eq!(list(&mut tool), ["client-2"]);
    let body = ask(&mut tool, request::GET_PRODUCER_CONNECTION_LIST, &producers);
    assert!(!String::from_utf8_lossy(&body).contains("client-1"));
    drop(two);
    let began = std::time::Instant::now();
    while !list(&mut tool).is_empty() {
        assert!(began.elapsed().as_secs() < 20, "a closed connection is still a consumer");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

fn a_group_is_told_how_far_it_is_in_every_queue(shards: u32) {
    let (_directory, server) = server("stats", shards);
    let mut client = server.client();
    client.create_topic("far", 4).expect("the broker serves").expect(0);
    let mut times = Vec::new();
    for queue in 0..4 {
        for _ in 0..3 {
            client.send("far", queue, b"body").expect("an answer").expect(0);
        }
        let stored = client.pull("far", queue, 0, 32).expect("an answer").messages;
        times.push(stored[1].store_timestamp);
        let queue = queue.to_string();
        let fields = [
            ("consumerGroup", "walkers"),
            ("topic", "far"),
            ("queueId", queue.as_str()),
            ("commitOffset", "2"),
        ];
        ask(&mut client, request::UPDATE_CONSUMER_OFFSET, &fields);
    }
    for fields in
        [vec![("consumerGroup", "walkers")], vec![("consumerGroup", "walkers"), ("topic", "far")]]
    {
        let body = ask(&mut client, request::GET_CONSUME_STATS, &fields);
        let stats: ConsumeStats = fastjson::from_slice(&body).expect("a table");
        assert_eq!(stats.offset_table.len(), 4);
        for (queue, offsets) in &stats.offset_table {
            assert_eq!((&*queue.topic, &*queue.broker_name), ("far", "broker-a"));
            assert_eq!((offsets.broker_offset, offsets.consumer_offset), (3, 2));
            let time = times[usize::try_from(queue.queue_id).expect("a queue")];
            assert_eq!(offsets.last_timestamp, time, "of the last message that was consumed");
        }
    }
}
