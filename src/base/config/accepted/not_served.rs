//! Keys of features that are not there yet, or never will be.

/// Keys, and what they belong to.
pub(super) const NOT_SERVED: &[(&str, &str)] = &[
    (
        "allAckInSyncStateSet asyncLearner brokerElectionPriority brokerHeartbeatInterval \
         brokerNotActiveTimeoutMillis checkSyncStateSetPeriod cleanOfflineBrokerInterval \
         compatibleWithOldNameSrv controllerAddr controllerDLegerGroup controllerDLegerPeers \
         controllerDLegerSelfId controllerHeartBeatTimeoutMills \
         controllerRequestThreadPoolQueueCapacity controllerStorePath controllerThreadPoolNums \
         controllerType delayOffsetUpdateVersionStep dLegerGroup dLegerPeers dLegerSelfId \
         duplicationEnable electMasterMaxRetryCount enableAutoInSyncReplicas \
         enableControllerInNamesrv enableControllerMode enableDLegerCommitLog \
         enableElectUncleanMaster enableRemoteEscape enableSlaveActingMaster \
         fetchControllerAddrByDnsLookup haFlowControlEnable haMaxTimeSlaveNotCatchup \
         jraftConfig lockInStrictMode mappedFileSize maxChecksumRange \
         maxHaTransferByteInSecond maxSlaveResendLength minInSyncReplicas \
         notifyBrokerRoleChanged notifyMinBrokerIdChanged preferredLeaderId processReadEvent \
         replicasPerDiskPartition scanInactiveMasterInterval sendHeartbeatTimeoutMillis \
         skipPreOnline storePathBrokerIdentity storePathDLedgerCommitLog storePathEpochFile \
         syncBrokerMemberGroupPeriod syncBrokerMetadataPeriod syncControllerMetadataPeriod \
         syncFromLastFile syncMasterFlushOffsetWhenStartup totalReplicas",
        "replication and failover",
    ),
    (
        "ackMessageThreadPoolNums appendAckAsync appendCkAsync defaultMessageRequestMode \
         defaultPopShareQueueNum enableNotifyAfterPopOrderLockRelease \
         enableNotifyBeforePopCalculateLag enablePopBatchAck enablePopBufferMerge enablePopLog \
         enablePopMessageThreshold enableRetryTopicV2 enableSkipLongAwaitingAck \
         initPopOffsetByCheckMsgInMem loadBalancePollNameServerInterval maxPopPollingSize \
         popCkMaxBufferSize popCkOffsetMaxQueueSize popCkStayBufferTime popCkStayBufferTimeOut \
         popConsumerFSServiceInit popConsumerKVServiceEnable popConsumerKVServiceInit \
         popConsumerKVServiceLog popFromRetryProbability popInflightMessageThreshold \
         popLongPollingForceNotifyInterval popPollingMapSize popPollingSize \
         popResponseReturnActualRetryTopic popReviveMaxAttemptTimes \
         popReviveMaxReturnSizePerRead realTimeNotifyConsumerChange \
         retrieveMessageFromPopRetryTopicV1 reviveAckWaitMs reviveInterval reviveMaxSlow \
         reviveQueueNum reviveScanTime serverLoadBalancerEnable skipWhenCKRePutReachMaxTimes",
        "POP consumption",
    ),
    (
        "aclCacheExpiredSecond aclCacheMaxNum aclCacheRefreshSecond authConfigPath \
         authenticationEnabled authenticationMetadataProvider authenticationProvider \
         authenticationStrategy authenticationWhitelist authorizationEnabled \
         authorizationMetadataProvider authorizationProvider authorizationStrategy \
         authorizationWhitelist initAuthenticationUser innerClientAuthenticationCredentials \
         migrateAuthFromV1Enabled statefulAuthenticationCacheExpiredSecond \
         statefulAuthenticationCacheMaxNum statefulAuthorizationCacheExpiredSecond \
         statefulAuthorizationCacheMaxNum userCacheExpiredSecond userCacheMaxNum \
         userCacheRefreshSecond",
        "the accounts of RocketMQ 5",
    ),
    (
        "compactionCqMappedFileSize compactionMappedFileSize compactionScheduleInternal \
         compactionThreadNum enableCompaction maxOffsetMapSize",
        "topics that keep the last message of a key",
    ),
    (
        "enableLmq enableLmqStats enableMultiDispatch estimateAccumulation maxConsumeQueueScan \
         maxFilterMessageSize maxLmqConsumeQueueNum sampleCountThreshold sampleSteps",
        "light message queues",
    ),
    (
        "cgColdReadThreshold coldCtrStrategyEnable coldDataFlowControlEnable \
         coldDataScanEnable dataReadAheadEnable globalColdReadThreshold \
         timerColdDataCheckIntervalMs usePIDColdCtrStrategy",
        "limits for reads of old messages",
    ),
    (
        "metricGrpcExporterIntervalInMills metricGrpcExporterTimeOutInMills \
         metricLoggingExporterIntervalInMills metricsGrpcExporterHeader \
         metricsGrpcExporterTarget metricsInDelta metricsOtelCardinalityLimit",
        "metrics that are sent by gRPC or written to a log",
    ),
    ("inBrokerContainer", "a broker container"),
    (
        "enableMixedMessageType forwardTimeout useStaticSubscription",
        "static topics and message types of RocketMQ 5",
    ),
    (
        "broadcastOffsetExpireMaxSecond broadcastOffsetExpireSecond enableBroadcastOffsetStore",
        "offsets of broadcasting consumers on the broker",
    ),
    ("tlsEnable useTLS", "TLS by another name; tls.server.mode says who may and must use it"),
    ("rejectPullConsumerEnable", "keeping out consumers that pull by themselves"),
    ("messageStorePlugIn", "plug-ins"),
];
