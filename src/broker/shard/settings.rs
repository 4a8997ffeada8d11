//! What does not change while the broker runs, in the form that requests need it.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ringmq_base::config::{BrokerConfig, BrokerRole, FlushDiskType};

use crate::sizes::Sizes;
use ringmq_remoting::codes::property;
use ringmq_rules::{delay::DelayLevels, message_properties::PropertiesWriter};

#[derive(Debug)]
pub struct Facts {
    pub config: BrokerConfig,
    pub name_servers: Vec<SocketAddr>,
    /// The address that clients are told, and that is part of every offset message id.
    pub store_host: SocketAddr,
    pub bind_address: IpAddr,
    pub listen_port: u16,
    pub region: String,
    pub trace_on: bool,
    pub admin_allow_remote: bool,
    /// Per shard.
    pub connections_max: usize,
    pub output_bytes_max: usize,
    /// Requests of one connection that are under way.
    pub requests_max: u32,
    /// How long a send may wait for its log before it is answered SYSTEM_BUSY; `None`: for ever.
    pub send_wait_max: Option<Duration>,
    pub store_path: PathBuf,
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
    /// `CLUSTER` with its value and separators, appended to the properties of every message.
    pub cluster_property: Vec<u8>,
    /// Milliseconds since 1970.
    pub boot_timestamp: i64,
    pub sizes: Sizes,
}

impl Facts {
    /// The error is a sentence for the operator.
    pub fn new(
        config: BrokerConfig,
        name_servers: Vec<SocketAddr>,
        shards: usize,
        boot_timestamp: i64,
    ) -> Result<Facts, String> {
        refuse_unserved(&config)?;
        let ip: IpAddr = config.broker_ip1.parse().map_err(|_| {
            format!(
                "brokerIP1 = {:?} is not an IP address; set it to the address that clients reach",
                config.broker_ip1
            )
        })?;
        let delay_levels = DelayLevels::parse(&config.message_delay_level)
            .map_err(|error| format!("messageDelayLevel: {error}"))?;
        let mut cluster_property = Vec::new();
        PropertiesWriter::new(&mut cluster_property)
            .put(property::CLUSTER, config.broker_cluster_name.as_bytes())
            .map_err(|error| format!("brokerClusterName: {error}"))?;
        Ok(Facts {
            name_servers,
            store_host: SocketAddr::new(ip, config.listen_port),
            bind_address: config.bind_address,
            listen_port: config.listen_port,
            region: config.region_id.clone(),
            trace_on: config.trace_on,
            admin_allow_remote: config.admin_allow_remote,
            connections_max: (config.connections_max as usize).div_ceil(shards.max(1)),
            output_bytes_max: limit(config.per_connection_output_bytes_max),
            requests_max: config.per_connection_requests_max,
            send_wait_max: config
                .broker_fast_failure_enable
                .then(|| Duration::from_millis(config.wait_time_in_send_queue_ms)),
            store_path: config.store_path_root_dir.clone(),
            flush_sync: config.flush_disk_type == FlushDiskType::SyncFlush,
            segment_bytes: config.mapped_file_size_commit_log,
            zero_ahead_bytes: config.zero_ahead_bytes,
            hot_tail_bytes: limit(config.hot_tail_bytes),
            block_cache_bytes: limit(config.block_cache_bytes),
            scrub_bytes_per_second: config.scrub_bytes_per_second,
            scrub_interval: Duration::from_secs(config.scrub_interval_hours * 3600),
            backlog_bytes_max: limit(config.append_queue_bytes_max),
            young_bytes: memory_bytes() / 10 * 4,
            offset_flush_interval: Duration::from_millis(config.flush_consumer_offset_interval_ms),
            delay_levels,
            cluster_property,
            boot_timestamp,
            sizes: Sizes::default(),
            config,
        })
    }

    /// The port for slaves.
    pub fn ha_port(&self) -> u16 {
        match self.config.ha_listen_port {
            0 => self.listen_port.saturating_add(1),
            port => port,
        }
    }

    /// The port for clients with the VIP channel on, and for Java slaves.
    pub fn vip_port(&self) -> Option<u16> {
        let port = self.listen_port.checked_sub(2).filter(|port| *port > 0);
        port.filter(|_| self.config.vip_port_enable)
    }
}

/// Keys whose promise this version cannot keep stop the start, rather than be ignored.
fn refuse_unserved(config: &BrokerConfig) -> Result<(), String> {
    let unserved = [
        (config.acl_enable, "aclEnable = true", "access control is not there yet"),
        (
            config.broker_role != BrokerRole::AsyncMaster,
            "brokerRole other than ASYNC_MASTER",
            "replication is not there yet",
        ),
        (config.broker_id != 0, "brokerId other than 0", "slaves are not there yet"),
    ];
    match unserved.iter().find(|(asked, ..)| *asked) {
        Some((_, key, why)) => Err(format!("{key}: {why}; take the key out of the configuration")),
        None => Ok(()),
    }
}

fn limit(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// The machine's memory; 1 GiB if it cannot be found out.
fn memory_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.map_or(1 << 30, |kib| kib.saturating_mul(1024))
}
