//! The table of the machine, for the server that is to run on it.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use ringmq_base::config::{BrokerConfig, ConfigError, Loaded, MetricsExporterType, NamesrvConfig};
use ringmq_io::{gate, launch};

use super::{
    super::{
        advertised::{self, Note},
        config::{self, Server},
    },
    cgroup, clock,
    condition::{Condition, Severity},
    device,
    files::{Files, Own},
    gate_rows, interrupts, kernel_tls, memory,
    ports::{self, Port},
    space::{self, Space},
};

/// What was found.
pub struct Examined {
    pub conditions: Vec<Condition>,
    /// Where the logs are or will be, if the server has any.
    pub logs: Option<PathBuf>,
}

/// Looks at this machine for the server whose configuration it is; for a broker if nobody says.
pub fn examine(
    file: Option<&Path>,
    server: Option<Server>,
    set: &[(String, String)],
) -> anyhow::Result<Examined> {
    let server = match (server, file) {
        (Some(server), _) => server,
        (None, Some(file)) => config::server_of(file)?,
        (None, None) => Server::Broker,
    };
    Ok(match server {
        Server::Broker => broker(BrokerConfig::load(file, set)),
        Server::Namesrv => {
            Examined { conditions: name_server(NamesrvConfig::load(file, set)), logs: None }
        }
    })
}

fn broker(loaded: Result<Loaded<BrokerConfig>, ConfigError>) -> Examined {
    let mut rows = Vec::new();
    let loaded = loaded.unwrap_or_else(|error| {
        rows.push(refused(error.to_string()));
        Loaded { config: BrokerConfig::default(), warnings: Vec::new(), origins: [].into() }
    });
    rows.extend(loaded.config.unserved().err().map(refused));
    let config = &loaded.config;
    let allowed = launch::allowed_cpus().unwrap_or_default();
    let cpus = ringmq_broker::server::shard_cpus(config, &allowed);
    let root = &config.store_path_root_dir;
    let there = existing(root);
    let machine = gate::look(Some(&there), cpus.len());
    rows.extend(gate_rows::rows(&machine, u64::from(config.connections_max)));
    rows.push(memory_of_broker(&loaded, &allowed));
    rows.extend(limits(cpus.len()));
    let mut logs = None;
    for (role, directory) in directories(config) {
        let directory = existing(&directory);
        logs = Some(directory.clone());
        rows.extend(device::rows(&Own, &directory, role));
        let space = Space::of(&directory);
        rows.extend(space.into_iter().flat_map(|space| space::rows(space, config, role)));
    }
    rows.extend(interrupts::row(&Own, &cpus));
    rows.extend(ports::rows(&Own, &ports_of_broker(config), ports::owner));
    rows.push(address(config.broker_ip1.as_str(), &advertised::notes(&loaded)));
    rows.extend(kernel_tls::row(config.tls_server_mode, config.tls_enable, config.tls_kernel));
    rows.extend(user(&Own));
    Examined { conditions: rows, logs }
}

fn name_server(loaded: Result<Loaded<NamesrvConfig>, ConfigError>) -> Vec<Condition> {
    let mut rows = Vec::new();
    let config = match loaded {
        Ok(loaded) => loaded.config,
        Err(error) => {
            rows.push(refused(error.to_string()));
            NamesrvConfig::default()
        }
    };
    let machine = gate::look(None, 1);
    rows.extend(gate_rows::rows(&machine, u64::from(config.connections_max)));
    rows.extend(limits(1));
    let port = Port { key: "listenPort", address: config.bind_address, port: config.listen_port };
    rows.extend(ports::rows(&Own, &[port], ports::owner));
    rows.extend(kernel_tls::row(config.tls_server_mode, false, config.tls_kernel));
    rows.extend(user(&Own));
    rows
}

/// What no directory and no address is needed for.
fn limits(shards: usize) -> Vec<Condition> {
    let mut rows = vec![cgroup::cpu(&Own, shards), cgroup::pids(&Own, shards)];
    rows.extend(memory::swap(&Own));
    rows.extend(memory::huge_pages(&Own));
    rows.extend(clock::source(&Own));
    rows
}

/// A start would end with this sentence.
fn refused(sentence: String) -> Condition {
    Condition::new("configuration", "one that a server starts with", "refused")
        .but(Severity::Error, sentence)
}

fn memory_of_broker(loaded: &Loaded<BrokerConfig>, cpus: &[usize]) -> Condition {
    let limit = gate::memory_limit();
    match ringmq_broker::server::memory_plan(loaded, cpus, &limit) {
        Ok((shards, bytes)) => memory::planned(&limit, shards, bytes),
        Err(sentence) => memory::limit(&limit).but(Severity::Error, sentence),
    }
}

/// The directory of the store and, where they are elsewhere, that of the logs.
fn directories(config: &BrokerConfig) -> Vec<(&'static str, PathBuf)> {
    let (root, logs) = (&config.store_path_root_dir, &config.store_path_commit_log);
    let mut directories = vec![("store", root.clone())];
    if !logs.as_os_str().is_empty() && !logs.starts_with(root) {
        directories.push(("logs", logs.clone()));
    }
    directories
}

