//! The keys of a name server.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use super::{
    table::config_table,
    value::{AdminAccess, ClientAuth, Limits, Secret, TlsKernel, TlsMode, expand_home},
};

const ANY: Limits = Limits::Any;
const MIB: u64 = 1024 * 1024;

fn home(rest: &str) -> PathBuf {
    expand_home(rest, std::env::var_os("HOME").map(PathBuf::from).as_deref())
}

config_table! {
    /// Everything that can be configured of a name server.
    pub struct NamesrvConfig {
        "Network" {
            bind_address: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                "bindAddress", "", ANY, fixed,
                "Address to listen on; 0.0.0.0 and :: stand for all, IPv4 and IPv6.";
            listen_port: u16 = 9_876,
                "listenPort", "", Limits::Number(0, 65_535), fixed,
                "Port for brokers and clients; 0 lets the system choose.";
            server_channel_max_idle_time_seconds: u64 = 120,
                "serverChannelMaxIdleTimeSeconds", "s", Limits::Clamp(0, 365 * 24 * 3600), fixed,
                "Silence after which a connection is closed; 0 for never.";
            shutdown_wait_time_seconds: u64 = 10,
                "shutdownWaitTimeSeconds", "s", Limits::Clamp(0, 3_600), fixed,
                "How long answers under way may take when the server is told to stop (SIGTERM).";
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
            admin_access: AdminAccess = AdminAccess::Loopback,
                "adminAccess", "", ANY, fixed,
                "From where changes of configuration and permissions are taken.";
            admin_allow_remote: bool = false,
                "adminAllowRemote", "", ANY, fixed, "The same as adminAccess=any.";
        }
        "TLS" {
            tls_server_mode: TlsMode = TlsMode::Permissive,
                "tls.server.mode", "", ANY, fixed,
                "Whether clients may use TLS on the port, must, or must not.";
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
        }
        "Routes" {
            kv_config_path: PathBuf = home("~/namesrv/kvConfig.json"),
                "kvConfigPath", "", Limits::Length(1, 4096), fixed,
                "File of the KV configuration.";
            order_message_enable: bool = false,
                "orderMessageEnable", "", ANY, live, "Fill orderTopicConf into routes.";
            return_order_topic_config_to_broker: bool = true,
                "returnOrderTopicConfigToBroker", "", ANY, live,
                "Answer registrations with the ORDER_TOPIC_CONFIG entries.";
            support_acting_master: bool = false,
                "supportActingMaster", "", ANY, live,
                "Show the smallest broker id as master where no master is.";
            delete_topic_with_broker_registration: bool = false,
                "deleteTopicWithBrokerRegistration", "", ANY, live,
                "Drop topics that a full registration of their broker no longer names.";
            enable_topic_list: bool = true,
                "enableTopicList", "", ANY, live, "Answer GET_TOPICS_BY_CLUSTER and unit lists.";
            enable_all_topic_list: bool = true,
                "enableAllTopicList", "", ANY, live,
                "Answer GET_ALL_TOPIC_LIST_FROM_NAMESERVER.";
            need_wait_for_service: bool = false,
                "needWaitForService", "", ANY, live,
                "Answer routes only after waitSecondsForService.";
            wait_seconds_for_service: u64 = 45,
                "waitSecondsForService", "s", Limits::Clamp(0, 3_600), live,
                "Time after the start in which brokers register.";
            scan_not_active_broker_interval_ms: u64 = 5_000,
                "scanNotActiveBrokerInterval", "ms", Limits::Clamp(10, 600_000), fixed,
                "Time between two looks for brokers that fell silent.";
            broker_channel_expired_time_ms: u64 = 120_000,
                "brokerChannelExpiredTime", "ms", Limits::Clamp(100, 3_600_000), live,
                "Silence after which a broker that named no time of its own is dropped.";
        }
        "Limits" {
            input_bytes_max: u64 = 64 * MIB,
                "inputBytesMax", "bytes", Limits::Number(2 << 20, 1 << 40), fixed,
                "Requests that are on their way or worked on, of all clients; the slowest is \
                 closed. A registration has half of it at most.";
            output_bytes_max: u64 = 64 * MIB,
                "outputBytesMax", "bytes", Limits::Number(2 << 20, 1 << 40), fixed,
                "Answers that clients have not taken; beyond, whoever has had one on its way for \
                 longest is closed. One answer has half of it at most.";
            output_stall_time_ms: u64 = 30_000,
                "outputStallTimeMs", "ms", Limits::Number(1_000, 3_600_000), fixed,
                "Time in which a client takes none of its answers, before it is closed.";
            server_socket_rcv_buf_size: u32 = 256 * 1024,
                "serverSocketRcvBufSize", "bytes", Limits::Clamp(0, 1 << 30), fixed,
                "What the kernel keeps of a connection's requests until they are read, up to \
                 net.core.rmem_max; 0: it chooses. With more of it requests wait there for longer.";
            server_socket_snd_buf_size: u32 = 256 * 1024,
                "serverSocketSndBufSize", "bytes", Limits::Clamp(0, 1 << 30), fixed,
                "What the kernel keeps of a connection's answers until the client has them, up to \
                 net.core.wmem_max; 0: it chooses.";
            route_bytes_max: u64 = 256 * MIB,
                "routeBytesMax", "bytes", Limits::Number(2 << 20, 1 << 40), fixed,
                "Memory of brokers and their topics; more are refused or left out.";
            route_bytes_per_connection_max: u64 = 128 * MIB,
                "routeBytesPerConnectionMax", "bytes", Limits::Number(1 << 20, 1 << 40), fixed,
                "Of it, what one connection may bring; half of it at most.";
            kv_bytes_max: u64 = 16 * MIB,
                "kvBytesMax", "bytes", Limits::Number(1 << 19, 1 << 40), fixed,
                "Memory of the KV configuration.";
            brokers_per_connection_max: u32 = 1_000,
                "brokersPerConnectionMax", "", Limits::Number(1, 1_000_000), fixed,
                "Most broker addresses that one connection brings.";
            brokers_max: u32 = 10_000,
                "brokersMax", "", Limits::Number(1, 1_000_000), fixed,
                "Most broker addresses in the table.";
            topics_max: u32 = 1_000_000,
                "topicsMax", "", Limits::Number(1, 100_000_000), fixed,
                "Most entries in the table; a topic counts once for each of its brokers.";
            kv_entries_max: u32 = 100_000,
                "kvEntriesMax", "", Limits::Number(1, 10_000_000), fixed,
                "Most entries of the KV configuration.";
        }
    }
}

impl NamesrvConfig {
    /// Whether changes of configuration, permissions and access are taken from everywhere.
    pub fn admin_from_anywhere(&self) -> bool {
        self.admin_allow_remote || self.admin_access == AdminAccess::Any
    }
}
