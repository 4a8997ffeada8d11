//! `ringmq broker`.

use std::{io::Write as _, process::ExitCode, time::Duration};

use anyhow::anyhow;
use ringmq_base::config::{BrokerConfig, FlushDiskType, Loaded, Origin, Table as _};
use ringmq_broker::Heartbeat;
use ringmq_io::{
    gate::{self, MemoryLimit},
    launch,
    lock::{DirectoryLock, lock_directory},
};

use super::{
    advertised, doctor, logging, options,
    reload::Reloader,
    service::Service,
    signals::{Signals, limit_stop},
    store_watch::{self, StoreGone},
};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// Name servers, host:port, several separated by ;.
    #[arg(short = 'n', long = "namesrvAddr", value_name = "ADDRESSES")]
    namesrv: Option<String>,
    /// CPUs to use, such as 0,1 or 0-3; all that the process may use if not given.
    #[arg(long, value_name = "LIST")]
    cores: Option<String>,
    /// Prints the keys that RocketMQ calls important with their values and ends.
    #[arg(short = 'm', long = "printImportantConfig")]
    important: bool,
    /// RocketMQ 5 starts its proxy for gRPC clients with it.
    #[arg(long = "enable-proxy", hide = true)]
    enable_proxy: bool,
    #[command(flatten)]
    configuration: options::Configuration,
}

/// How long the first registration may take before the broker says that it serves.
const REGISTRATION_MAX: Duration = Duration::from_secs(3);

pub fn run(options: Options) -> anyhow::Result<ExitCode> {
    let _log = logging::start();
    let signals = Signals::register()?;
    let Options { namesrv, cores, important, enable_proxy, configuration } = options;
    let mut set = configuration.set;
    set.extend(namesrv.map(|addresses| ("namesrvAddr".to_owned(), addresses)));
    set.extend(cores.map(|list| ("cores".to_owned(), list)));
    let file = configuration.file;
    let again = move || BrokerConfig::load(file.as_deref(), &set);
    let loaded = again()?;
    if options::show(&loaded, configuration.print) {
        return Ok(ExitCode::SUCCESS);
    }
    if important {
        print!("{}", loaded.config.lines(&IMPORTANT));
        return Ok(ExitCode::SUCCESS);
    }
    if enable_proxy {
        tracing::warn!(
            "--enable-proxy has no effect: the proxy for gRPC clients (port 8081) is not there \
             yet; clients of the remoting protocol need none"
        );
    }
    let asks = loaded.config.fetch_namesrv_addr_by_address_server;
    if loaded.config.namesrv_addr.0.is_empty() && !asks {
        tracing::warn!("no name server: clients find this broker by its address only (-n)");
    }
    let read = loaded.clone();
    let started = start(loaded, &gate::memory_limit(), 0)?;
    started.broker.await_registration(REGISTRATION_MAX);
    say_that_it_serves(&started.broker.settings);
    let service = Service::new();
    let heartbeat = started.broker.heartbeat();
    service.ready(move |patience| silent(&heartbeat, patience));
    let mut reloader = Reloader::new(read, again);
    signals.wait(|| {
        service.reloading(|| {
            started.broker.read_files_again();
            reloader.reload(|keys| started.broker.reload(keys));
        });
    });
    service.stopping();
    Ok(started.stop())
}

/// Keys that Java marks as important.
const IMPORTANT: [&str; 27] = [
    "namesrvAddr",
    "brokerIP1",
    "brokerName",
    "brokerClusterName",
    "brokerId",
    "autoCreateTopicEnable",
    "autoCreateSubscriptionGroup",
    "msgTraceTopicName",
    "traceTopicEnable",
    "rejectTransactionMessage",
    "transactionTimeOut",
    "transactionCheckMax",
    "transactionCheckInterval",
    "aclEnable",
    "storePathRootDir",
    "storePathCommitLog",
    "flushDiskType",
    "deleteWhen",
    "fileReservedTime",
    "maxTransferBytesOnMessageInMemory",
    "maxTransferCountOnMessageInMemory",
    "maxTransferBytesOnMessageInDisk",
    "maxTransferCountOnMessageInDisk",
    "messageIndexEnable",
    "haMasterAddress",
    "brokerRole",
    "cleanFileForciblyEnable",
];

