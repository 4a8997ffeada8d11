//! Starting a broker on its executors, from a thread that belongs to none of them.

mod heartbeat;
mod log_place;

use std::{
    path::Path,
    sync::{Arc, Mutex, atomic::Ordering, mpsc},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ringmq_base::{
    LogId,
    config::{BrokerConfig, Loaded},
    units::human_bytes,
};
use ringmq_io::{
    allocator,
    gate::{self, MemoryLimit},
    launch::{self, Handles},
    ring::RingRuntime,
};
use ringmq_store::{descriptors_needed, log_directory};
use ringmq_tls::{Acceptor, Connector};

pub use self::heartbeat::Heartbeat;
use crate::{
    access,
    budgets::{self, Budgets, Counts, Values},
    messages::Message,
    parts::BrokerParts,
    run::{log_options, run},
    shard::{Shard, router::Lanes, settings::BrokerSettings},
    sizes::Sizes,
};

/// Why the broker did not start: one sentence each.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Refused(String),
    #[error("cannot start the executors: {0}")]
    Executors(String),
}

/// How long the control shard may take to change keys.
const RELOAD_PATIENCE: Duration = Duration::from_secs(30);
/// How much longer than its limit a drain may take to say that it is over.
const DRAIN_PATIENCE: Duration = Duration::from_secs(2);

/// A running broker.
pub struct Broker {
    lanes: Vec<Lanes<Shard<RingRuntime>>>,
    executors: Handles<()>,
    tried: mpsc::Receiver<()>,
    pub settings: Arc<BrokerSettings>,
    pub shards: usize,
}

/// Starts the broker and resolves, so to say, when it listens. Blocks the calling thread. `cpus`:
/// those that it may use, see [`launch::allowed_cpus`]. Budgets that nobody has set follow from
/// `memory`, of which `beside` bytes are for something else in this process.
pub fn start(
    loaded: Loaded<BrokerConfig>,
    cpus: &[usize],
    memory: &MemoryLimit,
    beside: u64,
) -> Result<Broker, StartError> {
    let mut cpus = shard_cpus(&loaded.config, cpus);
    let fitted = fit_and_say(loaded, cpus.len(), memory, beside).map_err(StartError::Refused)?;
    let Fitted { values: Values { config, sizes }, shards, .. } = fitted;
    allocator::give_back_buffers_from(allocator::BROKER_BUFFER_BYTES);
    cpus.truncate(shards);
    let spin = Duration::from_micros(config.spin_before_park_micros);
    let logs = if config.logs == 0 { shards as u16 } else { config.logs };
    let (root, wanted) = (&config.store_path_root_dir, &config.store_path_commit_log);
    let log_path = log_place::place(root, wanted, logs).map_err(StartError::Refused)?;
    if log_path != *root {
        let checked = gate::check(Some(&log_path), shards);
        checked.map_err(|error| StartError::Refused(error.to_string()))?;
    }
    let (access_control, access) = access::open(&config).map_err(StartError::Refused)?.unzip();
    let (tls, tls_client) = open_tls(&config).map_err(StartError::Refused)?;
    let settings = BrokerSettings::new(config, shards, now_ms()).map_err(StartError::Refused)?;
    let connections_max = connections_max(&settings, &log_path, (shards, logs));
    let settings = Arc::new(BrokerSettings {
        log_path,
        connections_max,
        sizes,
        young_bytes: memory.bytes / 10 * 4,
        access: access_control,
        tls,
        tls_client,
        ..settings
    });
    let BrokerParts { lanes, shards: parts, reports, tried } = BrokerParts::new(&settings, shards);
    let parts = Arc::new(Mutex::new(parts.into_iter().map(Some).collect::<Vec<_>>()));
    let launch_settings = launch::Settings {
        pinned: has_own_cpus(&cpus),
        spin_before_park: spin,
        ..launch::Settings::default()
    };
    let executors = launch::launch_with(&cpus, &launch_settings, move |shard, runtime| {
        let own = parts.lock().ok().and_then(|mut parts| parts[shard.index()].take());
        async move {
            if let Some(own) = own {
                run(runtime, own).await;
            }
        }
    })
    .map_err(|error| StartError::Executors(error.to_string()))?;
    let broker = Broker { lanes, executors, tried, settings, shards };
    for _ in 0..shards {
        match reports.recv() {
            Ok(Ok(_)) => {}
            Ok(Err(sentence)) => {
                broker.stop();
                return Err(StartError::Refused(sentence));
            }
            Err(_) => break,
        }
    }
    if let (Some(access), Some(control)) = (access, broker.lanes.first())
        && let Err(sentence) = access.start(control.clone())
    {
        broker.stop();
        return Err(StartError::Refused(sentence));
    }
    Ok(broker)
}

