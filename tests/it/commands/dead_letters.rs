//! `dlq`: dead letters are listed, shown, sent again and exported.

use ringmq_remoting::codes::{request, response};
use ringmq_remoting::message_id::MessageId;

use super::cluster::Cluster;
use crate::shards::for_shards;

for_shards!(dead_letters_are_shown_and_sent_again, dead_letters_go_out_and_back_as_json);

/// A broker with a topic of one queue, and a group that has given up three of its messages.
fn cluster(name: &str, shards: u32) -> Cluster {
    let cluster = Cluster::start(name, shards);
    cluster.works("updateTopic -b {a} -t Orders -r 1 -w 1");
    cluster.works("updateSubGroup -b {a} -g Billing -r 0");
    let mut client = cluster.client(0);
    for (key, tag, body) in
        [("k1", "red", "first"), ("k2", "blue", "second"), ("k3", "red", "3\u{1b}")]
    {
        let id = format!("C0A80001000100000000000000000{key}X");
        let properties = format!("KEYS\u{1}{key}\u{2}TAGS\u{1}{tag}\u{2}UNIQ_KEY\u{1}{id}\u{2}");
        let sent = client.send_with("Orders", 0, &properties, body).expect(response::SUCCESS);
        let (_, offset) = MessageId::parse(&sent.fields["msgId"]).expect("an id of the broker");
        let offset = offset.to_string();
        let fields = [("offset", offset.as_str()), ("group", "Billing"), ("delayLevel", "-1")];
        let given = client.call(request::CONSUMER_SEND_MSG_BACK, &fields, b"");
        given.expect("an answer").expect(response::SUCCESS);
    }
    cluster.until("the dead letters are there", "dlq list --output csv", |ran| {
        ran.out.contains("Billing,3,3,")
    });
    cluster
}

fn dead_letters_are_shown_and_sent_again(shards: u32) {
    let cluster = cluster("commands-dlq", shards);
    let list = cluster.json("dlq list");
    assert_eq!((&list[0]["group"], &list[0]["messages"]), (&"Billing".into(), &3.into()));
    assert!(list[0]["oldest"].as_i64() <= list[0]["newest"].as_i64(), "{list}");
    let text = cluster.works("dlq list -g Billing");
    let head = "#Group #Messages #LastHour #Oldest #Newest #NewestAge\nBilling 3 3 <time> <time> ";
    assert!(text.starts_with(head), "{text}");
    cluster.fails("dlq list -g Nobody", 3, "group Nobody has no dead letters");

    let shown = cluster.works("dlq show -g Billing --tags red -c 1");
    let expected = "<time> broker-a/0@0 C0A80001000100000000000000000k1X of Orders \
                    tags red keys k1\nits consumer gave it up at once; sent <time>; \
                    first stored as ";
    assert!(shown.starts_with(expected) && shown.ends_with("\nfirst\n"), "{shown}");
    let shown = cluster.run("dlq show -g Billing --key k3").out;
    assert!(shown.contains("3\\u{1b}") && !shown.contains('\u{1b}'), "{shown}");
    for (filter, count) in [
        ("--tags red", 2),
        ("--tags red||blue", 3),
        ("--body sec", 1),
        ("--key k", 0),
        ("--key k2", 1),
        ("--begin -1h", 3),
        ("--end -1h", 0),
        ("--begin -1h --end now --tags blue", 1),
        ("--origin Orders", 3),
        ("--origin Others", 0),
        ("-c 2", 2),
        ("--id C0A80001000100000000000000000k2X,other", 1),
        ("--id other", 0),
    ] {
        let out = cluster.run(&format!("dlq show -g Billing {filter} --output json")).out;
        assert_eq!(out.lines().count(), count, "{filter}: {out}");
    }

    let dry = cluster.works("dlq resend -g Billing --tags red --dry-run");
    let first =
        "would go to Orders: <time> broker-a/0@0 C0A80001000100000000000000000k1X of Orders";
    assert!(dry.starts_with(first), "{dry}");
    assert!(dry.contains("\n2 messages would be sent again; --begin "), "{dry}");
    assert_eq!(cluster.works("cat -t Orders -e"), "first\nsecond\n3\u{1b}\n");

    let sent = cluster.works("dlq resend -g Billing --tags red --rate 1000");
    assert!(sent.starts_with("2 messages were sent again; --begin 20"), "{sent}");
    let format = "cat -t Orders -e -o 3 -f %i|%k|%g|%s|%{RETRY_TOPIC}|%{ORIGIN_MESSAGE_ID}|%r\\n";
    let id = "C0A80001000100000000000000000";
    let expected = format!("{id}k1X|k1|red|first|||0\n{id}k3X|k3|red|3\u{1b}|||0\n");
    assert_eq!(cluster.works(format), expected);
    // what it says comes after those that it has sent
    let begin = sent.split_whitespace().nth(6).expect("a time");
    let rest = cluster.run(&format!("dlq show -g Billing --begin {begin} --output json"));
    assert_eq!((rest.code, &*rest.out), (0, ""), "{begin}");

    // the group has no retries, which must not make a dead letter of it again
    let sent = cluster.json("dlq resend -g Billing --key k2 --to-group");
    assert_eq!(sent[0]["resent"], 1);
    let retry = cluster.works("cat -t %RETRY%Billing -e -f %k|%s|%{RETRY_TOPIC}\\n");
    assert_eq!(retry, "k2|second|Orders\n");
    cluster.works("updateTopic -b {a} -t Elsewhere -r 1 -w 1");
    cluster.works("dlq resend -g Billing --key k2 -t Elsewhere");
    assert_eq!(cluster.works("cat -t Elsewhere -e"), "second\n");

    // what no consumer has given back
    let sent = cluster.run_with_input("cat -t %DLQ%Billing -P", b"homeless\n");
    assert_eq!((sent.code, &*sent.err), (0, ""));
    let homeless = "1 messages do not say what topic they come from: -t names one";
    let ran = cluster.run("dlq resend -g Billing --dry-run");
    assert!(ran.code == 5 && ran.err.contains(homeless), "{}: {}", ran.code, ran.err);
}