/// The line that people and scripts wait for, in RocketMQ's words.
fn say_that_it_serves(settings: &ringmq_broker::settings::BrokerSettings) {
    let name = &settings.config.broker_name;
    let mut line =
        format!("The broker[{name}, {}] boot success. serializeType=JSON", settings.advertised);
    let name_servers = &settings.config.namesrv_addr;
    if !name_servers.0.is_empty() {
        line = format!("{line} and name server is {}", name_servers.0.join(";"));
    }
    // Whoever started the broker may not read what it says.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// The first line: what to know of a broker whose log somebody reads.
fn say_what_starts(loaded: &Loaded<BrokerConfig>, cpus: &[usize]) {
    let Loaded { config, origins, .. } = loaded;
    let mut files: Vec<_> = origins.values().filter_map(Origin::file).collect();
    files.sort_unstable();
    files.dedup();
    let files: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
    let files = if files.is_empty() { "none".to_owned() } else { files.join(", ") };
    let is_sync = config.flush_disk_type == FlushDiskType::SyncFlush;
    tracing::info!(
        configuration = files,
        store = %config.store_path_root_dir.display(),
        cores = ?if config.cores.0.is_empty() { cpus } else { &config.cores.0 },
        io = if is_sync { "io_uring, O_DIRECT, O_DSYNC" } else { "io_uring, O_DIRECT" },
        "RingMQ {} (commit {}) starts a broker",
        env!("CARGO_PKG_VERSION"),
        env!("RINGMQ_COMMIT"),
    );
}

/// A broker and what it has of its store.
pub struct Started {
    pub broker: ringmq_broker::Broker,
    pub store_gone: StoreGone,
    _lock: DirectoryLock,
}

impl Started {
    /// Drains and stops the broker; what the process ends with.
    pub fn stop(self) -> ExitCode {
        tracing::info!("stopping: name servers are told, and requests under way are answered");
        let seconds = self.broker.settings.config.shutdown_wait_time_seconds;
        limit_stop(Duration::from_secs(seconds));
        self.broker.drain();
        self.broker.stop();
        self.store_gone.exit_code()
    }
}

/// Names of the shards that do not answer.
pub fn silent(heartbeat: &Heartbeat, patience: Duration) -> Vec<String> {
    let silent = heartbeat.silent(patience);
    silent.iter().map(|shard| format!("shard {}", shard.0)).collect()
}

/// Checks the machine and starts the broker; `beside`: bytes of the memory that are for something
/// else in this process. The error is a sentence for the operator.
pub fn start(
    loaded: Loaded<BrokerConfig>,
    memory: &MemoryLimit,
    beside: u64,
) -> anyhow::Result<Started> {
    loaded.config.unserved().map_err(|sentence| anyhow!("{sentence}"))?;
    advertised::say(&advertised::notes(&loaded));
    let config = &loaded.config;
    let cpus = launch::allowed_cpus()?;
    let cores = if config.cores.0.is_empty() { cpus.len() } else { config.cores.0.len() };
    let shards = if config.shards == 0 { cores } else { usize::from(config.shards) };
    let store = config.store_path_root_dir.clone();
    say_what_starts(&loaded, &cpus);
    let lock = lock_directory(&store)?;
    gate::check(Some(&store), shards)?;
    doctor::say_at_start(Some(&store), shards);
    if shards > cores {
        tracing::warn!(shards, cpus = cores, "more shards than CPUs: they share them, not pinned");
    }
    let broker =
        ringmq_broker::start(loaded, &cpus, memory, beside).map_err(|error| anyhow!("{error}"))?;
    let settings = &broker.settings;
    advertised::probe(settings.advertised.clone());
    tracing::info!(
        listens = %std::net::SocketAddr::new(settings.bind_address, settings.listen_port),
        clients_are_told = %settings.advertised,
        store = %settings.store_path.display(),
        shards = broker.shards,
        flush = if settings.flush_sync { "SYNC_FLUSH" } else { "ASYNC_FLUSH" },
        "broker {} of cluster {} serves",
        settings.config.broker_name,
        settings.config.broker_cluster_name,
    );
    Ok(Started { broker, store_gone: store_watch::start(&store), _lock: lock })
}