impl Broker {
    /// Waits until every name server has been told of this broker or could not be, but no longer
    /// than so.
    pub fn await_registration(&self, patience: Duration) {
        // It is said by then, or will be.
        let _ = self.tried.recv_timeout(patience);
    }

    /// Prepares the end: the name servers hear that this broker goes, sends and pulls are refused
    /// so that clients go elsewhere, pulls that wait are answered, and requests under way are done.
    /// Blocks until then, but no longer than the key `shutdownWaitTimeSeconds` says.
    pub fn drain(&self) {
        let limit = Duration::from_secs(self.settings.config.shutdown_wait_time_seconds);
        let Some(control) = self.lanes.first().filter(|_| !limit.is_zero()) else {
            return;
        };
        let (drained, is_drained) = mpsc::channel();
        let message = Message::Drain { limit, drained };
        if control.replies.send_blocking(message).is_ok() {
            // It keeps to the limit itself, unless the shard is stuck.
            let _ = is_drained.recv_timeout(limit + DRAIN_PATIENCE);
        }
    }

    /// Has live keys changed to what the configuration says now. Blocks until that counts on every
    /// shard.
    ///
    /// # Errors
    /// Why no key is changed: a sentence for the operator.
    pub fn reload(&self, keys: Vec<(String, String)>) -> Result<(), String> {
        let (reloaded, done) = mpsc::channel();
        let stuck = || "the broker does not answer".to_owned();
        let control = self.lanes.first().ok_or_else(stuck)?;
        let sent = control.replies.send_blocking(Message::Reload { keys, reloaded });
        sent.map_err(|_| stuck())?;
        done.recv_timeout(RELOAD_PATIENCE).map_err(|_| stuck())?
    }

    /// Has certificates and accounts read again, whether their files have changed or not.
    pub fn read_files_again(&self) {
        self.settings.tls.read_again();
        if let Some(access) = &self.settings.access {
            access.again.store(true, Ordering::Release);
        }
    }

    /// By which another thread asks the shards for a sign of life.
    pub fn heartbeat(&self) -> Heartbeat {
        Heartbeat::new(&self.lanes)
    }

    /// Stops: everything acknowledged is on disk, the name servers know. Blocks until done.
    pub fn stop(self) {
        for lane in &self.lanes {
            // A full lane gets room; one without a receiver belongs to a shard that has ended.
            let _ = lane.requests.send_blocking(Message::Shutdown);
        }
        self.executors.join();
    }
}

fn open_tls(config: &BrokerConfig) -> Result<(Acceptor, Option<Connector>), String> {
    Ok((Acceptor::open(config.tls())?, Connector::open(&config.tls_client())?))
}

/// What a broker is started with in the memory that there is.
struct Fitted {
    values: Values,
    budgets: Budgets,
    shards: usize,
}

