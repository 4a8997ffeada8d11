//! Configuration: Java .properties files and command line options read into typed structs, each
//! made of one table (see [`BrokerConfig`] and [`NamesrvConfig`]).
//!
//! Lowest to highest: the table's default, a preset of the command, the environment, the file, the
//! command line. An unknown key is a warning, as Java would start too; a value that cannot be
//! taken is an error, as Java would silently keep its default.

pub mod address;
pub mod properties;
pub mod table;
pub mod value;

mod accepted;
mod broker;
mod finish;
mod namesrv;
mod suggest;

use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
};

pub use broker::BrokerConfig;
pub use namesrv::NamesrvConfig;
pub use table::{Key, Table, ValueError};
pub use value::{
    AddressList, BrokerRole, CoreList, FlushDiskType, Limits, MetricsExporterType, Value,
};

/// Largest configuration file that is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    /// The command that was run has a default of its own.
    Preset,
    /// A variable of the environment.
    Environment(&'static str),
    /// A line of a file.
    File {
        path: PathBuf,
        line: usize,
    },
    CommandLine,
    /// Found out at the start, such as an address of this machine, or from another key.
    Derived,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::Preset => f.write_str("default of this command"),
            Origin::Environment(name) => write!(f, "environment variable {name}"),
            Origin::File { path, line } => write!(f, "{}, line {line}", path.display()),
            Origin::CommandLine => f.write_str("command line"),
            Origin::Derived => f.write_str("found out"),
        }
    }
}

/// A configuration and how it came about.
#[derive(Clone, Debug)]
pub struct Loaded<C> {
    pub config: C,
    /// Sentences to log; the server starts all the same.
    pub warnings: Vec<String>,
    /// Origin of every key of the table.
    pub origins: BTreeMap<&'static str, Origin>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration file {path}: {source}", path = path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "the configuration file {path} has {bytes} bytes; at most {FILE_BYTES_MAX} are read; is \
         it the right file?", path = path.display()
    )]
    TooLarge { path: PathBuf, bytes: u64 },
    #[error("{origin}: {key} = {value:?}: the value {problem}{hint}")]
    Value { origin: Origin, key: String, value: String, problem: Box<ValueError>, hint: String },
    #[error("{first_key} = {first} does not go with {second_key} = {second}: {remedy}")]
    Conflict {
        first_key: &'static str,
        first: String,
        second_key: &'static str,
        second: String,
        remedy: &'static str,
    },
}

impl BrokerConfig {
    /// Reads `path`, if given, then the `overrides` (RocketMQ key, value) of the command line.
    pub fn load(
        path: Option<&Path>,
        overrides: &[(String, String)],
    ) -> Result<Loaded<Self>, ConfigError> {
        Self::load_with_preset(path, &[], overrides)
    }

    /// As [`BrokerConfig::load`]; `preset` replaces defaults of the table.
    pub fn load_with_preset(
        path: Option<&Path>,
        preset: &[(String, String)],
        overrides: &[(String, String)],
    ) -> Result<Loaded<Self>, ConfigError> {
        let mut loader = Loader::<Self>::new(broker::ALIASES);
        loader.take_pairs(preset, &Origin::Preset)?;
        if let Ok(addresses) = std::env::var("NAMESRV_ADDR") {
            let pairs = [("namesrvAddr".to_owned(), addresses)];
            loader.take_pairs(&pairs, &Origin::Environment("NAMESRV_ADDR"))?;
        }
        loader.take_file(path)?;
        loader.take_pairs(overrides, &Origin::CommandLine)?;
        finish::broker(loader.loaded)
    }
}

impl NamesrvConfig {
    /// Reads `path`, if given, then the `overrides` (RocketMQ key, value) of the command line.
    pub fn load(
        path: Option<&Path>,
        overrides: &[(String, String)],
    ) -> Result<Loaded<Self>, ConfigError> {
        Self::load_with_preset(path, &[], overrides)
    }

    /// As [`NamesrvConfig::load`]; `preset` replaces defaults of the table.
    pub fn load_with_preset(
        path: Option<&Path>,
        preset: &[(String, String)],
        overrides: &[(String, String)],
    ) -> Result<Loaded<Self>, ConfigError> {
        let mut loader = Loader::<Self>::new(&[]);
        loader.take_pairs(preset, &Origin::Preset)?;
        loader.take_file(path)?;
        loader.take_pairs(overrides, &Origin::CommandLine)?;
        Ok(loader.loaded)
    }
}

/// All keys with value, unit, limits, origin and doc line, for `-p`.
pub fn describe<C: Table>(loaded: &Loaded<C>) -> String {
    let mut text = String::new();
    let mut section = "";
    for key in C::KEYS {
        if key.section != section {
            section = key.section;
            text.push_str(&format!("\n# ---- {section} ----\n"));
        }
        let default = (key.default)();
        let unit = if key.unit.is_empty() { String::new() } else { format!(", {}", key.unit) };
        let origin = loaded.origins.get(key.name).unwrap_or(&Origin::Default);
        text.push_str(&format!(
            "\n# {}\n# {}{unit}; allowed: {}; default: {default}; from: {origin}\n",
            key.doc, key.kind, key.limits
        ));
        text.push_str(&properties::line(
            key.name,
            &loaded.config.get(key.name).unwrap_or_default(),
        ));
    }
    text
}

