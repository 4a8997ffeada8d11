//! Topics and brokers.

use ringmq_remoting::codes::response;

use super::cluster::Cluster;
use crate::shards::for_shards;

for_shards!(topics_are_made_shown_and_routed, brokers_tell_of_themselves);

const SETTINGS: &str = "topicFilterType=SINGLE_TAG, topicSysFlag=0";

fn topics_are_made_shown_and_routed(shards: u32) {
    let cluster = Cluster::start("commands-topics", shards);
    let made = cluster.works("updateTopic -c DefaultCluster -t Orders -r 2 -w 2");
    let expected = format!(
        "create topic to <a> success.\ncreate topic to <b> success.\nTopicConfig \
         [topicName=Orders, readQueueNums=2, writeQueueNums=2, perm=RW-, {SETTINGS}, \
         order=false]\n"
    );
    assert_eq!(made, expected);
    for (broker, body) in [(0, b"one"), (1, b"two")] {
        let mut client = cluster.client(broker);
        client.send("Orders", 1, body).expect("an answer").expect(response::SUCCESS);
    }
    let expected = "#Broker Name #QID #Min Offset #Max Offset #Last Updated\n\
                    broker-a 0 0 0\nbroker-a 1 0 1 <time>\nbroker-b 0 0 0\n\
                    broker-b 1 0 1 <time>\n";
    assert_eq!(cluster.works("topicStatus -t Orders"), expected);
    let list = cluster.works("topicRoute -t Orders -l");
    let head = "#ClusterName #BrokerName #BrokerAddrs #ReadQueue #WriteQueue #Perm\n\
                DefaultCluster broker-a {0=<a>} 2 2 6\nDefaultCluster broker-b {0=<b>} 2 2 6\n--";
    assert!(list.starts_with(head) && list.ends_with("-\nTotal: 2 4 4\n"), "{list}");
    let route = cluster.json("topicRoute -t Orders");
    assert_eq!(route["queueDatas"][1]["writeQueueNums"], 2);
    assert_eq!(cluster.works("topicClusterList -t Orders"), "DefaultCluster\n");
    let names = cluster.works("topicList");
    assert!(names.lines().any(|line| line == "Orders"), "{names}");
    let with_groups = cluster.works("topicList -c");
    let head = "#Cluster Name #Topic #Consumer Group\n";
    assert!(with_groups.starts_with(head), "{with_groups}");
    assert!(with_groups.contains("\nDefaultCluster Orders\n"), "{with_groups}");
    let missing = "CODE: 17 DESC: No topic route info in name server for the topic: Nowhere";
    cluster.fails("topicRoute -t Nowhere", 3, missing);
    cluster.fails("topicStatus -t Nowhere", 3, missing);
    cluster.fails("updateTopic -c Elsewhere -t Orders", 3, "there is no cluster Elsewhere");
    cluster.fails(
        "updateTopic -b {a} -t Bad$Name",
        1,
        "ringmq admin updateTopic: <a> answers CODE:",
    );
    cluster.fails("updateTopic -b 127.0.0.1:1 -t Orders", 4, "127.0.0.1:1: request 17: ");
}

fn brokers_tell_of_themselves(shards: u32) {
    let cluster = Cluster::start("commands-brokers", shards);
    let list = cluster.works("clusterList");
    let head = "#Cluster Name #Broker Name #BID #Addr #Version #InTPS(LOAD) #OutTPS(LOAD) \
                #PCWait(ms) #Hour #SPACE\n";
    assert!(list.starts_with(head), "{list}");
    let rows = cluster.json("clusterList");
    for (place, name) in ["broker-a", "broker-b"].iter().enumerate() {
        let row = &rows[place];
        assert_eq!((&row["cluster"], &row["broker"]), (&"DefaultCluster".into(), &(*name).into()));
        assert_eq!(
            (&row["brokerId"], row["address"].as_str()),
            (&0.into(), Some(&*cluster.address(place)))
        );
        assert!(row["version"].as_str().is_some_and(|version| version.starts_with('V')), "{row}");
        assert!(row["inTps"].is_number() && row["space"].as_f64() > Some(0.0), "{row}");
    }
    let totals = cluster.works("clusterList -m");
    let expected = "#Cluster Name #Broker Name #InTotalYest #OutTotalYest #InTotalToday \
                    #OutTotalToday\nDefaultCluster broker-a 0 0 0 0\n\
                    DefaultCluster broker-b 0 0 0 0\n";
    assert_eq!(totals, expected);
    let status = cluster.works("brokerStatus -b {a}");
    assert!(status.contains("\nmsgPutTotalTodayNow : 0\n"), "{status}");
    let of_all = cluster.works("brokerStatus -c DefaultCluster");
    for address in ["<a>", "<b>"] {
        assert!(of_all.contains(&format!("\n{address} msgPutTotalTodayNow : 0\n")), "{of_all}");
    }
    let plan = cluster.json("storagePlan -b {b}");
    assert_eq!(plan[0]["brokerName"], "broker-b");
}
