//! Configuration: Java .properties files and command line options read into typed structs, each
//! made of one table (see [`BrokerConfig`] and [`NamesrvConfig`]).
//!
//! Lowest to highest: the table's default, a preset of the command, RocketMQ's NAMESRV_ADDR, the
//! file, variables of the environment (`RINGMQ_LISTEN_PORT`), the command line.
//!
//! An unknown key is a warning, as Java would start too, and so is a value that Java takes and this
//! program takes as something near; a value that cannot be taken is an error, as Java would not
//! start or silently keep its default.

pub mod address;
pub mod properties;
pub mod reload;
pub mod review;
pub mod table;
pub mod value;

mod accepted;
mod broker;
mod change;
mod environment;
mod finish;
mod namesrv;
mod suggest;
pub mod tls;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt, io,
    path::{Path, PathBuf},
};

pub use broker::BrokerConfig;
pub use change::{ChangeError, Changed};
pub use namesrv::NamesrvConfig;
pub use table::{Key, Table, ValueError};
pub use tls::{TlsClientKeys, TlsServerKeys};
pub use value::{
    AddressList, AdminAccess, BrokerRole, ClientAuth, CoreList, FlushDiskType, Limits,
    MetricsExporterType, Secret, TlsKernel, TlsMode, UrlPart, Value,
};

/// Largest configuration file that is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where files are looked for that stand beside a configuration file, when there is none.
const DIRECTORY: &str = "conf";

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    /// The command that was run has a default of its own.
    Preset,
    /// A variable of the environment.
    Environment(String),
    /// A line of a file.
    File {
        path: PathBuf,
        line: usize,
    },
    CommandLine,
    /// An administrator changed it while the server ran.
    Request,
    /// Found out at the start, such as an address of this machine, or from another key.
    Derived,
}

impl Origin {
    /// The file that a value stands in.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Origin::File { path, .. } => Some(path),
            _ => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::Preset => f.write_str("default of this command"),
            Origin::Environment(name) => write!(f, "environment variable {name}"),
            Origin::File { path, line } => write!(f, "{}, line {line}", path.display()),
            Origin::CommandLine => f.write_str("command line"),
            Origin::Request => f.write_str("request"),
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
    #[error(
        "the configuration file {path}, line {line}: the character {found:?} stands in no text; \
         is it the right file?", path = path.display()
    )]
    NotText { path: PathBuf, line: usize, found: char },
    #[error("{origin}: {key} = {value:?}: the value {problem}{hint}")]
    Value { origin: Origin, key: String, value: String, problem: Box<ValueError>, hint: String },
    #[error(
        "{origin}: {key} = {value:?} asks for protection that RingMQ does not give yet: take the \
         key out, and keep strangers away from the port by other means"
    )]
    Unprotected { origin: Origin, key: String, value: String },
    #[error(
        "{origin}: {key} = {value:?} asks for replication, which RingMQ does not have yet: brokers \
         of one name would each be its master; take the key out to run this one alone"
    )]
    Replication { origin: Origin, key: String, value: String },
    #[error(
        "{origin}: {key} = {value:?} asks for several brokers in one process, which RingMQ does \
         not have: start a broker with each of these files"
    )]
    Container { origin: Origin, key: String, value: String },
    #[error(
        "{origin}: {key} = {value:?}: nobody fills in the placeholder {placeholder}; write what it \
         stands for, or set the variable {variable} of the environment",
        variable = environment::variable(key)
    )]
    Placeholder { origin: Origin, key: String, value: String, placeholder: String },
    #[error(
        "{origin}: {key} = {value:?} is neither an IP address nor a host name, which it must be \
         without a port: clients are told it as it is written"
    )]
    NoHost { origin: Origin, key: &'static str, value: String },
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
            loader.take_pairs(&pairs, &Origin::Environment("NAMESRV_ADDR".to_owned()))?;
        }
        loader.take_tls_file(path, overrides)?;
        loader.take_file(path)?;
        loader.take_environment(std::env::vars_os())?;
        loader.take_pairs(overrides, &Origin::CommandLine)?;
        finish::broker(loader.loaded, &directory(path))
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
        loader.take_tls_file(path, overrides)?;
        loader.take_file(path)?;
        loader.take_environment(std::env::vars_os())?;
        loader.take_pairs(overrides, &Origin::CommandLine)?;
        finish::namesrv(loader.loaded)
    }
}

