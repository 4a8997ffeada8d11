//! Defaults that depend on the machine or on other keys, and what must fit together.

use std::{net::IpAddr, path::Path};

use super::{
    BrokerConfig, BrokerRole, ConfigError, Loaded, NamesrvConfig, Origin, Table, TlsMode, Value,
    accepted,
    address::{host_name, local_address},
    tls,
};

/// Read, write and inherit.
const PERMISSION_BITS: i32 = 7;

/// Fills what was left empty and checks the keys against each other. `home`: the directory of the
/// configuration file.
pub(super) fn broker(
    mut loaded: Loaded<BrokerConfig>,
    home: &Path,
) -> Result<Loaded<BrokerConfig>, ConfigError> {
    warn_without_effect(&mut loaded);
    derive(&mut loaded, home);
    take_as_java(&mut loaded);
    let config = &mut loaded.config;
    match config.broker_role {
        BrokerRole::Slave if config.broker_id == 0 => {
            return Err(conflict(config, "brokerRole", "brokerId", "give a slave an id above 0"));
        }
        BrokerRole::AsyncMaster | BrokerRole::SyncMaster if config.broker_id != 0 => {
            let id = config.broker_id;
            loaded.warnings.push(format!(
                "brokerId = {id} is taken as 0 because brokerRole is a master, as RocketMQ does"
            ));
            config.broker_id = 0;
            loaded.origins.insert("brokerId", Origin::Derived);
        }
        _ => {}
    }
    let config = &loaded.config;
    if config.vip_port_enable && matches!(config.listen_port, 1 | 2) {
        let remedy = "the second port would be listenPort - 2; choose a higher port";
        return Err(conflict(config, "listenPort", "vipPortEnable", remedy));
    }
    if config.listen_port != 0 && config.ha_listen_port == config.listen_port {
        return Err(conflict(config, "listenPort", "haListenPort", "choose two ports"));
    }
    let cores = u16::try_from(config.cores.0.len()).unwrap_or(u16::MAX);
    if cores != 0 && config.shards > cores {
        return Err(conflict(config, "shards", "cores", "each shard needs a core of its own"));
    }
    check_host(&loaded, "brokerIP1")?;
    check_host(&loaded, "brokerIP2")?;
    tls::finish(&mut loaded)?;
    if loaded.origins.get("tls.enable") == Some(&Origin::Default) {
        loaded.config.tls_enable = loaded.config.tls_server_mode == TlsMode::Enforcing;
        loaded.origins.insert("tls.enable", Origin::Derived);
    }
    Ok(loaded)
}

impl BrokerConfig {
    /// Refuses a part that this version cannot play, rather than pretend to play it.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn unserved(&self) -> Result<(), String> {
        let role = self.broker_role;
        if role == BrokerRole::AsyncMaster && self.broker_id == 0 {
            return Ok(());
        }
        let (key, value) = match role {
            BrokerRole::AsyncMaster => ("brokerId", self.broker_id.to_string()),
            _ => ("brokerRole", role.print()),
        };
        Err(format!(
            "{key} = {value}: RingMQ has no replication yet, so there are no slaves, and no \
             masters that wait for one; take the key out of the configuration to run this broker \
             alone"
        ))
    }
}

/// What clients and slaves are told is an address or a name.
fn check_host(loaded: &Loaded<BrokerConfig>, key: &'static str) -> Result<(), ConfigError> {
    let value = loaded.config.get(key).unwrap_or_default();
    let bare = value.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&value);
    let is_name = |text: &str| {
        text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter))
    };
    if bare.parse::<IpAddr>().is_ok() || (!value.is_empty() && is_name(&value)) {
        return Ok(());
    }
    let origin = loaded.origins.get(key).cloned().unwrap_or(Origin::Default);
    Err(ConfigError::NoHost { origin, key, value })
}

pub(super) fn namesrv(
    mut loaded: Loaded<NamesrvConfig>,
) -> Result<Loaded<NamesrvConfig>, ConfigError> {
    tls::finish(&mut loaded)?;
    Ok(loaded)
}

