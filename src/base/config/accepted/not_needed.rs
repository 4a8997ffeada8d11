//! Keys without which nothing is lost.

/// Keys, and why RingMQ needs none of them: the end of a sentence.
pub(super) const NOT_NEEDED: &[(&str, &str)] = &[
    (
        "ackThreadPoolQueueCapacity adminBrokerThreadPoolNums \
         adminBrokerThreadPoolQueueCapacity batchDispatchRequestThreadPoolNums \
         clientAsyncSemaphoreValue clientCallbackExecutorThreads \
         clientManagerThreadPoolQueueCapacity clientManageThreadPoolNums \
         clientOnewaySemaphoreValue clientRequestThreadPoolNums \
         clientRequestThreadPoolQueueCapacity clientWorkerThreads \
         consumerManagerThreadPoolQueueCapacity consumerManageThreadPoolNums \
         defaultThreadPoolNums defaultThreadPoolQueueCapacity disableCallbackExecutor \
         disableNettyWorkerGroup dispatchCqThreads endTransactionPoolQueueCapacity \
         endTransactionThreadPoolNums heartbeatThreadPoolNums heartbeatThreadPoolQueueCapacity \
         litePullMessageThreadPoolNums litePullThreadPoolQueueCapacity \
         loadBalanceProcessorThreadPoolNums loadBalanceThreadPoolQueueCapacity \
         maxAsyncPutMessageRequests processReplyMessageThreadPoolNums \
         pullMessageThreadPoolNums pullThreadPoolQueueCapacity putMessageFutureThreadPoolNums \
         putThreadPoolQueueCapacity queryMessageThreadPoolNums queryThreadPoolQueueCapacity \
         recoverThreadPoolNums replyThreadPoolQueueCapacity sendMessageThreadPoolNums \
         sendThreadPoolQueueCapacity serverAsyncSemaphoreValue serverCallbackExecutorThreads \
         serverNettyWorkerGroupEnable serverOnewaySemaphoreValue serverSelectorThreads \
         serverWorkerThreads timerGetMessageThreadNum timerPutMessageThreadNum \
         topicQueueLockNum unRegisterBrokerQueueCapacity waitTimeMillsInAckQueue \
         waitTimeMillsInAdminBrokerQueue waitTimeMillsInHeartbeatQueue \
         waitTimeMillsInLitePullQueue waitTimeMillsInPullQueue waitTimeMillsInTransactionQueue",
        "a shard does all that its connections ask for: there are no pools of threads and no \
         queues before them",
    ),
    (
        "bottomMostCompressionTypeForConsumeQueueStore cleanRocksDBDirtyCQIntervalMin \
         enableRocksDBLog memTableFlushIntervalMs realTimePersistRocksDBConfig \
         rocksdbCompressionType rocksdbCQDoubleWriteEnable rocksdbFlushWalFrequency \
         rocksdbWalFileRollingThreshold statRocksDBCQIntervalSec storeType",
        "RocksDB holds nothing here",
    ),
    (
        "accessMessageInMemoryHotRatio accessMessageInMemoryMaxRatio asyncSendEnable \
         cleanSwapedMapInterval commitCommitLogLeastPages commitCommitLogThoroughInterval \
         commitIntervalCommitLog commitLogForceSwapMapInterval commitLogSwapMapInterval \
         commitLogSwapMapReserveFileNum destroyMapedFileIntervalForcibly enableBatchPush \
         fastFailIfNoBufferInStorePool flushCommitLogLeastPages flushCommitLogThoroughInterval \
         flushCommitLogTimed flushConsumeQueueLeastPages flushConsumeQueueThoroughInterval \
         flushIntervalCommitLog flushIntervalConsumeQueue flushLeastPagesWhenWarmMapedFile \
         isEnableBatchPush logicQueueForceSwapMapInterval logicQueueSwapMapInterval \
         logicQueueSwapMapReserveFileNum mappedFileSwapEnable osPageCacheBusyTimeOutMills \
         putConsumeQueueDataByFileChannel readUnCommitted transferMsgByHeap \
         transientStorePoolEnable transientStorePoolSize wakeCommitWhenPutMessage \
         wakeFlushWhenPutMessage warmMapedFileEnable",
        "files are not mapped into memory, and messages do not go through the page cache",
    ),
    (
        "autoMessageVersionOnTopicLen bitMapLengthConsumeQueueExt checkCRCOnRecover \
         correctLogicMinOffsetForceInterval correctLogicMinOffsetSleepInterval \
         deleteConsumeQueueFilesInterval deleteFileBatchMax disappearTimeAfterStart \
         diskFallRecorded dispatchCqCacheNum dispatchFromSenderThread enableAsyncReput \
         enableBuildConsumeQueueConcurrently enableCalcFilterBitMap enableConsumeQueueExt \
         enabledAppendPropCRC expectConsumerNumUseFilter filterDataCleanTimeSpan \
         forceVerifyPropCRC logicalDiskSpaceCleanForciblyThreshold mappedFileSizeConsumeQueue \
         mappedFileSizeConsumeQueueExt mapperFileSizeBatchConsumeQueue maxBatchDeleteFilesNum \
         maxErrorRateOfBloomFilter maxHashSlotNum maxIndexNum maxMsgsNumBatch \
         maxRecoveryCommitlogFiles maxTopicLength messageIndexSafe pullBatchMaxMessageCount \
         putMessageTimeout putMsgIndexHightWater readOnlyCommitLogStorePaths \
         recheckReputOffsetFromCq recoverConcurrently redeleteHangedFileInterval \
         searchBcqByCacheEnable travelCqFileNumWhenGetMessage",
        "the queue index, the key index and the log have layouts and an order of recovery of \
         their own",
    ),
    (
        "channelExpiredTimeout channelNotActiveInterval clientChannelMaxIdleTimeSeconds \
         clientCloseSocketIfTimeout clientPooledByteBufAllocatorEnable clientSocketRcvBufSize \
         clientSocketSndBufSize connectTimeoutMillis enableFastChannelEventProcess \
         enableNetWorkFlowControl enableReconnectForGoAway enableShutdownGracefully \
         maxReconnectIntervalTimeSeconds printChannelGroups printChannelGroupsMinNum \
         scanAvailableNameSrv serverPooledByteBufAllocatorEnable serverSocketBacklog \
         socksProxyConfig useEpollNativeSelector \
         writeBufferHighWaterMark writeBufferLowWaterMark",
        "sockets are served by io_uring, not by Netty",
    ),
    (
        "debugLockEnable spinLockCollisionRetreatOptimalDegree useABSLock \
         useReentrantLockWhenPutMessage",
        "appends take no locks",
    ),
    (
        "allowRecallWhenBrokerNotWriteable enableScheduleAsyncDeliver \
         enableScheduleMessageStats flushDelayOffsetInterval mappedFileSizeTimerLog \
         maxDelayTime scheduleAsyncDeliverMaxPendingLimit \
         scheduleAsyncDeliverMaxResendNum2Blocked timerCongestNumEachSlot \
         timerEnableCheckMetrics timerEnableRetryUntilSuccess timerFlushIntervalMs \
         timerInterceptDelayLevel timerMetricSmallThreshold timerProgressLogIntervalMs \
         timerRollWindowSlot timerSkipUnknownError timerStopEnqueue",
        "messages with a time wait in memory, not in files of their own",
    ),
    (
        "transactionMetricFlushInterval transactionOpBatchInterval transactionOpMsgMaxSize",
        "transactions are decided in the log itself",
    ),
    ("fetchNameSrvAddrByDnsLookup", "all addresses of a name are used, whether it says so or not"),
    (
        "accountStatsEnable accountStatsPrintZeroValues autoDeleteUnusedStats brokerConfigPath \
         clearRetryTopicWhenDeleteTopic clusterName clusterTest commercialBaseCount \
         commercialBigCount commercialEnable commercialSizePerMsg commercialTimerCount \
         commercialTransCount configBlackList configManagerVersion configName configStorePath \
         consumerOffsetUpdateVersionStep enableCleanExpiredOffset enableCreateSysGroup \
         enableDetailStat enableRegisterProducer enableSingleTopicRegister filterServerNums \
         flushConsumerOffsetHistoryInterval highSpeedMode isolateLogEnable \
         maxStatsIdleTimeInMinutes productEnvName rocketmqHome subscriptionExpiredTimeout \
         validateSystemTopicWhenUpdateTopic",
        "it steers a part of the Java servers that has no counterpart",
    ),
];