/// Takes values in rising order of precedence.
struct Loader<C> {
    loaded: Loaded<C>,
    aliases: &'static [(&'static str, &'static str)],
}

impl<C: Table> Loader<C> {
    fn new(aliases: &'static [(&'static str, &'static str)]) -> Self {
        let origins = C::KEYS.iter().map(|key| (key.name, Origin::Default)).collect();
        let loaded = Loaded { config: C::default(), warnings: Vec::new(), origins };
        Loader { loaded, aliases }
    }

    fn take_pairs(
        &mut self,
        pairs: &[(String, String)],
        origin: &Origin,
    ) -> Result<(), ConfigError> {
        pairs.iter().try_for_each(|(key, value)| self.take(key, value, origin.clone()))
    }

    fn take_file(&mut self, path: Option<&Path>) -> Result<(), ConfigError> {
        let Some(path) = path else { return Ok(()) };
        let text = properties::decode(&read(path)?);
        let mut lines: BTreeMap<String, usize> = BTreeMap::new();
        for entry in properties::parse(&text) {
            let origin = Origin::File { path: path.to_owned(), line: entry.line };
            if let Some(earlier) = lines.insert(entry.key.clone(), entry.line) {
                self.loaded.warnings.push(format!(
                    "{origin}: {} was already set on line {earlier}; this line wins",
                    entry.key
                ));
            }
            self.take(&entry.key, &entry.value, origin)?;
        }
        Ok(())
    }

