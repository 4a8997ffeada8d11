//! Consumer groups.

use ringmq_remoting::codes::{pull_flag, request, response};
use serde_json::json;

use super::cluster::Cluster;
use crate::client::Client;
use crate::shards::for_shards;

for_shards!(
    groups_are_made_followed_reset_and_deleted,
    members_are_shown,
    what_was_pulled_and_not_confirmed_is_in_flight
);

const TOPIC: &str = "Orders";

fn commit(client: &mut Client, group: &str, queue: &str, offset: &str) {
    let fields =
        [("consumerGroup", group), ("topic", TOPIC), ("queueId", queue), ("commitOffset", offset)];
    let reply = client.call(request::UPDATE_CONSUMER_OFFSET, &fields, b"");
    reply.expect("an answer").expect(response::SUCCESS);
}

/// A topic with three messages in queue 1 of the first broker, of which a group has consumed two.
fn cluster(name: &str, shards: u32) -> Cluster {
    let cluster = Cluster::start(name, shards);
    cluster.works("updateTopic -c DefaultCluster -t Orders -r 2 -w 2");
    cluster.works("updateSubGroup -c DefaultCluster -g payers -q 1 -r 5");
    let mut client = cluster.client(0);
    for _ in 0..3 {
        client.send(TOPIC, 1, b"order").expect("an answer").expect(response::SUCCESS);
    }
    commit(&mut client, "payers", "1", "2");
    cluster
}

fn groups_are_made_followed_reset_and_deleted(shards: u32) {
    let cluster = cluster("commands-groups", shards);
    let made = cluster.works("updateSubGroup -b {b} -g others -s false");
    let expected = "create subscription group to <b> success.\nSubscriptionGroupConfig \
                    [groupName=others, consumeEnable=false, consumeFromMinEnable=false, \
                    consumeBroadcastEnable=false, retryQueueNums=1, retryMaxTimes=16, brokerId=0, \
                    whichBrokerWhenConsumeSlowly=1, notifyConsumerIdsChangedEnable=true]\n";
    assert_eq!(made, expected);
    let settings = cluster.works("getConsumerConfig -g payers");
    for broker in ["broker-a", "broker-b"] {
        let rule = "=".repeat(29);
        let head = format!("{rule}DefaultCluster:{broker}{rule}\ngroupName = payers\n");
        assert!(settings.contains(&head), "{settings}");
    }
    assert_eq!(settings.matches("\nretryMaxTimes = 5\n").count(), 2, "{settings}");
    cluster.fails("getConsumerConfig -g nobody", 3, "no broker knows the group nobody");

    let progress =
        cluster.until("its route is known", "consumerProgress -g payers", |ran| ran.code == 0);
    let progress = cluster.plain(&progress.out);
    let head = "#Topic #Broker Name #QID #Broker Offset #Consumer Offset #Diff #LastTime\n";
    assert!(progress.starts_with(head), "{progress}");
    assert!(progress.contains("Orders broker-a 1 3 2 1 <time>\n"), "{progress}");
    assert!(progress.ends_with("\n\nConsume TPS: 0.00\nDiff Total: 1\n"), "{progress}");
    let with_clients = cluster.works("consumerProgress -g payers -s true -t Orders");
    assert!(with_clients.contains("Orders broker-a 1 3 2 N/A 1 <time>\n"), "{with_clients}");
    cluster.fails("consumerProgress -g nobody", 3, "CODE: 206");
    let stats = cluster.works("brokerConsumeStats -b {a}");
    assert!(stats.contains("\nOrders payers broker-a 1 3 2 1 <time>\n"), "{stats}");
    assert!(stats.ends_with("\n\nDiff Total: 1\n"), "{stats}");

    offsets_are_reset(&cluster);

    cluster.works("updateSubGroup -c DefaultCluster -g heirs");
    let cloned = cluster.works("cloneGroupOffset -s payers -d heirs -t Orders");
    let expected = "clone group offset success. srcGroup[payers], destGroup=[heirs], \
                    topic[Orders]\n";
    assert_eq!(cloned, expected);
    let progress = cluster.works("consumerProgress -g heirs");
    assert!(progress.contains("Orders broker-a 1 3 3 0 <time>\n"), "{progress}");

    let deleted = cluster.works("deleteSubGroup -c DefaultCluster -g payers -r true");
    let first = "delete subscription group [payers] from broker [<a>] in cluster \
                 [DefaultCluster] success.\n";
    assert!(deleted.starts_with(first), "{deleted}");
    assert!(deleted.contains("delete topic [%RETRY%payers] from NameServer success."), "{deleted}");
    cluster.fails("consumerProgress -g payers", 3, "CODE: 206");
    let changed = cluster.works("updateTopicPerm -b {a} -t Orders -p 4");
    assert!(changed.starts_with("update topic perm from 6 to 4 in <a> success.\n"), "{changed}");
    let deleted = cluster.works("deleteTopic -c DefaultCluster -t Orders");
    let expected = "delete topic [Orders] from cluster [DefaultCluster] success.\n\
                    delete topic [Orders] from NameServer success.\n";
    assert_eq!(deleted, expected);
    cluster.fails("topicRoute -t Orders", 3, "CODE: 17");
}

