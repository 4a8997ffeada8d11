//! Commands that RingMQ's servers do not serve: each says why, in one line. Those of RocketMQ 5's
//! accounts are sent, so that the broker's own words are seen.

use super::cluster::Cluster;
use crate::shards::for_shards;

for_shards!(what_is_not_served_says_why);

const ACCOUNTS: &str = "not supported: accounts are those of RocketMQ 4";
const OLD_MESSAGES: &str = "not supported: readers of old messages hold nobody up";
const CONTAINER: &str = "not supported: there is no container of brokers";
const ROCKS_DB: &str = "not supported: there is no RocksDB store";
const STATIC: &str = "RingMQ has no static topics";

fn what_is_not_served_says_why(shards: u32) {
    let cluster = Cluster::start("commands-elsewhere", shards);
    for (line, why) in [
        ("createUser -b {a} -u one -p secret -t Super", ACCOUNTS),
        ("updateUser -b {a} -u one -s disable", ACCOUNTS),
        ("deleteUser -b {a} -u one", ACCOUNTS),
        ("getUser -b {a} -u one", ACCOUNTS),
        ("listUser -b {a}", ACCOUNTS),
        ("copyUser -f {a} -t {b}", ACCOUNTS),
        ("createAcl -b {a} -s User:one -r Topic:x -a Pub -d Allow", ACCOUNTS),
        ("updateAcl -b {a} -s User:one -r Topic:x -a Pub -d Deny", ACCOUNTS),
        ("deleteAcl -b {a} -s User:one", ACCOUNTS),
        ("getAcl -b {a} -s User:one", ACCOUNTS),
        ("listAcl -b {a}", ACCOUNTS),
        ("copyAcl -f {a} -t {b} -s User:one,User:two", ACCOUNTS),
        ("getColdDataFlowCtrInfo -b {a}", OLD_MESSAGES),
        ("updateColdDataFlowCtrGroupConfig -b {a} -g payers -v 1024", OLD_MESSAGES),
        ("removeColdDataFlowCtrGroupConfig -b {a} -g payers", OLD_MESSAGES),
        ("setCommitLogReadAheadMode -b {a} -m 0", OLD_MESSAGES),
        ("addBroker -c {a} -b broker.conf", CONTAINER),
        ("removeBroker -c {a} -b DefaultCluster:broker-x:0", CONTAINER),
        ("haStatus -b {a}", "not supported: replication is not there yet"),
        ("exportPopRecord -b {a}", "not supported: consuming by POP is not there yet"),
        ("rocksDBConfigToJson -b {a} -t topics", ROCKS_DB),
        ("checkRocksdbCqWriteProgress -c DefaultCluster -cf 0", ROCKS_DB),
        ("rocksDBConfigToJson -p /tmp -t topics", "files of RocksDB are not read here"),
        ("exportMetadataInRocksDB -p /tmp -t topics", "RingMQ keeps nothing in RocksDB"),
        ("dumpCompactionLog -f none", "RingMQ has no logs of compacted topics"),
        ("updateStaticTopic -t Fixed -qn 4 -c DefaultCluster", STATIC),
        ("remappingStaticTopic -t Fixed -b broker-a -mf file -fr true", STATIC),
        ("getAccessConfigSubCommand -c DefaultCluster", "secret keys are told nobody"),
        ("removeBroker -c {a} -b broker-x", "-b is like DefaultCluster:broker-a:0, not broker-x"),
    ] {
        // of a cluster, each broker says it
        let ran = cluster.run(line);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{line}: {}", ran.err);
        assert!(ran.err.lines().all(|said| said.contains(why)), "{line}: {}", ran.err);
        assert!(!ran.err.is_empty(), "{line}");
    }
    let listed = cluster.works("exportPopRecord -c DefaultCluster -d true");
    let expected = "Export broker records, brokerName=broker-a, brokerAddr=<a>, dryRun=true\n";
    assert!(listed.starts_with(expected), "{listed}");
    cluster.fails("setCommitLogReadAheadMode -b {a} -m 7", 2, "is 0, 1, not 7");
    cluster.fails("updateUser -b {a} -u one", 2, "is missing");
}