/// What a start would do with `memory`: shards, and the bytes that the process stays under. `cpus`:
/// as for [`start`].
///
/// # Errors
/// The sentence that it would refuse with.
pub fn memory_plan(
    loaded: &Loaded<BrokerConfig>,
    cpus: &[usize],
    memory: &MemoryLimit,
) -> Result<(usize, u64), String> {
    let shards = shard_cpus(&loaded.config, cpus).len();
    let fitted = fit(loaded.clone(), shards, memory, 0)?;
    Ok((fitted.shards, fitted.budgets.sum()))
}

/// Cuts budgets, and then shards, that nobody has set until the memory is enough.
fn fit(
    loaded: Loaded<BrokerConfig>,
    most_shards: usize,
    memory: &MemoryLimit,
    beside: u64,
) -> Result<Fitted, String> {
    let Loaded { config, origins, .. } = loaded;
    let free = config.shards == 0 && config.cores.0.is_empty();
    let mut shards = most_shards;
    loop {
        let counts = Counts { shards: shards as u64, logs: logs_count(&config, shards) };
        let mut values = Values { config: config.clone(), sizes: Sizes::default() };
        let memory_of = (memory.bytes, &*memory.to_string());
        match budgets::fit(&mut values, &origins, counts, beside, memory_of) {
            Ok(budgets) => return Ok(Fitted { values, budgets, shards }),
            Err(_) if free && shards > 1 => shards -= 1,
            Err(sentence) => return Err(sentence),
        }
    }
}

fn fit_and_say(
    loaded: Loaded<BrokerConfig>,
    most_shards: usize,
    memory: &MemoryLimit,
    beside: u64,
) -> Result<Fitted, String> {
    let fitted = fit(loaded, most_shards, memory, beside)?;
    say(&fitted.budgets, memory, (fitted.shards, most_shards));
    Ok(fitted)
}

fn say(budgets: &Budgets, memory: &MemoryLimit, (shards, most_shards): (usize, usize)) {
    if shards < most_shards {
        tracing::info!(
            shards,
            cpus = most_shards,
            "fewer shards than CPUs: the memory of {memory} is enough for no more"
        );
    }
    tracing::info!(
        "memory: {} of {memory}; this process stays under {}: {budgets}",
        human_bytes(memory.bytes),
        human_bytes(budgets.sum()),
    );
}

/// Logs of the store: as many as it has, or a new one gets.
fn logs_count(config: &BrokerConfig, shards: usize) -> u64 {
    let new = if config.logs == 0 { shards } else { usize::from(config.logs) };
    let there = (0..u16::MAX).map_while(LogId::new);
    let there = there.take_while(|id| log_directory(&config.store_path_root_dir, *id).exists());
    match there.count() {
        0 => new as u64,
        there => there as u64,
    }
}

/// Connections of one shard: as many as configured, or as descriptors are left for them when the
/// files of the logs have theirs.
fn connections_max(
    settings: &BrokerSettings,
    log_path: &Path,
    (shards, logs): (usize, u16),
) -> usize {
    let limit = gate::descriptor_limit();
    let disk_bytes = gate::disk_bytes(log_path).unwrap_or(0);
    let id = LogId::new(0).expect("0 is in range");
    let store_bytes = store_bytes_max(&settings.config, disk_bytes);
    let needed = descriptors_needed(logs, &log_options(settings, id, 0), store_bytes);
    let left = gate::descriptors_for_connections(limit, needed, shards) / shards.max(1) as u64;
    let left = usize::try_from(left).unwrap_or(usize::MAX).max(1);
    if left < settings.connections_max {
        tracing::warn!(
            "connectionsMax = {wanted} does not fit: of {limit} open files, {needed} are set aside \
             for the logs, which leaves {left} connections a shard; raise the limit (LimitNOFILE, \
             ulimit -n) or lower connectionsMax",
            wanted = settings.config.connections_max
        );
    }
    left.min(settings.connections_max)
}

