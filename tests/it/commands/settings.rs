//! What brokers and name servers are configured with.

use super::cluster::Cluster;
use crate::shards::for_shards;

for_shards!(settings_are_shown_and_changed);

fn settings_are_shown_and_changed(shards: u32) {
    let cluster = Cluster::start("commands-settings", shards);
    let names = cluster.names.address.to_string();
    let own = cluster.works("getBrokerConfig -b {a}");
    assert!(own.starts_with("============<a>============\n"), "{own}");
    assert!(own.contains("\nbrokerName = broker-a\n"), "{own}");
    let all = cluster.works("getBrokerConfig -c DefaultCluster");
    assert!(all.contains("============Master: <b>============\n"), "{all}");
    let changed = cluster.works("updateBrokerConfig -c DefaultCluster -k fileReservedTime -v 71");
    let expected = "update broker config success, <a>\nupdate broker config success, <b>\n";
    assert_eq!(changed, expected);
    let value = cluster.json("getBrokerConfig -b {b}");
    let row = value.as_array().expect("rows").iter().find(|row| row["key"] == "fileReservedTime");
    assert_eq!(row.expect("it is there")["value"], "71");
    cluster.fails("updateBrokerConfig -b {a} -k listenPort -v 1", 1, "<a> answers CODE: ");

    let shown = cluster.works("getNamesrvConfig");
    assert!(shown.starts_with(&format!("============{names}============\n")), "{shown}");
    assert!(shown.contains("\nlistenPort = "), "{shown}");
    let line = "updateNamesrvConfig -k deleteTopicWithBrokerRegistration -v true";
    let expected = format!(
        "update name server config success![{names}]\ndeleteTopicWithBrokerRegistration : true\n"
    );
    assert_eq!(cluster.works(line), expected);
    let expected = "create or update kv config to namespace success.\n";
    assert_eq!(cluster.works("updateKvConfig -s admin -k key -v value"), expected);
    let expected = "delete kv config from namespace success.\n";
    assert_eq!(cluster.works("deleteKvConfig -s admin -k key"), expected);

    let put = cluster.works("updateOrderConf -t Orders -m put -v broker-a:2;broker-b:2");
    let expected = "update orderConf success. topic=[Orders], orderConf=[broker-a:2;broker-b:2]\n";
    assert_eq!(put, expected);
    let got = cluster.works("updateOrderConf -t Orders -m get");
    assert_eq!(got, expected.replace("update", "get"));
    let deleted = cluster.works("updateOrderConf -t Orders -m delete");
    assert_eq!(deleted, "delete orderConf success. topic=[Orders]\n");
    let missing = "CODE: 22 DESC: No config item, Namespace: ORDER_TOPIC_CONFIG Key: Orders";
    cluster.fails("updateOrderConf -t Orders -m get", 3, missing);

    cluster.works("updateTopic -c DefaultCluster -t Orders -r 2 -w 2");
    let wiped = cluster.works("wipeWritePerm -b broker-b");
    let begin = format!("wipe write perm of broker[broker-b] in name server[{names}] OK, ");
    assert!(wiped.starts_with(&begin) && !wiped.ends_with(" 0\n"), "{wiped}");
    let route = cluster.json("topicRoute -t Orders -l");
    assert_eq!((&route[0]["perm"], &route[1]["perm"]), (&6.into(), &4.into()));
    let added = cluster.works("addWritePerm -b broker-b");
    assert!(added.starts_with(&begin.replace("wipe", "add")), "{added}");
    for command in ["cleanExpiredCQ", "cleanUnusedTopic", "deleteExpiredCommitLog"] {
        assert_eq!(cluster.works(&format!("{command} -c DefaultCluster")), "success\n");
        assert_eq!(cluster.works(&format!("{command} -b {{a}}")), "success\n");
    }
    let refused = "CODE: 3 DESC: request type 401 not supported: consuming by POP is not there yet";
    cluster.fails("setConsumeMode -b {a} -t Orders -g payers -m pull", 1, refused);
    let refused = "CODE: 3 DESC: request type 908 not supported: replication is not there yet";
    cluster.fails("resetMasterFlushOffset -b {a} -o 0", 1, refused);
}
