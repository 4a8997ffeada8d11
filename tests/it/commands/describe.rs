//! What is wrong with a group, in words.

use std::sync::mpsc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ringmq_remoting::codes::{request, response};
use serde_json::{Value, json};

use super::cluster::Cluster;
use crate::client::Client;
use crate::shards::for_shards;

for_shards!(a_group_is_diagnosed);

const TOPIC: &str = "Orders";
const POLL: Duration = Duration::from_millis(20);

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_millis()).expect("fits")
}

fn join(client: &mut Client, id: &str, expression: &str) {
    let beat = json!({
        "clientID": id,
        "consumerDataSet": [{
            "groupName": "payers",
            "consumeType": "CONSUME_PASSIVELY",
            "messageModel": "CLUSTERING",
            "consumeFromWhere": "CONSUME_FROM_FIRST_OFFSET",
            "subscriptionDataSet": [{"topic": TOPIC, "subString": expression, "subVersion": 1}],
        }],
    });
    let reply = client.call(request::HEART_BEAT, &[], beat.to_string().as_bytes());
    reply.expect("an answer").expect(response::SUCCESS);
}

/// What a member tells: of queue 0 of the first broker that it is stuck, of queue 1 that all is
/// well, and of no other.
fn info(expression: &str, reads: bool) -> String {
    let queue = |id: i32, cached: i32, consumed_ago: i64| {
        format!(
            "{{\"brokerName\":\"broker-a\",\"queueId\":{id},\"topic\":\"{TOPIC}\"}}:\
             {{\"cachedMsgCount\":{cached},\"cachedMsgMinOffset\":7,\"lastPullTimestamp\":{0},\
             \"lastConsumeTimestamp\":{1},\"locked\":true}}",
            now_ms(),
            now_ms() - consumed_ago
        )
    };
    let queues = [queue(0, 3, 3_600_000), queue(1, 0, 0)];
    let queues = if reads { queues.join(",") } else { String::new() };
    format!(
        "{{\"mqTable\":{{{queues}}},\"properties\":{{\"PROP_CONSUMEORDERLY\":\"false\"}},\
         \"subscriptionSet\":[{{\"topic\":\"{TOPIC}\",\"subString\":\"{expression}\"}}]}}"
    )
}

/// Answers for a member until the test ends.
fn answer(mut member: Client, expression: &'static str, reads: bool, end: mpsc::Receiver<()>) {
    member.set_timeout(POLL);
    while end.try_recv() == Err(mpsc::TryRecvError::Empty) {
        let Ok(asked) = member.asked(request::GET_CONSUMER_RUNNING_INFO) else { continue };
        let body = info(expression, reads);
        member.answer_with(asked.opaque, 0, None, body.as_bytes()).expect("the broker reads");
    }
}

/// The diagnosis of a queue.
fn of(rows: &Value, broker: &str, queue: i32) -> String {
    let rows = rows["queues"].as_array().expect("rows");
    let row = rows
        .iter()
        .find(|row| row["topic"] == TOPIC && row["broker"] == broker && row["queue"] == queue);
    row.expect("the queue is there")["diagnosis"].as_str().expect("text").to_owned()
}

fn a_group_is_diagnosed(shards: u32) {
    let cluster = Cluster::start("commands-describe", shards);
    cluster.works("updateTopic -c DefaultCluster -t Orders -r 2 -w 2");
    cluster.works("updateSubGroup -c DefaultCluster -g payers -q 1");
    let mut client = cluster.client(0);
    for _ in 0..4 {
        client.send(TOPIC, 0, b"order").expect("an answer").expect(response::SUCCESS);
    }
    let fields =
        [("consumerGroup", "payers"), ("topic", TOPIC), ("queueId", "0"), ("commitOffset", "1")];
    let reply = client.call(request::UPDATE_CONSUMER_OFFSET, &fields, b"");
    reply.expect("an answer").expect(response::SUCCESS);
    cluster.fails("groupDescribe -g nobody", 3, "no broker knows the group nobody");
    let offline = cluster.json("groupDescribe -g payers");
    assert_eq!(of(&offline, "broker-a", 0), "no member of the group is connected");
    assert_eq!((&offline["lag"], &offline["inflight"]), (&3.into(), &0.into()));

    let mut first = cluster.client(0);
    join(&mut first, "10.0.0.1@one", "*");
    let (stop, end) = mpsc::channel();
    let told = std::thread::spawn(move || answer(first, "*", true, end));
    let found = cluster.until("its topic is known", "groupDescribe -g payers -o json", |ran| {
        ran.out.contains("stuck on")
    });
    let found: Value = serde_json::from_str(&found.out).expect("JSON");
    let stuck = of(&found, "broker-a", 0);
    assert!(stuck.starts_with("stuck on the message at offset 7 since "), "{stuck}");
    assert_eq!(of(&found, "broker-a", 1), "up to date");
    assert_eq!(of(&found, "broker-b", 0), "nobody reads this queue");
    let rows = found["queues"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["diagnosis"] == stuck).expect("just seen");
    assert_eq!((&row["owner"], &row["lag"]), (&"10.0.0.1@one".into(), &3.into()));
    assert!(row["lagBytes"].as_u64() > Some(3 * 91), "{row}");
    let shown = cluster.works("groupDescribe -g payers -w");
    let head = "Group payers: 1 members: 10.0.0.1@one\n#Topic #Broker Name #QID #Owner \
                #Last Pull #Last Commit #Committed #Lag #Inflight #Bytes #Seconds #Diagnosis\n";
    assert!(shown.starts_with(head) && !shown.contains("up to date"), "{shown}");

    let mut second = cluster.client(0);
    join(&mut second, "10.0.0.2@two", "red");
    let (stop_too, end) = mpsc::channel();
    let told_too = std::thread::spawn(move || answer(second, "red", false, end));
    let different = "two members with different subscriptions: 10.0.0.1@one to \"*\", \
                     10.0.0.2@two to \"red\"";
    let found = cluster.json("groupDescribe -g payers -t Orders");
    assert_eq!(of(&found, "broker-a", 1), different);
    drop((stop, stop_too));
    told.join().expect("no panic");
    told_too.join().expect("no panic");
}