fn dead_letters_go_out_and_back_as_json(shards: u32) {
    let cluster = cluster("commands-dlq-export", shards);
    let exported = cluster.run("dlq export -g Billing");
    assert_eq!((exported.code, exported.err.as_str()), (0, ""));
    let lines: Vec<serde_json::Value> = exported
        .out
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is JSON"))
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!((&lines[1]["body"], &lines[1]["topic"]), (&"second".into(), &"%DLQ%Billing".into()));
    assert_eq!(lines[1]["properties"]["RETRY_TOPIC"], "Orders");
    cluster.works("updateTopic -b {a} -t Again -r 1 -w 1");
    let back = cluster.run_with_input("cat -t Again -P -J", exported.out.as_bytes());
    assert_eq!((back.code, &*back.out, &*back.err), (0, "", ""));
    let again = cluster.works("cat -t Again -e -f %k|%g|%s|%{RETRY_TOPIC}\\n");
    assert_eq!(again, "k1|red|first|\nk2|blue|second|\nk3|red|3\u{1b}|\n");
    // brokers of long ago let nobody read them
    cluster.works("updateTopicPerm -b {a} -t %DLQ%Billing -p 2");
    let listed = "Billing,3,3,,,";
    cluster.until("the route is known", "dlq list --output csv", |ran| ran.out.contains(listed));
    let again = cluster.run("dlq export -g Billing --tags red||blue");
    assert_eq!((again.code, &*again.err, again.out), (0, "", exported.out));
    // options of all commands stand at either place
    let names = cluster.names.address;
    cluster.works(&format!("dlq -n {names} list"));
    cluster.works(&format!("dlq list -n {names}"));
    cluster.fails("dlq list -n 127.0.0.1:1", 4, "127.0.0.1:1");
    cluster.fails("dlq list --watch 1", 1, "--watch is for commands that only ask");
}
