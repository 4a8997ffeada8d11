//! What does not change while the broker runs, in the form that requests need it.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use ringmq_base::config::{
    BrokerConfig, FlushDiskType, MetricsExporterType, address::local_address,
};

use ringmq_io::SocketBuffers;
use ringmq_net::addresses::Limits;

use crate::{
    messages::{AccessControl, LiveSettings},
    sizes::Sizes,
};
use ringmq_rules::delay::DelayLevels;
use ringmq_tls::{Acceptor, Connector};

/// [`BrokerSettings::young_bytes`] unless the machine's memory says otherwise.
const YOUNG_BYTES_DEFAULT: u64 = 400 << 20;

#[derive(Debug)]
pub struct BrokerSettings {
    /// As at the start; of keys that are live the view of a shard has the values that count.
    pub config: BrokerConfig,
    /// What the view of a shard begins with.
    pub live: Arc<LiveSettings>,
    /// What clients are told: brokerIP1 as written, with the port.
    pub advertised: String,
    /// What slaves are told: brokerIP2 with its port.
    pub ha_address: String,
    /// The address that is part of every offset message id.
    pub store_host: SocketAddr,
    pub bind_address: IpAddr,
    pub listen_port: u16,
    pub socket_buffers: SocketBuffers,
    pub region: String,
    pub admin_from_anywhere: bool,
    /// Per shard.
    pub connections_max: usize,
    /// Answers that wait for one client, in bytes.
    pub connection_output_bytes_max: usize,
    /// Answers that a shard makes and clients have not taken, in bytes.
    pub output_bytes_max: usize,
    /// How long a client may take nothing of what waits for it.
    pub output_stall_time: Duration,
    /// Memory of the read buffers of all connections of a shard, in bytes.
    pub input_bytes_max: usize,
    /// Requests of one connection that are under way.
    pub requests_max: u32,
    pub store_path: PathBuf,
    /// The directory whose disk the logs fill.
    pub log_path: PathBuf,
    pub flush_sync: bool,
    pub segment_bytes: u64,
    pub zero_ahead_bytes: u64,
    pub hot_tail_bytes: usize,
    /// Of a shard, for all its logs.
    pub block_cache_bytes: usize,
    /// Of all logs together; 0 in either: no scrubbing.
    pub scrub_bytes_per_second: u64,
    pub scrub_interval: Duration,
    /// Appended messages of one log that wait for the disk, in bytes.
    pub backlog_bytes_max: usize,
    /// How far behind the end of a log a message counts as recent.
    pub young_bytes: u64,
    pub offset_flush_interval: Duration,
    pub delay_levels: DelayLevels,
    /// Half messages of a log from the oldest undecided one on.
    pub halves_max: i64,
    /// Milliseconds since 1970.
    pub boot_timestamp: i64,
    pub sizes: Sizes,
    /// With `metricsExporterType=PROM`.
    pub metrics: Option<MetricsSettings>,
    /// With `aclEnable`.
    pub access: Option<AccessControl>,
    /// How connections are accepted, and made to name servers: without TLS unless it was opened.
    pub tls: Acceptor,
    pub tls_client: Option<Connector>,
}

