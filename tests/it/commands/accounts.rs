//! Brokers that check accounts, traces, and what is written into files.

use ringmq_remoting::codes::response;
use serde_json::Value;

use super::cluster::Cluster;
use crate::access::{FILE, SECRET};
use crate::process;
use crate::shards::for_shards;

for_shards!(requests_are_signed_and_accounts_changed, what_is_known_is_written_into_files);

fn requests_are_signed_and_accounts_changed(shards: u32) {
    let keys = [("aclEnable", "true")];
    let cluster = Cluster::start_with("commands-accounts", shards, &keys, Some(FILE));
    let signed = format!("--access-key admin-one --secret-key {SECRET}");
    let directory = process::directory("account");
    let file = directory.path().join("tools.yml");
    std::fs::write(&file, format!("accessKey: admin-one\nsecretKey: {SECRET}\n")).expect("ours");
    let by_file = format!("--account {}", file.display());
    cluster.fails("updateTopic -b {a} -t Signed", 1, "<a> answers CODE: ");
    for by in [&signed, &by_file] {
        let made = cluster.works(&format!("updateTopic -b {{a}} -t Signed {by}"));
        assert!(made.starts_with("create topic to <a> success.\n"), "{made}");
    }
    let line = format!(
        "updateAclConfig -c DefaultCluster -a made-by-tool -s made-secret -i DENY {signed}"
    );
    let expected = "create or update plain access config to <a> success.\n\
                    create or update plain access config to <b> success.\n";
    assert_eq!(cluster.works(&line), expected);
    let versions = cluster.works(&format!("clusterAclConfigVersion -c DefaultCluster {signed}"));
    let head = "#Cluster Name #Broker Name #Broker Addr #AclFilePath #AclConfigVersionNum \
                #AclLastUpdateTime\nDefaultCluster broker-a <a> ";
    assert!(versions.starts_with(head), "{versions}");
    assert!(versions.ends_with("get cluster's plain access config version success.\n"));
    let white = cluster.works(&format!("updateGlobalWhiteAddr -b {{a}} -g 10.10.103.* {signed}"));
    assert_eq!(white, "update global white remote addresses to <a> success.\n");
    let deleted =
        cluster.works(&format!("deleteAclConfig -c DefaultCluster -a made-by-tool {signed}"));
    assert!(deleted.ends_with("account's accesskey is:made-by-tool\n"), "{deleted}");
    let half = "--access-key admin-one";
    cluster.fails(&format!("brokerStatus -b {{a}} {half}"), 2, "--secret-key <KEY> is missing");
}

fn what_is_known_is_written_into_files(shards: u32) {
    let cluster = Cluster::start("commands-exports", shards);
    cluster.works("updateTopic -c DefaultCluster -t Exported -r 2 -w 2");
    cluster.works("updateSubGroup -c DefaultCluster -g exporters -q 1");
    let directory = process::directory("exports");
    let place = directory.path().to_str().expect("UTF-8");
    let read = |name: &str| -> Value {
        let text = std::fs::read_to_string(directory.path().join(name)).expect("it is written");
        serde_json::from_str(&text).expect("JSON")
    };
    let said = cluster.works(&format!("exportMetadata -c DefaultCluster -f {place}"));
    assert_eq!(said, format!("export {place}/metadata.json success\n"));
    let metadata = read("metadata.json");
    assert_eq!(metadata["topicConfigTable"]["Exported"]["writeQueueNums"], 4);
    assert_eq!(metadata["subscriptionGroupTable"]["exporters"]["retryQueueNums"], 2);
    cluster.works(&format!("exportMetadata -b {{a}} -t -f {place}"));
    let topics = read("topic.json");
    assert_eq!(topics["topicConfigTable"]["Exported"]["writeQueueNums"], 2);
    assert_eq!(topics["topicConfigTable"].as_object().map(serde_json::Map::len), Some(1));
    cluster.works(&format!("exportConfigs -c DefaultCluster -f {place}"));
    let configs = read("configs.json");
    assert_eq!(configs["clusterScale"]["masterBrokerSize"], 2);
    assert_eq!(configs["brokerConfigs"]["broker-b"]["flushDiskType"], "ASYNC_FLUSH");
    cluster.works(&format!("exportMetrics -c DefaultCluster -f {place}"));
    let metrics = read("metrics.json");
    assert!(metrics["totalData"]["totalTps"]["totalNormalInTps"].is_number(), "{metrics}");
    assert_eq!(metrics["evaluateReport"]["broker-a"]["runtimeQuota"]["topicSize"], 1);
    let round = cluster.works("clusterRT -a 2 -s 16 -i 0");
    let head = "#Cluster Name #Broker Name #RT #successCount #failCount\nDefaultCluster broker-a ";
    assert!(round.starts_with(head) && round.ends_with(" 2 0\n"), "{round}");
    let log = cluster.works("clusterRT -a 2 -s 16 -i 0 -p true -m here");
    assert!(log.starts_with("<time>|here|DefaultCluster|broker-a|"), "{log}");
    traces_are_shown(&cluster);
}

fn traces_are_shown(cluster: &Cluster) {
    cluster.works("updateTopic -b {a} -t Traces -r 1 -w 1");
    let sent = "Pub 1700000000000 R senders T ID tag key 10.0.0.1:10911 5 3 0 OFFSET true";
    let consumed = "SubAfter REQUEST ID 12 false key 1 1700000000500 payers";
    let body = [sent, consumed].map(|record| record.replace(' ', "\u{1}") + "\u{2}").concat();
    cluster.client(0).send_with("Traces", 0, "KEYS\u{1}ID\u{2}", &body).expect(response::SUCCESS);
    let line = "queryMsgTraceById -i ID -t Traces";
    let shown = cluster.until("it is indexed", line, |ran| ran.code == 0);
    let expected = "#Type #ProducerGroup #ClientHost #SendTime #CostTimes #Status\n\
                    Pub senders 127.0.0.1 <time> 3ms success\n\n\
                    #Type #ConsumerGroup #ClientHost #ConsumerTime #CostTimes #Status\n\
                    Sub payers 127.0.0.1 <time> 12ms failed\n\n";
    assert_eq!(cluster.plain(&shown.out), expected);
    let missing = "query message by key finished, but no message: NONE in Traces";
    cluster.fails("queryMsgTraceById -i NONE -t Traces", 3, missing);
}
