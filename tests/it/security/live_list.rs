//! S2: what changes at run time is on a list that somebody has thought about; all else is refused.

use ringmq_base::config::{BrokerConfig, NamesrvConfig, Table};
use ringmq_remoting::codes::response;

use super::{broker_config, change_broker, change_namesrv, namesrv_config};
use crate::name_server::NameServer;
use crate::process;
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(a_broker_takes_no_key_that_is_not_on_the_list);

/// Numbers, switches and hours: nothing that an administrator could reach another file, host or
/// right with. A new one is added here by whoever has asked what it gives a stranger.
const BROKER: &[&str] = &[
    "autoCreateSubscriptionGroup",
    "autoCreateTopicEnable",
    "brokerFastFailureEnable",
    "brokerPermission",
    "cleanFileForciblyEnable",
    "consumerFallbehindThreshold",
    "defaultQueryMaxNum",
    "deleteCommitLogFilesInterval",
    "deleteUnconsumedWhenFull",
    "deleteWhen",
    "disableConsumeIfConsumerReadSlowly",
    "diskMaxUsedSpaceRatio",
    "diskSpaceCleanForciblyRatio",
    "diskSpaceWarningLevelRatio",
    "enablePropertyFilter",
    "fileReservedTime",
    "haMaxGapNotInSync",
    "inSyncReplicas",
    "litePullMessageEnable",
    "logLevel",
    "longPollingEnable",
    "maxMessageSize",
    "maxTransferBytesOnMessageInDisk",
    "maxTransferBytesOnMessageInMemory",
    "maxTransferCountOnMessageInDisk",
    "maxTransferCountOnMessageInMemory",
    "notifyConsumerIdsChangedEnable",
    "offsetCheckInSlave",
    "rejectTransactionMessage",
    "retentionBytes",
    "shortPollingTimeMills",
    "slaveReadEnable",
    "slaveTimeout",
    "spareSegmentsMax",
    "startAcceptSendRequestTimeStamp",
    "storeReplyMessageEnable",
    "syncFlushTimeout",
    "timerMaxDelaySec",
    "traceOn",
    "transactionCheckInterval",
    "transactionCheckMax",
    "transactionTimeOut",
    "useServerSideResetOffset",
    "waitTimeMillsInSendQueue",
];
const NAME_SERVER: &[&str] = &[
    "brokerChannelExpiredTime",
    "deleteTopicWithBrokerRegistration",
    "enableAllTopicList",
    "enableTopicList",
    "needWaitForService",
    "orderMessageEnable",
    "returnOrderTopicConfigToBroker",
    "supportActingMaster",
    "waitSecondsForService",
];

fn live<C: Table>() -> Vec<&'static str> {
    let mut live: Vec<_> = C::KEYS.iter().filter(|key| key.live).map(|key| key.name).collect();
    live.sort_unstable();
    live
}

fn fixed<C: Table>() -> impl Iterator<Item = &'static str> {
    C::KEYS.iter().filter(|key| !key.live).map(|key| key.name)
}

// Single: no server is started.
#[test]
fn nothing_else_became_a_live_key() {
    assert_eq!(live::<BrokerConfig>(), BROKER);
    assert_eq!(live::<NamesrvConfig>(), NAME_SERVER);
}

fn a_broker_takes_no_key_that_is_not_on_the_list(shards: u32) {
    let directory = process::directory("security-list");
    let server = Server::start(directory.path(), &Settings { shards, ..Settings::default() });
    let mut client = server.client();
    let before = broker_config(&mut client);
    // With its own value, too, and behind one that may be changed.
    for key in fixed::<BrokerConfig>() {
        let own = before.lines().find(|line| line.starts_with(&format!("{key}=")));
        for text in [format!("{key}=1"), own.unwrap_or("brokerName=x").to_owned()] {
            let answer = change_broker(&mut client, &format!("fileReservedTime=1\n{text}"));
            assert_eq!(answer.code, response::NO_PERMISSION, "{text}: {answer:?}");
        }
    }
    // Keys that no table has are refused by their not being there.
    for text in ["no.such.key=1", "__proto__=1", "fileReservedTime\u{0}=1", "=1"] {
        let answer = change_broker(&mut client, &format!("fileReservedTime=1\n{text}"));
        assert_ne!(answer.code, response::SUCCESS, "{text:?}: {answer:?}");
    }
    assert_eq!(broker_config(&mut client), before, "nothing was changed");
}

// Single: a name server has no shards.
#[test]
fn a_name_server_takes_no_key_that_is_not_on_the_list() {
    let directory = process::directory("security-list-names");
    let server = NameServer::start(directory.path(), &[]);
    let mut client = server.client();
    let before = namesrv_config(&mut client);
    for key in fixed::<NamesrvConfig>().chain(["no.such.key", "configStorePath", "rocketmqHome"]) {
        let answer = change_namesrv(&mut client, &format!("enableTopicList=false\n{key}=1"));
        assert_eq!(answer.code, response::NO_PERMISSION, "{key}: {answer:?}");
    }
    assert_eq!(namesrv_config(&mut client), before, "nothing was changed");
}