fn offsets_are_reset(cluster: &Cluster) {
    let reset = cluster.works("resetOffsetByTime -g payers -t Orders -s now");
    let head = "rollback consumer offset by specified consumerGroup[payers], topic[Orders], \
                force[true], timestamp(string)[now], timestamp(long)[-1]\n#brokerName #queueId \
                #brokerOffset #consumerOffset #timestampOffset #rollbackOffset\n";
    assert!(reset.starts_with(head) && reset.contains("\nbroker-a 1 3 2 3 3\n"), "{reset}");
    let back = cluster.works("resetOffsetByTimeOld -g payers -t Orders -s 0");
    assert!(back.contains("\nbroker-a 1 3 3 0 0\n"), "{back}");
    let skipped = cluster.works("skipAccumulatedMessage -g payers -t Orders");
    assert!(skipped.contains("\nbroker-a 1 3 0 3 3\n"), "{skipped}");
    cluster.fails("resetOffsetByTime -g payers -t Orders -s later", 1, "neither now, nor");
    let part = cluster.works("resetOffsetByTimeOld -g payers -t Orders -s 0 -c DefaultCluster");
    assert!(part.contains("\nbroker-a 1 3 3 0 0\n"), "{part}");
    let line = "resetOffsetByTimeOld -g payers -t Orders -s 0 -c Elsewhere";
    cluster.fails(line, 3, "CODE: 17");
    let c_plus_plus = cluster.works("resetOffsetByTime -g payers -t Orders -s now -c");
    assert!(c_plus_plus.contains("\nbroker-a 1 3 0 3 3\n"), "{c_plus_plus}");
    let only = "resetOffsetByTime -g payers -t Orders -s now -q 1";
    cluster.fails(only, 2, "--broker <ADDRESS> is missing");
}

fn members_are_shown(shards: u32) {
    let cluster = cluster("commands-members", shards);
    let mut member = cluster.client(0);
    let beat = json!({
        "clientID": "10.0.0.1@member",
        "consumerDataSet": [{
            "groupName": "payers",
            "consumeType": "CONSUME_PASSIVELY",
            "messageModel": "CLUSTERING",
            "consumeFromWhere": "CONSUME_FROM_FIRST_OFFSET",
            "subscriptionDataSet": [{"topic": TOPIC, "subString": "red || blue"}],
        }],
        "producerDataSet": [{"groupName": "senders"}],
    });
    let reply = member.call(request::HEART_BEAT, &[], beat.to_string().as_bytes());
    reply.expect("an answer").expect(response::SUCCESS);
    let address = member.stream().local_addr().expect("it is connected");
    let shown =
        cluster.until("its route is known", "consumerConnection -g payers", |ran| ran.code == 0);
    let expected = format!(
        "#ClientId #ClientAddr #Language #Version\n10.0.0.1@member {address} JAVA V4_9_8\n\n\
         Below is subscription:\n#Topic #SubExpression\nOrders red || blue\n\n\
         ConsumeType: CONSUME_PASSIVELY\nMessageModel: CLUSTERING\n\
         ConsumeFromWhere: CONSUME_FROM_FIRST_OFFSET\n"
    );
    assert_eq!(cluster.plain(&shown.out), expected);
    let all = cluster.until("it is listed", "consumerProgress", |ran| ran.out.contains("payers"));
    let all = cluster.plain(&all.out);
    assert!(all.starts_with("#Group #Count #Version #Type #Model #TPS #Diff Total\n"), "{all}");
    assert!(all.contains("\npayers 1 V4_9_8 PUSH CLUSTERING 0 1\n"), "{all}");
    let value = cluster.json("consumerConnection -g payers -b {a}");
    assert_eq!(value["connections"][0]["clientId"], "10.0.0.1@member");
    let missing = "CODE: 206 DESC: the consumer group[payers] not online";
    cluster.fails("consumerConnection -g payers -b {b}", 3, missing);
    let watched = cluster.works("startMonitoring --interval 0");
    let expected = "[MONITOR] reportUndoneMsgs: UndoneMsgs [consumerGroup=payers, topic=Orders, \
                    undoneMsgsTotal=1, undoneMsgsSingleMQ=1, undoneMsgsDelayTimeMills=";
    assert!(watched.contains(expected), "{watched}");
    let producers = cluster.works("producerConnection -g senders -t Orders");
    assert_eq!(producers, format!("0001 10.0.0.1@member {address} JAVA V4_9_8\n"));
    let missing = "CODE: 1 DESC: the producer group[nobody] not exist";
    cluster.fails("producerConnection -g nobody -t Orders", 3, missing);
    let all = cluster.json("producer -b {a}");
    assert_eq!((&all[0]["group"], &all[0]["language"]), (&"senders".into(), &"JAVA".into()));
}

