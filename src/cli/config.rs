//! `ringmq config`: what servers make of a configuration file.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Subcommand, ValueEnum};
use ringmq_base::config::{
    BrokerConfig, ConfigError, Loaded, NamesrvConfig, Origin, Table, describe,
    review::{self, Finding, Verdict},
};

use super::{advertised, options};

#[derive(clap::Args)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Says of each line whether it is used, ignored and why, or refused, and what clients will be
    /// told. Ends with 0 if a server starts and every key is known, else with 1.
    Check(What),
    /// Prints all keys with their values and where each comes from.
    Print(What),
    /// Prints the keys whose values are not the defaults.
    DiffDefaults(What),
}

#[derive(clap::Args)]
struct What {
    /// Configuration file in RocketMQ's format (key = value).
    file: PathBuf,
    /// Whose file it is; by its keys and its name if not given.
    #[arg(long = "for", value_enum, value_name = "SERVER")]
    server: Option<Server>,
    /// Sets one key, above the file; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = options::pair)]
    set: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Server {
    Broker,
    Namesrv,
}

pub fn run(options: Options) -> anyhow::Result<ExitCode> {
    let (Command::Check(what) | Command::Print(what) | Command::DiffDefaults(what)) =
        &options.command;
    let server = what.server.map_or_else(|| server_of(&what.file), Ok)?;
    let (path, set) = (what.file.as_path(), what.set.as_slice());
    let (text, sound) = match (&options.command, server) {
        (Command::Check(_), Server::Broker) => check_broker(path, set)?,
        (Command::Check(_), Server::Namesrv) => {
            let findings = NamesrvConfig::review(path)?;
            let loaded = NamesrvConfig::load(Some(path), set);
            check("name server", path, &findings, loaded.as_ref().err())
        }
        (Command::Print(_), Server::Broker) => {
            (describe(&BrokerConfig::load(Some(path), set)?), true)
        }
        (Command::Print(_), Server::Namesrv) => {
            (describe(&NamesrvConfig::load(Some(path), set)?), true)
        }
        (Command::DiffDefaults(_), Server::Broker) => {
            (differences(&BrokerConfig::load(Some(path), set)?), true)
        }
        (Command::DiffDefaults(_), Server::Namesrv) => {
            (differences(&NamesrvConfig::load(Some(path), set)?), true)
        }
    };
    // Whoever reads it may have read enough.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whose file it is, by its keys and its name.
pub fn server_of(file: &Path) -> Result<Server, ConfigError> {
    let is_of_name_server = review::is_of_name_server(file)?;
    Ok(if is_of_name_server { Server::Namesrv } else { Server::Broker })
}

fn check_broker(path: &Path, set: &[(String, String)]) -> Result<(String, bool), ConfigError> {
    let findings = BrokerConfig::review(path)?;
    let loaded = BrokerConfig::load(Some(path), set);
    let (mut text, mut sound) = check("broker", path, &findings, loaded.as_ref().err());
    if let Ok(loaded) = loaded {
        if let Err(sentence) = loaded.config.unserved() {
            text.push_str(&format!("the broker would not start: {sentence}\n"));
            sound = false;
        }
        for note in advertised::notes(&loaded) {
            text.push_str(&format!("{note}\n"));
        }
    }
    Ok((text, sound))
}

/// A line for each finding, and the sum.
fn check(
    server: &str,
    path: &Path,
    findings: &[Finding],
    error: Option<&ConfigError>,
) -> (String, bool) {
    let mut text = format!("{}, as the file of a {server}:\n", path.display());
    let (mut used, mut ignored, mut wrong) = (0, 0, 0);
    for Finding { line, key, value, verdict } in findings {
        let said = match verdict {
            Verdict::Used(note) => {
                used += 1;
                note.as_ref().map_or_else(|| "used".to_owned(), |note| format!("used: {note}"))
            }
            Verdict::Replaced(later) => {
                ignored += 1;
                format!("ignored: line {later} sets it again, and the last one counts")
            }
            Verdict::Ignored(why) => {
                ignored += 1;
                format!("ignored: {why}")
            }
            Verdict::Unknown(why) => {
                wrong += 1;
                format!("WRONG: {why}")
            }
            Verdict::Refused(why) => {
                wrong += 1;
                format!("REFUSED: {why}")
            }
        };
        text.push_str(&format!("  line {line:<4} {key} = {value}\n            {said}\n"));
    }
    text.push_str(&format!("{used} used, {ignored} ignored, {wrong} wrong\n"));
    if let Some(error) = error {
        text.push_str(&format!("the {server} would not start: {error}\n"));
    }
    (text, wrong == 0 && error.is_none())
}

fn differences<C: Table>(loaded: &Loaded<C>) -> String {
    let mut text = String::new();
    for key in C::KEYS {
        let value = loaded.config.get(key.name).unwrap_or_default();
        let default = (key.default)();
        let origin = loaded.origins.get(key.name).unwrap_or(&Origin::Default);
        if value != default && *origin != Origin::Derived {
            let default = if default.is_empty() { "nothing".to_owned() } else { default };
            text.push_str(&format!("{} = {value}\n    instead of {default}; ", key.name));
            text.push_str(&format!("from: {origin}\n"));
        }
    }
    text
}
