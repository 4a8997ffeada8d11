//! Messages: sent, found and read.

use ringmq_remoting::codes::{request, response};

use super::cluster::Cluster;
use crate::shards::for_shards;

for_shards!(messages_are_sent_found_and_read, entries_and_shares_of_queues_are_shown);

const SEND_HEAD: &str = "#Broker Name #QID #Send Result #MsgId\n";

/// The id of the message that a command has sent.
fn sent(printed: &str) -> String {
    printed.split_whitespace().last().expect("an id").to_owned()
}

fn messages_are_sent_found_and_read(shards: u32) {
    let keys = [("traceTopicEnable", "true")];
    let cluster = Cluster::start_with("commands-messages", shards, &keys, None);
    cluster.works("updateTopic -c DefaultCluster -t Mails -r 2 -w 2");
    let line = "sendMessage -t Mails -p hello -k key-1 -c red -b broker-a -i 1";
    let printed = cluster.works(line);
    let id = sent(&printed);
    assert_eq!(printed, format!("{SEND_HEAD}broker-a 1 SEND_OK {id}\n"));
    assert_eq!(id.len(), 32);
    let second = sent(&cluster.works(&line.replace("red", "blue").replace("key-1", "key-2")));
    cluster.fails("sendMessage -t Mails -p x -b broker-x", 3, "has no such queue");

    let found =
        cluster.until("it is indexed", &format!("queryMsgByUniqueKey -t Mails -i {id}"), |ran| {
            ran.code == 0
        });
    let found = cluster.plain(&found.out);
    for line in [
        "Topic: Mails",
        "Tags: [red]",
        "Keys: [key-1]",
        "Queue ID: 1",
        "Queue Offset: 0",
        "Reconsume Times: 0",
        "Store Timestamp: <time>",
        "Store Host: <a>",
        "WARN: No Consumer",
    ] {
        assert!(found.lines().any(|one| one == line), "{line} is missing in {found}");
    }
    let path = found.lines().find_map(|line| line.strip_prefix("Message Body Path: "));
    let body = std::fs::read_to_string(path.expect("a path")).expect("the body is there");
    assert_eq!(body, "hello");
    let by_key = cluster.works("queryMsgByKey -t Mails -k key-1");
    assert_eq!(by_key, format!("#Message ID #QID #Offset\n{id} 1 0\n"));
    cluster.fails("queryMsgByKey -t Mails -k none", 3, "CODE: 208 DESC: query message by key");
    let value = cluster.json(&format!("queryMsgById -t Mails -i {id}"));
    let offset_id = value[0]["offsetId"].as_str().expect("an id").to_owned();
    assert_eq!(
        (&value[0]["body"], &value[0]["properties"]["TAGS"]),
        (&"hello".into(), &"red".into())
    );
    let by_id = cluster.works(&format!("queryMsgById -i {offset_id}"));
    assert!(by_id.starts_with(&format!("OffsetID: {offset_id}\nTopic: Mails\n")), "{by_id}");
    let decoded = cluster.works(&format!("DecodeMessageId -i {offset_id}"));
    assert!(decoded.starts_with("ip=127.0.0.1\n") && decoded.contains("\noffset="), "{decoded}");
    let by_offset = cluster.json("queryMsgByOffset -t Mails -b broker-a -i 1 -o 1");
    assert_eq!(by_offset[0]["id"], second.as_str());
    let missing = "there is no message at offset 9: the queue has those from 0 to before 2";
    cluster.fails("queryMsgByOffset -t Mails -b broker-a -i 1 -o 9", 3, missing);

    let printed = cluster.works("printMsg -t Mails");
    let begin = "minOffset=0, maxOffset=0, MessageQueue [topic=Mails, brokerName=broker-a, \
                 queueId=0]\n-----";
    assert!(printed.starts_with(begin), "{printed}");
    let message = format!("MSGID: {id} MessageExt [brokerName=broker-a, queueId=1, storeSize=");
    assert!(printed.contains(&message) && printed.contains("] BODY: hello\n"), "{printed}");
    let blue = cluster.run("printMsg -t Mails -s blue -o json").out;
    let rows: Vec<serde_json::Value> =
        blue.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((rows.len(), &rows[0]["id"]), (1, &second.as_str().into()), "{blue}");
    let tags = cluster.works("printMsgByQueue -t Mails -a broker-a -i 1 -f true");
    assert_eq!(tags, "Tag: blue Count: 1\nTag: red Count: 1\n");
    let consumed = cluster.works("consumeMessage -t Mails -b broker-a -i 1 -o 1 -c 5");
    assert!(consumed.starts_with(&format!("Consume ok\nMSGID: {second} ")), "{consumed}");
    is_sent_again(&cluster, &id, &offset_id);
}

