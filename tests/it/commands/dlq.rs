//! Dead letters.

use ringmq_remoting::codes::{request, response};
use ringmq_remoting::message_id::MessageId;
use serde_json::{Value, json};

use super::cluster::Cluster;
use crate::client::Client;
use crate::process;
use crate::shards::for_shards;

for_shards!(dead_letters_are_listed_shown_sent_again_and_exported);

/// Sends a message that the group gives back at once, which has no retries.
fn dies(client: &mut Client, tag: &str, body: &str) {
    let properties = format!("TAGS\u{1}{tag}\u{2}KEYS\u{1}{tag}-key\u{2}");
    let sent = client.send_with("Orders", 0, &properties, body).expect(response::SUCCESS);
    let (_, offset) = MessageId::parse(&sent.fields["msgId"]).expect("an id of the broker");
    let offset = offset.to_string();
    let fields = [
        ("offset", offset.as_str()),
        ("group", "payers"),
        ("delayLevel", "-1"),
        ("originMsgId", &sent.fields["msgId"]),
        ("originTopic", "Orders"),
    ];
    let reply = client.call(request::CONSUMER_SEND_MSG_BACK, &fields, b"");
    reply.expect("an answer").expect(response::SUCCESS);
}

fn dead_letters_are_listed_shown_sent_again_and_exported(shards: u32) {
    let cluster = Cluster::start("commands-dlq", shards);
    cluster.works("updateTopic -b {a} -t Orders -r 1 -w 1");
    cluster.works("updateSubGroup -b {a} -g payers -q 1");
    let mut client = cluster.client(0);
    let beat = json!({
        "clientID": "10.0.0.1@member",
        "consumerDataSet": [{
            "groupName": "payers",
            "consumeType": "CONSUME_PASSIVELY",
            "messageModel": "CLUSTERING",
            "consumeFromWhere": "CONSUME_FROM_FIRST_OFFSET",
            "subscriptionDataSet": [{"topic": "Orders", "subString": "*"}],
        }],
    });
    let reply = client.call(request::HEART_BEAT, &[], beat.to_string().as_bytes());
    reply.expect("an answer").expect(response::SUCCESS);
    for (tag, body) in [("red", "order 1"), ("blue", "order 2"), ("red", "order 3")] {
        dies(&mut client, tag, body);
    }
    let list = cluster.until("its topic is known", "dlq list", |ran| ran.out.contains("payers"));
    assert_eq!(cluster.plain(&list.out), "#Group #Messages\npayers 3\n");
    let shown = cluster.json("dlq show -g payers --tag red");
    let bodies: Vec<_> = shown.as_array().expect("rows").iter().map(|row| &row["body"]).collect();
    assert_eq!(bodies, ["order 1", "order 3"]);
    assert_eq!((&shown[0]["topic"], &shown[0]["keys"]), (&"Orders".into(), &"red-key".into()));
    let head = "#Message ID #Topic #Dead Since #Broker Name #Offset #Tags #Keys #Body\n";
    let one = cluster.works("dlq show -g payers --contains 2 -t Orders -k blue-key");
    assert!(one.starts_with(head) && one.ends_with(" blue blue-key order 2\n"), "{one}");
    cluster.fails("dlq show -g payers --tag green", 3, "group payers has no such dead letters");
    cluster.fails("dlq list -g nobody", 3, "group nobody has no dead letters");
    cluster.fails("dlq show", 1, "say whose dead letters with -g GROUP");

    let planned = cluster.works("dlq resend -g payers -c 1 --dry-run");
    assert!(planned.starts_with("would send ") && planned.ends_with(" to %RETRY%payers\n"));
    let sent = cluster.works("dlq resend -g payers --tag red --rate 1000");
    assert_eq!(sent.matches(" to %RETRY%payers: SEND_OK ").count(), 2, "{sent}");
    assert!(sent.ends_with("\n2 of 2 are sent; the dead letters stay\n"), "{sent}");
    let retried = client.await_messages("%RETRY%payers", 0, 2);
    assert_eq!(retried.iter().map(|one| &*one.body).collect::<Vec<_>>(), [b"order 1", b"order 3"]);
    cluster.works("dlq resend -g payers --tag blue --to-topic");
    assert_eq!(client.await_messages("Orders", 0, 4)[3].body, b"order 2");

    let directory = process::directory("dlq");
    let file = directory.path().join("dead.jsonl");
    let line = format!("dlq export -g payers -f {}", file.display());
    assert_eq!(cluster.works(&line), format!("3 messages are in {}\n", file.display()));
    let text = std::fs::read_to_string(&file).expect("it is written");
    let rows: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((rows.len(), &rows[1]["body"]), (3, &"order 2".into()));
    cluster.fails(&line, 1, "cannot write");
}