    fn take(&mut self, name: &str, value: &str, origin: Origin) -> Result<(), ConfigError> {
        let alias = self.aliases.iter().find(|(from, _)| *from == name);
        let Some(key) = C::key(alias.map_or(name, |(_, to)| *to)) else {
            self.loaded.warnings.push(suggest::unknown::<C>(name, value, &origin));
            return Ok(());
        };
        let comment = properties::trailing_comment(value);
        match self.loaded.config.set(key.name, value) {
            Ok(()) => {
                if let Some(comment) = comment {
                    self.loaded.warnings.push(format!(
                        "{origin}: the value of {name} includes {comment:?}: properties files \
                         know comments only on lines of their own"
                    ));
                }
                self.loaded.origins.insert(key.name, origin);
                Ok(())
            }
            Err(problem) => {
                let hint = comment.map_or_else(String::new, |comment| {
                    format!(
                        ". {comment:?} is part of the value: put comments on lines of their own"
                    )
                });
                let (key, value) = (name.to_owned(), value.to_owned());
                let problem = Box::new(problem);
                Err(ConfigError::Value { origin, key, value, problem, hint })
            }
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(ConfigError::TooLarge { path: path.to_owned(), bytes });
    }
    std::fs::read(path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Loaded<BrokerConfig>, ConfigError> {
        let file = std::env::temp_dir().join(format!(
            "ringmq-config-{}-{:x}.conf",
            std::process::id(),
            crc32c::crc32c(text.as_bytes())
        ));
        std::fs::write(&file, text).expect("the temporary directory is writable");
        let loaded = BrokerConfig::load(Some(&file), &[]);
        std::fs::remove_file(&file).expect("the file was just written");
        loaded
    }

    #[test]
    fn the_sample_of_rocketmq_loads_without_a_warning() {
        let loaded = load(
            "brokerClusterName = DefaultCluster\nbrokerName = broker-a\nbrokerId = 0\n\
             deleteWhen = 04\nfileReservedTime = 48\nbrokerRole = ASYNC_MASTER\n\
             flushDiskType = ASYNC_FLUSH\n",
        )
        .expect("valid");
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        assert_eq!(loaded.config.broker_name, "broker-a");
        assert_eq!(loaded.config.file_reserved_time_hours, 48);
        assert_eq!(loaded.config.flush_disk_type, FlushDiskType::AsyncFlush);
        assert_eq!(loaded.config.ha_listen_port, 10_912);
        assert!(!loaded.config.broker_ip1.is_empty());
        assert!(loaded.config.store_path_commit_log.ends_with("store/commitlog"));
        assert!(matches!(loaded.origins["brokerName"], Origin::File { line: 2, .. }));
        assert_eq!(loaded.origins["haListenPort"], Origin::Derived);
        assert_eq!(loaded.origins["brokerPermission"], Origin::Default);
    }

    #[test]
    fn a_bad_value_names_file_line_key_value_and_range() {
        let error = load("# c\nlistenPort = 70000\n").expect_err("too high").to_string();
        for part in [".conf, line 2", "listenPort", "\"70000\"", "out of range", "0 to 65535"] {
            assert!(error.contains(part), "{part}: {error}");
        }
        let error = load("fileReservedTime = 48 # hours\n").expect_err("no number").to_string();
        assert!(error.contains("(hours)"), "{error}");
        assert!(error.contains("comments on lines of their own"), "{error}");
    }

    #[test]
    fn unknown_and_repeated_keys_are_only_warnings() {
        let loaded = load("brokerNam = a\nlistenPort=1000\nlistenPort=2000\nbrokerName=x # y\n");
        let loaded = loaded.expect("valid");
        assert_eq!(loaded.config.listen_port, 2000);
        assert_eq!(loaded.config.broker_name, "x # y");
        let all = loaded.warnings.join("\n");
        for part in ["did you mean brokerName?", "already set on line 2", "includes \"# y\""] {
            assert!(all.contains(part), "{part}: {all}");
        }
    }

    #[test]
    fn a_key_without_effect_is_told_unless_it_says_the_default() {
        let loaded = load("syncFlushTimeout=1000\nhaTransferBatchSize=32768\n").expect("valid");
        assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
        let warning = &loaded.warnings[0];
        assert!(warning.contains("line 1: syncFlushTimeout = 1000 has no effect"), "{warning}");
        for key in accepted::WITHOUT_EFFECT.iter().flat_map(|(keys, _)| keys.split_whitespace()) {
            assert!(BrokerConfig::key(key).is_some(), "{key} is in the table");
        }
    }

    #[test]
    fn the_command_line_beats_the_preset_and_keys_must_fit_together() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let preset = [pair("storePathRootDir", "./data"), pair("listenPort", "1111")];
        let over = [pair("listenPort", "2222")];
        let loaded = BrokerConfig::load_with_preset(None, &preset, &over).expect("valid");
        assert_eq!(loaded.config.listen_port, 2222);
        assert_eq!(loaded.config.store_path_root_dir, PathBuf::from("./data"));
        assert_eq!(loaded.origins["storePathRootDir"], Origin::Preset);
        assert_eq!(loaded.origins["listenPort"], Origin::CommandLine);

        let bad = |pairs: &[(String, String)]| {
            BrokerConfig::load(None, pairs).expect_err("does not fit").to_string()
        };
        assert!(bad(&[pair("brokerRole", "SLAVE")]).contains("an id above 0"));
        assert!(bad(&[pair("haListenPort", "10911")]).contains("two ports"));
        assert!(bad(&[pair("cores", "0"), pair("shards", "2")]).contains("core of its own"));
        let master = BrokerConfig::load(None, &[pair("brokerId", "3")]).expect("Java forces 0");
        assert_eq!((master.config.broker_id, master.warnings.len()), (0, 1));
    }

    #[test]
    fn every_default_is_allowed_and_every_printed_value_reads_back() {
        fn check<C: Table + PartialEq + fmt::Debug>() {
            let mut copy = C::default();
            for key in C::KEYS {
                let value = (key.default)();
                assert_eq!(C::default().get(key.name), Some(value.clone()), "{}", key.name);
                copy.set(key.name, &value).unwrap_or_else(|error| panic!("{}: {error}", key.name));
                assert!(key.doc.ends_with('.'), "{}", key.name);
                assert_eq!(C::KEYS.iter().filter(|other| other.name == key.name).count(), 1);
            }
            assert_eq!(copy, C::default());
            assert_eq!(properties::parse(&copy.to_properties()).len(), C::KEYS.len());
        }
        check::<BrokerConfig>();
        check::<NamesrvConfig>();
        let loaded = BrokerConfig::load(None, &[]).expect("defaults");
        assert!(describe(&loaded).contains("# ---- Store ----"));
    }

    #[test]
    fn the_samples_name_real_keys_with_their_defaults() {
        fn check<C: Table>(sample: &str, examples: &[&str]) {
            for line in sample.lines().filter(|line| line.contains(" =")) {
                let Some(text) = line.strip_prefix('#').or(Some(line)) else {
                    continue;
                };
                let entry = properties::parse(text).pop().expect("a key");
                let mut config = C::default();
                let set = config.set(&entry.key, &entry.value);
                set.unwrap_or_else(|error| panic!("{line}: {error}"));
                if line.starts_with('#') && !examples.contains(&entry.key.as_str()) {
                    assert_eq!(config.get(&entry.key), C::default().get(&entry.key), "{line}");
                }
            }
        }
        let broker = include_str!("../../conf/broker.conf");
        check::<BrokerConfig>(broker, &["namesrvAddr", "brokerIP1"]);
        check::<NamesrvConfig>(include_str!("../../conf/namesrv.conf"), &[]);
        assert!(load(broker).expect("valid").warnings.is_empty());
    }

    #[test]
    fn no_path_address_or_switch_of_security_can_be_changed_at_run_time() {
        let broker = BrokerConfig::KEYS.iter();
        for key in broker.chain(NamesrvConfig::KEYS).filter(|key| key.live) {
            let name = key.name.to_ascii_lowercase();
            for word in ["path", "addr", "ip1", "ip2", "dir", "acl", "admin", "auth"] {
                assert!(!name.contains(word), "{}", key.name);
            }
            assert_ne!(key.kind, "a path");
            assert!(!name.ends_with("port"), "{}", key.name);
        }
    }
}