impl BrokerSettings {
    /// The error is a sentence for the operator.
    pub fn new(
        config: BrokerConfig,
        shards: usize,
        boot_timestamp: i64,
    ) -> Result<BrokerSettings, String> {
        config.unserved()?;
        let delay_levels = DelayLevels::parse(&config.message_delay_level)
            .map_err(|error| format!("messageDelayLevel: {error}"))?;
        Ok(BrokerSettings {
            advertised: host_and_port(&config.broker_ip1, config.listen_port),
            ha_address: host_and_port(&config.broker_ip2, ha_port(&config)),
            store_host: SocketAddr::new(store_ip(&config.broker_ip1), config.listen_port),
            bind_address: config.bind_address,
            listen_port: config.listen_port,
            socket_buffers: SocketBuffers {
                receive: config.server_socket_rcv_buf_size,
                send: config.server_socket_snd_buf_size,
            },
            region: config.region_id.clone(),
            admin_from_anywhere: config.admin_from_anywhere(),
            connections_max: (config.connections_max as usize).div_ceil(shards.max(1)),
            connection_output_bytes_max: limit(config.per_connection_output_bytes_max),
            // A client may always have what is its own.
            output_bytes_max: (limit(config.output_bytes_max) / shards.max(1))
                .max(limit(config.per_connection_output_bytes_max)),
            output_stall_time: Duration::from_millis(config.output_stall_time_ms),
            input_bytes_max: limit(config.input_bytes_max) / shards.max(1),
            requests_max: config.per_connection_requests_max,
            store_path: config.store_path_root_dir.clone(),
            log_path: config.store_path_root_dir.clone(),
            flush_sync: config.flush_disk_type == FlushDiskType::SyncFlush,
            segment_bytes: config.mapped_file_size_commit_log,
            zero_ahead_bytes: config.zero_ahead_bytes,
            hot_tail_bytes: limit(config.hot_tail_bytes),
            block_cache_bytes: limit(config.block_cache_bytes),
            scrub_bytes_per_second: config.scrub_bytes_per_second,
            scrub_interval: Duration::from_secs(config.scrub_interval_hours * 3600),
            backlog_bytes_max: limit(config.append_queue_bytes_max),
            young_bytes: YOUNG_BYTES_DEFAULT,
            offset_flush_interval: Duration::from_millis(config.flush_consumer_offset_interval_ms),
            delay_levels,
            halves_max: config.transaction_state_bytes_max.saturating_mul(8).cast_signed(),
            live: Arc::new(LiveSettings::new(config.clone())?),
            boot_timestamp,
            sizes: Sizes::default(),
            metrics: metrics_settings(&config)?,
            access: None,
            tls: Acceptor::default(),
            tls_client: None,
            config,
        })
    }

    /// How many connections there may be, of all shards together.
    pub fn connection_limits(&self, shards: usize) -> Limits {
        Limits {
            all: self.connections_max * shards,
            per_address: self.config.connections_per_address_max as usize,
            reserved: self.config.connections_reserved as usize,
            exempt_loopback: self.config.connections_per_address_exempt_loopback,
        }
    }

    /// The port for clients with the VIP channel on, and for Java slaves.
    pub fn vip_port(&self) -> Option<u16> {
        let port = self.listen_port.checked_sub(2).filter(|port| *port > 0);
        port.filter(|_| self.config.vip_port_enable)
    }
}

/// What metrics are served by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsSettings {
    pub address: SocketAddr,
    /// Of every metric, name and value.
    pub labels: Vec<(String, String)>,
}

fn metrics_settings(config: &BrokerConfig) -> Result<Option<MetricsSettings>, String> {
    if config.metrics_exporter_type == MetricsExporterType::Disable {
        return Ok(None);
    }
    let own = [
        ("node_type", "broker"),
        ("cluster", &config.broker_cluster_name),
        ("node_id", &config.broker_name),
    ];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut labels = own.to_vec();
    for pair in config.metrics_label.split(',').filter(|pair| !pair.trim().is_empty()) {
        let named = pair.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
        let Some((name, value)) = named.filter(|(name, _)| is_label(name)) else {
            return Err(format!(
                "metricsLabel: {pair:?} is no label; write name:value, several with commas, with \
                 names of letters, digits and _"
            ));
        };
        if labels.iter().any(|(known, _)| known == name) {
            return Err(format!("metricsLabel: the label {name} is there already; take it out"));
        }
        labels.push((name.to_owned(), value.to_owned()));
    }
    let ip = match &*config.metrics_prom_exporter_host {
        "" => store_ip(&config.broker_ip1),
        host => own_ip(host).ok_or_else(|| {
            format!("metricsPromExporterHost = {host:?} stands for no address that is known here")
        })?,
    };
    let address = SocketAddr::new(ip, config.metrics_prom_exporter_port);
    Ok(Some(MetricsSettings { address, labels }))
}