/// Where files are that stand beside the configuration file: with it, or in `conf` of
/// ROCKETMQ_HOME, or here, without one.
fn directory(path: Option<&Path>) -> PathBuf {
    match (path, std::env::var_os("ROCKETMQ_HOME").filter(|home| !home.is_empty())) {
        (Some(path), _) => path.parent().unwrap_or_else(|| Path::new("")).to_owned(),
        (None, Some(home)) => Path::new(&home).join(DIRECTORY),
        (None, None) => DIRECTORY.into(),
    }
}

/// All keys with value, unit, limits, origin and doc line.
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
        let live = match (key.live, key.reloads) {
            (true, _) => "; live",
            (false, true) => "; read again at SIGHUP",
            (false, false) => "",
        };
        let origin = loaded.origins.get(key.name).unwrap_or(&Origin::Default);
        text.push_str(&format!(
            "\n# {}\n# {}{unit}; allowed: {}; default: {default}{live}; from: {origin}\n",
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

    fn take_environment(
        &mut self,
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<(), ConfigError> {
        let found = environment::keys::<C>(variables);
        self.loaded.warnings.extend(found.unknown);
        found.set.into_iter().try_for_each(|(variable, key, value)| {
            self.take(key, &value, Origin::Environment(variable))
        })
    }

    /// The file that `tls.config.file` names, be it in `path` or among the `overrides`; by default
    /// it need not be there. Keys of clients mean nothing to a server that makes no connections.
    fn take_tls_file(
        &mut self,
        path: Option<&Path>,
        overrides: &[(String, String)],
    ) -> Result<(), ConfigError> {
        let mut named = None;
        if let Some(path) = path {
            let entries = entries(path)?.into_iter().filter(|entry| entry.key == tls::CONFIG_FILE);
            named = entries.map(|entry| entry.value).next_back();
        }
        let of_command = overrides.iter().rev().find(|(key, _)| key == tls::CONFIG_FILE);
        let named = of_command.map(|(_, value)| value.clone()).or(named);
        let file = match &named {
            Some(text) => expanded(text),
            None => self.loaded.config.get(tls::CONFIG_FILE).unwrap_or_default().into(),
        };
        if file.as_os_str().is_empty() || (named.is_none() && !file.exists()) {
            return Ok(());
        }
        let wanted = |key: &str| C::key(key).is_some() || !tls::is_of_clients(key);
        self.take_entries(&file, wanted)
    }

    fn take_file(&mut self, path: Option<&Path>) -> Result<(), ConfigError> {
        path.map_or(Ok(()), |path| self.take_entries(path, |_| true))
    }

    fn take_entries(
        &mut self,
        path: &Path,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<(), ConfigError> {
        let mut lines: BTreeMap<String, usize> = BTreeMap::new();
        for entry in entries(path)?.into_iter().filter(|entry| wanted(&entry.key)) {
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
            if accepted::asks_for_protection(name, value) {
                let (key, value) = (name.to_owned(), value.to_owned());
                return Err(ConfigError::Unprotected { origin, key, value });
            }
            if accepted::asks_for_replication(name, value) {
                let (key, value) = (name.to_owned(), value.to_owned());
                return Err(ConfigError::Replication { origin, key, value });
            }
            if accepted::asks_for_container(name, value) {
                let (key, value) = (name.to_owned(), value.to_owned());
                return Err(ConfigError::Container { origin, key, value });
            }
            self.loaded.warnings.push(suggest::unknown::<C>(name, value, &origin));
            return Ok(());
        };
        let is_secret = key.kind == <Secret as Value>::KIND;
        if let Some(placeholder) = value::placeholder(value).filter(|_| !is_secret) {
            return Err(ConfigError::Placeholder {
                origin,
                key: key.name.to_owned(),
                value: value.to_owned(),
                placeholder: placeholder.to_owned(),
            });
        }
        let comment = properties::trailing_comment(value);
        match self.loaded.config.set(key.name, value) {
            Ok(note) => {
                if let Some(note) = note {
                    self.loaded.warnings.push(format!("{origin}: {name} = {value:?} {note}"));
                }
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

fn entries(path: &Path) -> Result<Vec<properties::Entry>, ConfigError> {
    let text = properties::decode(&read(path)?);
    match properties::odd_character(&text) {
        Some((line, found)) => Err(ConfigError::NotText { path: path.to_owned(), line, found }),
        None => Ok(properties::parse(&text)),
    }
}

fn expanded(text: &str) -> PathBuf {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    value::expand_home(text.trim(), home.as_deref())
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
mod tests;