/// The directory itself or, until a start has made it, the one that it will be made in; absolute
/// and without links.
fn existing(directory: &Path) -> PathBuf {
    let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    let found = directory.ancestors().find_map(|directory| directory.canonicalize().ok());
    found.unwrap_or_else(|| PathBuf::from("/"))
}

fn ports_of_broker(config: &BrokerConfig) -> Vec<Port> {
    let (address, port) = (config.bind_address, config.listen_port);
    let mut ports = vec![Port { key: "listenPort", address, port }];
    let second = port.checked_sub(2).filter(|_| config.vip_port_enable);
    ports.extend(second.map(|port| Port { key: "vipPortEnable", address, port }));
    if config.metrics_exporter_type == MetricsExporterType::Prom {
        let host = config.metrics_prom_exporter_host.parse().ok();
        let address: IpAddr =
            host.or_else(|| config.broker_ip1.parse().ok()).unwrap_or(config.bind_address);
        let port = config.metrics_prom_exporter_port;
        ports.push(Port { key: "metricsPromExporterPort", address, port });
    }
    ports
}

fn address(told: &str, notes: &[Note]) -> Condition {
    let row = Condition::new("advertised address", "one that clients reach", told);
    let said = notes.iter().skip(1);
    said.fold(row, |row, note| {
        let severity = if note.is_warning { Severity::Warning } else { Severity::Note };
        row.but(severity, note.text.as_str())
    })
}

/// Rights that no server needs.
fn user(files: &dyn Files) -> Option<Condition> {
    let status = files.text("/proc/self/status")?;
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let effective = ids.split_whitespace().nth(1)?;
    let found = if effective == "0" { "root".to_owned() } else { format!("number {effective}") };
    Some(Condition::new("user", "one of its own", found).but_if(
        effective == "0",
        Severity::Note,
        "a server needs nothing of what root may: run it as a user that owns its directories",
    ))
}

#[cfg(test)]
mod tests {
    use super::{super::files::testing::Other, *};

    fn load(keys: &[(&str, &str)]) -> Result<Loaded<BrokerConfig>, ConfigError> {
        let set: Vec<_> = keys.iter().map(|(key, to)| ((*key).into(), (*to).into())).collect();
        BrokerConfig::load(None, &set)
    }

    #[test]
    fn rows_are_of_the_configuration() {
        let config = load(&[
            ("storePathRootDir", "/data/store"),
            ("storePathCommitLog", "/fast/logs"),
            ("listenPort", "12345"),
            ("metricsExporterType", "PROM"),
            ("brokerIP1", "10.0.0.7"),
        ]);
        let config = config.expect("sound keys").config;
        assert_eq!(directories(&config)[1], ("logs", PathBuf::from("/fast/logs")));
        let ports: Vec<_> = ports_of_broker(&config);
        let ports: Vec<_> = ports.iter().map(|port| (port.key, port.port)).collect();
        let metrics = ("metricsPromExporterPort", 5557);
        assert_eq!(ports, [("listenPort", 12_345), ("vipPortEnable", 12_343), metrics]);
        let usual = load(&[
            ("storePathCommitLog", "/data/store/commitlog"),
            ("storePathRootDir", "/data/store"),
        ]);
        assert_eq!(directories(&usual.expect("sound").config).len(), 1);
        assert_eq!(existing(Path::new("/proc/self/../no/such/place")), Path::new("/proc"));
    }

    #[test]
    fn a_configuration_that_is_refused_is_an_error_among_the_others() {
        let rows = broker(load(&[("listenPort", "none")])).conditions;
        assert_eq!(rows[0].severity, Severity::Error);
        assert!(rows[0].remedy.contains("listenPort = \"none\""), "{:?}", rows[0]);
        assert!(rows.len() > 15, "the rest is looked at as well: {rows:?}");
        let slave = broker(load(&[("brokerRole", "SLAVE"), ("brokerId", "1")])).conditions;
        assert!(slave[0].remedy.contains("no replication yet"), "{:?}", slave[0]);
    }

    #[test]
    fn root_is_noticed() {
        let user = |ids: &str| user(&Other::new(&format!("== /proc/self/status\nUid:\t{ids}\n")));
        let root = user("1000\t0\t0\t0").expect("a row");
        assert_eq!((root.severity, &*root.found), (Severity::Note, "root"));
        let other = user("0\t1000\t0\t0").expect("a row");
        assert_eq!((other.severity, &*other.found), (Severity::Ok, "number 1000"));
    }

    #[test]
    fn what_is_said_about_the_address_is_its_severity() {
        let first = Note { is_warning: false, text: "clients will be told".to_owned() };
        let warning = Note { is_warning: true, text: "nobody can connect".to_owned() };
        let row = address("0.0.0.0", &[first.clone(), warning]);
        assert_eq!((row.severity, &*row.remedy), (Severity::Warning, "nobody can connect"));
        assert_eq!(address("10.0.0.1", &[first]).severity, Severity::Ok);
    }
}