/// What the files of the store are expected to come to at most: the disk, or twice
/// `retentionBytes`, since files go some time after they are too many. What waits for its delivery
/// may make it more; then descriptors come from what connections leave.
fn store_bytes_max(config: &BrokerConfig, disk_bytes: u64) -> u64 {
    match config.retention_bytes {
        // With deleteUnconsumedWhenFull = false groups may keep everything.
        most if most > 0 && config.delete_unconsumed_when_full => {
            disk_bytes.min(most.saturating_mul(2))
        }
        _ => disk_bytes,
    }
}

/// The CPU of each shard, of those that the process may use.
pub fn shard_cpus(config: &BrokerConfig, allowed: &[usize]) -> Vec<usize> {
    let cpus = if config.cores.0.is_empty() { allowed } else { &config.cores.0 };
    let shards = match config.shards {
        0 => cpus.len(),
        shards => usize::from(shards),
    };
    cpus.iter().copied().cycle().take(shards.max(1)).collect()
}

/// More shards than CPUs share them; they are not pinned then.
fn has_own_cpus(cpus: &[usize]) -> bool {
    let mut sorted = cpus.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    sorted.len() == cpus.len()
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_set_aside_for_what_retention_leaves() {
        let config = |retention_bytes, delete_unconsumed_when_full| BrokerConfig {
            retention_bytes,
            delete_unconsumed_when_full,
            ..BrokerConfig::default()
        };
        assert_eq!(store_bytes_max(&config(0, true), 1 << 40), 1 << 40);
        assert_eq!(store_bytes_max(&config(1 << 30, true), 1 << 40), 2 << 30);
        assert_eq!(store_bytes_max(&config(1 << 30, false), 1 << 40), 1 << 40);
        assert_eq!(store_bytes_max(&config(u64::MAX / 2 + 2, true), 1 << 40), 1 << 40);
    }

    #[test]
    fn shards_that_nobody_set_follow_from_the_memory() {
        let directory = std::env::temp_dir().join(format!("ringmq-fit-{}", std::process::id()));
        let load = |keys: &[(&str, &str)]| {
            let root = ("storePathRootDir", directory.to_str().expect("ascii"));
            let keys = keys.iter().chain([&root]);
            let set: Vec<_> = keys.map(|(key, to)| ((*key).into(), (*to).into())).collect();
            BrokerConfig::load(None, &set).expect("sound keys")
        };
        let memory = |mib: u64| MemoryLimit { bytes: mib << 20, file: Some("/limit".into()) };
        let small = fit(load(&[]), 4, &memory(128), 14 << 20).expect("128 MiB serve");
        assert_eq!(small.shards, 1);
        let large = fit(load(&[]), 4, &memory(1 << 20), 0).expect("plenty");
        assert_eq!((large.shards, large.values.config), (4, load(&[]).config));
        let refused = fit(load(&[("shards", "4")]), 4, &memory(128), 0).err().expect("set");
        assert!(refused.contains("run fewer shards (key shards)"), "{refused}");
        assert!(refused.contains("/limit gives it 134217728"), "{refused}");
        // a store that has its logs already needs memory for all of them
        for log in (0..3).filter_map(LogId::new) {
            std::fs::create_dir_all(log_directory(&directory, log)).expect("a directory");
        }
        assert_eq!(logs_count(&load(&[]).config, 1), 3);
        std::fs::remove_dir_all(&directory).expect("there");
    }

    #[test]
    fn more_shards_than_cpus_share_them_and_are_not_pinned() {
        let config = |shards, cores: &[usize]| {
            let cores = ringmq_base::config::CoreList(cores.to_vec());
            BrokerConfig { shards, cores, ..BrokerConfig::default() }
        };
        let cpus = shard_cpus(&config(5, &[]), &[2, 3]);
        assert_eq!(cpus, [2, 3, 2, 3, 2]);
        assert!(!has_own_cpus(&cpus));
        assert_eq!(shard_cpus(&config(0, &[]), &[2, 3]), [2, 3]);
        assert_eq!(shard_cpus(&config(1, &[7, 6]), &[2, 3]), [7]);
        assert!(has_own_cpus(&[2, 3]));
    }
}
