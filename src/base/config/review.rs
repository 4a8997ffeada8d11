//! What a server makes of each line of a configuration file, for `ringmq config check`.

use std::{collections::BTreeMap, path::Path};

use super::{
    BrokerConfig, ConfigError, Loader, NamesrvConfig, Origin, Secret, Table, Value, accepted,
    accepted::Known, broker, entries, suggest,
};

/// A line that sets a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub line: usize,
    pub key: String,
    /// As it is written, unless it is secret.
    pub value: String,
    pub verdict: Verdict,
}

/// What becomes of a line. Texts are halves of sentences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It counts; perhaps with a remark.
    Used(Option<String>),
    /// A later line sets the key, too.
    Replaced(usize),
    /// It has no effect, and why that is so.
    Ignored(String),
    /// No server knows the key: it is ignored as well, and most likely a mistake.
    Unknown(String),
    /// The server does not start.
    Refused(String),
}

impl BrokerConfig {
    /// What a broker makes of each line.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn review(path: &Path) -> Result<Vec<Finding>, ConfigError> {
        review::<BrokerConfig>(path, broker::ALIASES)
    }
}

impl NamesrvConfig {
    /// What a name server makes of each line.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn review(path: &Path) -> Result<Vec<Finding>, ConfigError> {
        review::<NamesrvConfig>(path, &[])
    }
}

/// Whether a file is most likely that of a name server: by its keys, or else by its name.
///
/// # Errors
/// If the file cannot be read.
pub fn is_of_name_server(path: &Path) -> Result<bool, ConfigError> {
    let entries = entries(path)?;
    let count = |own: fn(&str) -> bool, other: fn(&str) -> bool| {
        entries.iter().filter(|entry| own(&entry.key) && !other(&entry.key)).count()
    };
    let of_broker = |key: &str| BrokerConfig::key(key).is_some();
    let of_namesrv = |key: &str| NamesrvConfig::key(key).is_some();
    let (broker, namesrv) = (count(of_broker, of_namesrv), count(of_namesrv, of_broker));
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    Ok(namesrv > broker || (namesrv == broker && name.contains("namesrv")))
}

fn review<C: Table>(
    path: &Path,
    aliases: &'static [(&'static str, &'static str)],
) -> Result<Vec<Finding>, ConfigError> {
    let entries = entries(path)?;
    let name = |key: &str| {
        let alias = aliases.iter().find(|(from, _)| *from == key);
        C::key(alias.map_or(key, |(_, to)| *to))
    };
    let last: BTreeMap<String, usize> =
        entries.iter().map(|entry| (entry.key.clone(), entry.line)).collect();
    let findings = entries.into_iter().map(|entry| {
        let origin = Origin::File { path: path.to_owned(), line: entry.line };
        let row = name(&entry.key);
        let mut loader = Loader::<C>::new(aliases);
        let taken = loader.take(&entry.key, &entry.value, origin.clone());
        let place = format!("{origin}: ");
        let short =
            |text: String| text.strip_prefix(&place).map_or_else(|| text.clone(), str::to_owned);
        let later = last.get(&entry.key).copied().filter(|line| *line > entry.line);
        let verdict = match (taken, row, later) {
            (Err(error), ..) => Verdict::Refused(short(error.to_string())),
            (Ok(()), Some(_), Some(line)) => Verdict::Replaced(line),
            (Ok(()), Some(key), None) => {
                let is_default = loader.loaded.config.get(key.name) == Some((key.default)());
                match accepted::without_effect(key.name).filter(|_| !is_default) {
                    Some(why) => Verdict::Ignored(why.to_owned()),
                    None => Verdict::Used(loader.loaded.warnings.pop().map(short)),
                }
            }
            (Ok(()), None, _) => {
                let text = suggest::meaning::<C>(&entry.key, &entry.value);
                match accepted::known(&entry.key) {
                    Some(Known::NotNeeded(_) | Known::NotServed(_)) => Verdict::Ignored(text),
                    None if suggest::is_of_other_server(&entry.key) => Verdict::Ignored(text),
                    None => Verdict::Unknown(text),
                }
            }
        };
        let is_secret = row.is_some_and(|key| key.kind == Secret::KIND);
        let value = if is_secret { Secret(entry.value).print() } else { entry.value };
        Finding { line: entry.line, key: entry.key, value, verdict }
    });
    Ok(findings.collect())
}

#[cfg(test)]
mod tests;
