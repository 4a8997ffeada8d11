//! Keys of RocketMQ that mean something only to its Java servers. They are accepted so that a
//! `broker.conf` in use starts, and reported so that nobody waits for their effect.

/// Whether a list of this file names the key.
pub(super) fn names(list: &str, key: &str) -> bool {
    list.split_ascii_whitespace().any(|name| name == key)
}

/// Tuning of thread pools, memory mapping, page cache and lock strategies.
pub(super) const NOT_NEEDED: &str = "
    accessMessageInMemoryMaxRatio ackMessageThreadPoolNums ackThreadPoolQueueCapacity
    adminBrokerThreadPoolNums adminBrokerThreadPoolQueueCapacity autoDeleteUnusedStats
    bitMapLengthConsumeQueueExt brokerConfigPath channelNotActiveInterval checkCRCOnRecover
    clientAsyncSemaphoreValue clientCallbackExecutorThreads clientChannelMaxIdleTimeSeconds
    clientCloseSocketIfTimeout clientManagerThreadPoolQueueCapacity clientManageThreadPoolNums
    clientOnewaySemaphoreValue clientPooledByteBufAllocatorEnable clientRequestThreadPoolNums
    clientRequestThreadPoolQueueCapacity clientSocketRcvBufSize clientSocketSndBufSize
    clientWorkerThreads clusterTest commercialBaseCount commercialBigCount commercialEnable
    commercialTimerCount commercialTransCount commitCommitLogLeastPages
    commitCommitLogThoroughInterval commitIntervalCommitLog configBlackList configStorePath
    connectTimeoutMillis consumerManagerThreadPoolQueueCapacity consumerManageThreadPoolNums
    debugLockEnable defaultThreadPoolNums defaultThreadPoolQueueCapacity
    deleteConsumeQueueFilesInterval destroyMapedFileIntervalForcibly diskFallRecorded
    duplicationEnable enableCalcFilterBitMap enableConsumeQueueExt enableDetailStat
    enableRetryTopicV2 enableScheduleAsyncDeliver enableScheduleMessageStats
    enableSingleTopicRegister
    endTransactionPoolQueueCapacity endTransactionThreadPoolNums expectConsumerNumUseFilter
    fastFailIfNoBufferInStorePool filterDataCleanTimeSpan filterServerNums
    flushCommitLogLeastPages flushCommitLogThoroughInterval flushCommitLogTimed
    flushConsumeQueueLeastPages flushConsumeQueueThoroughInterval
    flushConsumerOffsetHistoryInterval flushDelayOffsetInterval flushIntervalCommitLog
    flushIntervalConsumeQueue flushLeastPagesWhenWarmMapedFile heartbeatThreadPoolNums
    heartbeatThreadPoolQueueCapacity highSpeedMode isEnableBatchPush isolateLogEnable
    litePullMessageThreadPoolNums litePullThreadPoolQueueCapacity
    loadBalanceProcessorThreadPoolNums loadBalanceThreadPoolQueueCapacity
    mappedFileSizeConsumeQueue mappedFileSizeConsumeQueueExt mappedFileSizeTimerLog
    maxDelayTime maxErrorRateOfBloomFilter maxHashSlotNum maxIndexNum maxMsgsNumBatch
    messageIndexSafe messageStorePlugIn minInSyncReplicas osPageCacheBusyTimeOutMills
    popFromRetryProbability popPollingSize processReplyMessageThreadPoolNums productEnvName
    pullMessageThreadPoolNums pullThreadPoolQueueCapacity putMessageFutureThreadPoolNums
    putMsgIndexHightWater putThreadPoolQueueCapacity queryMessageThreadPoolNums
    queryThreadPoolQueueCapacity readOnlyCommitLogStorePaths
    recoverThreadPoolNums redeleteHangedFileInterval replyThreadPoolQueueCapacity
    reviveQueueNum rocketmqHome scheduleAsyncDeliverMaxPendingLimit
    scheduleAsyncDeliverMaxResendNum2Blocked sendMessageThreadPoolNums
    sendThreadPoolQueueCapacity serverAsyncSemaphoreValue serverCallbackExecutorThreads
    serverOnewaySemaphoreValue serverPooledByteBufAllocatorEnable serverSelectorThreads
    serverSocketBacklog serverWorkerThreads
    storePathDLedgerCommitLog totalReplicas transferMsgByHeap transientStorePoolEnable
    transientStorePoolSize unRegisterBrokerQueueCapacity useEpollNativeSelector
    useReentrantLockWhenPutMessage waitTimeMillsInAckQueue waitTimeMillsInHeartbeatQueue
    waitTimeMillsInLitePullQueue waitTimeMillsInPullQueue waitTimeMillsInTransactionQueue
    warmMapedFileEnable writeBufferHighWaterMark writeBufferLowWaterMark
";

/// Keys of the table that nothing reads yet, with the reason. A key that begins to work is taken
/// out of here.
pub(super) const WITHOUT_EFFECT: &[(&str, &str)] = &[
    (
        "consumerFallbehindThreshold disableConsumeIfConsumerReadSlowly",
        "slow consumers read from disk and hold nobody up",
    ),
    ("filterSupportRetry", "retry topics are not filtered"),
    (
        "haHousekeepingInterval haListenPort haMasterAddress haMaxGapNotInSync \
         haSendHeartbeatInterval haTransferBatchSize inSyncReplicas offsetCheckInSlave \
         slaveReadEnable slaveTimeout",
        "replication is not there yet",
    ),
    (
        "maxTransferBytesOnMessageInDisk maxTransferBytesOnMessageInMemory \
         maxTransferCountOnMessageInDisk maxTransferCountOnMessageInMemory",
        "a pull brings what its client asks for, up to 160 messages and 256 KiB",
    ),
    ("metricsExporterType metricsPromExporterPort", "metrics are not there yet"),
    ("syncFlushTimeout", "a send is answered when the disk has it, however long that takes"),
];

/// Keys that protect and are not served yet, with the values that ask for no protection. With any
/// other value a server does not start: nobody is to believe that a port is protected.
pub(super) const PROTECTING: &[(&str, &[&str])] = &[
    ("authenticationEnabled", &["", "false"]),
    ("authorizationEnabled", &["", "false"]),
    ("tls.enable", &["", "false"]),
    ("tlsEnable", &["", "false"]),
    ("useTLS", &["", "false"]),
];

/// Whether a key with this value asks for protection that is not there.
pub(super) fn asks_for_protection(name: &str, value: &str) -> bool {
    let known = PROTECTING.iter().find(|(key, _)| *key == name);
    known.is_some_and(|(_, off)| !off.iter().any(|off| value.trim().eq_ignore_ascii_case(off)))
}

/// Whether a key is RocketMQ's, and not in the table.
pub(super) fn is_known(key: &str) -> bool {
    names(NOT_NEEDED, key) || names(NOT_SERVED, key)
}

/// Features of RocketMQ that are not served yet: switched on, they deserve a louder warning.
pub(super) const NOT_SERVED: &str = "
    allAckInSyncStateSet authenticationEnabled authorizationEnabled controllerAddr dLegerGroup
    dLegerPeers dLegerSelfId enableControllerInNamesrv enableControllerMode
    enableDLegerCommitLog enableLmq enableMixedMessageType enableMultiDispatch
    enableSlaveActingMaster fetchNamesrvAddrByAddressServer maxLmqConsumeQueueNum
    notifyMinBrokerIdChanged preferredLeaderId tlsEnable useTLS
";