/// One line for each key that was set and that nothing reads.
pub(super) fn warn_without_effect(loaded: &mut Loaded<BrokerConfig>) {
    for (keys, why) in accepted::WITHOUT_EFFECT {
        for key in keys.split_ascii_whitespace() {
            let Some(origin) = loaded.origins.get(key) else {
                continue;
            };
            let value = loaded.config.get(key).unwrap_or_default();
            let default = BrokerConfig::key(key).map(|key| (key.default)());
            if *origin == Origin::Default || default.as_ref() == Some(&value) {
                continue;
            }
            loaded.warnings.push(format!("{origin}: {key} = {value} has no effect: {why}"));
        }
    }
}

fn derive(loaded: &mut Loaded<BrokerConfig>, home: &Path) {
    let config = &mut loaded.config;
    let mut derived = Vec::new();
    if config.broker_name.is_empty() {
        config.broker_name = host_name();
        derived.push("brokerName");
    }
    if config.broker_ip1.is_empty() {
        let bound = config.bind_address;
        let told = if bound.is_unspecified() { local_address() } else { bound };
        config.broker_ip1 = told.to_string();
        derived.push("brokerIP1");
    }
    if config.broker_ip2.is_empty() {
        config.broker_ip2.clone_from(&config.broker_ip1);
        derived.push("brokerIP2");
    }
    if config.ha_listen_port == 0 && config.listen_port != 0 {
        config.ha_listen_port = config.listen_port.saturating_add(1);
        derived.push("haListenPort");
    }
    if config.store_path_commit_log == Path::new("") {
        config.store_path_commit_log = config.store_path_root_dir.join("commitlog");
        derived.push("storePathCommitLog");
    }
    if config.acl_file == Path::new("") {
        config.acl_file = home.join("plain_acl.yml");
        derived.push("aclFile");
    }
    if config.acl_directory == Path::new("") {
        config.acl_directory = home.join("acl");
        derived.push("aclDirectory");
    }
    for key in derived {
        loaded.origins.insert(key, Origin::Derived);
    }
}

/// Values that Java starts with although they mean less than they say.
pub(super) fn take_as_java(loaded: &mut Loaded<BrokerConfig>) {
    let Loaded { config, warnings, origins } = loaded;
    let mut taken = |key: &'static str, value: String, why: String| {
        let origin = origins.get(key).unwrap_or(&Origin::Default);
        warnings.push(format!("{origin}: {key} = {value} {why}"));
    };
    let permission = config.broker_permission;
    if !(0..=PERMISSION_BITS).contains(&permission) {
        config.broker_permission = permission & PERMISSION_BITS;
        let why = format!("has unknown bits: it is taken as {}", config.broker_permission);
        taken("brokerPermission", permission.to_string(), why);
    }
    let (clean, refuse) =
        (config.disk_space_clean_forcibly_ratio, config.disk_space_warning_level_ratio);
    if clean > refuse {
        config.disk_space_clean_forcibly_ratio = refuse;
        let why = format!(
            "is above diskSpaceWarningLevelRatio: it is taken as {refuse}, for cleaning must not \
             start after sends are refused"
        );
        taken("diskSpaceCleanForciblyRatio", clean.to_string(), why);
    }
    let is_hour = |text: &&str| text.parse::<u32>().is_ok_and(|hour| hour < 24);
    let parts = config.delete_when.split(';').map(str::trim);
    let (hours, odd): (Vec<&str>, Vec<&str>) = parts.partition(is_hour);
    let odd = odd.into_iter().find(|text| !text.is_empty());
    if hours.is_empty() || odd.is_some() {
        let odd = odd.unwrap_or_default();
        let rest = match hours.len() {
            0 => "expired segments wait until the disk is used above diskMaxUsedSpaceRatio",
            _ => "the other hours count",
        };
        let why = format!(
            "has {odd:?}, which is no hour of the day (00 to 23) and never comes, as with \
             RocketMQ: {rest}"
        );
        taken("deleteWhen", format!("{:?}", config.delete_when), why);
    }
    let paths = config.store_path_commit_log.display().to_string();
    if let Some((first, _)) = paths.split_once(',') {
        config.store_path_commit_log = first.trim().into();
        let why = format!("names several directories: all logs go to the first, {first}");
        taken("storePathCommitLog", paths.clone(), why);
    }
}

pub(super) fn conflict(
    config: &impl Table,
    first_key: &'static str,
    second_key: &'static str,
    remedy: &'static str,
) -> ConfigError {
    ConfigError::Conflict {
        first_key,
        first: config.get(first_key).unwrap_or_default(),
        second_key,
        second: config.get(second_key).unwrap_or_default(),
        remedy,
    }
}
