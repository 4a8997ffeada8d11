"""What is asked of mqadmin, in this order: every sub-command at least once, of 4.9.8 and of 5.3.3.

Names in braces are filled in: cluster, a and b (addresses of the brokers), namesrv, id and offsetId (of the
first message), out (an empty directory), files (one with JSON lists)."""

OLD, NEW = "4.9.8", "5.3.3"
CLUSTER = "DefaultCluster"


class Case:
    """One run of a sub-command."""

    def __init__(self, name, line, only=None, seconds=15, file=None, masks=(), subset=False, numbers=False, only_lines=None, keeps=None):
        """`only`: the version that has it; `file`: what it writes, which is looked at, too; `masks`: pairs of a
        pattern and what stands for it; `subset`: RingMQ may have more lines; `numbers`: no number counts; `only_lines`: others do not; `keeps`: a name and a pattern whose group is its value from then on."""
        self.name, self.line, self.only, self.seconds, self.file = name, line, only, seconds, file
        self.masks, self.subset, self.numbers, self.only_lines = masks, subset, numbers, only_lines
        self.keeps = keeps
        self.command = line.split()[0]

    def arguments(self, values):
        return [part.format(**values) for part in self.line.split()]


C = Case
# `key : value` and `key = value`: of what moves only the key is looked at.
VALUES = [(r"^(\S+?)( ?[:=]) .*", r"\1\2"), (r"(?<=commitLogDiskRatio_)\S+", "<path>:")]
COUNT = [(r"OK, \d+$", "OK, <n>")]
# A queue for each commit log of RingMQ.
LOGS = [(r"(wheel_timer\.(read|write)QueueNums =) \d+", r"\1 <n>")]
TPS = [(r"\b\d+\.\d+\b", "<n>")]

