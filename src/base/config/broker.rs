//! The keys of a broker.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use super::{
    table::config_table,
    value::{
        AddressList, AdminAccess, BrokerRole, ClientAuth, CoreList, FlushDiskType, Limits,
        MetricsExporterType, Secret, TlsKernel, TlsMode, UrlPart, expand_home,
    },
};
use crate::limits::{BATCH_MESSAGES_LIMIT, MESSAGE_BODY_BYTES_DEFAULT};

const NAME: Limits = Limits::Length(1, 127);
const ANY: Limits = Limits::Any;
const PORT: Limits = Limits::Number(0, 65_535);
const COUNT: Limits = Limits::Clamp(0, i64::MAX);
const YEAR_MS: i64 = 365 * 24 * 3600 * 1000;
/// A year at most; RocketMQ has the 0.
const IDLE_SECONDS: Limits = Limits::Clamp(0, 365 * 24 * 3600);
/// An hour at most.
const SHUTDOWN_SECONDS: Limits = Limits::Clamp(0, 3_600);
const MIB: u64 = 1024 * 1024;

fn home(rest: &str) -> PathBuf {
    expand_home(rest, std::env::var_os("HOME").map(PathBuf::from).as_deref())
}

config_table! {
    /// Everything that can be configured of a broker. Defaults are RocketMQ's except
    /// `flushDiskType`. After
    /// [`BrokerConfig::load`] no address, name or path is empty.
    pub struct BrokerConfig {
        "Identity and network" {
            broker_cluster_name: String = "DefaultCluster".to_owned(),
                "brokerClusterName", "", NAME, fixed, "Name of the cluster.";
            broker_name: String = String::new(),
                "brokerName", "", Limits::Length(0, 127), fixed,
                "Name that a master and its slaves share. Default: the host's name.";
            broker_id: i64 = 0,
                "brokerId", "", COUNT, fixed, "0 for a master, above 0 for a slave.";
            broker_role: BrokerRole = BrokerRole::AsyncMaster,
                "brokerRole", "", ANY, fixed, "Whether sends wait for a slave, or this is a slave.";
            namesrv_addr: AddressList = AddressList::default(),
                "namesrvAddr", "", ANY, file,
                "Name servers to register with; all addresses that a name stands for. Default: the \
                 environment variable NAMESRV_ADDR.";
            update_name_server_addr_period_ms: u64 = 120_000,
                "updateNameServerAddrPeriod", "ms", Limits::Clamp(1_000, YEAR_MS), file,
                "Time between two look-ups of the names in namesrvAddr. They are also looked up \
                 when a connection fails.";
            fetch_namesrv_addr_by_address_server: bool = false,
                "fetchNamesrvAddrByAddressServer", "", ANY, file,
                "Without namesrvAddr: name servers are those that an address server tells by HTTP.";
            rmq_address_server_domain: UrlPart = UrlPart("jmenv.tbsite.net".to_owned()),
                "rmqAddressServerDomain", "", Limits::Length(1, 255), file,
                "The address server, host or host:port; without a port it is 8080.";
            rmq_address_server_sub_group: UrlPart = UrlPart("nsaddr".to_owned()),
                "rmqAddressServerSubGroup", "", Limits::Length(1, 255), file,
                "What stands behind http://rmqAddressServerDomain/rocketmq/ in its URL.";
            fetch_namesrv_addr_interval_ms: u64 = 10_000,
                "fetchNamesrvAddrInterval", "ms", Limits::Clamp(1_000, YEAR_MS), file,
                "Time between two questions to the address server.";
            broker_ip1: String = String::new(),
                "brokerIP1", "", Limits::Length(0, 255), fixed,
                "Address or name told to clients. Default: bindAddress if it is one address, else \
                 the first one that is no loopback.";
            broker_ip2: String = String::new(),
                "brokerIP2", "", Limits::Length(0, 255), fixed,
                "Address told to slaves. Default: brokerIP1.";
            bind_address: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                "bindAddress", "", ANY, fixed,
                "Address to listen on; 0.0.0.0 and :: stand for all, IPv4 and IPv6.";
            listen_port: u16 = 10_911,
                "listenPort", "", PORT, fixed, "Port for clients; 0 lets the system choose.";
            vip_port_enable: bool = true,
                "vipPortEnable", "", ANY, fixed,
                "Also listen on listenPort - 2, where old clients and Java slaves connect.";
            ha_listen_port: u16 = 0,
                "haListenPort", "", PORT, fixed, "Port for slaves; 0 stands for listenPort + 1.";
            ha_master_address: String = String::new(),
                "haMasterAddress", "", Limits::Length(0, 255), fixed,
                "host:port of the master of a slave. Default: the name server tells it.";
            broker_permission: i32 = 6,
                "brokerPermission", "", ANY, live, "2 write, 4 read, 6 both.";
            register_name_server_period_ms: u64 = 30_000,
                "registerNameServerPeriod", "ms", Limits::Clamp(1_000, 60_000), fixed,
                "Time between two registrations with the name servers.";
            register_broker_timeout_ms: u64 = 6_000,
                "registerBrokerTimeoutMills", "ms", Limits::Clamp(100, 600_000), fixed,
                "How long a name server may take to answer a registration.";
            compressed_register: bool = false,
                "compressedRegister", "", ANY, fixed,
                "Send registrations deflated, even those that fit into a frame as they are.";
            force_register: bool = true,
                "forceRegister", "", ANY, fixed,
                "Register periodically even if the name server knows the state; with false, and \
                 when it takes several requests, it is asked first.";
            enable_split_registration: bool = false,
                "enableSplitRegistration", "", ANY, fixed,
                "Register at most splitRegistrationSize topics by one request.";
            split_registration_size: u32 = 800,
                "splitRegistrationSize", "topics", Limits::Clamp(2, i32::MAX as i64), fixed,
                "See enableSplitRegistration.";
            server_channel_max_idle_time_seconds: u64 = 120,
                "serverChannelMaxIdleTimeSeconds", "s", IDLE_SECONDS, fixed,
                "Silence after which a connection is closed; 0 for never.";
            shutdown_wait_time_seconds: u64 = 10,
                "shutdownWaitTimeSeconds", "s", SHUTDOWN_SECONDS, fixed,
                "How long a broker that is told to stop (SIGTERM) waits for name servers and for \
                 requests under way; 0: it refuses what is under way.";
            region_id: String = "DefaultRegion".to_owned(),
                "regionId", "", NAME, fixed, "Region told to clients for message trace.";
        }
        "Topics, groups and permissions" {
            auto_create_topic_enable: bool = true,
                "autoCreateTopicEnable", "", ANY, live, "Create a topic on the first send to it.";
            auto_create_subscription_group: bool = true,
                "autoCreateSubscriptionGroup", "", ANY, live, "Create a group on its first use.";
            default_topic_queue_nums: u32 = 8,
                "defaultTopicQueueNums", "", Limits::Clamp(1, 65_535), fixed,
                "Queues of a topic created on first use, at most.";
            cluster_topic_enable: bool = true,
                "clusterTopicEnable", "", ANY, fixed, "Keep a topic named as the cluster.";
            broker_topic_enable: bool = true,
                "brokerTopicEnable", "", ANY, fixed, "Keep a topic named as the broker.";
            trace_topic_enable: bool = false,
                "traceTopicEnable", "", ANY, fixed, "Create the topic for message trace.";
            msg_trace_topic_name: String = "RMQ_SYS_TRACE_TOPIC".to_owned(),
                "msgTraceTopicName", "", NAME, fixed, "Topic for message trace.";
            trace_on: bool = true,
                "traceOn", "", ANY, live, "Tell producers and consumers that they may trace.";
            enable_property_filter: bool = false,
                "enablePropertyFilter", "", ANY, live, "Serve SQL92 subscriptions.";
            filter_support_retry: bool = false,
                "filterSupportRetry", "", ANY, fixed, "Filter retry topics by SQL92 too.";
            reject_transaction_message: bool = false,
                "rejectTransactionMessage", "", ANY, live, "Refuse transactional messages.";
            transaction_time_out_ms: u64 = 6_000,
                "transactionTimeOut", "ms", Limits::Clamp(0, YEAR_MS), live,
                "Age at which an open transaction is checked first.";
            transaction_check_interval_ms: u64 = 60_000,
                "transactionCheckInterval", "ms", Limits::Clamp(100, YEAR_MS), live,
                "Time between two checks of open transactions.";
            transaction_check_max: u32 = 15,
                "transactionCheckMax", "", Limits::Clamp(1, 1_000), live,
                "Checks after which an open transaction is given up.";
            store_reply_message_enable: bool = true,
                "storeReplyMessageEnable", "", ANY, live, "Store replies of request-reply.";
            notify_consumer_ids_changed_enable: bool = true,
                "notifyConsumerIdsChangedEnable", "", ANY, live,
                "Tell the members of a group at once when one comes or goes.";
            long_polling_enable: bool = true,
                "longPollingEnable", "", ANY, live, "Let a pull wait for messages.";
            short_polling_time_ms: u64 = 1_000,
                "shortPollingTimeMills", "ms", Limits::Clamp(1, 600_000), live,
                "How long a pull waits when long polling is off.";
            flush_consumer_offset_interval_ms: u64 = 5_000,
                "flushConsumerOffsetInterval", "ms", Limits::Clamp(10, 600_000), fixed,
                "Time between two writes of consumer offsets.";
            slave_read_enable: bool = false,
                "slaveReadEnable", "", ANY, live, "Send consumers that are far behind to a slave.";
            disable_consume_if_consumer_read_slowly: bool = false,
                "disableConsumeIfConsumerReadSlowly", "", ANY, live,
                "Stop groups that fall behind by consumerFallbehindThreshold.";
            consumer_fallbehind_threshold_bytes: u64 = 16 * 1024 * MIB,
                "consumerFallbehindThreshold", "bytes", COUNT, live,
                "See disableConsumeIfConsumerReadSlowly.";
            broker_fast_failure_enable: bool = true,
                "brokerFastFailureEnable", "", ANY, live,
                "Answer SYSTEM_BUSY to sends that have waited too long.";
            wait_time_in_send_queue_ms: u64 = 200,
                "waitTimeMillsInSendQueue", "ms", Limits::Clamp(1, 600_000), live,
                "How long a send may wait before it is answered SYSTEM_BUSY.";
            start_accept_send_request_time_stamp: i64 = 0,
                "startAcceptSendRequestTimeStamp", "ms since 1970", COUNT, live,
                "Sends before this time are refused.";
            lite_pull_message_enable: bool = true,
                "litePullMessageEnable", "", ANY, live, "Serve LITE_PULL_MESSAGE (361).";
            use_server_side_reset_offset: bool = false,
                "useServerSideResetOffset", "", ANY, live,
                "Reset offsets of groups that are not online as well, as 5.x does.";
            acl_enable: bool = false,
                "aclEnable", "", ANY, fixed, "Check access keys and signatures of requests.";
            acl_file: PathBuf = PathBuf::new(),
                "aclFile", "", ANY, fixed,
                "File of accounts. Default: plain_acl.yml beside the configuration file, or in \
                 conf without one.";
            acl_directory: PathBuf = PathBuf::new(),
                "aclDirectory", "", ANY, fixed,
                "Directory with more files of accounts. Default: acl beside the configuration \
                 file, or in conf without one.";
            admin_access: AdminAccess = AdminAccess::Loopback,
                "adminAccess", "", ANY, fixed,
                "From where changes of configuration, permissions and accounts are taken while \
                 there is no ACL.";
            admin_allow_remote: bool = false,
                "adminAllowRemote", "", ANY, fixed, "The same as adminAccess=any.";
        }
        "TLS" {
            tls_server_mode: TlsMode = TlsMode::Permissive,
                "tls.server.mode", "", ANY, fixed,
                "Whether clients may use TLS on the ports for clients, must, or must not.";
            tls_config_file: PathBuf = PathBuf::from("/etc/rocketmq/tls.properties"),
                "tls.config.file", "", ANY, fixed,
                "File with the other keys of this section, if it is there; keys of the \
                 configuration file and of the command line count more.";
            tls_kernel: TlsKernel = TlsKernel::Auto,
                "tls.kernel", "", ANY, fixed,
                "Whether the kernel seals and opens the records of TLS where it can (module tls), \
                 or never.";
            tls_test_mode_enable: bool = true,
                "tls.test.mode.enable", "", ANY, fixed,
                "Serve TLS with a certificate that is made at the start and that nobody can \
                 check. Default: unless tls.server.certPath or tls.server.keyPath is set.";
            tls_server_cert_path: PathBuf = PathBuf::new(),
                "tls.server.certPath", "", ANY, fixed,
                "PEM file of the server's certificate, followed by those that vouch for it.";
            tls_server_key_path: PathBuf = PathBuf::new(),
                "tls.server.keyPath", "", ANY, fixed, "PEM file of the certificate's private key.";
            tls_server_key_password: Secret = Secret::default(),
                "tls.server.keyPassword", "", ANY, fixed,
                "Password of tls.server.keyPath, if it is encrypted.";
            tls_server_need_client_auth: ClientAuth = ClientAuth::None,
                "tls.server.need.client.auth", "", ANY, fixed,
                "Whether clients that use TLS show a certificate.";
            tls_server_auth_client: bool = false,
                "tls.server.authClient", "", ANY, fixed,
                "Take only certificates of clients that tls.server.trustCertPath vouches for.";
            tls_server_trust_cert_path: PathBuf = PathBuf::new(),
                "tls.server.trustCertPath", "", ANY, fixed,
                "PEM file of the certificates that vouch for clients.";
            tls_enable: bool = false,
                "tls.enable", "", ANY, fixed,
                "Use TLS to name servers. Default: whether tls.server.mode is enforcing.";
            tls_client_auth_server: bool = false,
                "tls.client.authServer", "", ANY, fixed,
                "Take only name servers that tls.client.trustCertPath vouches for.";
            tls_client_trust_cert_path: PathBuf = PathBuf::new(),
                "tls.client.trustCertPath", "", ANY, fixed,
                "PEM file of the certificates that vouch for name servers.";
            tls_client_cert_path: PathBuf = PathBuf::new(),
                "tls.client.certPath", "", ANY, fixed,
                "PEM file of the certificate that name servers are shown, if they ask.";
            tls_client_key_path: PathBuf = PathBuf::new(),
                "tls.client.keyPath", "", ANY, fixed, "PEM file of its private key.";
            tls_client_key_password: Secret = Secret::default(),
                "tls.client.keyPassword", "", ANY, fixed,
                "Password of tls.client.keyPath, if it is encrypted.";
        }
        "Store" {
            store_path_root_dir: PathBuf = home("~/store"),
                "storePathRootDir", "", Limits::Length(1, 4096), fixed, "Directory of all data.";
            store_path_commit_log: PathBuf = PathBuf::new(),
                "storePathCommitLog", "", ANY, fixed,
                "Directory of the commit logs. Default: commitlog under storePathRootDir.";
            mapped_file_size_commit_log: u64 = 1024 * MIB,
                "mappedFileSizeCommitLog", "bytes", Limits::Clamp(1 << 20, 1 << 32), fixed,
                "Size of a commit log segment, rounded up to a multiple of 4096.";
            flush_disk_type: FlushDiskType = FlushDiskType::SyncFlush,
                "flushDiskType", "", ANY, fixed, "When a send is acknowledged.";
            sync_flush_timeout_ms: u64 = 5_000,
                "syncFlushTimeout", "ms", Limits::Clamp(1, 600_000), live,
                "How long a send waits for the disk before FLUSH_DISK_TIMEOUT.";
            slave_timeout_ms: u64 = 3_000,
                "slaveTimeout", "ms", Limits::Clamp(1, 600_000), live,
                "How long a send waits for a slave before FLUSH_SLAVE_TIMEOUT.";
            file_reserved_time_hours: u64 = 72,
                "fileReservedTime", "hours", Limits::Clamp(1, i32::MAX as i64), live,
                "Age at which segments are deleted.";
            delete_when: String = "04".to_owned(),
                "deleteWhen", "", Limits::Length(0, 255), live,
                "Hours of the day at which old segments are deleted, separated by ;.";
            disk_max_used_space_ratio: u32 = 75,
                "diskMaxUsedSpaceRatio", "%", Limits::Clamp(10, 95), live,
                "Use of the file system at which old segments are deleted at any hour.";
            clean_file_forcibly_enable: bool = true,
                "cleanFileForciblyEnable", "", ANY, live,
                "Delete segments before their time when the disk is nearly full.";
            disk_space_clean_forcibly_ratio: u32 = 85,
                "diskSpaceCleanForciblyRatio", "%", Limits::Clamp(10, 99), live,
                "Use of the file system at which cleanFileForciblyEnable acts.";
            disk_space_warning_level_ratio: u32 = 90,
                "diskSpaceWarningLevelRatio", "%", Limits::Clamp(10, 99), live,
                "Use of the file system at which sends are refused.";
            delete_commit_log_files_interval_ms: u64 = 100,
                "deleteCommitLogFilesInterval", "ms", Limits::Clamp(0, 600_000), live,
                "Pause between the deletion of two segments.";
            clean_resource_interval_ms: u64 = 10_000,
                "cleanResourceInterval", "ms", Limits::Clamp(100, 3_600_000), fixed,
                "Time between two looks for old segments.";
            max_message_size: u32 = MESSAGE_BODY_BYTES_DEFAULT as u32,
                "maxMessageSize", "bytes", Limits::Clamp(1, 15 * 1024 * 1024), live,
                "Largest body of a message, or of a batch.";
            max_transfer_bytes_in_memory: u32 = 256 * 1024,
                "maxTransferBytesOnMessageInMemory", "bytes", Limits::Clamp(1, 15 << 20), live,
                "Most that one pull brings from memory.";
            max_transfer_bytes_in_disk: u32 = 64 * 1024,
                "maxTransferBytesOnMessageInDisk", "bytes", Limits::Clamp(1, 15 << 20), live,
                "Most that one pull brings from disk.";
            max_transfer_count_in_memory: u32 = 32,
                "maxTransferCountOnMessageInMemory", "messages", Limits::Clamp(1, 65_535), live,
                "Most messages that one pull brings from memory.";
            max_transfer_count_in_disk: u32 = 8,
                "maxTransferCountOnMessageInDisk", "messages", Limits::Clamp(1, 65_535), live,
                "Most messages that one pull brings from disk.";
            default_query_max_num: u32 = 32,
                "defaultQueryMaxNum", "messages", Limits::Clamp(1, 65_535), live,
                "Most messages that a query by key brings.";
            message_index_enable: bool = true,
                "messageIndexEnable", "", ANY, fixed, "Index messages by key.";
            message_delay_level: String =
                "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h".to_owned(),
                "messageDelayLevel", "", Limits::Length(2, 1024), fixed,
                "Delays of the levels 1, 2, ...: numbers with s, m, h or d.";
            timer_wheel_enable: bool = true,
                "timerWheelEnable", "", ANY, fixed,
                "Keep messages with a delivery time back; with false they are refused.";
            timer_precision_ms: u64 = 1_000,
                "timerPrecisionMs", "ms", Limits::Clamp(1, 60_000), fixed,
                "Slots by which messages with a delivery time are cancelled: 100, 200, 500 or \
                 1000. They are delivered at their millisecond.";
            timer_max_delay_seconds: u64 = 259_200,
                "timerMaxDelaySec", "s", Limits::Clamp(1, 10 * 365 * 24 * 3600), live,
                "Longest delay of a message with a delivery time.";
            recall_message_enable: bool = false,
                "recallMessageEnable", "", ANY, fixed,
                "Let producers call back messages that wait for their time of delivery.";
            offset_check_in_slave: bool = false,
                "offsetCheckInSlave", "", ANY, live, "Correct illegal pull offsets on a slave.";
            ha_max_gap_not_in_sync_bytes: u64 = 256 * MIB,
                "haMaxGapNotInSync", "bytes", COUNT, live,
                "How far a slave may be behind and still count as in sync.";
            ha_send_heartbeat_interval_ms: u64 = 5_000,
                "haSendHeartbeatInterval", "ms", Limits::Clamp(10, 600_000), fixed,
                "Time between two signs of life to a slave.";
            ha_housekeeping_interval_ms: u64 = 20_000,
                "haHousekeepingInterval", "ms", Limits::Clamp(10, 600_000), fixed,
                "Silence after which the connection to a slave is closed.";
            ha_transfer_batch_size_bytes: u32 = 32 * 1024,
                "haTransferBatchSize", "bytes", Limits::Clamp(1_024, 15 << 20), fixed,
                "Most that one transfer to a slave carries.";
            in_sync_replicas: u32 = 1,
                "inSyncReplicas", "", Limits::Clamp(1, 100), live,
                "Replicas, this one included, that hold a message before SYNC_MASTER acknowledges.";
        }
        "RingMQ" {
            cores: CoreList = CoreList::default(),
                "cores", "", ANY, fixed, "CPUs to use, such as 0,1. Default: all allowed ones.";
            shards: u16 = 0,
                "shards", "", Limits::Number(0, 1_024), fixed,
                "Executors, each on a core of its own; 0 stands for one per core.";
            logs: u16 = 0,
                "logs", "", Limits::Number(0, 1_024), fixed,
                "Commit logs of a new store; 0 stands for one per shard. A store keeps its number.";
            hot_tail_bytes: u64 = 64 * MIB,
                "hotTailBytes", "bytes", Limits::Number(1 << 20, 1 << 40), fixed,
                "Newest part of each log that is kept in memory.";
            zero_ahead_bytes: u64 = 64 * MIB,
                "zeroAheadBytes", "bytes", Limits::Number(0, 1 << 40), fixed,
                "How far before the end of each log its file is kept filled with zeros.";
            spare_segments_max: u32 = 1,
                "spareSegmentsMax", "files", Limits::Number(0, 64), live,
                "Segment files that each log keeps for reuse while the disk has space.";
            retention_bytes: u64 = 0,
                "retentionBytes", "bytes", Limits::Number(0, i64::MAX), live,
                "Size of all logs above which the oldest segments are deleted before their time; \
                 0: no limit.";
            delete_unconsumed_when_full: bool = true,
                "deleteUnconsumedWhenFull", "", ANY, live,
                "Delete messages that a group has not consumed before fileReservedTime, when the \
                 disk is nearly full or retentionBytes is exceeded. With false sends are refused.";
            block_cache_bytes: u64 = 64 * MIB,
                "blockCacheBytes", "bytes", Limits::Number(1 << 20, 1 << 40), fixed,
                "Memory of each shard for reads from disk.";
            scrub_bytes_per_second: u64 = 8 * MIB,
                "scrubBytesPerSecond", "bytes/s", Limits::Number(0, 1 << 40), fixed,
                "How fast old segments are read again in search of damage; 0 for never.";
            scrub_interval_hours: u64 = 24 * 7,
                "scrubIntervalHours", "hours", Limits::Number(0, 24 * 3650), fixed,
                "Time between two searches for damage; 0 for never.";
            spin_before_park_micros: u64 = 0,
                "spinBeforeParkMicros", "us", Limits::Number(0, 10_000), fixed,
                "How long an idle executor looks for work before it sleeps. Costs idle CPU.";
            queues_max: u32 = 400_000,
                "queuesMax", "", Limits::Number(1, 100_000_000), fixed,
                "Most queues of all topics but the system's, those of topics deleted since the \
                 start among them; topics that would need more are not made.";
            connections_max: u32 = 10_000,
                "connectionsMax", "", Limits::Number(1, 1_000_000), fixed,
                "Most connections at once; more are closed at once.";
            connections_per_address_max: u32 = 5_000,
                "connectionsPerAddressMax", "", Limits::Number(1, 1_000_000), fixed,
                "Most connections of one address, or of the first 64 bits of one of IPv6; more \
                 are closed at once.";
            connections_per_address_exempt_loopback: bool = true,
                "connectionsPerAddressExemptLoopback", "", ANY, fixed,
                "connectionsPerAddressMax is not for connections from this machine by loopback.";
            connections_reserved: u32 = 64,
                "connectionsReserved", "", Limits::Number(0, 1_000_000), fixed,
                "Last places of connectionsMax, an eighth of them at most: half for loopback, half \
                 also for addresses that have no connection.";
            server_socket_rcv_buf_size: u32 = 64 * 1024,
                "serverSocketRcvBufSize", "bytes", Limits::Clamp(0, 1 << 30), fixed,
                "What the kernel keeps of a connection's requests until they are read, up to \
                 net.core.rmem_max; 0: it chooses. With more of it requests wait there for longer; \
                 a connection brings at most so much in a round trip.";
            server_socket_snd_buf_size: u32 = 256 * 1024,
                "serverSocketSndBufSize", "bytes", Limits::Clamp(0, 1 << 30), fixed,
                "What the kernel keeps of a connection's answers until the client has them, up to \
                 net.core.wmem_max; 0: it chooses.";
            per_connection_output_bytes_max: u64 = 32 * MIB,
                "perConnectionOutputBytesMax", "bytes", Limits::Number(1 << 20, 1 << 34), fixed,
                "Answers that may wait for one client, on the shard of its connection and again on \
                 all others; what it asks for beyond waits until it reads.";
            output_bytes_max: u64 = 256 * MIB,
                "outputBytesMax", "bytes", Limits::Number(64 << 20, 1 << 40), fixed,
                "Answers that wait for all clients; beyond, requests wait, and the slowest clients \
                 are closed. A shard has perConnectionOutputBytesMax at least.";
            output_stall_time_ms: u64 = 30_000,
                "outputStallTimeMs", "ms", Limits::Number(1_000, 3_600_000), fixed,
                "Time in which a client takes none of its answers, before it is closed; where \
                 three quarters of outputBytesMax wait, an eighth of it is enough for the rest.";
            input_bytes_max: u64 = 256 * MIB,
                "inputBytesMax", "bytes", Limits::Number(64 << 20, 1 << 40), fixed,
                "Requests that have not arrived in full, of all clients; the slowest is closed.";
            per_connection_requests_max: u32 = 10_000,
                "perConnectionRequestsMax", "", Limits::Number(1, 1_000_000), fixed,
                "Requests of one connection under way, waiting pulls too, before SYSTEM_BUSY.";
            append_queue_bytes_max: u64 = 128 * MIB,
                "appendQueueBytesMax", "bytes", Limits::Number(16 << 20, 1 << 40), fixed,
                "Sends of one log that wait for the disk, before SYSTEM_BUSY.";
            batch_messages_max: u32 = 16_384,
                "batchMessagesMax", "messages", Limits::Number(1, BATCH_MESSAGES_LIMIT), fixed,
                "Most messages of one batch. More than 512, or 256 KiB, are stored some at a time, \
                 whole all the same; other sends to the log wait meanwhile: some 400 us for 1,000.";
            transaction_state_bytes_max: u64 = 8 * MIB,
                "transactionStateBytesMax", "bytes", Limits::Number(4 << 10, 1 << 30), fixed,
                "Memory of each log for which half messages are decided, a bit for each from the \
                 oldest undecided one on; beyond, new ones are answered SYSTEM_BUSY.";
            timer_memory_bytes_max: u64 = 256 * MIB,
                "timerMemoryBytesMax", "bytes", Limits::Number(1 << 20, 1 << 40), fixed,
                "Memory for messages that wait for their time of delivery, of all logs; more are \
                 refused. Each takes 10 to 35 bytes.";
            metrics_exporter_type: MetricsExporterType = MetricsExporterType::Disable,
                "metricsExporterType", "", ANY, fixed,
                "PROM: metrics for Prometheus, and whether the broker is well, by HTTP.";
            metrics_prom_exporter_port: u16 = 5_557,
                "metricsPromExporterPort", "", PORT, fixed, "Port for Prometheus.";
            metrics_prom_exporter_host: String = String::new(),
                "metricsPromExporterHost", "", Limits::Length(0, 255), fixed,
                "Address that Prometheus is served on. Default: brokerIP1.";
            log_level: String = String::new(),
                "logLevel", "", Limits::Length(0, 1_024), live,
                "Log lines from this level on: error, warn, info, debug, trace, or by part, \
                 info,ringmq_store=debug. Default: the environment variable RINGMQ_LOG, or info.";
            metrics_label: String = String::new(),
                "metricsLabel", "", Limits::Length(0, 1_024), fixed,
                "Labels of every metric, such as zone:a,rack:7.";
            metrics_otel_cardinality_limit: u32 = 50_000,
                "metricsOtelCardinalityLimit", "", Limits::Clamp(1, 1_000_000), fixed,
                "Most series of one metric; what would have more is left out and counted.";
            metrics_name_units: bool = false,
                "metricsNameUnits", "", ANY, fixed,
                "Names end with their unit (rocketmq_rpc_latency_milliseconds), as those do that \
                 RocketMQ shows since 5.1.4, and not as its documentation has them.";
        }
    }
}

/// Keys of RocketMQ under another name of this table.
pub(super) const ALIASES: &[(&str, &str)] = &[
    ("haSlaveFallbehindMax", "haMaxGapNotInSync"),
    ("rocketmq.namesrv.domain", "rmqAddressServerDomain"),
    ("rocketmq.namesrv.domain.subgroup", "rmqAddressServerSubGroup"),
    ("useTLS", "tls.enable"),
];

impl BrokerConfig {
    /// Whether changes of configuration, permissions and access are taken from everywhere.
    pub fn admin_from_anywhere(&self) -> bool {
        self.admin_allow_remote || self.admin_access == AdminAccess::Any
    }
}