/// As Prometheus allows them, without those that metrics have of their own.
fn is_label(name: &str) -> bool {
    let is_sound = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let begins = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    begins && name.chars().all(is_sound) && name != "le" && !name.starts_with("__")
}

fn own_ip(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let found = || (host, 0).to_socket_addrs().ok()?.next().map(|found| found.ip());
    bare.parse().ok().or_else(found)
}

/// The port for slaves.
fn ha_port(config: &BrokerConfig) -> u16 {
    match config.ha_listen_port {
        0 => config.listen_port.saturating_add(1),
        port => port,
    }
}

/// An IPv6 address stands in brackets, or nobody could tell its port from it.
fn host_and_port(host: &str, port: u16) -> String {
    match host.parse::<Ipv6Addr>() {
        Ok(address) => SocketAddr::new(address.into(), port).to_string(),
        Err(_) => format!("{host}:{port}"),
    }
}

/// The address behind brokerIP1 as of now, for ids of messages, which have no place for names.
fn store_ip(host: &str) -> IpAddr {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse() {
        return address;
    }
    let found = (host, 0).to_socket_addrs().map(|mut found| found.next());
    match found {
        Ok(Some(found)) => found.ip().to_canonical(),
        Ok(None) | Err(_) => {
            let own = local_address();
            tracing::warn!(
                "brokerIP1 = {host:?} stands for no address that is known here: clients are told \
                 the name all the same, ids of messages have {own}; set it to what clients reach"
            );
            own
        }
    }
}

fn limit(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(keys: &[(&str, &str)]) -> BrokerSettings {
        let set: Vec<_> =
            keys.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let config = BrokerConfig::load(None, &set).expect("sound keys").config;
        BrokerSettings::new(config, 1, 0).expect("sound settings")
    }

    #[test]
    fn metrics_are_served_where_the_keys_say() {
        assert_eq!(settings(&[]).metrics, None);
        let on = ("metricsExporterType", "PROM");
        let as_java = settings(&[on, ("brokerIP1", "127.0.0.1")]).metrics.expect("on");
        assert_eq!(as_java.address.to_string(), "127.0.0.1:5557");
        let keys = [
            on,
            ("metricsPromExporterHost", "::1"),
            ("metricsPromExporterPort", "80"),
            ("metricsLabel", "zone:a, rack:7"),
        ];
        let told = settings(&keys).metrics.expect("on");
        assert_eq!(told.address.to_string(), "[::1]:80");
        let zone = ("zone".to_owned(), "a".to_owned());
        assert!(told.labels.contains(&zone) && told.labels.len() == 5, "{told:?}");
        for label in ["zone", "0a:b", "le:1", "a:b,a:c", "cluster:x", "a-b:c"] {
            let config = BrokerConfig {
                metrics_exporter_type: MetricsExporterType::Prom,
                metrics_label: label.to_owned(),
                ..BrokerConfig::default()
            };
            assert!(metrics_settings(&config).is_err(), "{label}");
        }
    }

    /// D10: a name is announced as written, and message ids have the address behind it.
    #[test]
    fn clients_are_told_what_brokerip1_says() {
        let local = settings(&[("brokerIP1", "localhost"), ("brokerIP2", "10.1.1.1")]);
        assert_eq!(local.advertised, "localhost:10911");
        assert!(local.store_host.ip().is_loopback());
        assert_eq!(local.ha_address, "10.1.1.1:10912");
        for ip in ["::1", "[::1]"] {
            let settings = settings(&[("brokerIP1", ip), ("listenPort", "4000")]);
            assert_eq!(settings.advertised, "[::1]:4000");
            assert_eq!(settings.store_host.to_string(), "[::1]:4000");
        }
        let unknown = settings(&[("brokerIP1", "no-such-host.invalid")]);
        assert_eq!(unknown.advertised, "no-such-host.invalid:10911");
        assert_eq!(unknown.store_host.ip(), local_address());
    }
}