CASES = [
    # Topics
    C("updateTopic", "updateTopic -c {cluster} -t AdminTopic -r 4 -w 4"),
    C("updateTopic of a broker", "updateTopic -b {a} -t AdminOne -r 2 -w 2 -p 6"),
    C("updateTopic in order", "updateTopic -c {cluster} -t AdminOrder -r 2 -w 2 -o true", masks=[(r"\[broker-[ab]:2;broker-[ab]:2\]", "[both]")]),
    C("updateTopic no topic", "updateTopic -c {cluster} -t Bad$Name"),
    C("updateTopic no cluster", "updateTopic -c Nowhere -t AdminTopic"),
    C("updateTopic nothing", "updateTopic"),
    C("updateTopic attributes", "updateTopic -c {cluster} -t AdminFifo -a +message.type=FIFO", only=NEW),
    C("updateTopicList", "updateTopicList -c {cluster} -f {files}/topics.json", only=NEW),
    C("updateSubGroup", "updateSubGroup -c {cluster} -g AdminConsumers -q 1 -r 16"),
    C("updateSubGroup of a broker", "updateSubGroup -b {a} -g AdminOther -s true -m false -d false"),
    C("updateSubGroupList", "updateSubGroupList -c {cluster} -f {files}/groups.json", only=NEW),
    C("produce", "!produce {namesrv}"),
    C("consume", "!consume {namesrv}"),
    C("await", "!await 22", seconds=60),
    C("updateTopicPerm", "updateTopicPerm -b {a} -t AdminOne -p 4"),
    C("updateTopicPerm the same", "updateTopicPerm -b {a} -t AdminOne -p 4"),
    C("updateTopicPerm of a cluster", "updateTopicPerm -c {cluster} -t AdminOne -p 6"),
    C("topicRoute", "topicRoute -t AdminTopic"),
    C("topicRoute list", "topicRoute -t AdminTopic -l"),
    C("topicRoute no topic", "topicRoute -t NoSuchTopic"),
    C("topicStatus", "topicStatus -t AdminTopic"),
    C("topicStatus no topic", "topicStatus -t NoSuchTopic"),
    C("topicClusterList", "topicClusterList -t AdminTopic"),
    C("topicList", "topicList"),
    C("topicList by cluster", "topicList -c"),
    C("allocateMQ", "allocateMQ -t AdminTopic -i 10.0.0.1,10.0.0.2", masks=[
        (r'\{"brokerName":"broker-[ab]","queueId":\d,"topic":"AdminTopic"\}', "<queue>")]),
    C("updateOrderConf put", "updateOrderConf -t AdminOrder -m put -v broker-a:2;broker-b:2"),
    C("updateOrderConf get", "updateOrderConf -t AdminOrder -m get"),
    C("updateOrderConf delete", "updateOrderConf -t AdminOrder -m delete"),
    C("updateOrderConf get nothing", "updateOrderConf -t AdminOrder -m get"),
    C("updateStaticTopic", "updateStaticTopic -t AdminStatic -qn 4 -c {cluster}", only=NEW),
    C("remappingStaticTopic", "remappingStaticTopic -t AdminStatic -c {cluster}", only=NEW),
    # Brokers
    C("clusterList", "clusterList", masks=[
        (r"(broker-[ab] 0 \S+ <version>) .*?( true)?$", r"\1 <rates>\2")]),
    C("clusterList more", "clusterList -m", numbers=True),
    C("brokerStatus", "brokerStatus -b {a}", masks=VALUES, subset=True),
    C("brokerStatus of a cluster", "brokerStatus -c {cluster}", only_lines=r"msg(Put|Get)Total|(send|pull|query)ThreadPool",
      numbers=True),
    C("getBrokerConfig", "getBrokerConfig -b {a}", masks=VALUES, subset=True),
    C("getBrokerConfig of a cluster", "getBrokerConfig -c {cluster}", only_lines=r"=====|^broker(Name|ClusterName|Id) |^fileReservedTime "),
    C("updateBrokerConfig", "updateBrokerConfig -b {a} -k fileReservedTime -v 71"),
    C("updateBrokerConfig of a cluster", "updateBrokerConfig -c {cluster} -k fileReservedTime -v 72"),
    C("updateBrokerConfig forbidden", "updateBrokerConfig -b {a} -k brokerConfigPath -v /tmp/x"),
    C("cleanExpiredCQ", "cleanExpiredCQ -b {a}"),
    C("cleanExpiredCQ of a cluster", "cleanExpiredCQ -c {cluster}"),
    C("cleanUnusedTopic", "cleanUnusedTopic -b {a}"),
    C("cleanUnusedTopic of a cluster", "cleanUnusedTopic -c {cluster}"),
    C("deleteExpiredCommitLog", "deleteExpiredCommitLog -b {a}"),
    C("deleteExpiredCommitLog of a cluster", "deleteExpiredCommitLog -c {cluster}"),
    C("sendMsgStatus", "sendMsgStatus -b broker-a -s 16 -c 2", masks=[(r"rt=\d+ms", "rt=<n>ms"), (r"queueOffset=\d+", "queueOffset=<n>"), (r"queueId=\d", "queueId=<n>"), (r"offsetMsgId=\w+", "offsetMsgId=<id>")]),
    C("clusterRT", "clusterRT -a 2 -s 16 -i 60", seconds=3, masks=TPS),
    C("resetMasterFlushOffset", "resetMasterFlushOffset -b {a} -o 0", only=NEW),
    C("haStatus", "haStatus -b {a}", only=NEW),
    C("getColdDataFlowCtrInfo", "getColdDataFlowCtrInfo -b {a}", only=NEW),
    C("updateColdDataFlowCtrGroupConfig", "updateColdDataFlowCtrGroupConfig -b {a} -g AdminConsumers -v 1024", only=NEW),
    C("removeColdDataFlowCtrGroupConfig", "removeColdDataFlowCtrGroupConfig -b {a} -g AdminConsumers", only=NEW),
    C("setCommitLogReadAheadMode", "setCommitLogReadAheadMode -b {a} -m 0", only=NEW),
    C("addBroker", "addBroker -c {a} -b {files}/none.conf", only=NEW),
    C("removeBroker", "removeBroker -c {a} -b {cluster}:broker-x:0", only=NEW),
    # Messages
    C("queryMsgById", "queryMsgById -i {offsetId}", only=OLD),
    C("queryMsgById", "queryMsgById -t AdminTopic -i {offsetId}", only=NEW),
    C("queryMsgById directly", "queryMsgById -i {offsetId} -g AdminConsumers -d 127.0.0.1@member", only=OLD),
    C("queryMsgById directly", "queryMsgById -t AdminTopic -i {offsetId} -g AdminConsumers -d 127.0.0.1@member", only=NEW),
    C("queryMsgById none", "queryMsgById -i 7F00000100002A9F00000000FFFFFFFF", only=OLD),
    C("queryMsgByKey", "queryMsgByKey -t AdminTopic -k key-5"),
    C("queryMsgByKey none", "queryMsgByKey -t AdminTopic -k no-such-key"),
    C("queryMsgByUniqueKey", "queryMsgByUniqueKey -t AdminTopic -i {id}"),
    C("queryMsgByUniqueKey all", "queryMsgByUniqueKey -t AdminTopic -i {id} -a"),
    C("queryMsgByUniqueKey none", "queryMsgByUniqueKey -t AdminTopic -i 7F0000010000000000000000FFFFFFFF"),
    C("queryMsgByUniqueKey directly", "queryMsgByUniqueKey -t AdminTopic -i {id} -g AdminConsumers -d 127.0.0.1@member"),
    C("queryMsgByOffset", "queryMsgByOffset -t AdminTopic -b broker-a -i 1 -o 1"),
    C("queryMsgByOffset none", "queryMsgByOffset -t AdminTopic -b broker-a -i 1 -o 99"),
    C("queryCq", "queryCq -t AdminTopic -q 1 -i 0 -c 2 -b {a} -g AdminConsumers"),
    C("queryCq no topic", "queryCq -t NoSuchTopic -q 1 -i 0 -c 2 -b {a}"),
    C("printMsg", "printMsg -t AdminTopic -d true"),
    C("printMsg by tag", "printMsg -t AdminTopic -s dead -d true"),
    C("printMsgByQueue", "printMsgByQueue -t AdminTopic -a broker-a -i 2 -p true -d true -f true"),
    C("checkMsgSendRT", "checkMsgSendRT -t AdminOne -a 2 -s 16", masks=[*TPS, (r"broker-[ab] \d+ (true|false) \d+", r"<queue> \1 <n>")]),
    C("sendMessage", "sendMessage -t AdminOne -p body -k key-sent -c TagS", masks=[(r"broker-[ab] \d", "broker-<n> <n>")]),
    C("sendMessage to a queue", "sendMessage -t AdminTopic -p body -k key-sent -c TagS -b broker-a -i 3"),
    C("sendMessage traced", "sendMessage -t AdminTopic -p body -k key-sent -c TagS -b broker-b -i 3 -m true",
      keeps=("traced", r"SEND_OK +(\w+)")),
    C("consumeMessage", "consumeMessage -t AdminTopic -b broker-a -i 2 -o 0 -c 2"),
    C("consumeMessage all of a queue", "consumeMessage -t AdminTopic -b broker-b -i 2"),
    C("queryMsgTraceById", "queryMsgTraceById -i {traced}", masks=[*TPS, (r"\b\d+ms\b", "<n>ms")]),
    C("queryMsgTraceById none", "queryMsgTraceById -i {id}"),
    # Groups
    C("await more", "!await 0", seconds=60),
    C("producerConnection", "producerConnection -g AdminProducers -t AdminTopic"),
    C("producerConnection none", "producerConnection -g NoSuchGroup -t AdminTopic"),
    C("producer", "producer -b {a}"),
    C("consumerConnection", "consumerConnection -g AdminConsumers"),
    C("consumerConnection of a broker", "consumerConnection -g AdminConsumers -b {a}"),
    C("consumerConnection none", "consumerConnection -g NoSuchGroup"),
    C("consumerProgress", "consumerProgress", masks=[(r" \d+ (\d+)$", r" <n> \1")]),
    C("consumerProgress of a group", "consumerProgress -g AdminConsumers", masks=[(r"(Consume TPS:).*", r"\1 <n>")]),
    C("consumerProgress with clients", "consumerProgress -g AdminConsumers -s true", masks=[(r"(Consume TPS:).*", r"\1 <n>")]),
    C("consumerProgress none", "consumerProgress -g NoSuchGroup"),
    C("consumerStatus", "consumerStatus -g AdminConsumers"),
    C("consumerStatus of a client", "consumerStatus -g AdminConsumers -i 127.0.0.1@member", numbers=True,
      masks=[(r"(messageListener : ).*", r"\1<class>")]),
    C("consumerStatus none", "consumerStatus -g NoSuchGroup"),
    C("getConsumerConfig", "getConsumerConfig -g AdminConsumers"),
    C("getConsumerConfig none", "getConsumerConfig -g NoSuchGroup"),
    C("brokerConsumeStats", "brokerConsumeStats -b {a}"),
    C("brokerConsumeStats in order", "brokerConsumeStats -b {a} -o true"),
    C("statsAll", "statsAll", numbers=True),
    C("statsAll of a topic", "statsAll -t AdminTopic", numbers=True),
    C("statsAll of what is used", "statsAll -a -t NoSuchTopic"),
    C("startMonitoring", "startMonitoring", seconds=3),
    C("setConsumeMode", "setConsumeMode -c {cluster} -t AdminTopic -g AdminConsumers -m PULL", only=NEW),
    C("updateSubGroup of the clone", "updateSubGroup -c {cluster} -g AdminClone"),
    C("cloneGroupOffset", "cloneGroupOffset -s AdminConsumers -d AdminClone -t AdminTopic -o true"),
    C("consumerProgress of the clone", "consumerProgress -g AdminClone", masks=[(r"(Consume TPS:).*", r"\1 <n>")]),
    C("resetOffsetByTime offline", "resetOffsetByTime -g AdminClone -t AdminTopic -s 0"),
    C("skipAccumulatedMessage offline", "skipAccumulatedMessage -g AdminClone -t AdminTopic"),
    C("resetOffsetByTime online", "resetOffsetByTime -g AdminConsumers -t AdminTopic -s now"),
    C("skipAccumulatedMessage online", "skipAccumulatedMessage -g AdminConsumers -t AdminTopic -f true"),
    C("resetOffsetByTime no group", "resetOffsetByTime -g NoSuchGroup -t NoSuchTopic -s now"),
    # Exports
    C("exportMetadata", "exportMetadata -c {cluster} -f {out}", file="metadata.json", masks=LOGS),
    C("exportMetadata topics", "exportMetadata -b {a} -t -f {out}", file="topic.json", masks=LOGS),
    C("exportMetadata groups", "exportMetadata -b {a} -g -f {out}", file="subscriptionGroup.json"),
    C("exportConfigs", "exportConfigs -c {cluster} -f {out}", file="configs.json"),
    C("exportMetrics", "exportMetrics -c {cluster} -f {out}", file="metrics.json", numbers=True),
    C("exportPopRecord", "exportPopRecord -b {a}", only=NEW),
    C("exportMetadataInRocksDB", "exportMetadataInRocksDB -p {out} -t topics", only=NEW),
    C("rocksDBConfigToJson", "rocksDBConfigToJson -b {a} -t topics", only=NEW),
    C("checkRocksdbCqWriteProgress", "checkRocksdbCqWriteProgress -c {cluster} -n {namesrv} -t AdminTopic", only=NEW),
    C("dumpCompactionLog", "dumpCompactionLog -f {out}/none", only=NEW),
    # Name server
    C("updateKvConfig", "updateKvConfig -s admin -k key -v value"),
    C("deleteKvConfig", "deleteKvConfig -s admin -k key"),
    C("getNamesrvConfig", "getNamesrvConfig", masks=VALUES, subset=True),
    C("updateNamesrvConfig", "updateNamesrvConfig -k deleteTopicWithBrokerRegistration -v true"),
    C("updateNamesrvConfig forbidden", "updateNamesrvConfig -k kvConfigPath -v /tmp/x"),
    C("wipeWritePerm", "wipeWritePerm -b broker-b", masks=COUNT),
    C("addWritePerm", "addWritePerm -b broker-b", masks=COUNT),
    C("wipeWritePerm no broker", "wipeWritePerm -b broker-x"),
    # Accounts
    C("updateAclConfig", "updateAclConfig -c {cluster} -a made-by-tool -s secret-of-tool -i DENY", only=OLD),
    C("deleteAclConfig", "deleteAclConfig -c {cluster} -a made-by-tool", only=OLD),
    C("clusterAclConfigVersion", "clusterAclConfigVersion -c {cluster}", only=OLD),
    C("updateGlobalWhiteAddr", "updateGlobalWhiteAddr -c {cluster} -g 10.10.103.*", only=OLD),
    C("createUser", "createUser -b {a} -u tool -p secret-of-tool -t Super", only=NEW),
    C("updateUser", "updateUser -b {a} -u tool -s disable", only=NEW),
    C("getUser", "getUser -b {a} -u tool", only=NEW),
    C("listUser", "listUser -b {a}", only=NEW),
    C("copyUser", "copyUser -f {a} -t {b}", only=NEW),
    C("createAcl", "createAcl -b {a} -s User:tool -r Topic:x -a Pub -d Allow", only=NEW),
    C("updateAcl", "updateAcl -b {a} -s User:tool -r Topic:x -a Pub -d Deny", only=NEW),
    C("getAcl", "getAcl -b {a} -s User:tool", only=NEW),
    C("listAcl", "listAcl -b {a}", only=NEW),
    C("copyAcl", "copyAcl -f {a} -t {b}", only=NEW),
    C("deleteAcl", "deleteAcl -b {a} -s User:tool -r Topic:x", only=NEW),
    C("deleteUser", "deleteUser -b {a} -u tool", only=NEW),
    C("queryMsgById again", "queryMsgById -i {offsetId} -s true", only=OLD, masks=[(r"broker-[ab]", "broker-<n>"), (r"queueId=\d", "queueId=<n>"), (r"queueOffset=\d+", "queueOffset=<n>")]),
    # What is removed
    C("deleteSubGroup", "deleteSubGroup -c {cluster} -g AdminConsumers -r true"),
    C("deleteSubGroup of a broker", "deleteSubGroup -b {a} -g AdminOther"),
    C("deleteTopic", "deleteTopic -c {cluster} -t AdminTopic"),
    C("topicRoute deleted", "topicRoute -t AdminTopic"),
    C("help", "help updateTopic"),
    C("no such command", "noSuchCommand"),
]
# They come with replication.
LEFT_OUT = ["getSyncStateSet", "getBrokerEpoch", "getControllerMetaData", "getControllerConfig",
            "updateControllerConfig", "electMaster", "cleanBrokerMetadata"]


def of_version(version):
    return [case for case in CASES if case.only in (None, version)]