fn is_sent_again(cluster: &Cluster, id: &str, offset_id: &str) {
    let again = cluster.works(&format!("queryMsgById -i {offset_id} -s true"));
    let begin = format!(
        "prepare resend msg. originalMsgId={offset_id}SendResult \
                         [sendStatus=SEND_OK, msgId={id}, offsetMsgId="
    );
    assert!(again.starts_with(&begin), "{again}");
    let shown = cluster.works(&format!("queryMsgById -i {offset_id} -f UTF-8"));
    assert!(shown.contains("\nMessage Body: hello\n"), "{shown}");
    let wrong = format!("queryMsgById -i {offset_id} -f GBK");
    cluster.fails(&wrong, 2, "bodies are shown as UTF-8, not GBK");
    let traced = sent(&cluster.works("sendMessage -t Mails -p seen -k key-3 -m true"));
    let shown = cluster
        .until("it is indexed", &format!("queryMsgTraceById -i {traced}"), |ran| ran.code == 0);
    let shown = cluster.plain(&shown.out);
    assert!(shown.contains("\nPub ringmq_admin 127.0.0.1 <time> "), "{shown}");
    assert!(shown.ends_with("ms success\n\n"), "{shown}");
}

fn entries_and_shares_of_queues_are_shown(shards: u32) {
    let cluster = Cluster::start("commands-queues", shards);
    cluster.works("updateTopic -c DefaultCluster -t Mails -r 2 -w 2");
    cluster.works("sendMessage -t Mails -p hello -b broker-a -i 0");
    let entries = cluster.works("queryCq -t Mails -q 0 -i 0 -c 2 -b {a}");
    let rule = "======================================";
    let begin =
        format!("Queue data:\nmax: 1, min: 0\n{rule}\nidx: 0\nConsumeQueueData{{physicOffset=");
    assert!(entries.starts_with(&begin), "{entries}");
    let shares = cluster.json("allocateMQ -t Mails -i 10.0.0.1,10.0.0.2,10.0.0.3");
    let own = &shares["result"];
    assert_eq!(own["10.0.0.1"].as_array().map(Vec::len), Some(2));
    assert_eq!(own["10.0.0.3"][0]["brokerName"], "broker-b");
    let sends = cluster.works("checkMsgSendRT -t Mails -a 3 -s 16");
    assert!(sends.starts_with("#Broker Name #QID #Send Result #RT\nbroker-a 0 true "), "{sends}");
    assert!(sends.lines().last().is_some_and(|line| line.starts_with("Avg RT: ")), "{sends}");
    let sends = cluster.works("sendMsgStatus -b broker-a -c 2 -s 16");
    assert_eq!(sends.matches("SendResult [sendStatus=SEND_OK, msgId=").count(), 2, "{sends}");
    let mut client = cluster.client(0);
    let fields = [("topic", "Mails"), ("queueId", "0")];
    let reply = client.call(request::GET_MAX_OFFSET, &fields, b"").expect("an answer");
    assert_eq!(reply.expect(response::SUCCESS).number("offset"), 2);
    let stats = cluster.until("it is counted", "statsAll -t Mails", |ran| ran.out.contains("0.0"));
    let head = "#Topic #Consumer Group #Accumulation #InTPS #OutTPS #InMsg24Hour #OutMsg24Hour\n";
    let stats = cluster.plain(&stats.out);
    assert!(stats.starts_with(head) && stats.contains("\nMails 0 "), "{stats}");
    assert!(stats.ends_with(" NO_CONSUMER\n"), "{stats}");
}