/// A pull of at most three messages, of which the tags are these.
fn pull(client: &mut Client, offset: &str, tags: &str, code: i32) {
    let flag = pull_flag::SUBSCRIPTION.to_string();
    let fields = [
        ("consumerGroup", "payers"),
        ("topic", TOPIC),
        ("queueId", "0"),
        ("queueOffset", offset),
        ("maxMsgNums", "3"),
        ("sysFlag", &flag),
        ("commitOffset", "0"),
        ("suspendTimeoutMillis", "0"),
        ("subscription", tags),
        ("subVersion", "0"),
        ("expressionType", "TAG"),
    ];
    client.call(request::PULL_MESSAGE, &fields, b"").expect("an answer").expect(code);
}

fn what_was_pulled_and_not_confirmed_is_in_flight(shards: u32) {
    let cluster = cluster("commands-inflight", shards);
    let mut client = cluster.client(0);
    for _ in 0..5 {
        client.send(TOPIC, 0, b"order").expect("an answer").expect(response::SUCCESS);
    }
    cluster.until("its route is known", "consumerProgress -g payers", |ran| ran.code == 0);
    let inflight = || {
        let rows = cluster.json("consumerProgress -g payers -t Orders");
        let of = |queue: i32| {
            let mut rows = rows["queues"].as_array().expect("rows").iter();
            let row = rows.find(|row| row["broker"] == "broker-a" && row["queue"] == queue);
            row.expect("the queue is there")["inflight"].as_i64().expect("a number")
        };
        assert_eq!(rows["inflightTotal"], of(0) + of(1));
        (of(0), of(1))
    };
    assert_eq!(inflight(), (0, 0));
    pull(&mut client, "0", "*", response::SUCCESS);
    assert_eq!(inflight(), (3, 0));
    commit(&mut client, "payers", "0", "2");
    assert_eq!(inflight(), (1, 0));
    // what its filter does not let through is passed over, and not confirmed either
    pull(&mut client, "3", "red", response::PULL_RETRY_IMMEDIATELY);
    assert_eq!(inflight(), (3, 0));
    let wide = cluster.works("consumerProgress -g payers -t Orders --output wide");
    assert!(wide.contains("Orders broker-a 0 5 2 3 3 <time>\n"), "{wide}");
    assert!(wide.contains("\nConsume Inflight Total: 3\n"), "{wide}");
    // what is confirmed is not in flight
    commit(&mut client, "payers", "0", "5");
    assert_eq!(inflight(), (0, 0));

    cluster.works("resetOffsetByTime -g payers -t Orders -s 0");
    assert_eq!(inflight(), (0, 0));
    pull(&mut client, "0", "*", response::SUCCESS);
    assert_eq!(inflight(), (3, 0));
    // members of a new group have pulled nothing
    cluster.works("deleteSubGroup -b {a} -g payers");
    cluster.works("updateSubGroup -b {a} -g payers");
    assert_eq!(inflight(), (0, 0));
}
